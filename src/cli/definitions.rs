//! Finds and loads the definitions that a command names.
use std::path::{Path, PathBuf};

use super::{Context, Failure, err, findings};
use crate::frontend::{self, LoadRequest, Loaded, Unsound, build_vars};
use crate::jobs::Results;
use crate::model::definition::Definition;
use crate::model::diagnostic::Diagnostic;
use crate::text::shell;

/// A definition, or its errors.
pub(super) type LoadResult = Result<Loaded, Unsound>;

impl Context {
    /// Loads definitions of `tree`. `--set` changes the named ones only.
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

    /// All valid definitions of the tree, without `--set`; none outside of a tree. Names the
    /// invalid ones: nothing can be said of their images.
    pub async fn sound(&self) -> Result<Vec<Definition>, Failure> {
        let Ok(tree) = self.tree() else { return Ok(Vec::new()) };
        let dirs = frontend::all(&tree);
        let loaded = self.definitions(&tree, &[], &dirs).await?;
        for dir in dirs.iter().zip(&loaded).filter(|(_, one)| one.is_err()).map(|(dir, _)| dir) {
            let label = dir.strip_prefix(&tree).unwrap_or(dir);
            let told = shell::path(label);
            err(&format!(
                "warning: {} is invalid, and compared with no image: `image-factory validate \
                    {told}` tells why",
                label.display()
            ));
        }
        Ok(loaded.into_iter().flatten().map(|loaded| loaded.bundle).collect())
    }

    /// All definitions of the tree, without `--set`; none outside of a tree.
    pub async fn of_tree(&self) -> Result<Vec<LoadResult>, Failure> {
        let Ok(tree) = self.tree() else { return Ok(Vec::new()) };
        self.definitions(&tree, &[], &frontend::all(&tree)).await
    }

    /// Finds and loads bundles. Reports the errors of all of them at once.
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
        let mut errors: Vec<Diagnostic> = unknown.into_iter().filter_map(Result::err).collect();
        let mut loaded = self.definitions(&tree, &dirs, &all).await?;
        let others = loaded.split_off(dirs.len());
        let of_bases = unsound_bases(&tree, &loaded, &all, &others);
        let looked = self.look(loaded, &others).await?;
        errors.extend(looked.found);
        errors.extend(of_bases);
        // A base that is named itself was looked at twice.
        let mut said = Vec::new();
        errors.retain(|d| {
            !said.contains(d) && {
                said.push(d.clone());
                true
            }
        });
        if errors.iter().any(Diagnostic::is_error) {
            return Err(Failure::bundle(errors));
        }
        self.show_diagnostics(&errors);
        Ok(looked.bundles)
    }

    /// Directories of the results of these definitions, also of invalid and deleted ones.
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

    /// Values of `--set`. They apply to the named bundles, not to bases that are built first.
    pub fn overrides(&self) -> Result<Vec<build_vars::Override>, Failure> {
        let read: Vec<_> =
            self.common.sets.iter().map(|text| build_vars::Override::parse(text)).collect();
        let errors: Vec<Diagnostic> =
            read.iter().filter_map(|one| one.as_ref().err().cloned()).collect();
        if !errors.is_empty() {
            return Err(Failure::bundle(errors).of_command_line());
        }
        Ok(read.into_iter().flatten().collect())
    }
}

/// Errors of the bases that a run of `meant` would load, and build if missing. `all` are the
/// directories of the tree's definitions, `loaded` their results.
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
