//! `image-factory doctor`: what this machine lacks, and the command that mends it.
use std::path::PathBuf;
use std::process::ExitCode;

use super::{Context, Failure, out};
use crate::bundle;
use crate::cloud::Cx;
use crate::cloud::ledger::Ledger;
use crate::event::Events;
use crate::exec::probe;
use crate::plan::Wanted;
use crate::{ready, run};

/// Program, argument that prints its version, Debian's package, what it is for.
const PROGRAMS: &[(&str, &str, &str, &str)] = &[
    ("qemu-system-x86_64", "--version", "qemu-system-x86", "machines of the local cloud"),
    ("qemu-img", "--version", "qemu-utils", "disks of the local cloud"),
    ("passt", "--version", "passt", "keeping machines of the local cloud from this host's services"),
    ("ansible-playbook", "--version", "ansible-core", "`ansible` steps"),
    ("ssh", "-V", "openssh-client", "`ansible` steps and `shell`"),
    ("bwrap", "--version", "bubblewrap", "the wall around what definitions bring"),
    ("mmdebstrap", "--version", "mmdebstrap", "os/debian-12"),
    ("git", "--version", "git", "the commit in image properties (builds go on without)"),
];

/// What a program says of its version; some that a distribution built know none, and say so ("passt unknown version").
fn known(version: &str) -> &str {
    let none = version.is_empty() || version.to_ascii_lowercase().contains("unknown version");
    if none { "installed; it tells no version" } else { version }
}

pub async fn run(context: &Context) -> Result<ExitCode, Failure> {
    let mut lacking = 0;
    let mut line = |ok: bool, what: &str, text: &str| {
        lacking += usize::from(!ok);
        out(&format!("{}  {what:<20} {text}", if ok { "ok     " } else { "MISSING" }));
    };
    let stopped = crate::cloud::CloudError::from;
    for (program, flag, package, purpose) in PROGRAMS {
        match probe::version(program, flag, package, &context.cancel).await.map_err(stopped)? {
            Ok(version) => line(true, program, known(&version)),
            Err((what, hint)) => line(false, program, &format!("{what}; it is for {purpose}; {hint}")),
        }
    }
    // What the list above tells of is not told again.
    let told = |what: &str| PROGRAMS.iter().any(|(program, ..)| what.starts_with(program));
    let lacks = ready::for_root_file_systems(&context.home.data, &context.cancel).await.map_err(stopped)?;
    for (what, hint) in lacks.iter().filter(|(what, _)| !told(what)) {
        line(false, "os/debian-12", &format!("{what}; {hint}"));
    }
    if lacks.is_empty() {
        line(true, "os/debian-12", "can be built here by this user");
    }
    let tree = context.tree().ok();
    match context.wall() {
        Ok(wall) => {
            let (well, text) = wall.summary(&context.cancel).await.map_err(crate::cloud::CloudError::from)?;
            line(well, "wall", &text);
            for file in Context::settings_files() {
                let keys: Vec<&str> = wall.settings().from.iter().filter(|(_, from)| **from == file).map(|(key, _)| key.as_str()).collect();
                let text = match (file.exists(), keys.is_empty()) {
                    (false, _) => "not there".into(),
                    (true, true) => "nothing of it is in force".into(),
                    (true, false) => format!("in force: {}", keys.join(", ")),
                };
                line(true, "owner's settings", &format!("{}: {text}", file.display()));
            }
            for rule in &wall.settings().allow {
                // Another tree may have one.
                let elsewhere = tree.as_ref().is_some_and(|tree| {
                    let labels = bundle::all(tree).into_iter().filter_map(|dir| dir.strip_prefix(tree).ok().map(PathBuf::from));
                    !labels.into_iter().any(|label| rule.is_for(&label.to_string_lossy(), tree))
                });
                let idle = rule.idle().map(str::to_owned);
                let elsewhere = if elsewhere { "; it is for no definition of this tree" } else { "" };
                line(idle.is_none(), "allowed", &format!("{rule}{}", idle.map_or_else(|| elsewhere.to_owned(), |why| format!("; {why}"))));
            }
            for (key, path) in wall.settings().missing() {
                line(false, "owner's settings", &format!("{key}: {} is not there", path.display()));
            }
        }
        Err(failure) => line(false, "owner's settings", &failure.to_string()),
    }
    match context.cloud() {
        Ok((cloud, why)) => {
            let cx = Cx { ledger: Ledger::none(), events: Events::default(), cancel: context.cancel.clone() };
            let facts = match cloud.facts(&Wanted::default(), &cx).await.map_err(Failure::from) {
                Ok(facts) => {
                    line(true, "cloud", why.strip_prefix("cloud: ").unwrap_or(&why));
                    facts
                }
                Err(failure) => {
                    line(false, "cloud", &failure.to_string());
                    return Ok(ExitCode::from(20));
                }
            };
            line(true, "machines", &facts.how);
            for (what, hint) in &facts.lacks {
                line(false, "cloud", &format!("{what}; {hint}"));
            }
            if let Some(ram) = facts.max_ram_mb {
                line(ram >= 3072, "memory", &format!("{ram} MiB free; a build boots two machines of 1024 MiB at once"));
            }
            if let Some(free) = facts.free_bytes {
                line(
                    free >> 30 >= 8,
                    "disk",
                    &format!("{} GiB free for builds in {}; 8 are comfortable", free >> 30, context.home.data.display()),
                );
            }
        }
        Err(failure) => line(false, "cloud", &failure.to_string()),
    }
    let dead = run::indexed(&context.home).map_or(0, |runs| runs.iter().filter(|r| r.is_dead() && !r.kept).count());
    line(
        dead == 0,
        "runs",
        &if dead == 0 {
            "no dead run owns anything".into()
        } else {
            format!("{dead} dead runs own things; `image-factory sweep` removes them")
        },
    );
    Ok(ExitCode::from(if lacking == 0 { 0 } else { 20 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_is_none_is_not_told() {
        for none in ["", "passt unknown version", "tool Unknown Version (Debian)"] {
            assert_eq!(known(none), "installed; it tells no version");
        }
        assert_eq!(known("git version 2.39.5"), "git version 2.39.5");
    }

    /// The hint of a program that is missing is `make deps`.
    #[test]
    fn what_doctor_misses_make_deps_installs() {
        let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/setup/dependencies")).unwrap();
        let rows = || text.lines().map(|line| line.split_whitespace().take(3).collect::<Vec<_>>());
        let programs = PROGRAMS.iter().map(|(program, _, package, _)| (*program, *package)).chain(ready::PROGRAMS);
        for (program, package) in programs.chain([("newuidmap", "uidmap")]) {
            assert!(rows().any(|row| row == ["run", program, package]), "{program} ({package})");
        }
    }
}
