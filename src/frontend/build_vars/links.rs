//! Checks the symbolic links of a definition. A link into the bundle is an alias. A link to
//! elsewhere in the tree adds files to the definition. A link out of the tree could expose secrets
//! of the host, and is an error.
use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::files::Trouble;

/// Target of a link.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Leads {
    /// In the bundle, or nowhere, if nothing outside would match.
    Inside,
    /// This file or directory of the tree, outside of the bundle.
    Beside(PathBuf),
    /// A directory of the tree that contains the bundle.
    Around,
    Out,
}

/// The directories that links may lead to.
pub(super) struct Bounds {
    bundle: PathBuf,
    /// `None` if the bundle is in no tree.
    tree: Option<PathBuf>,
}

impl Bounds {
    pub fn new(tree: &Path, dir: &Path) -> Self {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let (tree, bundle) = (real(tree), real(dir));
        Self { tree: bundle.starts_with(&tree).then_some(tree), bundle }
    }

    /// Classifies the target of `link`, which must be a link.
    pub fn leads(&self, link: &Path) -> Leads {
        let Ok(real) = link.canonicalize() else { return self.leads_if_it_led(link) };
        match &self.tree {
            _ if real.starts_with(&self.bundle) => Leads::Inside,
            _ if self.bundle.starts_with(&real) => Leads::Around,
            Some(tree) if real.starts_with(tree) => Leads::Beside(real),
            _ => Leads::Out,
        }
    }

    /// Classifies a dangling link by the place where its target would be.
    fn leads_if_it_led(&self, link: &Path) -> Leads {
        let parent = link.parent().and_then(|p| p.canonicalize().ok()).unwrap_or_default();
        let mut at = parent.clone();
        for part in fs::read_link(link).unwrap_or_default().components() {
            match part {
                Component::ParentDir => _ = at.pop(),
                Component::CurDir => {}
                Component::RootDir | Component::Prefix(_) => at = PathBuf::from("/"),
                Component::Normal(name) => at.push(name),
            }
        }
        let bound = self.tree.as_ref().unwrap_or(&self.bundle);
        if at.starts_with(bound) { Leads::Inside } else { Leads::Out }
    }

    fn name(&self) -> &'static str {
        if self.tree.is_some() { "factory tree" } else { "bundle" }
    }
}

/// Forbidden links, relative to `dir` if inside. Includes links in directories that other links
/// add.
pub(super) fn wrong(tree: &Path, dir: &Path) -> Vec<(PathBuf, Trouble)> {
    let bounds = Bounds::new(tree, dir);
    let mut found = Vec::new();
    let (mut left, mut seen) = (vec![bounds.bundle.clone()], BTreeSet::new());
    while let Some(place) = left.pop() {
        if !seen.insert(place.clone()) {
            continue;
        }
        for entry in
            walkdir::WalkDir::new(&place).into_iter().flatten().filter(|e| e.path_is_symlink())
        {
            let shown =
                entry.path().strip_prefix(&bounds.bundle).unwrap_or(entry.path()).to_owned();
            let (message, hint) = match bounds.leads(entry.path()) {
                Leads::Inside => continue,
                Leads::Beside(real) => {
                    left.push(real);
                    continue;
                }
                Leads::Around => (
                    "leads to a directory that the bundle lies in",
                    "link the directory that is needed",
                ),
                Leads::Out => {
                    ("", "a symbolic link in it points elsewhere; a copy may lie in the bundle")
                }
            };
            let message = match message {
                "" => format!("`{}` leads out of the {}", shown.display(), bounds.name()),
                _ => format!("`{}` {message}", shown.display()),
            };
            found.push((shown, Trouble { message, hint: hint.into() }));
        }
    }
    found
}

/// What the bundle's links add from the tree: absolute paths, each once.
pub(in crate::frontend) struct Brought {
    /// Files, and links among them.
    pub files: Vec<PathBuf>,
    /// Targets of links: files and directories.
    pub places: Vec<PathBuf>,
}

pub(in crate::frontend) fn brought_in(tree: &Path, dir: &Path) -> Brought {
    let bounds = Bounds::new(tree, dir);
    let mut files = BTreeSet::new();
    let (mut left, mut seen) = (vec![bounds.bundle.clone()], BTreeSet::new());
    while let Some(place) = left.pop() {
        if !seen.insert(place.clone()) {
            continue;
        }
        let own = place == bounds.bundle;
        let left_out = |e: &walkdir::DirEntry| {
            e.file_name() == ".git" || own && e.depth() == 1 && e.file_name() == "target"
        };
        let entries = walkdir::WalkDir::new(&place)
            .into_iter()
            .filter_entry(|e| e.depth() == 0 || !left_out(e));
        for entry in entries.flatten() {
            if entry.path_is_symlink() {
                if let Leads::Beside(real) = bounds.leads(entry.path()) {
                    left.push(real);
                }
                if !own {
                    files.insert(entry.into_path());
                }
            } else if !own && entry.file_type().is_file() {
                files.insert(entry.into_path());
            }
        }
    }
    seen.remove(&bounds.bundle);
    Brought { files: files.into_iter().collect(), places: seen.into_iter().collect() }
}
