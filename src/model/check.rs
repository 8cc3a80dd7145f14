//! Checks of an image: those that the factory has, and those that a definition asks for.
use std::path::PathBuf;
use std::sync::LazyLock;
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
#[derive(Debug, Clone, Copy)]
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

/// A check that a script makes in the machine. Its file begins with a header, of which `build.rs`
/// makes the table [`SCRIPTS`]: a new check is a new file.
///
/// ```text
/// #!/bin/sh
/// # check: dns               the ID, and the file's name
/// # what: names resolve      a description in one line
/// # default: all             or `os`
/// # as: user                 or `root`
/// # order: 120               of display, and of execution of those that run alone
/// # slow                     if it downloads packages; it runs alone
/// # last                     if it looks at what other checks may leave; it runs alone, after them
/// ```
#[derive(Debug, Clone, Copy)]
pub struct ScriptCheck {
    pub id: &'static str,
    pub what: &'static str,
    pub by_default: ByDefault,
    /// Runs as root, otherwise as the default user.
    pub sudo: bool,
    /// Downloads packages.
    pub slow: bool,
    /// Runs after the others, by itself. The others run side by side.
    pub alone: bool,
    pub script: &'static str,
}

/// Sessions may use `sh -e`, and a locale of the image could translate compared text.
macro_rules! script {
    ($path:literal) => {
        concat!("set +e\nexport LC_ALL=C\n", include_str!($path))
    };
}

include!(concat!(env!("OUT_DIR"), "/checks.rs"));

/// A check of machines from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutsideCheck {
    Boots,
    Ssh,
    Console,
    HostKeysUnique,
    MachineIdUnique,
    BuildKeyRefused,
    RootSsh,
}

/// The check that all others stand on.
pub const BOOTS: &str = "boots";
/// Runs beside the scripts.
pub const ROOT_SSH: &str = "root-ssh";

/// In the order of display and execution, with IDs and descriptions.
pub const OUTSIDE: &[(OutsideCheck, &str, &str)] = &[
    (OutsideCheck::Boots, BOOTS, "two machines of the image boot, and cloud-init ends"),
    (OutsideCheck::Ssh, "ssh", "the default user logs in with a new key"),
    (OutsideCheck::Console, "console", "something is written to the serial console"),
    (
        OutsideCheck::HostKeysUnique,
        "host-keys-unique",
        "two machines of the image and its builder have host keys of their own",
    ),
    (
        OutsideCheck::MachineIdUnique,
        "machine-id-unique",
        "two machines of the image and its builder have machine-ids of their own",
    ),
    (
        OutsideCheck::BuildKeyRefused,
        "build-key-refused",
        "the key of the build opens no machine of the image",
    ),
    (OutsideCheck::RootSsh, ROOT_SSH, "root gets no shell over SSH"),
];

/// A check that uses the machine up. On by default for operating systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisruptiveCheck {
    RebootSoft,
    RebootHard,
    Volume,
    Screen,
    Rescue,
    Snapshot,
}

/// In the order of display, with IDs and descriptions.
pub const DISRUPTIVE: &[(DisruptiveCheck, &str, &str)] = &[
    (DisruptiveCheck::RebootSoft, "reboot-soft", "the machine comes back from an orderly reboot"),
    (DisruptiveCheck::RebootHard, "reboot-hard", "the machine comes back from a power cycle"),
    (DisruptiveCheck::Volume, "volume", "a volume is attached, written to, read, and detached"),
    (DisruptiveCheck::Screen, "screen", "the cloud gives an address of the machine's screen"),
    (
        DisruptiveCheck::Rescue,
        "rescue",
        "the machine's disk can be reached in rescue mode, and the machine comes back",
    ),
    (
        DisruptiveCheck::Snapshot,
        "snapshot",
        "an image of the machine boots on a machine of another size",
    ),
];

/// All built-in checks, in display order.
pub static CHECKS: LazyLock<Vec<KnownCheck>> = LazyLock::new(|| {
    let known = |id, what, by_default| KnownCheck { id, what, by_default };
    let outside = OUTSIDE.iter().map(|(_, id, what)| known(*id, *what, ByDefault::All));
    let scripts = SCRIPTS.iter().map(|s| known(s.id, s.what, s.by_default));
    let disruptive = DISRUPTIVE.iter().map(|(_, id, what)| known(*id, *what, ByDefault::Os));
    outside.chain(scripts).chain(disruptive).collect()
});

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
