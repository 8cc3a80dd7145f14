//! Answers of machines that are honest, talkative and hostile.

use async_trait::async_trait;

use super::*;
use crate::guest::{OnOutput, OnProgress, Transfer};

/// What a machine prints, from the script that it was sent.
type Saying = dyn Fn(&str) -> Vec<u8> + Send + Sync;

/// A machine that runs scripts on this one, with `before` printed by its login script; or one that
/// says what it likes.
enum Guest {
    Runs { before: &'static str },
    Says(Box<Saying>),
}

#[async_trait]
impl Remote for Guest {
    async fn exec(&self, command: Command, mut output: OnOutput) -> Result<Exit, RemoteError> {
        match self {
            Guest::Runs { before } => {
                let script = std::str::from_utf8(&command.script).unwrap();
                output(Stream::Stdout, before.as_bytes());
                output(Stream::Stderr, before.as_bytes());
                let out =
                    std::process::Command::new("sh").args(["-e", "-c", script]).output().unwrap();
                output(Stream::Stderr, &out.stderr);
                // As the wire may cut it.
                out.stdout.chunks(7).for_each(|piece| output(Stream::Stdout, piece));
                Ok(Exit::Code(out.status.code().unwrap()))
            }
            Guest::Says(what) => {
                output(Stream::Stdout, &what(std::str::from_utf8(&command.script).unwrap()));
                Ok(Exit::Code(0))
            }
        }
    }
    async fn put(&self, _: &Transfer<'_>, _: OnProgress) -> Result<(), RemoteError> {
        unreachable!("nothing is sent")
    }
    async fn ping(&self, _: Duration) -> Result<(), RemoteError> {
        Ok(())
    }
}

const SOON: Duration = Duration::from_secs(20);

/// What a guest prints that knows the marks, as the hostile one does: it has read the script.
fn between_marks(script: &str, answer: &[u8]) -> Vec<u8> {
    let (_, rest) = script.split_once("\\036").unwrap();
    let id = rest.split(' ').next().unwrap();
    [format!("\x1e{id} answer\n").as_bytes(), answer, format!("\x1e{id} end\n").as_bytes()].concat()
}

fn says(answer: &'static [u8]) -> Guest {
    Guest::Says(Box::new(move |script| between_marks(script, answer)))
}

#[tokio::test]
async fn what_a_login_script_prints_is_no_answer() {
    let guest = Guest::Runs { before: "Welcome to \x1b[31mexample\x1b[0m!\n/usr/bin/evil\n" };
    assert_eq!(say(&guest, "echo one; printf two", SOON).await.unwrap(), "one\ntwo");
    assert!(boot_id(&guest, SOON).await.is_ok());
    assert_eq!(say(&guest, "", SOON).await.unwrap(), "");
}

#[tokio::test]
async fn the_exit_is_the_scripts_own() {
    let guest = Guest::Runs { before: "" };
    let failed = |said: Result<String, NoAnswer>| said.unwrap_err().to_string();
    assert_eq!(
        failed(say(&guest, "echo out; echo err >&2; exit 3", SOON).await),
        "exit code 3: out; err"
    );
    assert_eq!(failed(say(&guest, "false\necho not here", SOON).await), "exit code 1");
    assert_eq!(failed(say(&guest, "#!/bin/sh\nexit 7", SOON).await), "exit code 7");
}

#[tokio::test]
async fn a_machine_that_runs_something_else_has_not_answered() {
    let guest = Guest::Says(Box::new(|_| b"Please login as the user \"debian\"\n".to_vec()));
    let said = say(&guest, "id -u", SOON).await.unwrap_err();
    assert!(
        matches!(&said, NoAnswer::Unheard { said } if said.starts_with("Please login")),
        "{said}"
    );
    let cut_off = Guest::Says(Box::new(|script| {
        let mut all = between_marks(script, b"half an ans");
        all.truncate(all.len() - 1);
        all
    }));
    assert!(matches!(say(&cut_off, "x", SOON).await, Err(NoAnswer::Unheard { .. })));
}

/// The old reader kept all of it.
#[tokio::test]
async fn a_long_answer_is_refused_in_constant_memory() {
    for place in ["before", "within", "without end"] {
        let id = "0123456789abcdef";
        let mut ear = Ear::new(id, WORD);
        if place != "before" {
            ear.take(Stream::Stdout, format!("hello\x1e{id} answer\n").as_bytes());
        }
        let piece = vec![b'x'; 128 << 10];
        for _ in 0..512 {
            ear.take(Stream::Stdout, &piece);
            ear.take(Stream::Stderr, &piece);
        }
        if place == "within" {
            ear.take(Stream::Stdout, format!("\x1e{id} end\n").as_bytes());
        }
        assert_eq!(ear.over, place != "before", "{place}");
        assert!(ear.held.capacity() + ear.complaint.capacity() < 64 << 10, "{place}");
    }
    let guest = Guest::Says(Box::new(|script| between_marks(script, &vec![b'x'; 1 << 20])));
    let said = word(&guest, "x", SOON).await.unwrap_err();
    assert_eq!(said.to_string(), "it answered more than 4096 bytes");
}

#[tokio::test]
async fn marks_are_found_however_they_are_cut() {
    let all = between_marks("\\0361234567 end", b"41\n");
    for cut in 0..all.len() {
        let mut ear = Ear::new("1234567", 3);
        ear.take(Stream::Stdout, b"motd");
        ear.take(Stream::Stdout, &all[..cut]);
        ear.take(Stream::Stdout, &all[cut..]);
        ear.take(Stream::Stdout, b"after");
        assert!(ear.place == Place::After && ear.held == b"41\n" && !ear.over, "{cut}");
        assert_eq!(ear.complaint, b"motdafter");
    }
}

#[tokio::test]
async fn identities_have_a_grammar() {
    let id = "0b8e9c52-1111-4222-8333-444455556666\n";
    assert_eq!(boot_id(&says(id.as_bytes()), SOON).await.unwrap().0, id.trim());
    for bad in [
        "",
        "7\n",
        "0b8e9c52-1111-4222-8333-44445555666g",
        "0b8e9c52-1111-4222-8333-444455556666 x",
        "\x1b[2J\u{202e}",
    ] {
        let said = boot_id(&says(Box::leak(bad.to_owned().into_boxed_str()).as_bytes()), SOON)
            .await
            .unwrap_err()
            .to_string();
        assert!(said.ends_with("is no boot ID") && !said.contains(['\x1b', '\u{202e}']), "{said}");
    }
    assert!(machine_id(&says(b"0123456789abcdef0123456789abcdef\n"), SOON).await.is_ok());
    for bad in [
        &b"uninitialized\n"[..],
        b"0123456789abcdef0123456789abcdeg",
        b"0123456789ABCDEF0123456789ABCDEF",
    ] {
        assert!(machine_id(&says(bad), SOON).await.is_err());
    }
}

/// Whatever comes, and however it is cut: no panic, bounded memory, and an answer only between the
/// marks.
#[test]
fn anything_may_come() {
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    let find = |text: &[u8], mark: &[u8]| text.windows(mark.len()).position(|w| w == mark);
    for _ in 0..3000 {
        let (mut ear, mut all) = (Ear::new("id", 100), Vec::new());
        for _ in 0..random(12) {
            let piece = match random(5) {
                0 => b"\x1eid answer\n".to_vec(),
                1 => b"\x1eid end\n".to_vec(),
                2 => b"\x1eid answer\n\x1eid end\n"[random(10)..10 + random(10)].to_vec(),
                3 => vec![b'x'; random(9000)],
                _ => (0..random(40)).map(|_| random(256) as u8).collect(),
            };
            ear.take(Stream::Stdout, &piece);
            all.extend(piece);
        }
        let begin = find(&all, b"\x1eid answer\n").map(|at| at + 11);
        let inner = begin
            .and_then(|from| find(&all[from..], b"\x1eid end\n").map(|to| &all[from..from + to]));
        match inner {
            Some(inner) if inner.len() <= 100 => {
                assert!(ear.place == Place::After && ear.held == inner && !ear.over)
            }
            Some(_) => assert!(ear.over),
            None => assert!(ear.place != Place::After),
        }
        assert!(ear.held.capacity() + ear.complaint.capacity() < 64 << 10);
    }
}
