//! Fields of a definition: where each is written, and how its front-end spells it.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::diagnostic::Location;

/// A field that messages outside of the front-end name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Field {
    Base,
    Disk,
    Environment,
    Family,
    Flavor,
    FloatingNetwork,
    Machine,
    Members,
    Network,
    PublishingOptions,
    Ram,
    SecurityGroups,
    SshUser,
    TargetName,
    TestFlavor,
    Visibility,
    Volume,
    VolumeSize,
    VolumeType,
    VolumeZone,
    Zone,
}

impl Field {
    /// In words, for a language that has no key for it.
    const fn name(self) -> &'static str {
        match self {
            Self::Base => "base image",
            Self::Disk => "disk size",
            Self::Environment => "environment variables",
            Self::Family => "family",
            Self::Flavor => "flavor",
            Self::FloatingNetwork => "floating network",
            Self::Machine => "machine size",
            Self::Members => "members",
            Self::Network => "network",
            Self::PublishingOptions => "publishing options",
            Self::Ram => "RAM size",
            Self::SecurityGroups => "security groups",
            Self::SshUser => "SSH user",
            Self::TargetName => "image name",
            Self::TestFlavor => "test flavor",
            Self::Visibility => "visibility",
            Self::Volume => "volume",
            Self::VolumeSize => "volume size",
            Self::VolumeType => "volume type",
            Self::VolumeZone => "volume zone",
            Self::Zone => "availability zone",
        }
    }
}

/// Where a definition writes its fields. A front-end calls them by its own keys.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Locations {
    /// The key of each field, written or not.
    spelling: BTreeMap<Field, String>,
    /// The keys that are written.
    places: BTreeMap<String, Location>,
}

impl Locations {
    pub fn new(spelling: &[(Field, &str)], places: BTreeMap<String, Location>) -> Self {
        let spelling = spelling.iter().map(|(field, key)| (*field, (*key).to_owned())).collect();
        Self { spelling, places }
    }

    /// Where the field is written; `None` if it is not.
    pub fn of(&self, field: Field) -> Option<Location> {
        self.of_key(self.spelling.get(&field)?).cloned()
    }

    /// As [`of`](Self::of), for the first of these fields that is written.
    pub fn of_first(&self, fields: &[Field]) -> Option<Location> {
        fields.iter().find_map(|field| self.of(*field))
    }

    /// The front-end's key of a field, for messages; its name in words where the language has none.
    pub fn key(&self, field: Field) -> &str {
        self.spelling.get(&field).map_or(field.name(), String::as_str)
    }

    /// The last part of [`key`](Self::key): its name among the fields beside it.
    pub fn short_key(&self, field: Field) -> &str {
        let key = self.key(field);
        key.rsplit_once('.').map_or(key, |(_, last)| last)
    }

    /// Where one of the front-end's own keys is written.
    pub fn of_key(&self, key: &str) -> Option<&Location> {
        self.places.get(key)
    }

    /// All keys that are written, sorted.
    pub fn keys(&self) -> impl Iterator<Item = (&str, &Location)> {
        self.places.iter().map(|(key, place)| (key.as_str(), place))
    }

    pub fn places_mut(&mut self) -> impl Iterator<Item = &mut Location> {
        self.places.values_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_has_a_key_also_where_it_is_not_written() {
        let place = Location { file: "x".into(), line: 2, column: 3 };
        let spelling = [(Field::Volume, "volume"), (Field::VolumeSize, "volume.size")];
        let all = Locations::new(&spelling, BTreeMap::from([("volume".into(), place.clone())]));
        assert_eq!(all.of(Field::VolumeSize), None);
        assert_eq!(all.of_first(&[Field::VolumeSize, Field::Volume]), Some(place));
        assert_eq!(all.key(Field::VolumeSize), "volume.size");
        assert_eq!(all.short_key(Field::VolumeSize), "size");
        assert_eq!(all.key(Field::Zone), "availability zone", "the language has no key for it");
    }
}
