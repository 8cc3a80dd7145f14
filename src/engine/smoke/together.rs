//! Checks of the first machine that do not disturb one another, in one call: a call costs the
//! machine more than most checks do.
use std::time::Instant;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::guest::{Runner, judge};
use crate::engine::BuildError;
use crate::engine::heard::LastLines;
use crate::guest::{Command, OnOutput};
use crate::model::check::ScriptCheck;
use crate::model::event::Events;
use crate::system::lines::Lines;

/// Runs what is appended to it.
const TOGETHER: &str = include_str!("../../../templates/guest/together.sh");

/// Ends the text of a check. No check has this line.
const END: &str = "CHECK-ENDS-HERE";

/// A check that has ended: its place in the list, its exit code, and what it said.
struct Ended {
    index: usize,
    code: i32,
    said: Vec<String>,
}

/// The script that runs `checks`.
fn script(checks: &[&ScriptCheck]) -> String {
    let one = |(index, check): (usize, &&ScriptCheck)| {
        format!("check {index} <<'{END}'\n{}\n{END}\n", check.script)
    };
    let all: String = checks.iter().enumerate().map(one).collect();
    format!("{TOGETHER}\n{all}wait\n")
}

impl Runner<'_> {
    /// Runs `checks` side by side, all as root or all as the default user. A check is told as soon
    /// as it has ended; its time counts from the begin of the call.
    pub(super) async fn together(
        &self,
        checks: &[&ScriptCheck],
        sudo: bool,
    ) -> Result<(), BuildError> {
        if checks.is_empty() {
            return Ok(());
        }
        self.site.cx.cancel.check()?;
        let begin = Instant::now();
        let user = if sudo { "root" } else { &self.tested.running.target.user };
        self.site.cx.events.doing(format!("{} checks side by side, as {user}", checks.len()));
        let mark = format!("\u{1e}{}", uuid::Uuid::new_v4().simple());
        let outside = LastLines::default();
        let (sender, mut ended) = unbounded_channel();
        let hearing = Hearing {
            mark: mark.clone(),
            events: self.site.cx.events.clone(),
            outside: outside.clone(),
            check: None,
            open: vec![true; checks.len()],
            ended: sender,
        };
        let command = Command {
            script: script(checks).into_bytes(),
            args: vec![mark],
            env: self.told(),
            sudo,
            deadline: self.limit(checks.iter().copied()),
        };
        let exec = self.tested.running.remote.exec(command, hearing.output());
        let mut left: Vec<Option<&ScriptCheck>> = checks.iter().copied().map(Some).collect();
        let mut tell = |one: Ended| {
            if let Some(check) = left.get_mut(one.index).and_then(Option::take) {
                self.results.always(check.id, begin, judge(Ok(one.code), &one.said));
            }
        };
        let call = self.site.cx.cancel.or(exec);
        tokio::pin!(call);
        let exit = loop {
            tokio::select! {
                biased;
                Some(one) = ended.recv() => tell(one),
                exit = &mut call => break exit?,
            }
        };
        while let Ok(one) = ended.try_recv() {
            tell(one);
        }
        // Those that were not heard of share the fate of the call.
        let fate = match self.ended(exit).await? {
            Ok(0) => Err("the machine did not tell how it ended".to_owned()),
            fate => fate,
        };
        for check in left.into_iter().flatten() {
            self.results.always(check.id, begin, judge(fate.clone(), &outside.all()));
        }
        Ok(())
    }
}

/// Tells apart what the checks of one call say.
struct Hearing {
    mark: String,
    events: Events,
    /// What no check said.
    outside: LastLines,
    /// The check whose lines come.
    check: Option<LastLines>,
    /// Of each check, whether it has not ended yet. A machine tells of an end without end.
    open: Vec<bool>,
    ended: UnboundedSender<Ended>,
}

impl Hearing {
    fn output(mut self) -> OnOutput {
        let mut streams = [Lines::default(), Lines::default()];
        Box::new(move |stream, bytes| {
            streams[stream as usize].take(bytes, &mut |line| self.line(line));
        })
    }

    fn line(&mut self, line: &str) {
        let words: Vec<&str> = match line.strip_prefix(&self.mark) {
            Some(rest) => rest.split_whitespace().collect(),
            None => {
                self.check.as_ref().unwrap_or(&self.outside).push(line);
                self.events.output("check", line);
                return;
            }
        };
        match (&words[..], self.check.take()) {
            (["begin", _], _) => self.check = Some(LastLines::default()),
            (["end", index, code], Some(said)) => {
                if let (Ok(index), Ok(code)) = (index.parse::<usize>(), code.parse())
                    && self.open.get_mut(index).is_some_and(std::mem::take)
                {
                    let mut said = said.all();
                    // The line end before the mark.
                    said.pop_if(|last| last.is_empty());
                    // Nobody listens any more: the call is over.
                    let _ = self.ended.send(Ended { index, code, said });
                }
            }
            _ => {}
        }
    }
}

/// What a machine prints that runs `script` with `args`, if it runs checks side by side: of each
/// check, by its text, its exit code and what it says.
pub fn played(
    script: &str,
    args: &[String],
    check: impl Fn(&str) -> (i32, String),
) -> Option<String> {
    let parts = script.strip_prefix(TOGETHER)?;
    let mark = args.first()?;
    let end = format!("\n{END}\n");
    let texts = parts.split(&end).filter(|part| part.contains("<<"));
    let one = |(index, text): (usize, &str)| {
        let (code, said) = check(text);
        format!("{mark} begin {index}\n{said}\n{mark} end {index} {code}\n")
    };
    Some(texts.enumerate().map(one).collect())
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use crate::guest::Stream;
    use crate::model::check::{ByDefault, SCRIPTS};

    const MARK: &str = "\u{1e}mark";

    fn check(script: &'static str) -> ScriptCheck {
        let by_default = ByDefault::All;
        ScriptCheck {
            id: "x",
            what: "",
            by_default,
            sudo: false,
            slow: false,
            alone: false,
            script,
        }
    }

    /// What the checks come to on this machine, in their order, and what no check said.
    fn run(checks: &[ScriptCheck]) -> (Vec<Ended>, Vec<String>) {
        let text = script(&checks.iter().collect::<Vec<_>>());
        let out = Command::new("sh")
            .args(["-e", "-c", &text, "sh", MARK])
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(out.status.success(), "{out:?}");
        let (ended, mut all) = unbounded_channel();
        let outside = LastLines::default();
        let (mark, events) = (MARK.to_owned(), Events::default());
        let open = vec![true; checks.len()];
        let hearing = Hearing { mark, events, outside: outside.clone(), check: None, open, ended };
        let mut output = hearing.output();
        for bytes in out.stdout.chunks(7) {
            output(Stream::Stdout, bytes);
        }
        let mut told: Vec<Ended> = std::iter::from_fn(|| all.try_recv().ok()).collect();
        told.sort_by_key(|one| one.index);
        (told, outside.all())
    }

    #[test]
    fn each_check_is_told_apart_whatever_it_says() {
        let checks = [
            "echo one; echo two >&2; exit 3",
            "printf 'no line end'; exit 77",
            "cat; echo \"$0 $# $mark\" | tail -c 4; (exit 1)",
            "set -e; false; echo not here",
            "",
            "i=0; while [ $i -lt 20000 ]; do echo line-$i; i=$((i + 1)); done",
        ];
        let (told, outside) = run(&checks.map(check));
        let said = |index: usize| told[index].said.iter().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(told.iter().map(|one| one.code).collect::<Vec<_>>(), [3, 77, 1, 1, 0, 0]);
        assert_eq!((said(0), said(1)), (vec!["one", "two"], vec!["no line end"]));
        assert_eq!((said(2), said(3), said(4)), (vec![" 0 "], vec![], vec![]));
        assert_eq!(said(5).last(), Some(&"line-19999"), "the end counts");
        assert_eq!(outside, [""; 0], "nothing else is said");
    }

    /// Each waits for the other: one after the other they would never end.
    #[test]
    fn checks_run_at_the_same_time() {
        const MEET: &str = "i=0; until [ -e \"${0%/*}/2\" ] && [ -e \"${0%/*}/0\" ]; do
            i=$((i + 1)); [ $i -lt 300 ] || exit 1; sleep 0.1; done; echo met";
        let (told, _) = run(&[MEET, "exit 9", MEET].map(check));
        assert_eq!(told.iter().map(|one| one.code).collect::<Vec<_>>(), [0, 9, 0]);
    }

    /// Nothing in a check of the factory ends its own text, and what looks at the work of others
    /// runs after them.
    #[test]
    fn checks_of_the_factory_can_be_put_together() {
        assert!(SCRIPTS.iter().all(|check| !check.script.contains(END)));
        let alone: Vec<_> = SCRIPTS.iter().filter(|c| c.alone).map(|c| c.id).collect();
        assert_eq!(alone, ["auth-log", "leftovers", "package-update", "cloud-init-package"]);
    }
}
