//! The order of jobs. Pure: receives ended jobs, returns those that may begin.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Running,
    Built,
    /// Failed, or skipped because its base failed.
    Lost,
}

pub struct Schedule {
    /// For each job, the index of its base's job.
    bases: Vec<Option<usize>>,
    states: Vec<State>,
    at_once: usize,
}

impl Schedule {
    pub fn new(bases: Vec<Option<usize>>, at_once: usize) -> Self {
        Self { states: vec![State::Waiting; bases.len()], bases, at_once: at_once.max(1) }
    }

    /// Begins the next ready job, if any, and returns it. Jobs that others wait for come first.
    pub fn next(&mut self) -> Option<usize> {
        if self.states.iter().filter(|s| **s == State::Running).count() >= self.at_once {
            return None;
        }
        let ready = |i: &usize| {
            self.states[*i] == State::Waiting
                && self.bases[*i].is_none_or(|b| self.states[b] == State::Built)
        };
        let ready: Vec<usize> = (0..self.states.len()).filter(ready).collect();
        let index =
            ready.iter().find(|i| self.bases.contains(&Some(**i))).or(ready.first()).copied()?;
        self.states[index] = State::Running;
        Some(index)
    }

    /// Ends a job. Returns the jobs that can no longer begin because of it.
    pub fn ended(&mut self, index: usize, built: bool) -> Vec<usize> {
        self.states[index] = if built { State::Built } else { State::Lost };
        let mut lost = Vec::new();
        // Each round may bring those that stand on the ones before.
        loop {
            let stands = |i: &usize| {
                self.states[*i] == State::Waiting
                    && self.bases[*i].is_some_and(|b| self.states[b] == State::Lost)
            };
            let round: Vec<usize> = (0..self.states.len()).filter(stands).collect();
            if round.is_empty() {
                return lost;
            }
            round.iter().for_each(|i| self.states[*i] = State::Lost);
            lost.extend(round);
        }
    }

    /// Jobs that have not begun.
    pub fn waiting(&self) -> Vec<usize> {
        (0..self.states.len()).filter(|i| self.states[*i] == State::Waiting).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What may begin, until nothing may.
    fn begin(schedule: &mut Schedule) -> Vec<usize> {
        std::iter::from_fn(|| schedule.next()).collect()
    }

    #[test]
    fn bases_go_first_and_their_dependents_wait() {
        // 0 and 2 stand on 3; 1 on nothing.
        let mut s = Schedule::new(vec![Some(3), None, Some(3), None], 2);
        assert_eq!(begin(&mut s), [3, 1]);
        assert_eq!(s.ended(1, true), [0; 0]);
        assert_eq!(begin(&mut s), [0; 0], "the base still runs");
        assert_eq!(s.ended(3, true), [0; 0]);
        assert_eq!(begin(&mut s), [0, 2]);
        assert_eq!(s.waiting(), [0; 0]);
    }

    #[test]
    fn one_at_a_time_keeps_the_order_given() {
        let mut s = Schedule::new(vec![None, None, None], 1);
        for index in 0..3 {
            assert_eq!(begin(&mut s), [index]);
            s.ended(index, index != 1);
        }
        assert_eq!(begin(&mut s), [0; 0]);
    }

    #[test]
    fn what_stands_on_a_failure_is_never_begun() {
        // 1 on 0, 2 on 1; 3 alone.
        let mut s = Schedule::new(vec![None, Some(0), Some(1), None], 9);
        assert_eq!(begin(&mut s), [0, 3]);
        assert_eq!(s.ended(0, false), [1, 2]);
        assert_eq!(s.ended(3, false), [0; 0]);
        assert_eq!((begin(&mut s), s.waiting()), (vec![], vec![]));
    }

    /// Every way in which up to four jobs can stand on earlier or later ones, with every outcome:
    /// each is begun once after its base was built, or told as lost, and no more run than may.
    #[test]
    fn every_small_schedule_ends() {
        for bases in 0..5usize.pow(4) {
            let bases: Vec<Option<usize>> =
                (0..4).map(|i| (bases / 5usize.pow(i) % 5).checked_sub(1)).collect();
            let circle = (0..4).any(|start| {
                let mut at = Some(start);
                (0..5).for_each(|_| at = at.and_then(|a: usize| bases[a]));
                at.is_some()
            });
            if circle {
                continue;
            }
            for outcome in 0..16 {
                for at_once in 1..=4 {
                    let mut s = Schedule::new(bases.clone(), at_once);
                    let (mut running, mut built, mut told) = (Vec::new(), Vec::new(), Vec::new());
                    loop {
                        for index in begin(&mut s) {
                            assert!(bases[index].is_none_or(|b| built.contains(&b)), "{bases:?}");
                            running.push(index);
                        }
                        assert!(running.len() <= at_once);
                        let Some(index) = running.pop() else { break };
                        told.push(index);
                        let well = outcome >> index & 1 == 1;
                        if well {
                            built.push(index);
                        }
                        told.extend(s.ended(index, well));
                    }
                    told.sort_unstable();
                    assert_eq!(told, [0, 1, 2, 3], "{bases:?} {outcome:04b}");
                }
            }
        }
    }
}
