//! What the serial console tells: the host keys of a machine, and why one did not come up.
//!
//! The machine writes it, and may be hostile: only its end counts ([`RECENT`]), every byte of that is looked at a fixed number
//! of times, and what is taken out of it has bounds of its own.
use ssh_key::PublicKey;

use crate::lines;
use crate::log::words;

/// Bytes of a console that are looked at.
const RECENT: usize = 4 << 20;
/// Bytes of a block of host keys that are looked at; an honest one has some 2 KiB, and a few messages of the kernel.
const BLOCK: usize = 64 << 10;
/// Host keys taken from a block; OpenSSH makes four at most.
const KEYS: usize = 16;
/// Bytes of a line that is shown.
const SHOWN: usize = 1000;

const BEGIN: &str = "-----BEGIN SSH HOST KEY KEYS-----";
const END: &str = "-----END SSH HOST KEY KEYS-----";

/// The host keys that cloud-init printed: those of the last complete block, for a log may hold several boots. Keys of kinds
/// that we cannot read (ECDSA) are left out; empty when there is no block yet.
pub fn host_keys(console: &str) -> Vec<PublicKey> {
    let console = lines::end_of(console, RECENT);
    // A block that a power-off cut short has no end; the end found is that of a later one, with a begin of its own.
    let Some(begin) = console.rfind(END).and_then(|end| console[..end].rfind(BEGIN)) else { return Vec::new() };
    let block = &console[begin + BEGIN.len()..];
    let block = &block[..block.find(END).unwrap_or(0)];
    let short = (0..=block.len().min(BLOCK)).rev().find(|at| block.is_char_boundary(*at)).unwrap_or(0);
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
    line.match_indices('[').map(|(at, _)| at).find(|at| begins_with_stamp(&line.as_bytes()[at + 1..]))
}

/// `   12.345678]`: blanks, seconds, six digits. Looks at no more than what a stamp can be long, whatever follows.
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

/// The last `count` lines that have something to read in them, without terminal control.
pub fn tail(console: &str, count: usize) -> Vec<String> {
    let console = lines::end_of(console, RECENT);
    let mut tail: Vec<String> = console.rsplit(['\n', '\r']).map(printable).filter(|line| !line.is_empty()).take(count).collect();
    tail.reverse();
    tail
}

/// Without escape sequences, control characters and what reorders text; cut if it is long.
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
            c if c.is_control() || matches!(c, '\u{fffd}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => {}
            c => text.push(c),
        }
    }
    lines::cut(&words::clean(text.trim()), SHOWN)
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
    ("Minimal BASH-like line editing is supported", "GRUB stopped at its prompt: it found no configuration"),
    ("You are in rescue mode", "the system stopped in rescue mode"),
    ("No bootable option or device was found", "the disk is not bootable"),
    ("No bootable device", "the disk is not bootable"),
];

/// The present boot: the last of the log. Firmware, then kernel: whichever began last begins it.
fn present(console: &str) -> &str {
    let console = lines::end_of(console, RECENT);
    let begin = ["SeaBIOS (version", "] Linux version "].iter().filter_map(|m| console.rfind(m)).max().unwrap_or(0);
    &console[begin..]
}

/// One line for the error message if the present boot, the last of the log, came to an end that waiting does not mend.
pub fn trouble(console: &str) -> Option<String> {
    let boot = present(console);
    let (at, mark, meaning) =
        TROUBLE.iter().filter_map(|(mark, meaning)| boot.find(mark).map(|at| (at, *mark, *meaning))).min_by_key(|(at, ..)| *at)?;
    let cause = match mark {
        "Press any key to proceed" => return Some(meaning.into()),
        "Kernel panic - not syncing" => None,
        // Why it gave up stands on a line before; the first such is the cause of the rest.
        _ => boot[..at + mark.len()].split(['\n', '\r']).map(printable).find(|line| CAUSES.iter().any(|c| line.contains(c))),
    };
    let cause = cause.unwrap_or_else(|| {
        let line = boot[at..].split(['\n', '\r']).next().unwrap_or_default();
        printable(line).trim_start_matches("Kernel panic - not syncing: ").into()
    });
    Some(format!("{meaning}: {cause}"))
}

const CAUSES: &[&str] = &["Failed to ", "does not exist", "Timed out waiting for device", "error: "];

/// Without one of these nobody gets in: units as systemd names them, by their file or by what they say they are.
const NEEDED: &[(&str, &[&str])] = &[
    ("sshd", &["ssh.service", "sshd.service", "ssh.socket", "sshd.socket", "OpenBSD Secure Shell server", "OpenSSH server daemon"]),
    (
        "the network",
        &["networking.service", "systemd-networkd.service", "NetworkManager.service", "Raise network interfaces", "Network Manager"],
    ),
    (
        "cloud-init",
        &["cloud-init-local", "cloud-init.service", "cloud-init-main", "cloud-init-network", "Initial cloud-init job", "Cloud-init: "],
    ),
];

/// What systemd prints of a unit that did not start, and of one that did.
const FAILED: &str = "Failed to start ";
const STARTED: &[&str] = &["Started ", "Finished "];
/// What cloud-init prints where it was not told who may log in.
const NOBODY: &str = "DataSourceNone";

/// Signs that the present boot will let nobody in, one line each: what is needed for a login and did not start, and has not since.
/// Unlike [`trouble`] they may pass: a service is tried again.
pub fn signs(console: &str) -> Vec<String> {
    let mut signs: Vec<(&str, String)> = Vec::new();
    for line in present(console).split(['\n', '\r']) {
        let said = [FAILED, NOBODY, STARTED[0], STARTED[1]].iter().any(|word| line.contains(word));
        if !said {
            continue;
        }
        let line = printable(line);
        let of = |unit: &str| NEEDED.iter().find(|(_, names)| names.iter().any(|n| unit.starts_with(n))).map(|(what, _)| *what);
        if let Some((_, unit)) = line.split_once(FAILED) {
            if let Some(what) = of(unit) {
                signs.retain(|(before, _)| *before != what);
                signs.push((what, format!("{what} did not start: {line}")));
            }
        } else if line.contains(NOBODY) {
            signs.retain(|(before, _)| *before != NOBODY);
            signs.push((NOBODY, format!("cloud-init found nothing that says who may log in: {line}")));
        } else if let Some((_, unit)) = STARTED.iter().find_map(|word| line.split_once(word)) {
            signs.retain(|(before, _)| of(unit) != Some(*before));
        }
    }
    signs.into_iter().map(|(_, sign)| sign).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMOKE: &str = include_str!("../../test-tools/fixtures/console/debian-12-smoke.log");
    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIF/fexocCJznRJIBSv4pfpCTLxteCkS3LJSIMSyxsjDp";
    const OTHER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA42Kz+dC59coqKdYyEO5Iv4KoU3VMmQ2Zzm1Ex10Vj3";

    const ECDSA: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBKAD2CIZZctEpH98k7vyrsWqlzzXCRgHcDqxTtbNXbCSAMfDwv+MlKhtt3Jr4J/K/KItyMsgwuTsSexDKuqwo6Y=";

    /// The ed25519 keys; the ECDSA key beside them is looked at in one test.
    fn keys(console: &str) -> Vec<String> {
        host_keys(console).iter().map(|k| k.to_openssh().unwrap()).filter(|k| k.starts_with("ssh-ed25519")).collect()
    }

    #[test]
    fn keys_of_a_real_console() {
        let all: Vec<String> = host_keys(SMOKE).iter().map(|k| k.to_openssh().unwrap()).collect();
        assert_eq!(all, [ECDSA, KEY]);
    }

    #[test]
    fn nothing_before_the_block_is_complete() {
        let end = SMOKE.find(END).unwrap();
        assert!(keys(&SMOKE[..end]).is_empty());
        assert!(keys("").is_empty());
    }

    #[test]
    fn the_last_complete_block_counts() {
        let other = SMOKE.replace(KEY, OTHER);
        let cut = &SMOKE[..SMOKE.find(END).unwrap() - 40];
        assert_eq!(keys(&format!("{SMOKE}{other}")), [OTHER]);
        assert_eq!(keys(&format!("{other}{cut}")), [OTHER], "a block that has no end yet");
        assert_eq!(keys(&format!("{cut}{other}")), [OTHER], "a block that never got its end");
    }

    #[test]
    fn noise_in_the_block() {
        let loud = SMOKE.replace("AAAAIF/fexoc", "AAAAIF/[  640.350754] virtio_net virtio0 eth0: renamed\r\nfexoc");
        assert_eq!(keys(&loud), [KEY], "a kernel message in the middle of the key");
        let loud = SMOKE.replace(KEY, &format!("[   40.123456] cloud-init[430]: {KEY}"));
        assert_eq!(keys(&loud), [KEY], "a prefix");
        let loud = SMOKE.replace(KEY, &format!("[   40.123456] random: crng init done\r\n{KEY}"));
        assert_eq!(keys(&loud), [KEY], "a kernel message on its own line");
        let broken = SMOKE.replace("AAAAIF/fexoc", "AAAAIF/f xoc");
        assert!(keys(&broken).is_empty(), "no key is better than half of one");
    }

    #[test]
    fn the_tail_is_printable() {
        assert_eq!(
            tail("\x1b[H\x1b[J[\x1b[0;32m  OK  \x1b[0m] Started \x1b[0;1;39mx\x1b[0m.\r\r\n\r\n\x07b\tc\r\n\x1b(Bd", 3),
            ["[  OK  ] Started x.", "b c", "d"]
        );
        assert_eq!(tail(SMOKE, 2)[0], END);
        assert!(tail("", 5).is_empty());
    }

    #[test]
    fn trouble_in_real_consoles() {
        let fixture = |text: &str| trouble(text).unwrap_or_default();
        assert_eq!(
            fixture(include_str!("../../test-tools/fixtures/console/kernel-panic.log")),
            "the kernel panicked: VFS: Unable to mount root fs on unknown-block(0,0)"
        );
        assert_eq!(
            fixture(include_str!("../../test-tools/fixtures/console/no-bootable-device.log")),
            "the disk is not bootable: No bootable device."
        );
        assert_eq!(
            fixture(include_str!("../../test-tools/fixtures/console/grub-rescue.log")),
            "GRUB did not find the rest of itself: error: unknown filesystem."
        );
        assert_eq!(trouble(SMOKE), None);
    }

    #[test]
    fn trouble_in_words() {
        let firstboot = "Welcome to your new installation of Debian GNU/Linux 12!\r\n\r\n-- Press any key to proceed --";
        assert!(trouble(firstboot).unwrap().starts_with("systemd-firstboot waits"));
        let emergency =
            "[\x1b[0;1;31mFAILED\x1b[0m] Failed to mount \x1b[0;1;39mdata.mount\x1b[0m - /data.\r\r\nYou are in emergency mode. After";
        assert_eq!(trouble(emergency).unwrap(), "the system stopped in emergency mode: [FAILED] Failed to mount data.mount - /data.");
        let initramfs = "ALERT!  UUID=1-2 does not exist.  Dropping to a shell!\r\n\r\n(initramfs) ";
        assert_eq!(
            trouble(initramfs).unwrap(),
            "the initramfs did not find the root file system: ALERT!  UUID=1-2 does not exist.  Dropping to a shell!"
        );
    }

    #[test]
    fn signs_of_what_does_not_start() {
        let failed = "[\x1b[0;1;31mFAILED\x1b[0m] Failed to start \x1b[0;1;39mssh.service\x1b[0m - OpenBSD Secure Shell server.\r\n\
                      See 'systemctl status ssh.service' for details.\r\n";
        let says = "sshd did not start: [FAILED] Failed to start ssh.service - OpenBSD Secure Shell server.";
        assert_eq!(signs(failed), [says]);
        assert_eq!(signs(&failed.repeat(5)), [says], "it is tried again and again");
        assert_eq!(trouble(failed), None, "it may start yet");
        let started = "[  OK  ] Started ssh.service - OpenBSD Secure Shell server.\r\n";
        assert!(signs(&format!("{failed}{started}")).is_empty());
        assert_eq!(signs(&format!("{started}{failed}")), [says]);
        assert!(signs(&format!("{failed}[    0.000000] Linux version 6\r\n")).is_empty(), "of the boot before");
        let old = "[FAILED] Failed to start OpenSSH server daemon.\n[FAILED] Failed to start Raise network interfaces.\n";
        assert_eq!(signs(old).len(), 2);
        assert_eq!(signs("[FAILED] Failed to start cloud-init-local.service - Cloud-init: Local Stage (pre-network).").len(), 1);
        let none = "[   20.1] cloud-init[430]: Cloud-init v. 22.4.2 finished. Datasource DataSourceNone.  Up 20.10 seconds";
        assert!(signs(none)[0].starts_with("cloud-init found nothing"));
        assert!(signs("[FAILED] Failed to start apt-daily.service - Daily apt download activities.").is_empty());
        assert!(signs(SMOKE).is_empty());
    }

    #[test]
    fn trouble_of_an_earlier_boot_is_over() {
        let panic = include_str!("../../test-tools/fixtures/console/kernel-panic.log");
        assert_eq!(trouble(&format!("{panic}{SMOKE}")), None);
        assert!(trouble(&format!("{SMOKE}{panic}")).is_some());
    }

    /// Each look ends in time whatever the console is made of; one of a megabyte of `[` took the old parser many minutes.
    #[test]
    fn a_hostile_console_is_read_in_time() {
        let size = 512 << 10;
        for unit in [
            "[",
            "[    1.23456",
            "\x1b[",
            "\x1b]",
            FAILED,
            "Failed to start ssh.service\n",
            BEGIN,
            END,
            "ssh-ed25519 ",
            "ssh-ed25519 AAAA\n",
            "\n",
            "(initramfs)",
            "\u{202e}",
        ] {
            for (before, after) in [("", ""), (BEGIN, END), ("] Linux version ", "Dropping to a shell!")] {
                let console = format!("{before}{}{after}", unit.repeat(size / unit.len()));
                let begin = std::time::Instant::now();
                let _ = (host_keys(&console), tail(&console, 30), trouble(&console), signs(&console));
                assert!(begin.elapsed() < std::time::Duration::from_secs(20), "{unit:?} {before:?}: {:?}", begin.elapsed());
            }
        }
    }

    #[test]
    fn what_is_taken_out_is_bounded() {
        let many: String = (0..100).map(|_| crate::remote::keys::generate_key("x").public_key().to_openssh().unwrap() + "\n").collect();
        assert_eq!(host_keys(&format!("{BEGIN}\n{many}{END}")).len(), KEYS);
        let far = format!("{BEGIN}\n{}\n{KEY}\n{END}", "x".repeat(BLOCK));
        assert!(host_keys(&far).is_empty(), "a key behind more than a block");
        let old = format!("{SMOKE}{}", "x".repeat(RECENT));
        assert!(host_keys(&old).is_empty(), "only the end of a console counts");
        assert!(tail(&"x".repeat(1 << 20), 30)[0].len() < SHOWN + 100);
        assert!(trouble(&format!("Kernel panic - not syncing: {}", "x".repeat(1 << 20))).unwrap().len() < SHOWN + 100);
        let reordered = tail("\u{202e}evil\u{2066}", 1).remove(0);
        assert!(reordered.contains("evil") && !reordered.contains(['\u{202e}', '\u{2066}']), "{reordered}");
    }

    /// Whatever comes: no panic, and no key that was not there whole.
    #[test]
    fn anything_may_come() {
        let mut seed = 0x2545_f491_4f6c_dd1du64;
        let mut random = move |below: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed % below as u64) as usize
        };
        let parts = [BEGIN, END, KEY, OTHER, "\r\n", "[   12.345678] x", "[", "]", "\x1b[31m", "\u{e9}", "] Linux version ", "(initramfs)"];
        for _ in 0..20_000 {
            let console: String = (0..random(14)).map(|_| parts[random(parts.len())]).collect();
            let console = lines::end_of(&console, random(200));
            for key in keys(console) {
                let blob = key.split(' ').nth(1).unwrap();
                assert!(console.contains(blob) || without_kernel(console).contains(blob), "{console:?} {key}");
            }
            let _ = (tail(console, 3), trouble(console));
        }
    }
}
