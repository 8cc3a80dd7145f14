//! `plan(Definition, Facts, run id, now) -> Plan`.
use jiff::Timestamp;

use super::keys;
use super::machines::{self, Machines};
use super::names;
use super::origin::origin;
use super::smoke::PACKAGE;
use super::steps::steps;
use super::{Facts, Origin, Plan, SmokePlan, StepKind, TimeoutPlan, peak, placement, publication};
use crate::model::definition::{Definition, TIDY_ASKED, TIDY_PARTS};
use crate::model::diagnostic::Diagnostic;
use crate::model::field::Field;
use crate::model::image::{self, Image};
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

pub fn plan(
    bundle: &Definition,
    facts: &Facts,
    run: &str,
    now: Timestamp,
    purpose: Purpose,
) -> Result<Plan, PlanError> {
    let (mut bundles, mut refused) = (Findings::default(), Findings::default());
    let wrong = &mut bundles.wrong;
    for (what, hint) in &facts.cloud.missing_prerequisites {
        refused.wrong.push(Diagnostic::error(None, what.clone()).hint(hint.clone()));
    }
    let named = names::image_name(bundle, now);
    let image_name = match facts.cloud.name_taken_by.first() {
        None => named,
        Some(id) if bundle.target_name.is_some() && matches!(purpose, Purpose::Build { .. }) => {
            wrong.push(taken(bundle, &named, id));
            named
        }
        // Two builds within a minute: both are wanted. A visit or a test publishes nothing.
        Some(_) => format!("{named}-{}", run.rsplit('-').next().unwrap_or(run)),
    };
    let origin = origin(bundle, &facts.cloud, wrong);
    let mut steps = steps(bundle);
    let plays = steps.iter().any(|s| matches!(s.action, StepKind::Ansible { .. }));
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

    let (ssh_user, user) = users(bundle, base, wrong);
    let disk_gib = builder.as_ref().and_then(|b| b.disk_gib);
    let origins =
        publication::Origins { base, disk_gib, name: &image_name, run, host: &facts.host };
    let publish = publication::publication(bundle, &origins, &mut bundles);
    if let Some(origin) = &origin {
        let inputs = facts.host.inputs.as_ref();
        let begin = keys::Begin { origin, ssh_user: &ssh_user, dir: &bundle.dir, inputs };
        keys::set(&mut steps, &begin);
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
        timeouts: TimeoutPlan::of(bundle),
        commit: facts.host.commit.clone(),
        asks: bundle.asks.clone(),
        keep: bundle.keep,
        ansible: facts.host.ansible.clone().ok(),
        notes,
    })
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
