//! Which definitions need a build, and why.
use std::path::PathBuf;

use futures_util::{StreamExt, TryStreamExt};

use super::factory::Factory;
use super::outputs;
use crate::frontend::build_vars;
use crate::lifecycle::lineage::{self, Sources};
use crate::model::definition::Definition;
use crate::model::family::{self, CurrentInputs};
use crate::model::image::Image;
use crate::provider::CloudError;
use crate::system::cancel::Cancel;

/// Definitions whose inputs are read in parallel.
const AT_ONCE: usize = 8;

/// Whether a definition needs a build.
#[derive(Debug, Clone, PartialEq)]
pub enum Need {
    /// The reasons.
    Stale(Vec<String>),
    /// With what could not be compared, if anything.
    Fresh(Option<String>),
    /// The image is, and these outputs of it were not written: [`Factory::make_outputs`] does that.
    Outputs { image: Box<Image>, missing: Vec<PathBuf> },
    /// No image of it exists.
    NeverBuilt,
    /// It has images, but for this reason none that its family's name refers to.
    NoneActive(String),
    /// An image of the same inputs exists and was deprecated; its name.
    RolledBack(String),
}

impl Factory {
    /// Whether each of `bundles` needs a build. With `named`, the user selected them, and
    /// never-built ones are built too; otherwise only those with an active image.
    pub async fn needs(
        &self,
        bundles: &[Definition],
        named: bool,
        cancel: &Cancel,
    ) -> Result<Vec<Need>, CloudError> {
        let images = self.provider.artifacts().list().await?;
        let fetch = lineage::fetch(&self.home, &self.proxies);
        let from = Sources { cloud: &*self.provider, fetch: &fetch, cancel, noted: None };
        let now = bundles.iter().map(|bundle| lineage::now(from, &images, bundle));
        let now: Vec<CurrentInputs> =
            futures_util::stream::iter(now).buffered(AT_ONCE).try_collect().await?;
        let mut needs: Vec<Need> = bundles
            .iter()
            .zip(now)
            .map(|(bundle, now)| need(&images, bundle, now, named))
            .collect();
        let all: Vec<&Definition> = bundles.iter().collect();
        let bases: Vec<Option<(usize, &str)>> = all
            .iter()
            .map(|b| build_vars::base_among(&all, b).map(|base| (base, all[base].label.as_str())))
            .collect();
        spread(&mut needs, &bases);
        Ok(needs)
    }
}

fn need(images: &[Image], bundle: &Definition, now: CurrentInputs, named: bool) -> Need {
    let image = lineage::latest(images, bundle);
    let why = match image {
        Some(image) => family::stale(image, &now),
        None => vec![no_image(images, &bundle.name)],
    };
    match family::rolled_back(images, &bundle.name, image, &now) {
        _ if why.is_empty() => match image.map(|image| (image, outputs::missing(bundle, image))) {
            Some((image, missing)) if !missing.is_empty() => {
                Need::Outputs { image: Box::new(image.clone()), missing }
            }
            _ => Need::Fresh(now.unknown),
        },
        Some(same) => Need::RolledBack(same.name.clone()),
        None if image.is_some() || named => Need::Stale(why),
        None if family::all(images).contains(&bundle.name.as_str()) => {
            Need::NoneActive(why.join("; "))
        }
        None => Need::NeverBuilt,
    }
}

/// Why nothing is there to compare with.
fn no_image(images: &[Image], family: &str) -> String {
    let deprecated = family::deprecated(images, family).len();
    match (deprecated, family::hidden(images, family).len()) {
        (0, 0) => "it was never built",
        (0, _) => "all its images are hidden",
        (_, 0) => "all its images are deprecated",
        _ => "all its images are deprecated or hidden",
    }
    .into()
}

/// Marks bundles whose base is rebuilt.
fn spread(needs: &mut [Need], bases: &[Option<(usize, &str)>]) {
    // A chain of bases is no longer than the list.
    for _ in 0..needs.len() {
        for index in 0..needs.len() {
            let Some((base, label)) = bases[index] else { continue };
            if matches!(needs[base], Need::Stale(_))
                && matches!(
                    needs[index],
                    Need::Fresh(_) | Need::Outputs { .. } | Need::RolledBack(_)
                )
            {
                needs[index] = Need::Stale(vec![format!("its base {label} is rebuilt")]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_on_something_stale_is_stale() {
        let changed = || Need::Stale(vec!["its definition changed".into()]);
        let mut needs = [
            Need::Fresh(None),
            Need::Fresh(None),
            changed(),
            Need::NeverBuilt,
            Need::RolledBack("x".into()),
            Need::Fresh(None),
        ];
        // 0 on 1 on 2; 3 and 4 on 2; 5 on none.
        let bases = [
            Some((1, "os/b")),
            Some((2, "os/c")),
            None,
            Some((2, "os/c")),
            Some((2, "os/c")),
            None,
        ];
        spread(&mut needs, &bases);
        let rebuilt = |base: &str| Need::Stale(vec![format!("its base {base} is rebuilt")]);
        assert_eq!(
            needs,
            [
                rebuilt("os/b"),
                rebuilt("os/c"),
                changed(),
                Need::NeverBuilt,
                rebuilt("os/c"),
                Need::Fresh(None)
            ]
        );
    }
}
