//! A step `reboot`: the machine is restarted, and its session replaced.
use std::time::{Duration, Instant};

use super::ansible::stop_ssh_master;
use crate::engine::answer::{self, NoAnswer};
use crate::engine::machine::{self, Running};
use crate::engine::{BuildContext, BuildError};
use crate::guest::Exit;
use crate::plan::StepPlan;

/// Restarts the machine and waits until another boot of it answers.
pub(super) async fn run(
    site: &BuildContext<'_>,
    builder: &mut Running,
    index: usize,
    step: &StepPlan,
) -> Result<(), BuildError> {
    let failed = |reason: NoAnswer| BuildError::Step {
        index,
        name: step.name.clone(),
        reason: reason.to_string(),
    };
    let deadline = Instant::now() + Duration::from_secs(step.timeout);
    let short = Duration::from_secs(60);
    let before =
        site.cx.cancel.or(answer::boot_id(&*builder.remote, short)).await?.map_err(failed)?;
    // The answer may or may not arrive before the connection goes down: only the new boot ID
    // counts.
    let command = "sudo -n systemctl reboot || sudo -n shutdown -r now";
    if let Err(refused @ NoAnswer::Exit { exit: Exit::Code(_), .. }) =
        site.cx.cancel.or(answer::say(&*builder.remote, command, short)).await?
    {
        return Err(failed(refused));
    }
    stop_ssh_master(site).await;
    loop {
        builder.remote = machine::reach(site, &builder.machine, &builder.target, deadline).await?;
        match site.cx.cancel.or(answer::boot_id(&*builder.remote, Duration::from_secs(20))).await? {
            Ok(now) if now != before => break,
            // Still the old boot on its way down, or the connection went with it.
            _ if Instant::now() < deadline => {
                site.cx.cancel.pause(Duration::from_millis(500)).await?
            }
            _ => {
                let reason = format!("the machine did not restart within {} s", step.timeout);
                return Err(BuildError::Step { index, name: step.name.clone(), reason });
            }
        }
    }
    machine::cloud_init_done(site, builder, deadline).await
}
