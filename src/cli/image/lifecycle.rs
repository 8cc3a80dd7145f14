//! `image-factory image rollback` and `deprecate`: one write each.
use std::time::Duration;

use super::{json, label, need, no_family};
use crate::cli::{Context, Failure, err, out};
use crate::lifecycle::prune;
use crate::model::error_kind::ErrorKind;
use crate::model::family;
use crate::model::image::{Image, Lifecycle};

use crate::provider::{CloudError, Provider, RunCx, why_immutable};
use crate::system::wait::{Deadline, Wait};

/// Time limit for the list after a change.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(clap::Args)]
pub struct Rollback {
    /// Family: `bundle.name` of a definition
    family: String,
    /// Show what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(clap::Args)]
pub struct Deprecate {
    /// ID, exact name, or family (its current image; with --undo its deprecated image, if it has
    /// only one)
    image: String,
    /// Make the image active again, and visible if a prune hid it
    #[arg(long)]
    undo: bool,
    /// Show what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn writing(context: &Context) -> RunCx {
    RunCx::outside(context.cancel.clone())
}

/// Fails as the cloud would, also in a dry run or if nothing would change.
fn may_change(image: &Image) -> Result<(), Failure> {
    match why_immutable(image) {
        Some(why) => Err(Failure::cloud(format!("{} is not changed: {why}", label(image)))),
        None => Ok(()),
    }
}

fn brief(image: Option<&Image>) -> serde_json::Value {
    image.map_or(
        serde_json::Value::Null,
        |i| serde_json::json!({"id": i.id, "name": i.name, "state": i.state}),
    )
}

/// Changes an image, and lists all images afterwards. The inner error is that of the list: the
/// change is done. A cloud that does not answer is asked again for the time of `patience`.
async fn change(
    cloud: &dyn Provider,
    cx: &RunCx,
    (image, to): (&Image, &Lifecycle),
    patience: Duration,
) -> Result<Result<Vec<Image>, CloudError>, CloudError> {
    cloud.artifacts().set_lifecycle(cx, image, to).await?;
    let deadline = Deadline::after(patience);
    let mut wait = Wait::new("list images", &cx.cancel, deadline, patience / 30);
    loop {
        let seen = cloud.artifacts().list().await;
        let is_silent = seen.as_ref().is_err_and(|e| e.kind() == ErrorKind::Unavailable);
        if !is_silent || wait.pause().await.is_err() {
            return Ok(seen);
        }
    }
}

/// The change is done, and the list afterwards is not to be had.
fn unseen(image: &Image, to: &Lifecycle, why: &CloudError) -> Failure {
    let (image, family, is) = (label(image), &image.family, to.state.name());
    Failure::incomplete(format!(
        "{image} is {is} now, and which image of {family} is current cannot be told: {why}"
    ))
    .hint("`image list` tells it; the same command again may change another image")
}

pub async fn rollback(
    context: &Context,
    cloud: &dyn Provider,
    args: &Rollback,
) -> Result<(), Failure> {
    let images = cloud.artifacts().list().await?;
    let family = &args.family;
    let known = family::all(&images);
    let was =
        family::current(&images, family).ok_or_else(|| match known.contains(&family.as_str()) {
            true => Failure::cloud(format!("family {family} has no active image"))
                .hint("`image deprecate --undo` makes one active again"),
            false => no_family(family, &known),
        })?;
    let before = family::before(&images, family).ok_or_else(|| {
        Failure::cloud(format!(
            "family {family} has no active image before {}: there is nothing to go back to",
            label(was)
        ))
        .hint("`image list` shows deprecated ones; `image deprecate --undo` makes one active again")
    })?;
    may_change(was)?;
    let mut now = before.clone();
    if !args.dry_run {
        let lifecycle = was.standing().deprecated();
        // As the cloud shows it: another build may have published meanwhile.
        let seen = change(cloud, &writing(context), (was, &lifecycle), PATIENCE).await?;
        let images = seen.map_err(|e| unseen(was, &lifecycle, &e))?;
        now = family::current(&images, family).cloned().ok_or_else(|| {
            Failure::cloud(format!(
                "{} was deprecated, and family {family} has no active image now",
                label(was)
            ))
        })?;
    }
    if context.common.json {
        let done = serde_json::json!({"family": family, "dry_run": args.dry_run,
            "was": brief(Some(was)), "now": brief(Some(&now))});
        out(&json(&done));
        return Ok(());
    }
    let (is, would) = if args.dry_run {
        ("would be", "would become deprecated")
    } else {
        ("is", "is deprecated now")
    };
    out(&format!("{family}: current was {}, which {would}", label(was)));
    out(&format!("{family}: current {is} {}", label(&now)));
    if now.id != before.id {
        err(&format!("note: it is not the one before: {} was published meanwhile", label(&now)));
    }
    Ok(())
}

/// The image that `deprecate` changes.
async fn chosen(
    context: &Context,
    cloud: &dyn Provider,
    images: &[Image],
    args: &Deprecate,
) -> Result<Image, Failure> {
    let by_family = args.undo && images.iter().all(|i| i.id != args.image && i.name != args.image);
    let undone = if by_family { family::deprecated(images, &args.image) } else { Vec::new() };
    match &undone[..] {
        [] => need(context, cloud, images, &args.image).await,
        [one] => Ok((*one).clone()),
        several => {
            let text = format!(
                "{} images of family {} are deprecated, and which one is meant cannot be told",
                several.len(),
                args.image
            );
            let names = several.iter().map(|i| label(i)).collect::<Vec<_>>().join(", ");
            Err(Failure::cloud(text)
                .hint(format!("name one by its name or ID, newest first: {names}")))
        }
    }
}

pub async fn deprecate(
    context: &Context,
    cloud: &dyn Provider,
    args: &Deprecate,
) -> Result<(), Failure> {
    let mut images = cloud.artifacts().list().await?;
    let image = chosen(context, cloud, &images, args).await?;
    may_change(&image)?;
    let before = family::current(&images, &image.family).cloned();
    let lifecycle = match args.undo {
        false => image.standing().deprecated(),
        true => image.brought_back(prune::this_second()),
    };
    let changes = lifecycle != image.standing();
    if changes && args.dry_run {
        if let Some(there) = images.iter_mut().find(|i| i.id == image.id) {
            there.stand(&lifecycle);
        }
    } else if changes {
        let seen = change(cloud, &writing(context), (&image, &lifecycle), PATIENCE).await?;
        images = seen.map_err(|e| unseen(&image, &lifecycle, &e))?;
    }
    let after = family::current(&images, &image.family);
    if context.common.json {
        let done = serde_json::json!({
            "image": brief(images.iter().find(|i| i.id == image.id)), "family": image.family,
            "dry_run": args.dry_run, "changed": changes,
            "was": brief(before.as_ref()), "now": brief(after),
        });
        out(&json(&done));
        return Ok(());
    }
    out(&said(&image, &lifecycle, args));
    if before.as_ref().map(|i| &i.id) != after.map(|i| &i.id) {
        say_current(&image.family, after, args.dry_run);
    }
    Ok(())
}

/// What becomes of an image, in a sentence.
fn said(image: &Image, to: &Lifecycle, args: &Deprecate) -> String {
    let word = to.state.name();
    let is = match (to.state == image.state, args.dry_run) {
        (true, _) => format!("is {word} already"),
        (false, true) => format!("would become {word}"),
        (false, false) => format!("is {word} now"),
    };
    let would_be_held = args.dry_run && *to != image.standing();
    let held = match (args.undo, would_be_held) {
        (false, _) => "",
        (true, false) => "; no prune hides it until `image deprecate`",
        (true, true) => "; it would be held: no prune would hide it until `image deprecate`",
    };
    format!("{} {is}{held}", label(image))
}

/// Says which image is current after the change.
fn say_current(family: &str, current: Option<&Image>, dry_run: bool) {
    let is = if dry_run { "would be" } else { "is" };
    match current {
        Some(now) => out(&format!("{family}: current {is} {}", label(now))),
        None => err(&format!(
            "warning: {family}: no active image {is} left: builds on this family will find none"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::fake::Memory;

    /// It was told as an error of the list, and done again it deprecated one more.
    #[tokio::test]
    async fn a_change_that_is_done_is_told_even_if_the_list_fails() {
        let cloud = Memory::new();
        let image = cloud.add_image("web-1", "web");
        let (cx, to) = (RunCx::outside(Default::default()), image.standing().deprecated());
        cloud.refuse_reads(1..=2);
        let patience = Duration::from_secs(3);
        let seen = change(&cloud, &cx, (&image, &to), patience).await.unwrap().unwrap();
        assert_eq!(seen[0].standing(), to, "a silent cloud is asked again");

        let cloud = Memory::new();
        let image = cloud.add_image("web-1", "web");
        cloud.refuse_reads(1..=usize::MAX);
        let seen = change(&cloud, &cx, (&image, &to), Duration::ZERO).await.unwrap();
        let told = unseen(&image, &to, &seen.unwrap_err());
        assert_eq!((told.code(), cloud.calls()), (70, 1));
        let said = told.to_string();
        assert!(said.contains("is deprecated now, and which image of web is current"), "{said}");
        assert!(said.contains("list images: no answer"), "{said}");
    }

    #[test]
    fn a_dry_run_says_that_an_image_would_be_held() {
        let mut image = Image::of_test("i1", "web-1", "web");
        let args = |dry_run| Deprecate { image: "i1".into(), undo: true, dry_run };
        let to = image.brought_back(prune::this_second());
        let told = "web-1 (i1) is active already; it would be held: no prune would hide it until \
            `image deprecate`";
        assert_eq!(said(&image, &to, &args(true)), told);
        let told = "web-1 (i1) is active already; no prune hides it until `image deprecate`";
        assert_eq!(said(&image, &to, &args(false)), told);
        image.stand(&to);
        assert_eq!(said(&image, &to, &args(true)), told, "it is held as it is");
    }
}
