//! Checks of an image: those that the factory has, and those that a definition asks for.
use std::path::PathBuf;
use std::time::Duration;

use super::kind::Kind;

/// `tests`: the checks to run. Files in `tests/` are checks of the bundle.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Tests {
    /// Executables under `tests/`, relative to the bundle, sorted.
    pub files: Vec<PathBuf>,
    /// IDs of skipped checks.
    pub skip: Vec<String>,
    /// The complete list of checks to run, if given.
    pub only: Option<Vec<String>>,
    /// Checks to run besides the defaults.
    pub add: Vec<String>,
    /// Per check.
    pub timeout: Option<Duration>,
    /// Name to resolve; defaults to the host of the machine's package mirror.
    pub dns_name: Option<String>,
    /// Package that cloud-init must be able to install.
    pub package: Option<String>,
    /// `tests.volume_size`
    #[serde(rename = "volume_gb")]
    pub volume_gib: Option<u64>,
}

/// A built-in check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownCheck {
    /// Stable; used in `tests.skip`, `tests.only` and `tests.add`.
    pub id: &'static str,
    /// Description in one line.
    pub what: &'static str,
    pub by_default: ByDefault,
}

/// Definitions for which a check is on by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByDefault {
    /// Images of bundles and operating systems.
    All,
    /// Operating systems only: checks that take minutes and depend on the system more than on the
    /// bundle.
    Os,
}

const fn all(id: &'static str, what: &'static str) -> KnownCheck {
    KnownCheck { id, what, by_default: ByDefault::All }
}

const fn os(id: &'static str, what: &'static str) -> KnownCheck {
    KnownCheck { id, what, by_default: ByDefault::Os }
}

/// All built-in checks, in display order.
pub const CHECKS: &[KnownCheck] = &[
    all("boots", "two machines of the image boot, and cloud-init ends"),
    all("ssh", "the default user logs in with a new key"),
    all("console", "something is written to the serial console"),
    all(
        "host-keys-unique",
        "two machines of the image and its builder have host keys of their own",
    ),
    all(
        "machine-id-unique",
        "two machines of the image and its builder have machine-ids of their own",
    ),
    all("build-key-refused", "the key of the build opens no machine of the image"),
    all("root-ssh", "root gets no shell over SSH"),
    all("cloud-init", "cloud-init has ended without errors"),
    all("runcmd", "cloud-init runs what user data says"),
    all("metadata", "config drive or metadata service is reached"),
    all("failed-units", "the system is up and no unit has failed"),
    all("sudo", "the default user has sudo without a password"),
    all("root-login", "root cannot log in by password"),
    all("hostname", "the machine has the name the cloud gave it"),
    all("local-names", "the machine's own name and localhost resolve"),
    all("machine-id", "the machine has an ID of its own"),
    all("clock", "the clock is right"),
    all("entropy", "random numbers come at once"),
    all("dns", "names resolve"),
    all("disk-size", "the root file system has grown to the size of the disk"),
    all("auth-log", "no error in what was logged about logins"),
    all("leftovers", "nothing of the builder is left in the image"),
    os("package-update", "the package manager reads its sources"),
    os("cloud-init-package", "cloud-init installs a package"),
    os("reboot-soft", "the machine comes back from an orderly reboot"),
    os("reboot-hard", "the machine comes back from a power cycle"),
    os("volume", "a volume is attached, written to, read, and detached"),
    os("screen", "the cloud gives an address of the machine's screen"),
    os("rescue", "the machine's disk can be reached in rescue mode, and the machine comes back"),
    os("snapshot", "an image of the machine boots on a machine of another size"),
];

impl Tests {
    /// Enabled built-in checks, in order.
    pub fn chosen(&self, kind: Kind) -> Vec<&'static str> {
        let on = |check: &&KnownCheck| {
            let named = |list: &[String]| list.iter().any(|id| id == check.id);
            let by_default = check.by_default == ByDefault::All || kind.category().long_checks;
            let wanted = self
                .only
                .as_ref()
                .map_or_else(|| by_default || named(&self.add), |only| named(only));
            wanted && !named(&self.skip)
        };
        CHECKS.iter().filter(on).map(|c| c.id).collect()
    }

    /// Enabled checks of the bundle itself.
    pub fn own(&self) -> Vec<std::path::PathBuf> {
        let on = |file: &&std::path::PathBuf| {
            let id = file.display().to_string();
            self.only.as_ref().is_none_or(|only| only.contains(&id)) && !self.skip.contains(&id)
        };
        self.files.iter().filter(on).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_plain() {
        let mut ids: Vec<_> = CHECKS.iter().map(|c| c.id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), CHECKS.len());
        assert!(ids.iter().all(|id| id.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')));
    }

    #[test]
    fn what_is_on() {
        let plain = Tests::default();
        assert!(
            plain.chosen(Kind::Image).contains(&"dns")
                && !plain.chosen(Kind::Image).contains(&"rescue")
        );
        assert_eq!(plain.chosen(Kind::Os).len(), CHECKS.len());
        let less = Tests {
            skip: vec!["dns".into(), "tests/a".into()],
            add: vec!["rescue".into()],
            files: vec!["tests/a".into()],
            ..plain
        };
        assert!(
            !less.chosen(Kind::Image).contains(&"dns")
                && less.chosen(Kind::Image).contains(&"rescue")
        );
        assert_eq!(less.own(), [""; 0].map(std::path::PathBuf::from));
        let only =
            Tests { only: Some(vec!["ssh".into(), "tests/a".into()]), skip: Vec::new(), ..less };
        assert_eq!(only.chosen(Kind::Os), ["ssh"]);
        assert_eq!(only.own(), ["tests/a"].map(std::path::PathBuf::from));
    }
}
