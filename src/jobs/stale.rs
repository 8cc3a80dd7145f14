//! Which definitions need a build, and why.
use std::path::PathBuf;

use super::outputs;
use crate::frontend::build_vars;
use crate::lifecycle::lineage;
use crate::model::definition::Definition;
use crate::model::family;
use crate::model::image::Image;
use crate::provider::{CloudError, Provider};

/// Whether a definition needs a build.
#[derive(Debug, Clone, PartialEq)]
pub enum Need {
    /// The reasons.
    Stale(Vec<String>),
    Fresh,
    /// The image is, and these outputs of it were not written: [`Factory::make_outputs`] does that.
    ///
    /// [`Factory::make_outputs`]: super::Factory::make_outputs
    Outputs {
        image: Box<Image>,
        missing: Vec<PathBuf>,
    },
    /// No image of it exists.
    NeverBuilt,
    /// It has images, but for this reason none that its family's name refers to.
    NoneActive(String),
    /// An image of the same inputs exists and was deprecated; its name.
    RolledBack(String),
}

/// Whether each of `bundles` needs a build. With `named`, the user selected them, and never-built
/// ones are built too; otherwise only those with an active image.
pub async fn needs(
    cloud: &dyn Provider,
    bundles: &[Definition],
    named: bool,
) -> Result<Vec<Need>, CloudError> {
    let images = cloud.artifacts().list().await?;
    let mut needs = Vec::new();
    for bundle in bundles {
        let Some(image) = family::current(&images, &bundle.name) else {
            let (deprecated, hidden) = (
                family::deprecated(&images, &bundle.name).len(),
                family::hidden(&images, &bundle.name).len(),
            );
            let why = match (deprecated, hidden) {
                (0, 0) => "it was never built",
                (0, _) => "all its images are hidden",
                (_, 0) => "all its images are deprecated",
                _ => "all its images are deprecated or hidden",
            };
            needs.push(match named {
                true => Need::Stale(vec![why.into()]),
                false if deprecated + hidden > 0 => Need::NoneActive(why.into()),
                false => Need::NeverBuilt,
            });
            continue;
        };
        let now = lineage::now(cloud, &images, bundle).await?;
        let why = family::stale(image, &now);
        needs.push(match family::rolled_back(&images, image, &now) {
            _ if why.is_empty() => match outputs::missing(bundle, image) {
                missing if missing.is_empty() => Need::Fresh,
                missing => Need::Outputs { image: Box::new(image.clone()), missing },
            },
            Some(same) => Need::RolledBack(same.name.clone()),
            None => Need::Stale(why),
        });
    }
    let all: Vec<&Definition> = bundles.iter().collect();
    let bases: Vec<Option<(usize, &str)>> = all
        .iter()
        .map(|b| build_vars::base_among(&all, b).map(|base| (base, all[base].label.as_str())))
        .collect();
    spread(&mut needs, &bases);
    Ok(needs)
}

/// Marks bundles whose base is rebuilt.
fn spread(needs: &mut [Need], bases: &[Option<(usize, &str)>]) {
    // A chain of bases is no longer than the list.
    for _ in 0..needs.len() {
        for index in 0..needs.len() {
            let Some((base, label)) = bases[index] else { continue };
            if matches!(needs[base], Need::Stale(_))
                && matches!(needs[index], Need::Fresh | Need::Outputs { .. } | Need::RolledBack(_))
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
            Need::Fresh,
            Need::Fresh,
            changed(),
            Need::NeverBuilt,
            Need::RolledBack("x".into()),
            Need::Fresh,
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
                Need::Fresh
            ]
        );
    }
}
