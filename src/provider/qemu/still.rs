//! The local cloud with machines that have no QEMU, for tests of many runs: a machine is a
//! directory with an overlay, and a captured disk is an empty one. Store, work directories and
//! their owners are the real ones.
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;

use super::machine::OVERLAY;
use super::staging::Staging;
use super::{Local, LocalConfig, Store};
use crate::model::facts::{BaseLookup, CloudFacts, FactsQuery};
use crate::model::image::Image;
use crate::provider::{
    Artifacts, BootSpec, CloudError, Compute, Machine, Power, Provider, Reboot, Resources, RunCx,
};

pub struct Still {
    local: Local,
    /// IDs of machines whose power is off.
    off: Mutex<BTreeSet<String>>,
}

impl Still {
    pub fn new(config: LocalConfig) -> Self {
        Self { local: Local::new(config), off: Mutex::default() }
    }

    pub fn store(&self) -> &Store {
        &self.local.store
    }

    /// Stages an image with an empty disk.
    pub async fn stage(&self, cx: &RunCx, name: &str) -> Result<Image, CloudError> {
        let staging = Staging::begin(cx, &self.local.layout, name).await?;
        staging.put(&disk(None)).map_err(CloudError::io("write a disk"))?;
        staging.finish(&self.local.store).await
    }

    fn dir(&self, machine: &Machine) -> Result<PathBuf, CloudError> {
        self.local.layout.place_of(machine).map(|place| place.dir)
    }

    fn turn(&self, machine: &Machine, off: bool) -> Result<(), CloudError> {
        if !self.dir(machine)?.exists() {
            return Err(CloudError::missing(format!("machine {}", machine.name)));
        }
        let mut all = self.off.lock().expect("a test panicked in here");
        if off {
            all.insert(machine.id.clone())
        } else {
            all.remove(&machine.id)
        };
        Ok(())
    }
}

/// A qcow2 image of 32 KiB without content, or the header of one over `below`.
fn disk(below: Option<&Path>) -> Vec<u8> {
    let mut disk = vec![0; 2048];
    let mut put = |at: usize, bytes: &[u8]| disk[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"QFI\xfb");
    put(4, &2_u32.to_be_bytes());
    if let Some(name) = below.map(|path| path.as_os_str().as_encoded_bytes()) {
        put(8, &1024_u64.to_be_bytes());
        put(16, &u32::try_from(name.len()).expect("a path is short").to_be_bytes());
        put(1024, name);
        return disk;
    }
    // Clusters of 512 bytes, the second with reference counts, the third with the first table.
    put(20, &9_u32.to_be_bytes());
    put(24, &(32_u64 << 10).to_be_bytes());
    put(36, &1_u32.to_be_bytes());
    put(40, &1024_u64.to_be_bytes());
    put(48, &512_u64.to_be_bytes());
    put(56, &1_u32.to_be_bytes());
    disk
}

#[async_trait]
impl Provider for Still {
    fn name(&self) -> &str {
        self.local.name()
    }

    fn is_here(&self) -> bool {
        true
    }

    async fn facts(&self, wanted: &FactsQuery, _: &RunCx) -> Result<CloudFacts, CloudError> {
        let found = |base: &str| self.store().find(base);
        let named = self.store().named(&wanted.image_name)?;
        Ok(CloudFacts {
            base: wanted.base.as_deref().map_or(Ok(BaseLookup::None), found)?,
            name_taken_by: named.into_iter().map(|image| image.id).collect(),
            how: "without QEMU".into(),
            max_cpus: None,
            max_ram_mib: None,
            free_bytes: None,
            missing_prerequisites: Vec::new(),
            notes: Vec::new(),
            site: None,
        })
    }

    fn compute(&self) -> &dyn Compute {
        self
    }

    fn artifacts(&self) -> &dyn Artifacts {
        &self.local
    }

    fn resources(&self) -> &dyn Resources {
        &self.local
    }
}

#[async_trait]
impl Compute for Still {
    async fn boot(&self, cx: &RunCx, spec: &BootSpec) -> Result<Machine, CloudError> {
        cx.cancel.check()?;
        let image = self.store().need(&spec.image)?;
        let layout = &self.local.layout;
        let place = layout.place(&cx.run, &spec.name)?;
        layout.0.make(cx, &place.dir).await?;
        std::fs::write(place.file(OVERLAY), disk(Some(&self.store().disk(&image.id))))
            .map_err(CloudError::io("write an overlay"))?;
        Ok(Machine {
            name: spec.name.clone(),
            id: format!("{}/{}", cx.run, spec.name),
            host: "still".into(),
            port: 1,
        })
    }

    async fn power(&self, machine: &Machine) -> Result<Power, CloudError> {
        let off = self.off.lock().expect("a test panicked in here").contains(&machine.id);
        Ok(match (self.dir(machine)?.exists(), off) {
            (false, _) => Power::Gone("deleted".into()),
            (true, true) => Power::Off,
            (true, false) => Power::On,
        })
    }

    fn poll_interval(&self) -> Duration {
        Duration::from_millis(10)
    }

    fn health_poll_interval(&self) -> Option<Duration> {
        None
    }

    async fn console_log(&self, _: &Machine) -> Result<String, CloudError> {
        Ok(String::new())
    }

    async fn console_url(&self, machine: &Machine) -> Result<String, CloudError> {
        Err(CloudError::unable(format!("screen of {}", machine.name), "it has none"))
    }

    async fn reboot(&self, _: &RunCx, machine: &Machine, _: Reboot) -> Result<(), CloudError> {
        self.turn(machine, false)
    }

    async fn shutdown(&self, _: &RunCx, machine: &Machine) -> Result<(), CloudError> {
        self.turn(machine, true)
    }

    async fn capture(
        &self,
        cx: &RunCx,
        machine: &Machine,
        name: &str,
    ) -> Result<Image, CloudError> {
        match self.power(machine).await? {
            Power::Off => self.stage(cx, name).await,
            other => Err(CloudError::refused(name, format!("it is not off: {other:?}"))),
        }
    }
}
