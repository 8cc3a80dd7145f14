//! Consoles of real machines, of broken ones, and of such as mean harm.
use super::signs::FAILED;
use super::*;

const SMOKE: &str = include_str!("../../../test-tools/fixtures/console/debian-12-smoke.log");
const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIF/fexocCJznRJIBSv4pfpCTLxteCkS3LJSIMSyxsjDp";
const OTHER: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA42Kz+dC59coqKdYyEO5Iv4KoU3VMmQ2Zzm1Ex10Vj3";

const ECDSA: &str = "ecdsa-sha2-nistp256 \
    AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBKAD2CIZZctEpH98k7vyrsWqlzzXCRgHcDqxT\
    tbNXbCSAMfDwv+MlKhtt3Jr4J/K/KItyMsgwuTsSexDKuqwo6Y=";

/// The ed25519 keys; the ECDSA key beside them is looked at in one test.
fn keys(console: &str) -> Vec<String> {
    host_keys(console)
        .iter()
        .map(|k| k.to_openssh().unwrap())
        .filter(|k| k.starts_with("ssh-ed25519"))
        .collect()
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
    let loud = SMOKE
        .replace("AAAAIF/fexoc", "AAAAIF/[  640.350754] virtio_net virtio0 eth0: renamed\r\nfexoc");
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
        tail(
            "\x1b[H\x1b[J[\x1b[0;32m  OK  \x1b[0m] Started \
                \x1b[0;1;39mx\x1b[0m.\r\r\n\r\n\x07b\tc\r\n\x1b(Bd",
            3
        ),
        ["[  OK  ] Started x.", "b c", "d"]
    );
    assert_eq!(tail(SMOKE, 2)[0], END);
    assert!(tail("", 5).is_empty());
}

#[test]
fn trouble_in_real_consoles() {
    let fixture = |text: &str| trouble(text).unwrap_or_default();
    assert_eq!(
        fixture(include_str!("../../../test-tools/fixtures/console/kernel-panic.log")),
        "the kernel panicked: VFS: Unable to mount root fs on unknown-block(0,0)"
    );
    assert_eq!(
        fixture(include_str!("../../../test-tools/fixtures/console/no-bootable-device.log")),
        "the disk is not bootable: No bootable device."
    );
    assert_eq!(
        fixture(include_str!("../../../test-tools/fixtures/console/grub-rescue.log")),
        "GRUB did not find the rest of itself: error: unknown filesystem."
    );
    assert_eq!(trouble(SMOKE), None);
}

#[test]
fn trouble_in_words() {
    let firstboot = "Welcome to your new installation of Debian GNU/Linux 12!\r\n\r\n-- Press any \
        key to proceed --";
    assert!(trouble(firstboot).unwrap().starts_with("systemd-firstboot waits"));
    let emergency = "[\x1b[0;1;31mFAILED\x1b[0m] Failed to mount \x1b[0;1;39mdata.mount\x1b[0m - \
        /data.\r\r\nYou are in emergency mode. After";
    assert_eq!(
        trouble(emergency).unwrap(),
        "the system stopped in emergency mode: [FAILED] Failed to mount data.mount - /data."
    );
    let initramfs = "ALERT!  UUID=1-2 does not exist.  Dropping to a shell!\r\n\r\n(initramfs) ";
    assert!(
        trouble("BdsDxe: starting Boot0001\r\nUEFI Interactive Shell v2.2\r\nShell> ")
            .unwrap()
            .contains("stopped in its shell")
    );
    assert_eq!(
        trouble(initramfs).unwrap(),
        "the initramfs did not find the root file system: ALERT!  UUID=1-2 does not exist.  \
            Dropping to a shell!"
    );
}

#[test]
fn signs_of_what_does_not_start() {
    let failed = "[\x1b[0;1;31mFAILED\x1b[0m] Failed to start \x1b[0;1;39mssh.service\x1b[0m - \
        OpenBSD Secure Shell server.\r\n\
                  See 'systemctl status ssh.service' for details.\r\n";
    let says =
        "sshd did not start: [FAILED] Failed to start ssh.service - OpenBSD Secure Shell server.";
    assert_eq!(signs(failed), [says]);
    assert_eq!(signs(&failed.repeat(5)), [says], "it is tried again and again");
    assert_eq!(trouble(failed), None, "it may start yet");
    let started = "[  OK  ] Started ssh.service - OpenBSD Secure Shell server.\r\n";
    assert!(signs(&format!("{failed}{started}")).is_empty());
    assert_eq!(signs(&format!("{started}{failed}")), [says]);
    assert!(
        signs(&format!("{failed}[    0.000000] Linux version 6\r\n")).is_empty(),
        "of the boot before"
    );
    let old = "[FAILED] Failed to start OpenSSH server daemon.\n[FAILED] Failed to start Raise \
        network interfaces.\n";
    assert_eq!(signs(old).len(), 2);
    assert_eq!(
        signs(
            "[FAILED] Failed to start cloud-init-local.service - Cloud-init: Local Stage \
        (pre-network)."
        )
        .len(),
        1
    );
    let none = "[   20.1] cloud-init[430]: Cloud-init v. 22.4.2 finished. Datasource \
        DataSourceNone.  Up 20.10 seconds";
    assert!(signs(none)[0].starts_with("cloud-init found nothing"));
    let socket = "[FAILED] Failed to listen on \x1b[0;1;39mssh.socket\x1b[0m - OpenBSD Secure \
        Shell server socket.\r\n";
    assert_eq!(
        signs(socket),
        ["sshd did not start: [FAILED] Failed to listen on ssh.socket - OpenBSD Secure Shell \
                server socket."]
    );
    assert!(
        signs(&format!(
            "{socket}[  OK  ] Listening on ssh.socket - OpenBSD Secure Shell server socket.\r\n"
        ))
        .is_empty()
    );
    let locked = "Please enter passphrase for disk QEMU_HARDDISK (luks-1): \r\n";
    assert!(signs(locked)[0].starts_with("a disk waits for its passphrase"));
    assert!(
        signs(&format!("{locked}[  OK  ] Finished Cryptography Setup for luks-1.\r\n")).is_empty()
    );
    assert!(
        signs("[DEPEND] Dependency failed for ssh.service - OpenBSD Secure Shell server.")[0]
            .starts_with("sshd did not start")
    );
    assert_eq!(
        signs("[FAILED] Failed to start cloud-final.service - Cloud-init: Final Stage.").len(),
        1
    );
    assert_eq!(signs("[FAILED] Failed to start Execute cloud user/final scripts.").len(), 1);
    assert!(
        signs("[FAILED] Failed to start Network Manager Wait Online.").is_empty(),
        "nobody needs it"
    );
    assert!(
        signs("[FAILED] Failed to start apt-daily.service - Daily apt download activities.")
            .is_empty()
    );
    assert!(signs(SMOKE).is_empty());
}

#[test]
fn trouble_of_an_earlier_boot_is_over() {
    let panic = include_str!("../../../test-tools/fixtures/console/kernel-panic.log");
    assert_eq!(trouble(&format!("{panic}{SMOKE}")), None);
    assert!(trouble(&format!("{SMOKE}{panic}")).is_some());
}

/// Each look ends in time whatever the console is made of; one of a megabyte of `[` took the old
/// parser many minutes.
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
        for (before, after) in
            [("", ""), (BEGIN, END), ("] Linux version ", "Dropping to a shell!")]
        {
            let console = format!("{before}{}{after}", unit.repeat(size / unit.len()));
            let begin = std::time::Instant::now();
            let _ = (host_keys(&console), tail(&console, 30), trouble(&console), signs(&console));
            assert!(
                begin.elapsed() < std::time::Duration::from_secs(20),
                "{unit:?} {before:?}: {:?}",
                begin.elapsed()
            );
        }
    }
}

#[test]
fn what_is_taken_out_is_bounded() {
    let many: String = (0..100)
        .map(|_| crate::guest::keys::generate_key("x").public_key().to_openssh().unwrap() + "\n")
        .collect();
    assert_eq!(host_keys(&format!("{BEGIN}\n{many}{END}")).len(), KEYS);
    let far = format!("{BEGIN}\n{}\n{KEY}\n{END}", "x".repeat(BLOCK));
    assert!(host_keys(&far).is_empty(), "a key behind more than a block");
    let old = format!("{SMOKE}{}", "x".repeat(RECENT));
    assert!(host_keys(&old).is_empty(), "only the end of a console counts");
    assert!(tail(&"x".repeat(1 << 20), 30)[0].len() < SHOWN + 100);
    assert!(
        trouble(&format!("Kernel panic - not syncing: {}", "x".repeat(1 << 20))).unwrap().len()
            < SHOWN + 100
    );
    let reordered = tail("\u{202e}evil\u{2066}", 1).remove(0);
    assert!(
        reordered.contains("evil") && !reordered.contains(['\u{202e}', '\u{2066}']),
        "{reordered}"
    );
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
    let parts = [
        BEGIN,
        END,
        KEY,
        OTHER,
        "\r\n",
        "[   12.345678] x",
        "[",
        "]",
        "\x1b[31m",
        "\u{e9}",
        "] Linux version ",
        "(initramfs)",
    ];
    for _ in 0..20_000 {
        let console: String = (0..random(14)).map(|_| parts[random(parts.len())]).collect();
        let console = lines::end_of(&console, random(200));
        for key in keys(console) {
            let blob = key.split(' ').nth(1).unwrap();
            assert!(
                console.contains(blob) || without_kernel(console).contains(blob),
                "{console:?} {key}"
            );
        }
        let _ = (tail(console, 3), trouble(console));
    }
}
