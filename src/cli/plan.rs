//! `image-factory plan`
use crate::model::step::StepKind;
use std::fmt::Write;
use std::process::ExitCode;

use jiff::Timestamp;

use super::{Context, Failure, err, out};
use crate::model::check::CHECKS;
use crate::model::facts::Named;
use crate::model::placement::{Placement, Security};
use crate::model::source::ChecksumSource;
use crate::plan::{Origin, Plan, SmokePlan, StepPlan};
use crate::provider::RunCx;
use crate::run;

mod published;

#[derive(clap::Args)]
pub struct Args {
    /// Bundle: `images/X`, `os/Y`, a bare name, or a path
    bundle: String,
}

pub async fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let bundles = context.load(std::slice::from_ref(&args.bundle)).await?;
    let (cloud, line) = context.cloud()?;
    if !context.common.quiet && !context.common.json {
        err(&line);
    }
    let show = context.show();
    let setup = context.setup(&*cloud, &show)?;
    let cx = RunCx::outside(context.cancel.clone());
    let now = Timestamp::now();
    for bundle in &bundles {
        let mut plans = run::make_plans(&setup, bundle, now, &cx).await?;
        for plan in &mut plans {
            let note = setup.wall.direct(plan);
            plan.notes.extend(note);
        }
        let Some((plan, bases)) = plans.split_last() else { continue };
        if context.common.json {
            out(&serde_json::to_string_pretty(&value(plan, bases)).expect("a plan is plain data"));
            continue;
        }
        for base in bases {
            out(&format!("{} is missing, and is built first:\n\n{}", base.bundle, text(base)));
        }
        out(&text(plan));
    }
    Ok(ExitCode::SUCCESS)
}

/// A plan as JSON, with the plans of missing bases under `bases_first`.
fn value(plan: &Plan, bases: &[Plan]) -> serde_json::Value {
    let one = |plan: &Plan| {
        let mut value = serde_json::to_value(plan).expect("a plan is plain data");
        published::complete(plan, &mut value);
        value
    };
    let mut value = one(plan);
    if !bases.is_empty() {
        value["bases_first"] = bases.iter().map(one).collect();
    }
    value
}

/// Text output: a key, with its values below each other.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, key: &str, value: String) {
        self.all(key, [value]);
    }

    fn all(&mut self, key: &str, values: impl IntoIterator<Item = String>) {
        for (index, value) in values.into_iter().enumerate() {
            let _ = writeln!(self.0, "{:<11}{value}", if index == 0 { key } else { "" });
        }
    }
}

/// A plan as text.
fn text(plan: &Plan) -> String {
    let mut lines = Lines::default();
    lines.add("bundle", plan.bundle.clone());
    lines.add("cloud", format!("{}: {}", plan.cloud, plan.how));
    origin(&mut lines, &plan.origin);
    lines.add("builder", builder(plan));
    lines.all("warning", plan.warnings());
    lines.all("note", plan.notes.iter().cloned());
    if let Some(site) = &plan.site {
        placement(&mut lines, site);
    }
    lines.all("steps", plan.steps.iter().enumerate().map(|(index, plan)| step(index + 1, plan)));
    if plan.builder.is_some() {
        lines.add("tidy", plan.tidy.join(", "));
    }
    smoke(&mut lines, plan.smoke.as_ref());
    published::published(&mut lines, plan);
    if let Some(keep) = plan.keep {
        let newest = format!("the newest {keep} of family {}", plan.family);
        lines.add(
            "keep",
            format!("{newest}; older ones are hidden, and deleted by the prune after that"),
        );
    }
    lines.all("templates", plan.templates.iter().map(|template| template.display().to_string()));
    lines.0
}

fn origin(lines: &mut Lines, origin: &Origin) {
    match origin {
        Origin::Base(base) => lines.add("base", format!("{} {}", base.name, base.id)),
        Origin::Script(script) => lines.add("source", format!("script {}", script.display())),
        Origin::Url { wish, format } => {
            let format = format.map_or(String::new(), |f| format!(", must be {}", f.name()));
            lines.add("source", format!("{}{format}", wish.from));
            let sum = match &wish.sum {
                Some(ChecksumSource::Given(digest)) => {
                    format!("{} {}", digest.algorithm.name(), digest.hex)
                }
                Some(ChecksumSource::List(list)) => format!("of `{}` in {list}", wish.from.name()),
                None => "none: the file is of this machine".into(),
            };
            lines.add("checksum", sum);
        }
    }
}

fn builder(plan: &Plan) -> String {
    let Some(m) = &plan.builder else { return "none: the source is the image".into() };
    let disk = m.disk_gib.map_or("as the source's".into(), |gb| format!("{gb} GiB"));
    let flavor = m.flavor.as_ref().map_or(String::new(), |f| format!("flavor {}: ", f.name));
    format!("{flavor}{} CPUs, {} MiB RAM, disk {disk}, login {}", m.cpus, m.ram_mib, plan.ssh_user)
}

fn placement(lines: &mut Lines, site: &Placement) {
    let names = |all: &[Named]| all.iter().map(|n| n.name.as_str()).collect::<Vec<_>>().join(", ");
    let floating = site.floating_network.as_ref();
    let floating = floating.map_or(String::new(), |f| format!(", floating IP of {}", f.name));
    lines.add("network", format!("{}{floating}", names(&site.networks)));
    let security = match &site.security {
        Security::Groups(groups) => names(groups),
        Security::Temporary { ssh_from } if ssh_from.is_empty() => {
            "a group of the run's own: SSH from this machine's address".into()
        }
        Security::Temporary { ssh_from } => {
            format!("a group of the run's own: SSH from {}", ssh_from.join(", "))
        }
        Security::None => "none".into(),
    };
    lines.add("security", security);
    if let Some(volume) = &site.volume {
        let more = |word: &str, text: &Option<String>| {
            text.as_ref().map_or(String::new(), |text| format!(", {word} {text}"))
        };
        let (kind, zone) = (more("type", &volume.kind), more("zone", &volume.zone));
        lines.add("volume", format!("{} GiB{kind}{zone}", volume.size_gib));
    }
    lines.all("zone", site.zone.clone());
}

fn step(number: usize, step: &StepPlan) -> String {
    let kind = match step.action {
        StepKind::Ansible { .. } => "ansible",
        StepKind::Shell { .. } => "shell",
        StepKind::Script { .. } => "script",
        StepKind::Upload { .. } => "upload",
        StepKind::Reboot => "reboot",
    };
    let sudo = if step.sudo { ", as root" } else { "" };
    format!("{number}. {kind}: {} (at most {} s{sudo})", step.name, step.timeout)
}

/// Each check with its description, because an ID alone (`build-key-refused`) reads like a finding.
fn smoke(lines: &mut Lines, smoke: Option<&SmokePlan>) {
    let Some(smoke) = smoke else {
        lines.add("checks", "none: the image is published untested".into());
        return;
    };
    let known = smoke.checks.iter().map(|id| match CHECKS.iter().find(|check| check.id == id) {
        Some(check) => format!("{id:<19}{}", check.what),
        None => id.clone(),
    });
    let own = smoke.tests.iter().map(|test| format!("{:<19}of the bundle", test.display()));
    let left_out = smoke.skip.iter().map(|id| format!("{id:<19}left out, as the bundle says"));
    lines.all("checks", known.chain(own).chain(left_out));
}
