//! `image-factory image prune`
use std::process::ExitCode;

use super::{json, no_family};
use crate::cli::{Context, Failure, LoadResult, err, findings, out};
use crate::engine::run_dir;
use crate::frontend::build_vars;
use crate::lifecycle::prune::{self, Pruned, Stopped};
use crate::model::definition::Definition;
use crate::model::diagnostic::Diagnostic;
use crate::model::family::{self, Policy, PruneAction};
use crate::provider::checkpoints::Expired;
use crate::provider::{Provider, RunCx};

#[derive(clap::Args)]
pub struct Args {
    /// Families to prune [default: those whose definitions in this tree have `keep`; with --keep,
    /// all]
    #[arg(value_name = "FAMILY")]
    families: Vec<String>,
    /// Keep the N newest active images, whatever the definitions say
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep: Option<u32>,
    /// Delete older images at once instead of hiding them until the next prune
    #[arg(long)]
    now: bool,
    /// Show what would become of each image, and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub async fn run(
    context: &Context,
    cloud: &dyn Provider,
    args: &Args,
) -> Result<ExitCode, Failure> {
    let cx = RunCx::outside(context.cancel.clone());
    checkpoints(context, cloud, &cx, args.dry_run).await?;
    let Chosen { families, unsound } = policies(context, cloud, args).await?;
    let building = run_dir::bases_of_live_runs(&context.home)
        .map_err(|e| Failure::host(format!("cannot read the index of runs: {e}")))?;
    let request = prune::Request {
        families: &families,
        building: &building,
        own: None,
        dry_run: args.dry_run,
    };
    let (done, stopped) = match prune::prune(cloud, &cx, request).await {
        Ok(done) => (done, None),
        Err(Stopped { done, cause }) if done.is_empty() => return Err(cause.into()),
        Err(Stopped { done, cause }) => (done, Some(Failure::from(cause))),
    };
    if context.common.json {
        out(&document(&done, stopped.as_ref()));
    } else {
        tell(&families, &done, stopped.is_some(), args.dry_run);
    }
    let failed: Vec<_> = done.iter().filter(|p| p.error.is_some()).collect();
    for pruned in &failed {
        err(&format!("error: {}: {}", pruned.family, pruned.text(args.dry_run)));
    }
    context.show_diagnostics(&unsound);
    if let Some(stopped) = stopped {
        err("error: the prune did not come to its end");
        return Ok(stopped.report());
    }
    Ok(ExitCode::from(match (failed.is_empty(), unsound.is_empty()) {
        (false, _) => 20,
        (true, false) => 10,
        (true, true) => 0,
    }))
}

/// Deletes the checkpoints that are over. They are no images of a family, nor of the JSON document.
async fn checkpoints(
    context: &Context,
    cloud: &dyn Provider,
    cx: &RunCx,
    dry_run: bool,
) -> Result<(), Failure> {
    let Some(cloud) = cloud.checkpoints() else { return Ok(()) };
    let word = if dry_run { "would delete" } else { "deletes" };
    for Expired { id, about, why } in cloud.expire(cx, dry_run).await? {
        let text = format!("{word} the checkpoint of {about}, image {id} ({why})");
        if context.common.json { err(&text) } else { out(&text) }
    }
    Ok(())
}

/// A list; of a prune that was stopped, an error as that of any command, beside `pruned`.
fn document(done: &[Pruned], stopped: Option<&Failure>) -> String {
    match stopped {
        None => json(&done),
        Some(failure) => json(&serde_json::json!({
            "pruned": done,
            "error": { "code": failure.code(), "errors": failure.each(), "hint": null },
        })),
    }
}

/// Says what was done; what failed is an error. Of a prune that was `stopped` it is not known how
/// many images a family has.
fn tell(families: &[(String, Policy)], done: &[Pruned], stopped: bool, dry_run: bool) {
    for (family, policy) in families {
        let of_it: Vec<_> = done.iter().filter(|p| p.family == *family).collect();
        match (stopped, of_it.len()) {
            (true, 0) => {}
            (true, _) => out(&format!("{family}: {} of the newest are kept", policy.keep)),
            (false, all) => {
                let kept = policy.keep;
                out(&format!("{family}: {all} published, {kept} of the newest are kept"));
            }
        }
        for pruned in of_it.iter().filter(|p| p.error.is_none()) {
            out(&format!("  {}", pruned.text(dry_run)));
        }
    }
    let untouched = |p: &Pruned| matches!(p.fate, PruneAction::Keep | PruneAction::Retain);
    if !stopped && done.iter().all(untouched) {
        out("nothing to prune");
    }
}

struct Chosen {
    families: Vec<(String, Policy)>,
    /// Errors of definitions whose families are not pruned, because of these.
    unsound: Vec<Diagnostic>,
}

/// The families and their policies. A missing policy is a usage error, whether there are images or
/// not; the errors of an invalid definition are told in its place.
async fn policies(context: &Context, cloud: &dyn Provider, args: &Args) -> Result<Chosen, Failure> {
    let definitions = context.of_tree().await?;
    let images = cloud.artifacts().list().await?;
    // Only a definition, or --keep, says which images to keep.
    let asked: Vec<_> =
        definitions.iter().filter_map(findings::read).filter(|b| is_meant(args, &b.name)).collect();
    let shared: Vec<_> =
        build_vars::check_families(&asked).into_iter().map(|(_, finding)| finding).collect();
    if args.keep.is_none() && !shared.is_empty() {
        return Err(Failure::bundle(shared));
    }
    let known = Known { args, definitions: &definitions, families: family::all(&images) };
    if args.families.is_empty() { known.all() } else { known.named() }
}

/// What says how many images of a family to keep.
struct Known<'k> {
    args: &'k Args,
    definitions: &'k [LoadResult],
    /// Those with images.
    families: Vec<&'k str>,
}

impl Known<'_> {
    fn bundles(&self) -> impl Iterator<Item = &Definition> {
        self.definitions.iter().flatten().map(|loaded| &loaded.bundle)
    }

    fn policy(&self, family: &str) -> Option<(String, Policy)> {
        let of_definition = || self.bundles().find(|b| b.name == family).and_then(|b| b.keep);
        let keep = self.args.keep.or_else(of_definition)?;
        Some((family.to_owned(), Policy { keep, at_once: self.args.now }))
    }

    /// Errors of the invalid definitions that may be of this family, or of any.
    fn unsound(&self, family: Option<&str>) -> Vec<Diagnostic> {
        // Only a name that could be read tells whose definition it is.
        let of_it = |one: &&LoadResult| {
            let name = findings::read(one).map(|bundle| bundle.name.as_str());
            family.is_none_or(|family| name.is_none_or(|n| n.is_empty() || n == family))
        };
        let unsound = self.definitions.iter().filter(of_it).filter_map(|one| one.as_ref().err());
        unsound.flat_map(|unsound| unsound.findings.iter().cloned()).collect()
    }

    fn all(&self) -> Result<Chosen, Failure> {
        let families = self.families.iter().filter_map(|family| self.policy(family)).collect();
        if self.args.keep.is_some() {
            return Ok(Chosen { families, unsound: Vec::new() });
        }
        let unsound = self.unsound(None);
        // What the words are counts, and not what the store happens to hold.
        match (self.bundles().any(|b| b.keep.is_some()), unsound.is_empty()) {
            (true, _) => Ok(Chosen { families, unsound }),
            (false, false) => Err(Failure::bundle(unsound)),
            (false, true) => {
                Err(Failure::usage("no definition of this tree says how many images to `keep`")
                    .hint(format!("write `keep: 3` into {}, or give --keep 3", build_vars::FILE)))
            }
        }
    }

    fn named(&self) -> Result<Chosen, Failure> {
        let mut families: Vec<(String, Policy)> = Vec::new();
        for family in &self.args.families {
            let policy = self.policy(family);
            let unsound = if policy.is_none() { self.unsound(Some(family)) } else { Vec::new() };
            let of_tree = self.bundles().any(|b| b.name == *family);
            if !of_tree && !unsound.is_empty() {
                return Err(Failure::bundle(unsound));
            }
            // One of this tree may have no image yet.
            if !self.families.contains(&family.as_str()) && !of_tree {
                return Err(no_family(family, &self.families));
            }
            let policy = policy.ok_or_else(|| {
                Failure::usage(format!("how many images of {family} are to be kept is not known"))
                    .hint(format!(
                        "write `keep: 3` into its {}, or give --keep 3",
                        build_vars::FILE
                    ))
            })?;
            if !families.iter().any(|(f, _)| f == family) {
                families.push(policy);
            }
        }
        Ok(Chosen { families, unsound: Vec::new() })
    }
}

fn is_meant(args: &Args, family: &String) -> bool {
    args.families.is_empty() || args.families.contains(family)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::CloudError;

    #[test]
    fn a_prune_that_was_stopped_is_one_document_with_what_it_did() {
        let (id, name, family, why) = ("i1".into(), "web-1".into(), "web".into(), "old".into());
        let done = [Pruned { id, name, family, fate: PruneAction::Delete, why, error: None }];
        let read = |stopped: Option<&Failure>| -> serde_json::Value {
            serde_json::from_str(&document(&done, stopped)).unwrap()
        };
        assert_eq!(read(None)[0]["name"], "web-1");
        let failure = Failure::from(CloudError::refused("list images", "no answer"));
        let told = read(Some(&failure));
        assert_eq!(
            (&told["pruned"][0]["fate"], &told["error"]["code"]),
            (&"delete".into(), &20.into())
        );
        assert_eq!(told["error"]["errors"][0], "list images: no answer");
    }
}
