//! The definitions of the tree that a command is about, found and loaded.
use std::path::{Path, PathBuf};

use super::{Context, Failure, findings};
use crate::frontend::{self, LoadRequest, Loaded, Unsound, build_vars};
use crate::model::definition::Definition;
use crate::model::diagnostic::Diagnostic;
use crate::run::Results;

/// A definition, or what is wrong with it.
pub(super) type LoadResult = Result<Loaded, Unsound>;

impl Context {
    /// Definitions of `tree`: those that are meant get what `--set` says, the others are as
    /// written.
    pub async fn definitions(
        &self,
        tree: &Path,
        meant: &[PathBuf],
        others: &[PathBuf],
    ) -> Result<Vec<LoadResult>, Failure> {
        let wanted = |dirs: &[PathBuf], overridden| {
            dirs.iter().map(|dir| LoadRequest { dir: dir.clone(), overridden }).collect::<Vec<_>>()
        };
        let all = [wanted(meant, true), wanted(others, false)].concat();
        Ok(self.definitions.load(tree, &all, &self.overrides()?, &self.cancel).await?)
    }

    /// All of the tree that are sound, as written; none outside of a tree.
    pub async fn sound(&self) -> Result<Vec<Definition>, Failure> {
        Ok(self.of_tree().await?.into_iter().flatten().map(|loaded| loaded.bundle).collect())
    }

    /// All of the tree, as written; none outside of a tree.
    pub async fn of_tree(&self) -> Result<Vec<LoadResult>, Failure> {
        let Ok(tree) = self.tree() else { return Ok(Vec::new()) };
        self.definitions(&tree, &[], &frontend::all(&tree)).await
    }

    /// Finds and loads bundles; what is wrong with any of them is said together.
    pub async fn load(&self, names: &[String]) -> Result<Vec<Definition>, Failure> {
        let (tree, names) = (self.tree()?, names.to_vec());
        let look = tree.clone();
        let (found, all) = self
            .reading(move || {
                (
                    names.iter().map(|name| frontend::find(&look, name)).collect::<Vec<_>>(),
                    frontend::all(&look),
                )
            })
            .await?;
        let (dirs, unknown): (Vec<_>, Vec<_>) = found.into_iter().partition(Result::is_ok);
        let dirs: Vec<PathBuf> = dirs.into_iter().flatten().collect();
        let mut wrong: Vec<Diagnostic> = unknown.into_iter().filter_map(Result::err).collect();
        let mut loaded = self.definitions(&tree, &dirs, &all).await?;
        let others = loaded.split_off(dirs.len());
        let of_bases = unsound_bases(&tree, &loaded, &all, &others);
        let looked = self.look(loaded, &others).await?;
        wrong.extend(looked.found);
        wrong.extend(of_bases);
        // A base that is named itself was looked at twice.
        let mut said = Vec::new();
        wrong.retain(|d| {
            !said.contains(d) && {
                said.push(d.clone());
                true
            }
        });
        if wrong.iter().any(Diagnostic::is_error) {
            return Err(Failure::bundle(wrong));
        }
        self.show_diagnostics(&wrong);
        Ok(looked.bundles)
    }

    /// Where results lie of what is named so, whether it can be built or not: of a definition that
    /// is gone, too.
    pub fn results_of(&self, names: &[String]) -> Vec<Results> {
        let Ok(tree) = self.tree() else { return Vec::new() };
        let of = |name: &String| match frontend::find(&tree, name) {
            Ok(dir) => vec![Results::of_directory(&tree, &dir)],
            Err(_) => frontend::where_it_was(&tree, name)
                .iter()
                .map(|dir| Results::of_directory(&tree, dir))
                .collect(),
        };
        names.iter().flat_map(of).collect()
    }

    /// What `--set` says, for the bundles that are named; a base that is built first is built as
    /// written.
    pub fn overrides(&self) -> Result<Vec<build_vars::Override>, Failure> {
        let read: Vec<_> =
            self.common.sets.iter().map(|text| build_vars::Override::parse(text)).collect();
        let wrong: Vec<Diagnostic> =
            read.iter().filter_map(|one| one.as_ref().err().cloned()).collect();
        if !wrong.is_empty() {
            return Err(Failure::bundle(wrong).of_command_line());
        }
        Ok(read.into_iter().flatten().collect())
    }
}

/// What is wrong with the bases of the tree that a run of `meant` would load, and build if they are
/// missing. `all` are the directories of the tree's definitions, `loaded` what came of them.
fn unsound_bases(
    tree: &Path,
    meant: &[LoadResult],
    all: &[PathBuf],
    loaded: &[LoadResult],
) -> Vec<Diagnostic> {
    let base =
        |one: &LoadResult| findings::read(one).and_then(|bundle| frontend::base_of(tree, bundle));
    let (mut found, mut seen) = (Vec::new(), Vec::new());
    let mut left: Vec<PathBuf> = meant.iter().filter_map(base).collect();
    while let Some(dir) = left.pop() {
        let Some(at) = all.iter().position(|one| *one == dir).filter(|at| !seen.contains(at))
        else {
            continue;
        };
        seen.push(at);
        left.extend(base(&loaded[at]));
        if let Err(unsound) = &loaded[at] {
            found.extend(unsound.findings.iter().cloned());
        }
    }
    found
}
