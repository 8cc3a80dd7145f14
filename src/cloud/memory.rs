//! A cloud in memory, for tests of everything that uses one: machines are on at once, and any one
//! call can be made to fail.
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;

use super::ledger::{Entry, Kind, Made};
use super::{AttachedVolume, BootSpec, Cloud, CloudError, Cx, Machine, Power, Publication, Reboot};
use crate::family;
use crate::image::{self, Image, Lifecycle, State, Visibility};
use crate::plan::{BaseLookup, CloudFacts, FactsQuery, GIB, VolumePlan};

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

#[derive(Default)]
struct World {
    /// Mutating calls so far.
    calls: usize,
    fault: Option<(usize, Fault)>,
    made: u64,
    machines: BTreeMap<String, Booted>,
    images: BTreeMap<String, Image>,
    host_keys: Vec<String>,
    missing_prerequisites: Vec<(String, String)>,
    watch: Option<Duration>,
    /// Of machines that are to come, by name.
    consoles: BTreeMap<String, String>,
    /// What each machine was booted with, those that are gone too.
    booted: Vec<BootSpec>,
}

struct Booted {
    run: String,
    name: String,
    image: String,
    power: Power,
    disk_gib: u64,
    /// In place of an honest console.
    console: Option<String>,
    /// As its console shows it; each machine has its own unless the test says otherwise.
    host_key: String,
}

impl Memory {
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets the mutating call number `call` (from 1) fail: import, boot, shutdown, capture,
    /// publish, delete, set_standing and discard count.
    pub fn fail_at(&self, call: usize, fault: Fault) {
        self.world().fault = Some((call, fault));
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

    /// Lets a machine be seen in another state.
    pub fn set_power(&self, name: &str, power: Power) {
        self.world()
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
            Some(_) => Err(CloudError::refused(what, "reply lost, as the test asked for")),
            None => Ok(done),
        }
    }

    /// A mutating call that makes an image.
    async fn make(
        &self,
        cx: &Cx,
        run: &str,
        name: &str,
        what: &str,
        virtual_size: impl FnOnce(&World) -> Result<u64, CloudError>,
    ) -> Result<Image, CloudError> {
        cx.cancel.check()?;
        let create = || async {
            self.mutate(what, |world| {
                let size = virtual_size(world)?;
                let image = world.image(run, name, size);
                world.images.insert(image.id.clone(), image.clone());
                Ok(Made { id: image.id.clone(), value: image })
            })
        };
        cx.ledger.own(Kind::Image, name, create).await
    }
}

impl World {
    fn id(&mut self) -> String {
        self.made += 1;
        uuid::Uuid::from_u128(u128::from(self.made)).to_string()
    }

    fn image(&mut self, run: &str, name: &str, virtual_size: u64) -> Image {
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

    fn usage(&self, images: &[Image]) -> BTreeMap<String, String> {
        let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for machine in self.machines.values().filter(|m| images.iter().any(|i| i.id == m.image)) {
            users
                .entry(machine.image.clone())
                .or_default()
                .push(format!("machine {}", machine.name));
        }
        super::describe_users(users)
    }

    fn machine(&mut self, machine: &Machine) -> Result<&mut Booted, CloudError> {
        let missing = || CloudError::refused(format!("machine {}", machine.name), "does not exist");
        self.machines.get_mut(&machine.id).ok_or_else(missing)
    }
}

fn owner(image: &Image) -> Option<&str> {
    image.properties.get(image::RUN).map(String::as_str)
}

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
            super::base_among(
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
            if let Some(why) = super::unpublishable(image, publication) {
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
            if let Some(why) = super::why_immutable(image) {
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
            match super::unadoptable(image) {
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
            match super::why_immutable(there).or(protected).or(used) {
                Some(why) => Err(CloudError::refused(format!("delete image {}", there.name), why)),
                None => {
                    world.images.remove(&image.id);
                    Ok(())
                }
            }
        })
    }
}

/// IDs count upwards, so that they tell what is newer.
fn uuid_number(id: &str) -> u64 {
    uuid::Uuid::try_parse(id).map_or(0, |u| u.as_u128() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::contract;
    use crate::cloud::ledger::Ledger;

    #[tokio::test]
    async fn keeps_the_contract() {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("disk.img");
        std::fs::write(&disk, vec![0; 1 << 20]).unwrap();
        let cloud = Memory::new();
        contract::check(&cloud, dir.path(), &disk, None).await;
        // A copy under the very name, in the very state.
        let copy = async |of: &Image| {
            let id = uuid::Uuid::new_v4().to_string();
            cloud.put(Image { id: id.clone(), ..of.clone() });
            id
        };
        contract::copies(&cloud, dir.path(), &disk, copy).await;
    }

    /// Refused or served without a reply: either way the ledger's entry leads back to where we
    /// were.
    #[tokio::test]
    async fn faults_are_where_they_were_asked_for() {
        for fault in [Fault::Refuse, Fault::LoseReply] {
            let dir = tempfile::tempdir().unwrap();
            let ledger = Ledger::open(&dir.path().join("ledger.jsonl")).unwrap();
            let cx = Cx { ledger, events: Default::default(), cancel: Default::default() };
            let cloud = Memory::new();
            let base = cloud.add_image("base-1", "base");
            let before = cloud.snapshot();
            cloud.fail_at(1, fault);
            let spec = BootSpec {
                run: "r1".into(),
                name: "factory-r1-builder".into(),
                image: base.id,
                cpus: 1,
                ram_mib: 1,
                disk_gib: 1,
                user_data: String::new(),
                place: None,
            };
            assert!(cloud.boot(&cx, &spec, Duration::ZERO).await.is_err());
            assert_eq!(
                cloud.snapshot().len(),
                before.len() + usize::from(fault == Fault::LoseReply)
            );
            for entry in cx.ledger.entries() {
                assert_eq!(entry.id, None);
                cloud.delete_resource("r1", &entry).await.unwrap();
            }
            assert_eq!(cloud.snapshot(), before);
            assert_eq!(cloud.calls(), 2);
        }
    }
}
