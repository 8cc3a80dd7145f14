//! Checks, by trying, whether this user can be root of a user namespace with a full range of users,
//! as the script of `os/debian-12` requires. Files and versions do not tell what a kernel, its
//! security modules and a container allow.
use std::path::Path;
use std::time::Duration;

use super::user;
use crate::model::facts::Lack;
use crate::system::cancel::{Cancel, Cancelled};
use crate::system::exec::{self, Cmd, ExecError};

/// Users and groups of a system range up to `nobody`, 65534.
const WHOLE: u64 = 65_535;
/// First ID that distributions assign, and the length of their ranges.
const FIRST: u64 = 100_000;
const COUNT: u64 = 65_536;

// Changes a file's owner and back, which NFS and shared folders refuse to anybody but root. If no
// file can be created, the build reports that itself. The mounts are private.
const TRIAL: &str = r#"cat /proc/self/uid_map && echo && cat /proc/self/gid_map || exit
if [ "$(wc -l </proc/self/uid_map)" -gt 1 ] &&
    file=$(mktemp "$1/.image-factory-trial-XXXXXX" 2>/dev/null); then
    said=$(chown 1:1 "$file" 2>&1 && chown 0:0 "$file" 2>&1)
    code=$?
    rm -f "$file"
    [ "$code" = 0 ] || { echo "$said" >&2; exit 71; }
fi
mount -t tmpfs none /tmp"#;
/// Exit of the trial if the file system is the reason.
const NO_OWNERS: &str = "exit code 71";
const NOT_ALLOWED: &str = "user namespaces are needed: on Ubuntu 23.10 and later AppArmor keeps \
    them from ordinary users \
     (`sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`); in a container it has to \
     allow them (seccomp, `--security-opt`)";

/// `home` is where the script will work.
pub(super) async fn lacks(home: &Path, cancel: &Cancel) -> Result<Vec<Lack>, Cancelled> {
    let there = home.ancestors().find(|p| p.is_dir()).unwrap_or(home);
    // As the script does it.
    let cmd = Cmd::new("unshare", Duration::from_secs(60))
        .args(["--map-root-user", "--map-auto", "--mount", "--", "sh", "-c", TRIAL, "sh"])
        .arg(there.as_os_str());
    let why = match exec::output(&cmd, cancel).await {
        Ok(maps) if is_whole(&maps) => return Ok(Vec::new()),
        Ok(_) => String::new(),
        Err(ExecError::Cancelled(stopped)) => return Err(stopped),
        Err(ExecError::Failed { status, output, .. }) if status == NO_OWNERS => {
            let said = output.trim();
            let what = format!(
                "{} is on a file system that keeps no files of other users (NFS, a shared folder): \
                    {said}",
                home.display()
            );
            return Ok(vec![(
                what,
                "set IMAGE_FACTORY_HOME to a directory of yours on a disk of this machine".into(),
            )]);
        }
        Err(e) => e.to_string(),
    };
    let mut lacks = Vec::new();
    for program in ["newuidmap", "newgidmap"] {
        let cmd = Cmd::new(program, Duration::from_secs(60));
        // Without arguments it prints its usage, with an arbitrary exit code.
        if let Err(e @ (ExecError::Missing { .. } | ExecError::Start { .. })) =
            exec::output(&cmd, cancel).await
        {
            lacks.push((e.to_string(), "run `make deps`, or sudo apt-get install uidmap".into()));
        }
    }
    lacks.extend(no_range(&read("/etc/subuid"), &read("/etc/subgid")));
    if lacks.is_empty() {
        let old = why.contains("map-auto");
        let what = "this user cannot make a user namespace for os/debian-12";
        lacks.push(match (old, why.is_empty()) {
            (true, _) => (
                format!("{what}: {why}"),
                "util-linux 2.38 or newer is needed; or build it as root".into(),
            ),
            (_, true) => (
                format!("{what}: its subordinate IDs are fewer than {WHOLE}"),
                command(&read("/etc/subuid"), &read("/etc/subgid")),
            ),
            _ => (format!("{what}: {why}"), NOT_ALLOWED.into()),
        });
    }
    Ok(lacks)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Two maps of `<inside> <outside> <count>`, separated by an empty line.
fn is_whole(maps: &str) -> bool {
    let count = |line: &str| {
        line.split_ascii_whitespace().nth(2).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0)
    };
    let (users, groups) = maps.split_once("\n\n").unwrap_or_default();
    [users, groups].iter().all(|map| map.lines().map(count).sum::<u64>() >= WHOLE)
}

/// Reports that the user has no range in one of the files. If another service provides ranges, the
/// trial succeeds.
fn no_range(users: &str, groups: &str) -> Option<Lack> {
    let (id, name) = (user::id().to_string(), name());
    let has = |text: &str| {
        text.lines().filter_map(|line| line.split(':').next()).any(|who| who == name || who == id)
    };
    let files: Vec<&str> = [("/etc/subuid", users), ("/etc/subgid", groups)]
        .iter()
        .filter(|(_, t)| !has(t))
        .map(|(f, _)| *f)
        .collect();
    let text = format!(
        "user {name} has no subordinate IDs in {}, and os/debian-12 needs them to be built without \
            root",
        files.join(" and ")
    );
    (!files.is_empty()).then(|| (text, command(users, groups)))
}

/// The command that assigns an unused range to the user.
fn command(users: &str, groups: &str) -> String {
    let (users, groups) = (free(users), free(groups));
    format!("sudo usermod --add-subuids {users} --add-subgids {groups} {}", name())
}

fn free(text: &str) -> String {
    let end = |line: &str| {
        let mut numbers = line.split(':').skip(1).map(|n| n.trim().parse::<u64>());
        Some(numbers.next()?.ok()?.saturating_add(numbers.next()?.ok()?))
    };
    let first = text.lines().filter_map(end).max().unwrap_or(0).max(FIRST);
    format!("{first}-{}", first + COUNT - 1)
}

fn name() -> String {
    user::entry(user::id()).map_or_else(|| user::id().to_string(), |entry| entry.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_names_a_range_that_nobody_has() {
        assert_eq!(free(""), "100000-165535");
        assert_eq!(free("a:100000:65536\nb:165536:65536\nodd\nc:x:y\n"), "231072-296607");
        let (what, hint) = no_range("somebody:100000:65536\n", "").unwrap();
        assert!(what.contains("/etc/subuid and /etc/subgid"), "{what}");
        assert!(
            hint.starts_with(
                "sudo usermod --add-subuids 165536-231071 --add-subgids 100000-165535 "
            ),
            "{hint}"
        );
        let mine = format!("{}:100000:65536\n", user::id());
        assert_eq!(no_range(&mine, &mine), None);
    }

    #[test]
    fn a_map_of_a_few_users_is_not_whole() {
        let map = |count| {
            format!("         0       1000          1\n         1     100000      {count}\n")
        };
        assert!(is_whole(&format!("{}\n{}", map(65_536), map(65_536))));
        assert!(!is_whole(&format!("{}\n{}", map(1000), map(65_536))));
        assert!(!is_whole("         0       1000          1\n"));
    }
}
