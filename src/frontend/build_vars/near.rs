//! Reports files and directories whose names nearly match one that is read, and that would
//! otherwise be silently ignored.
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use self::named::Named;
pub use self::strays::{Stray, strays};
use self::within::Within;
use super::playbooks::requirements;
use super::{Definition, FILE, Source};
use crate::model::diagnostic::{Diagnostic, Location};

mod named;
mod output;
mod strays;
mod within;

/// Maximum findings per bundle.
const MOST: usize = 20;

/// A name that is read: its directory, the name, and its contents if it is a directory.
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
    known("", FILE, Holds::File),
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

/// Similarity of a name to a known one.
#[derive(Debug, PartialEq)]
enum Near {
    /// Equal apart from case, `-` and `_`, and `.yaml`.
    Same,
    /// One letter more, less or different.
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
    settings_in(dir, &Within::new(dir, dir))
}

fn settings_in(dir: &Path, within: &Within) -> Option<String> {
    let meant = |name: &String| nearness(name, FILE).is_some() || name == "build-vars.json";
    within.names(dir).into_iter().filter(|name| within.is_file(&dir.join(name))).find(meant)
}

/// Whether a directory without build-vars.yml was meant as a bundle.
pub(super) fn is_meant(dir: &Path) -> bool {
    is_meant_in(dir, &Within::new(dir, dir))
}

fn is_meant_in(dir: &Path, within: &Within) -> bool {
    let holds =
        |place: &Known| place.dir.is_empty() && place.holds.is_in(&dir.join(place.name), within);
    let bootstrap = || within.is_file(&dir.join("ansible/bootstrap.yml"));
    settings_in(dir, within).is_some()
        || bootstrap()
        || (PLACES.iter().filter(|place| holds(place)).count() > 1)
}

/// Entries of a bundle that are not read but nearly match a name that is.
pub(super) fn in_bundle(bundle: &Definition) -> Vec<Diagnostic> {
    let within = Within::new(&bundle.tree, &bundle.dir);
    let look = Look { bundle, within, used: used(bundle), shown: shown(bundle) };
    let mut doubtful: Vec<Doubtful> = PLACES.iter().flat_map(|place| look.place(place)).collect();
    doubtful.extend(look.output());
    doubtful.extend(look.bootstrap());
    let mut found = look.unnamed(doubtful);
    found.extend(look.elsewhere());
    found.truncate(MOST);
    found
}

struct Look<'b> {
    bundle: &'b Definition,
    within: Within,
    /// Paths used by steps, the source and the login.
    used: BTreeSet<PathBuf>,
    shown: PathBuf,
}

/// An entry that is not read, unless a text names it.
struct Doubtful {
    /// Relative to the bundle's directory.
    path: PathBuf,
    is_dir: bool,
    message: String,
    hint: String,
}

impl Look<'_> {
    /// Used by a step, as itself, as a part or as a parent.
    fn is_used(&self, path: &Path) -> bool {
        self.used.iter().any(|used| used.starts_with(path) || path.starts_with(used))
    }

    /// Those that no text of the definition names. Reads texts only if there are any.
    fn unnamed(&self, doubtful: Vec<Doubtful>) -> Vec<Diagnostic> {
        let mut left: Vec<Doubtful> =
            doubtful.into_iter().filter(|one| !self.is_used(&one.path)).collect();
        if !left.is_empty() {
            let aside: Vec<PathBuf> = left.iter().map(|one| one.path.clone()).collect();
            let named = Named::of(self.bundle, &aside, &self.within);
            left.retain(|one| {
                let name = one.path.file_name().unwrap_or_default().to_string_lossy();
                let above = one.path.starts_with("output") && named.has_dir("output");
                let linked = named.is_linked(&self.bundle.dir.join(&one.path), &self.within);
                !above
                    && !linked
                    && !if one.is_dir { named.has_dir(&name) } else { named.has_file(&name) }
            });
        }
        let found = left.into_iter();
        found.map(|one| warning(&self.shown.join(one.path), one.message).hint(one.hint)).collect()
    }

    /// Entries that nearly match this name.
    fn place(&self, place: &Known) -> Vec<Doubtful> {
        let (dir, mut found) = (self.bundle.dir.join(place.dir), Vec::new());
        let there = match place.holds {
            Holds::File => self.within.is_file(&dir.join(place.name)),
            holds => holds.is_in(&dir.join(place.name), &self.within),
        };
        for name in self.within.names(&dir) {
            let near = nearness(&name, place.name).is_some_and(|near| near == Near::Same || !there);
            let full = dir.join(&name);
            let fits = || match place.holds {
                Holds::File => self.within.is_file(&full),
                holds => holds.is_in(&full, &self.within),
            };
            if !near || requirements::PLACES.contains(&name.as_str()) || !fits() {
                continue;
            }
            let is_dir = place.holds != Holds::File;
            let slash = if is_dir { "/" } else { "" };
            let (path, meant) =
                (Path::new(place.dir).join(&name), Path::new(place.dir).join(place.name));
            let message = format!(
                "`{}{slash}` is not looked at; `{}{slash}` is",
                path.display(),
                meant.display()
            );
            found.push(Doubtful {
                path,
                is_dir,
                message,
                hint: format!("rename it to `{}`, if it is meant as that", place.name),
            });
        }
        found
    }

    /// Files of `output/` that are not templates and that no template names.
    fn output(&self) -> Vec<Doubtful> {
        let idle = output::idle(self.bundle, &self.within).into_iter();
        let told = |output::Idle { path, is_template }| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let path = Path::new("output").join(path);
            let (why, hint) = match is_template {
                true => (
                    "is not rendered: templates lie in output/ itself, and no template includes it",
                    "mv it to output/".to_owned(),
                ),
                false => (
                    "is neither rendered nor copied: only output/*.j2 are, and no template \
                        includes it",
                    format!("`output/{name}.j2` is; a text without tags is copied as it is"),
                ),
            };
            Doubtful { message: format!("`{}` {why}", path.display()), path, is_dir: false, hint }
        };
        idle.map(told).collect()
    }

    /// The default playbook runs only if no steps are listed.
    fn bootstrap(&self) -> Option<Doubtful> {
        let of_ansible = |step: &super::Step| step.action.is_playbook();
        let left_out = self.bundle.has_bootstrap
            && !self.bundle.steps.is_empty()
            && !self.bundle.steps.iter().any(of_ansible);
        let message = "`ansible/bootstrap.yml` does not run: `steps` lists all that is done, and \
            does not name it";
        left_out.then(|| Doubtful {
            path: "ansible/bootstrap.yml".into(),
            is_dir: false,
            message: message.into(),
            hint: "`- ansible: ansible/bootstrap.yml` runs it".into(),
        })
    }

    /// Entries beside build-vars.yml, if `bundle.path` names another directory.
    fn elsewhere(&self) -> Vec<Diagnostic> {
        let home = &self.bundle.asks.definition;
        if home.as_os_str().is_empty()
            || *home == self.bundle.dir
            || self.bundle.dir.starts_with(home)
        {
            return Vec::new();
        }
        let within = Within::new(&self.bundle.tree, home);
        let lie = PLACES.iter().filter(|place| {
            place.dir.is_empty() && place.holds.is_in(&home.join(place.name), &within)
        });
        let told = |place: &Known| {
            let (path, name, dir) =
                (Path::new(&self.bundle.label).join(place.name), place.name, self.shown.display());
            warning(
                &path,
                format!("`{name}/` beside build-vars.yml is not looked at: `bundle.path` is {dir}"),
            )
            .hint("what the definition brings lies in the directory that `bundle.path` names")
        };
        lie.map(told).collect()
    }
}

impl Holds {
    /// Whether `dir` is a directory with contents that would have been read.
    fn is_in(self, dir: &Path, within: &Within) -> bool {
        if self == Self::File || !within.is_dir(dir) {
            return false;
        }
        let mut names = within.names(dir).into_iter().filter(|name| !is_aside(name));
        match self {
            Self::File => false,
            Self::Anything => names.next().is_some(),
            Self::Templates => names.any(|name| name.ends_with(".j2")),
            Self::Programs => names.any(|name| within.is_script(&dir.join(name))),
        }
    }
}

/// Notes, and files of editors and git.
fn is_aside(name: &str) -> bool {
    let begins = ["readme", "license", "notes", "changelog"];
    let ends = ["~", ".md", ".bak", ".orig", ".rej", ".swp"];
    let small = name.to_lowercase();
    name.starts_with('.')
        || begins.iter().any(|begin| small.starts_with(begin))
        || ends.iter().any(|end| small.ends_with(end))
}

/// Paths of the bundle that its definition names.
fn used(bundle: &Definition) -> BTreeSet<PathBuf> {
    let steps = bundle.steps.iter().filter_map(|step| step.action.path().map(Path::to_owned));
    let source = match &bundle.source {
        Some(Source::Script(path)) => Some(path.clone()),
        _ => None,
    };
    steps.chain(source).collect()
}

fn shown(bundle: &Definition) -> PathBuf {
    match bundle.dir.strip_prefix(&bundle.tree) {
        Ok(inner) if inner.components().count() > 0 => inner.to_owned(),
        _ if bundle.dir.ends_with(&bundle.label) => bundle.label.clone().into(),
        _ => bundle.dir.clone(),
    }
}

fn warning(file: &Path, message: impl Into<String>) -> Diagnostic {
    Diagnostic::warning(Location { file: file.to_owned(), line: 0, column: 0 }, message)
}
