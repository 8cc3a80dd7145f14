//! Is the builder still there? Asked beside every step, so that a machine that dies, freezes or leaves the network
//! is named within a minute: a step may be quiet for an hour, and `ansible-playbook` was seen to wait for ever.
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Site;
use super::machine::Running;
use crate::cloud::Power;
use crate::remote::{Remote, RemoteError, Target};

/// A session of the watch's own: an upload that fills the other one must not look like silence. It is kept from step to step,
/// because a login costs an emulated machine a second or more of its time.
pub(super) type Session = tokio::sync::Mutex<Option<Arc<dyn Remote>>>;

/// Pause between two questions over SSH, while it answers.
const ASK: Duration = Duration::from_secs(10);
/// One question over SSH may take this long.
const ANSWER: Duration = Duration::from_secs(12);
/// Without an answer for this long, the machine is lost. With the pauses and one more `ANSWER` it stays under a minute.
const SILENCE: Duration = Duration::from_secs(30);

/// Waits until the machine is lost and says why. Safe to drop.
pub(super) async fn lost(site: &Site<'_>, running: &Running) -> String {
    let mut answered = Instant::now();
    let mut stuck = 0;
    let look = site.cloud.watch_pace();
    loop {
        tokio::time::sleep(look.unwrap_or(ASK).min(ASK)).await;
        let silent = answered.elapsed() > ASK + ASK;
        // Where looking tells nothing more, it is left at asking, as long as there are answers.
        let power = if look.is_some() || silent { site.cloud.power(&running.machine).await } else { Ok(Power::On) };
        match power {
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
        if answered.elapsed() < ASK {
            continue;
        }
        let mut session = running.watch.lock().await;
        match ask(site, &running.target, &mut session).await {
            Ok(()) => answered = Instant::now(),
            Err(e) => {
                *session = None;
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
