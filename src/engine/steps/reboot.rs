//! A step `reboot`: the machine is restarted, and its session replaced.
use std::time::{Duration, Instant};

use super::ansible::stop_ssh_master;
use super::up;
use crate::engine::answer::{self, NoAnswer};
use crate::engine::machine::{self, Running, not_ready};
use crate::engine::{BuildContext, BuildError};
use crate::guest::Exit;

/// Restarts the machine and waits `seconds` at most until another boot of it answers.
pub(super) async fn run(
    site: &BuildContext<'_>,
    builder: &mut Running,
    seconds: u64,
) -> Result<(), BuildError> {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let short = Duration::from_secs(60);
    let before = match site.cx.cancel.or(answer::boot_id(&*builder.remote, short)).await? {
        Ok(before) => before,
        Err(e) => return Err(not_ready(site, &builder.machine, e.to_string()).await),
    };
    // The answer may or may not arrive before the connection goes down: only the new boot ID
    // counts.
    let command = "sudo -n systemctl reboot || sudo -n shutdown -r now";
    if let Err(refused @ NoAnswer::Exit { exit: Exit::Code(_), .. }) =
        site.cx.cancel.or(answer::say(&*builder.remote, command, short)).await?
    {
        return Err(not_ready(site, &builder.machine, refused.to_string()).await);
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
                let reason = format!("the machine did not restart within {seconds} s");
                return Err(not_ready(site, &builder.machine, reason).await);
            }
        }
    }
    up(site, builder, deadline).await
}
