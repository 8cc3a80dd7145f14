//! The end of a builder: it is turned off, and its disk becomes a staged image.
use std::time::{Duration, Instant};

use super::Running;
use crate::engine::answer::{self, NoAnswer};
use crate::engine::{BuildContext, BuildError, checkpoints, tidy};
use crate::guest::{Remote, RemoteError};
use crate::model::image::{self, Image};
use crate::provider::{Machine, Power};

/// Time limit for asking a machine to power itself off.
const ASKING: Duration = Duration::from_secs(20);

/// Asks the machine to power itself off. A cloud that is asked may cut the power of a machine that
/// takes its time: Nova does after a minute, whatever is written meanwhile.
async fn goes_off(site: &BuildContext<'_>, remote: &dyn Remote) -> Result<bool, BuildError> {
    let asked = site.cx.cancel.or(answer::word(remote, tidy::ASK_OFF, ASKING)).await?;
    Ok(match asked {
        Ok(word) => word == "going",
        // With the answer.
        Err(NoAnswer::Remote(RemoteError::Lost(_))) => true,
        Err(_) => false,
    })
}

/// Waits until a machine is off that goes off by itself, or silent. One that is neither in time is
/// the cloud's to stop, as is one whose cloud does not tell.
async fn off(site: &BuildContext<'_>, machine: &Machine) -> Result<(), BuildError> {
    let limit = Duration::from_secs(site.plan.timeouts.shutdown);
    let begin = Instant::now();
    let over = async {
        tokio::select! {
            biased;
            is_off = is_off(site, machine) => is_off,
            () = falls_silent(site, machine) => Ok(()),
        }
    };
    let over = tokio::time::timeout(limit, over).await;
    over.unwrap_or_else(|_| {
        site.cx.events.warn(format!(
            "{} did not power itself off within {} s: the cloud stops it",
            machine.name,
            begin.elapsed().as_secs()
        ));
        Ok(())
    })
}

async fn is_off(site: &BuildContext<'_>, machine: &Machine) -> Result<(), BuildError> {
    loop {
        match site.cx.cancel.or(site.cloud.compute().power(machine)).await? {
            Ok(Power::On) | Err(_) => {}
            Ok(Power::Off | Power::Stuck(_) | Power::Gone(_)) => return Ok(()),
        }
        site.cx.cancel.pause(site.cloud.compute().poll_interval()).await?;
    }
}

/// A machine that goes off takes its network down last of all but its file systems. Nova notices
/// that it is off 15 s later, and at once when it is told to stop it. Source:
/// nova.virt.libvirt.host, the delay of a stopped event.
async fn falls_silent(site: &BuildContext<'_>, machine: &Machine) {
    while !site.connect.is_silent(&machine.host, machine.port).await {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Shuts the machine down and makes a staged image of its disk.
pub(in crate::engine) async fn capture(
    site: &BuildContext<'_>,
    builder: Running,
) -> Result<Image, BuildError> {
    let Running { machine, remote, .. } = builder;
    checkpoints::settle(site, Duration::from_secs(site.plan.timeouts.capture)).await;
    site.cx.events.doing(format!("shutting {} down", machine.name));
    let goes = goes_off(site, &*remote).await?;
    drop(remote);
    if goes {
        off(site, &machine).await?;
    }
    site.cloud
        .compute()
        .shutdown(&site.cx.within(Duration::from_secs(site.plan.timeouts.shutdown)), &machine)
        .await?;
    site.cx.events.doing("capturing the disk");
    let name = format!("{}{}", site.plan.run, image::STAGED);
    Ok(site
        .cloud
        .compute()
        .capture(&site.cx.within(Duration::from_secs(site.plan.timeouts.capture)), &machine, &name)
        .await?)
}
