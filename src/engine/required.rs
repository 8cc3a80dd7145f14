//! Installs roles and collections of a `requirements.yml` with `ansible-galaxy`, into the run's own
//! directory, before the playbook runs. The list is untrusted, so this happens behind the wall;
//! only Ansible reads the result.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::heard::{LastLines, REASON};
use super::{BuildContext, BuildError, child, exec_reason};
use crate::engine::ansible;
use crate::frontend::build_vars;
use crate::plan::StepPlan;
use crate::system::exec::{self, Cmd};
use crate::system::lines;
use crate::wall::WorkDir;

/// Time limit per list.
const DEADLINE: Duration = Duration::from_secs(15 * 60);

/// Installed roles and collections of a playbook.
#[derive(Debug, Default)]
pub(super) struct Installed {
    roles: Vec<PathBuf>,
    collections: Vec<PathBuf>,
}

/// The inner error is why the step cannot run.
pub(super) async fn install(
    site: &BuildContext<'_>,
    index: usize,
    step: &StepPlan,
    playbook: &Path,
) -> Result<Result<Installed, String>, BuildError> {
    let dir = &site.plan.bundle_dir;
    let required = build_vars::requirements(dir, playbook);
    let mut installed = Installed::default();
    let roles = required.role_files.iter().map(|file| (file, "role"));
    let all = roles.chain(required.collection_files.iter().map(|file| (file, "collection")));
    for (number, (file, kind)) in all.enumerate() {
        // A step that is tried again starts anew: the first try may have ended half-way.
        let room = site.scratch.join(format!("required-{index}-{number}"));
        let to = room.join(kind);
        site.cx.events.doing(format!("{kind}s of {}", file.display()));
        if let Err(reason) = galaxy(
            site,
            &format!("{index} {number}"),
            step,
            &List { file, kind, room: &room, to: &to },
        )
        .await?
        {
            return Ok(Err(format!("{}: {reason}", file.display())));
        }
        // What ran there may have put a link in its place, and a mount would follow that out of the
        // wall.
        match to.symlink_metadata() {
            Ok(made) if made.is_dir() => {}
            Ok(_) => {
                return Ok(Err(format!(
                    "{}: ansible-galaxy left no directory for its {kind}s",
                    file.display()
                )));
            }
            // A list that names nothing of this kind.
            Err(_) => continue,
        }
        match kind {
            "role" => installed.roles.push(to),
            _ => installed.collections.push(to),
        }
    }
    Ok(Ok(installed))
}

/// A list and the directory for its contents.
struct List<'l> {
    file: &'l Path,
    kind: &'l str,
    room: &'l Path,
    to: &'l Path,
}

async fn galaxy(
    site: &BuildContext<'_>,
    number: &str,
    step: &StepPlan,
    list: &List<'_>,
) -> Result<Result<(), String>, BuildError> {
    let mut cmd = Cmd::new("ansible-galaxy", DEADLINE.min(Duration::from_secs(step.timeout)))
        .dir(&site.plan.bundle_dir)
        .mark(&site.plan.run)
        .env("ANSIBLE_NOCOLOR", "1")
        .env("ANSIBLE_LOCAL_TEMP", list.room.join("ansible").to_string_lossy())
        .env("ANSIBLE_COLLECTIONS_PATH", list.to.to_string_lossy())
        .args([list.kind, "install", "-r"])
        .arg(list.file.as_os_str())
        .arg("-p")
        .arg(list.to.as_os_str());
    step.env
        .iter()
        .for_each(|(name, value)| _ = cmd.env.entry(name.clone()).or_insert_with(|| value.clone()));
    let room = WorkDir { plan: site.plan, dir: list.room, read: Vec::new(), source: false };
    let cmd = site.wall.around(cmd, &room, &site.cx.cancel).await?;
    let last = LastLines::default();
    let (events, keep) = (site.cx.events.clone(), last.clone());
    let name = format!("{} ansible-galaxy {number}", site.plan.run);
    let status = child::run(site.cx, &name, &cmd, move |_, line| {
        keep.push(line);
        events.output("ansible", line);
    })
    .await;
    match status {
        Ok(status) if status.success() => Ok(Ok(())),
        Ok(status) => Ok(Err(reason(&last.all(), &exec::status_text(status)))),
        Err(child::ChildError::Exec(e)) => Ok(Err(exec_reason(e)?)),
        Err(child::ChildError::Ledger(e)) => Err(e.into()),
    }
}

/// Why the installation failed. For roles the cause is in a warning, and the following error only
/// mentions an option.
fn reason(said: &[String], status: &str) -> String {
    let cause = match (warning(said), ansible::refused(said)) {
        (Some(text), _) => text,
        (None, Some(refusal)) => refusal.message,
        (None, None) => {
            said.iter().rev().find(|line| !line.trim().is_empty()).cloned().unwrap_or_default()
        }
    };
    // Ansible breaks its warnings into lines.
    let all = said.join(" ");
    let unreached = [
        "name resolution",
        "Name or service not known",
        "unreachable",
        "timed out",
        "Connection refused",
        "urlopen error",
    ];
    let hint = match unreached.iter().any(|part| all.contains(part)) {
        true => {
            "; the factory does not reach the server: put roles and collections beside the \
                playbook, or name a mirror in ansible.cfg"
        }
        false => "",
    };
    lines::cut(&format!("ansible-galaxy, {status}: {cause}{hint}"), 8 * REASON)
}

/// `- NAME was NOT installed successfully: …`, with its continuation lines.
fn warning(said: &[String]) -> Option<String> {
    let start = said.iter().position(|line| line.contains("NOT installed successfully"))?;
    let more = said[start + 1..]
        .iter()
        .take_while(|line| !line.starts_with(['[', '-']) && !line.starts_with("ERROR!"));
    let text: Vec<&str> =
        std::iter::once(&said[start]).chain(more).map(|line| line.trim()).collect();
    Some(text.join(" ").trim_start_matches("[WARNING]: ").trim_start_matches("- ").to_owned())
}

impl Installed {
    /// Makes Ansible search these directories first, then its usual ones.
    pub fn add_to(&self, env: &mut BTreeMap<String, String>, bundle_dir: &Path) {
        let (roles, collections) = build_vars::search_paths(bundle_dir, env);
        for (name, installed, rest) in [
            ("ANSIBLE_ROLES_PATH", &self.roles, roles),
            ("ANSIBLE_COLLECTIONS_PATH", &self.collections, collections),
        ] {
            if installed.is_empty() {
                continue;
            }
            let own = installed.iter().map(|dir| dir.display().to_string());
            let all: Vec<String> = own.chain(rest).collect();
            env.insert(name.to_owned(), all.join(":"));
        }
    }

    /// Existing directories, excluding links.
    pub fn directories(&self) -> impl Iterator<Item = PathBuf> {
        self.roles.iter().chain(&self.collections).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_told_and_a_network_that_is_not_there() {
        let said = |lines: &[&str]| {
            reason(&lines.iter().map(|l| (*l).to_owned()).collect::<Vec<_>>(), "exit code 1")
        };
        let role = [
            "[WARNING]: - a.b was NOT installed successfully: no version",
            "ERROR! - you can use --ignore-errors to skip failed roles",
        ];
        assert_eq!(
            said(&role),
            "ansible-galaxy, exit code 1: a.b was NOT installed successfully: no version"
        );
        let offline =
            ["ERROR! Unknown error when attempting to call Galaxy at 'https://x': <urlopen error \
                [Errno -3] Temporary failure in name resolution>"];
        let told = said(&offline);
        assert!(
            told.contains("Unknown error when attempting to call Galaxy")
                && told.contains("does not reach the server"),
            "{told}"
        );
        assert_eq!(said(&[]), "ansible-galaxy, exit code 1: ");
    }

    #[test]
    fn what_was_installed_is_looked_for_first() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join("ansible.cfg"),
            "[defaults]\nroles_path = shared:/opt/roles\n",
        )
        .unwrap();
        let installed =
            Installed { roles: vec!["/run/r".into()], collections: vec!["/run/c".into()] };
        let mut env = BTreeMap::new();
        installed.add_to(&mut env, dir.path());
        assert_eq!(
            env["ANSIBLE_ROLES_PATH"],
            format!("/run/r:{}/shared:/opt/roles", dir.path().display())
        );
        assert_eq!(
            env["ANSIBLE_COLLECTIONS_PATH"],
            "/run/c:~/.ansible/collections:/usr/share/ansible/collections"
        );
        let mut set = BTreeMap::from([("ANSIBLE_ROLES_PATH".to_owned(), "mine".to_owned())]);
        installed.add_to(&mut set, dir.path());
        assert_eq!(set["ANSIBLE_ROLES_PATH"], format!("/run/r:{}/mine", dir.path().display()));
        std::fs::create_dir(dir.path().join("conf")).unwrap();
        std::fs::write(dir.path().join("conf/a.cfg"), "[defaults]\nROLES_PATH: ../s\n").unwrap();
        let mut named = BTreeMap::from([("ANSIBLE_CONFIG".to_owned(), "conf/a.cfg".to_owned())]);
        installed.add_to(&mut named, dir.path());
        assert_eq!(named["ANSIBLE_ROLES_PATH"], format!("/run/r:{}/s", dir.path().display()));
    }
}
