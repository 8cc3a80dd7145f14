//! Runs Ansible's `--syntax-check` on playbooks before anything is built.
//!
//! Plugins and `ansible.cfg` beside a playbook are code, so the check runs behind the wall, without
//! network and secrets; without a wall it does not run. Valid playbooks are cached by content.
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use regex::Regex;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::refused;
use crate::frontend::{self, build_vars};
use crate::log::sentences;
use crate::model::definition::Definition;
use crate::model::diagnostic::{Diagnostic, Location};
use crate::model::step::StepKind;
use crate::system::cancel::{Cancel, Cancelled};
use crate::system::exec::{self, Cmd};
use crate::system::paths::real;
use crate::wall::{Checked, Wall, WallError};

#[cfg(test)]
mod tests;

/// Time limit of one check.
const DEADLINE: Duration = Duration::from_secs(120);
/// Maximum number of output lines kept.
const LINES: usize = 500;
/// Age after which unused cache entries are removed.
const REMEMBERED: Duration = Duration::from_secs(60 * 24 * 3600);
/// Part of cache keys; changes with the behaviour of this check.
const EDITION: &str = "2";
/// Inventory with the groups of a real run.
const INVENTORY: &str = concat!(
    r#"{"all": {"children": {"local": {"hosts": {"builder": {}}}, "#,
    r#""default": {"hosts": {"builder": {}}}}}}"#,
);

/// `(from /x/ansible.cfg): invalid literal for int() with base 10: 'many'`, `Invalid value "smrt"
/// for configuration option`.
static VALUE: LazyLock<Regex> = LazyLock::new(|| {
    fixed(concat!(
        r"(?:literal for int\(\) with base 10: |provided for '[a-z]+': |^Invalid value )",
        r#"(?:'([^']*)'|"([^"]*)")"#,
    ))
});
/// `[line  3]`, `file: '<string>', line: 1`
static LINE: LazyLock<Regex> = LazyLock::new(|| fixed(r"\bline:? +(\d+)"));

fn fixed(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is fixed")
}

/// Environment set by a step.
type Env = BTreeMap<String, String>;

/// A playbook of a bundle, as one of its steps runs it.
pub struct Job<'b> {
    bundle: &'b Definition,
    playbook: PathBuf,
    env: BTreeMap<String, String>,
    extra_vars: Map<String, Value>,
    /// Cache key over all inputs.
    key: String,
    /// [`frontend::stamp`] taken before reading.
    stamp: String,
}

/// Context of all checks.
pub struct Checks<'c> {
    pub wall: &'c Wall,
    /// Program that runs: [`Wall::ansible_version`].
    pub version: String,
    /// Private directory for scratch space; its owner removes it.
    pub scratch: &'c Path,
    /// Private directory with one file per valid playbook, named by its key.
    pub memory: Option<PathBuf>,
    /// [`Wall::at_hand`].
    pub at_hand: String,
}

#[derive(Debug)]
pub enum Verdict {
    Sound,
    Wrong(Diagnostic),
    /// Ansible could not check it, with the reason.
    Unknown(String),
    /// This machine has no wall.
    NoWall,
}

impl Checks<'_> {
    /// The playbooks of a bundle, each once. Unreadable ones have been reported already.
    pub fn jobs<'b>(&self, bundle: &'b Definition) -> Vec<Job<'b>> {
        let stamp = frontend::stamp(bundle);
        let Ok(inputs) = frontend::inputs_without_git(bundle) else { return Vec::new() };
        let job =
            |playbook: PathBuf, env: BTreeMap<String, String>, extra_vars: Map<String, Value>| {
                let said = serde_json::json!([
                    EDITION,
                    self.version,
                    self.at_hand,
                    inputs,
                    playbook,
                    env,
                    extra_vars
                ])
                .to_string();
                let key = Sha256::digest(said).iter().map(|b| format!("{b:02x}")).collect();
                Job { bundle, playbook, env, extra_vars, key, stamp: stamp.clone() }
            };
        let jobs = playbooks(bundle).map(|(playbook, step)| match step {
            Some((env, extra_vars)) => job(playbook.to_owned(), env.clone(), extra_vars.clone()),
            None => job(playbook.to_owned(), BTreeMap::new(), Map::new()),
        });
        let whole = |job: &Job| is_whole(bundle, &job.playbook);
        let mut seen = std::collections::BTreeSet::new();
        jobs.filter(|job| whole(job) && seen.insert(job.key.clone())).collect()
    }

    /// Whether this content is cached as valid.
    pub fn remembers(&self, job: &Job<'_>) -> bool {
        let Some(file) = self.memory.as_ref().map(|dir| dir.join(&job.key)) else { return false };
        // A new time says that it is still asked for.
        fs::File::open(&file).and_then(|file| file.set_modified(SystemTime::now())).is_ok()
    }

    /// Runs the check. `number` separates its directory from those of other jobs.
    pub async fn ask(
        &self,
        job: &Job<'_>,
        number: usize,
        cancel: &Cancel,
    ) -> Result<Verdict, Cancelled> {
        // A directory for each: the wall puts copies beside a room.
        let place = self.scratch.join(number.to_string());
        let (room, files) = (place.join("room"), place.join("files"));
        let written = fs::create_dir_all(&files).and_then(|()| {
            fs::write(files.join("inventory.json"), INVENTORY)?;
            fs::write(files.join("vars.json"), Value::Object(job.extra_vars.clone()).to_string())
        });
        if let Err(e) = written {
            return Ok(Verdict::Unknown(format!(
                "cannot write below {}: {e}",
                self.scratch.display()
            )));
        }
        let dir = real(&job.bundle.dir);
        let cmd = Cmd::new("ansible-playbook", DEADLINE)
            .dir(&dir)
            .env("ANSIBLE_NOCOLOR", "1")
            .env("ANSIBLE_LOCAL_TEMP", room.join("ansible").to_string_lossy())
            .env("ANSIBLE_INVENTORY_ENABLED", "yaml")
            .env("ANSIBLE_RETRY_FILES_ENABLED", "False");
        let mut cmd = cmd
            .arg("--syntax-check")
            .arg("-i")
            .arg(files.join("inventory.json"))
            .arg(&job.playbook);
        cmd = cmd.arg("--extra-vars").arg(format!("@{}", files.join("vars.json").display()));
        job.env.iter().for_each(|(name, value)| {
            _ = cmd.env.entry(name.clone()).or_insert_with(|| value.clone())
        });
        let checked =
            Checked { bundle: job.bundle, dir: &room, read: std::slice::from_ref(&files) };
        match self.wall.around_check(cmd, &checked, cancel).await {
            Ok(Some(cmd)) => self.run(job, &cmd, &room, cancel).await,
            Ok(None) => Ok(Verdict::NoWall),
            Err(WallError::Cancelled(cancelled)) => Err(cancelled),
            Err(e) => Ok(Verdict::Unknown(e.to_string())),
        }
    }

    async fn run(
        &self,
        job: &Job<'_>,
        cmd: &Cmd,
        room: &Path,
        cancel: &Cancel,
    ) -> Result<Verdict, Cancelled> {
        let mut lines = Vec::new();
        // The user's own home is seen from behind the wall as another.
        let home = room.join("home").display().to_string();
        let status = exec::run(cmd, cancel, |_, line| {
            if lines.len() < LINES {
                lines.push(sentences::clean(line).replace(&home, "~"));
            }
        });
        match status.await {
            Ok(status) if status.success() => Ok(Verdict::Sound),
            Ok(status) => Ok(verdict(
                (job.bundle, &job.env),
                &job.playbook,
                &lines,
                &exec::status_text(status),
            )),
            Err(exec::ExecError::Cancelled(cancelled)) => Err(cancelled),
            Err(e) => Ok(Verdict::Unknown(e.to_string())),
        }
    }

    /// Caches valid playbooks, unless a file changed during the check. A cache that cannot be
    /// written only costs time.
    pub fn remember<'j>(&self, sound: impl IntoIterator<Item = &'j Job<'j>>) {
        let Some(dir) = &self.memory else { return };
        let mut sound = sound.into_iter().peekable();
        if sound.peek().is_none() || self.wall.at_hand() != self.at_hand {
            return;
        }
        for job in sound.filter(|job| frontend::stamp(job.bundle) == job.stamp) {
            let _ = fs::write(dir.join(&job.key), "");
        }
    }

    /// Removes cache entries that were long unused.
    pub fn forget(&self) {
        let entries = self
            .memory
            .as_ref()
            .and_then(|dir| fs::read_dir(dir).ok())
            .into_iter()
            .flatten()
            .flatten();
        for entry in entries {
            let old = entry
                .metadata()
                .and_then(|meta| meta.modified())
                .is_ok_and(|at| at.elapsed().is_ok_and(|age| age > REMEMBERED));
            if old {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Whether all roles and collections are present. Those of a `requirements.yml` are installed by
/// the run.
fn is_whole(bundle: &Definition, playbook: &Path) -> bool {
    build_vars::requirements(&bundle.dir, playbook).is_empty()
}

/// Inputs that a step gives its playbook: environment and variables.
type Given<'b> = (&'b BTreeMap<String, String>, &'b Map<String, Value>);

/// The playbooks that a build runs. Without steps it is the default playbook, without a step's
/// inputs.
fn playbooks(bundle: &Definition) -> impl Iterator<Item = (&Path, Option<Given<'_>>)> {
    let steps = bundle.steps.iter().filter_map(|step| match &step.action {
        StepKind::Ansible { playbook, extra_vars, .. } => {
            Some((playbook.as_path(), Some((&step.env, extra_vars))))
        }
        _ => None,
    });
    let bootstrap = bundle.steps.is_empty() && bundle.has_bootstrap;
    steps.chain(bootstrap.then_some((Path::new("ansible/bootstrap.yml"), None)))
}

/// Playbooks that are not checked, because a run installs their requirements.
pub fn left_out(bundle: &Definition) -> Vec<PathBuf> {
    let mut playbooks: Vec<PathBuf> =
        playbooks(bundle).map(|(playbook, _)| playbook.to_owned()).collect();
    playbooks.retain(|playbook| !is_whole(bundle, playbook));
    playbooks.dedup();
    playbooks
}

/// Interprets a non-zero exit of Ansible.
fn verdict(
    (bundle, env): (&Definition, &Env),
    playbook: &Path,
    lines: &[String],
    status: &str,
) -> Verdict {
    if let Some(line) = lines.iter().find(|line| line.starts_with("bwrap: ")) {
        return Verdict::Unknown(format!("behind the wall, without network: {line}"));
    }
    if let Some(finding) = settings(bundle, env, lines) {
        return Verdict::Wrong(finding);
    }
    let Some(refusal) = refused(lines) else {
        let last = lines.iter().rev().find(|line| !line.trim().is_empty());
        return Verdict::Unknown(
            last.map_or_else(|| status.to_owned(), |line| format!("{status}: {line}")),
        );
    };
    // The password of a vault is handed out to runs alone.
    if ["no vault secrets", "Decryption failed", "vault password file"]
        .iter()
        .any(|part| refusal.message.contains(part))
    {
        return Verdict::Unknown(
            "it needs the password of a vault, which checks do not get".into(),
        );
    }
    let place = match &refusal.place {
        Some((file, line, column)) => {
            Location { file: shown(bundle, Path::new(file)), line: *line, column: *column }
        }
        None => Location { file: shown(bundle, &bundle.dir.join(playbook)), line: 0, column: 0 },
    };
    let dir = format!("{}/", real(&bundle.dir).display());
    let message =
        refusal.message.replace(&dir, "").replace(&format!("{}/", bundle.dir.display()), "");
    Verdict::Wrong(
        Diagnostic::error(place, message).hint("`ansible-playbook --syntax-check` says so"),
    )
}

/// Finding for an error in the definition's ansible.cfg. Others are not the definition's concern.
fn settings(bundle: &Definition, env: &Env, lines: &[String]) -> Option<Diagnostic> {
    let begins = |line: &String| {
        ["ERROR: ", "ansible.errors.AnsibleOptionsError: "]
            .iter()
            .any(|word| line.starts_with(word))
    };
    let (number, line) = lines.iter().enumerate().find(|(_, line)| begins(line))?;
    let said = line.split_once(": ").map(|(_, said)| said)?;
    let dirs = [real(&bundle.dir), bundle.dir.clone()].map(|dir| format!("{}/", dir.display()));
    let value = VALUE
        .captures(said)
        .and_then(|found| found.get(1).or(found.get(2)))
        .map(|value| value.as_str());
    let of_value = value.and_then(|value| build_vars::place_of_value(&bundle.dir, env, value));
    let (file, line) = match dirs.iter().find_map(|dir| said.find(dir.as_str()).map(|at| (dir, at)))
    {
        Some((dir, at)) => {
            let rest = &said[at + dir.len()..];
            let file = PathBuf::from(&rest[..rest.find(".cfg")? + ".cfg".len()]);
            let told = lines[number..].iter().take(2).find_map(|line| LINE.captures(line));
            let line =
                told.and_then(|found| found[1].parse().ok()).or(of_value.map(|(_, line)| line));
            (file, line.unwrap_or(0))
        }
        // Ansible gives no location for a word that is not a setting's value.
        None => of_value?,
    };
    let place = Location {
        file: shown(bundle, &bundle.dir.join(file)),
        line,
        column: usize::from(line > 0),
    };
    let said = dirs.iter().fold(said.to_owned(), |said, dir| said.replace(dir.as_str(), ""));
    Some(Diagnostic::error(place, said).hint("`ansible-playbook --syntax-check` says so"))
}

/// File name for locations: relative to the factory tree if inside.
fn shown(bundle: &Definition, file: &Path) -> PathBuf {
    let tree = [real(&bundle.tree), bundle.tree.clone()];
    let inner = tree.iter().find_map(|tree| file.strip_prefix(tree).ok());
    inner.map_or_else(|| file.to_owned(), Path::to_path_buf)
}

/// Merges a finding of Ansible into `ours`. A known problem appears once, as an error because
/// Ansible refuses it.
pub fn merge(ours: &mut Vec<Diagnostic>, theirs: Diagnostic) {
    let same = |own: &Diagnostic| {
        let (Some(a), Some(b)) = (&own.place, &theirs.place) else { return false };
        let named = own
            .message
            .split('`')
            .nth(1)
            .is_some_and(|word| !word.is_empty() && theirs.message.contains(word));
        // On the same line Ansible may have another reason than what only looks old.
        a.file == b.file && (own.is_error() && a.line == b.line && b.line > 0 || named)
    };
    match ours.iter_mut().find(|own| same(own)) {
        Some(own) => own.severity = theirs.severity,
        None => ours.push(theirs),
    }
}
