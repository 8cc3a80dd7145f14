//! Built-in smoke checks that run inside a machine booted from the captured image. Checks from
//! outside (different host keys of two machines, refused build key) are elsewhere.
//!
//! A check is a script for `sh`. It prints details of a failure; the last line of stdout is the
//! reason in one line, or the observation of a pass. Exit code 0 is a pass, [`SKIP`] a skip,
//! anything else a failure.
//!
//! Environment, all optional: `FACTORY_HOSTNAME` (the machine's name), `FACTORY_USER` (the default
//! user), `FACTORY_DISK_BYTES` (size of the machine's disk), `FACTORY_NOW` (seconds since 1970 on
//! the factory at the start), `FACTORY_DNS_NAME` (a name that must resolve), `FACTORY_BUILD_KEY`
//! (public key in OpenSSH format), `FACTORY_RUN_BUILDER` (names that the builder has had,
//! separated by blanks), `FACTORY_BUILDER_ID` (its machine-id), `FACTORY_TIDY` (enabled parts of
//! tidy, separated by blanks), `FACTORY_PACKAGE` (package for cloud-init to install),
//! `FACTORY_BUNDLE`, `FACTORY_IMAGE_NAME`.

use crate::model::check::ScriptCheck;

/// Exit code of a check that does not apply.
pub const SKIP: i32 = 77;

/// Default time limit of a check, in seconds.
pub const LIMIT: u64 = 180;
/// Time limit, in seconds, of checks that download packages.
const SLOW: u64 = 900;

/// Time limit of a check, in seconds.
pub fn limit(check: &ScriptCheck) -> u64 {
    if check.slow { SLOW } else { LIMIT }
}

#[cfg(test)]
mod tests {
    use super::{SKIP, limit};
    use crate::model::check::SCRIPTS;
    use std::process::{Command, Output};

    fn sh(args: &[&str], script: &str) -> Output {
        Command::new("sh")
            .args(args)
            .args(["-c", script])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .output()
            .unwrap()
    }

    #[test]
    fn scripts_are_sound() {
        for check in SCRIPTS {
            let out = sh(&["-n"], check.script);
            assert!(out.status.success(), "{}: {}", check.id, String::from_utf8_lossy(&out.stderr));
        }
    }

    #[test]
    fn a_check_has_three_minutes_and_fifteen_where_it_fetches_packages() {
        let slow = SCRIPTS.iter().filter(|check| limit(check) != 180);
        let mut slow: Vec<_> = slow.map(|check| (check.id, limit(check))).collect();
        slow.sort();
        assert_eq!(slow, [("cloud-init-package", 900), ("package-update", 900)]);
    }

    /// With the project's linter where it is installed.
    #[test]
    fn shellcheck_is_content() {
        let Ok(out) = Command::new("sh")
            .args([
                "-c",
                "command -v shellcheck >/dev/null || exit 127; shellcheck \
                templates/guest/*.sh templates/guest/*/*.sh",
            ])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
        else {
            return;
        };
        assert!(
            out.status.success() || out.status.code() == Some(127),
            "{}",
            String::from_utf8_lossy(&out.stdout)
        );
    }

    fn last_line(out: &Output) -> String {
        String::from_utf8_lossy(&out.stdout).lines().last().unwrap_or_default().to_string()
    }

    /// What can be tried on any machine, under `-e` as sessions may run it.
    #[test]
    fn verdicts() {
        let script = |id: &str, set: &str| {
            let check = SCRIPTS.iter().find(|c| c.id == id).unwrap();
            sh(&["-e"], &format!("{set}\n{}", check.script))
        };
        let out = script("hostname", "export FACTORY_HOSTNAME=$(uname -n).novalocal");
        assert!(out.status.success(), "{out:?}");
        let out = script("hostname", "export FACTORY_HOSTNAME=other");
        assert_eq!(out.status.code(), Some(1));
        assert!(last_line(&out).ends_with("not other"), "{out:?}");

        let out = script("clock", "export FACTORY_NOW=$(date +%s)");
        assert!(out.status.success(), "{out:?}");
        let out = script("clock", "export FACTORY_NOW=$(($(date +%s) + 3600))");
        assert_eq!(out.status.code(), Some(1));
        assert!(last_line(&out).ends_with("s slow"), "{out:?}");

        // Fake sudo: says what a real one says where the machine's name does not resolve.
        let fake = |said: &str| format!("sudo() {{ {said}; }}");
        let out = script(
            "sudo",
            &fake("echo 'sudo: unable to resolve host x: Name or service not known' >&2; echo 0"),
        );
        assert_eq!(out.status.code(), Some(1));
        assert!(
            last_line(&out).starts_with("sudo cannot resolve the machine's own name"),
            "{out:?}"
        );
        let out = script("sudo", &fake("echo 0"));
        assert!(out.status.success(), "{out:?}");

        // A machine without package sources and without a name to try has nothing to say.
        let out = script("dns", "cat() { :; }");
        assert_eq!(out.status.code(), Some(SKIP), "{out:?}");
        let out = script("dns", "export FACTORY_DNS_NAME=localhost");
        assert!(out.status.success(), "{out:?}");
    }
}
