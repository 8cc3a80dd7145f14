//! Questions to a machine, which is hostile. An answer is the text between two marks known only to
//! this question, of bounded length, and is used only after a strict parser accepted it.
//!
//! Text before the marks is ignored: a greeting in `.bashrc`, a lecture of sudo.
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::heard::REASON;
use crate::guest::{Command, Exit, Remote, RemoteError, Stream};
use crate::log::sentences;
use crate::system::lines::{self, cut};

/// Maximum bytes of an answer for people.
const SENTENCE: usize = 64 << 10;
/// Maximum bytes of a one-word answer.
const WORD: usize = 4 << 10;
/// Bytes kept of standard error, and of output without an answer.
const COMPLAINT: usize = 4 << 10;
/// Bytes quoted of output that is not an answer.
const SHOWN: usize = 200;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error("it answered more than {0} bytes")]
    TooLong(usize),
    #[error("{}{}{said}", exit_text(exit), if said.is_empty() { "" } else { ": " })]
    Exit { exit: Exit, said: String },
    /// A command ended successfully, but it was not our script.
    #[error("it did not run what it was asked to; it said `{said}`")]
    Unheard { said: String },
    #[error("`{said}` is no {wanted}")]
    Strange { wanted: &'static str, said: String },
}

/// `exit code 3`, `killed by SIGTERM`.
pub(super) fn exit_text(exit: &Exit) -> String {
    match exit {
        Exit::Code(code) => format!("exit code {code}"),
        Exit::Signal(name) => format!("killed by SIG{name}"),
    }
}

/// A short script for `sh` that prints an answer.
pub(super) struct Question<'a> {
    pub script: &'a str,
    pub sudo: bool,
    pub deadline: Duration,
    /// Maximum bytes of the answer.
    pub most: usize,
}

/// Result of a question.
pub(super) struct Told {
    pub exit: Exit,
    /// Output of our script; `None` if it did not run or was cut off.
    pub answer: Option<String>,
    /// Other output: standard error, and everything outside of the marks.
    pub complaint: String,
}

/// One line of text for people. Fails, with the output, unless the exit code is 0.
pub(super) async fn say(
    remote: &dyn Remote,
    script: &str,
    deadline: Duration,
) -> Result<String, NoAnswer> {
    answer(remote, &Question { script, sudo: false, deadline, most: SENTENCE }).await
}

pub(super) async fn say_as_root(
    remote: &dyn Remote,
    script: &str,
    deadline: Duration,
) -> Result<String, NoAnswer> {
    answer(remote, &Question { script, sudo: true, deadline, most: SENTENCE }).await
}

/// Identifies a boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BootId(String);

pub(super) async fn boot_id(remote: &dyn Remote, deadline: Duration) -> Result<BootId, NoAnswer> {
    let text = word(remote, "cat /proc/sys/kernel/random/boot_id", deadline).await?;
    let groups: Vec<&str> = text.split('-').collect();
    let sound =
        groups.iter().map(|g| g.len()).eq([8, 4, 4, 4, 12]) && groups.iter().all(|g| is_hex(g));
    if sound { Ok(BootId(text)) } else { Err(strange("boot ID", &text)) }
}

/// Content of /etc/machine-id: 32 hexadecimal digits.
pub(super) async fn machine_id(
    remote: &dyn Remote,
    deadline: Duration,
) -> Result<String, NoAnswer> {
    let text = word(remote, "cat /etc/machine-id", deadline).await?;
    if text.len() == 32 && is_hex(&text) { Ok(text) } else { Err(strange("machine-id", &text)) }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// A short answer, trimmed.
pub(super) async fn word(
    remote: &dyn Remote,
    script: &str,
    deadline: Duration,
) -> Result<String, NoAnswer> {
    let text = answer(remote, &Question { script, sudo: false, deadline, most: WORD }).await?;
    Ok(text.trim().to_owned())
}

/// Error: `said` does not match the grammar of `wanted`.
pub(super) fn strange(wanted: &'static str, said: &str) -> NoAnswer {
    NoAnswer::Strange { wanted, said: shown(said) }
}

fn shown(said: &str) -> String {
    cut(&sentences::clean(said.trim()), SHOWN)
}

async fn answer(remote: &dyn Remote, question: &Question<'_>) -> Result<String, NoAnswer> {
    let told = ask(remote, question).await?;
    match (told.exit, told.answer) {
        (Exit::Code(0), Some(answer)) => Ok(answer),
        (Exit::Code(0), None) => Err(NoAnswer::Unheard { said: shown(&told.complaint) }),
        (exit, answer) => {
            let said = format!("{}\n{}", answer.unwrap_or_default().trim(), told.complaint.trim());
            Err(NoAnswer::Exit { exit, said: cut(&said.trim().replace('\n', "; "), REASON) })
        }
    }
}

/// Asks a question. The caller evaluates the exit. More than `most` bytes abort immediately and
/// kill the script.
pub(super) async fn ask(remote: &dyn Remote, question: &Question<'_>) -> Result<Told, NoAnswer> {
    let id = uuid::Uuid::new_v4().simple().to_string();
    let ear = Arc::new(Mutex::new(Ear::new(&id, question.most)));
    let full = Arc::new(tokio::sync::Notify::new());
    let (hears, tells) = (ear.clone(), full.clone());
    let command = Command {
        script: marked(question.script, &id).into(),
        args: Vec::new(),
        env: Default::default(),
        sudo: question.sudo,
        deadline: question.deadline,
    };
    let listen = move |stream, bytes: &[u8]| {
        let mut ear = hears.lock().unwrap_or_else(PoisonError::into_inner);
        ear.take(stream, bytes);
        if ear.over {
            tells.notify_one();
        }
    };
    let exit = tokio::select! {
        biased;
        exit = remote.exec(command, Box::new(listen)) => exit?,
        () = full.notified() => return Err(NoAnswer::TooLong(question.most)),
    };
    let mut ear = std::mem::take(&mut *ear.lock().unwrap_or_else(PoisonError::into_inner));
    if ear.over {
        return Err(NoAnswer::TooLong(question.most));
    }
    if ear.place != Place::After {
        let held = std::mem::take(&mut ear.held);
        ear.complain(&held);
    }
    let answer =
        (ear.place == Place::After).then(|| String::from_utf8_lossy(&ear.held).into_owned());
    Ok(Told { exit, answer, complaint: String::from_utf8_lossy(&ear.complaint).into_owned() })
}

/// The script between its marks. Keeps its interpreter; prints the second mark however the script
/// ends.
fn marked(script: &str, id: &str) -> String {
    let (first, rest) = match script.split_once('\n') {
        Some((first, rest)) if first.starts_with("#!") => (first, rest),
        _ => ("", script),
    };
    let gap = if first.is_empty() { "" } else { "\n" };
    format!(
        "{first}{gap}trap 'printf \"\\036{id} end\\n\"' EXIT\nprintf '\\036{id} answer\\n'\n{rest}"
    )
}

#[derive(Default, PartialEq, Clone, Copy)]
enum Place {
    #[default]
    Before,
    Within,
    After,
}

/// Extracts an answer from a machine's output, in constant memory.
#[derive(Default)]
struct Ear {
    begin: Vec<u8>,
    end: Vec<u8>,
    most: usize,
    place: Place,
    /// Before the first mark: its possible beginning. After it: the answer.
    held: Vec<u8>,
    complaint: Vec<u8>,
    over: bool,
}

impl Ear {
    fn new(id: &str, most: usize) -> Self {
        let (begin, end) =
            (format!("\x1e{id} answer\n").into_bytes(), format!("\x1e{id} end\n").into_bytes());
        Self { begin, end, most, ..Self::default() }
    }

    fn take(&mut self, stream: Stream, bytes: &[u8]) {
        if stream == Stream::Stderr || self.place == Place::After {
            return self.complain(bytes);
        }
        // In pieces, so that memory stays bounded for any amount of input.
        bytes.chunks(4 << 10).for_each(|piece| self.hear(piece));
    }

    fn hear(&mut self, bytes: &[u8]) {
        if self.over {
            return;
        }
        if self.place == Place::After {
            return self.complain(bytes);
        }
        let mark = if self.place == Place::Before { &self.begin } else { &self.end };
        // The mark may have begun in what came before.
        let from = self.held.len().saturating_sub(mark.len() - 1);
        self.held.extend_from_slice(bytes);
        let found = lines::find(&self.held[from..], mark).map(|at| from + at);
        let after = found.map(|at| self.held.split_off(at + mark.len()));
        match (self.place, found) {
            (Place::Before, Some(at)) => {
                let greeting = std::mem::take(&mut self.held);
                self.complain(&greeting[..at]);
                self.place = Place::Within;
            }
            (Place::Before, None) => {
                let rest =
                    self.held.split_off(self.held.len().saturating_sub(self.begin.len() - 1));
                let greeting = std::mem::replace(&mut self.held, rest);
                self.complain(&greeting);
            }
            (_, Some(at)) => {
                self.held.truncate(at);
                self.place = Place::After;
                self.over = self.held.len() > self.most;
            }
            (_, None) => self.over = self.held.len() > self.most + self.end.len(),
        }
        if let Some(after) = after {
            self.hear(&after);
        }
    }

    fn complain(&mut self, bytes: &[u8]) {
        let room = COMPLAINT.saturating_sub(self.complaint.len());
        self.complaint.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

#[cfg(test)]
#[path = "answer/tests.rs"]
mod tests;
