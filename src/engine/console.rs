//! Reads the serial console: a machine's host keys, and why a machine did not come up.
//!
//! The machine may be hostile. Only the end counts ([`RECENT`]), each byte is examined a fixed
//! number of times, and results are bounded.
use ssh_key::PublicKey;

use crate::log::sentences;
use crate::system::lines;

mod signs;

pub use signs::signs;

/// Bytes of a console that are examined.
const RECENT: usize = 4 << 20;
/// Maximum bytes of a host key block. An honest one has some 2 KiB, plus a few kernel messages.
const BLOCK: usize = 64 << 10;
/// Maximum number of host keys in a block; OpenSSH makes at most four.
const KEYS: usize = 16;
/// Maximum bytes shown of a line.
const SHOWN: usize = 1000;

const BEGIN: &str = "-----BEGIN SSH HOST KEY KEYS-----";
const END: &str = "-----END SSH HOST KEY KEYS-----";

/// Host keys printed by cloud-init, from the last complete block, because a log may hold several
/// boots. Skips unsupported types (ECDSA). Empty if there is no block yet.
pub fn host_keys(console: &str) -> Vec<PublicKey> {
    let console = lines::end_of(console, RECENT);
    // A block that a power-off cut short has no end; the end found is that of a later one, with a
    // begin of its own.
    let Some(begin) = console.rfind(END).and_then(|end| console[..end].rfind(BEGIN)) else {
        return Vec::new();
    };
    let block = &console[begin + BEGIN.len()..];
    let block = &block[..block.find(END).unwrap_or(0)];
    let short =
        (0..=block.len().min(BLOCK)).rev().find(|at| block.is_char_boundary(*at)).unwrap_or(0);
    keys_of(&block[..short])
}

fn keys_of(block: &str) -> Vec<PublicKey> {
    let mut keys: Vec<PublicKey> = Vec::new();
    let whole = without_kernel(block);
    for line in block.lines().chain(whole.lines()) {
        if keys.len() == KEYS {
            break;
        }
        let mut words = line.split_whitespace();
        // Whatever a logger puts before it, the key begins with the name of its kind.
        while let Some(word) = words.next() {
            if !word.starts_with("ssh-") && !word.starts_with("ecdsa-") {
                continue;
            }
            if let Some(key) = words
                .clone()
                .next()
                .and_then(|blob| PublicKey::from_openssh(&format!("{word} {blob}")).ok())
                && !keys.iter().any(|k| k.key_data() == key.key_data())
            {
                keys.push(key);
            }
            break;
        }
    }
    keys
}

/// Removes kernel messages within a line, and joins the halves.
fn without_kernel(block: &str) -> String {
    let mut text = String::with_capacity(block.len());
    for line in block.lines() {
        match kernel_stamp(line) {
            Some(at) => text.push_str(&line[..at]),
            None => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

/// Position of `[   12.345678]` in a line.
fn kernel_stamp(line: &str) -> Option<usize> {
    line.match_indices('[')
        .map(|(at, _)| at)
        .find(|at| begins_with_stamp(&line.as_bytes()[at + 1..]))
}

/// `   12.345678]`: blanks, seconds, six digits. Examines only as many bytes as a stamp can have.
fn begins_with_stamp(text: &[u8]) -> bool {
    const BLANKS: usize = 16;
    const SECONDS: usize = 16;
    let blanks = text.iter().take(BLANKS).take_while(|b| **b == b' ').count();
    let text = &text[blanks..];
    let seconds = text.iter().take(SECONDS).take_while(|b| b.is_ascii_digit()).count();
    seconds > 0
        && matches!(&text[seconds..], [b'.', micros @ .., ] if micros.len() > 6
            && micros[..6].iter().all(u8::is_ascii_digit)
            && micros[6] == b']')
}

/// The last `count` non-blank lines, sanitised.
pub fn tail(console: &str, count: usize) -> Vec<String> {
    let console = lines::end_of(console, RECENT);
    let mut tail: Vec<String> = console
        .rsplit(['\n', '\r'])
        .map(printable)
        .filter(|line| !line.is_empty())
        .take(count)
        .collect();
    tail.reverse();
    tail
}

/// Without escape sequences, control characters and direction marks; truncated if long.
fn printable(line: &str) -> String {
    let mut text = String::new();
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\t' => text.push(' '),
            '\x1b' => match chars.next() {
                // CSI: parameters, then one final character.
                Some('[') => {
                    let _ = chars.find(|c| ('@'..='~').contains(c));
                }
                // Designation of a character set has one more.
                Some('(' | ')' | '#') => {
                    chars.next();
                }
                _ => {}
            },
            c if c.is_control()
                || matches!(c, '\u{fffd}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => {}
            c => text.push(c),
        }
    }
    lines::cut(&sentences::clean(text.trim()), SHOWN)
}

/// Messages of a machine that will not come up by itself, with their meaning.
const TROUBLE: &[(&str, &str)] = &[
    ("Kernel panic - not syncing", "the kernel panicked"),
    (
        "Press any key to proceed",
        "systemd-firstboot waits for a key: /etc/machine-id is missing in the image (it has to be \
            there, empty)",
    ),
    ("You are in emergency mode", "the system stopped in emergency mode"),
    (
        "Cannot open access to console, the root account is locked",
        "the system stopped in emergency mode",
    ),
    ("Give root password for maintenance", "the system stopped in emergency mode"),
    ("Entering emergency mode", "the initramfs did not find the root file system"),
    ("Dropping to a shell!", "the initramfs did not find the root file system"),
    ("(initramfs)", "the initramfs did not find the root file system"),
    ("grub rescue>", "GRUB did not find the rest of itself"),
    (
        "Minimal BASH-like line editing is supported",
        "GRUB stopped at its prompt: it found no configuration",
    ),
    ("You are in rescue mode", "the system stopped in rescue mode"),
    ("UEFI Interactive Shell v", "the disk is not bootable: the firmware stopped in its shell"),
    ("No bootable option or device was found", "the disk is not bootable"),
    ("No bootable device", "the disk is not bootable"),
];

/// The current boot: from the last start of firmware or kernel to the end of the log.
fn present(console: &str) -> &str {
    let console = lines::end_of(console, RECENT);
    let begin = ["SeaBIOS (version", "] Linux version "]
        .iter()
        .filter_map(|m| console.rfind(m))
        .max()
        .unwrap_or(0);
    &console[begin..]
}

/// One line if the current boot has failed for good.
pub fn trouble(console: &str) -> Option<String> {
    let boot = present(console);
    let (at, mark, meaning) = TROUBLE
        .iter()
        .filter_map(|(mark, meaning)| boot.find(mark).map(|at| (at, *mark, *meaning)))
        .min_by_key(|(at, ..)| *at)?;
    let cause = match mark {
        "Press any key to proceed" => return Some(meaning.into()),
        "Kernel panic - not syncing" => None,
        // The reason is on an earlier line, and the first one is the cause of the others.
        _ => boot[..at + mark.len()]
            .split(['\n', '\r'])
            .map(printable)
            .find(|line| CAUSES.iter().any(|c| line.contains(c))),
    };
    let cause = cause.unwrap_or_else(|| {
        let line = boot[at..].split(['\n', '\r']).next().unwrap_or_default();
        printable(line).trim_start_matches("Kernel panic - not syncing: ").into()
    });
    Some(format!("{meaning}: {cause}"))
}

const CAUSES: &[&str] =
    &["Failed to ", "does not exist", "Timed out waiting for device", "error: "];

#[cfg(test)]
mod tests;
