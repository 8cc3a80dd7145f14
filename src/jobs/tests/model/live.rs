//! Runs that live, one change after the other.
use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use jiff::SignedDuration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::gate::{Change, Cloud, Fate, Report};
use super::reference::{FAMILIES, Prune, Run, SEED, Verdict};
use super::run::{self, Ended, Wanted};
use super::world::{Told, World};
use crate::jobs::RunOptions;
use crate::jobs::tests::quiet;
use crate::plan;
use crate::provider::Provider;
use crate::provider::ledger::{FILE, Kind, RUNS};
use crate::system::cancel::Cancel;

/// In which a run hears a signal.
const AT_ONCE: Duration = Duration::from_millis(100);

/// A run in a slot.
pub struct Live {
    run: String,
    /// The machine on which it runs.
    home: usize,
    family: usize,
    task: JoinHandle<Ended>,
    cancel: Cancel,
    waits: Option<(Change, oneshot::Sender<Fate>)>,
    /// What its prune is still to do, from its first change on.
    prune: Option<VecDeque<(String, Verdict)>>,
    /// What becomes of that first change; of its first deletion, if that is torn.
    spoil: Option<Fate>,
    /// The image that it has published.
    published: Option<String>,
    /// The cloud answers nothing since that.
    blind: bool,
    /// Its publication was refused after it was done once.
    refused: bool,
}

fn is_done(fate: Fate) -> bool {
    !matches!(fate, Fate::Refused | Fate::Killed)
}

impl World {
    pub(super) async fn begin(&mut self, slot: usize, family: usize) -> Told {
        if self.slots[slot].is_some() {
            return Ok(());
        }
        self.begun += 1;
        let at = self.now + SignedDuration::from_micros(self.begun);
        let (run, cancel) = (plan::run_id(at, 0), Cancel::default());
        if let Some(base) = self.reference.base(FAMILIES[family].base) {
            let (id, family) = (run.clone(), &FAMILIES[family]);
            let begun =
                Run { id, family, base, home: self.home(slot), lives: true, machine: false };
            self.reference.runs.push(begun);
        }
        self.gates[0].admit(&run, true);
        let options = RunOptions { cancel: cancel.clone(), ..quiet() };
        let definition = self.definitions[family].clone();
        let wanted = Wanted { run: run.clone(), at, definition };
        let task = tokio::spawn(run::run(self.factory(slot).clone(), options, wanted));
        self.slots[slot] = Some(Live {
            run,
            home: self.home(slot),
            family,
            task,
            cancel,
            waits: None,
            prune: None,
            spoil: None,
            published: None,
            blind: false,
            refused: false,
        });
        self.follow(slot, false).await
    }

    /// Until the run waits again, or is at its end. `made`: if it dies, it dies before it has
    /// written down what it made.
    async fn follow(&mut self, slot: usize, mut made: bool) -> Told {
        loop {
            let Some(live) = &mut self.slots[slot] else { return Ok(()) };
            let report = tokio::select! {
                biased;
                report = self.heard.recv() => report.expect("the gate is there"),
                ended = &mut live.task => {
                    let ended = ended.map_err(|e| format!("the run panicked: {e}"))?;
                    return self.ended(slot, ended).await;
                }
            };
            match report {
                Report::Dying => return self.killed(slot, made).await,
                Report::Waits { change, fate } => match change {
                    Change::Hide(_) | Change::Delete(_) => {
                        made = false;
                        self.pruning(slot, change, fate).await?;
                    }
                    _ => {
                        live.waits = Some((change, fate));
                        return Ok(());
                    }
                },
            }
        }
    }

    /// The change for which the run waits has this fate.
    pub(super) async fn go(&mut self, slot: usize, fate: Fate) -> Told {
        let Some(live) = &mut self.slots[slot] else { return Ok(()) };
        let Some((change, tell)) = live.waits.take() else { return Ok(()) };
        if fate == Fate::Killed {
            return self.killed(slot, false).await;
        }
        live.blind |= fate == Fate::LostFromSight;
        let again = live.published.is_some() && matches!(change, Change::Publish(_));
        live.refused |= again && !is_done(fate);
        if is_done(fate) {
            self.hears(slot, &change);
        }
        tell.send(fate).map_err(|_| "the run left its change alone".to_owned())?;
        self.follow(slot, matches!(change, Change::Boot | Change::Capture)).await
    }

    /// The reference hears of a change that is done.
    fn hears(&mut self, slot: usize, change: &Change) {
        let Some(live) = &mut self.slots[slot] else { return };
        let id = &live.run;
        match change {
            Change::Boot => {
                // Another machine may have deleted the base, of which this run had made nothing
                // yet; and a run that was told to end makes nothing more.
                let base = self.reference.run(id).base.clone();
                let is_there = base == SEED || self.reference.images.iter().any(|i| i.id == base);
                self.reference.run(id).machine = is_there && live.cancel.check().is_ok();
            }
            Change::Remove(kind, name) => {
                let machine = format!("factory-{id}-builder");
                let dir =
                    self.factories[live.home].home.data.join("building").join(id).join(&machine);
                let gone = match kind {
                    Kind::Machine => *name == machine,
                    // The local cloud's machines are what lies there.
                    Kind::Directory => {
                        matches!(self.cloud, Cloud::Store(_)) && dir.starts_with(name)
                    }
                    _ => false,
                };
                self.reference.run(id).machine &= !gone;
            }
            // Done again, it changes nothing.
            Change::Publish(image) if live.published.is_none() => {
                live.published = Some(image.clone());
                self.reference.publish(id, image);
            }
            _ => {}
        }
    }

    fn due(&self, live: &Live) -> VecDeque<(String, Verdict)> {
        let family = &FAMILIES[live.family];
        let Some(keep) = family.keep else { return VecDeque::new() };
        let asked = Prune {
            family: family.name,
            keep,
            at_once: false,
            by: Some(&live.run),
            home: live.home,
        };
        let changes = |(_, v): &(String, Verdict)| matches!(v, Verdict::Hidden | Verdict::Deleted);
        self.reference.prune(asked).into_iter().filter(changes).collect()
    }

    /// A change of its prune, which nobody interrupts.
    async fn pruning(&mut self, slot: usize, change: Change, tell: oneshot::Sender<Fate>) -> Told {
        let live = self.slots[slot].take().expect("it lives");
        let mut due = live.prune.clone().unwrap_or_else(|| self.due(&live));
        let live = self.slots[slot].insert(live);
        let first = live.prune.is_none();
        let next = due.pop_front();
        live.prune = Some(due);
        let done = match &change {
            Change::Hide(id) => (id.clone(), Verdict::Hidden),
            Change::Delete(id) => (id.clone(), Verdict::Deleted),
            other => return Err(format!("{other:?} is no prune")),
        };
        if next.as_ref() != Some(&done) {
            return Err(format!("its prune comes to {done:?}, and {next:?} is due"));
        }
        let deletes = matches!(change, Change::Delete(_));
        let spoilt = match live.spoil {
            Some(Fate::TornAndKilled) => deletes,
            _ => first,
        };
        let fate = live.spoil.take_if(|_| spoilt).unwrap_or(Fate::Served);
        if fate == Fate::Killed {
            return self.killed(slot, false).await;
        }
        // It changes nothing more without a look.
        if fate == Fate::LostFromSight {
            live.prune = Some(VecDeque::new());
        }
        if is_done(fate) {
            self.apply(&done.0, done.1);
        }
        tell.send(fate).map_err(|_| "the run left its change alone".to_owned())
    }

    pub(super) fn spoil_prune(&mut self, slot: usize, fate: Fate) {
        if let Some(live) = &mut self.slots[slot] {
            live.spoil = Some(fate);
        }
    }

    pub(super) async fn signal(&mut self, slot: usize) -> Told {
        let Some(live) = &mut self.slots[slot] else { return Ok(()) };
        live.cancel.signal();
        // A second signal ends the run before its change, unless it is one that nobody interrupts.
        if live.cancel.for_unwind().check().is_err()
            && let Some((_, tell)) = &mut live.waits
            && tokio::time::timeout(AT_ONCE, tell.closed()).await.is_ok()
        {
            live.waits = None;
            return self.follow(slot, false).await;
        }
        Ok(())
    }

    pub(super) async fn serve_to_publication(&mut self, slot: usize) -> Told {
        let publishes = |live: &Live| matches!(live.waits, Some((Change::Publish(_), _)));
        while self.slots[slot]
            .as_ref()
            .is_some_and(|live| live.published.is_none() && !publishes(live))
        {
            self.go(slot, Fate::Served).await?;
        }
        Ok(())
    }

    pub(super) async fn finish(&mut self, slot: usize) -> Told {
        while self.slots[slot].is_some() {
            self.go(slot, Fate::Served).await?;
        }
        Ok(())
    }

    /// Its process ended. `made`: before it had written down what it made.
    async fn killed(&mut self, slot: usize, made: bool) -> Told {
        let Some(live) = self.slots[slot].take() else { return Ok(()) };
        live.task.abort();
        drop(live.waits);
        let _ = live.task.await;
        self.gates[0].admit(&live.run, false);
        self.reference.run(&live.run).lives = false;
        self.counts.killed += 1;
        if made {
            unmade(&self.factories[live.home].home.data.join(RUNS).join(&live.run).join(FILE));
        }
        Ok(())
    }

    fn is_gone(&self, id: &str) -> bool {
        self.reference.images.iter().all(|image| image.id != id)
    }

    async fn ended(&mut self, slot: usize, ended: Ended) -> Told {
        let Some(live) = self.slots[slot].take() else { return Ok(()) };
        self.gates[0].admit(&live.run, false);
        let begun = self.reference.runs.iter_mut().find(|run| run.id == live.run);
        let Some(begun) = begun.filter(|_| ended.planned) else {
            let due = self.reference.runs.iter().any(|run| run.id == live.run);
            return match (due, ended.planned) {
                (false, false) => Ok(()),
                _ => Err(format!("{:?} without a base; {:?}", ended.planned, ended.result)),
            };
        };
        begun.lives = false;
        self.counts.published += usize::from(ended.result.is_ok());
        self.counts.failed += usize::from(ended.result.is_err());
        self.counts.leaks += ended.leaks.len();
        match (&live.published, &ended.result) {
            (Some(id), Ok(said)) if id == said => {}
            (None, Err(_)) => {}
            (Some(_), Err(why)) if live.blind && says_unknown(why) => {}
            // It was deleted before the run could see it.
            (Some(id), Err(why)) if says_unknown(why) && self.is_gone(id) => {}
            // Its publication was refused when it was done again.
            (Some(id), Err(why))
                if live.refused && why.contains(&format!("image {id} is not as it was")) => {}
            (due, said) => return Err(format!("it says {said:?}, and published is {due:?}")),
        }
        let rest = match &live.prune {
            Some(rest) => rest.clone(),
            // It cannot prune what it cannot see, and begins nothing after a signal.
            None if ended.result.is_ok() && !live.blind && live.cancel.check().is_ok() => {
                self.due(&live)
            }
            None => VecDeque::new(),
        };
        if !rest.is_empty() {
            return Err(format!("it has not pruned {rest:?}"));
        }
        let left = self.gates[live.home].resources().list(&live.run).await.unwrap();
        if !left.is_empty() && ended.leaks.is_empty() {
            return Err(format!("it has left {left:?}, and says nothing"));
        }
        Ok(())
    }
}

/// Whether an error says that nobody knows what became of the image.
fn says_unknown(why: &str) -> bool {
    why.contains("not known") || why.contains("unknown")
}

/// Takes the last record off a ledger: it says what was made.
fn unmade(ledger: &Path) {
    let text = std::fs::read_to_string(ledger).unwrap();
    let (rest, last) = text.trim_end().rsplit_once('\n').unwrap();
    assert!(last.contains("\"record\":\"made\""), "{last}");
    std::fs::write(ledger, format!("{rest}\n")).unwrap();
}
