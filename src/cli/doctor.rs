//! `image-factory doctor`: what this machine lacks, and the command that mends it.
use std::process::ExitCode;
use std::time::Duration;

use super::{Context, Failure, out};
use crate::cloud::Cx;
use crate::cloud::ledger::Ledger;
use crate::event::Events;
use crate::exec::{self, Cmd};
use crate::plan::Wanted;
use crate::run;

/// Program, argument that prints its version, what it is for.
const PROGRAMS: &[(&str, &str, &str)] = &[
    ("qemu-system-x86_64", "--version", "machines of the local cloud"),
    ("qemu-img", "--version", "disks of the local cloud"),
    ("passt", "--version", "keeping machines of the local cloud from this host's services"),
    ("ansible-playbook", "--version", "`ansible` steps"),
    ("ssh", "-V", "`ansible` steps and `shell`"),
    ("bwrap", "--version", "the wall around what definitions bring"),
    ("mmdebstrap", "--version", "os/debian-12"),
    ("git", "--version", "the commit in image properties"),
];

pub async fn run(context: &Context) -> Result<ExitCode, Failure> {
    let mut lacking = 0;
    let mut line = |ok: bool, what: &str, text: &str| {
        lacking += usize::from(!ok);
        out(&format!("{}  {what:<20} {text}", if ok { "ok     " } else { "MISSING" }));
    };
    for (program, flag, purpose) in PROGRAMS {
        let cmd = Cmd::new(*program, Duration::from_secs(20)).arg(*flag);
        let mut first = None;
        let ran = exec::run(&cmd, &context.cancel, |_, text| {
            first.get_or_insert_with(|| text.to_owned());
        })
        .await;
        match ran {
            Ok(_) => line(true, program, &first.unwrap_or_default()),
            Err(e) => line(false, program, &format!("{e}; it is for {purpose}; `make deps` installs it")),
        }
    }
    match context.wall() {
        Ok(wall) => {
            let (well, text) = wall.summary(&context.cancel).await.map_err(crate::cloud::CloudError::from)?;
            line(well, "wall", &text);
            for file in Context::settings_files() {
                let keys: Vec<&str> = wall.settings().from.iter().filter(|(_, from)| **from == file).map(|(key, _)| key.as_str()).collect();
                let text = match (file.exists(), keys.is_empty()) {
                    (false, _) => "not there".into(),
                    (true, true) => "nothing of it is in force".into(),
                    (true, false) => format!("in force: {}", keys.join(", ")),
                };
                line(true, "owner's settings", &format!("{}: {text}", file.display()));
            }
            for rule in &wall.settings().allow {
                let nothing = if rule.is_for_nothing() { "; there is no such directory: it allows nothing" } else { "" };
                line(!rule.is_for_nothing(), "allowed", &format!("{rule}{nothing}"));
            }
        }
        Err(failure) => line(false, "owner's settings", &failure.to_string()),
    }
    match context.cloud() {
        Ok((cloud, why)) => {
            let cx = Cx { ledger: Ledger::none(), events: Events::default(), cancel: context.cancel.clone() };
            let facts = match cloud.facts(&Wanted::default(), &cx).await.map_err(Failure::from) {
                Ok(facts) => {
                    line(true, "cloud", why.strip_prefix("cloud: ").unwrap_or(&why));
                    facts
                }
                Err(failure) => {
                    line(false, "cloud", &failure.to_string());
                    return Ok(ExitCode::from(20));
                }
            };
            line(true, "machines", &facts.how);
            for (what, hint) in &facts.lacks {
                line(false, "cloud", &format!("{what}; {hint}"));
            }
            if let Some(ram) = facts.max_ram_mb {
                line(ram >= 3072, "memory", &format!("{ram} MiB free; a build boots two machines of 1024 MiB at once"));
            }
            if let Some(free) = facts.free_bytes {
                line(free >> 30 >= 8, "disk", &format!("{} GiB free in {}; 8 are comfortable", free >> 30, context.home.data.display()));
            }
        }
        Err(failure) => line(false, "cloud", &failure.to_string()),
    }
    let dead = run::indexed(&context.home).map_or(0, |runs| runs.iter().filter(|r| r.is_dead() && !r.kept).count());
    line(
        dead == 0,
        "runs",
        &if dead == 0 {
            "no dead run owns anything".into()
        } else {
            format!("{dead} dead runs own things; `image-factory sweep` removes them")
        },
    );
    Ok(ExitCode::from(if lacking == 0 { 0 } else { 20 }))
}
