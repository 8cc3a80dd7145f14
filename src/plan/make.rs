//! `plan(Definition, Facts, Request) -> Plan`.
use jiff::Timestamp;

use super::keys;
use super::machines::{Machines, Sizing};
use super::names;
use super::origin::origin;
use super::smoke::PACKAGE;
use super::steps::steps;
use super::{Facts, Origin, Plan, SmokePlan, StepPlan, TimeoutPlan, peak, placement, publication};
use crate::model::definition::{Definition, TIDY_ASKED, TIDY_PARTS};
use crate::model::diagnostic::Diagnostic;
use crate::model::field::Field;
use crate::model::image::{self, Image};
use crate::model::publication::suffixed;
use crate::system::lines;

/// What comes to light while a plan is made.
#[derive(Default)]
pub(super) struct Findings {
    /// Each of these keeps it from being made.
    pub(super) wrong: Vec<Diagnostic>,
    /// As [`Plan::notes`].
    pub(super) notes: Vec<String>,
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

/// The check that the key of the build is refused.
const BUILD_KEY: &str = "build-key-refused";

/// A run that a plan is made for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The run's ID.
    pub run: &'a str,
    pub now: Timestamp,
    pub purpose: Purpose,
    /// How many bases are built before this run, each with an image that stays.
    pub bases: u64,
}

/// Applies every default. The error holds everything that is wrong, sorted by place.
pub fn plan(bundle: &Definition, facts: &Facts, request: &Request<'_>) -> Result<Plan, PlanError> {
    let mut planner = Planner::new(bundle, facts, *request);
    let image_name = planner.image_name();
    let origin = origin(bundle, facts, &mut planner.own.wrong);
    let mut steps = steps(bundle);
    planner.prerequisites(&steps);
    let base = match &origin {
        Some(Origin::Base(image)) => Some(image.as_ref()),
        _ => None,
    };
    // A visitor looks at a machine also where nothing is provisioned, and publishes nothing.
    let needs_builder = base.is_some() || !steps.is_empty() || request.purpose == Purpose::Visit;
    let checks = planner.checks(needs_builder);
    let machines = planner.machines(base, needs_builder, &checks);
    let builder = needs_builder.then(|| machines.builder.clone());
    let (ssh_user, user) = users(bundle, base, &mut planner.own.wrong);
    let publish = publication::publication(
        bundle,
        &publication::Origins {
            base,
            disk_gib: builder.as_ref().and_then(|b| b.disk_gib),
            name: &image_name,
            run: request.run,
            host: &facts.host,
        },
        &mut planner.own,
    );
    let base_key = origin.as_ref().and_then(|origin| {
        let inputs = facts.host.inputs.as_ref();
        let begin = keys::Begin { origin, bundle, ssh_user: &ssh_user, inputs };
        keys::set(&mut steps, &begin)
    });
    let (site, larger) = (machines.site.clone(), machines.larger.clone());
    let smoke = request.purpose.smokes().then(|| planner.smoke(machines, &checks, user));
    let (origin, notes) = planner.finish(origin)?;
    Ok(Plan {
        run: request.run.into(),
        at: request.now,
        bundle: bundle.label.clone(),
        bundle_dir: bundle.dir.clone(),
        family: bundle.name.clone(),
        image_name,
        cloud: facts.cloud_name.clone(),
        how: facts.cloud.how.clone(),
        site,
        larger,
        origin,
        builder,
        ssh_user,
        base_key,
        steps,
        tidy: tidy_parts(bundle),
        smoke,
        publish,
        templates: bundle.templates.clone(),
        timeouts: TimeoutPlan::of(bundle),
        commit: facts.host.commit.clone(),
        asks: bundle.asks.clone(),
        keep: bundle.keep,
        ansible: facts.host.ansible.clone().ok(),
        notes,
    })
}

/// A plan in the making.
struct Planner<'a> {
    bundle: &'a Definition,
    facts: &'a Facts,
    request: Request<'a>,
    /// Findings on the definition.
    own: Findings,
    /// Findings on the cloud and on this machine.
    refused: Findings,
}

impl<'a> Planner<'a> {
    fn new(bundle: &'a Definition, facts: &'a Facts, request: Request<'a>) -> Self {
        Self { bundle, facts, request, own: Findings::default(), refused: Findings::default() }
    }

    /// Reports what the cloud lacks, and what the steps need of this machine.
    fn prerequisites(&mut self, steps: &[StepPlan]) {
        let plays = steps.iter().any(|step| step.action.is_playbook());
        let ansible = self.facts.host.ansible.as_ref().err().filter(|_| plays);
        for (what, hint) in self.facts.cloud.missing_prerequisites.iter().chain(ansible) {
            self.refused.wrong.push(Diagnostic::error(None, what.clone()).hint(hint.clone()));
        }
    }

    fn image_name(&mut self) -> String {
        let named = names::image_name(self.bundle, self.request.now);
        let builds = matches!(self.request.purpose, Purpose::Build { .. });
        match self.facts.cloud.name_taken_by.first() {
            None => named,
            Some(id) if self.bundle.target_name.is_some() && builds => {
                self.own.wrong.push(taken(self.bundle, &named, id));
                named
            }
            // Two builds within a minute: both are wanted. A visit or a test publishes nothing.
            Some(_) => suffixed(&named, self.request.run),
        }
    }

    /// The built-in checks that run.
    fn checks(&self, needs_builder: bool) -> Vec<&'static str> {
        let is_test = matches!(self.request.purpose, Purpose::Test { .. });
        checks(self.bundle, needs_builder && !is_test)
    }

    fn machines(&mut self, base: Option<&Image>, builder: bool, checks: &[&str]) -> Machines {
        let (bundle, purpose) = (self.bundle, self.request.purpose);
        let sizing = Sizing { bundle, run: self.request.run, base };
        let cloud = &self.facts.cloud;
        let mut machines = match &cloud.site {
            Some(site) => sizing.of_flavors(site, &mut self.refused),
            None => sizing.of_any_size(cloud, &mut self.refused),
        };
        machines.other = machines.other.filter(|_| checks.contains(&"snapshot"));
        if let Some(site) = &cloud.site {
            let on = placement::Project { bundle, facts: site };
            placement::leave(on, purpose.smokes(), &mut self.refused);
            let course = peak::Course {
                bundle,
                purpose,
                builder,
                base,
                bases: self.request.bases,
                disk_gib: checks.contains(&"volume").then(|| volume_gib(bundle)),
            };
            peak::room(&site.room, &machines, &course, &mut self.refused);
        }
        machines
    }

    /// `user`: the image's default user.
    fn smoke(&self, machines: Machines, checks: &[&str], user: String) -> SmokePlan {
        let tests = &self.bundle.tests;
        let volume_gib = volume_gib(self.bundle);
        let on = self.facts.cloud.site.as_ref().zip(machines.site.as_ref());
        let volume = on.map(|(site, plan)| placement::second_disk(volume_gib, site, plan));
        SmokePlan {
            user,
            other: machines.other,
            first: machines.first,
            second: machines.second,
            grow_gib: machines.grow_gib,
            checks: checks.iter().map(|id| (*id).to_owned()).collect(),
            tests: tests.own(),
            skip: tests.skip.clone(),
            check_timeout: tests.timeout.map(|t| t.as_secs().max(1)),
            dns_name: tests.dns_name.clone(),
            package: tests.package.clone().unwrap_or_else(|| PACKAGE.into()),
            volume_gib,
            volume_type: volume.as_ref().and_then(|disk| disk.kind.clone()),
            volume_zone: volume.and_then(|disk| disk.zone),
        }
    }

    /// The notes, unless something is wrong.
    fn finish(self, origin: Option<Origin>) -> Result<(Origin, Vec<String>), PlanError> {
        let Self { bundle, facts, own: Findings { mut wrong, mut notes }, mut refused, .. } = self;
        let refuses = !refused.wrong.is_empty();
        wrong.append(&mut refused.wrong);
        notes.append(&mut refused.notes);
        notes.extend(facts.cloud.notes.iter().cloned());
        if bundle.warm > 0 && facts.cloud.site.is_none() {
            notes.push("`warm` keeps no builder on this cloud: OpenStack alone has a pool".into());
        }
        match origin {
            Some(origin) if wrong.is_empty() => Ok((origin, notes)),
            _ => {
                wrong.sort_by(|a, b| a.place.cmp(&b.place));
                Err(PlanError { wrong, refuses })
            }
        }
    }
}

/// The built-in checks of a definition. Where nobody `logs_in` to build, there is no key that could
/// open the image.
fn checks(bundle: &Definition, logs_in: bool) -> Vec<&'static str> {
    let mut checks = bundle.tests.chosen(bundle.kind);
    checks.retain(|id| logs_in || *id != BUILD_KEY);
    checks
}

/// The built-in checks that a build of a definition makes.
pub fn checks_of_build(bundle: &Definition) -> Vec<&'static str> {
    checks(bundle, bundle.source.is_none() || !bundle.steps.is_empty())
}

/// Size of the volume that the check `volume` attaches.
fn volume_gib(bundle: &Definition) -> u64 {
    bundle.tests.volume_gib.unwrap_or(1)
}

/// The definition gives a name that another image has.
fn taken(bundle: &Definition, name: &str, id: &str) -> Diagnostic {
    let place = bundle.locations.of(Field::TargetName);
    let key = bundle.locations.key(Field::TargetName);
    let hint = format!("choose another `{key}`, or leave it out for a name with the time in it");
    Diagnostic::error(place, format!("image name `{name}` is taken by {id}")).hint(hint)
}

/// Who logs in to build, and the image's default user.
fn users(
    bundle: &Definition,
    base: Option<&Image>,
    wrong: &mut Vec<Diagnostic>,
) -> (String, String) {
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
            .hint(format!(
                "name the user of the base image with `{}`: letters, digits, `.`, `_` and \
                `-`",
                bundle.locations.key(Field::SshUser)
            )),
        );
    }
    (ssh_user, user)
}

/// The parts of tidy that are on for a bundle.
fn tidy_parts(bundle: &Definition) -> Vec<String> {
    let on = TIDY_PARTS.iter().filter(|part| !bundle.tidy_off.iter().any(|off| off == *part));
    let asked = TIDY_ASKED.iter().filter(|part| bundle.tidy_on.iter().any(|on| on == *part));
    on.chain(asked).map(|part| (*part).to_owned()).collect()
}

/// Letters, digits, `.`, `_` and `-`, and no option.
fn is_user_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    !name.is_empty() && name.len() <= 64 && !name.starts_with('-') && name.bytes().all(allowed)
}
