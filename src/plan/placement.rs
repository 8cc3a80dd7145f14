//! Where machines go on a cloud that offers a choice: flavor, networks, address, security groups,
//! zone, volume. Pure.
//!
//! The bundle's word counts first, then the environment's, then the one choice there is. Where
//! there are several, nothing is guessed: the error lists them.

use super::Findings;
use crate::model::definition::Definition;
use crate::model::facts::{Network, ProjectFacts};
use crate::model::field::Field;
use crate::model::placement::Placement;

mod flavor;
mod leave;
mod named;
mod networks;
mod security;
mod volume;

pub(super) use flavor::{Needs, flavor, smallest};
pub(super) use leave::leave;
use named::missing;
use networks::{networks, reach};
use security::security;
pub(super) use volume::second_disk;
use volume::volume;

/// `floating_network: none` says that the fixed address is reached; `security_groups: none` that
/// Nova is asked for no group.
const NONE: &str = "none";

/// A definition, and the project that it is built in.
#[derive(Clone, Copy)]
pub(super) struct Project<'a> {
    pub bundle: &'a Definition,
    pub facts: &'a ProjectFacts,
}

pub(super) fn site(on: Project<'_>, disk_gib: u64, found: &mut Findings) -> Placement {
    let Project { bundle, facts } = on;
    let networks = networks(on, &mut found.wrong);
    let (floating_network, reached_on) = reach(on, &networks, found);
    if let Some(zone) = bundle
        .availability_zone
        .as_ref()
        .filter(|z| !facts.zones.is_empty() && !facts.zones.contains(z))
    {
        found.wrong.push(missing(
            "availability zone",
            zone,
            &facts.zones,
            bundle.locations.of(Field::Zone),
        ));
    }
    Placement {
        security: security(on, &networks, found),
        networks: networks.into_iter().map(Network::named).collect(),
        floating_network,
        zone: bundle.availability_zone.clone(),
        volume: bundle.volume.as_ref().map(|asked| volume(on, asked, disk_gib, found)),
        reached_on,
    }
}
