//! States of builders that are images: whose they are, what they are taken for, and when they go.
use std::collections::BTreeMap;

use jiff::Timestamp;

use super::*;
use crate::model::facts::{BaseLookup, FactsQuery};
use crate::model::image::{Lifecycle, State};
use crate::provider::checkpoints::{Checkpoint, Checkpoints, Keeps, NewCheckpoint, Saved};
use crate::provider::ledger::Kind;
use crate::provider::openstack::checkpoints::Shelf;
use crate::provider::{BootSpec, CloudError, Machine, MachinePlacement};

const NAME: &str = "20261127-201500-f0a001-checkpoint";

struct Shelved {
    bench: Bench,
    cx: RunCx,
    spec: BootSpec,
    machine: Machine,
    dir: tempfile::TempDir,
}

impl Shelved {
    /// A builder that runs.
    async fn new() -> Self {
        let (dir, world) = (tempfile::tempdir().unwrap(), World::new());
        let mut bench = Bench::new(None).await;
        bench.stack.shelf = Shelf::new(dir.path());
        let ledger = Ledger::open(&dir.path().join("ledger")).unwrap();
        let cx = RunCx::new(RUN, ledger, Events::default(), Default::default());
        let plan = plan(&world);
        let builder = plan.builder.as_ref().unwrap();
        let (flavor, site) = (builder.flavor.clone().unwrap(), plan.site.clone().unwrap());
        let spec = BootSpec {
            name: builder.name.clone(),
            image: "base".into(),
            cpus: 1,
            ram_mib: 512,
            disk_gib: 1,
            user_data: String::new(),
            place: Some(MachinePlacement { flavor, site }),
        };
        let machine = bench.stack.compute().boot(&cx, &spec).await.unwrap();
        Self { bench, cx, spec, machine, dir }
    }

    fn stack(&self) -> &OpenStack {
        &self.bench.stack
    }

    fn images(&self) -> BTreeMap<String, Value> {
        self.bench.cloud.lock().unwrap().services.images.clone()
    }

    fn change(&self, id: &str, key: &str, value: Value) {
        self.bench.cloud.lock().unwrap().services.images.get_mut(id).unwrap()[key] = value;
    }

    fn twist(
        &self,
        twist: impl FnMut(&mut Services, &Asked) -> Option<services::Told> + Send + 'static,
    ) {
        self.bench.cloud.lock().unwrap().twist = Some(Box::new(twist));
    }

    async fn save(&self, key: &str, about: &str) -> Result<Saved, CloudError> {
        let new = NewCheckpoint { key, about, note: json!({ "of": about }) };
        self.stack().save(&self.cx, &self.machine, &new).await
    }

    /// The ID of its image.
    async fn kept(&self, key: &str, about: &str) -> String {
        assert_eq!(self.save(key, about).await.unwrap(), Saved::Kept);
        self.stack().settle(&self.cx).await.unwrap();
        self.found(key).await[0].id.clone()
    }

    async fn found(&self, key: &str) -> Vec<Checkpoint> {
        self.stack().find(&self.cx, &self.spec, key).await.unwrap()
    }

    fn owned_images(&self) -> usize {
        self.cx.ledger.entries().iter().filter(|entry| entry.kind == Kind::Image).count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_boots_from_the_image_that_was_kept() {
    let at = Shelved::new().await;
    assert!(matches!(at.stack().keeps(), Keeps::Disk { .. }));
    assert!(at.found("k1").await.is_empty());
    let id = at.kept("k1", "images/x, step 1 of 2: a").await;
    let image = &at.images()[&id];
    let shown = |key: &str| image[key].as_str().unwrap_or_default().to_owned();
    assert_eq!(image["os_hidden"], true);
    assert_eq!(
        (shown("factory_state"), shown("factory_image_id")),
        ("checkpoint".into(), id.clone())
    );
    assert_eq!((shown("factory_checkpoint"), shown("factory_run")), ("k1".into(), RUN.into()));
    let found = at.found("k1").await;
    assert_eq!(found[0].note["of"], "images/x, step 1 of 2: a");
    assert!(at.found("k2").await.is_empty());
    let mut other = at.spec.clone();
    other.place.as_mut().unwrap().flavor.id = "larger".into();
    let found_for = at.stack().find(&at.cx, &other, "k1").await.unwrap();
    assert!(found_for.is_empty(), "its disk has another size");

    let machine = at.stack().restore(&at.cx, &at.spec, &found[0]).await.unwrap();
    let server = at.bench.cloud.lock().unwrap().services.servers[&machine.id].clone();
    assert_eq!((&server["image"]["id"], &server["name"]), (&json!(id), &json!(at.spec.name)));
}

/// A run that dies meanwhile leaves nothing, and one that ends well leaves the state.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_the_runs_until_it_is_whole() {
    let at = Shelved::new().await;
    at.save("k1", "a").await.unwrap();
    let id = at.images().keys().next().unwrap().clone();
    let listed = async || {
        let things = at.stack().resources().list(RUN).await.unwrap();
        things.into_iter().filter(|thing| thing.kind == Kind::Image).collect::<Vec<_>>()
    };
    let unfinished = listed().await;
    assert_eq!((unfinished.len(), unfinished[0].name.as_str()), (1, NAME));
    assert_eq!(at.owned_images(), 1);
    assert!(at.found("k1").await.is_empty(), "it may not be whole");
    at.stack().settle(&at.cx).await.unwrap();
    assert!(listed().await.is_empty());
    assert_eq!(at.owned_images(), 0);
    // The ledger of a run that was killed before it could say so.
    at.stack().resources().delete(RUN, &unfinished[0]).await.unwrap();
    assert!(at.images().contains_key(&id));

    at.save("k2", "b").await.unwrap();
    let unfinished = listed().await;
    at.stack().resources().delete(RUN, &unfinished[0]).await.unwrap();
    assert_eq!(at.images().len(), 1, "the second is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_does_not_become_whole_is_deleted() {
    let at = Shelved::new().await;
    at.save("k1", "a").await.unwrap();
    let id = at.images().keys().next().unwrap().clone();
    at.change(&id, "status", json!("killed"));
    let error = at.stack().settle(&at.cx).await.unwrap_err().to_string();
    assert!(error.contains("killed"), "{error}");
    at.stack().settle(&at.cx).await.unwrap();
    assert!(at.images().is_empty() && at.found("k1").await.is_empty());
    assert_eq!(at.owned_images(), 0);

    at.twist(|_, asked| asked.body.get("createImage").map(|_| (403, json!({}))));
    assert!(at.save("k2", "b").await.is_err());
    assert_eq!(at.owned_images(), 0);
}

/// A run that is told to end waits for nothing, and deletes what it owns on its way home.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_stopped_gives_its_state_up() {
    let at = Shelved::new().await;
    at.save("k1", "a").await.unwrap();
    at.cx.cancel.signal();
    assert!(matches!(at.stack().settle(&at.cx).await, Err(CloudError::Cancelled(_))));
    assert_eq!((at.owned_images(), at.images().len()), (1, 1));
    for entry in at.cx.ledger.entries().iter().filter(|entry| entry.kind == Kind::Image) {
        at.stack().resources().delete(RUN, entry).await.unwrap();
    }
    assert!(at.images().is_empty());
}

/// Nova takes one snapshot of a server at a time, and its disk may be written again when the upload
/// begins.
#[tokio::test(flavor = "multi_thread")]
async fn the_content_is_waited_for_and_the_upload_is_not() {
    let at = Shelved::new().await;
    let tasks = vec!["image_uploading", "image_pending_upload", "image_snapshot"];
    let tasks = Arc::new(Mutex::new(tasks));
    let (left, server) = (tasks.clone(), at.machine.id.clone());
    at.twist(move |services, asked| {
        let of_server = asked.verb == "GET" && asked.path.last() == Some(&server);
        if !of_server || services.images.is_empty() {
            return None;
        }
        let mut left = left.lock().unwrap();
        let task = if left.len() > 1 { left.pop() } else { left.first().copied() };
        let mut shown = services.servers[&server].clone();
        shown["OS-EXT-STS:task_state"] = json!(task);
        Some((200, json!({ "server": shown })))
    });
    at.save("k1", "a").await.unwrap();
    assert_eq!(*tasks.lock().unwrap(), ["image_uploading"], "the others are over");
    assert!(at.images().values().all(|image| image["factory_state"] == "building"));
    let first = at.images().keys().next().unwrap().clone();
    at.change(&first, "status", json!("saving"));
    let finishes = async {
        tokio::time::sleep(Duration::from_secs(10) / HASTE).await;
        assert_eq!(at.images().len(), 1, "the second waits for the first");
        at.change(&first, "status", json!("active"));
        at.twist(|_, _| None);
    };
    let (saved, ()) = tokio::join!(at.save("k2", "b"), finishes);
    assert_eq!(saved.unwrap(), Saved::Kept);
    assert_eq!(at.images()[&first]["factory_state"], "checkpoint");
    assert_eq!(at.images().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_is_no_image_of_a_family() {
    let at = Shelved::new().await;
    let id = at.kept("k1", "a").await;
    // Whatever Nova copied from the base.
    at.change(&id, "factory_family", json!("web"));
    assert!(at.stack().artifacts().list().await.unwrap().is_empty());
    for (base, base_is_family) in [("web", true), ("web", false), (NAME, false)] {
        let query = FactsQuery {
            base: Some(base.into()),
            base_is_family,
            base_only: true,
            ..FactsQuery::default()
        };
        let facts = at.stack().facts(&query, &at.cx).await.unwrap();
        assert!(matches!(facts.base, BaseLookup::Missing { .. }), "{base}");
    }
    let image = super::super::lifecycle::image(&at.images()[&id]);
    let to = Lifecycle { state: State::Active, hidden: false, hidden_at: None, held_at: None };
    assert!(at.stack().artifacts().set_lifecycle(&at.cx, &image, &to).await.is_err());
    assert!(at.stack().artifacts().delete(&at.cx, &image).await.is_err());
    assert!(at.stack().artifacts().adopt(&at.cx, &image).await.is_err());
    let publication = plan(&World::new()).publish;
    assert!(at.stack().artifacts().publish(&at.cx, &image, &publication).await.is_err());
    let things = at.stack().resources().list(RUN).await.unwrap();
    assert!(things.iter().all(|thing| thing.kind != Kind::Image), "{things:?}");
    let server = at.machine.id.clone();
    at.bench.cloud.lock().unwrap().services.servers.remove(&server);
    let (groups, addresses) = {
        let services = &mut at.bench.cloud.lock().unwrap().services;
        (std::mem::take(&mut services.groups), std::mem::take(&mut services.addresses))
    };
    assert!(!groups.is_empty() && !addresses.is_empty());
    let runs = at.stack().resources().list_runs().await.unwrap();
    assert!(!runs.iter().any(|run| run == RUN), "it is no run's");
}

/// A snapshot of a machine that was restored, and an image of another project.
#[tokio::test(flavor = "multi_thread")]
async fn what_only_looks_like_a_checkpoint_is_left_alone() {
    let at = Shelved::new().await;
    let id = at.kept("k1", "a").await;
    let copies = [("copy", "owner", json!("p1")), ("theirs", "owner", json!("p2"))];
    for (copy, key, value) in copies {
        let mut image = at.images()[&id].clone();
        (image["id"], image[key], image["created_at"]) =
            (json!(copy), value, json!("2020-01-01T00:00:00Z"));
        if copy == "theirs" {
            image["factory_image_id"] = json!(copy);
        }
        at.bench.cloud.lock().unwrap().services.images.insert(copy.into(), image);
    }
    at.change(&id, "created_at", json!(Timestamp::now().to_string()));
    assert!(at.stack().expire(&at.cx, false).await.unwrap().is_empty());
    assert_eq!(at.images().len(), 3);
    at.change(&id, "factory_image_id", json!("another"));
    assert!(at.found("k1").await.is_empty(), "it does not prove itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_old_or_replaced_expires_unless_a_machine_uses_it() {
    let at = Shelved::new().await;
    let (first, other) = (at.kept("k1", "step 1").await, at.kept("k2", "step 2").await);
    let second = at.kept("k3", "step 1").await;
    let young = json!(Timestamp::now().to_string());
    for id in [&first, &other, &second] {
        at.change(id, "created_at", young.clone());
    }
    let expired = async |dry_run| {
        let expired = at.stack().expire(&at.cx, dry_run).await.unwrap();
        expired.into_iter().map(|one| (one.id, one.about)).collect::<Vec<_>>()
    };
    assert_eq!(expired(true).await, [(first.clone(), "step 1".to_owned())]);
    assert_eq!(at.images().len(), 3);
    let restored = at.stack().restore(&at.cx, &at.spec, &at.found("k1").await[0]).await.unwrap();
    assert!(expired(false).await.is_empty(), "a machine uses it");
    at.bench.cloud.lock().unwrap().services.servers.remove(&restored.id);
    assert_eq!(expired(false).await, [(first.clone(), "step 1".to_owned())]);
    assert!(at.found("k1").await.is_empty() && !at.images().contains_key(&first));

    at.change(&other, "created_at", json!("2026-11-01T00:00:00Z"));
    assert_eq!(expired(false).await, [(other, "step 2".to_owned())]);
    // Another home's has no record here.
    std::fs::remove_dir_all(at.dir.path().join("cache")).unwrap();
    assert!(expired(false).await.is_empty());
    at.change(&second, "created_at", json!("2026-11-01T00:00:00Z"));
    assert_eq!(expired(false).await, [(second, NAME.to_owned())]);
    assert!(at.images().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_somebody_deleted_is_not_found_any_more() {
    let at = Shelved::new().await;
    let id = at.kept("k1", "a").await;
    at.change(&id, "status", json!("deactivated"));
    assert!(at.found("k1").await.is_empty());
    at.change(&id, "status", json!("active"));
    assert_eq!(at.found("k1").await.len(), 1);
    at.bench.cloud.lock().unwrap().services.images.remove(&id);
    assert!(at.found("k1").await.is_empty());
    let records = std::fs::read_dir(at.dir.path().join("cache/checkpoint-images")).unwrap();
    assert_eq!(records.count(), 0);
}
