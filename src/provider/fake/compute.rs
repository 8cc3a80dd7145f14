//! Machines in memory.
use std::time::Duration;

use async_trait::async_trait;

use super::Memory;
use super::world::Booted;
use crate::model::image::Image;
use crate::model::units::GIB;
use crate::provider::ledger::{Kind, Made};
use crate::provider::{BootSpec, CloudError, Compute, Machine, Power, Reboot, RunCx};

#[async_trait]
impl Compute for Memory {
    async fn boot(&self, cx: &RunCx, spec: &BootSpec) -> Result<Machine, CloudError> {
        cx.cancel.check()?;
        let create = || async {
            self.mutate("boot", |world| {
                if !world.images.contains_key(&spec.image) {
                    return Err(CloudError::missing(format!("image {}", spec.image)));
                }
                world.booted.push(spec.clone());
                let id = world.id();
                let host_key =
                    ssh_key::PrivateKey::random(&mut rand_core::OsRng, ssh_key::Algorithm::Ed25519)
                        .expect("random numbers");
                let host_key = host_key.public_key().to_openssh().expect("a fresh key encodes");
                let booted = Booted {
                    run: cx.run.clone(),
                    name: spec.name.clone(),
                    image: spec.image.clone(),
                    power: world.powers.get(&spec.name).cloned().unwrap_or(Power::On),
                    disk_gib: spec.disk_gib,
                    console: world.consoles.get(&spec.name).cloned(),
                    host_key,
                };
                world.machines.insert(id.clone(), booted);
                let machine = Machine {
                    name: spec.name.clone(),
                    id: id.clone(),
                    host: "memory".into(),
                    port: world.made as u16,
                };
                Ok(Made { id, value: machine })
            })
        };
        cx.ledger.own(Kind::Machine, &spec.name, create).await
    }

    async fn power(&self, machine: &Machine) -> Result<Power, CloudError> {
        Ok(self
            .world()
            .machines
            .get(&machine.id)
            .map_or(Power::Gone("deleted".into()), |m| m.power.clone()))
    }

    fn poll_interval(&self) -> Duration {
        Duration::from_millis(10)
    }

    fn health_poll_interval(&self) -> Option<Duration> {
        Some(self.world().watch.unwrap_or(Duration::from_secs(5)))
    }

    async fn console_log(&self, machine: &Machine) -> Result<String, CloudError> {
        let world = self.world();
        if let Some(text) = world.machines.get(&machine.id).and_then(|m| m.console.clone()) {
            return Ok(text);
        }
        let own = world.machines.get(&machine.id).map(|m| m.host_key.clone()).into_iter().collect();
        let keys =
            if world.host_keys.is_empty() { own } else { world.host_keys.clone() }.join("\n");
        Ok(format!(
            "[    0.000000] Linux version 6.1.0-memory\n-----BEGIN SSH HOST KEY \
                KEYS-----\n{keys}\n-----END SSH HOST KEY KEYS-----\n\
             Cloud-init v. 22.4.2 finished\n\n{} login: ",
            machine.name
        ))
    }

    async fn console_url(&self, machine: &Machine) -> Result<String, CloudError> {
        Err(CloudError::unable(
            format!("screen of {}", machine.name),
            "there is no screen in memory",
        ))
    }

    async fn reboot(&self, cx: &RunCx, machine: &Machine, _: Reboot) -> Result<(), CloudError> {
        cx.cancel.check()?;
        self.mutate("reboot", |world| world.machine(machine).map(|m| m.power = Power::On))
    }

    async fn shutdown(&self, cx: &RunCx, machine: &Machine) -> Result<(), CloudError> {
        cx.cancel.check()?;
        self.mutate("shutdown", |world| {
            world.machine(machine)?.power = Power::Off;
            Ok(())
        })
    }

    async fn capture(
        &self,
        cx: &RunCx,
        machine: &Machine,
        name: &str,
    ) -> Result<Image, CloudError> {
        let disk = {
            let mut world = self.world();
            let booted = world.machine(machine)?;
            if booted.power != Power::Off {
                return Err(CloudError::refused(
                    format!("capture {}", machine.name),
                    "it is not off",
                ));
            }
            booted.disk_gib * GIB
        };
        self.make(cx, name, "capture", |_| Ok(disk)).await
    }
}
