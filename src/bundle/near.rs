//! What lies beside the places that are looked at, and is nearly called as one of them: it would be passed over without a word.
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

use super::{Action, Bundle, Source, tree};
use crate::diagnostic::{Diagnostic, Place};
use crate::reading;

const HALVES: [&str; 2] = ["images", "os"];
/// Findings on one bundle.
const MOST: usize = 20;
/// Bytes of a template that is looked into.
const TEMPLATE: u64 = 1 << 20;

/// What is looked at in a bundle: the directory, the name in it, and what it holds if it is one itself.
struct Known {
    dir: &'static str,
    name: &'static str,
    holds: Holds,
}

#[derive(Clone, Copy, PartialEq)]
enum Holds {
    File,
    Anything,
    Templates,
    Programs,
}

const fn known(dir: &'static str, name: &'static str, holds: Holds) -> Known {
    Known { dir, name, holds }
}

const PLACES: [Known; 10] = [
    known("", tree::SETTINGS, Holds::File),
    known("", "ansible", Holds::Anything),
    known("", "output", Holds::Templates),
    known("", "tests", Holds::Programs),
    known("", "ansible.cfg", Holds::File),
    known("", "requirements.yml", Holds::File),
    known("ansible", "requirements.yml", Holds::File),
    known("ansible", "bootstrap.yml", Holds::File),
    known("ansible", "group_vars", Holds::Anything),
    known("ansible", "host_vars", Holds::Anything),
];

/// How near a name is to a known one.
#[derive(Debug, PartialEq)]
enum Near {
    /// The same but for case, `-` and `_`, and `.yaml`.
    Same,
    /// A letter more, less or other.
    Slip,
}

fn nearness(name: &str, known: &str) -> Option<Near> {
    if name == known || name.len() > known.len() + 4 || name.starts_with('.') {
        return None;
    }
    let plain = |name: &str| {
        let name = name.to_lowercase();
        let name = name.strip_suffix(".yaml").map_or(name.clone(), |stem| format!("{stem}.yml"));
        name.replace(['-', '_', ' '], "")
    };
    let (name, known) = (plain(name), plain(known));
    match strsim::damerau_levenshtein(&name, &known) {
        0 => Some(Near::Same),
        1 if known.len() > 4 => Some(Near::Slip),
        _ => None,
    }
}

/// The file in `dir` that was probably meant as its build-vars.yml.
pub(super) fn settings(dir: &Path) -> Option<String> {
    let meant = |name: &String| nearness(name, tree::SETTINGS).is_some() || name == "build-vars.json";
    names(dir).into_iter().filter(|name| dir.join(name).is_file()).find(meant)
}

/// Whether a directory without build-vars.yml was meant as a bundle.
pub(super) fn is_meant(dir: &Path) -> bool {
    let holds = |place: &Known| place.dir.is_empty() && dir.join(place.name).is_dir() && place.holds.is_in(&dir.join(place.name));
    settings(dir).is_some() || dir.join("ansible/bootstrap.yml").is_file() || (PLACES.iter().filter(|place| holds(place)).count() > 1)
}

/// A directory that is no bundle, and the finding that says so.
pub struct Stray {
    pub dir: PathBuf,
    pub finding: Diagnostic,
}

/// Directories of a factory tree that are no bundles and were probably meant as such.
pub fn strays(root: &Path) -> Vec<Stray> {
    let mut found = Vec::new();
    for half in HALVES {
        for name in names(&root.join(half)).into_iter().filter(|name| name != "target" && !name.starts_with('.')) {
            let label = Path::new(half).join(&name);
            found.extend(stray(root, &label).map(|finding| Stray { dir: root.join(&label), finding }));
        }
    }
    for name in names(root).into_iter().filter(|name| HALVES.iter().any(|half| nearness(name, half).is_some())) {
        let bundles = names(&root.join(&name)).into_iter().filter(|inner| root.join(&name).join(inner).join(tree::SETTINGS).is_file());
        let count = bundles.count();
        if count > 0 {
            let half = HALVES.iter().find(|half| nearness(&name, half).is_some()).unwrap_or(&HALVES[0]);
            let finding = warning(Path::new(&name), format!("{name}/ is not looked at, and holds {count} definitions"));
            let finding = finding.hint(format!("definitions lie in {half}/"));
            found.push(Stray { dir: root.join(name), finding });
        }
    }
    found
}

fn stray(root: &Path, label: &Path) -> Option<Diagnostic> {
    let (dir, shown) = (root.join(label), label.display());
    let own = dir.join(tree::SETTINGS);
    if !dir.is_dir() || own.is_file() {
        return None;
    }
    if own.is_symlink() || own.exists() {
        let what = if own.exists() { "is not a file" } else { "is a link to nowhere" };
        let finding = warning(&label.join(tree::SETTINGS), format!("{shown} is no bundle: its {} {what}", tree::SETTINGS));
        return Some(finding.hint("it is passed over, here and by everything that looks for bundles"));
    }
    if let Some(name) = settings(&dir) {
        let finding =
            warning(&label.join(&name), format!("{shown} is no bundle: its settings are called `{name}`, not {}", tree::SETTINGS));
        return Some(finding.hint(format!("mv {shown}/{name} {shown}/{}", tree::SETTINGS)));
    }
    let inner = names(&dir).into_iter().filter(|name| name != "target").find(|name| dir.join(name).join(tree::SETTINGS).is_file());
    if let Some(inner) = inner {
        let finding = warning(&label.join(&inner), format!("{shown}/{inner} is not looked at: definitions lie directly in images/ or os/"));
        let half = label.iter().next().unwrap_or_default().to_string_lossy();
        return Some(finding.hint(format!("mv {shown}/{inner} {half}/{inner}")));
    }
    is_meant(&dir).then(|| {
        let finding = warning(label, format!("{shown} looks like a bundle and has no {}: it is passed over", tree::SETTINGS));
        finding.hint("it holds at least `bundle: {name: ..., img_base: ...}`; another definition uses the directory by `bundle.path`")
    })
}

/// What a bundle holds that nothing looks at, nearly in a place that is.
pub(super) fn in_bundle(bundle: &Bundle) -> Vec<Diagnostic> {
    let mut look = Look { bundle, used: used(bundle), shown: shown(bundle), found: Vec::new() };
    PLACES.iter().for_each(|place| look.place(place));
    look.output();
    look.bootstrap();
    look.elsewhere();
    look.found.truncate(MOST);
    look.found
}

struct Look<'b> {
    bundle: &'b Bundle,
    /// Paths that steps, the source and the login name.
    used: BTreeSet<PathBuf>,
    shown: PathBuf,
    found: Vec<Diagnostic>,
}

impl Look<'_> {
    fn warn(&mut self, path: &Path, message: impl Into<String>, hint: impl Into<String>) {
        self.found.push(warning(&self.shown.join(path), message).hint(hint));
    }

    fn is_used(&self, path: &Path) -> bool {
        self.used.iter().any(|used| used.starts_with(path))
    }

    /// Names that are nearly this one. What steps name is used, whatever it is called.
    fn place(&mut self, place: &Known) {
        let dir = self.bundle.dir.join(place.dir);
        for name in names(&dir) {
            let path = Path::new(place.dir).join(&name);
            let (full, there) = (dir.join(&name), dir.join(place.name).exists());
            let fits = match place.holds {
                Holds::File => full.is_file(),
                holds => full.is_dir() && holds.is_in(&full),
            };
            let near = nearness(&name, place.name).is_some_and(|near| near == Near::Same || !there);
            // A run installs what either spelling of a list names.
            let is_list = place.name == "requirements.yml" && name == "requirements.yaml";
            if !near || !fits || is_list || self.is_used(&path) {
                continue;
            }
            let slash = if place.holds == Holds::File { "" } else { "/" };
            let meant = Path::new(place.dir).join(place.name);
            let message = format!("`{}{slash}` is not looked at; `{}{slash}` is", path.display(), meant.display());
            self.warn(&path, message, format!("rename it to `{}`, if it is meant as that", place.name));
        }
    }

    /// Files of `output/` that are no templates, and that no template names.
    fn output(&mut self) {
        let root = self.bundle.dir.join("output");
        let files: Vec<PathBuf> = walkdir::WalkDir::new(&root)
            .min_depth(1)
            .max_depth(4)
            .sort_by_file_name()
            .into_iter()
            .flatten()
            .filter(|entry| entry.file_type().is_file())
            .filter_map(|entry| entry.path().strip_prefix(&root).map(Path::to_path_buf).ok())
            .take(1000)
            .collect();
        let texts: Vec<String> = files.iter().filter_map(|file| reading::text(&root.join(file), TEMPLATE).ok()).collect();
        // What is worked out may be any of them.
        if texts.iter().any(|text| WORKED_OUT.is_match(text)) {
            return;
        }
        for file in &files {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let template = name.ends_with(".j2");
            let (nested, path) = (file.components().count() > 1, Path::new("output").join(file));
            let named = |text: &String| INCLUDES.captures_iter(text).any(|named| named[0].contains(&name));
            if is_aside(&name) || (template && !nested) || texts.iter().any(named) || self.is_used(&path) {
                continue;
            }
            let message = match template {
                true => format!("`{}` is not rendered: templates lie in output/ itself, and no template includes it", path.display()),
                false => format!("`{}` is neither rendered nor copied: only output/*.j2 are, and no template includes it", path.display()),
            };
            let hint = if template {
                "mv it to output/".to_owned()
            } else {
                format!("rename it to `{name}.j2`; what has no tags is copied as it is")
            };
            self.warn(&path, message, hint);
        }
    }

    /// The one playbook that runs by its place does so only where no steps are listed.
    fn bootstrap(&mut self) {
        let of_ansible = |step: &super::Step| matches!(step.action, Action::Ansible { .. });
        if self.bundle.has_bootstrap && !self.bundle.steps.is_empty() && !self.bundle.steps.iter().any(of_ansible) {
            let path = Path::new("ansible/bootstrap.yml");
            if !self.is_used(path) {
                let message = "`ansible/bootstrap.yml` does not run: `steps` lists all that is done, and does not name it";
                self.warn(path, message, "`- ansible: ansible/bootstrap.yml` runs it");
            }
        }
    }

    /// Beside build-vars.yml, where `bundle.path` is another directory.
    fn elsewhere(&mut self) {
        let home = self.bundle.asks.definition.clone();
        if home.as_os_str().is_empty() || home == self.bundle.dir || self.bundle.dir.starts_with(&home) {
            return;
        }
        for place in PLACES.iter().filter(|place| place.dir.is_empty() && place.holds != Holds::File) {
            let full = home.join(place.name);
            if full.is_dir() && place.holds.is_in(&full) {
                let path = Path::new(&self.bundle.label).join(place.name);
                let message =
                    format!("`{}/` beside build-vars.yml is not looked at: `bundle.path` is {}", place.name, self.shown.display());
                self.found.push(warning(&path, message).hint("what the definition brings lies in the directory that `bundle.path` names"));
            }
        }
    }
}

impl Holds {
    /// Whether a directory holds what would have been taken.
    fn is_in(self, dir: &Path) -> bool {
        let mut names = names(dir).into_iter().filter(|name| !is_aside(name));
        match self {
            Self::File => false,
            Self::Anything => names.next().is_some(),
            Self::Templates => names.any(|name| name.ends_with(".j2")),
            Self::Programs => names.any(|name| {
                let path = dir.join(name);
                path.is_file() && reading::text(&path, TEMPLATE).is_ok_and(|text| text.starts_with("#!"))
            }),
        }
    }
}

/// An include whose file is worked out.
static WORKED_OUT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"\{%[-+]?\s*(?:include|import|extends|from)\s+[^'"\[(\s]"#).expect("it is a constant"));
/// A tag that names files.
static INCLUDES: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\{%[-+]?\s*(?:include|import|extends|from)\s[^%]*%\}").expect("it is a constant"));

/// Notes, and what editors and git leave.
fn is_aside(name: &str) -> bool {
    let begins = ["readme", "license", "notes", "changelog"];
    let ends = ["~", ".md", ".bak", ".orig", ".rej", ".swp"];
    let small = name.to_lowercase();
    name.starts_with('.') || begins.iter().any(|begin| small.starts_with(begin)) || ends.iter().any(|end| small.ends_with(end))
}

/// Paths of the bundle that its definition names.
fn used(bundle: &Bundle) -> BTreeSet<PathBuf> {
    let steps = bundle.steps.iter().filter_map(|step| match &step.action {
        Action::Ansible { playbook: path, .. } | Action::Script { path } | Action::Upload { src: path, .. } => Some(path.clone()),
        Action::Shell { .. } | Action::Reboot => None,
    });
    let source = match &bundle.source {
        Some(Source::Script(path)) => Some(path.clone()),
        _ => None,
    };
    steps.chain(source).collect()
}

fn shown(bundle: &Bundle) -> PathBuf {
    match bundle.dir.strip_prefix(&bundle.tree) {
        Ok(inner) if inner.components().count() > 0 => inner.to_owned(),
        _ if bundle.dir.ends_with(&bundle.label) => bundle.label.clone().into(),
        _ => bundle.dir.clone(),
    }
}

fn warning(file: &Path, message: impl Into<String>) -> Diagnostic {
    Diagnostic::warning(Place { file: file.to_owned(), line: 0, column: 0 }, message)
}

/// Of a directory, sorted; none if it cannot be read.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
