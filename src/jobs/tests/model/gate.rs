//! A cloud at whose gate the changes of live runs wait: the test says when each goes on, and what
//! becomes of it. What people and `sweep` do passes.
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::sync::oneshot;

use crate::engine::run_dir::Home;
use crate::model::facts::{CloudFacts, FactsQuery};
use crate::model::image::{Image, Lifecycle};
use crate::provider::fake::{Fault, Memory};
use crate::provider::ledger::{Entry, Kind};
use crate::provider::local_resources::{self, LocalResources};
use crate::provider::qemu::still::Still;
use crate::provider::{
    Artifacts, BootSpec, Cleared, CloudError, Compute, Machine, Power, Provider, Publication,
    Reboot, Resources, RunCx,
};

/// What becomes of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Served,
    /// Nothing is done.
    Refused,
    /// It is done, and the answer is lost.
    Lost,
    /// The same, and the cloud does not answer the next questions.
    LostFromSight,
    /// The process ends before it.
    Killed,
    /// It is done, and the process ends before it hears of that.
    ServedAndKilled,
    /// The same; a deletion in the local store ends halfway.
    TornAndKilled,
}

/// A change that a run is about to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Boot,
    Shutdown,
    Capture,
    /// Of an image, by its ID.
    Publish(String),
    /// Of something that the run owns, by its name.
    Remove(Kind, String),
    /// Of a published image, by its ID: a prune's first pass, and its second.
    Hide(String),
    Delete(String),
}

/// What the gate tells the test.
pub enum Report {
    Waits {
        change: Change,
        fate: oneshot::Sender<Fate>,
    },
    /// The change was served, and nobody is to hear of it.
    Dying,
}

/// Where images are.
#[derive(Clone)]
pub enum Cloud {
    Memory(Arc<Memory>),
    Store(Arc<Still>),
}

impl Cloud {
    pub fn provider(&self) -> &dyn Provider {
        match self {
            Cloud::Memory(memory) => &**memory,
            Cloud::Store(still) => &**still,
        }
    }

    pub fn put(&self, image: Image) {
        match self {
            Cloud::Memory(memory) => memory.put(image),
            Cloud::Store(still) => drop(still.store().update(&image).unwrap()),
        }
    }

    /// Lets the next change fail, where the cloud can do that by itself.
    pub fn spoil(&self, fault: Option<Fault>) {
        match (self, fault) {
            (Cloud::Memory(memory), Some(fault)) => memory.fail_at(memory.calls() + 1, fault),
            (Cloud::Memory(memory), None) => memory.fail_at(0, Fault::Refuse),
            (Cloud::Store(_), _) => {}
        }
    }

    /// The first half of a deletion.
    fn tear(&self, change: &Change) {
        if let (Cloud::Store(still), Change::Delete(id)) = (self, change) {
            let disk = still.store().disk(id);
            std::fs::remove_file(disk.with_file_name("image.json")).unwrap();
            // An hour passes before somebody sweeps.
            let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(7200);
            for path in [&*disk, disk.parent().unwrap()] {
                std::fs::File::open(path).unwrap().set_modified(long_ago).unwrap();
            }
        }
    }
}

/// The gate of one machine.
pub struct Gate {
    cloud: Cloud,
    /// What runs own on the machine itself, of a cloud that is elsewhere.
    host: Option<LocalResources>,
    of_all: Arc<OfAll>,
}

struct OfAll {
    reports: mpsc::UnboundedSender<Report>,
    live: Mutex<BTreeSet<String>>,
    /// So many lists are refused, until the next change.
    blind: AtomicUsize,
}

impl Gate {
    /// One for each of `hosts`.
    pub fn before(cloud: &Cloud, hosts: &[Home]) -> (Vec<Arc<Self>>, UnboundedReceiver<Report>) {
        let (reports, heard) = mpsc::unbounded_channel();
        let (live, blind) = (Mutex::default(), AtomicUsize::new(0));
        let of_all = Arc::new(OfAll { reports, live, blind });
        let gate = |home: &Home| {
            let host = LocalResources::new(&home.data, &home.runtime);
            let host = (!cloud.provider().is_here()).then_some(host);
            Arc::new(Self { cloud: cloud.clone(), host, of_all: of_all.clone() })
        };
        (hosts.iter().map(gate).collect(), heard)
    }

    pub fn admit(&self, run: &str, lives: bool) {
        let mut live = self.of_all.live.lock().expect("a test panicked in here");
        if lives {
            live.insert(run.to_owned())
        } else {
            live.remove(run)
        };
        if !lives {
            self.of_all.blind.store(0, Ordering::SeqCst);
        }
    }

    async fn change<T>(
        &self,
        run: &str,
        change: Change,
        work: impl Future<Output = Result<T, CloudError>>,
    ) -> Result<T, CloudError> {
        if !self.of_all.live.lock().expect("a test panicked in here").contains(run) {
            return work.await;
        }
        self.of_all.blind.store(0, Ordering::SeqCst);
        let (fate, told) = oneshot::channel();
        self.tell(Report::Waits { change: change.clone(), fate });
        // Who is never told is dead.
        let Ok(fate) = told.await else { std::future::pending().await };
        let of_host = matches!(change, Change::Remove(Kind::Directory | Kind::Process, _));
        let in_memory = matches!(self.cloud, Cloud::Memory(_)) && !of_host;
        let refused = |why: &str| CloudError::refused(format!("{change:?}"), why);
        match fate {
            Fate::Refused if in_memory => self.cloud.spoil(Some(Fault::Refuse)),
            Fate::Refused => return Err(refused("refused, as the test asked for")),
            Fate::Lost | Fate::LostFromSight => self.cloud.spoil(Some(Fault::LoseReply)),
            _ => {}
        }
        if fate == Fate::LostFromSight {
            self.of_all.blind.store(usize::MAX, Ordering::SeqCst);
        }
        let torn = fate == Fate::TornAndKilled && matches!(change, Change::Delete(_));
        if torn {
            self.cloud.tear(&change);
        }
        let done = match &self.cloud {
            Cloud::Store(_) if torn => None,
            _ => Some(work.await),
        };
        // Of a run that was told to end it may not have come to the change.
        self.cloud.spoil(None);
        match (fate, done) {
            (Fate::Lost | Fate::LostFromSight, Some(Ok(_))) => {
                let what = format!("{change:?}");
                Err(CloudError::Unknown {
                    what,
                    reason: "reply lost, as the test asked for".into(),
                })
            }
            (Fate::ServedAndKilled | Fate::TornAndKilled, _) | (_, None) => {
                self.tell(Report::Dying);
                std::future::pending().await
            }
            (_, Some(done)) => done,
        }
    }

    fn tell(&self, report: Report) {
        self.of_all.reports.send(report).unwrap_or_else(|_| panic!("the test is at its end"));
    }
}

#[async_trait]
impl Provider for Gate {
    fn name(&self) -> &str {
        self.cloud.provider().name()
    }

    fn is_here(&self) -> bool {
        self.cloud.provider().is_here()
    }

    async fn facts(&self, wanted: &FactsQuery, cx: &RunCx) -> Result<CloudFacts, CloudError> {
        self.cloud.provider().facts(wanted, cx).await
    }

    fn compute(&self) -> &dyn Compute {
        self
    }

    fn artifacts(&self) -> &dyn Artifacts {
        self
    }

    fn resources(&self) -> &dyn Resources {
        self
    }
}

#[async_trait]
impl Compute for Gate {
    async fn boot(&self, cx: &RunCx, spec: &BootSpec) -> Result<Machine, CloudError> {
        self.change(&cx.run, Change::Boot, self.cloud.provider().compute().boot(cx, spec)).await
    }

    async fn power(&self, machine: &Machine) -> Result<Power, CloudError> {
        self.cloud.provider().compute().power(machine).await
    }

    fn poll_interval(&self) -> Duration {
        self.cloud.provider().compute().poll_interval()
    }

    fn health_poll_interval(&self) -> Option<Duration> {
        self.cloud.provider().compute().health_poll_interval()
    }

    async fn console_log(&self, machine: &Machine) -> Result<String, CloudError> {
        self.cloud.provider().compute().console_log(machine).await
    }

    async fn console_url(&self, machine: &Machine) -> Result<String, CloudError> {
        self.cloud.provider().compute().console_url(machine).await
    }

    async fn reboot(&self, cx: &RunCx, machine: &Machine, how: Reboot) -> Result<(), CloudError> {
        self.cloud.provider().compute().reboot(cx, machine, how).await
    }

    async fn shutdown(&self, cx: &RunCx, machine: &Machine) -> Result<(), CloudError> {
        let shutdown = self.cloud.provider().compute().shutdown(cx, machine);
        self.change(&cx.run, Change::Shutdown, shutdown).await
    }

    async fn capture(
        &self,
        cx: &RunCx,
        machine: &Machine,
        name: &str,
    ) -> Result<Image, CloudError> {
        let capture = self.cloud.provider().compute().capture(cx, machine, name);
        self.change(&cx.run, Change::Capture, capture).await
    }
}

#[async_trait]
impl Artifacts for Gate {
    async fn import(&self, cx: &RunCx, name: &str, file: &Path) -> Result<Image, CloudError> {
        self.cloud.provider().artifacts().import(cx, name, file).await
    }

    async fn publish(
        &self,
        cx: &RunCx,
        staged: &Image,
        publication: &Publication,
    ) -> Result<Image, CloudError> {
        let publish = self.cloud.provider().artifacts().publish(cx, staged, publication);
        self.change(&cx.run, Change::Publish(staged.id.clone()), publish).await
    }

    async fn list(&self) -> Result<Vec<Image>, CloudError> {
        let sees = |left: usize| left.checked_sub(1);
        if self.of_all.blind.fetch_update(Ordering::SeqCst, Ordering::SeqCst, sees).is_ok() {
            return Err(CloudError::refused("list images", "no answer, as the test asked for"));
        }
        self.cloud.provider().artifacts().list().await
    }

    async fn unreadable(&self) -> Result<Vec<String>, CloudError> {
        self.cloud.provider().artifacts().unreadable().await
    }

    async fn set_lifecycle(
        &self,
        cx: &RunCx,
        image: &Image,
        to: &Lifecycle,
    ) -> Result<Image, CloudError> {
        let set = self.cloud.provider().artifacts().set_lifecycle(cx, image, to);
        self.change(&cx.run, Change::Hide(image.id.clone()), set).await
    }

    async fn adopt(&self, cx: &RunCx, image: &Image) -> Result<Image, CloudError> {
        self.cloud.provider().artifacts().adopt(cx, image).await
    }

    async fn usage(&self, images: &[Image]) -> Result<BTreeMap<String, String>, CloudError> {
        self.cloud.provider().artifacts().usage(images).await
    }

    async fn delete(&self, cx: &RunCx, image: &Image) -> Result<(), CloudError> {
        let delete = self.cloud.provider().artifacts().delete(cx, image);
        self.change(&cx.run, Change::Delete(image.id.clone()), delete).await
    }
}

#[async_trait]
impl Resources for Gate {
    async fn list(&self, run: &str) -> Result<Vec<Entry>, CloudError> {
        let mut found = self.cloud.provider().resources().list(run).await?;
        if let Some(host) = &self.host {
            found.extend(local_resources::entries(host.owned(run)?));
        }
        Ok(found)
    }

    async fn list_runs(&self) -> Result<Vec<String>, CloudError> {
        let mut runs = self.cloud.provider().resources().list_runs().await?;
        runs.extend(self.host.iter().flat_map(LocalResources::runs));
        runs.sort();
        runs.dedup();
        Ok(runs)
    }

    async fn clear_debris(&self, dry_run: bool) -> Result<Cleared, CloudError> {
        self.cloud.provider().resources().clear_debris(dry_run).await
    }

    async fn delete(&self, run: &str, thing: &Entry) -> Result<(), CloudError> {
        let change = Change::Remove(thing.kind, thing.name.clone());
        let work = async {
            match &self.host {
                // Removed like any other, and not by the cloud.
                Some(host) if matches!(thing.kind, Kind::Directory | Kind::Process) => {
                    host.delete(run, thing).await
                }
                _ => self.cloud.provider().resources().delete(run, thing).await,
            }
        };
        self.change(run, change, work).await
    }
}
