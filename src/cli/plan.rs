//! `image-factory plan`
use std::fmt::Write;
use std::process::ExitCode;

use jiff::Timestamp;

use super::{Context, Failure, err, out};
use crate::cloud::Cx;
use crate::cloud::ledger::Ledger;
use crate::event::Events;
use crate::fetch::Sum;
use crate::image::Visibility;
use crate::plan::{ActionPlan, Named, Origin, Plan, Security};
use crate::run;

#[derive(clap::Args)]
pub struct Args {
    /// As `build` takes it
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
    let cx = Cx { ledger: Ledger::none(), events: Events::default(), cancel: context.cancel.clone() };
    let now = Timestamp::now();
    for bundle in &bundles {
        let plans = run::make_plans(&setup, bundle, now, &cx).await?;
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

/// A plan, with those of the bases that would be built before it under `bases_first`.
fn value(plan: &Plan, bases: &[Plan]) -> serde_json::Value {
    let mut value = serde_json::to_value(plan).expect("a plan is plain data");
    if !bases.is_empty() {
        value["bases_first"] = serde_json::to_value(bases).expect("plans are plain data");
    }
    value
}

/// A plan as a person reads it.
fn text(plan: &Plan) -> String {
    let mut text = String::new();
    let mut line = |key: &str, value: String| {
        let _ = writeln!(text, "{key:<11}{value}");
    };
    line("bundle", plan.bundle.clone());
    line("image", format!("{} (family {})", plan.image_name, plan.family));
    line("cloud", format!("{}: {}", plan.cloud, plan.how));
    match &plan.origin {
        Origin::Base(base) => line("base", format!("{} {}", base.name, base.id)),
        Origin::Script(script) => line("source", format!("script {}", script.display())),
        Origin::Url { wish, format } => {
            let format = format.map_or(String::new(), |f| format!(", must be {}", f.name()));
            line("source", format!("{}{format}", wish.from));
            line(
                "checksum",
                match &wish.sum {
                    Some(Sum::Given(digest)) => format!("{} {}", digest.algorithm.name(), digest.hex),
                    Some(Sum::List(list)) => format!("of `{}` in {list}", wish.from.name()),
                    None => "none: the file is of this machine".into(),
                },
            );
        }
    }
    match &plan.builder {
        Some(m) => {
            let disk = m.disk_gb.map_or("as the source's".into(), |gb| format!("{gb} GiB"));
            let flavor = m.flavor.as_ref().map_or(String::new(), |f| format!("flavor {}: ", f.name));
            line("builder", format!("{flavor}{} CPUs, {} MiB RAM, disk {disk}, login {}", m.cpus, m.ram_mb, plan.ssh_user));
        }
        None => line("builder", "none: the source is the image".into()),
    }
    for warning in plan.warnings() {
        line("warning", warning);
    }
    for note in &plan.notes {
        line("note", note.clone());
    }
    if let Some(site) = &plan.site {
        let names = |all: &[Named]| all.iter().map(|n| n.name.as_str()).collect::<Vec<_>>().join(", ");
        let floating = site.floating_network.as_ref().map_or(String::new(), |f| format!(", floating IP of {}", f.name));
        line("network", format!("{}{floating}", names(&site.networks)));
        line(
            "security",
            match &site.security {
                Security::Groups(groups) => names(groups),
                Security::Temporary { ssh_from } if ssh_from.is_empty() => {
                    "a group of the run's own: SSH from this machine's address".into()
                }
                Security::Temporary { ssh_from } => format!("a group of the run's own: SSH from {}", ssh_from.join(", ")),
                Security::None => "none".into(),
            },
        );
        if let Some(volume) = &site.volume {
            let more = |word: &str, text: &Option<String>| text.as_ref().map_or(String::new(), |text| format!(", {word} {text}"));
            line("volume", format!("{} GiB{}{}", volume.size_gb, more("type", &volume.kind), more("zone", &volume.zone)));
        }
        if let Some(zone) = &site.zone {
            line("zone", zone.clone());
        }
    }
    for (index, step) in plan.steps.iter().enumerate() {
        let kind = match step.action {
            ActionPlan::Ansible { .. } => "ansible",
            ActionPlan::Shell { .. } => "shell",
            ActionPlan::Script { .. } => "script",
            ActionPlan::Upload { .. } => "upload",
            ActionPlan::Reboot => "reboot",
        };
        let sudo = if step.sudo { ", as root" } else { "" };
        line(if index == 0 { "steps" } else { "" }, format!("{}. {kind}: {} (at most {} s{sudo})", index + 1, step.name, step.timeout));
    }
    if plan.builder.is_some() {
        line("tidy", plan.tidy.join(", "));
    }
    match &plan.smoke {
        None => line("smoke", "none: the image is published untested".into()),
        Some(smoke) => {
            let own = smoke.tests.iter().map(|t| t.display().to_string());
            line("smoke", smoke.checks.iter().cloned().chain(own).collect::<Vec<_>>().join(", "));
            if !smoke.skip.is_empty() {
                line("", format!("without {}", smoke.skip.join(", ")));
            }
        }
    }
    for (index, (key, value)) in plan.publish.properties.iter().enumerate() {
        line(if index == 0 { "properties" } else { "" }, format!("{key}={value}"));
    }
    if plan.publish.visibility != Visibility::Private {
        let members = if plan.publish.members.is_empty() { String::new() } else { format!(" with {}", plan.publish.members.join(", ")) };
        line("visibility", format!("{}{members}", plan.publish.visibility.word()));
    }
    if !plan.publish.tags.is_empty() {
        line("tags", plan.publish.tags.join(", "));
    }
    if let Some(keep) = plan.keep {
        line("keep", format!("the newest {keep} of family {}; older ones are hidden, and deleted by the prune after that", plan.family));
    }
    for (index, template) in plan.templates.iter().enumerate() {
        line(if index == 0 { "templates" } else { "" }, template.display().to_string());
    }
    text
}
