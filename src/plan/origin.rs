//! Where an image comes from: a base, a script of the bundle, or a disk image from elsewhere.
use crate::model::category::OS;
use crate::model::facts::BaseLookup;
use crate::model::facts::Facts;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::definition::{Base, Definition, Source};
use crate::model::diagnostic::{Diagnostic, Location};
use crate::model::field::Field;
use crate::model::format::Format;
use crate::model::image::{Image, Provenance};
use crate::model::source::Download;
use crate::text::shell;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    Base(Box<Image>),
    /// An executable of the bundle that writes a disk image.
    Script(PathBuf),
    /// A disk image from elsewhere. `format`: what it must be; `None`: what it is.
    Url {
        wish: Download,
        format: Option<Format>,
    },
}

pub(super) fn origin(
    bundle: &Definition,
    facts: &Facts,
    wrong: &mut Vec<Diagnostic>,
) -> Option<Origin> {
    let at: Option<Location> = bundle.locations.of(Field::Base);
    match &bundle.source {
        Some(Source::Script(path)) => return Some(Origin::Script(path.clone())),
        Some(Source::Url { wish, format }) => {
            return Some(Origin::Url { wish: wish.clone(), format: *format });
        }
        None => {}
    }
    let asked = match &bundle.base {
        Some(Base::Os(name)) => OS.label(name),
        Some(Base::Image(name)) => name.clone(),
        None => return None,
    };
    match &facts.cloud.base {
        BaseLookup::Found(image) => match &image.unusable {
            None => return Some(Origin::Base(image.clone())),
            Some(unusable) => {
                let message = format!(
                    "base image {} ({}) cannot be used: {}",
                    image.name, image.id, unusable.why
                );
                wrong.push(Diagnostic::error(at, message).hint(unusable.way_out.clone()));
            }
        },
        BaseLookup::Missing { near } => {
            let hint = instead_of(bundle, &asked, (near, facts.host.near_definition.as_deref()));
            wrong.push(
                Diagnostic::error(at, format!("base image `{asked}` does not exist")).hint(hint),
            );
        }
        BaseLookup::Ambiguous(images) => {
            let ids = images
                .iter()
                .map(|i| format!("{} ({:.0})", i.id, i.created))
                .collect::<Vec<_>>()
                .join(", ");
            wrong.push(
                Diagnostic::error(at, format!("{} images are called `{asked}`", images.len()))
                    .hint(format!("name one by its ID: {ids}")),
            );
        }
        BaseLookup::Doubtful(images) => wrong.push(doubtful(at, &asked, images)),
        BaseLookup::None => {
            wrong.push(Diagnostic::error(at, format!("base image `{asked}` was not looked up")))
        }
    }
    None
}

/// A name is anybody's to give, and properties are copied: what a person means he says by an ID.
fn doubtful(at: Option<Location>, asked: &str, images: &[Image]) -> Diagnostic {
    let told = |i: &Image| match i.provenance() {
        Provenance::Foreign(why) => format!("{} ({}): {why}", i.id, i.name),
        Provenance::Ours | Provenance::Legacy => format!("{} ({})", i.id, i.name),
    };
    let all = images.iter().take(5).map(told).collect::<Vec<_>>().join("; ");
    let message =
        format!("no image of this factory is meant by `{asked}`; of other people's there is {all}");
    Diagnostic::error(at, message).hint("if one of them is meant, write its ID as the base")
}

/// What may be meant by a base that does not exist.
///
/// `near`: similar images, and a similar definition of the tree.
fn instead_of(bundle: &Definition, asked: &str, near: (&[String], Option<&str>)) -> String {
    let (near, own) = near;

    let maker = bundle.base_maker.as_ref();
    if let Some(maker) = maker.filter(|maker| maker.family == *asked) {
        let build = shell::word(&maker.label);
        format!(
            "{} of this tree makes it, and no image of it is there: `image-factory build \
                {build}`",
            maker.label
        )
    } else if let Some(maker) = maker.filter(|_| own != Some(asked)) {
        format!(
            "{} of this tree makes the family `{}`: name that as the base",
            maker.label, maker.family
        )
    } else if let Some(name) = own {
        format!("did you mean `os/{name}`, a definition of this tree?")
    } else if near.is_empty() {
        "`image-factory image list` shows what there is; `os/<name>` names a definition of \
            this tree"
            .into()
    } else {
        format!(
            "did you mean {}?",
            near.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(" or ")
        )
    }
}
