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

/// The first request for the state is served while the second is refused: what is said is of both.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_tells_nothing_of_the_request_before_it() {
    // Who is busy is asked five times.
    for (refusal, times) in [(403, 1), (429, 5)] {
        let (mut late, mut left) = (None::<Asked>, times);
        let (bench, _, outcome) = twisted(
            |_| (),
            move |services, asked| {
                if !writes_state(asked) || left == 0 {
                    return None;
                }
                let Some(first) = &late else {
                    late = Some(asked.clone());
                    return Some((502, json!({})));
                };
                if left == times {
                    services.serve(first);
                }
                left -= 1;
                Some((refusal, json!({})))
            },
        )
        .await;
        let Ok(Built::Image(image)) = outcome.result else { panic!("{:?}", outcome.result) };
        assert_eq!(json!(image.id), bench.published().unwrap()["id"]);
    }
}

/// A published image of family `x` that somebody else made.
fn somebodys(id: &str, name: &str, at: &str) -> Value {
    json!({ "id": id, "name": name, "status": "active", "owner": "p1",
        "visibility": "private", "os_hidden": false, "protected": false, "size": 7,
        "tags": ["factory-published"], "created_at": "2026-11-20T10:00:00Z",
        "factory_run": "r0", "factory_state": "active", "factory_family": "x",
        "factory_image_id": id, "factory_published_at": at })
}

/// Nobody knows of the publication, on the way home it is seen, and by then another build has the
/// chosen name: the image is withdrawn, and the run does not name it.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_withdrawn_on_the_way_home_is_deleted_and_the_build_fails() {
    let (world, mut bench) = (World::new(), Bench::new(None).await);
    bench.stack.patience = Duration::from_millis(300);
    let (mut late, mut served) = (None::<Asked>, false);
    let twist = move |services: &mut Services, asked: &Asked| {
        let deletes = asked.verb == "DELETE" && asked.path.iter().any(|part| part == "images");
        match &late {
            _ if served => None,
            _ if writes_state(asked) => {
                late.get_or_insert_with(|| asked.clone());
                Some((502, json!({})))
            }
            Some(write) if deletes => {
                served = true;
                services.serve(write);
                let other = somebodys("i0", "x-1", "2020-01-01T00:00:00Z");
                services.images.insert("i0".into(), other);
                Some((409, json!({})))
            }
            _ => None,
        }
    };
    bench.cloud.lock().unwrap().twist = Some(Box::new(twist));
    let mut plan = super::plan(&world);
    plan.publish.chosen = true;
    let (outcome, cx) = bench.build(&world, &plan).await;
    let Err(BuildError::Cloud(error)) = outcome.result else { panic!("{:?}", outcome.result) };
    assert!(error.to_string().contains("image i0 has that name"), "{error}");
    assert_eq!(left(&bench), ["image i0 \"x-1\" active"]);
    assert!(outcome.leaks.is_empty() && cx.ledger.entries().is_empty(), "{:?}", outcome.leaks);
}

/// Another image of the chosen name is there as soon as this one is published. The later one
/// yields; the first waits for that, and yields if the other was done before it came.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_images_of_a_chosen_name_the_later_one_yields() {
    let (earlier, later) = ("2020-01-01T00:00:00Z", "2031-01-01T00:00:00Z");
    for (at, yields, keeps) in [(earlier, false, false), (later, true, true), (later, false, false)]
    {
        let mut looks = None;
        let (bench, _, outcome) = twisted(
            |plan| plan.publish.chosen = true,
            move |services, asked| {
                if looks.is_none() && writes_state(asked) {
                    looks = Some(0);
                    let told = services.serve(asked);
                    services.images.insert("i0".into(), somebodys("i0", "x-1", at));
                    return Some(told);
                }
                let by_name = asked.path[0] == "image" && asked.query.contains_key("name");
                if let Some(looks) = looks.as_mut().filter(|_| by_name) {
                    *looks += 1;
                    if yields && *looks == 8 {
                        services.images.remove("i0");
                    }
                }
                None
            },
        )
        .await;
        assert_eq!(outcome.result.is_ok(), keeps, "{at}: {:?}", outcome.result);
        assert_eq!(left(&bench).len(), 1, "{:?}", left(&bench));
        if let Err(error) = outcome.result {
            assert!(error.to_string().contains("image i0 has that name"), "{error}");
        }
    }
}

/// The services never come back: what became of the image is for a sweep, which finds it in the
/// run's ledger even where the way home saw it published.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_which_nobody_knows_stays_in_the_ledger() {
    let (world, mut bench) = (World::new(), Bench::new(None).await);
    bench.stack.patience = Duration::from_millis(300);
    let (mut away, mut served) = (false, None::<Asked>);
    let twist = move |services: &mut Services, asked: &Asked| {
        let deletes = asked.verb == "DELETE" && asked.path.iter().any(|part| part == "images");
        let lists = asked.path[0] == "image" && asked.path.len() == 3;
        if writes_state(asked) {
            served.get_or_insert_with(|| asked.clone());
            return Some((502, json!({})));
        }
        if deletes && let Some(write) = &served {
            services.serve(write);
            away = true;
            return Some((409, json!({})));
        }
        (away && lists).then(|| (502, json!({})))
    };
    bench.cloud.lock().unwrap().twist = Some(Box::new(twist));
    let (outcome, cx) = bench.build(&world, &super::plan(&world)).await;
    let Err(BuildError::Unsettled(unsettled)) = outcome.result else {
        panic!("{:?}", outcome.result)
    };
    assert!(outcome.leaks.is_empty(), "{:?}", outcome.leaks);
    let ids: Vec<_> = cx.ledger.entries().into_iter().map(|entry| entry.id).collect();
    assert_eq!(ids, [Some(unsettled.image.id)]);
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
    let ahead = somebodys("i0", "x-0", "2031-01-01T00:00:00Z");
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
/// name one build fails; of one of ours, none.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_builds_of_one_name_at_once_one_has_it() {
    for chosen in [false, true] {
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
            let due = if chosen { 1 } else { 2 };
            assert_eq!(built, due, "{:?} {:?}", one.result, two.result);
            for error in [one.result, two.result].into_iter().filter_map(Result::err) {
                assert!(error.to_string().contains("has that name"), "{error}");
            }
        }
    }
}
