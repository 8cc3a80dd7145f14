//! The factory tree: `images/` and `os/` with their bundles.
use crate::model::kind::Kind;
use std::fs;
use std::path::{Path, PathBuf};

use super::{FRONTENDS, build_vars, is_definition, main_files};
use crate::model::category::{CATEGORIES, Category, OS};
use crate::model::definition::{Base, Definition};
use crate::model::diagnostic::Diagnostic;

/// Maximum number of names shown.
const SHOWN: usize = 12;

/// The nearest directory, from `start` upwards, that contains `images/` or `os/`.
pub fn find_tree(start: &Path) -> Option<PathBuf> {
    let start = std::path::absolute(start).ok()?;
    let tree =
        start.ancestors().find(|dir| CATEGORIES.iter().any(|half| dir.join(half.dir).is_dir()))?;
    Some(tree.to_owned())
}

/// All directories under `images/` and `os/` with a definition, sorted. Excludes `target`,
/// which holds build output.
pub fn all(tree: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = CATEGORIES
        .iter()
        .flat_map(|half| fs::read_dir(tree.join(half.dir)).into_iter().flatten().flatten())
        .filter(|entry| entry.file_name() != "target")
        .map(|entry| entry.path())
        .filter(|dir| is_definition(dir))
        .collect();
    found.sort();
    found
}

/// Finds the directory for `images/X`, `os/Y`, a bare name, or a path.
pub fn find(tree: &Path, name: &str) -> Result<PathBuf, Diagnostic> {
    let plain = name.trim_end_matches('/');
    let plain = plain.strip_prefix("./").unwrap_or(plain);
    let in_half = |name: &str| {
        !name.is_empty() && !name.contains('/') && !name.starts_with('.') && name != "target"
    };
    let (half, rest) = plain.split_once('/').unwrap_or(("", plain));
    if Category::of_dir(half).is_some() && in_half(rest) && tree.join(plain).is_dir() {
        return Ok(tree.join(plain));
    }
    if in_half(plain) {
        let mut found = CATEGORIES
            .iter()
            .map(|half| tree.join(half.dir).join(plain))
            .filter(|dir| dir.is_dir());
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => {
                let message = format!("`{plain}` is both images/{plain} and os/{plain}");
                return Err(Diagnostic::error(None, message).hint("give it with its directory"));
            }
            (Some(dir), None) => return Ok(dir),
            _ => {}
        }
    }
    let path = Path::new(name);
    let built = plain == "target" || (Category::of_dir(half).is_some() && rest == "target");
    if !built && path.is_dir() {
        return Ok(path.to_owned());
    }
    match path.parent() {
        Some(dir) if path.is_file() && is_main_file(path) => {
            Ok(if dir.as_os_str().is_empty() { PathBuf::from(".") } else { dir.to_owned() })
        }
        _ => Err(no_directory(tree, plain).unwrap_or_else(|| unknown(tree, plain))),
    }
}

/// Paths where absent definitions of this name would be.
pub fn where_it_was(tree: &Path, name: &str) -> Vec<PathBuf> {
    let plain = name.trim_end_matches('/');
    let plain = plain.strip_prefix("./").unwrap_or(plain);
    let (half, rest) = plain.split_once('/').unwrap_or(("", plain));
    if rest.is_empty() || rest.contains('/') || rest.starts_with('.') || rest == "target" {
        return Vec::new();
    }
    CATEGORIES
        .iter()
        .filter(|one| half.is_empty() || half == one.dir)
        .map(|one| tree.join(one.dir).join(rest))
        .collect()
}

/// Finding if the name exists but cannot be a bundle.
fn no_directory(tree: &Path, name: &str) -> Option<Diagnostic> {
    let places = [PathBuf::from(name), tree.join(name)]
        .into_iter()
        .chain(CATEGORIES.iter().map(|half| tree.join(half.dir).join(name)));
    let path = places.into_iter().find(|path| path.is_symlink() || path.is_file())?;
    let message = match path.is_file() {
        true => format!("`{name}` is a file, and a bundle is a directory with a {}", any_file()),
        false if path.exists() => return None,
        false => format!("`{name}` is a link to nowhere"),
    };
    Some(Diagnostic::error(None, message))
}

/// Whether `name` exists, as a shell's `images/*` expands it, but is not a bundle: a plain file,
/// build output, a directory of parts (`os/families`). A directory of `images/` or `os/` with
/// playbooks is a bundle without settings.
pub fn is_beside(tree: &Path, name: &str) -> bool {
    let path = [Path::new(name).to_owned(), tree.join(name)].into_iter().find(|path| path.exists());
    let Some(path) = path.and_then(|path| path.canonicalize().ok()) else { return false };
    if path.is_file() {
        return !is_main_file(&path);
    }
    let in_half = CATEGORIES.iter().any(|half| {
        tree.join(half.dir).canonicalize().is_ok_and(|half| path.parent() == Some(&half))
    });
    let meant = FRONTENDS
        .iter()
        .any(|language| path.join(language.file()).exists() || language.is_meant(&path));
    let parts = path.ends_with("target") || !meant;
    in_half && parts
}

fn unknown(tree: &Path, name: &str) -> Diagnostic {
    let labels: Vec<String> = all(tree)
        .iter()
        .filter_map(|dir| dir.strip_prefix(tree).ok())
        .map(|dir| dir.display().to_string())
        .collect();
    let finding = Diagnostic::error(None, format!("there is no bundle `{name}`"));
    if labels.is_empty() {
        return finding.hint(format!(
            "neither {} of {} holds a directory with a {}",
            CATEGORIES.map(|half| format!("{}/", half.dir)).join(" nor "),
            tree.display(),
            any_file()
        ));
    }
    let mut list = labels[..labels.len().min(SHOWN)].join(", ");
    if labels.len() > SHOWN {
        list.push_str(&format!(" and {} more", labels.len() - SHOWN));
    }
    // Typed with or without its directory, or with the wrong one.
    let bare = |label: &'_ str| label.rsplit('/').next().unwrap_or_default().to_owned();
    let names: Vec<String> = labels.iter().map(|label| bare(label)).collect();
    let wanted = bare(name);
    let near =
        build_vars::nearest_key(&wanted, &names.iter().map(String::as_str).collect::<Vec<_>>())
            .and_then(|near| labels.iter().find(|label| bare(label) == near));
    match near {
        Some(near) => finding.hint(format!("did you mean {near}? there are {list}")),
        None => finding.hint(format!("there are {list}")),
    }
}

/// Directory of an `os/<name>` base; `None` for other bases, and if absent from the tree.
pub fn base_of(tree: &Path, bundle: &Definition) -> Option<PathBuf> {
    let Some(Base::Os(name)) = &bundle.base else { return None };
    let dir = tree.join(OS.dir).join(name);
    is_definition(&dir).then_some(dir)
}

/// Kind of the definition in `home`: by its directory in the tree, or by the name of its parent
/// directory. `sourced`: it makes its image without a base.
pub(super) fn kind(tree: &Path, home: &Path, sourced: bool) -> Kind {
    let inner = home.strip_prefix(tree).ok().filter(|inner| inner.components().count() > 1);
    let first = inner.and_then(|inner| inner.iter().next()).and_then(|name| name.to_str());
    let parent = home.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    if let Some(category) = first.and_then(Category::of_dir) {
        return category.kind;
    }
    if sourced || parent == Some(OS.dir) { Kind::Os } else { Kind::Image }
}

fn is_main_file(path: &Path) -> bool {
    main_files().any(|name| path.ends_with(name))
}

/// The names of [`main_files`], for messages.
fn any_file() -> String {
    main_files().collect::<Vec<_>>().join(" or ")
}
