//! Finds directories of a factory tree that are not bundles but were probably meant to be.
use std::path::{Path, PathBuf};

use super::named::Named;
use super::within::Within;
use super::{is_meant_in, nearness, settings_in, warning};
use crate::frontend;
use crate::frontend::build_vars::FILE;
use crate::model::category::CATEGORIES;
use crate::model::diagnostic::Diagnostic;
use crate::text::shell;

/// A directory that is not a bundle, and its finding.
pub struct Stray {
    pub dir: PathBuf,
    pub finding: Diagnostic,
}

/// Directories of a factory tree that are not bundles but were probably meant to be.
pub fn strays(root: &Path) -> Vec<Stray> {
    let (mut found, within) = (Vec::new(), Within::new(root, root));
    let mut doubtful = Vec::new();
    for half in CATEGORIES.map(|category| category.dir) {
        for name in within
            .names(&root.join(half))
            .into_iter()
            .filter(|name| name != "target" && !name.starts_with('.'))
        {
            let label = Path::new(half).join(&name);
            match stray(root, &label, &within) {
                Some(finding) => found.push(Stray { dir: root.join(&label), finding }),
                None if looks_like_one(&root.join(&label), &within) => doubtful.push(label),
                None => {}
            }
        }
    }
    found.extend(unused(root, &doubtful, &within));
    found.extend(halves(root, &within));
    found
}

/// Directories beside images/ and os/ that contain definitions.
fn halves(root: &Path, within: &Within) -> Vec<Stray> {
    let mut found = Vec::new();
    for name in within.names(root) {
        let Some(half) =
            CATEGORIES.map(|c| c.dir).into_iter().find(|half| nearness(&name, half).is_some())
        else {
            continue;
        };
        let dir = root.join(&name);
        let is_definition = |inner: &String| within.is_file(&dir.join(inner).join(FILE));
        let count = within.names(&dir).into_iter().filter(is_definition).count();
        if count > 0 {
            let finding = warning(
                Path::new(&name),
                format!("{name}/ is not looked at, and holds {count} definitions"),
            );
            found.push(Stray { dir, finding: finding.hint(format!("definitions lie in {half}/")) });
        }
    }
    found
}

fn looks_like_one(dir: &Path, within: &Within) -> bool {
    within.is_dir(dir) && !frontend::is_definition(dir) && is_meant_in(dir, within)
}

/// Of those that look like bundles, the ones that no definition uses wholly or partly.
fn unused(root: &Path, labels: &[PathBuf], within: &Within) -> Vec<Stray> {
    if labels.is_empty() {
        return Vec::new();
    }
    let named = Named::of_tree(root, labels, within);
    let is_named =
        |label: &Path| named.has_dir(&label.file_name().unwrap_or_default().to_string_lossy());
    let unused = labels
        .iter()
        .filter(|label| !is_named(label) && !named.is_linked(&root.join(label), within));
    let told = |label: &PathBuf| {
        let shown = label.display();
        let finding = warning(
            label,
            format!("{shown} looks like a bundle and has no {}: it is passed over", FILE),
        );
        let hint = "it holds at least `bundle: {name: ..., img_base: ...}`; another definition \
            uses the directory by `bundle.path`";
        Stray { dir: root.join(label), finding: finding.hint(hint) }
    };
    unused.map(told).collect()
}

fn stray(root: &Path, label: &Path, within: &Within) -> Option<Diagnostic> {
    let (dir, shown) = (root.join(label), label.display());
    let own = dir.join(FILE);
    // The target of a link out of the tree is reported only to a user who names it.
    if !within.is_dir(&dir) || frontend::is_definition(&dir) {
        return None;
    }
    if own.is_symlink() || own.exists() {
        let what = if own.exists() { "is not a file" } else { "is a link to nowhere" };
        let finding =
            warning(&label.join(FILE), format!("{shown} is no bundle: its {} {what}", FILE));
        return Some(
            finding.hint("it is passed over, here and by everything that looks for bundles"),
        );
    }
    if let Some(name) = settings_in(&dir, within) {
        let finding = warning(
            &label.join(&name),
            format!("{shown} is no bundle: its settings are called `{name}`, not {}", FILE),
        );
        return Some(finding.hint(moved(&label.join(&name), &label.join(FILE))));
    }
    let is_definition =
        |name: &String| name != "target" && within.is_file(&dir.join(name).join(FILE));
    let inner = within.names(&dir).into_iter().find(is_definition);
    if let Some(inner) = inner {
        let finding = warning(
            &label.join(&inner),
            format!("{shown}/{inner} is not looked at: definitions lie directly in images/ or os/"),
        );
        let half = Path::new(label.iter().next().unwrap_or_default());
        return Some(finding.hint(moved(&label.join(&inner), &half.join(&inner))));
    }
    None
}

/// The command that moves one to the other.
fn moved(from: &Path, to: &Path) -> String {
    format!("mv {} {}", shell::path(from), shell::path(to))
}
