//! `plan(Bundle, Facts, run id, now) -> Plan`: pure, and the only place where defaults are applied.
//! `build` makes no choice that is not in the plan.
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

#[cfg(test)]
use crate::bundle;
use crate::bundle::{Action, Asks, Base, Bundle, Source, TIDY_ASKED, TIDY_PARTS};
use crate::diagnostic::{Diagnostic, Location};
use crate::disk::Format;
use crate::fetch::Download;
use crate::image::{self, Image, Provenance};
use crate::lines;
use crate::text::shell;

mod facts;
mod keys;
mod machines;
mod peak;
mod publication;
mod placement;
#[cfg(test)]
mod peak_tests;
#[cfg(test)]
mod placement_tests;
#[cfg(test)]
mod tests;

pub use facts::{
    BaseLookup, CloudFacts, ControllerFacts, Facts, FactsQuery, Flavor, Leave, Named, Network,
    PlacementDefaults, ProjectFacts, Publishing, QuotaHeadroom,
};
pub use machines::MachinePlan;
use machines::Machines;
pub use placement::{Placement, Security, VolumePlan};
pub use publication::{Publication, SET_AT_THE_END, SetBy};

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
    pub site: Option<Placement>,
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
    /// What the definition needs of the factory itself.
    #[serde(default)]
    pub asks: Asks,
    /// How many images of the family stay after this one is published; `None`: all.
    #[serde(default)]
    pub keep: Option<u32>,
    /// First line of `ansible-playbook --version` on this machine.
    #[serde(default)]
    pub ansible: Option<String>,
    /// What was decided although the definition says or implies something else, and what nobody can
    /// know before it is done.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// What comes to light while a plan is made.
#[derive(Default)]
struct Findings {
    /// Each of these keeps it from being made.
    wrong: Vec<Diagnostic>,
    /// As [`Plan::notes`].
    notes: Vec<String>,
}

impl Plan {
    /// What the reader should know although it keeps nothing from being built.
    pub fn warnings(&self) -> Vec<String> {
        let Origin::Base(base) = &self.origin else { return Vec::new() };
        // Of one that is only going to be there nothing is known that could be wrong.
        if !base.is_built() {
            return Vec::new();
        }
        let mut told = Vec::new();
        let image = format!("base image {} ({})", base.name, base.id);
        if base.state == image::State::Deprecated {
            told.push(format!(
                "{image} is deprecated; a family's name means its newest active image"
            ));
        }
        match base.provenance() {
            Provenance::Legacy => told.push(format!(
                "{image} was published before images proved whose they are; `image-factory image \
                    adopt {}` mends it",
                shell::word(&base.id)
            )),
            Provenance::Foreign(why) if base.properties.contains_key(image::FAMILY) => {
                told.push(format!(
                    "{image} has properties of this factory, and is not its image: \
                    {why}"
                ));
            }
            Provenance::Foreign(_) | Provenance::Ours => {}
        }
        told
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
        wish: Download,
        format: Option<Format>,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepPlan {
    pub name: String,
    pub action: StepAction,
    pub timeout: u64,
    pub retries: u32,
    pub env: BTreeMap<String, String>,
    pub sudo: bool,
    /// See [`keys`].
    #[serde(default)]
    pub key: Option<String>,
}

/// Paths are relative to the bundle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepAction {
    Ansible {
        playbook: PathBuf,
        extra_vars: serde_json::Map<String, serde_json::Value>,
        tags: Vec<String>,
        /// The bundle asks to run plays on the factory; without the owner's leave that is refused
        /// before the plan.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        local: bool,
    },
    Shell {
        text: String,
    },
    Script {
        path: PathBuf,
    },
    Upload {
        src: PathBuf,
        dest: String,
    },
    Reboot,
}

/// Two machines boot from the captured image: the first is tested, the second proves that
/// identities differ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SmokePlan {
    pub first: MachinePlan,
    pub second: MachinePlan,
    /// How much larger than the image their disks are, so that growing can be seen.
    #[serde(rename = "grow_gb")]
    pub grow_gib: u64,
    /// Of another size than the two, for an image of the second; `None`: there is none.
    pub other: Option<MachinePlan>,
    /// The image's default user: where a bundle gives it another than its base has, that is in its
    /// properties.
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
    #[serde(rename = "volume_gb")]
    pub volume_gib: u64,
    /// Its type, and Cinder's zone that it is made in; `None`: the cloud's default.
    #[serde(default)]
    pub volume_type: Option<String>,
    #[serde(default)]
    pub volume_zone: Option<String>,
}

impl SmokePlan {
    /// With the checks of a bundle.
    #[cfg(test)]
    pub fn of_test(first: MachinePlan, second: MachinePlan) -> Self {
        let checks = bundle::Tests::default()
            .chosen(bundle::Kind::Image)
            .into_iter()
            .map(str::to_owned)
            .collect();
        let (tests, skip) = (Vec::new(), Vec::new());
        let (package, user) = (PACKAGE.into(), "debian".into());
        Self {
            first,
            second,
            grow_gib: 1,
            other: None,
            user,
            checks,
            tests,
            skip,
            check_timeout: Some(60),
            dns_name: None,
            package,
            volume_gib: 1,
            volume_type: None,
            volume_zone: None,
        }
    }

    /// The volume that is attached.
    pub fn second_disk(&self) -> VolumePlan {
        VolumePlan {
            size_gib: self.volume_gib,
            kind: self.volume_type.clone(),
            zone: self.volume_zone.clone(),
        }
    }

    pub fn has(&self, id: &str) -> bool {
        self.checks.iter().any(|c| c == id)
    }
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
/// The check that the key of the build is refused.
const BUILD_KEY: &str = "build-key-refused";
/// Small, and called so wherever there are packages.
const PACKAGE: &str = "tree";

pub const GIB: u64 = 1 << 30;

/// Name of the image: `bundle_target_name`, or `<bundle.name>-YYYY-MM-DDHHMM` in UTC as the
/// ancestor had it.
pub fn image_name(bundle: &Bundle, now: Timestamp) -> String {
    bundle
        .target_name
        .clone()
        .unwrap_or_else(|| format!("{}-{}", bundle.name, now.strftime("%Y-%m-%d%H%M")))
}

/// The run's ID: time to the second, then six hexadecimal digits: the microsecond, and 4 random
/// bits. Sorted by ID, runs are sorted by their beginnings, those of one second as well.
pub fn run_id(now: Timestamp, random: u32) -> String {
    let micros = now.subsec_microsecond().unsigned_abs();
    format!("{}-{micros:05x}{:x}", now.strftime("%Y%m%d-%H%M%S"), random & 0xf)
}

impl Plan {
    /// The image that this plan would publish, as far as it is known before: for the plan of what
    /// is built on it.
    pub fn expected(&self) -> Image {
        let publish = &self.publish;
        Image {
            id: image::NOT_BUILT.into(),
            name: publish.name.clone(),
            family: publish.family.clone(),
            state: image::State::Active,
            created: self.at,
            size: 0,
            virtual_size: 0,
            checksum: String::new(),
            properties: publish.properties.clone(),
            tags: publish.tags.clone(),
            min_disk_gib: publish.min_disk_gib.unwrap_or(0),
            min_ram_mib: publish.min_ram_mib,
            visibility: publish.visibility,
            protected: publish.protected,
            hidden: publish.hidden,
            stranger: None,
            unusable: None,
        }
    }
}

/// See [`Plan::min_disk`]; in GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MinDisk {
    Exactly(u64),
    /// So much was asked for, and only the source tells whether its disk needs more.
    AtLeast(u64),
    /// Only the source tells.
    AsItsDisk,
}

/// What keeps a plan from being made, all of it.
#[derive(Debug)]
pub struct PlanError {
    pub wrong: Vec<Diagnostic>,
    /// The cloud or this machine lacks something; otherwise it is all the bundle's.
    pub refuses: bool,
}

/// What a run is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// An image is published; `smoke`: it is tested before.
    Build { smoke: bool },
    /// A person looks at the builder.
    Visit,
    /// The base is tested as it is.
    Test { smoke: bool },
}

impl Purpose {
    pub fn smokes(self) -> bool {
        matches!(self, Self::Build { smoke: true } | Self::Test { smoke: true })
    }
}

pub fn plan(
    bundle: &Bundle,
    facts: &Facts,
    run: &str,
    now: Timestamp,
    purpose: Purpose,
) -> Result<Plan, PlanError> {
    let (mut bundles, mut refused) = (Findings::default(), Findings::default());
    let wrong = &mut bundles.wrong;
    let place = |key: &str| bundle.places.get(key).cloned();
    for (what, hint) in &facts.cloud.missing_prerequisites {
        refused.wrong.push(Diagnostic::error(None, what.clone()).hint(hint.clone()));
    }
    let mut image_name = image_name(bundle, now);
    if let Some(id) = facts.cloud.name_taken_by.first() {
        if bundle.target_name.is_none() || !matches!(purpose, Purpose::Build { .. }) {
            // Two builds within a minute: both are wanted. A visit or a test publishes nothing.
            image_name = format!("{image_name}-{}", run.rsplit('-').next().unwrap_or(run));
        } else {
            wrong.push(
                Diagnostic::error(
                    place("bundle_target_name"),
                    format!(
                        "image name `{image_name}` \
                    is taken by {id}"
                    ),
                )
                .hint(
                    "choose another `bundle_target_name`, or leave it out for a name with \
                        the time in it",
                ),
            );
        }
    }
    let origin = origin(bundle, &facts.cloud, wrong);
    let mut steps = steps(bundle);
    let plays = steps.iter().any(|s| matches!(s.action, StepAction::Ansible { .. }));
    if let (true, Err((what, hint))) = (plays, &facts.host.ansible) {
        refused.wrong.push(Diagnostic::error(None, what.clone()).hint(hint.clone()));
    }

    let base = match &origin {
        Some(Origin::Base(image)) => Some(image.as_ref()),
        _ => None,
    };
    // A visitor looks at a machine also where nothing is provisioned, and publishes nothing.
    let needs_builder = base.is_some() || !steps.is_empty() || purpose == Purpose::Visit;
    let mut checks = bundle.tests.chosen(bundle.kind);
    // Nobody logs in to build: there is no key that could open the image.
    if !needs_builder || matches!(purpose, Purpose::Test { .. }) {
        checks.retain(|id| *id != BUILD_KEY);
    }
    let volume_gib = bundle.tests.volume_gib.unwrap_or(1);
    let mut machines = match &facts.cloud.site {
        Some(site) => machines::in_a_project(bundle, site, run, base, &mut refused),
        None => machines::on_this_machine(bundle, &facts.cloud, run, base, &mut refused.wrong),
    };
    machines.other = machines.other.filter(|_| checks.contains(&"snapshot"));
    if let Some(site) = &facts.cloud.site {
        placement::leave(bundle, site, purpose.smokes(), &mut refused);
        let course = peak::Course {
            purpose,
            builder: needs_builder,
            base,
            disk_gib: checks.contains(&"volume").then_some(volume_gib),
        };
        peak::room(&site.room, &machines, &course, &mut refused);
    }
    let facts_of_site = facts.cloud.site.as_ref().zip(machines.site.as_ref());
    let second_disk =
        facts_of_site.map(|(site, plan)| placement::second_disk(volume_gib, site, plan));
    let Machines { builder, first, second, other, site, grow_gib } = machines;
    let builder = needs_builder.then_some(builder);

    let ssh_user = bundle
        .ssh_user
        .clone()
        .or_else(|| base.and_then(|b| b.properties.get(image::ADMIN_USER).cloned()))
        .or_else(|| bundle.properties.get(image::ADMIN_USER).cloned())
        .unwrap_or_else(|| "debian".into());

    let user = bundle.properties.get(image::ADMIN_USER).unwrap_or(&ssh_user).clone();
    // What an image says becomes an argument of `ssh`.
    if let Some(odd) = [&ssh_user, &user].into_iter().find(|user| !is_user_name(user)) {
        wrong.push(
            Diagnostic::error(
                None,
                format!(
                    "`{}` is no name of a user, but the property `{}` says it \
                    is",
                    lines::cut(odd, 100),
                    image::ADMIN_USER
                ),
            )
            .hint(
                "name the user of the base image with `ssh_user`: letters, digits, `.`, `_` and \
                `-`",
            ),
        );
    }
    let disk_gib = builder.as_ref().and_then(|b| b.disk_gib);
    let origins =
        publication::Origins { base, disk_gib, name: &image_name, run, host: &facts.host };
    let publish = publication::publication(bundle, &origins, &mut bundles);
    if let Some(origin) = &origin {
        let inputs = facts.host.inputs.as_ref();
        keys::set(
            &mut steps,
            &keys::Begin { origin, ssh_user: &ssh_user, dir: &bundle.dir, inputs },
        );
    }
    let refuses = !refused.wrong.is_empty();
    let Findings { mut wrong, mut notes } = bundles;
    wrong.append(&mut refused.wrong);
    notes.append(&mut refused.notes);
    notes.extend(facts.cloud.notes.iter().cloned());
    let (Some(origin), true) = (origin, wrong.is_empty()) else {
        wrong.sort_by(|a, b| a.place.cmp(&b.place));
        return Err(PlanError { wrong, refuses });
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
        tidy: tidy_parts(bundle),
        smoke: purpose.smokes().then(|| SmokePlan {
            user,
            other,
            first,
            second,
            grow_gib,
            checks: checks.into_iter().map(str::to_owned).collect(),
            tests: bundle.tests.own(),
            skip: bundle.tests.skip.clone(),
            check_timeout: bundle.tests.timeout.map(|t| t.as_secs().max(1)),
            dns_name: bundle.tests.dns_name.clone(),
            package: bundle.tests.package.clone().unwrap_or_else(|| PACKAGE.into()),
            volume_gib,
            volume_type: second_disk.as_ref().and_then(|disk| disk.kind.clone()),
            volume_zone: second_disk.and_then(|disk| disk.zone),
        }),
        publish,
        templates: bundle.templates.clone(),
        timeouts: TimeoutPlan {
            boot: secs(bundle.timeouts.boot, BOOT),
            ssh: secs(bundle.timeouts.ssh, SSH),
            capture: secs(bundle.timeouts.capture, CAPTURE),
            upload: secs(bundle.timeouts.upload, UPLOAD),
            shutdown: SHUTDOWN,
            source: secs(bundle.timeouts.source, SOURCE),
        },
        commit: facts.host.commit.clone(),
        asks: bundle.asks.clone(),
        keep: bundle.keep,
        ansible: facts.host.ansible.clone().ok(),
        notes,
    })
}

impl Plan {
    /// The smallest disk that the image will claim, as far as it is known before the image is
    /// there.
    pub fn min_disk(&self) -> MinDisk {
        match (self.builder.as_ref().and_then(|b| b.disk_gib), self.publish.min_disk_gib) {
            (Some(disk), asked) => MinDisk::Exactly(disk.max(asked.unwrap_or(0))),
            (None, Some(asked)) => MinDisk::AtLeast(asked),
            (None, None) => MinDisk::AsItsDisk,
        }
    }

    /// The same without anything that makes an image: the one that is there is tested as it is.
    #[must_use]
    pub fn testing(self) -> Self {
        Self { builder: None, steps: Vec::new(), templates: Vec::new(), ..self }
    }
}

/// Letters, digits, `.`, `_` and `-`, and no option.
/// The parts of tidy that are on for a bundle.
fn tidy_parts(bundle: &Bundle) -> Vec<String> {
    let on = TIDY_PARTS.iter().filter(|part| !bundle.tidy_off.iter().any(|off| off == *part));
    let asked = TIDY_ASKED.iter().filter(|part| bundle.tidy_on.iter().any(|on| on == *part));
    on.chain(asked).map(|part| (*part).to_owned()).collect()
}

fn is_user_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    !name.is_empty() && name.len() <= 64 && !name.starts_with('-') && name.bytes().all(allowed)
}

fn secs(given: Option<Duration>, default: u64) -> u64 {
    given.map_or(default, |d| d.as_secs().max(1))
}

fn origin(bundle: &Bundle, facts: &CloudFacts, wrong: &mut Vec<Diagnostic>) -> Option<Origin> {
    let at: Option<Location> = bundle.places.get("bundle.img_base").cloned();
    match &bundle.source {
        Some(Source::Script(path)) => return Some(Origin::Script(path.clone())),
        Some(Source::Url { wish, format }) => {
            return Some(Origin::Url { wish: wish.clone(), format: *format });
        }
        None => {}
    }
    let asked = match &bundle.base {
        Some(Base::Os(name)) => format!("os/{name}"),
        Some(Base::Image(name)) => name.clone(),
        None => return None,
    };
    match &facts.base {
        BaseLookup::Found(image) => match &image.unusable {
            None => return Some(Origin::Base(image.clone())),
            Some(unusable) => {
                let message = format!(
                    "base image {} ({}) cannot be used: {}",
                    image.name, image.id, unusable.why
                );
                wrong.push(Diagnostic::error(at, message).hint(unusable.way_out.clone()));
            }
        },
        BaseLookup::Missing { near } => {
            let own = if asked.starts_with("os/") {
                None
            } else {
                crate::bundle::os_near(bundle, &asked)
            };
            let maker = bundle.base_maker.as_ref();
            let hint = if let Some(maker) = maker.filter(|maker| maker.family == asked) {
                let build = shell::word(&maker.label);
                format!(
                    "{} of this tree makes it, and no image of it is there: `image-factory build \
                        {build}`",
                    maker.label
                )
            } else if let Some(maker) = maker.filter(|_| own.as_ref() != Some(&asked)) {
                format!(
                    "{} of this tree makes the family `{}`: name that as the base",
                    maker.label, maker.family
                )
            } else if let Some(name) = own {
                format!("did you mean `os/{name}`, a definition of this tree?")
            } else if near.is_empty() {
                "`image-factory image list` shows what there is; `os/<name>` names a definition of \
                    this tree"
                    .into()
            } else {
                format!(
                    "did you mean {}?",
                    near.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(" or ")
                )
            };
            wrong.push(
                Diagnostic::error(at, format!("base image `{asked}` does not exist")).hint(hint),
            );
        }
        BaseLookup::Ambiguous(images) => {
            let ids = images
                .iter()
                .map(|i| format!("{} ({:.0})", i.id, i.created))
                .collect::<Vec<_>>()
                .join(", ");
            wrong.push(
                Diagnostic::error(at, format!("{} images are called `{asked}`", images.len()))
                    .hint(format!("name one by its ID: {ids}")),
            );
        }
        BaseLookup::Doubtful(images) => wrong.push(doubtful(at, &asked, images)),
        BaseLookup::None => {
            wrong.push(Diagnostic::error(at, format!("base image `{asked}` was not looked up")))
        }
    }
    None
}

/// A name is anybody's to give, and properties are copied: what a person means he says by an ID.
fn doubtful(at: Option<Location>, asked: &str, images: &[Image]) -> Diagnostic {
    let told = |i: &Image| match i.provenance() {
        Provenance::Foreign(why) => format!("{} ({}): {why}", i.id, i.name),
        Provenance::Ours | Provenance::Legacy => format!("{} ({})", i.id, i.name),
    };
    let all = images.iter().take(5).map(told).collect::<Vec<_>>().join("; ");
    let message =
        format!("no image of this factory is meant by `{asked}`; of other people's there is {all}");
    Diagnostic::error(at, message).hint("if one of them is meant, write its ID as the base")
}

fn steps(bundle: &Bundle) -> Vec<StepPlan> {
    let default = secs(bundle.timeouts.step, STEP);
    let bootstrap = PathBuf::from("ansible/bootstrap.yml");
    if bundle.steps.is_empty() && bundle.has_bootstrap {
        return vec![StepPlan {
            name: "ansible/bootstrap.yml".into(),
            action: StepAction::Ansible {
                playbook: bootstrap,
                extra_vars: bundle.vars.clone(),
                tags: Vec::new(),
                local: false,
            },
            timeout: default,
            retries: 0,
            env: BTreeMap::new(),
            sudo: false,
            key: None,
        }];
    }
    // The bundle's own values; what a step says of itself wins.
    let with_vars = |extra: &serde_json::Map<String, serde_json::Value>| {
        bundle.vars.clone().into_iter().chain(extra.clone()).collect()
    };
    let plan = |step: &crate::bundle::Step| {
        let (name, action) = match &step.action {
            Action::Ansible { playbook, extra_vars, tags, local } => (
                playbook.display().to_string(),
                StepAction::Ansible {
                    playbook: playbook.clone(),
                    extra_vars: with_vars(extra_vars),
                    tags: tags.clone(),
                    local: *local,
                },
            ),
            Action::Shell { text } => (first_words(text), StepAction::Shell { text: text.clone() }),
            Action::Script { path } => {
                (path.display().to_string(), StepAction::Script { path: path.clone() })
            }
            Action::Upload { src, dest } => (
                format!("upload {} to {dest}", src.display()),
                StepAction::Upload { src: src.clone(), dest: dest.clone() },
            ),
            Action::Reboot => ("reboot".into(), StepAction::Reboot),
        };
        StepPlan {
            name: step.name.clone().unwrap_or(name),
            action,
            timeout: secs(
                step.timeout,
                if matches!(step.action, Action::Upload { .. }) {
                    secs(bundle.timeouts.upload, UPLOAD)
                } else {
                    default
                },
            ),
            retries: step.retries,
            env: step.env.clone(),
            sudo: step.sudo,
            key: None,
        }
    };
    bundle.steps.iter().map(plan).collect()
}

/// A shell step without a name is called after its first line.
fn first_words(text: &str) -> String {
    let line = text
        .lines()
        .map(str::trim)
        .find(|l| !l.is_empty() && !l.starts_with('#'))
        .unwrap_or("shell");
    let short: String = line.chars().take(50).collect();
    if short.len() < line.len() { format!("{short}…") } else { short }
}
