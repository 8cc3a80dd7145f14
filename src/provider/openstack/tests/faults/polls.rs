//! Reads of a wait that are not answered: they are asked again until the wait's own deadline.
use super::*;

/// Of a server and of an image that are polled: more answers are lost than one call asks for.
#[tokio::test(flavor = "multi_thread")]
async fn a_wait_goes_on_through_reads_that_are_not_answered() {
    const LOST: u32 = 12;
    for polled in ["servers", "images"] {
        let (world, bench) = (World::new(), Bench::new(None).await);
        let mut lost = 0;
        bench.cloud.lock().unwrap().twist = Some(Box::new(move |_, asked| {
            let of_one = asked.path.iter().rev().nth(1).is_some_and(|part| part == polled)
                && asked.path.last().is_some_and(|last| last != "detail");
            let loses = asked.verb == "GET" && of_one && lost < LOST;
            lost += u32::from(loses);
            loses.then(|| (502, json!({})))
        }));
        let (outcome, _) = bench.build(&world, &plan(&world)).await;
        assert!(matches!(outcome.result, Ok(Built::Image(_))), "{polled}: {:?}", outcome.result);
    }
}
