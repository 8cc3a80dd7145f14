//! The built-in smoke checks that run inside a machine booted from the captured image. What has to be seen from outside
//! (that host keys differ between two machines, that the build key is refused) is not here.
//!
//! A check is a script for `sh`. It prints what helps to understand a failure, and as the last line of stdout the reason in
//! one line: of a pass too, which is then what was seen. Exit code 0 is a pass, [`SKIP`] a skip, anything else a failure.
//!
//! Environment, all of it optional: `FACTORY_HOSTNAME` (the machine's name), `FACTORY_USER` (the default user),
//! `FACTORY_DISK_BYTES` (size of the machine's disk), `FACTORY_NOW` (seconds since 1970 on the factory when the check was
//! started), `FACTORY_DNS_NAME` (a name that has to resolve), `FACTORY_BUILD_KEY` (public key in OpenSSH format),
//! `FACTORY_RUN_BUILDER` (name of the builder), `FACTORY_TIDY` (parts of tidy that were on, separated by blanks).

/// Exit code of a check that does not apply.
pub const SKIP: i32 = 77;

/// A check as the factory carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckDef {
    /// Stable; what `tests.skip` names.
    pub id: &'static str,
    /// What is checked, in one line for people.
    pub what: &'static str,
    pub script: &'static str,
    /// Runs as root; the others run as the default user.
    pub sudo: bool,
}

/// The session may run scripts under `sh -e`, and a locale of the image may translate what is compared.
macro_rules! script {
    ($name:literal) => {
        concat!("set +e\nexport LC_ALL=C\n", include_str!(concat!("../../templates/guest/checks/", $name, ".sh")))
    };
}

/// In the order in which they run: the first two wait for the machine to be up, so that the others find it settled.
pub fn builtin() -> &'static [CheckDef] {
    const {
        &[
            CheckDef { id: "cloud-init", what: "cloud-init has ended without errors", script: script!("cloud-init"), sudo: false },
            CheckDef { id: "metadata", what: "config drive or metadata service is reached", script: script!("metadata"), sudo: true },
            CheckDef { id: "failed-units", what: "the system is up and no unit has failed", script: script!("failed-units"), sudo: true },
            CheckDef { id: "sudo", what: "the default user has sudo without a password", script: script!("sudo"), sudo: false },
            CheckDef { id: "root-login", what: "root cannot log in by password", script: script!("root-login"), sudo: true },
            CheckDef { id: "hostname", what: "the machine has the name the cloud gave it", script: script!("hostname"), sudo: false },
            CheckDef { id: "machine-id", what: "the machine has an ID of its own", script: script!("machine-id"), sudo: false },
            CheckDef { id: "clock", what: "the clock is right", script: script!("clock"), sudo: false },
            CheckDef { id: "dns", what: "names resolve", script: script!("dns"), sudo: false },
            CheckDef {
                id: "disk-size",
                what: "the root file system has grown to the size of the disk",
                script: script!("disk-size"),
                sudo: true,
            },
            CheckDef { id: "leftovers", what: "nothing of the builder is left in the image", script: script!("leftovers"), sudo: true },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Output};

    fn sh(args: &[&str], script: &str) -> Output {
        Command::new("sh").args(args).args(["-c", script]).env_clear().env("PATH", "/usr/bin:/bin").output().unwrap()
    }

    #[test]
    fn ids_are_unique_and_plain() {
        let mut ids: Vec<_> = builtin().iter().map(|c| c.id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), builtin().len());
        assert!(ids.iter().all(|id| id.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')));
    }

    /// Every script of the directory is in the table, and `sh` can read it.
    #[test]
    fn scripts_are_sound() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/templates/guest/checks");
        assert_eq!(std::fs::read_dir(dir).unwrap().count(), builtin().len());
        for check in builtin() {
            let out = sh(&["-n"], check.script);
            assert!(out.status.success(), "{}: {}", check.id, String::from_utf8_lossy(&out.stderr));
        }
    }

    /// With the project's linter where it is installed.
    #[test]
    fn shellcheck_is_content() {
        let Ok(out) = Command::new("sh")
            .args(["-c", "command -v shellcheck >/dev/null || exit 127; shellcheck templates/guest/*.sh templates/guest/checks/*.sh"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
        else {
            return;
        };
        assert!(out.status.success() || out.status.code() == Some(127), "{}", String::from_utf8_lossy(&out.stdout));
    }

    fn last_line(out: &Output) -> String {
        String::from_utf8_lossy(&out.stdout).lines().last().unwrap_or_default().to_string()
    }

    /// What can be tried on any machine, under `-e` as sessions may run it.
    #[test]
    fn verdicts() {
        let script = |id: &str, set: &str| {
            let check = builtin().iter().find(|c| c.id == id).unwrap();
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
        let out = script("sudo", &fake("echo 'sudo: unable to resolve host x: Name or service not known' >&2; echo 0"));
        assert_eq!(out.status.code(), Some(1));
        assert!(last_line(&out).starts_with("sudo cannot resolve the machine's own name"), "{out:?}");
        let out = script("sudo", &fake("echo 0"));
        assert!(out.status.success(), "{out:?}");

        // A machine without package sources and without a name to try has nothing to say.
        let out = script("dns", "cat() { :; }");
        assert_eq!(out.status.code(), Some(SKIP), "{out:?}");
        let out = script("dns", "export FACTORY_DNS_NAME=localhost");
        assert!(out.status.success(), "{out:?}");
    }
}
