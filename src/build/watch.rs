//! Is the builder still there? Asked beside every step, so that a machine that dies, freezes or leaves the network
//! is named within a minute: a step may be quiet for an hour, and `ansible-playbook` was seen to wait for ever.
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Site;
use crate::cloud::{Machine, Power};
use crate::remote::{Remote, RemoteError, Target};

/// Pause between two looks.
const LOOK: Duration = Duration::from_secs(5);
/// One question over SSH may take this long.
const ANSWER: Duration = Duration::from_secs(12);
/// Without an answer for this long, the machine is lost. With `LOOK` and two `ANSWER`s it stays under a minute.
const SILENCE: Duration = Duration::from_secs(30);

/// Waits until the machine is lost and says why. Safe to drop.
pub(super) async fn lost(site: &Site<'_>, machine: &Machine, target: &Target) -> String {
    // A session of its own: an upload that fills the other one must not look like silence.
    let mut session: Option<Arc<dyn Remote>> = None;
    let mut answered = Instant::now();
    let mut stuck = 0;
    loop {
        tokio::time::sleep(LOOK).await;
        match site.cloud.power(machine).await {
            Ok(Power::On) => stuck = 0,
            Ok(Power::Off) => return "it was powered off".into(),
            Ok(Power::Gone(why)) => return format!("it is gone: {why}"),
            // Once may be a hiccup of a loaded host.
            Ok(Power::Stuck(why)) => {
                stuck += 1;
                if stuck > 1 {
                    return format!("it does not run: {why}");
                }
            }
            // The cloud's API is away; the machine itself may be well.
            Err(_) => {}
        }
        match ask(site, target, &mut session).await {
            Ok(()) => answered = Instant::now(),
            Err(e) => {
                session = None;
                if answered.elapsed() > SILENCE {
                    return format!("its power is on, but it has not answered over SSH for {} s: {e}", answered.elapsed().as_secs());
                }
            }
        }
    }
}

async fn ask(site: &Site<'_>, target: &Target, session: &mut Option<Arc<dyn Remote>>) -> Result<(), RemoteError> {
    let remote = match session {
        Some(remote) => remote.clone(),
        None => session.insert(site.connect.connect(target, ANSWER).await?).clone(),
    };
    remote.ping(ANSWER).await
}
