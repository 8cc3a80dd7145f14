//! `image-factory validate`
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{Context, Failure, err, out};
use crate::bundle::{self, Bundle, Override};
use crate::diagnostic::Diagnostic;

#[derive(clap::Args)]
pub struct Args {
    /// Bundles to check, as `build` takes them [default: every one of the tree]
    #[arg(value_name = "BUNDLE")]
    bundles: Vec<String>,
}

/// What was read, before templates are rendered.
struct Read {
    dirs: Vec<PathBuf>,
    bundles: Vec<Bundle>,
    /// The findings on each, in the order of `bundles`.
    found: Vec<Vec<Diagnostic>>,
    /// On what could not be loaded.
    unsound: Vec<Diagnostic>,
    /// On several together.
    bases: Vec<Diagnostic>,
}

pub async fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let (tree, sets, names) = (context.tree()?, context.overrides()?, args.bundles.clone());
    let read = context.reading(move || read(&tree, &names, &sets)).await?;
    let templates = context.templates.check(&read.bundles.iter().collect::<Vec<_>>(), &context.cancel).await?;
    let mut found = read.unsound;
    for ((bundle, own), wrong) in read.bundles.iter().zip(read.found).zip(templates) {
        found.extend(own);
        found.extend(wrong);
        found.extend(bundle::on_factory(bundle, context.allows_local(bundle)?));
        found.extend(bundle::check_work(bundle));
    }
    found.extend(read.bases);
    let errors = found.iter().filter(|d| d.is_error()).count();
    if context.common.json {
        out(&serde_json::to_string_pretty(&found).expect("diagnostics are plain data"));
    } else {
        context.show_diagnostics(&found);
        if !context.common.quiet {
            err(&format!(
                "{} checked: {}, {}",
                count(read.dirs.len(), "bundle"),
                count(errors, "error"),
                count(found.len() - errors, "warning")
            ));
        }
    }
    Ok(ExitCode::from(if errors == 0 { 0 } else { 10 }))
}

fn read(tree: &Path, names: &[String], sets: &[Override]) -> Read {
    let mut read = Read { dirs: Vec::new(), bundles: Vec::new(), found: Vec::new(), unsound: Vec::new(), bases: Vec::new() };
    if names.is_empty() {
        read.dirs = bundle::all(tree);
    }
    for name in names {
        match bundle::find(tree, name) {
            Ok(dir) => read.dirs.push(dir),
            Err(diagnostic) => read.unsound.push(diagnostic),
        }
    }
    for dir in &read.dirs {
        match bundle::load_with(tree, dir, sets) {
            Ok(loaded) => {
                read.found.push(loaded.warnings);
                read.bundles.push(loaded.bundle);
            }
            Err(diagnostics) => read.unsound.extend(diagnostics),
        }
    }
    // A base or a circle may lie in a definition that was not named.
    let mut all = read.bundles.clone();
    if !names.is_empty() {
        let others = bundle::all(tree).into_iter().filter(|d| !read.dirs.contains(d));
        all.extend(others.filter_map(|dir| bundle::load(tree, &dir).ok()).map(|l| l.bundle));
    }
    let named = |d: &Diagnostic| d.place.as_ref().is_none_or(|p| read.bundles.iter().any(|b| b.places.values().any(|q| q.file == p.file)));
    read.bases = bundle::check_bases(&all.iter().collect::<Vec<_>>()).into_iter().filter(named).collect();
    read
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
