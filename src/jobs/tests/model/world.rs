//! The factory as it is, beside the reference: both take the same steps, and are compared.
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;

use super::gate::{Cloud, Gate, Report};
use super::live::Live;
use super::reference::{self, FAMILIES, Family, Prune, Reference, SEED, Standing, Verdict};
use super::run::Obedient;
use crate::engine::run_dir::{Home, bases_of_live_runs, indexed};
use crate::jobs::Factory;
use crate::lifecycle::prune::{self, Pruned};
use crate::model::definition::Definition;
use crate::model::family::{self, Policy, PruneAction};
use crate::model::image::{self, Image, Lifecycle, State};
use crate::provider::fake::Fault;
use crate::provider::ledger::Ledger;
use crate::provider::qemu::LocalConfig;
use crate::provider::qemu::still::Still;
use crate::provider::{Provider, RunCx};
use crate::sweep::{self, Swept};
use crate::{report, wall};

/// What went otherwise than the reference has it.
pub type Told = Result<(), String>;

/// Where images are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where {
    Memory,
    /// The same, for two machines: each has a home, and one of the runs.
    TwoMachines,
    Store,
}

/// A published image that no build has made, after those of its family.
async fn published(cloud: &Cloud, home: &Home, (name, family): (&str, &Family)) -> Image {
    let mut image = match cloud {
        Cloud::Memory(memory) => memory.add_image(name, family.name),
        Cloud::Store(still) => {
            std::fs::create_dir_all(&home.data).unwrap();
            let ledger = Ledger::open(&home.data.join("given.jsonl")).unwrap();
            let run = format!("run-of-{name}");
            let cx = RunCx::new(&run, ledger, Default::default(), Default::default());
            let image = still.stage(&cx, name).await.unwrap();
            std::fs::remove_dir(home.data.join("building").join(&run)).unwrap();
            image
        }
    };
    (image.state, image.family) = (State::Active, family.name.into());
    image.hidden = family.unlisted;
    if family.unlisted {
        image.properties.insert(image::PUBLISHED_HIDDEN.into(), "true".into());
    }
    image.properties.insert(image::STATE.into(), image.state.name().into());
    image.properties.insert(image::FAMILY.into(), family.name.into());
    let images = cloud.provider().artifacts().list().await.unwrap();
    let others: Vec<Image> = images.into_iter().filter(|i| i.id != image.id).collect();
    image.prove(family::published_at(&others, family.name, &image.id, image.created));
    image
}

/// What was seen, so that a test can tell that it saw something.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    pub sequences: usize,
    pub published: usize,
    pub failed: usize,
    pub killed: usize,
    pub leaks: usize,
    pub swept: usize,
    pub hidden: usize,
    pub deleted: usize,
    pub spared: usize,
    pub rolled_back: usize,
}

impl Counts {
    fn each(&mut self) -> [&mut usize; 10] {
        let Self { sequences, published, failed, killed, leaks, .. } = self;
        let Self { swept, hidden, deleted, spared, rolled_back, .. } = self;
        [sequences, published, failed, killed, leaks, swept, hidden, deleted, spared, rolled_back]
    }

    pub fn add(&mut self, other: &Self) {
        let mut other = *other;
        self.each().into_iter().zip(other.each()).for_each(|(sum, one)| *sum += *one);
    }

    pub fn has_seen_all(&self) -> bool {
        let mut all = *self;
        all.each().iter().all(|count| **count > 0)
    }
}

pub struct World {
    pub(super) reference: Reference,
    pub(super) counts: Counts,
    pub(super) cloud: Cloud,
    pub(super) gates: Vec<Arc<Gate>>,
    pub(super) heard: mpsc::UnboundedReceiver<Report>,
    /// One for each machine.
    pub(super) factories: Vec<Arc<Factory>>,
    pub(super) definitions: Vec<Definition>,
    pub(super) slots: [Option<Live>; 2],
    /// As runs see it.
    pub(super) now: Timestamp,
    pub(super) begun: i64,
    _dir: tempfile::TempDir,
}

impl World {
    pub async fn new(place: Where, definitions: &[Definition]) -> Self {
        // In memory, where there is such a place: a ledger is synced at each line.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let home = |n: usize| Home {
            data: dir.path().join(format!("home{n}")),
            runtime: dir.path().join(format!("run{n}")),
        };
        let homes: Vec<Home> = (0..=usize::from(place == Where::TwoMachines)).map(home).collect();
        let cloud = match place {
            Where::Memory | Where::TwoMachines => Cloud::Memory(Arc::default()),
            Where::Store => Cloud::Store(Arc::new(Still::new(LocalConfig {
                home: home(0).data,
                runtime: home(0).runtime,
                accel: Default::default(),
                program: None,
                checkpoints: 0,
            }))),
        };
        let nobody = Family { name: SEED, base: "", keep: None, unlisted: false };
        let seed = published(&cloud, &homes[0], (SEED, &nobody)).await;
        cloud.put(seed);
        let (gates, heard) = Gate::before(&cloud, &homes);
        let factories = gates.iter().cloned().zip(homes).map(|(gate, home)| factory(gate, home));
        let factories = factories.collect();
        let tree = dir.path().join("tree");
        let own = |d: &Definition| Definition { tree: tree.clone(), ..d.clone() };
        Self {
            reference: Reference::default(),
            counts: Counts { sequences: 1, ..Counts::default() },
            cloud,
            gates,
            heard,
            factories,
            definitions: definitions.iter().map(own).collect(),
            slots: [None, None],
            now: Timestamp::from_second(Timestamp::now().as_second()).unwrap(),
            begun: 0,
            _dir: dir,
        }
    }

    /// The machine of a slot.
    pub(super) fn home(&self, slot: usize) -> usize {
        slot.min(self.factories.len() - 1)
    }

    pub(super) fn factory(&self, slot: usize) -> &Arc<Factory> {
        &self.factories[self.home(slot)]
    }

    pub(super) fn provider(&self) -> &dyn Provider {
        self.cloud.provider()
    }

    async fn images(&self) -> Vec<Image> {
        self.provider().artifacts().list().await.unwrap()
    }

    async fn set(&self, image: &Image, to: Lifecycle) -> Told {
        let cx = RunCx::outside(Default::default());
        let set = self.provider().artifacts().set_lifecycle(&cx, image, &to).await;
        set.map(drop).map_err(|e| e.to_string())
    }

    pub(super) async fn given(&mut self, family: usize) {
        let family = &FAMILIES[family];
        let Some(base) = self.reference.base(family.base) else { return };
        self.begun += 1;
        let name = format!("{}-{}", family.name, self.begun);
        let home = self.factories[0].home.clone();
        let mut image = published(&self.cloud, &home, (&name, family)).await;
        image.properties.insert(image::BASE.into(), format!("{base}@sha512:00"));
        let run = image.properties[image::RUN].clone();
        self.reference.given(family, base, (&run, &image.id));
        self.cloud.put(image);
    }

    /// `image rollback`
    pub(super) async fn rollback(&mut self, family: &str) -> Told {
        let images = self.images().await;
        let was = family::current(&images, family);
        let done = was.filter(|_| family::before(&images, family).is_some());
        let due = self.reference.rolled_back(family);
        if done.map(|i| &i.id) != due.as_ref() {
            return Err(format!("{:?} is rolled back, and {due:?} is due", done.map(|i| &i.id)));
        }
        if let Some(image) = done {
            self.set(image, image.standing().deprecated()).await?;
            self.counts.rolled_back += 1;
            self.reference.stands(&image.id, Standing::Deprecated);
            self.reference.image(&image.id).held = false;
        }
        Ok(())
    }

    /// The `nth` image of a family, as the reference and as the cloud has it.
    async fn chosen(&self, family: &str, nth: usize) -> Option<(reference::Image, Image)> {
        let count = self.reference.of(family).count();
        let known = self.reference.of(family).nth(nth.checked_rem(count)?)?.clone();
        let image = self.images().await.into_iter().find(|i| i.id == known.id)?;
        Some((known, image))
    }

    /// `image deprecate`
    pub(super) async fn deprecate(&mut self, family: &str, nth: usize) -> Told {
        let Some((known, image)) = self.chosen(family, nth).await else { return Ok(()) };
        self.set(&image, image.standing().deprecated()).await?;
        if known.standing == Standing::Active {
            self.reference.stands(&known.id, Standing::Deprecated);
        }
        self.reference.image(&known.id).held = false;
        Ok(())
    }

    /// `image deprecate --undo`
    pub(super) async fn undo(&mut self, family: &str, nth: usize) -> Told {
        let Some((known, image)) = self.chosen(family, nth).await else { return Ok(()) };
        self.set(&image, image.brought_back(prune::this_second())).await?;
        self.reference.stands(&known.id, Standing::Active);
        self.reference.image(&known.id).held = true;
        Ok(())
    }

    /// By the cloud's own tools.
    pub(super) async fn protect(&mut self, family: &str, nth: usize, on: bool) {
        let Some((known, mut image)) = self.chosen(family, nth).await else { return };
        image.protected = on;
        self.cloud.put(image);
        self.reference.image(&known.id).protected = on;
    }

    /// `image prune`, after the same with `--dry-run`.
    pub(super) async fn prune(&mut self, asked: Prune<'_>) -> Told {
        let due = self.reference.prune(asked);
        let dry = self.pruned(asked, true).await?;
        let done = self.pruned(asked, false).await?;
        if dry != done {
            return Err(format!("--dry-run says {dry:#?}, and then it is {done:#?}"));
        }
        if done != due {
            return Err(format!("{done:?} is done, and {due:?} is due"));
        }
        due.iter().for_each(|(id, verdict)| self.apply(id, *verdict));
        Ok(())
    }

    async fn pruned(
        &self,
        asked: Prune<'_>,
        dry_run: bool,
    ) -> Result<Vec<(String, Verdict)>, String> {
        let policy = Policy { keep: asked.keep, at_once: asked.at_once };
        let families = [(asked.family.to_owned(), policy)];
        let building =
            bases_of_live_runs(&self.factories[asked.home].home).map_err(|e| e.to_string())?;
        let (families, building) = (&families[..], &building);
        let request = prune::Request { families, building, own: None, dry_run };
        let cx = RunCx::outside(Default::default());
        let done = prune::prune(&*self.gates[asked.home], &cx, request)
            .await
            .map_err(|e| e.to_string())?;
        done.into_iter().map(verdict).collect()
    }

    pub(super) fn apply(&mut self, id: &str, verdict: Verdict) {
        match verdict {
            Verdict::Kept => {}
            Verdict::Spared => self.counts.spared += 1,
            Verdict::Hidden => {
                self.counts.hidden += 1;
                self.reference.stands(id, Standing::Hidden);
            }
            Verdict::Deleted => {
                self.counts.deleted += 1;
                self.reference.remove(id);
            }
        }
    }

    /// The clock is set: whatever was written has another age.
    pub(super) async fn clock(&mut self, seconds: i64) {
        let by = SignedDuration::from_secs(seconds);
        self.now += by;
        for mut image in self.images().await {
            image.created -= by;
            for key in [image::PUBLISHED_AT, image::HIDDEN_AT, image::HELD_AT] {
                if let Some(at) = image.properties.get_mut(key) {
                    *at = (at.parse::<Timestamp>().unwrap() - by).to_string();
                }
            }
            self.cloud.put(image);
        }
    }

    /// Sweeps, on each machine; with a fault the first deletion fails.
    pub(super) async fn sweep(&mut self, fault: Option<Fault>) -> Told {
        self.cloud.spoil(fault);
        for (home, factory) in self.factories.clone().iter().enumerate() {
            let swept = sweep::sweep(&*factory.provider, &factory.home, None, false).await;
            for swept in swept.map_err(|e| e.to_string())? {
                self.swept(home, &swept, fault.is_some()).await?;
            }
        }
        self.cloud.spoil(None);
        Ok(())
    }

    async fn swept(&mut self, home: usize, swept: &Swept, spoilt: bool) -> Told {
        let known = self.reference.runs.iter_mut().find(|run| run.id == swept.run);
        // Another test may run processes.
        let Some(run) = known else { return Ok(()) };
        let left = self.gates[home].resources().list(&run.id).await.unwrap();
        let untouched = swept.things.is_empty() && swept.leaks.is_empty();
        let sound = if run.home != home {
            swept.state == sweep::State::Foreign && untouched
        } else if run.lives {
            swept.state == sweep::State::Alive && untouched
        } else {
            let told = !swept.leaks.is_empty() || swept.error.is_some();
            run.machine &= told && !left.is_empty();
            self.counts.swept += swept.things.len();
            swept.state == sweep::State::Dead && (left.is_empty() || told && spoilt)
        };
        match sound {
            true => Ok(()),
            false => Err(format!("{swept:#?} is said of {run:?}, and {left:?} is left")),
        }
    }

    /// What everybody sees is what the reference has.
    pub(super) async fn agree(&self) -> Told {
        let images = self.images().await;
        let of_families = |i: &&Image| i.state != State::Staged && i.family != SEED;
        let published: Vec<&Image> = images.iter().filter(of_families).collect();
        let are: BTreeMap<&str, Standing> =
            published.iter().map(|i| (i.id.as_str(), standing(i))).collect();
        let due: BTreeMap<&str, Standing> =
            self.reference.images.iter().map(|i| (i.id.as_str(), i.standing)).collect();
        if are != due {
            return Err(format!("there is {are:#?}, and due is {due:#?}"));
        }
        for family in &FAMILIES {
            let is = family::current(&images, family.name).map(|i| &i.id);
            let due = self.reference.current(family.name).map(|i| &i.id);
            if is != due {
                return Err(format!("{}: current is {is:?}, and due is {due:?}", family.name));
            }
        }
        let names: BTreeSet<&str> = published.iter().map(|i| i.name.as_str()).collect();
        if names.len() < published.len() {
            return Err(format!("{} images have {names:?}", published.len()));
        }
        Ok(())
    }

    /// When no run lives, and all is swept, there is nothing but published images.
    pub(super) async fn nothing_else(&self) -> Told {
        let mut left = Vec::new();
        for run in &self.reference.runs {
            left.extend(self.gates[run.home].resources().list(&run.id).await.unwrap());
        }
        let staged = self.images().await.into_iter().filter(|i| i.state == State::Staged);
        let staged: Vec<String> = staged.map(|i| i.name).collect();
        let mut dirs = Vec::new();
        for Factory { home, .. } in self.factories.iter().map(|factory| &**factory) {
            let of = |dir: &Path| std::fs::read_dir(dir).into_iter().flatten().flatten();
            let work = of(&home.data.join("building")).chain(of(&home.runtime));
            let torn = of(&home.data.join("images"));
            let torn = torn.filter(|dir| !dir.path().join("image.json").exists());
            dirs.extend(work.chain(torn).map(|entry| entry.path()));
            dirs.extend(indexed(home).unwrap().into_iter().map(|run| run.dir));
        }
        if left.is_empty() && staged.is_empty() && dirs.is_empty() {
            return Ok(());
        }
        Err(format!("left are {left:?}, {staged:?}, {dirs:?}"))
    }
}

fn factory(gate: Arc<Gate>, home: Home) -> Arc<Factory> {
    home.secure().unwrap();
    let wall = wall::Wall::new(wall::Config {
        settings: Default::default(),
        env: Default::default(),
        home: None,
        hidden: Vec::new(),
    });
    Arc::new(Factory {
        provider: gate,
        connect: Arc::new(Obedient),
        wall: Arc::new(wall),
        proxies: Default::default(),
        home,
        templates: report::Renderer::new("/nonexistent", "render"),
    })
}

fn standing(image: &Image) -> Standing {
    match image.state {
        State::Active => Standing::Active,
        _ if image.hidden && image.hidden_at().is_some() => Standing::Hidden,
        _ => Standing::Deprecated,
    }
}

fn verdict(pruned: Pruned) -> Result<(String, Verdict), String> {
    let verdict = match pruned.fate {
        PruneAction::Keep => Verdict::Kept,
        PruneAction::Retain => Verdict::Spared,
        PruneAction::Hide => Verdict::Hidden,
        PruneAction::Delete => Verdict::Deleted,
    };
    match &pruned.error {
        None => Ok((pruned.id, verdict)),
        Some(_) => Err(pruned.text(false)),
    }
}
