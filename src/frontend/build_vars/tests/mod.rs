//! Bundles on disk, and what is said of them.
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::Definition;
use crate::frontend::{Loaded, load};
use crate::model::diagnostic::Diagnostic;

mod doubts;
mod keys;
mod near;
mod places;
mod sound;
mod source;
mod trees;
mod yaml;

/// A factory tree in a directory of its own.
struct Tree {
    root: tempfile::TempDir,
}

impl Tree {
    fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> &Path {
        self.root.path()
    }

    fn write(&self, path: &str, text: &str) -> &Self {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn executable(&self, path: &str, text: &str) -> &Self {
        self.write(path, text);
        fs::set_permissions(self.path().join(path), fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    fn load(&self, dir: &str) -> Result<Loaded, Vec<Diagnostic>> {
        load(self.path(), &self.path().join(dir))
    }

    fn bundle(&self, dir: &str) -> Definition {
        self.load(dir).unwrap_or_else(|findings| panic!("{}", render(&findings))).bundle
    }
}

fn render(findings: &[Diagnostic]) -> String {
    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// All that is said of a bundle with these settings, `images/x/build-vars.yml` left out of the
/// places.
fn said(settings: &str) -> String {
    let tree = Tree::new();
    tree.write("images/x/build-vars.yml", settings);
    said_in(&tree, "images/x")
}

fn said_in(tree: &Tree, dir: &str) -> String {
    let findings = match tree.load(dir) {
        Ok(loaded) => loaded.warnings,
        Err(findings) => findings,
    };
    render(&findings).replace(&format!("{dir}/build-vars.yml:"), "")
}

const MINIMAL: &str = "bundle: {name: x, img_base: y}\n";

/// Of the minimal bundle with these lines after it; so the first of them is line 2.
fn said_more(lines: &str) -> String {
    said(&format!("{MINIMAL}{lines}"))
}

/// The minimal bundle with these lines, sound.
fn with(lines: &str) -> Definition {
    let tree = Tree::new();
    tree.write("images/x/build-vars.yml", &format!("{MINIMAL}{lines}"));
    tree.bundle("images/x")
}

fn paths(paths: &[&str]) -> Vec<PathBuf> {
    paths.iter().map(PathBuf::from).collect()
}
