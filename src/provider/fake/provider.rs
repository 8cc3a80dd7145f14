//! The cloud in memory, as everything that uses a cloud sees it.
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;

use super::Memory;
use super::world::{Booted, owner, uuid_number};
use crate::model::facts::{BaseLookup, CloudFacts, FactsQuery};
use crate::model::family;
use crate::model::image::{self, Image, Lifecycle, State};
use crate::model::placement::VolumePlan;
use crate::model::units::GIB;
use crate::provider::ledger::{Entry, Kind, Made};
use crate::provider::{
    AttachedVolume, BootSpec, Cloud, CloudError, Cx, Machine, Power, Publication, Reboot,
};

#[async_trait]
impl Cloud for Memory {
    fn name(&self) -> &str {
        "memory"
    }

    async fn facts(&self, wanted: &FactsQuery, _: &Cx) -> Result<CloudFacts, CloudError> {
        let images: Vec<Image> =
            self.images().await?.into_iter().filter(|i| i.state != State::Staged).collect();
        let base = wanted.base.as_deref().map_or(BaseLookup::None, |base| {
            let family = base.strip_prefix("os/");
            crate::provider::base_among(
                &images,
                family.unwrap_or(base),
                wanted.base_is_family || family.is_some(),
                Vec::new,
            )
        });
        Ok(CloudFacts {
            base,
            name_taken_by: images
                .iter()
                .filter(|i| i.name == wanted.image_name)
                .map(|i| i.id.clone())
                .collect(),
            how: "in memory".into(),
            max_cpus: None,
            max_ram_mib: None,
            free_bytes: None,
            missing_prerequisites: self.world().missing_prerequisites.clone(),
            notes: Vec::new(),
            site: None,
        })
    }

    async fn import(
        &self,
        cx: &Cx,
        run: &str,
        name: &str,
        file: &Path,
        _: Duration,
    ) -> Result<Image, CloudError> {
        let size =
            file.metadata().map_err(CloudError::io(format!("read {}", file.display())))?.len();
        self.make(cx, run, name, "import", |_| Ok(size)).await
    }

    async fn boot(&self, cx: &Cx, spec: &BootSpec, _: Duration) -> Result<Machine, CloudError> {
        cx.cancel.check()?;
        let create = || async {
            self.mutate("boot", |world| {
                if !world.images.contains_key(&spec.image) {
                    return Err(CloudError::refused(
                        format!("image {}", spec.image),
                        "does not exist",
                    ));
                }
                world.booted.push(spec.clone());
                let id = world.id();
                let host_key =
                    ssh_key::PrivateKey::random(&mut rand_core::OsRng, ssh_key::Algorithm::Ed25519)
                        .expect("random numbers");
                let host_key = host_key.public_key().to_openssh().expect("a fresh key encodes");
                let booted = Booted {
                    run: spec.run.clone(),
                    name: spec.name.clone(),
                    image: spec.image.clone(),
                    power: Power::On,
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

    async fn shutdown(&self, cx: &Cx, machine: &Machine, _: Duration) -> Result<(), CloudError> {
        cx.cancel.check()?;
        self.mutate("shutdown", |world| {
            world.machine(machine)?.power = Power::Off;
            Ok(())
        })
    }

    async fn capture(
        &self,
        cx: &Cx,
        run: &str,
        machine: &Machine,
        name: &str,
        _: Duration,
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
        self.make(cx, run, name, "capture", |_| Ok(disk)).await
    }

    async fn publish(
        &self,
        _: &Cx,
        staged: &Image,
        publication: &Publication,
    ) -> Result<Image, CloudError> {
        self.mutate("publish", |world| {
            let missing = || CloudError::refused(format!("image {}", staged.id), "does not exist");
            let there: Vec<Image> = world.images.values().cloned().collect();
            let image = world.images.get_mut(&staged.id).ok_or_else(missing)?;
            if let Some(why) = crate::provider::unpublishable(image, publication) {
                return Err(CloudError::refused(format!("publish {}", publication.name), why));
            }
            let at = family::published_at(
                &there,
                &publication.family,
                &image.id,
                jiff::Timestamp::now(),
            );
            let publication = publication.proven(&image.id, at);
            image.state = State::Active;
            image.min_disk_gib = publication.min_disk(image.virtual_size);
            (image.name, image.family) = (publication.name, publication.family);
            (image.properties, image.tags) = (publication.properties, publication.tags);
            image.min_ram_mib = publication.min_ram_mib;
            image.visibility = publication.visibility;
            (image.protected, image.hidden) = (publication.protected, publication.hidden);
            Ok(image.clone())
        })
    }

    async fn delete_resource(&self, run: &str, thing: &Entry) -> Result<(), CloudError> {
        self.mutate("delete", |world| {
            let foreign = || {
                Err(CloudError::refused(
                    format!("delete {} {}", thing.kind.name(), thing.name),
                    format!("it is not of run {run}"),
                ))
            };
            match (thing.kind, &thing.id) {
                (Kind::Machine, Some(id))
                    if world.machines.get(id).is_some_and(|m| m.run != run) =>
                {
                    return foreign();
                }
                (Kind::Machine, Some(id)) => drop(world.machines.remove(id)),
                (Kind::Machine, None) => {
                    world.machines.retain(|_, m| m.run != run || m.name != thing.name)
                }
                (Kind::Image, Some(id)) => match world.images.get(id) {
                    Some(image) if image.is_staged_by(run) => drop(world.images.remove(id)),
                    // Published meanwhile: it is no run's any more.
                    Some(image) if owner(image) == Some(run) && image.is_ours() => {}
                    Some(_) => return foreign(),
                    None => {}
                },
                (Kind::Image, None) => {
                    world.images.retain(|_, i| !i.is_staged_by(run) || i.name != thing.name)
                }
                _ => {}
            }
            Ok(())
        })
    }

    async fn list_resources(&self, run: &str) -> Result<Vec<Entry>, CloudError> {
        let world = self.world();
        let machines = world
            .machines
            .iter()
            .filter(|(_, m)| m.run == run)
            .map(|(id, m)| (Kind::Machine, &m.name, id));
        let images = world
            .images
            .values()
            .filter(|i| i.is_staged_by(run))
            .map(|i| (Kind::Image, &i.name, &i.id));
        let mut found: Vec<Entry> = machines
            .chain(images)
            .map(|(kind, name, id)| Entry {
                seq: uuid_number(id),
                kind,
                name: name.clone(),
                id: Some(id.clone()),
                unanswered: None,
            })
            .collect();
        found.sort_by_key(|e| std::cmp::Reverse(e.seq));
        Ok(found)
    }

    async fn list_runs(&self) -> Result<Vec<String>, CloudError> {
        let world = self.world();
        let staged =
            world.images.values().filter_map(|i| owner(i).filter(|run| i.is_staged_by(run)));
        let mut runs: Vec<String> = world
            .machines
            .values()
            .map(|m| m.run.as_str())
            .chain(staged)
            .map(str::to_owned)
            .collect();
        runs.sort();
        runs.dedup();
        Ok(runs)
    }

    async fn images(&self) -> Result<Vec<Image>, CloudError> {
        let mut images: Vec<Image> = self.world().images.values().cloned().collect();
        images.sort_by(|a, b| b.id.cmp(&a.id));
        image::tell_copies(&mut images);
        Ok(images)
    }

    async fn reboot(
        &self,
        cx: &Cx,
        machine: &Machine,
        _: Reboot,
        _: Duration,
    ) -> Result<(), CloudError> {
        cx.cancel.check()?;
        self.mutate("reboot", |world| world.machine(machine).map(|m| m.power = Power::On))
    }

    async fn attach_volume(
        &self,
        _: &Cx,
        _: &str,
        machine: &Machine,
        _: &VolumePlan,
        _: Duration,
    ) -> Result<AttachedVolume, CloudError> {
        Err(CloudError::unable(
            format!("attach a disk to {}", machine.name),
            "there are no disks in memory",
        ))
    }

    async fn detach_volume(
        &self,
        _: &Cx,
        _: &str,
        machine: &Machine,
        _: &AttachedVolume,
        _: Duration,
    ) -> Result<(), CloudError> {
        Err(CloudError::unable(
            format!("detach the disk of {}", machine.name),
            "there are no disks in memory",
        ))
    }

    async fn rescue(&self, _: &Cx, machine: &Machine, _: Duration) -> Result<(), CloudError> {
        Err(CloudError::unable(format!("rescue {}", machine.name), "there are no disks in memory"))
    }

    async fn unrescue(&self, _: &Cx, machine: &Machine, _: Duration) -> Result<(), CloudError> {
        Err(CloudError::unable(format!("rescue {}", machine.name), "there are no disks in memory"))
    }

    async fn console_url(&self, machine: &Machine) -> Result<String, CloudError> {
        Err(CloudError::unable(
            format!("screen of {}", machine.name),
            "there is no screen in memory",
        ))
    }

    async fn check_template(
        &self,
        _: &str,
        _: &Cx,
    ) -> Result<Option<Result<(), String>>, CloudError> {
        Ok(None)
    }

    async fn set_lifecycle(
        &self,
        _: &Cx,
        image: &Image,
        to: &Lifecycle,
    ) -> Result<Image, CloudError> {
        self.mutate("set_standing", |world| {
            let what = format!("change image {}", image.name);
            let image = world
                .images
                .get_mut(&image.id)
                .ok_or_else(|| CloudError::refused(&what, "does not exist"))?;
            if let Some(why) = crate::provider::why_immutable(image) {
                return Err(CloudError::refused(what, why));
            }
            image.stand(to);
            Ok(image.clone())
        })
    }

    async fn adopt(&self, _: &Cx, image: &Image) -> Result<Image, CloudError> {
        self.mutate("adopt", |world| {
            let what = format!("adopt image {}", image.name);
            let image = world
                .images
                .get_mut(&image.id)
                .ok_or_else(|| CloudError::refused(&what, "does not exist"))?;
            match crate::provider::unadoptable(image) {
                Some(why) => return Err(CloudError::refused(what, why)),
                None if !image.is_ours() => image.prove(image.created),
                None => {}
            }
            Ok(image.clone())
        })
    }

    async fn usage(&self, images: &[Image]) -> Result<BTreeMap<String, String>, CloudError> {
        Ok(self.world().usage(images))
    }

    async fn delete_image(&self, _: &Cx, image: &Image) -> Result<(), CloudError> {
        self.mutate("discard", |world| {
            let Some(there) = world.images.get(&image.id) else { return Ok(()) };
            let used = world.usage(std::slice::from_ref(there)).remove(&image.id);
            let protected = there.protected.then(|| "it is protected".to_owned());
            match crate::provider::why_immutable(there).or(protected).or(used) {
                Some(why) => Err(CloudError::refused(format!("delete image {}", there.name), why)),
                None => {
                    world.images.remove(&image.id);
                    Ok(())
                }
            }
        })
    }
}
