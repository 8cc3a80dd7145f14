//! A cloud in memory, for tests of everything that uses one: machines are on at once, and any one
//! call can be made to fail.
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use super::ledger::{Kind, Made};
use super::{BootSpec, CloudError, Power, RunCx};
use crate::model::image::{self, Image, State};
use crate::model::units::GIB;

mod artifacts;
mod compute;
mod provider;
mod resources;
#[cfg(test)]
mod tests;
mod world;

use world::{World, owner};
/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done.
    Refuse,
    /// It is done, and the answer is lost.
    LoseReply,
}

#[derive(Default)]
pub struct Memory(Mutex<World>);

impl Memory {
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets the mutating call number `call` (from 1) fail: import, boot, shutdown, capture,
    /// publish, delete, set_standing and discard count.
    pub fn fail_at(&self, call: usize, fault: Fault) {
        self.world().fault = Some((call, fault));
    }

    /// Refuses the next reads of these numbers (from 1), as a gateway does: lists of images, and
    /// questions who uses some.
    pub fn refuse_reads(&self, reads: std::ops::RangeInclusive<usize>) {
        let mut world = self.world();
        let (first, last) = reads.into_inner();
        world.blind = world.reads + first..world.reads.saturating_add(last).saturating_add(1);
    }

    /// Lets others change images right after the next read of that number (from 1).
    pub fn meanwhile(
        &self,
        read: usize,
        others: impl FnOnce(&mut BTreeMap<String, Image>) + Send + 'static,
    ) {
        let mut world = self.world();
        world.meanwhile = Some((world.reads + read, Box::new(others)));
    }

    /// Mutating calls so far.
    pub fn calls(&self) -> usize {
        self.world().calls
    }

    /// A published image that is there from the start.
    pub fn add_image(&self, name: &str, family: &str) -> Image {
        let mut world = self.world();
        let mut image = world.image("", name, 2 * GIB);
        image.family = family.into();
        image.state = State::Active;
        image.properties = [
            (image::STATE.into(), "active".into()),
            (image::FAMILY.into(), family.into()),
            (image::RUN.into(), format!("run-of-{}", image.id)),
        ]
        .into();
        image.prove(image.created);
        world.images.insert(image.id.clone(), image.clone());
        image
    }

    /// Puts an image there, whatever its state.
    pub fn put(&self, image: Image) {
        self.world().images.insert(image.id.clone(), image);
    }

    /// Lines such as `ssh-ed25519 AAAA… root@host`, which the console of every machine shows in
    /// place of its own.
    pub fn set_host_keys(&self, keys: Vec<String>) {
        self.world().host_keys = keys;
    }

    pub fn set_lacks(&self, missing_prerequisites: Vec<(String, String)>) {
        self.world().missing_prerequisites = missing_prerequisites;
    }

    /// Whoever calls from now on is of this project.
    pub fn set_project(&self, id: &str) {
        self.world().project = Some(id.into());
    }

    /// Lets a machine that is there, or will be, be seen in another state.
    pub fn set_power(&self, name: &str, power: Power) {
        let mut world = self.world();
        world.powers.insert(name.into(), power.clone());
        world
            .machines
            .values_mut()
            .filter(|m| m.name == name)
            .for_each(|m| m.power = power.clone());
    }

    /// Lets a machine that is there, or will be, say something else on its console.
    pub fn set_console(&self, name: &str, text: &str) {
        let mut world = self.world();
        world.consoles.insert(name.into(), text.into());
        world
            .machines
            .values_mut()
            .filter(|m| m.name == name)
            .for_each(|m| m.console = Some(text.into()));
    }

    /// How often a machine that answers is looked at all the same.
    pub fn look_every(&self, pace: Duration) {
        self.world().watch = Some(pace);
    }

    /// What each machine was booted with so far, in that order.
    pub fn booted(&self) -> Vec<BootSpec> {
        self.world().booted.clone()
    }

    /// What there is, one line for each thing with its owner: to be compared before and after.
    pub fn snapshot(&self) -> Vec<String> {
        let world = self.world();
        let machines =
            world.machines.iter().map(|(id, m)| format!("machine {id} {} of {}", m.name, m.run));
        let images = world.images.values();
        let images = images.map(|i| {
            format!(
                "image {} {} {} of {}",
                i.id,
                i.name,
                i.state.name(),
                owner(i).unwrap_or("nobody")
            )
        });
        machines.chain(images).collect()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().expect("a test panicked in here")
    }

    /// One mutating call: counted, and failing if it is its turn.
    fn mutate<T>(
        &self,
        what: &str,
        work: impl FnOnce(&mut World) -> Result<T, CloudError>,
    ) -> Result<T, CloudError> {
        let mut world = self.world();
        world.calls += 1;
        let fault = world.fault.filter(|(call, _)| *call == world.calls).map(|(_, fault)| fault);
        if fault == Some(Fault::Refuse) {
            return Err(CloudError::refused(what, "refused, as the test asked for"));
        }
        let done = work(&mut world)?;
        match fault {
            Some(_) => Err(CloudError::Unknown {
                what: what.into(),
                reason: "reply lost, as the test asked for".into(),
            }),
            None => Ok(done),
        }
    }

    /// A mutating call that makes an image.
    async fn make(
        &self,
        cx: &RunCx,
        name: &str,
        what: &str,
        virtual_size: impl FnOnce(&World) -> Result<u64, CloudError>,
    ) -> Result<Image, CloudError> {
        cx.cancel.check()?;
        let create = || async {
            self.mutate(what, |world| {
                let size = virtual_size(world)?;
                let image = world.image(&cx.run, name, size);
                world.images.insert(image.id.clone(), image.clone());
                Ok(Made { id: image.id.clone(), value: image })
            })
        };
        cx.ledger.own(Kind::Image, name, create).await
    }
}
