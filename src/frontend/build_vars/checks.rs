//! `tests`: which checks a captured image must pass. The engine implements the checks.
use std::collections::HashSet;
use std::path::Path;

use super::decode::{Field, Reader};
use super::yaml::Value;
use super::{Kind, Tests, files, keys};

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

pub(super) fn tests(reader: &mut Reader, field: Option<&Field>, dir: &Path, shown: &Path) -> Tests {
    let (mut tests, mut broken) = (Tests::default(), Vec::new());
    for found in files::checks(dir) {
        match found {
            Ok(files::Check { path: file, told }) => {
                reader.told(&shown.join(&file), told);
                tests.files.push(file);
            }
            Err((file, trouble)) => {
                // It is there; what is wrong with it is said once.
                broken.push(file.display().to_string());
                reader.file_error(shown.join(file), (0, 0), trouble);
            }
        }
    }
    let Some(fields) = field.and_then(|f| reader.fields(f, keys::TESTS)) else { return tests };
    let own: Vec<String> =
        tests.files.iter().map(|f| f.display().to_string()).chain(broken).collect();
    let ids: Vec<&str> =
        CHECKS.iter().map(|c| c.id).chain(own.iter().map(String::as_str)).collect();
    tests.skip = fields.read("skip", |f| known(reader, f, &ids)).unwrap_or_default();
    tests.only = fields.read("only", |f| known(reader, f, &ids));
    tests.add = fields.read("add", |f| known(reader, f, &ids)).unwrap_or_default();
    tests.timeout = fields.read("timeout", |f| reader.duration(f));
    tests.dns_name = fields.read("dns_name", |f| plain(reader, f));
    tests.package = fields.read("package", |f| plain(reader, f));
    tests.volume_gib = fields.read("volume_size", |f| reader.size(f, 1024));
    if let (Some(only), Some(field)) = (&tests.only, fields.get("add"))
        && !tests.add.iter().all(|id| only.contains(id))
    {
        reader.error(
            field.key,
            "`tests.add` adds to what is on by default, and `tests.only` says all there is",
            "put them into `only`",
        );
    }
    tests
}

/// A list of existing checks.
fn known(reader: &mut Reader, field: &Field, ids: &[&str]) -> Option<Vec<String>> {
    let named = reader.words(field)?;
    let sound: HashSet<&String> = named.iter().collect();
    for item in reader.list(field)? {
        let Value::Scalar { text: id, .. } = &item.node.value else { continue };
        if ids.contains(&id.as_str()) || !sound.contains(id) {
            continue;
        }
        let hint = match keys::nearest(id, ids.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are {}", ids.join(", ")),
        };
        reader.error(item.node.spot, format!("there is no check `{id}`"), &hint);
    }
    Some(named)
}

/// A word that is passed to programs in the machine.
fn plain(reader: &mut Reader, field: &Field) -> Option<String> {
    let word = reader.word(field)?;
    if word.starts_with('-')
        || !word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | ':'))
    {
        reader.error(
            field.node.spot,
            format!("`{}` cannot be `{word}`", field.path),
            "letters, digits, `.`, `_`, `-`, `+` and `:`",
        );
        return None;
    }
    Some(word)
}

impl Tests {
    /// Enabled built-in checks, in order.
    pub fn chosen(&self, kind: Kind) -> Vec<&'static str> {
        let on = |check: &&KnownCheck| {
            let named = |list: &[String]| list.iter().any(|id| id == check.id);
            let by_default = check.by_default == ByDefault::All || kind == Kind::Os;
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
