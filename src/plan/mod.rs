//! `plan(Bundle, Facts, run id, now) -> Plan`: pure, and the only place where defaults are applied.
//! `build` makes no choice that is not in the plan.
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

#[cfg(test)]
use crate::bundle;
use crate::bundle::{Action, Base, Bundle, Source, TIDY_PARTS};
use crate::diagnostic::{Diagnostic, Place};
use crate::disk::Format;
use crate::fetch::Wish;
use crate::image::{self, Image, Visibility};

mod facts;
mod site;
#[cfg(test)]
mod site_tests;

pub use facts::{BaseFact, CloudFacts, Facts, Flavor, HostFacts, Named, Network, Room, SiteDefaults, SiteFacts, Wanted};
use site::{Needs, Peak};
pub use site::{Security, SitePlan, VolumePlan};

/// What will be done, with every default applied. Times are seconds, sizes say their unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub run: String,
    pub at: Timestamp,
    /// `images/bundle-nginx`
    pub bundle: String,
    pub bundle_dir: PathBuf,
    pub family: String,
    pub image_name: String,
    pub cloud: String,
    /// What the cloud says of how machines run there.
    pub how: String,
    /// Where machines go; `None` on a cloud that offers no choice.
    pub site: Option<SitePlan>,
    pub origin: Origin,
    /// `None`: nothing to provision, the source is the image.
    pub builder: Option<MachinePlan>,
    pub ssh_user: String,
    pub steps: Vec<StepPlan>,
    /// Parts of tidy, in order.
    pub tidy: Vec<String>,
    /// `None`: the image is published untested, as was asked for.
    pub smoke: Option<SmokePlan>,
    pub publish: Publication,
    /// Relative to the bundle.
    pub templates: Vec<PathBuf>,
    pub timeouts: TimeoutPlan,
    pub commit: Option<String>,
    /// How many images of the family stay after this one is published; `None`: all.
    #[serde(default)]
    pub keep: Option<u32>,
}

impl Plan {
    /// What the reader should know although it keeps nothing from being built.
    pub fn warnings(&self) -> Vec<String> {
        match &self.origin {
            Origin::Base(base) if base.state == image::State::Deprecated => {
                vec![format!("base image {} ({}) is deprecated; a family's name means its newest active image", base.name, base.id)]
            }
            _ => Vec::new(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    Base(Box<Image>),
    /// An executable of the bundle that writes a disk image.
    Script(PathBuf),
    /// A disk image from elsewhere. `format`: what it must be; `None`: what it is.
    Url {
        wish: Wish,
        format: Option<Format>,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MachinePlan {
    /// Name and hostname.
    pub name: String,
    pub cpus: u32,
    pub ram_mb: u64,
    /// `None`: the image's own size, known only when the source was built.
    pub disk_gb: Option<u64>,
    /// On a cloud that has flavors; CPUs, RAM and disk are then the flavor's.
    pub flavor: Option<Named>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepPlan {
    pub name: String,
    pub action: ActionPlan,
    pub timeout: u64,
    pub retries: u32,
    pub env: BTreeMap<String, String>,
    pub sudo: bool,
}

/// Paths are relative to the bundle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActionPlan {
    Ansible { playbook: PathBuf, extra_vars: serde_json::Map<String, serde_json::Value>, tags: Vec<String> },
    Shell { text: String },
    Script { path: PathBuf },
    Upload { src: PathBuf, dest: String },
    Reboot,
}

/// Two machines boot from the captured image: the first is tested, the second proves that identities differ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SmokePlan {
    pub first: MachinePlan,
    pub second: MachinePlan,
    /// How much larger than the image their disks are, so that growing can be seen.
    pub grow_gb: u64,
    /// Of another size than the two, for an image of the second; `None`: there is none.
    pub other: Option<MachinePlan>,
    /// The image's default user: where a bundle gives it another than its base has, that is in its properties.
    pub user: String,
    /// Built-in checks that run.
    pub checks: Vec<String>,
    /// The bundle's own that run, relative to it.
    pub tests: Vec<PathBuf>,
    /// Left out because the bundle says so.
    pub skip: Vec<String>,
    /// Seconds for one check; `None`: each has its own.
    pub check_timeout: Option<u64>,
    /// What has to resolve; `None`: the host where the machine gets its packages.
    pub dns_name: Option<String>,
    /// What cloud-init is to install.
    pub package: String,
    /// Size of the volume that is attached.
    pub volume_gb: u64,
}

impl SmokePlan {
    /// With the checks of a bundle.
    #[cfg(test)]
    pub fn of_test(first: MachinePlan, second: MachinePlan) -> Self {
        let checks = bundle::Tests::default().chosen(bundle::Kind::Image).into_iter().map(str::to_owned).collect();
        let (tests, skip) = (Vec::new(), Vec::new());
        let (package, user) = (PACKAGE.into(), "debian".into());
        Self {
            first,
            second,
            grow_gb: 1,
            other: None,
            user,
            checks,
            tests,
            skip,
            check_timeout: Some(60),
            dns_name: None,
            package,
            volume_gb: 1,
        }
    }

    pub fn has(&self, id: &str) -> bool {
        self.checks.iter().any(|c| c == id)
    }
}

/// What an image is given when it is published: all in one write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Publication {
    pub name: String,
    pub family: String,
    pub properties: BTreeMap<String, String>,
    pub tags: Vec<String>,
    /// `None`: what the disk needs.
    pub min_disk_gb: Option<u64>,
    pub min_ram_mb: u64,
    pub visibility: Visibility,
    pub members: Vec<String>,
    pub protected: bool,
    pub hidden: bool,
}

/// Seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimeoutPlan {
    /// From the request to power-on.
    pub boot: u64,
    /// From power-on to SSH and to the end of cloud-init.
    pub ssh: u64,
    pub capture: u64,
    pub upload: u64,
    /// Orderly stop.
    pub shutdown: u64,
    /// A source script; or a download and its unpacking.
    pub source: u64,
}

const BOOT: u64 = 300;
const SSH: u64 = 900;
const STEP: u64 = 3600;
const CAPTURE: u64 = 1800;
const UPLOAD: u64 = 3600;
const SHUTDOWN: u64 = 180;
const SOURCE: u64 = 3600;
/// Small, and called so wherever there are packages.
const PACKAGE: &str = "tree";
/// Disk of a builder whose bundle asks for none, unless the base needs more.
const DISK_GB: u64 = 4;
const RAM_MB: u64 = 1024;
const CPUS: u32 = 2;

pub const GIB: u64 = 1 << 30;

/// Name of the image: `bundle_target_name`, or `<bundle.name>-YYYY-MM-DDHHMM` in UTC as the ancestor had it.
pub fn image_name(bundle: &Bundle, now: Timestamp) -> String {
    bundle.target_name.clone().unwrap_or_else(|| format!("{}-{}", bundle.name, now.strftime("%Y-%m-%d%H%M")))
}

/// The run's ID: time to the second and 24 random bits.
pub fn run_id(now: Timestamp, random: u32) -> String {
    format!("{}-{:06x}", now.strftime("%Y%m%d-%H%M%S"), random & 0xff_ffff)
}

/// What keeps a plan from being made, all of it.
#[derive(Debug)]
pub struct Unfit {
    pub wrong: Vec<Diagnostic>,
    /// The cloud or this machine lacks something; otherwise it is all the bundle's.
    pub refuses: bool,
}

/// `smoke`: the captured image is to be tested before it is published.
pub fn plan(bundle: &Bundle, facts: &Facts, run: &str, now: Timestamp, smoke: bool) -> Result<Plan, Unfit> {
    let (mut wrong, mut refused) = (Vec::new(), Vec::new());
    let place = |key: &str| bundle.places.get(key).cloned();
    for (what, hint) in &facts.cloud.lacks {
        refused.push(Diagnostic::error(None, what.clone()).hint(hint.clone()));
    }
    let mut image_name = image_name(bundle, now);
    if let Some(id) = facts.cloud.name_taken_by.first() {
        if bundle.target_name.is_none() {
            // Two builds within a minute: both are wanted.
            image_name = format!("{image_name}-{}", run.rsplit('-').next().unwrap_or(run));
        } else {
            wrong.push(
                Diagnostic::error(place("bundle_target_name"), format!("image name `{image_name}` is taken by {id}"))
                    .hint("choose another `bundle_target_name`, or leave it out for a name with the time in it"),
            );
        }
    }
    let origin = origin(bundle, &facts.cloud, &mut wrong);
    let steps = steps(bundle);
    if steps.iter().any(|s| matches!(s.action, ActionPlan::Ansible { .. })) && facts.host.ansible.is_none() {
        refused.push(Diagnostic::error(None, "ansible-playbook is not installed").hint("run `make deps`, or install ansible-core"));
    }

    let base = match &origin {
        Some(Origin::Base(image)) => Some(image.as_ref()),
        _ => None,
    };
    let needs_builder = base.is_some() || !steps.is_empty();
    let Machines { builder, first, second, other, site, grow_gb } = match &facts.cloud.site {
        Some(site) => in_a_project(bundle, site, run, base, &mut refused),
        None => on_this_machine(bundle, &facts.cloud, run, base, &mut refused),
    };
    let builder = needs_builder.then_some(builder);

    let ssh_user = bundle
        .ssh_user
        .clone()
        .or_else(|| base.and_then(|b| b.properties.get(image::ADMIN_USER).cloned()))
        .or_else(|| bundle.properties.get(image::ADMIN_USER).cloned())
        .unwrap_or_else(|| "debian".into());

    let user = bundle.properties.get(image::ADMIN_USER).unwrap_or(&ssh_user).clone();
    let publish = publish(bundle, base, &image_name, run, &facts.host);
    let refuses = !refused.is_empty();
    wrong.append(&mut refused);
    let (Some(origin), true) = (origin, wrong.is_empty()) else {
        wrong.sort_by(|a, b| a.place.cmp(&b.place));
        return Err(Unfit { wrong, refuses });
    };
    Ok(Plan {
        run: run.into(),
        at: now,
        bundle: bundle.label.clone(),
        bundle_dir: bundle.dir.clone(),
        family: bundle.name.clone(),
        image_name,
        cloud: facts.cloud_name.clone(),
        how: facts.cloud.how.clone(),
        site,
        origin,
        builder,
        ssh_user,
        steps,
        tidy: TIDY_PARTS.iter().filter(|p| !bundle.tidy_off.iter().any(|off| off == *p)).map(|p| (*p).into()).collect(),
        smoke: smoke.then(|| SmokePlan {
            user,
            other: other.filter(|_| bundle.tests.chosen(bundle.kind).contains(&"snapshot")),
            first,
            second,
            grow_gb,
            checks: bundle.tests.chosen(bundle.kind).into_iter().map(str::to_owned).collect(),
            tests: bundle.tests.own(),
            skip: bundle.tests.skip.clone(),
            check_timeout: bundle.tests.timeout.map(|t| t.as_secs().max(1)),
            dns_name: bundle.tests.dns_name.clone(),
            package: bundle.tests.package.clone().unwrap_or_else(|| PACKAGE.into()),
            volume_gb: bundle.tests.volume_gb.unwrap_or(1),
        }),
        publish,
        templates: bundle.templates.clone(),
        timeouts: TimeoutPlan {
            boot: secs(bundle.timeouts.boot, BOOT),
            ssh: secs(bundle.timeouts.ssh, SSH),
            capture: secs(bundle.timeouts.capture, CAPTURE),
            upload: secs(bundle.timeouts.upload, UPLOAD),
            shutdown: SHUTDOWN,
            source: SOURCE,
        },
        commit: facts.host.commit.clone(),
        keep: bundle.keep,
    })
}

impl Plan {
    /// The same without anything that makes an image: the one that is there is tested as it is.
    #[must_use]
    pub fn testing(self) -> Self {
        Self { builder: None, steps: Vec::new(), templates: Vec::new(), ..self }
    }
}

fn secs(given: Option<Duration>, default: u64) -> u64 {
    given.map_or(default, |d| d.as_secs().max(1))
}

fn origin(bundle: &Bundle, facts: &CloudFacts, wrong: &mut Vec<Diagnostic>) -> Option<Origin> {
    let at: Option<Place> = bundle.places.get("bundle.img_base").cloned();
    match &bundle.source {
        Some(Source::Script(path)) => return Some(Origin::Script(path.clone())),
        Some(Source::Url { wish, format }) => return Some(Origin::Url { wish: wish.clone(), format: *format }),
        None => {}
    }
    let asked = match &bundle.base {
        Some(Base::Os(name)) => format!("os/{name}"),
        Some(Base::Image(name)) => name.clone(),
        None => return None,
    };
    match &facts.base {
        BaseFact::Found(image) => return Some(Origin::Base(image.clone())),
        BaseFact::Missing { near } => {
            let hint = if near.is_empty() {
                "`image-factory image list` shows what there is; `os/<name>` names a definition of this tree".into()
            } else {
                format!("did you mean {}?", near.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(" or "))
            };
            wrong.push(Diagnostic::error(at, format!("base image `{asked}` does not exist")).hint(hint));
        }
        BaseFact::Ambiguous(images) => {
            let ids = images.iter().map(|i| format!("{} ({})", i.id, i.created)).collect::<Vec<_>>().join(", ");
            wrong.push(
                Diagnostic::error(at, format!("{} images are called `{asked}`", images.len())).hint(format!("name one by its ID: {ids}")),
            );
        }
        BaseFact::None => wrong.push(Diagnostic::error(at, format!("base image `{asked}` was not looked up"))),
    }
    None
}

fn steps(bundle: &Bundle) -> Vec<StepPlan> {
    let default = secs(bundle.timeouts.step, STEP);
    let bootstrap = PathBuf::from("ansible/bootstrap.yml");
    if bundle.steps.is_empty() && bundle.has_bootstrap {
        return vec![StepPlan {
            name: "ansible/bootstrap.yml".into(),
            action: ActionPlan::Ansible { playbook: bootstrap, extra_vars: bundle.vars.clone(), tags: Vec::new() },
            timeout: default,
            retries: 0,
            env: BTreeMap::new(),
            sudo: false,
        }];
    }
    // The bundle's own values; what a step says of itself wins.
    let with_vars = |extra: &serde_json::Map<String, serde_json::Value>| bundle.vars.clone().into_iter().chain(extra.clone()).collect();
    let plan = |step: &crate::bundle::Step| {
        let (name, action) = match &step.action {
            Action::Ansible { playbook, extra_vars, tags } => (
                playbook.display().to_string(),
                ActionPlan::Ansible { playbook: playbook.clone(), extra_vars: with_vars(extra_vars), tags: tags.clone() },
            ),
            Action::Shell { text } => (first_words(text), ActionPlan::Shell { text: text.clone() }),
            Action::Script { path } => (path.display().to_string(), ActionPlan::Script { path: path.clone() }),
            Action::Upload { src, dest } => {
                (format!("upload {} to {dest}", src.display()), ActionPlan::Upload { src: src.clone(), dest: dest.clone() })
            }
            Action::Reboot => ("reboot".into(), ActionPlan::Reboot),
        };
        StepPlan {
            name: step.name.clone().unwrap_or(name),
            action,
            timeout: secs(
                step.timeout,
                if matches!(step.action, Action::Upload { .. }) { secs(bundle.timeouts.upload, UPLOAD) } else { default },
            ),
            retries: step.retries,
            env: step.env.clone(),
            sudo: step.sudo,
        }
    };
    bundle.steps.iter().map(plan).collect()
}

/// A shell step without a name is called after its first line.
fn first_words(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|l| !l.is_empty() && !l.starts_with('#')).unwrap_or("shell");
    let short: String = line.chars().take(50).collect();
    if short.len() < line.len() { format!("{short}…") } else { short }
}

/// The machines of a run.
struct Machines {
    builder: MachinePlan,
    first: MachinePlan,
    second: MachinePlan,
    other: Option<MachinePlan>,
    site: Option<SitePlan>,
    grow_gb: u64,
}

/// GiB that the base asks a disk to have.
fn base_disk(base: Option<&Image>) -> u64 {
    base.map_or(0, |b| b.virtual_size.div_ceil(GIB).max(b.min_disk_gb))
}

fn name(run: &str, role: &str) -> String {
    format!("factory-{run}-{role}")
}

/// Machines of the size the bundle says.
fn on_this_machine(bundle: &Bundle, facts: &CloudFacts, run: &str, base: Option<&Image>, wrong: &mut Vec<Diagnostic>) -> Machines {
    let wish = &bundle.machine;
    let machine = |role: &str| MachinePlan {
        name: name(run, role),
        cpus: wish.cpus.unwrap_or_else(|| CPUS.min(facts.max_cpus.unwrap_or(CPUS)).max(1)),
        ram_mb: wish.ram_mb.unwrap_or_else(|| RAM_MB.max(base.map_or(0, |b| b.min_ram_mb))),
        disk_gb: wish.disk_gb.or_else(|| base.map(|_| DISK_GB.max(base_disk(base)))),
        flavor: None,
    };
    // The second has no checks to run, only to boot.
    let (first, second) = (machine("smoke-a"), MachinePlan { cpus: 1, ..machine("smoke-b") });
    // As large a disk as the image of a smoke machine asks for.
    let larger = MachinePlan { cpus: 2, ram_mb: first.ram_mb + first.ram_mb / 2, disk_gb: None, ..machine("smoke-c") };
    let other = facts.max_ram_mb.is_none_or(|max| larger.ram_mb <= max).then_some(larger);
    too_large(bundle, facts, &first, base, wrong);
    Machines { builder: machine("builder"), first, second, other, site: None, grow_gb: 1 }
}

/// Machines of the flavors there are. The disk of a machine is the flavor's, or the volume's.
fn in_a_project(bundle: &Bundle, facts: &SiteFacts, run: &str, base: Option<&Image>, wrong: &mut Vec<Diagnostic>) -> Machines {
    let wish = &bundle.machine;
    let disk_gb = base_disk(base).max(wish.disk_gb.unwrap_or(if base.is_some() { 0 } else { DISK_GB }));
    let base_ram = base.map_or(0, |b| b.min_ram_mb);
    // A flavor that is named may have less than a comfortable machine; one that we choose may not.
    let least = Needs { cpus: wish.cpus.unwrap_or(1), ram_mb: wish.ram_mb.unwrap_or(base_ram), disk_gb };
    let comfortable = Needs { ram_mb: wish.ram_mb.unwrap_or_else(|| RAM_MB.max(base_ram)), ..least };
    let needs = |asked: Option<&str>| if asked.is_some() { least } else { comfortable };

    let asked = bundle.flavor.as_deref();
    let flavor = site::flavor(bundle, facts, "vm_flavor", asked, needs(asked), wrong);
    // A captured disk is as large as the builder's, and asks its machines for as much.
    let captured = Needs { cpus: 1, ram_mb: base_ram, disk_gb: flavor.as_ref().map_or(disk_gb, |f| f.disk_gb.max(disk_gb)) };
    let test_flavor = match bundle.test_flavor.as_deref() {
        Some(asked) => site::flavor(bundle, facts, "test_flavor", Some(asked), captured, wrong),
        None => flavor.clone(),
    };
    // An image of a smoke machine asks for as large a disk as that has. Of those with room for it the next one.
    let other = test_flavor.as_ref().and_then(|tested| {
        let fits = |f: &&Flavor| f.id != tested.id && (f.disk_gb == 0 || f.disk_gb >= tested.disk_gb) && f.ram_mb >= tested.ram_mb;
        facts.flavors.iter().filter(fits).min_by_key(|f| (f.ram_mb, f.cpus, f.disk_gb)).cloned()
    });
    let plan = site::site(bundle, facts, disk_gb, wrong);
    if let Some(f) = &test_flavor {
        let peak = Peak { machines: 2, cores: 2 * u64::from(f.cpus), ram_mb: 2 * f.ram_mb };
        site::room(&facts.room, &plan, &peak, wrong);
    }
    let machine = |role: &str, flavor: &Option<Flavor>| MachinePlan {
        name: name(run, role),
        cpus: flavor.as_ref().map_or(0, |f| f.cpus),
        ram_mb: flavor.as_ref().map_or(0, |f| f.ram_mb),
        disk_gb: plan.volume.as_ref().map(|v| v.size_gb).or(flavor.as_ref().map(|f| f.disk_gb).filter(|gb| *gb > 0)),
        flavor: flavor.as_ref().map(|f| Named { id: f.id.clone(), name: f.name.clone() }),
    };
    Machines {
        builder: machine("builder", &flavor),
        first: machine("smoke-a", &test_flavor),
        second: machine("smoke-b", &test_flavor),
        other: other.is_some().then(|| machine("smoke-c", &other)),
        site: Some(plan),
        grow_gb: 0,
    }
}

fn too_large(bundle: &Bundle, facts: &CloudFacts, machine: &MachinePlan, base: Option<&Image>, wrong: &mut Vec<Diagnostic>) {
    let place = |key: &str| bundle.places.get(key).or_else(|| bundle.places.get("machine")).cloned();
    if let Some(max) = facts.max_ram_mb.filter(|max| machine.ram_mb > *max) {
        wrong.push(
            Diagnostic::error(place("machine.ram"), format!("a machine with {} MiB RAM does not fit: {max} MiB are free", machine.ram_mb))
                .hint("lower `machine.ram`"),
        );
    }
    if let (Some(disk), Some(base)) = (machine.disk_gb, base)
        && disk < base_disk(Some(base))
    {
        let need = base_disk(Some(base));
        wrong.push(
            Diagnostic::error(place("machine.disk"), format!("a disk of {disk} GiB is too small for base `{}`", base.name))
                .hint(format!("`machine.disk: {need}` or more")),
        );
    }
    // Overlay, captured image and two smoke overlays hold at most the used part several times; a fifth of it all is a fair floor.
    let floor = 2 * GIB;
    if let Some(free) = facts.free_bytes.filter(|free| *free < floor) {
        wrong.push(
            Diagnostic::error(None, format!("only {} MiB are free where images are kept", free >> 20))
                .hint("free some space, or set IMAGE_FACTORY_HOME to a larger disk"),
        );
    }
}

/// Properties by which Nova chooses a host and boots, besides `hw_*` and `os_*`.
const BOOTS_BY: [&str; 6] = ["architecture", "hypervisor_type", "vm_mode", "kernel_id", "ramdisk_id", "img_config_drive"];

fn publish(bundle: &Bundle, base: Option<&Image>, name: &str, run: &str, host: &HostFacts) -> Publication {
    let glance = &bundle.glance;
    let mut properties = BTreeMap::new();
    // What a machine needs to boot is inherited; what says where a base came from is not.
    for (key, value) in base.iter().flat_map(|b| &b.properties) {
        let of_os = key.starts_with("os_") && !key.starts_with("os_glance_") && !key.starts_with("os_hash");
        if key.starts_with("hw_") || of_os || BOOTS_BY.contains(&key.as_str()) {
            properties.insert(key.clone(), value.clone());
        }
    }
    properties.extend(bundle.properties.clone());
    properties.extend(glance.properties.clone());
    properties.insert(image::FAMILY.into(), bundle.name.clone());
    properties.insert(image::RUN.into(), run.into());
    properties.insert(image::STATE.into(), image::State::Active.name().into());
    properties.insert(image::DEFINITION.into(), bundle.label.clone());
    let base = base.map(|b| format!("{}@sha512:{}", b.id, b.checksum));
    // Absent rather than another's: these may have come in with the bundle's own properties.
    for (key, value) in [(image::BASE, base), (image::COMMIT, host.commit.clone()), (image::INPUTS, host.inputs.clone())] {
        match value {
            Some(value) => properties.insert(key.into(), value),
            None => properties.remove(key),
        };
    }
    for key in [image::TESTS, image::HIDDEN_AT] {
        properties.remove(key);
    }
    let mut tags = bundle.tags.clone();
    tags.extend(glance.tags.iter().filter(|t| !bundle.tags.contains(t)).cloned());
    Publication {
        name: name.into(),
        family: bundle.name.clone(),
        properties,
        tags,
        min_disk_gb: glance.min_disk_gb,
        min_ram_mb: glance.min_ram_mb.unwrap_or(0),
        visibility: bundle.visibility.or(glance.visibility).unwrap_or(Visibility::Private),
        members: bundle.members.clone(),
        protected: glance.protected.unwrap_or(false),
        hidden: glance.hidden.unwrap_or(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Image {
        Image {
            id: "b1".into(),
            name: "debian-12".into(),
            family: "debian-12".into(),
            state: image::State::Active,
            created: Timestamp::UNIX_EPOCH,
            size: 1,
            virtual_size: 2 * GIB,
            checksum: "abc".into(),
            properties: [
                ("architecture", "x86_64"),
                ("hw_rng_model", "virtio"),
                ("os_admin_user", "debian"),
                ("factory_commit", "old"),
                ("os_glance_x", "y"),
                ("other", "z"),
            ]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into(),
            tags: Vec::new(),
            min_disk_gb: 2,
            min_ram_mb: 0,
            visibility: Visibility::Private,
            protected: false,
            hidden: false,
        }
    }

    fn facts() -> Facts {
        Facts {
            cloud_name: "local".into(),
            cloud: CloudFacts {
                base: BaseFact::Found(Box::new(image())),
                name_taken_by: Vec::new(),
                how: "tested".into(),
                max_cpus: Some(2),
                max_ram_mb: Some(4096),
                free_bytes: Some(50 * GIB),
                lacks: Vec::new(),
                site: None,
            },
            host: HostFacts { ansible: Some("ansible-playbook 2.14".into()), commit: Some("c0ffee".into()), inputs: Some("d1d1".into()) },
        }
    }

    fn bundle(vars: &str) -> Bundle {
        let tree = tempfile::tempdir().unwrap();
        let dir = tree.path().join("images/x");
        std::fs::create_dir_all(dir.join("ansible")).unwrap();
        std::fs::write(dir.join("build-vars.yml"), vars).unwrap();
        std::fs::write(dir.join("ansible/bootstrap.yml"), "- hosts: local\n").unwrap();
        crate::bundle::load(tree.path(), &dir).unwrap().bundle
    }

    fn at() -> Timestamp {
        "2026-11-20T23:31:45Z".parse().unwrap()
    }

    fn errors(vars: &str, change: impl FnOnce(&mut Facts)) -> Vec<String> {
        let mut facts = facts();
        change(&mut facts);
        plan(&bundle(vars), &facts, "20261120-233145-abcdef", at(), true).unwrap_err().wrong.iter().map(|d| d.message.clone()).collect()
    }

    const LEAST: &str = "bundle:\n  name: x\n  img_base: debian-12\n";

    #[test]
    fn the_least_bundle_gets_every_default() {
        let plan = plan(&bundle(LEAST), &facts(), "20261120-233145-abcdef", at(), true).unwrap();
        assert_eq!(plan.image_name, "x-2026-11-202331");
        assert_eq!(plan.ssh_user, "debian");
        assert_eq!(plan.steps.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["ansible/bootstrap.yml"]);
        let builder = plan.builder.as_ref().unwrap();
        assert_eq!(
            (builder.name.as_str(), builder.cpus, builder.ram_mb, builder.disk_gb),
            ("factory-20261120-233145-abcdef-builder", 2, 1024, Some(4))
        );
        assert!(builder.name.len() <= 63);
        assert_eq!(plan.tidy.len(), TIDY_PARTS.len());
        insta::assert_json_snapshot!(plan.publish.properties, @r#"
        {
          "architecture": "x86_64",
          "factory_base": "b1@sha512:abc",
          "factory_commit": "c0ffee",
          "factory_definition": "images/x",
          "factory_family": "x",
          "factory_inputs": "d1d1",
          "factory_run": "20261120-233145-abcdef",
          "factory_state": "active",
          "hw_rng_model": "virtio",
          "os_admin_user": "debian"
        }
        "#);
        let back: Plan = serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
        assert_eq!(back, plan);
    }

    #[test]
    fn a_deprecated_base_draws_a_warning() {
        let mut facts = facts();
        assert_eq!(plan(&bundle(LEAST), &facts, "r", at(), true).unwrap().warnings(), [""; 0]);
        facts.cloud.base = BaseFact::Found(Box::new(Image { state: image::State::Deprecated, ..image() }));
        let told = plan(&bundle(LEAST), &facts, "r", at(), true).unwrap().warnings();
        assert!(told[0].contains("debian-12 (b1) is deprecated"), "{told:?}");
    }

    #[test]
    fn where_an_image_comes_from_is_not_a_bundles_to_say() {
        let vars =
            format!("{LEAST}  properties: {{factory_inputs: mine, factory_commit: mine, factory_tests: all, factory_hidden_at: now}}\n");
        let mut facts = facts();
        facts.host = HostFacts { ansible: facts.host.ansible, ..HostFacts::default() };
        let properties = plan(&bundle(&vars), &facts, "r", at(), true).unwrap().publish.properties;
        assert!(properties.values().all(|v| !["mine", "all", "now"].contains(&v.as_str())), "{properties:?}");
    }

    #[test]
    fn a_bundle_wins_over_its_base() {
        let vars = format!(
            "{LEAST}  properties: {{hw_rng_model: none}}\nmachine: {{disk: 10, ram: 2G, cpus: 1}}\nssh_user: admin\ntidy: {{logs: false}}\n"
        );
        let plan = plan(&bundle(&vars), &facts(), "r-1", at(), true).unwrap();
        assert_eq!((plan.publish.properties["hw_rng_model"].as_str(), plan.ssh_user.as_str()), ("none", "admin"));
        assert_eq!(plan.builder.as_ref().unwrap().disk_gb, Some(10));
        assert!(!plan.tidy.contains(&"logs".to_owned()));
    }

    #[test]
    fn playbooks_are_given_the_vars_of_the_bundle() {
        let vars = format!("{LEAST}vars: {{a: 1, b: 2}}\nsteps:\n  - ansible: ansible/bootstrap.yml\n    extra_vars: {{b: 3}}\n");
        let plan = plan(&bundle(&vars), &facts(), "r", at(), true).unwrap();
        let ActionPlan::Ansible { extra_vars, .. } = &plan.steps[0].action else { panic!() };
        assert_eq!(serde_json::to_value(extra_vars).unwrap(), serde_json::json!({"a": 1, "b": 3}));
    }

    #[test]
    fn all_that_is_missing_is_told_at_once() {
        let told = errors(&format!("{LEAST}machine: {{ram: 64G}}\n"), |f| {
            f.cloud.base = BaseFact::Missing { near: vec!["debian-13".into()] };
            f.cloud.lacks = vec![("qemu-img is not installed".into(), "run `make deps`".into())];
            f.cloud.free_bytes = Some(0);
            f.host.ansible = None;
        });
        assert_eq!(told.len(), 5, "{told:#?}");
        for text in [
            "qemu-img is not installed",
            "ansible-playbook is not installed",
            "base image `debian-12` does not exist",
            "65536 MiB RAM",
            "free",
        ] {
            assert!(told.iter().any(|t| t.contains(text)), "{text}: {told:#?}");
        }
    }

    #[test]
    fn an_ambiguous_base_lists_the_candidates() {
        let mut facts = facts();
        facts.cloud.base = BaseFact::Ambiguous(vec![image(), Image { id: "b2".into(), ..image() }]);
        let told = plan(&bundle(LEAST), &facts, "r", at(), true).unwrap_err().wrong;
        let hint = told[0].hint.clone().unwrap();
        assert!(hint.contains("b1") && hint.contains("b2"), "{hint}");
        assert_eq!(told[0].place.as_ref().unwrap().line, 3);
    }

    #[test]
    fn a_disk_smaller_than_the_base_is_an_error() {
        assert!(errors(&format!("{LEAST}machine: {{disk: 1}}\n"), |_| ())[0].contains("too small"));
    }

    #[test]
    fn a_name_that_is_taken_is_an_error_only_where_it_was_chosen() {
        let taken = |f: &mut Facts| f.cloud.name_taken_by = vec!["i9".into()];
        assert!(errors(&format!("bundle_target_name: mine\n{LEAST}"), taken)[0].contains("`mine` is taken by i9"));
        let mut facts = facts();
        taken(&mut facts);
        assert_eq!(plan(&bundle(LEAST), &facts, "20261120-233145-abcdef", at(), true).unwrap().image_name, "x-2026-11-202331-abcdef");
    }
}
