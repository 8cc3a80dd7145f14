//! What a prune does to a cloud on which others work as well.
use super::*;
use crate::provider::BootSpec;
use crate::provider::fake::{Fault, Memory};
use crate::provider::ledger::Ledger;

fn world(count: i64) -> (Memory, RunCx, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let cloud = Memory::new();
    for n in 1..=count {
        let made = cloud.add_image(&format!("web-{n}"), "web");
        let mut image = Image { created: Timestamp::from_second(n).unwrap(), ..made };
        image.prove(image.created);
        cloud.put(image);
    }
    let ledger = Ledger::open(&dir.path().join("ledger")).unwrap();
    (cloud, RunCx::new("r1", ledger, Default::default(), Default::default()), dir)
}

async fn named(cloud: &Memory, name: &str) -> Image {
    let images = cloud.artifacts().list().await.unwrap();
    images.into_iter().find(|i| i.name == name).unwrap()
}

async fn state(cloud: &Memory) -> String {
    let mut all: Vec<String> = cloud
        .artifacts()
        .list()
        .await
        .unwrap()
        .iter()
        .map(|i| format!("{}{}", i.name.replace("web-", ""), if i.hidden { "h" } else { "" }))
        .collect();
    all.sort();
    all.join(" ")
}

async fn keep(cloud: &Memory, cx: &RunCx, keep: u32, at_once: bool, dry_run: bool) -> Vec<String> {
    let families = [("web".to_owned(), Policy { keep, at_once })];
    let request = Request { families: &families, building: &BTreeMap::new(), own: None, dry_run };
    prune(cloud, cx, request).await.unwrap().iter().map(|p| p.text(dry_run)).collect()
}

#[tokio::test]
async fn two_prunes_hide_and_delete() {
    let (cloud, cx, _dir) = world(4);
    let told = keep(&cloud, &cx, 2, false, true).await;
    assert_eq!(
        (state(&cloud).await.as_str(), cloud.calls()),
        ("1 2 3 4", 0),
        "a dry run writes nothing"
    );
    assert_eq!(told[2], "would hide web-2 (beyond the newest 2)");
    keep(&cloud, &cx, 2, false, false).await;
    assert_eq!((state(&cloud).await.as_str(), cloud.calls()), ("1h 2h 3 4", 2));
    let told = keep(&cloud, &cx, 2, false, true).await;
    assert!(told[3].starts_with("would delete web-1 (hidden since 2"), "{told:?}");
    keep(&cloud, &cx, 2, false, false).await;
    assert_eq!(state(&cloud).await, "3 4");
    keep(&cloud, &cx, 1, true, false).await;
    assert_eq!(state(&cloud).await, "4");
    keep(&cloud, &cx, 1, true, false).await;
    assert_eq!(state(&cloud).await, "4");
}

/// Another build of the bundle, captured later, was published first, and its clock was ahead.
#[tokio::test]
async fn a_run_leaves_its_own_image_alone() {
    let (cloud, cx, _dir) = world(3);
    let own = named(&cloud, "web-2").await;
    let families = [("web".to_owned(), Policy { keep: 1, at_once: false })];
    for _ in 0..2 {
        let request = Request {
            families: &families,
            building: &BTreeMap::new(),
            own: Some(&own.id),
            dry_run: false,
        };
        prune(&cloud, &cx, request).await.unwrap();
    }
    assert_eq!(state(&cloud).await, "2 3");
}

/// A snapshot and a copy that carry all that the newest image does, newer than that: neither
/// counts, and neither is touched.
#[tokio::test]
async fn what_carries_the_properties_of_an_image_is_let_alone() {
    let (cloud, cx, _dir) = world(2);
    let newest = named(&cloud, "web-2").await;
    let strange = |id: &str, key: Option<&str>| {
        let mut copy = Image {
            id: id.into(),
            name: format!("web-{id}"),
            created: Timestamp::from_second(9).unwrap(),
            ..newest.clone()
        };
        copy.properties.extend(key.map(|key| (key.to_owned(), "snapshot".to_owned())));
        copy
    };
    let foreign = [strange("x", None), strange("y", Some("image_type"))];
    foreign.iter().for_each(|image| cloud.put(image.clone()));
    for at_once in [false, true] {
        for _ in 0..2 {
            assert_eq!(keep(&cloud, &cx, 2, at_once, false).await.len(), 2);
        }
    }
    assert_eq!(
        (state(&cloud).await.as_str(), cloud.calls()),
        ("1 2 x y", 0),
        "two are kept, and there are two"
    );
    for _ in 0..3 {
        keep(&cloud, &cx, 1, true, false).await;
        assert_eq!(state(&cloud).await, "2 x y");
    }
    let there = cloud.artifacts().list().await.unwrap();
    assert!(foreign.iter().all(|image| there.contains(image)), "{there:?}");
}

#[tokio::test]
async fn an_image_with_a_machine_stays() {
    let (cloud, cx, _dir) = world(3);
    let used = named(&cloud, "web-1").await;
    let spec = BootSpec {
        name: "factory-r9-m".into(),
        image: used.id,
        cpus: 1,
        ram_mib: 1,
        disk_gib: 1,
        user_data: String::new(),
        place: None,
    };
    let machine = cloud.compute().boot(&cx.for_run("r9"), &spec).await.unwrap();
    for _ in 0..3 {
        keep(&cloud, &cx, 1, true, false).await;
        assert_eq!(state(&cloud).await, "1h 3");
    }
    let told = keep(&cloud, &cx, 1, false, false).await;
    assert_eq!(told[1], "spares web-1 (machine factory-r9-m uses it)");
    cloud.resources().delete("r9", &cx.ledger.entries()[0]).await.unwrap();
    assert_eq!(machine.name, spec.name);
    keep(&cloud, &cx, 1, false, false).await;
    assert_eq!(state(&cloud).await, "3");
}

#[tokio::test]
async fn the_base_of_a_build_under_way_stays() {
    let (cloud, cx, _dir) = world(2);
    let base = named(&cloud, "web-1").await;
    let families = [("web".to_owned(), Policy { keep: 1, at_once: true })];
    let building = [(base.id, "run r builds on it".to_owned())].into();
    let done = prune(
        &cloud,
        &cx,
        Request { families: &families, building: &building, own: None, dry_run: false },
    )
    .await
    .unwrap();
    assert_eq!(
        (state(&cloud).await.as_str(), done[1].why.contains("run r builds on it")),
        ("1h 2", true),
        "{done:?}"
    );
}

type Images = BTreeMap<String, Image>;

fn of_name<'i>(images: &'i mut Images, name: &str) -> &'i mut Image {
    images.values_mut().find(|i| i.name == name).unwrap()
}

fn undo(images: &mut Images, name: &str) {
    let image = of_name(images, name);
    let back = image.brought_back(this_second());
    image.stand(&back);
}

fn roll_back(images: &mut Images, name: &str) {
    let image = of_name(images, name);
    let back = image.standing().deprecated();
    image.stand(&back);
}

/// A person comes after any look of the prune; the provider has the last.
#[tokio::test]
async fn what_a_person_brings_back_during_a_prune_is_held() {
    for (hidden, last) in [(false, 2), (true, 3)] {
        for read in 1..=last {
            let (cloud, cx, _dir) = world(3);
            if hidden {
                keep(&cloud, &cx, 2, false, false).await;
            }
            cloud.meanwhile(read, |images| undo(images, "web-1"));
            let told = keep(&cloud, &cx, 2, false, false).await;
            let seen = format!("hidden {hidden}, read {read}: {told:?}");
            let held = named(&cloud, "web-1").await;
            assert!(held.is_held() && !held.hidden, "{seen}");
            let why = "spares web-1 (a person made it active again";
            assert_eq!(told.len(), 3, "{seen}");
            assert!(told[2].starts_with(why), "{seen}");
        }
    }
}

#[tokio::test]
async fn what_a_rollback_makes_current_during_a_prune_stays() {
    for (at_once, last) in [(false, 1), (true, 2)] {
        for read in 1..=last {
            let (cloud, cx, _dir) = world(2);
            cloud.meanwhile(read, |images| roll_back(images, "web-2"));
            let told = keep(&cloud, &cx, 1, at_once, false).await;
            let is = named(&cloud, "web-1").await;
            assert_eq!((is.state, is.hidden), (State::Active, false), "{read}: {told:?}");
            assert_eq!(told[1], "keeps web-1 (current)", "{read}");
        }
    }
}

/// Two prunes at once are one: the second pass is a later one.
#[tokio::test]
async fn what_another_prune_hides_meanwhile_is_not_deleted_by_this_one() {
    let (cloud, cx, _dir) = world(2);
    cloud.meanwhile(1, |images| of_name(images, "web-1").stand(&hidden_now()));
    let told = keep(&cloud, &cx, 1, false, false).await;
    assert!(told[1].starts_with("spares web-1 (it has become deprecated, hidden"), "{told:?}");
    assert_eq!(state(&cloud).await, "1h 2");
}

async fn stopped(cloud: &Memory, cx: &RunCx, families: [&str; 2]) -> Stopped {
    let families = families.map(|f| (f.to_owned(), Policy { keep: 1, at_once: true }));
    let building = BTreeMap::new();
    let request = Request { families: &families, building: &building, own: None, dry_run: false };
    prune(cloud, cx, request).await.unwrap_err()
}

#[tokio::test]
async fn what_was_done_before_a_prune_was_stopped_is_told() {
    // A signal after the first deletion.
    let (cloud, cx, _dir) = world(3);
    let cancel = cx.cancel.clone();
    cloud.meanwhile(3, move |_| cancel.signal());
    let Stopped { done, cause } = stopped(&cloud, &cx, ["web", "other"]).await;
    assert!(matches!(cause, CloudError::Cancelled(_)), "{cause}");
    let told: Vec<String> = done.iter().map(|p| p.text(false)).collect();
    assert_eq!(told, ["keeps web-3 (current)", "deletes web-2 (beyond the newest 1)"]);
    assert_eq!(state(&cloud).await, "1 3");
    // Who uses the images of the second family cannot be asked.
    let (cloud, cx, _dir) = world(2);
    for n in [1, 2] {
        let image = cloud.add_image(&format!("other-{n}"), "other");
        let mut image = Image { created: Timestamp::from_second(n).unwrap(), ..image };
        image.prove(image.created);
        cloud.put(image);
    }
    cloud.refuse_reads(4..=4);
    let Stopped { done, cause } = stopped(&cloud, &cx, ["web", "other"]).await;
    assert!(cause.to_string().contains("list users of images"), "{cause}");
    assert_eq!(done[1].text(false), "deletes web-1 (beyond the newest 1)", "{done:?}");
    assert_eq!(state(&cloud).await, "2 other-1 other-2");
}

/// Whatever call fails, and however: the others are done, the next prune ends it, and what is
/// kept is there all the time.
#[tokio::test]
async fn a_fault_at_every_call_is_told_and_mended_by_the_next() {
    for fault in [Fault::Refuse, Fault::LoseReply] {
        for call in 1..=4 {
            let (cloud, cx, _dir) = world(4);
            cloud.fail_at(call, fault);
            let mut failed = 0;
            for _ in 0..3 {
                let families = [("web".to_owned(), Policy { keep: 2, at_once: false })];
                let done = prune(
                    &cloud,
                    &cx,
                    Request {
                        families: &families,
                        building: &BTreeMap::new(),
                        own: None,
                        dry_run: false,
                    },
                )
                .await
                .unwrap();
                failed += done.iter().filter(|p| p.error.is_some()).count();
                let state = state(&cloud).await;
                assert!(state.ends_with("3 4"), "call {call} {fault:?}: {state}");
            }
            assert_eq!((failed, state(&cloud).await.as_str()), (1, "3 4"), "call {call} {fault:?}");
        }
    }
}
