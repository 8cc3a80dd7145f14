//! Sequences of what happens to a factory, drawn at random and played twice: on the real one, over
//! the cloud in memory and over the local store, and on a reference that is written from the
//! documents. A sequence on which they differ is made as short as it gets, and printed as it is
//! pasted into [`kept`].
//!
//! Two runs at once take turns at each change they make: it is served, refused, its answer is lost,
//! or the process ends before or after it. People roll back, deprecate, undo and prune meanwhile,
//! somebody sweeps, and the clock is set.
//!
//! `FACTORY_MODEL_SEED` is that of the first sequence (each has the next), `FACTORY_MODEL_COUNT`
//! how many there are, `FACTORY_MODEL_SECONDS` for how long there are more.
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::frontend;
use crate::model::definition::Definition;
use crate::provider::fake::Fault;
use crate::system::exec::process;

mod gate;
mod kept;
mod live;
mod reference;
mod run;
mod steps;
mod world;

use gate::Fate;
use reference::{FAMILIES, Prune};
pub(super) use run::Obedient;
use steps::Step;
use world::{Counts, Told, Where, World};

/// How long one step may take; and where a shorter sequence is looked for.
const PATIENCE: Duration = Duration::from_secs(60);
const IMPATIENCE: Duration = Duration::from_secs(5);

fn definitions(tree: &std::path::Path) -> Vec<Definition> {
    let load = |family: &reference::Family| {
        let dir = tree.join("images").join(family.name);
        std::fs::create_dir_all(&dir).unwrap();
        let keep = family.keep.map(|keep| format!("keep: {keep}\n")).unwrap_or_default();
        let hidden = if family.unlisted { "final_glance_options: --hidden true\n" } else { "" };
        let bundle = format!("bundle: {{name: {}, img_base: {}}}\n", family.name, family.base);
        std::fs::write(dir.join("build-vars.yml"), format!("{bundle}{keep}{hidden}")).unwrap();
        frontend::load(tree, &dir).unwrap().bundle
    };
    FAMILIES.iter().map(load).collect()
}

async fn take(world: &mut World, step: Step) -> Told {
    let name = |family: usize| FAMILIES[family].name;
    match step {
        Step::Given { family } => world.given(family).await,
        Step::Begin { slot, family } => world.begin(slot, family).await?,
        Step::Go { slot, fate } => world.go(slot, fate).await?,
        Step::Serve { slot, changes } => {
            for _ in 0..changes {
                world.go(slot, Fate::Served).await?;
            }
        }
        Step::ToPublication { slot } => world.serve_to_publication(slot).await?,
        Step::SpoilPrune { slot, fate } => world.spoil_prune(slot, fate),
        Step::Finish { slot } => world.finish(slot).await?,
        Step::Signal { slot } => world.signal(slot).await?,
        Step::Sweep => world.sweep(None).await?,
        Step::SpoiltSweep { lost: false } => world.sweep(Some(Fault::Refuse)).await?,
        Step::SpoiltSweep { lost: true } => world.sweep(Some(Fault::LoseReply)).await?,
        Step::Rollback { family } => world.rollback(name(family)).await?,
        Step::Deprecate { family, nth } => world.deprecate(name(family), nth).await?,
        Step::Undo { family, nth } => world.undo(name(family), nth).await?,
        Step::Protect { family, nth, on } => world.protect(name(family), nth, on).await,
        Step::Prune { family, keep, now } => {
            let asked = Prune { family: name(family), keep, at_once: now, by: None, home: 0 };
            world.prune(asked).await?;
        }
        Step::Clock { seconds } => world.clock(seconds).await,
    }
    world.agree().await
}

/// The end of every sequence: what lives comes to its end, and one sweep removes the rest.
async fn end(world: &mut World) -> Told {
    for slot in 0..world.slots.len() {
        world.finish(slot).await?;
    }
    world.sweep(None).await?;
    world.agree().await?;
    world.nothing_else().await
}

async fn play_all(world: &mut World, steps: &[Step], patience: Duration) -> Told {
    let hangs = |_| Err("nothing happens any more".to_owned());
    for (number, step) in (1..).zip(steps) {
        let told = tokio::time::timeout(patience, take(world, *step)).await.unwrap_or_else(hangs);
        told.map_err(|why| format!("step {number}, {step:?}: {why}"))?;
    }
    let told = tokio::time::timeout(patience, end(world)).await.unwrap_or_else(hangs);
    told.map_err(|why| format!("at the end: {why}"))
}

fn play(place: Where, definitions: &[Definition], steps: &[Step]) -> Result<Counts, String> {
    play_within(PATIENCE, place, definitions, steps)
}

fn play_within(
    patience: Duration,
    place: Where,
    definitions: &[Definition],
    steps: &[Step],
) -> Result<Counts, String> {
    process::STARTS_NONE.set(true);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let played = || {
        runtime.block_on(async {
            let mut world = World::new(place, definitions).await;
            play_all(&mut world, steps, patience).await.map(|()| world.counts)
        })
    };
    catch_unwind(AssertUnwindSafe(played)).unwrap_or_else(|_| Err("the test panicked".into()))
}

/// Fails with the shortest sequence that fails.
fn fail(place: Where, definitions: &[Definition], seed: u64, steps: Vec<Step>) -> ! {
    let fails = |steps: &[Step]| play_within(IMPATIENCE, place, definitions, steps).is_err();
    let steps = steps::shrunk(steps, fails);
    let why = play(place, definitions, &steps).err().unwrap_or("it fails by chance".into());
    panic!(
        "{place:?}, FACTORY_MODEL_SEED={seed} FACTORY_MODEL_COUNT=1: {why}\n[\n{}]",
        steps::written(&steps)
    );
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// What a change lands by is no luck of a seed.
const SEED: u64 = 20_261_126;

fn many(place: Where, count: u64) {
    let tree = tempfile::tempdir().unwrap();
    let definitions = definitions(tree.path());
    let first = setting("FACTORY_MODEL_SEED").unwrap_or(SEED);
    let begin = Instant::now();
    let time = setting("FACTORY_MODEL_SECONDS").map(Duration::from_secs);
    let count = setting("FACTORY_MODEL_COUNT").unwrap_or(count);
    let (next, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let more = || {
        let number = next.fetch_add(1, Ordering::SeqCst);
        let on = time.map_or(number < count, |time| begin.elapsed() < time);
        (on && !over.load(Ordering::SeqCst)).then(|| first.wrapping_add(number))
    };
    let work = || {
        let mut sum = Counts::default();
        while let Some(seed) = more() {
            let steps = steps::drawn(seed, FAMILIES.len());
            match play(place, &definitions, &steps) {
                Ok(counts) => sum.add(&counts),
                Err(_) => {
                    over.store(true, Ordering::SeqCst);
                    fail(place, &definitions, seed, steps)
                }
            }
        }
        sum
    };
    let sum = std::thread::scope(|scope| {
        let threads = [(); 2].map(|()| scope.spawn(work));
        threads.map(|t| t.join().unwrap()).into_iter().fold(Counts::default(), |mut sum, one| {
            sum.add(&one);
            sum
        })
    });
    println!("{place:?}: {} from seed {first} in {:?}: {sum:?}", sum.sequences, begin.elapsed());
    if sum.sequences >= 100 {
        assert!(sum.has_seen_all(), "some of this was never met: {sum:?}");
    }
}

#[test]
fn all_that_may_happen_happens_as_the_documents_say_in_memory() {
    many(Where::Memory, 6_000);
}

#[test]
fn all_that_may_happen_happens_as_the_documents_say_in_the_local_store() {
    many(Where::Store, 2_000);
}

#[test]
fn all_that_may_happen_happens_as_the_documents_say_on_two_machines() {
    many(Where::TwoMachines, 2_000);
}
