//! Loads definitions in a process of its own, under kernel limits ([`confined`]).
//!
//! A definition, whatever it contains, has one budget of CPU time and memory. If it exceeds the
//! budget, the error names the file read last.
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};

use super::build_vars::Override;
use super::loaded::load_whole;
use super::{Loaded, Unsound, base_of, load, of};
use crate::model::definition::Definition;
use crate::model::diagnostic::{Diagnostic, Location};
use crate::system::cancel::{Cancel, Cancelled};
use crate::system::exec::confined::{self, Answers, Bounds, Confined, End};
use crate::system::reading;

/// Limits per definition. Honest ones of some hundred files need a tenth; debug builds are slower
/// by that factor.
const BOUNDS: Bounds = Bounds {
    memory: 192 << 20,
    time: Duration::from_secs(if cfg!(debug_assertions) { 8 } else { 1 }),
};
/// For a process that waits instead of working; per definition.
const DEADLINE: Duration = Duration::from_secs(60);
const DEADLINE_EACH: Duration = Duration::from_secs(10);
/// Maximum number of findings per definition, and characters per finding.
const MOST_FINDINGS: usize = 1000;
const LONGEST_MESSAGE: usize = 4000;
/// Bytes of answers after which a new process takes over.
const ENOUGH: u64 = 64 << 20;

type Outcome = Result<Loaded, Unsound>;

/// A definition to load, and whether values of `--set` apply to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LoadRequest {
    pub dir: PathBuf,
    pub overridden: bool,
}

#[derive(Serialize, Deserialize)]
struct Question {
    tree: PathBuf,
    wanted: Vec<LoadRequest>,
    overrides: Vec<Override>,
}

/// Messages in chronological order; numbers are indices into `wanted`.
#[derive(Serialize, Deserialize)]
enum Answer {
    Begun(usize),
    /// This file is about to be read.
    Reads(PathBuf),
    Done(usize, Box<Outcome>),
}

/// Loads definitions within limits.
#[derive(Debug, Clone)]
pub struct Loader(Confined);

impl Loader {
    /// `program`, called with `command` and a number, must call [`serve`] with that number.
    pub fn new(program: impl Into<PathBuf>, command: impl Into<String>) -> Self {
        Self(Confined::new(program, command))
    }

    /// Calls [`load_whole`] for each definition; results in the order of `wanted`.
    pub async fn load(
        &self,
        tree: &Path,
        wanted: &[LoadRequest],
        overrides: &[Override],
        cancel: &Cancel,
    ) -> Result<Vec<Outcome>, Cancelled> {
        let parts = confined::parts(wanted).map(|part| self.part(tree, part, overrides, cancel));
        Ok(try_join_all(parts).await?.into_iter().flatten().collect())
    }

    /// Loads a part in one process, and in replacements if it dies.
    async fn part(
        &self,
        tree: &Path,
        wanted: &[LoadRequest],
        overrides: &[Override],
        cancel: &Cancel,
    ) -> Result<Vec<Outcome>, Cancelled> {
        let mut outcomes: Vec<Option<Outcome>> = wanted
            .iter()
            .map(|one| unreadable(tree, &one.dir).map(|found| Err(found.into())))
            .collect();
        loop {
            let open: Vec<usize> = (0..wanted.len()).filter(|at| outcomes[*at].is_none()).collect();
            if open.is_empty() {
                return Ok(outcomes.into_iter().flatten().collect());
            }
            let question = Question {
                tree: tree.to_owned(),
                wanted: open.iter().map(|at| wanted[*at].clone()).collect(),
                overrides: overrides.to_vec(),
            };
            let deadline = DEADLINE + DEADLINE_EACH * u32::try_from(open.len()).unwrap_or(u32::MAX);
            let (end, answers) = self.0.ask(&question, deadline, cancel).await?;
            let (mut last, mut file, mut answered) = (0, None, false);
            for answer in answers {
                match answer {
                    Answer::Begun(number) => (last, file) = (number, None),
                    Answer::Reads(path) => file = Some(path),
                    Answer::Done(number, outcome) => {
                        answered = true;
                        if let Some(at) = open.get(number) {
                            outcomes[*at] = Some(*outcome);
                        }
                    }
                }
            }
            // Each round ends with one less at least: the one that was being loaded when the
            // process ended.
            let without = |at: &usize| outcomes[*at].is_none();
            let stuck = open
                .get(last)
                .copied()
                .filter(without)
                .or_else(|| open.iter().copied().find(without));
            // One that has answered much lets another process go on.
            if end == End::Well && answered {
                continue;
            }
            if let Some(at) = stuck {
                let file = file.unwrap_or_else(|| wanted[at].dir.join(of(&wanted[at].dir).file()));
                outcomes[at] = Some(Err(vec![finding(tree, &file, &end)].into()));
            }
        }
    }
}

/// Errors for paths that are not UTF-8, because definitions pass between processes as text.
fn unreadable(tree: &Path, dir: &Path) -> Option<Vec<Diagnostic>> {
    let path = [tree, dir].into_iter().find(|path| path.to_str().is_none())?;
    let place = Location { file: path.to_owned(), line: 0, column: 0 };
    Some(vec![
        Diagnostic::error(place, "the name of this directory is no UTF-8")
            .hint("give it another name"),
    ])
}

/// Finding for a definition whose process ended, in the file read last.
fn finding(tree: &Path, file: &Path, end: &End) -> Diagnostic {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let shown =
        real(file).strip_prefix(real(tree)).map_or_else(|_| file.to_owned(), Path::to_owned);
    let message = match end {
        End::Time => format!(
            "checking this definition takes more than {} s of processor time",
            BOUNDS.time.as_secs()
        ),
        End::Memory => format!(
            "checking this definition takes more than {} MiB of memory",
            BOUNDS.memory >> 20
        ),
        End::Well => "checking this definition ended without a result".into(),
        End::Failed(why) => format!("checking this definition ended without a result: {why}"),
    };
    let finding = Diagnostic::error(Location { file: shown, line: 0, column: 0 }, message);
    match end {
        End::Time | End::Memory => finding.hint(
            "this file was read last: look at how long and how \
            deep it is, and at how many there are",
        ),
        _ => finding,
    }
}

/// The child process: reads the question from the open file `number`, and appends the answers.
/// `Err` is the reason why it cannot.
pub fn serve(number: i32) -> Result<(), String> {
    confined::serve(number, BOUNDS, answer)
}

fn answer(question: Question, answers: &Answers) -> io::Result<()> {
    let told = answers.clone();
    // A line that cannot be written is one place less in a finding.
    reading::tell(move |path| _ = told.say(&Answer::Reads(path.to_owned())));
    let mut families = HashMap::new();
    for (number, wanted) in question.wanted.iter().enumerate() {
        answers.begin()?;
        answers.say(&Answer::Begun(number))?;
        let overrides = if wanted.overridden { &question.overrides[..] } else { &[] };
        let mut outcome = load_whole(&question.tree, &wanted.dir, overrides);
        if let Ok(loaded) = &mut outcome {
            loaded.bundle.base_family = base_family(&question.tree, &loaded.bundle, &mut families);
        }
        match &mut outcome {
            Ok(loaded) => cut(&mut loaded.warnings, Diagnostic::warning),
            Err(unsound) => cut(&mut unsound.findings, Diagnostic::error),
        }
        answers.say(&Answer::Done(number, Box::new(outcome)))?;
        if answers.said()? > ENOUGH {
            return Ok(());
        }
    }
    Ok(())
}

/// Limits findings to a readable amount. `kind` makes the line about the omitted ones: too many
/// warnings are not an error.
fn cut(findings: &mut Vec<Diagnostic>, kind: fn(Option<Location>, String) -> Diagnostic) {
    let more = findings.len().saturating_sub(MOST_FINDINGS);
    findings.truncate(MOST_FINDINGS);
    for finding in findings.iter_mut() {
        let end = finding.message.char_indices().nth(LONGEST_MESSAGE).map(|(at, _)| at);
        if let Some(end) = end {
            finding.message.truncate(end);
            finding.message.push('…');
        }
    }
    if more > 0 {
        findings.push(kind(None, format!("and {more} more findings on this definition")));
    }
}

/// The family of a base. Loads the base too, within the same limits.
fn base_family(
    tree: &Path,
    bundle: &Definition,
    known: &mut HashMap<PathBuf, Option<String>>,
) -> Option<String> {
    let dir = base_of(tree, bundle)?;
    known
        .entry(dir)
        .or_insert_with_key(|dir| load(tree, dir).ok().map(|base| base.bundle.name))
        .clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_warnings_are_no_error() {
        let mut found: Vec<_> = (0..MOST_FINDINGS + 7)
            .map(|n| Diagnostic::warning(None, n.to_string().repeat(5000)))
            .collect();
        cut(&mut found, Diagnostic::warning);
        assert!(
            found
                .iter()
                .all(|one| !one.is_error() && one.message.chars().count() <= LONGEST_MESSAGE + 1)
        );
        assert_eq!(
            (found.len(), found.last().unwrap().message.as_str()),
            (MOST_FINDINGS + 1, "and 7 more findings on this definition")
        );
    }

    #[test]
    fn numbers_pass_from_process_to_process_as_they_are() {
        for number in [952_244_455.291_193_7_f64, 5.692_038_748_222_123e-13, 0.1, f64::MAX, 5e-324]
        {
            let text = serde_json::to_string(&number).unwrap();
            assert_eq!(
                serde_json::from_str::<f64>(&text).unwrap().to_bits(),
                number.to_bits(),
                "{text}"
            );
        }
    }
}
