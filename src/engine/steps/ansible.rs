//! A step `ansible`: the real `ansible-playbook`, over the system's `ssh`, behind the wall. Where
//! Mitogen is installed and fits, the playbook runs with it, and after a failure once more without.
use std::path::Path;
use std::time::{Duration, Instant};

use super::Attempt;
use crate::engine::ansible;
use crate::engine::heard::{LastLines, REASON};
use crate::engine::inventory::Inventory;
use crate::engine::{BuildError, child, exec_reason, inventory, required};
use crate::model::step::StepKind;
use crate::system::exec::{self, ExecError};
use crate::system::lines;
use crate::wall::Mitogen;

mod accelerator;
mod command;
mod connection;
mod words;

pub(super) use connection::stop_ssh_master;
use words::Texts;

/// In the run's scratch directory: where what the definition brings may write.
pub(in crate::engine) const ROOM: &str = "room";

/// What Ansible does not say of a `become` on the factory.
const NO_OTHER_USER: &str = "behind the wall a task on the factory cannot become another user \
    (sudo, su): take `become` off it \
     (`become: false`), or have the machine do it";

/// A second try without Mitogen needs this much of the step's time.
const LEAST: Duration = Duration::from_secs(1);

/// A playbook, played on the builder.
pub(super) struct Play<'p> {
    pub attempt: &'p Attempt<'p>,
    pub playbook: &'p Path,
    pub extra_vars: &'p serde_json::Map<String, serde_json::Value>,
    pub tags: &'p [String],
}

/// What the factory made for the step.
struct Given {
    inventory: Inventory,
    installed: required::Installed,
}

/// How the playbook is played.
struct Manner<'m> {
    with: Option<&'m Mitogen>,
    limit: Duration,
}

/// How a playbook ended.
enum Ended {
    Well,
    /// It did not do what it was to do. `again`: with Mitogen that may be Mitogen's fault.
    Badly {
        reason: String,
        again: bool,
    },
}

impl Play<'_> {
    pub async fn run(&self) -> Result<(), BuildError> {
        let Attempt { site, builder, index, step } = *self.attempt;
        let failed = |reason: String| self.attempt.failed(reason);
        let inventory = inventory::write(site, builder).await?.map_err(failed)?;
        let installed =
            required::install(site, index, step, self.playbook).await?.map_err(failed)?;
        // What the factory itself looks at decides how the playbook is played, not what it does.
        let texts = || match &builder.reads {
            Some(reads) => reads.aside(|| self.texts(&installed)),
            None => self.texts(&installed),
        };
        let with = accelerator::choose(self.attempt, &inventory, texts).await?;
        let given = Given { inventory, installed };
        let (begin, limit) = (Instant::now(), self.attempt.limit());
        let first = self.once(&given, &Manner { with: with.as_ref(), limit }).await?;
        let (reason, again) = match (first, with) {
            (Ended::Well, _) => return Ok(()),
            (Ended::Badly { reason, .. }, None) => return Err(failed(reason)),
            (Ended::Badly { reason, again }, Some(_)) => (reason, again),
        };
        let limit = limit.saturating_sub(begin.elapsed());
        if !again || limit < LEAST {
            return Err(failed(format!(
                "{reason} (with Mitogen; `accelerator: false` of the step plays it without)"
            )));
        }
        accelerator::distrust(site)?;
        site.cx.events.warn(format!(
            "{}; it was played with Mitogen, and is played again without, on the machine as it is",
            failed(reason.clone())
        ));
        stop_ssh_master(site).await;
        match self.once(&given, &Manner { with: None, limit }).await? {
            Ended::Well => {
                site.cx.events.warn(
                    "the playbook went well without Mitogen: what it does twice was done twice; \
                        `accelerator: false` of the step plays it without from the start",
                );
                Ok(())
            }
            Ended::Badly { reason: without, .. } => {
                Err(failed(accelerator::both(&reason, without)))
            }
        }
    }

    /// What the definition, what was installed for it, and what the owner shows it say of how
    /// playbooks run.
    fn texts(&self, installed: &required::Installed) -> Result<Texts, String> {
        let Attempt { site, step, .. } = *self.attempt;
        let mut texts = Texts::default();
        texts.read(&site.plan.bundle_dir, &site.plan.bundle_dir)?;
        texts.add("extra_vars", serde_json::Value::Object(self.extra_vars.clone()).to_string());
        let env = step.env.iter().map(|(n, v)| format!("{}={v}\n", n.to_ascii_lowercase()));
        texts.add("env", env.collect());
        let shown = site.wall.settings().read_only.iter().cloned().chain(site.wall.role_places());
        for dir in installed.directories().chain(shown) {
            texts.read(&dir, Path::new(""))?;
        }
        texts.read_named(&site.wall.collection_places())?;
        Ok(texts)
    }

    async fn once(&self, given: &Given, manner: &Manner<'_>) -> Result<Ended, BuildError> {
        let Attempt { site, index, .. } = *self.attempt;
        let cmd = self.command(given, manner).await?;
        let last = LastLines::default();
        let (events, keep) = (site.cx.events.clone(), last.clone());
        let name = format!("{} ansible-playbook {index}", site.plan.run);
        let status = child::run(site.cx, &name, &cmd, move |_, line| {
            keep.push(line);
            events.output("ansible", line);
        })
        .await;
        match status {
            Ok(status) if status.success() => {
                // Ansible calls it a success when no host matched: nothing was done, and that is
                // not what was asked for.
                if ansible::matched_no_hosts(&last.all()) {
                    let reason =
                        "no play matched the builder; use `hosts: all`, `local` or `default`";
                    return Ok(Ended::Badly { reason: reason.into(), again: false });
                }
                Ok(Ended::Well)
            }
            Ok(status) => {
                let reason = self.failure(&last, status, cmd.joint.is_some());
                Ok(Ended::Badly { reason, again: true })
            }
            Err(child::ChildError::Exec(e)) => {
                let again = matches!(e, ExecError::Passed { .. });
                Ok(Ended::Badly { reason: exec_reason(e)?, again })
            }
            Err(child::ChildError::Ledger(e)) => Err(e.into()),
        }
    }

    fn failure(&self, last: &LastLines, status: std::process::ExitStatus, walled: bool) -> String {
        let why = match ansible::failure(&last.all()) {
            Some(f) => lines::cut(&f.to_string(), 8 * REASON),
            None => last.reason(exec::status_text(status)),
        };
        let local = matches!(self.attempt.step.action, StepKind::Ansible { local: true, .. });
        match walled && ansible::could_not_become(&last.all(), local) {
            true => format!("{why}; {NO_OTHER_USER}"),
            false => why,
        }
    }
}
