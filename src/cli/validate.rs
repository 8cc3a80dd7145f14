//! `image-factory validate`
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{Context, Failure, err, out, syntax};
use crate::frontend::{self, build_vars};
use crate::model::definition::Definition;
use crate::model::diagnostic::Diagnostic;

#[derive(clap::Args)]
pub struct Args {
    /// Bundles to check: `images/X`, `os/Y`, a bare name, or a path [default: all of the tree]
    #[arg(value_name = "BUNDLE")]
    bundles: Vec<String>,
    /// Run no programs: skip `ansible-playbook --syntax-check`
    #[arg(long)]
    offline: bool,
}

pub async fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let (tree, names) = (context.tree()?, args.bundles.clone());
    let look = tree.clone();
    let found = context.reading(move || find(&look, &names)).await?;
    let mut loaded = context.definitions(&tree, &found.meant, &found.others).await?;
    let others = loaded.split_off(found.meant.len());
    let looked = context.look(loaded, &others).await?;
    let (checked, passed, strays) = (found.meant.len(), found.passed, found.strays);
    let mut found: Vec<Diagnostic> = found.unknown.into_iter().chain(looked.found).collect();
    // A directory of parts is another definition's.
    let is_shared =
        |stray: &build_vars::Stray| looked.bundles.iter().any(|b| b.dir.starts_with(&stray.dir));
    found.extend(strays.into_iter().filter(|stray| !is_shared(stray)).map(|stray| stray.finding));
    if !args.offline {
        let bundles: Vec<Definition> = looked.bundles.into_iter().chain(looked.to_ask).collect();
        syntax::check(context, &bundles, &mut found).await?;
        syntax::say_left_out(context, &looked.not_to_ask);
    }
    let errors = found.iter().filter(|d| d.is_error()).count();
    if context.common.json {
        out(&serde_json::to_string_pretty(&found).expect("diagnostics are plain data"));
    } else {
        context.show_diagnostics(&found);
        if !passed.is_empty() && !context.common.quiet {
            err(&format!("passed over, no bundles: {}", passed.join(", ")));
        }
        if !context.common.quiet {
            err(&format!(
                "{} checked: {}, {}",
                count(checked, "bundle"),
                count(errors, "error"),
                count(found.len() - errors, "warning")
            ));
        }
    }
    Ok(ExitCode::from(if errors == 0 { 0 } else { 10 }))
}

/// Directories of the selected and the other definitions, and findings on unknown names.
struct Found {
    meant: Vec<PathBuf>,
    others: Vec<PathBuf>,
    unknown: Vec<Diagnostic>,
    /// Named beside bundles, but not bundles themselves.
    passed: Vec<String>,
    strays: Vec<build_vars::Stray>,
}

fn find(tree: &Path, names: &[String]) -> Found {
    let all = frontend::all(tree);
    if names.is_empty() {
        return Found {
            meant: all,
            others: Vec::new(),
            unknown: Vec::new(),
            passed: Vec::new(),
            strays: build_vars::strays(tree),
        };
    }
    let (mut meant, mut unknown, mut passed) = (Vec::new(), Vec::new(), Vec::new());
    for name in names {
        if names.len() > 1 && frontend::is_beside(tree, name) {
            passed.push(name.clone());
            continue;
        }
        match frontend::find(tree, name) {
            Ok(dir) => meant.push(dir),
            Err(diagnostic) => unknown.push(diagnostic),
        }
    }
    let others = all.into_iter().filter(|dir| !meant.contains(dir)).collect();
    Found { meant, others, unknown, passed, strays: Vec::new() }
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
