//! What the serial console tells: the host keys of a machine, and why one did not come up.
use ssh_key::PublicKey;

const BEGIN: &str = "-----BEGIN SSH HOST KEY KEYS-----";
const END: &str = "-----END SSH HOST KEY KEYS-----";

/// The host keys that cloud-init printed: those of the last complete block, for a log may hold several boots. Keys of kinds
/// that we cannot read (ECDSA) are left out; empty when there is no block yet.
pub fn host_keys(console: &str) -> Vec<PublicKey> {
    let mut found = Vec::new();
    let mut rest = console;
    while let Some(begin) = rest.find(BEGIN) {
        rest = &rest[begin + BEGIN.len()..];
        let Some(end) = rest.find(END) else { break };
        // A block that a power-off cut short has no end; the end found is that of a later one.
        let block = &rest[..end];
        let block = block.rfind(BEGIN).map_or(block, |again| &block[again + BEGIN.len()..]);
        found = keys_of(block);
        rest = &rest[end + END.len()..];
    }
    found
}

fn keys_of(block: &str) -> Vec<PublicKey> {
    let mut keys: Vec<PublicKey> = Vec::new();
    let whole = without_kernel(block);
    for line in block.lines().chain(whole.lines()) {
        let mut words = line.split_whitespace();
        // Whatever a logger puts before it, the key begins with the name of its kind.
        while let Some(word) = words.next() {
            if !word.starts_with("ssh-") && !word.starts_with("ecdsa-") {
                continue;
            }
            if let Some(key) = words.clone().next().and_then(|blob| PublicKey::from_openssh(&format!("{word} {blob}")).ok())
                && !keys.iter().any(|k| k.key_data() == key.key_data())
            {
                keys.push(key);
            }
            break;
        }
    }
    keys
}

/// A kernel message that came in the middle of a line is cut out, and the two halves are joined.
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

/// Where `[   12.345678]` stands in a line.
fn kernel_stamp(line: &str) -> Option<usize> {
    line.match_indices('[').map(|(at, _)| at).find(|&at| {
        line[at + 1..].split_once(']').is_some_and(|(stamp, _)| {
            stamp
                .trim_start()
                .split_once('.')
                .is_some_and(|(s, us)| !s.is_empty() && us.len() == 6 && s.bytes().chain(us.bytes()).all(|b| b.is_ascii_digit()))
        })
    })
}

/// The last `lines` lines that have something to read in them, without terminal control.
pub fn tail(console: &str, lines: usize) -> Vec<String> {
    let mut tail: Vec<String> = console.rsplit(['\n', '\r']).map(printable).filter(|line| !line.is_empty()).take(lines).collect();
    tail.reverse();
    tail
}

/// Without escape sequences and control characters.
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
            c if c.is_control() || c == '\u{fffd}' => {}
            c => text.push(c),
        }
    }
    text.trim().to_string()
}

/// What a machine says that will not come up by itself, and what that means.
const TROUBLE: &[(&str, &str)] = &[
    ("Kernel panic - not syncing", "the kernel panicked"),
    ("Press any key to proceed", "systemd-firstboot waits for a key: /etc/machine-id is missing in the image (it has to be there, empty)"),
    ("You are in emergency mode", "the system stopped in emergency mode"),
    ("Cannot open access to console, the root account is locked", "the system stopped in emergency mode"),
    ("Give root password for maintenance", "the system stopped in emergency mode"),
    ("Entering emergency mode", "the initramfs did not find the root file system"),
    ("Dropping to a shell!", "the initramfs did not find the root file system"),
    ("(initramfs)", "the initramfs did not find the root file system"),
    ("grub rescue>", "GRUB did not find the rest of itself"),
    ("No bootable device", "the disk is not bootable"),
    ("Boot failed: not a bootable disk", "the disk is not bootable"),
];

/// One line for the error message if the present boot, the last of the log, came to an end that waiting does not mend.
pub fn trouble(console: &str) -> Option<String> {
    // Firmware, then kernel: whichever began last begins the present boot.
    let begin = ["SeaBIOS (version", "] Linux version "].iter().filter_map(|m| console.rfind(m)).max().unwrap_or(0);
    let boot = &console[begin..];
    let (at, mark, meaning) =
        TROUBLE.iter().filter_map(|(mark, meaning)| boot.find(mark).map(|at| (at, *mark, *meaning))).min_by_key(|(at, ..)| *at)?;
    let line = printable(boot[at..].split(['\n', '\r']).next().unwrap_or_default());
    // systemd says on lines of its own why it gave up; the first is the cause of the rest.
    let cause = boot[..at]
        .split(['\n', '\r'])
        .map(printable)
        .find(|line| line.contains("Failed to ") || line.contains("does not exist") || line.contains("Timed out waiting for device"))
        .filter(|_| !mark.starts_with("Kernel") && !mark.starts_with("Press"));
    Some(match cause {
        Some(cause) => format!("{meaning}: {cause}"),
        None if mark.starts_with("Press") => meaning.into(),
        None => format!("{meaning}: {line}"),
    })
}
