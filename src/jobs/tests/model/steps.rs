//! The steps of a sequence: drawn from a seed, printed as they are pasted, and made fewer.
use super::gate::Fate;

/// What is done next. A step that is not possible then does nothing, so that any part of a sequence
/// is one. `slot`: one of two runs at once. `nth`: counted from the newest image of the family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// An image that was published before.
    Given {
        family: usize,
    },
    Begin {
        slot: usize,
        family: usize,
    },
    /// The change for which the run waits; a run prunes without waiting.
    Go {
        slot: usize,
        fate: Fate,
    },
    /// So many changes are served.
    Serve {
        slot: usize,
        changes: usize,
    },
    /// All changes are served until the run is about to publish.
    ToPublication {
        slot: usize,
    },
    /// The first change of its prune, or what is torn of it.
    SpoilPrune {
        slot: usize,
        fate: Fate,
    },
    Finish {
        slot: usize,
    },
    Signal {
        slot: usize,
    },
    Sweep,
    /// One deletion of it fails.
    SpoiltSweep {
        lost: bool,
    },
    Rollback {
        family: usize,
    },
    Deprecate {
        family: usize,
        nth: usize,
    },
    Undo {
        family: usize,
        nth: usize,
    },
    Protect {
        family: usize,
        nth: usize,
        on: bool,
    },
    Prune {
        family: usize,
        keep: u32,
        now: bool,
    },
    Clock {
        seconds: i64,
    },
}

/// SplitMix64.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.roll() % end as u64) as usize
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

const BAD: [Fate; 6] = [
    Fate::Refused,
    Fate::Lost,
    Fate::Killed,
    Fate::ServedAndKilled,
    Fate::LostFromSight,
    Fate::TornAndKilled,
];

fn step(dice: &mut Dice, families: usize) -> Step {
    let (slot, family, nth) = (dice.below(2), dice.below(families), dice.below(4));
    match dice.below(48) {
        0..8 => Step::Begin { slot, family },
        8..12 => Step::Given { family },
        12..14 => Step::Serve { slot, changes: 1 + dice.below(6) },
        14..18 => Step::ToPublication { slot },
        18..26 => Step::Finish { slot },
        26..30 => Step::Go { slot, fate: dice.of(&BAD) },
        30 => Step::SpoilPrune { slot, fate: dice.of(&BAD) },
        31 => Step::Signal { slot },
        32..34 => Step::Sweep,
        34 => Step::SpoiltSweep { lost: dice.below(2) == 0 },
        35..37 => Step::Rollback { family },
        37 => Step::Deprecate { family, nth },
        38..40 => Step::Undo { family, nth },
        40 => Step::Protect { family, nth, on: dice.below(2) == 0 },
        41..46 => Step::Prune { family, keep: 1 + dice.below(3) as u32, now: dice.below(2) == 0 },
        _ => Step::Clock { seconds: dice.of(&[-90_000, -3600, -61, -1, 59, 3600, 90_000]) },
    }
}

/// The sequence of a seed. It begins with some images, for builds take time.
pub fn drawn(seed: u64, families: usize) -> Vec<Step> {
    let mut dice = Dice::new(seed);
    let given = (0..dice.below(7)).map(|_| Step::Given { family: dice.below(families) });
    let mut steps: Vec<Step> = given.collect();
    let length = 4 + dice.below(24);
    steps.extend((0..length).map(|_| step(&mut dice, families)));
    steps
}

/// As it is pasted into a test.
pub fn written(steps: &[Step]) -> String {
    steps.iter().map(|step| format!("    {step:?},\n")).collect()
}

/// The least part of `steps` that still `fails`, with the simplest fates.
pub fn shrunk(mut steps: Vec<Step>, fails: impl Fn(&[Step]) -> bool) -> Vec<Step> {
    let mut part = steps.len().div_ceil(2);
    while part > 0 {
        let mut at = 0;
        let before = steps.len();
        while at < steps.len() {
            let mut fewer = steps.clone();
            fewer.drain(at..(at + part).min(fewer.len()));
            if fails(&fewer) { steps = fewer } else { at += part }
        }
        if part == 1 && steps.len() == before {
            break;
        }
        part = (part / 2).max(1);
    }
    for at in 0..steps.len() {
        for simple in simpler(steps[at]) {
            let mut tried = steps.clone();
            tried[at] = simple;
            if fails(&tried) {
                steps = tried;
                break;
            }
        }
    }
    steps
}

fn simpler(step: Step) -> Vec<Step> {
    match step {
        Step::Begin { slot, family } => (0..family)
            .map(|family| Step::Begin { slot, family })
            .chain((slot > 0).then_some(Step::Begin { slot: 0, family }))
            .collect(),
        Step::Serve { slot, changes } => {
            (1..changes).map(|changes| Step::Serve { slot, changes }).collect()
        }
        Step::Prune { family, keep, now: true } => vec![Step::Prune { family, keep, now: false }],
        _ => Vec::new(),
    }
}
