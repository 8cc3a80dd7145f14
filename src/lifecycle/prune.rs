//! Executes the decisions of `family::prune`: hides images beyond the retention limit, and deletes
//! those that an earlier prune hid.
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::model::family::{self, Policy, PruneAction, PruneDecision};
use crate::model::image::{Image, Lifecycle, State};
use crate::provider::{CloudError, Provider, RunCx};

/// The action on one image, done or planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pruned {
    pub id: String,
    pub name: String,
    pub family: String,
    pub fate: PruneAction,
    pub why: String,
    /// The action failed, and the image is unchanged.
    pub error: Option<String>,
}

impl Pruned {
    /// A line for people: `would hide web-2026-11-20 (beyond the newest 2)`.
    pub fn text(&self, dry_run: bool) -> String {
        let word = match (self.fate, dry_run) {
            (PruneAction::Keep, _) => "keeps",
            (PruneAction::Retain, _) => "spares",
            (PruneAction::Hide, false) => "hides",
            (PruneAction::Hide, true) => "would hide",
            (PruneAction::Delete, false) => "deletes",
            (PruneAction::Delete, true) => "would delete",
        };
        let failed = self.error.as_ref().map(|e| format!("; failed: {e}")).unwrap_or_default();
        format!("{word} {} ({}){failed}", self.name, self.why)
    }
}

/// What is to be pruned.
#[derive(Clone, Copy)]
pub struct Request<'r> {
    /// Each has its own policy.
    pub families: &'r [(String, Policy)],
    /// The ID of each base image of a running build, with a description of its user.
    pub building: &'r BTreeMap<String, String>,
    /// ID of the image that the pruning run has published. It stays, whatever was published after.
    pub own: Option<&'r str>,
    pub dry_run: bool,
}

/// Prunes families. A failure on one image does not stop the others; `Err`
/// means that nothing could be evaluated, or cancellation.
pub async fn prune(
    cloud: &dyn Provider,
    cx: &RunCx,
    request: Request<'_>,
) -> Result<Vec<Pruned>, CloudError> {
    let Request { families, building, own, dry_run } = request;
    let mut all = cloud.artifacts().list().await?;
    let mut done = Vec::new();
    for (family, policy) in families {
        // Only of those that may be deleted does it matter who uses them.
        let first = family::prune(&all, family, *policy, building);
        let asked: Vec<Image> = first
            .iter()
            .filter(|v| v.fate == PruneAction::Delete)
            .map(|v| v.image.clone())
            .collect();
        let mut uses = building.clone();
        if !asked.is_empty() {
            uses.extend(cloud.artifacts().usage(&asked).await?);
        }
        let mut gone = Vec::new();
        for mut verdict in family::prune(&all, family, *policy, &uses) {
            let image = verdict.image;
            if own == Some(image.id.as_str()) && verdict.fate != PruneAction::Keep {
                let why = "this run has published it".into();
                verdict = PruneDecision { image, fate: PruneAction::Keep, why };
            }
            let tried = match verdict.fate {
                _ if dry_run => Ok(()),
                PruneAction::Keep | PruneAction::Retain => Ok(()),
                PruneAction::Hide => {
                    cloud.artifacts().set_lifecycle(cx, image, &hidden_now()).await.map(drop)
                }
                PruneAction::Delete => cloud.artifacts().delete(cx, image).await,
            };
            let error = match tried {
                Ok(()) => None,
                Err(CloudError::Cancelled(c)) => return Err(c.into()),
                Err(e) => Some(e.to_string()),
            };
            if verdict.fate == PruneAction::Delete && error.is_none() {
                gone.push(image.id.clone());
            }
            let (id, name, family) = (image.id.clone(), image.name.clone(), image.family.clone());
            done.push(Pruned { id, name, family, fate: verdict.fate, why: verdict.why, error });
        }
        all.retain(|i| !gone.contains(&i.id));
    }
    Ok(done)
}

fn hidden_now() -> Lifecycle {
    let hidden_at = Some(this_second());
    Lifecycle { state: State::Deprecated, hidden: true, hidden_at, held_at: None }
}

/// Now, in whole seconds, because the value is compared after it was read back.
pub fn this_second() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).expect("a time that is now")
}

#[cfg(test)]
mod tests {
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

    async fn keep(
        cloud: &Memory,
        cx: &RunCx,
        keep: u32,
        at_once: bool,
        dry_run: bool,
    ) -> Vec<String> {
        let families = [("web".to_owned(), Policy { keep, at_once })];
        let request =
            Request { families: &families, building: &BTreeMap::new(), own: None, dry_run };
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
                assert_eq!(
                    (failed, state(&cloud).await.as_str()),
                    (1, "3 4"),
                    "call {call} {fault:?}"
                );
            }
        }
    }
}
