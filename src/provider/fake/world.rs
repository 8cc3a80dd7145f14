//! What there is in the cloud in memory: machines, images, and the fault that is to come.
use std::collections::BTreeMap;
use std::time::Duration;

use super::Fault;
use crate::model::error_kind::ErrorKind;
use crate::model::image::{self, Image, State, Visibility};
use crate::model::units::GIB;
use crate::provider::{BootSpec, CloudError, Machine, Power};

/// A change by somebody else.
pub(super) type Others = Box<dyn FnOnce(&mut BTreeMap<String, Image>) + Send>;

#[derive(Default)]
pub(super) struct World {
    /// Mutating calls so far.
    pub calls: usize,
    pub fault: Option<(usize, Fault)>,
    /// Lists of images, and questions who uses them, so far.
    pub reads: usize,
    /// These reads are refused, as by a gateway.
    pub blind: std::ops::Range<usize>,
    /// What others do after the read of that number.
    pub meanwhile: Option<(usize, Others)>,
    pub made: u64,
    /// The project that calls are for.
    pub project: Option<String>,
    pub machines: BTreeMap<String, Booted>,
    pub images: BTreeMap<String, Image>,
    pub host_keys: Vec<String>,
    pub missing_prerequisites: Vec<(String, String)>,
    pub watch: Option<Duration>,
    /// Of machines that are to come, by name.
    pub consoles: BTreeMap<String, String>,
    /// The same.
    pub powers: BTreeMap<String, Power>,
    /// What each machine was booted with, those that are gone too.
    pub booted: Vec<BootSpec>,
}

pub(super) struct Booted {
    pub run: String,
    pub name: String,
    pub image: String,
    pub power: Power,
    pub disk_gib: u64,
    /// In place of an honest console.
    pub console: Option<String>,
    /// As its console shows it; each machine has its own unless the test says otherwise.
    pub host_key: String,
}

impl World {
    pub fn id(&mut self) -> String {
        self.made += 1;
        uuid::Uuid::from_u128(u128::from(self.made)).to_string()
    }

    pub fn image(&mut self, run: &str, name: &str, virtual_size: u64) -> Image {
        let id = self.id();
        let own = [(image::RUN, run), (image::STATE, State::Staged.name()), (image::IMAGE_ID, &id)];
        Image {
            id: id.clone(),
            name: name.into(),
            family: String::new(),
            state: State::Staged,
            created: jiff::Timestamp::now(),
            size: virtual_size / 10,
            virtual_size,
            checksum: format!("{:0128x}", self.made),
            properties: own.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            tags: Vec::new(),
            min_disk_gib: virtual_size.div_ceil(GIB),
            min_ram_mib: 0,
            visibility: Visibility::Private,
            protected: false,
            hidden: false,
            stranger: None,
            unusable: None,
        }
    }

    pub fn usage(&self, images: &[Image]) -> BTreeMap<String, String> {
        let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for machine in self.machines.values().filter(|m| images.iter().any(|i| i.id == m.image)) {
            users
                .entry(machine.image.clone())
                .or_default()
                .push(format!("machine {}", machine.name));
        }
        crate::provider::artifacts::describe_users(users)
    }

    /// One read of images, what others did after it included in the next.
    pub fn read<T>(&mut self, what: &str, look: impl FnOnce(&Self) -> T) -> Result<T, CloudError> {
        self.reads += 1;
        if self.blind.contains(&self.reads) {
            return Err(CloudError::Refused {
                what: what.into(),
                reason: "no answer, as the test asked for".into(),
                hint: None,
                kind: ErrorKind::Unavailable,
            });
        }
        let seen = look(self);
        let reads = self.reads;
        if let Some((_, others)) = self.meanwhile.take_if(|(read, _)| *read == reads) {
            others(&mut self.images);
        }
        Ok(seen)
    }

    pub fn machine(&mut self, machine: &Machine) -> Result<&mut Booted, CloudError> {
        let missing = || CloudError::missing(format!("machine {}", machine.name));
        self.machines.get_mut(&machine.id).ok_or_else(missing)
    }
}

pub(super) fn owner(image: &Image) -> Option<&str> {
    image.properties.get(image::RUN).map(String::as_str)
}

/// IDs count upwards, so that they tell what is newer.
pub(super) fn uuid_number(id: &str) -> u64 {
    uuid::Uuid::try_parse(id).map_or(0, |u| u.as_u128() as u64)
}
