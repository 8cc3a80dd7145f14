//! Publications that go wrong: what is refused, left out, or somebody else's by then.
use serde_json::{Value, json};

use super::*;
use crate::model::event::Event;

/// Builds once on services that answer otherwise where `twist` does.
async fn twisted(
    plan: impl FnOnce(&mut Plan),
    twist: impl FnMut(&mut Services, &Asked) -> Option<services::Told> + Send + 'static,
) -> (Bench, World, Outcome) {
    let (world, bench) = (World::new(), Bench::new(None).await);
    bench.cloud.lock().unwrap().twist = Some(Box::new(twist));
    let mut wanted = super::plan(&world);
    plan(&mut wanted);
    let (outcome, _) = bench.build(&world, &wanted).await;
    (bench, world, outcome)
}

fn is_state(op: &Value) -> bool {
    op["path"] == "/factory_state"
}

pub(super) fn writes_state(asked: &Asked) -> bool {
    let all = asked.body.as_array().into_iter().flatten();
    asked.verb == "PATCH" && all.filter(|op| op["value"] == "active").any(is_state)
}

fn left(bench: &Bench) -> Vec<String> {
    bench.cloud.lock().unwrap().services.snapshot()
}

/// A member that is refused, whatever the answers before it: nobody ever gets an image that is
/// shared with nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_refused_fails_the_build_before_anything_is_published() {
    for lost in [false, true] {
        let published = Arc::new(Mutex::new(false));
        let seen = published.clone();
        let (bench, _, outcome) = twisted(
            |_| (),
            move |services, asked| {
                *seen.lock().unwrap() |= writes_state(asked);
                match (asked.verb.as_str(), asked.path.last().map(String::as_str)) {
                    ("POST", Some("members")) => Some((403, json!({}))),
                    ("PATCH", _) if lost => {
                        services.serve(asked);
                        Some((502, json!({})))
                    }
                    _ => None,
                }
            },
        )
        .await;
        let error = outcome.result.unwrap_err().to_string();
        assert!(error.contains("share image") && error.contains("403"), "{error}");
        assert!(outcome.leaks.is_empty() && left(&bench).is_empty(), "{:?}", left(&bench));
        assert!(!*published.lock().unwrap(), "the state was turned");
    }
}

/// Glance takes the member, and the list lacks it.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_not_shown_fails_the_build() {
    let (bench, _, outcome) = twisted(
        |_| (),
        |_, asked| match asked.path.last().map(String::as_str) {
            Some("members") => Some((200, json!({ "members": [] }))),
            _ => None,
        },
    )
    .await;
    let error = outcome.result.unwrap_err().to_string();
    assert!(error.contains("it is not shared with project p9"), "{error}");
    assert_eq!(left(&bench), [""; 0]);
}

/// A plugin, a policy, an older Glance: the change is taken, and one property is not there.
#[tokio::test(flavor = "multi_thread")]
async fn a_property_that_glance_leaves_out_is_told_with_the_difference() {
    let leave_out = |services: &mut Services, asked: &Asked| {
        let told = services.serve(asked);
        let image = services.images.get_mut(asked.path.last().unwrap())?;
        image.as_object_mut().unwrap().remove("k");
        Some(told)
    };
    let (bench, _, outcome) = twisted(
        |_| (),
        move |services, asked| {
            (asked.verb == "PATCH").then(|| leave_out(services, asked)).flatten()
        },
    )
    .await;
    let error = outcome.result.unwrap_err().to_string();
    assert!(error.contains("property k is `(absent)`, not `v`"), "{error}");
    assert_eq!(left(&bench), [""; 0], "nobody got it");

    // Once the state is turned, the image is everybody's: it is named, and the build fails.
    let (bench, _, outcome) = twisted(
        |_| (),
        move |services, asked| writes_state(asked).then(|| leave_out(services, asked)).flatten(),
    )
    .await;
    let Err(BuildError::Amiss { image, reason }) = outcome.result else {
        panic!("{:?}", outcome.result)
    };
    assert!(reason.contains("property k is `(absent)`, not `v`"), "{reason}");
    assert_eq!(json!(image.id), bench.published().unwrap()["id"]);
    assert!(outcome.leaks.is_empty() && left(&bench).len() == 1, "{:?}", left(&bench));
}

/// What the store says is refused is not looked up as if its answer were lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_is_refused_is_not_published() {
    let (bench, _, outcome) =
        twisted(|_| (), |_, asked| writes_state(asked).then(|| (403, json!({})))).await;
    assert!(outcome.result.unwrap_err().to_string().contains("403"));
    assert_eq!(left(&bench), [""; 0]);
}

/// The disk of this machine is full by then: the image is what everybody gets all the same.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_published_whatever_becomes_of_the_ledger() {
    let (world, bench) = (World::new(), Bench::new(None).await);
    bench.cloud.lock().unwrap().full = true;
    let (outcome, cx) = bench.build(&world, &super::plan(&world)).await;
    let Ok(Built::Image(image)) = outcome.result else { panic!("{:?}", outcome.result) };
    let of_image = |e: &crate::provider::ledger::Entry| e.id.as_deref() == Some(&image.id);
    assert!(!outcome.leaks.iter().any(|leak| of_image(&leak.entry)), "{:?}", outcome.leaks);
    // Whoever reads the ledger later leaves it alone, too.
    assert!(cx.ledger.entries().iter().any(of_image));
    bench.swept(&cx).await;
    assert_eq!(json!(image.id), bench.published().unwrap()["id"]);
}

/// Publication comes after every image of the family, says what its name means, and tags it.
#[tokio::test(flavor = "multi_thread")]
async fn the_time_is_after_all_others_and_what_is_current_is_said() {
    let (world, bench) = (World::new(), Bench::new(None).await);
    // Somebody's clock was ahead when the one before was published.
    let ahead = json!({ "id": "i0", "name": "x-0", "status": "active", "owner": "p1",
        "visibility": "private", "os_hidden": false, "protected": false, "size": 7,
        "tags": ["factory-published"], "created_at": "2026-11-20T10:00:00Z",
        "factory_run": "r0", "factory_state": "active", "factory_family": "x",
        "factory_image_id": "i0", "factory_published_at": "2031-01-01T00:00:00Z" });
    bench.cloud.lock().unwrap().services.images.insert("i0".into(), ahead);
    let (outcome, _) = bench.build(&world, &super::plan(&world)).await;
    let Ok(Built::Image(image)) = outcome.result else { panic!("{:?}", outcome.result) };
    assert_eq!(image.properties[image::PUBLISHED_AT], "2031-01-01T00:00:01Z");
    assert_eq!(image.tags, [image::TAG]);
    let seen = world.seen.0.lock().unwrap();
    let said = |text: &str| seen.iter().any(|e| matches!(e, Event::Note { text: t } if t == text));
    assert!(said("family x means x-1 now"), "{seen:?}");
}

/// Two builds of one name at once, in two processes: no two images have it in the end. Of a chosen
/// name one build fails, or both do, but not each time; of one of ours, none.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_builds_of_one_name_at_once_one_has_it() {
    for chosen in [false, true] {
        let mut all = 0;
        for _ in 0..4 {
            let bench = Bench::new(None).await;
            let runs = ["20261127-201500-f0a001", "20261127-201500-f0a002"];
            let build = |run: &'static str| {
                let bench = &bench;
                async move {
                    let world = World::new();
                    let mut plan = super::plan(&world);
                    (plan.run, plan.publish.chosen) = (run.into(), chosen);
                    plan.builder.as_mut().unwrap().name = format!("factory-{run}-builder");
                    plan.publish.properties.insert(image::RUN.into(), run.into());
                    bench.build(&world, &plan).await.0
                }
            };
            let (one, two) = tokio::join!(build(runs[0]), build(runs[1]));
            let mut names: Vec<String> = left(&bench);
            names.iter_mut().for_each(|line| *line = line.split(' ').nth(2).unwrap().to_owned());
            let built = [&one, &two].into_iter().filter(|o| o.result.is_ok()).count();
            assert_eq!(names.len(), built, "{names:?} {:?} {:?}", one.result, two.result);
            names.sort();
            names.dedup();
            assert_eq!(names.len(), built, "one name, two images: {names:?}");
            if !chosen {
                assert_eq!(built, 2, "{:?} {:?}", one.result, two.result);
            }
            for error in [one.result, two.result].into_iter().filter_map(Result::err) {
                assert!(error.to_string().contains("has that name"), "{error}");
            }
            all += built;
        }
        assert!(all > 0, "nobody ever has it");
    }
}
