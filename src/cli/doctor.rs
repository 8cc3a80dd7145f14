//! `image-factory doctor`: missing prerequisites, with the commands that fix them.
use std::path::PathBuf;
use std::process::ExitCode;

use super::{Context, Failure, out};
use crate::engine::run_dir;
use crate::frontend;

use crate::model::facts::FactsQuery;
use crate::provider::RunCx;

use crate::ready;
use crate::settings::Accelerator;
use crate::system::exec::probe;
use crate::wall::{Mitogen, Wall, WallError};

/// Who needs a program.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needed {
    /// Builds on every cloud.
    Always,
    /// Builds on the local cloud; elsewhere only some definitions.
    Locally,
    /// Nobody: builds go on without.
    Never,
}

/// Program, argument that prints its version, Debian package, purpose.
const PROGRAMS: &[(Needed, &str, &str, &str, &str)] = &[
    (
        Needed::Locally,
        "qemu-system-x86_64",
        "--version",
        "qemu-system-x86",
        "machines of the local cloud",
    ),
    (
        Needed::Locally,
        "qemu-img",
        "--version",
        "qemu-utils",
        "disks of the local cloud, and definitions with a `source`",
    ),
    (
        Needed::Locally,
        "passt",
        "--version",
        "passt",
        "keeping machines of the local cloud from this host's services",
    ),
    (Needed::Always, "ansible-playbook", "--version", "ansible-core", "`ansible` steps"),
    (Needed::Always, "ssh", "-V", "openssh-client", "`ansible` steps and `shell`"),
    (Needed::Always, "bwrap", "--version", "bubblewrap", "the wall around what definitions bring"),
    (Needed::Locally, "mmdebstrap", "--version", "mmdebstrap", ROOT_FILE_SYSTEM),
    (
        Needed::Never,
        "git",
        "--version",
        "git",
        "commit and inputs in image properties (builds go on without)",
    ),
];

const ROOT_FILE_SYSTEM: &str = "os/debian-12";

/// The version, or a note for distribution builds that report none ("passt unknown version").
fn known(version: &str) -> &str {
    let none = version.is_empty() || version.to_ascii_lowercase().contains("unknown version");
    if none { "installed; it tells no version" } else { version }
}

/// Results, one line each: shown immediately, or as JSON at the end.
struct Sheet {
    json: bool,
    lines: Vec<Line>,
}

#[derive(serde::Serialize)]
struct Line {
    ok: bool,
    what: String,
    text: String,
}

impl Sheet {
    fn line(&mut self, ok: bool, what: &str, text: &str) {
        self.put(ok, if ok { "ok" } else { "MISSING" }, (what, text));
    }

    /// Not there, and missed only by some; `whose` says by whom.
    fn absent(&mut self, what: &str, lack: &str, whose: &str) {
        self.put(true, "absent", (what, &format!("{lack}; it is only for {whose}")));
    }

    fn put(&mut self, ok: bool, word: &str, (what, text): (&str, &str)) {
        if !self.json {
            out(&format!("{word:<7}  {what:<20} {text}"));
        }
        self.lines.push(Line { ok, what: what.into(), text: text.into() });
    }

    fn end(self) -> ExitCode {
        let ok = self.lines.iter().all(|line| line.ok);
        if self.json {
            out(&super::image::json(&serde_json::json!({"ok": ok, "lines": self.lines})));
        }
        ExitCode::from(if ok { 0 } else { 20 })
    }
}

pub async fn run(context: &Context) -> Result<ExitCode, Failure> {
    let mut sheet = Sheet { json: context.common.json, lines: Vec::new() };
    programs(context, &mut sheet).await?;
    wall(context, &mut sheet).await?;
    for way in context.proxies.summary() {
        match way {
            Ok(text) => sheet.line(true, "proxy", &text),
            Err(error) => sheet.line(false, "proxy", &format!("{error}; {}", error.hint())),
        }
    }
    // Leftovers matter only if the cloud can be reached.
    if cloud(context, &mut sheet).await {
        let dead = run_dir::indexed(&context.home)
            .map_or(0, |runs| runs.iter().filter(|r| r.is_dead() && !r.kept).count());
        let text = match dead {
            0 => "no dead run owns anything".into(),
            dead => format!("{dead} dead runs own things; `image-factory sweep` removes them"),
        };
        sheet.line(dead == 0, "runs", &text);
    }
    Ok(sheet.end())
}

async fn programs(context: &Context, sheet: &mut Sheet) -> Result<(), Failure> {
    let stopped = crate::provider::CloudError::from;
    // What the local cloud needs is needed if that is the one that would be built on.
    let local = context.cloud().map_or(true, |(cloud, _)| cloud.is_here());
    let needed = |who: Needed| who == Needed::Always || who == Needed::Locally && local;
    for (who, program, flag, package, purpose) in PROGRAMS {
        match probe::version(program, flag, package, &context.cancel).await.map_err(stopped)? {
            Ok(version) => sheet.line(true, program, known(&version)),
            Err((what, _)) if !needed(*who) => sheet.absent(program, &what, purpose),
            Err((what, hint)) => {
                sheet.line(false, program, &format!("{what}; it is for {purpose}; {hint}"))
            }
        }
    }
    // Programs of the list above are not listed again.
    let listed = |what: &str| PROGRAMS.iter().any(|(_, program, ..)| what.starts_with(program));
    let lacks =
        ready::for_root_file_systems(&context.home.data, &context.cancel).await.map_err(stopped)?;
    for (what, hint) in lacks.iter().filter(|(what, _)| !listed(what)) {
        match local {
            true => sheet.line(false, ROOT_FILE_SYSTEM, &format!("{what}; {hint}")),
            false => sheet.absent(ROOT_FILE_SYSTEM, what, "building it on this machine"),
        }
    }
    if lacks.is_empty() {
        sheet.line(true, ROOT_FILE_SYSTEM, "can be built here by this user");
    }
    Ok(())
}

/// The wall, and the owner's settings for it.
async fn wall(context: &Context, sheet: &mut Sheet) -> Result<(), Failure> {
    let wall = match context.wall() {
        Ok(wall) => wall,
        Err(failure) => {
            failure.each().iter().for_each(|text| sheet.line(false, "owner's settings", text));
            return Ok(());
        }
    };
    let tree = context.tree().ok();
    let (well, text) =
        wall.summary(&context.cancel).await.map_err(crate::provider::CloudError::from)?;
    sheet.line(well, "wall", &text);
    accelerator(context, wall, sheet).await?;
    for file in Context::settings_files() {
        let keys: Vec<&str> = wall
            .settings()
            .from
            .iter()
            .filter(|(_, from)| **from == file)
            .map(|(key, _)| key.as_str())
            .collect();
        let text = match (file.exists(), keys.is_empty()) {
            (false, _) => "not there".into(),
            (true, true) => "nothing of it is in force".into(),
            (true, false) => format!("in force: {}", keys.join(", ")),
        };
        sheet.line(true, "owner's settings", &format!("{}: {text}", file.display()));
    }
    for rule in &wall.settings().allow {
        // Another tree may have one.
        let elsewhere = tree.as_ref().is_some_and(|tree| {
            let labels = frontend::all(tree)
                .into_iter()
                .filter_map(|dir| dir.strip_prefix(tree).ok().map(PathBuf::from));
            !labels.into_iter().any(|label| rule.is_for(&label.to_string_lossy(), tree))
        });
        let idle = rule.idle().map(str::to_owned);
        let elsewhere = if elsewhere { "; it is for no definition of this tree" } else { "" };
        let text = format!(
            "{rule}{}",
            idle.as_ref().map_or_else(|| elsewhere.to_owned(), |why| format!("; {why}"))
        );
        sheet.line(idle.is_none(), "allowed", &text);
    }
    for (key, path) in wall.settings().missing() {
        sheet.line(false, "owner's settings", &format!("{key}: {} is not there", path.display()));
    }
    Ok(())
}

/// Mitogen, without which playbooks work as well.
async fn accelerator(context: &Context, wall: &Wall, sheet: &mut Sheet) -> Result<(), Failure> {
    const WHAT: &str = "mitogen";
    let hint = "faster playbooks; `setup/dependencies accelerator` installs it";
    if wall.settings().ansible.accelerator == Accelerator::Off {
        sheet.line(true, WHAT, "off, as the owner's settings say");
        return Ok(());
    }
    match wall.mitogen(&context.cancel).await {
        Ok(Some(Ok(Mitogen { dir, version }))) => {
            sheet.line(true, WHAT, &format!("{version} in {} plays `ansible` steps", dir.display()))
        }
        Ok(Some(Err(why))) => sheet.absent(WHAT, &why, hint),
        Ok(None) => sheet.absent(WHAT, "it is not installed", hint),
        Err(WallError::Cancelled(stopped)) => {
            return Err(crate::provider::CloudError::from(stopped).into());
        }
        // That there is no Ansible has a line of its own.
        Err(why) => sheet.absent(WHAT, &why.to_string(), hint),
    }
    Ok(())
}

/// `false` if the cloud is known but does not answer.
async fn cloud(context: &Context, sheet: &mut Sheet) -> bool {
    let (cloud, why) = match context.cloud() {
        Ok(found) => found,
        Err(failure) => {
            sheet.line(false, "cloud", &failure.to_string());
            return true;
        }
    };
    let cx = RunCx::outside(context.cancel.clone());
    let facts = match cloud.facts(&FactsQuery::default(), &cx).await.map_err(Failure::from) {
        Ok(facts) => facts,
        Err(failure) => {
            sheet.line(false, "cloud", &failure.to_string());
            return false;
        }
    };
    sheet.line(true, "cloud", why.strip_prefix("cloud: ").unwrap_or(&why));
    sheet.line(true, "machines", &facts.how);
    for (what, hint) in &facts.missing_prerequisites {
        sheet.line(false, "cloud", &format!("{what}; {hint}"));
    }
    if let Some(ram) = facts.max_ram_mib {
        sheet.line(
            ram >= 3072,
            "memory",
            &format!("{ram} MiB free; a build boots two machines of 1024 MiB at once"),
        );
    }
    if let Some(free) = facts.free_bytes {
        let text = format!(
            "{} GiB free for builds in {}; 8 are comfortable",
            free >> 30,
            context.home.data.display()
        );
        sheet.line(free >> 30 >= 8, "disk", &text);
    }
    true
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
        let text =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/setup/dependencies"))
                .unwrap();
        let rows = || text.lines().map(|line| line.split_whitespace().take(3).collect::<Vec<_>>());
        let programs = PROGRAMS
            .iter()
            .map(|(_, program, _, package, _)| (*program, *package))
            .chain(ready::PROGRAMS);
        for (program, package) in programs.chain([("newuidmap", "uidmap")]) {
            assert!(rows().any(|row| row == ["run", program, package]), "{program} ({package})");
        }
    }
}
