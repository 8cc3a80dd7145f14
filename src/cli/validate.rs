//! `image-factory validate`
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{Context, Failure, err, findings, out, syntax};
use crate::bundle::{self, Bundle};
use crate::diagnostic::Diagnostic;

#[derive(clap::Args)]
pub struct Args {
    /// Bundles to check, as `build` takes them [default: every one of the tree]
    #[arg(value_name = "BUNDLE")]
    bundles: Vec<String>,
    /// Run nothing: leave out what `ansible-playbook --syntax-check` says of the playbooks
    #[arg(long)]
    offline: bool,
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
    /// Named beside others, and no definition: what `images/*` brings along.
    passed: Vec<String>,
}

pub async fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let (tree, names) = (context.tree()?, args.bundles.clone());
    let look = tree.clone();
    let found = context.reading(move || find(&look, &names)).await?;
    let read = read(context, &tree, found).await?;
    let templates = context.templates.check(&read.bundles.iter().collect::<Vec<_>>(), &context.cancel).await?;
    let mut found = read.unsound;
    for ((bundle, own), wrong) in read.bundles.iter().zip(read.found).zip(templates) {
        found.extend(own);
        found.extend(wrong);
        found.extend(bundle::on_factory(bundle, context.how_to_allow_local(bundle)?.as_deref()));
        found.extend(bundle::check_work(bundle));
        found.extend(context.missing(bundle)?);
    }
    found.extend(read.bases);
    if !args.offline {
        syntax::check(context, &read.bundles, &mut found).await?;
    }
    let errors = found.iter().filter(|d| d.is_error()).count();
    if context.common.json {
        out(&serde_json::to_string_pretty(&found).expect("diagnostics are plain data"));
    } else {
        context.show_diagnostics(&found);
        if !read.passed.is_empty() && !context.common.quiet {
            err(&format!("passed over, no bundles: {}", read.passed.join(", ")));
        }
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

/// Where definitions lie: those that are meant, the tree's others, and findings on names that mean none.
struct Found {
    meant: Vec<PathBuf>,
    others: Vec<PathBuf>,
    unknown: Vec<Diagnostic>,
    /// Named beside others, and no bundle.
    passed: Vec<String>,
}

fn find(tree: &Path, names: &[String]) -> Found {
    let all = bundle::all(tree);
    if names.is_empty() {
        return Found { meant: all, others: Vec::new(), unknown: Vec::new(), passed: Vec::new() };
    }
    let (mut meant, mut unknown, mut passed) = (Vec::new(), Vec::new(), Vec::new());
    for name in names {
        if names.len() > 1 && bundle::is_beside(tree, name) {
            passed.push(name.clone());
            continue;
        }
        match bundle::find(tree, name) {
            Ok(dir) => meant.push(dir),
            Err(diagnostic) => unknown.push(diagnostic),
        }
    }
    let others = all.into_iter().filter(|dir| !meant.contains(dir)).collect();
    Found { meant, others, unknown, passed }
}

async fn read(context: &Context, tree: &Path, found: Found) -> Result<Read, Failure> {
    let mut loaded = context.definitions(tree, &found.meant, &found.others).await?;
    let others = loaded.split_off(found.meant.len());
    let mut read =
        Read { dirs: found.meant, bundles: Vec::new(), found: Vec::new(), unsound: found.unknown, bases: Vec::new(), passed: found.passed };
    for one in loaded {
        match one {
            Ok(loaded) => {
                read.found.push(loaded.warnings);
                read.bundles.push(loaded.bundle);
            }
            Err(diagnostics) => read.unsound.extend(diagnostics),
        }
    }
    let others: Vec<Bundle> = others.into_iter().flatten().map(|one| one.bundle).collect();
    read.bases = findings::together(&read.bundles.iter().collect::<Vec<_>>(), &others.iter().collect::<Vec<_>>());
    Ok(read)
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
