//! The directories of a definition: its own, `bundle.path`, and the targets of its links inside the
//! factory tree, with every link on the way. Wider directories are refused: one that contains the
//! tree, or the user's home.
use crate::model::category::CATEGORIES;
use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use crate::model::definition::Asks;
use crate::model::diagnostic::Diagnostic;
use crate::system::paths::real;

/// Maximum number of entries searched for links.
const MANY: usize = 20_000;
/// Never part of a definition, even inside a tree: git configuration may hold passwords.
const NEVER: &[&str] = &[".git", "clouds.yaml", "clouds-public.yaml", "secure.yaml"];

/// The directories, each once, including links that lead to them. `home` is the user's.
pub(super) fn places(
    asks: &Asks,
    bundle_dir: &Path,
    home: Option<&Path>,
) -> Result<Vec<PathBuf>, Diagnostic> {
    let tree = real(&asks.tree);
    let definition =
        if asks.definition.as_os_str().is_empty() { bundle_dir } else { &asks.definition };
    let (definition, named) = (real(definition), real(bundle_dir));
    let mut places = BTreeSet::new();
    for dir in [&definition, &named] {
        if let Some(what) = too_wide(dir, &tree, home) {
            let finding = Diagnostic::error(
                None,
                format!("the definition's directory {} holds {what}", dir.display()),
            );
            return Err(finding.hint(
                "a definition is shown to its playbooks whole: give it a directory of its own",
            ));
        }
        places.insert(dir.clone());
    }
    if named != definition && !named.starts_with(&tree) && !named.starts_with(&definition) {
        let finding = Diagnostic::error(
            None,
            format!("`bundle.path` leads out of the factory tree: {}", named.display()),
        );
        return Err(finding.hint("a definition may name a directory of its tree"));
    }
    let mut left: Vec<PathBuf> = places.iter().cloned().collect();
    let (mut seen, mut names) = (0, BTreeSet::new());
    while let Some(dir) = left.pop() {
        for entry in walkdir::WalkDir::new(&dir).into_iter().filter_map(Result::ok) {
            seen += 1;
            if seen > MANY {
                break;
            }
            let Some(target) =
                entry.path_is_symlink().then(|| entry.path().canonicalize().ok()).flatten()
            else {
                continue;
            };
            if may_show(&target, &tree) && too_wide(&target, &tree, home).is_none() {
                names.extend(hops(entry.path()).into_iter().filter(|name| may_show(name, &tree)));
            }
            let known = places.iter().any(|place| target.starts_with(place));
            if !known && may_show(&target, &tree) && too_wide(&target, &tree, home).is_none() {
                places.insert(target.clone());
                left.push(target);
            }
        }
    }
    Ok(with_names(places, names))
}

/// Directories, and names of links that lie in none of them.
fn with_names(places: BTreeSet<PathBuf>, names: BTreeSet<PathBuf>) -> Vec<PathBuf> {
    let mut shown: Vec<PathBuf> = places.into_iter().collect();
    // Sorted: what lies in another comes after it, and is seen with it.
    for name in names {
        if !shown.iter().any(|place| name.starts_with(place)) {
            shown.push(name);
        }
    }
    shown
}

/// Entries of a definition's directories that are not part of it: git directories, and build output
/// in `target` of the directories `own`.
pub(super) fn uncounted(places: &[PathBuf], own: &[&Path]) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = own
        .iter()
        .map(|dir| real(dir).join("target"))
        .filter(|dir| dir.is_dir() && !dir.is_symlink())
        .collect();
    for place in places.iter().filter(|place| !place.is_symlink()) {
        let mut entries = walkdir::WalkDir::new(place).min_depth(1).into_iter();
        while let Some(entry) = entries.next() {
            let Ok(entry) = entry else { continue };
            if entry.file_name() == ".git" && !entry.path_is_symlink() {
                if entry.file_type().is_dir() {
                    entries.skip_current_dir();
                }
                found.push(entry.into_path());
            }
        }
    }
    found
}

/// All paths on the way from a link to its target. With chained links, one may lie outside of the
/// visible directories.
fn hops(link: &Path) -> Vec<PathBuf> {
    let (mut at, mut names) = (link.to_owned(), Vec::new());
    for _ in 0..16 {
        let (Ok(target), Some(Ok(dir))) =
            (std::fs::read_link(&at), at.parent().map(Path::canonicalize))
        else {
            break;
        };
        at = joined(dir, &target);
        names.push(at.clone());
    }
    names
}

/// Joins paths lexically, except that `..` leaves the directory that the name before it resolves
/// to.
fn joined(dir: PathBuf, target: &Path) -> PathBuf {
    target.components().fold(dir, |at, part| match part {
        Component::ParentDir => {
            real(&at).parent().map_or_else(|| PathBuf::from("/"), Path::to_owned)
        }
        Component::CurDir => at,
        part => at.join(part),
    })
}

fn may_show(target: &Path, tree: &Path) -> bool {
    let Ok(inner) = target.strip_prefix(tree) else { return false };
    !tree.as_os_str().is_empty()
        && !inner.iter().any(|name| NEVER.iter().any(|never| name == *never))
}

fn too_wide(dir: &Path, tree: &Path, home: Option<&Path>) -> Option<&'static str> {
    let holds = |inner: &Path| !inner.as_os_str().is_empty() && real(inner).starts_with(dir);
    match home {
        _ if dir == Path::new("/") => Some("this whole machine"),
        Some(home) if holds(home) => Some("the home of the factory's user"),
        _ if holds(tree) && CATEGORIES.iter().any(|half| tree.join(half.dir).is_dir()) => {
            Some("the whole factory tree")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn world() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for path in [
            "tree/images/x",
            "tree/images/target/x",
            "tree/shared/role",
            "tree/.git",
            "secrets",
            "home",
        ] {
            std::fs::create_dir_all(root.join(path)).unwrap();
        }
        (dir, root)
    }

    fn of(root: &Path, definition: &str, named: &str) -> Result<Vec<String>, String> {
        let asks =
            Asks { tree: root.join("tree"), definition: root.join(definition), ..Asks::default() };
        let found =
            places(&asks, &root.join(named), Some(&root.join("home"))).map_err(|d| d.message)?;
        Ok(found.iter().map(|p| p.strip_prefix(root).unwrap().display().to_string()).collect())
    }

    #[test]
    fn links_are_followed_inside_the_tree_only() {
        let (_dir, root) = world();
        for (name, target) in [
            ("roles", "tree/shared"),
            ("out", "secrets"),
            ("git", "tree/.git"),
            ("all", "tree"),
            ("up", ""),
        ] {
            symlink(root.join(target), root.join("tree/images/x").join(name)).unwrap();
        }
        symlink(root.join("secrets"), root.join("tree/shared/role/more")).unwrap();
        assert_eq!(
            of(&root, "tree/images/x", "tree/images/x").unwrap(),
            ["tree/images/x", "tree/shared"]
        );
        assert_eq!(
            of(&root, "tree/images/x", "tree/shared").unwrap(),
            ["tree/images/x", "tree/shared"]
        );
    }

    #[test]
    fn what_is_wider_than_a_definition_is_refused() {
        let (_dir, root) = world();
        for (named, why) in
            [("secrets", "leads out"), ("home", "home"), ("", "home"), ("tree", "tree")]
        {
            let said = of(&root, "tree/images/x", named).unwrap_err();
            assert!(said.contains(why), "{named}: {said}");
        }
        assert!(of(&root, "tree", "tree").is_err());
        assert_eq!(
            of(&root, "secrets", "secrets").unwrap(),
            ["secrets"],
            "a definition may lie outside of a tree"
        );
    }
}
