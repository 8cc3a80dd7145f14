//! `image-factory validate`
use std::process::ExitCode;

use super::{Context, Failure, err, out};
use crate::bundle;
use crate::diagnostic::Diagnostic;
use crate::output;

#[derive(clap::Args)]
pub struct Args {
    /// Bundles to check, as `build` takes them [default: every one of the tree]
    #[arg(value_name = "BUNDLE")]
    bundles: Vec<String>,
}

pub fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let tree = context.tree()?;
    let mut found: Vec<Diagnostic> = Vec::new();
    let mut dirs = Vec::new();
    if args.bundles.is_empty() {
        dirs = bundle::all(&tree);
    }
    for name in &args.bundles {
        match bundle::find(&tree, name) {
            Ok(dir) => dirs.push(dir),
            Err(diagnostic) => found.push(diagnostic),
        }
    }
    let mut bundles = Vec::new();
    let sets = context.overrides()?;
    for dir in &dirs {
        match bundle::load_with(&tree, dir, &sets) {
            Ok(loaded) => {
                found.extend(loaded.warnings);
                found.extend(output::templates::check(&loaded.bundle));
                found.extend(bundle::check_work(&loaded.bundle));
                bundles.push(loaded.bundle);
            }
            Err(diagnostics) => found.extend(diagnostics),
        }
    }
    // A base or a circle may lie in a definition that was not named.
    let mut all = bundles.clone();
    if !args.bundles.is_empty() {
        let others = bundle::all(&tree).into_iter().filter(|d| !dirs.contains(d));
        all.extend(others.filter_map(|dir| bundle::load(&tree, &dir).ok()).map(|l| l.bundle));
    }
    let named = |d: &Diagnostic| d.place.as_ref().is_none_or(|p| bundles.iter().any(|b| b.places.values().any(|q| q.file == p.file)));
    found.extend(bundle::check_bases(&all.iter().collect::<Vec<_>>()).into_iter().filter(named));
    let errors = found.iter().filter(|d| d.is_error()).count();
    if context.common.json {
        out(&serde_json::to_string_pretty(&found).expect("diagnostics are plain data"));
    } else {
        context.show_diagnostics(&found);
        if !context.common.quiet {
            err(&format!(
                "{} checked: {}, {}",
                count(dirs.len(), "bundle"),
                count(errors, "error"),
                count(found.len() - errors, "warning")
            ));
        }
    }
    Ok(ExitCode::from(if errors == 0 { 0 } else { 10 }))
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
