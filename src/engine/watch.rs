//! Monitors the builder beside every step, because a step may be silent for an hour, and
//! `ansible-playbook` may hang forever.
//!
//! A machine that is off, gone, stuck or failing on its console is lost immediately. A machine that
//! is on and silent may be so on purpose: a playbook restarts it, a script its network. It gets the
//! time of the step; [`verdict`] then examines a failed step, so that a loss is reported within a
//! minute of its end.
use crate::model::step::StepKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::machine::Running;
use super::{BuildContext, signs};
use crate::guest::{Remote, RemoteError, Target};
use crate::log::sentences;

use crate::provider::Power;

#[cfg(test)]
mod tests;

/// A session of the monitor's own, because an upload may saturate the other. Kept between steps,
/// because a login costs an emulated machine a second or more.
pub(super) type Session = tokio::sync::Mutex<Option<Arc<dyn Remote>>>;

/// Intervals and limits of monitoring.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Interval between pings over SSH while it answers.
    pub ask: Duration,
    /// Time limit of a ping.
    pub answer: Duration,
    /// Time without an answer after which the machine counts as silent.
    pub silence: Duration,
}

pub(super) const PACE: Pace = Pace {
    ask: Duration::from_secs(10),
    answer: Duration::from_secs(12),
    silence: Duration::from_secs(30),
};

/// Maximum silence in a step over our own session, which TCP gives up after a minute.
const SESSION: Duration = Duration::from_secs(90);

/// Maximum silence in a step: the step's time limit, if it logs in again by itself.
pub(super) fn patience(action: &StepKind, timeout: Duration) -> Duration {
    match action {
        StepKind::Ansible { .. } => timeout,
        _ => timeout.min(SESSION),
    }
}

/// Waits until the machine is lost; returns why. Safe to drop.
pub(super) async fn lost(
    site: &BuildContext<'_>,
    running: &Running,
    patience: Duration,
    pace: Pace,
) -> String {
    let mut answered = Instant::now();
    let (mut stuck, mut silent) = (0, false);
    let look = site.cloud.compute().health_poll_interval();
    loop {
        tokio::time::sleep(look.unwrap_or(pace.ask).min(pace.ask)).await;
        // If polling reveals nothing more, it is skipped while the machine answers.
        if (look.is_some() || answered.elapsed() > 2 * pace.ask)
            && let Some(why) = dead(site, running, &mut stuck).await
        {
            return why;
        }
        if answered.elapsed() < pace.ask {
            continue;
        }
        match asked(site, running, pace).await {
            Ok(()) => {
                if silent {
                    site.cx.events.note(format!(
                        "the builder answers again, after {} s",
                        answered.elapsed().as_secs()
                    ));
                }
                (answered, silent) = (Instant::now(), false);
            }
            Err(e) if answered.elapsed() > pace.silence.min(patience) => {
                if let Some(why) = signs::trouble(site, &running.machine).await {
                    return why;
                }
                if answered.elapsed() > patience {
                    return mute(answered, &e);
                }
                if !silent {
                    let limit = sentences::duration(patience.as_secs_f64());
                    site.cx.events.warn(format!(
                        "{}; it is given {limit}, for the step may mean it",
                        mute(answered, &e)
                    ));
                }
                silent = true;
            }
            Err(_) => {}
        }
    }
}

/// After a failed step: why the builder is lost, or `None` if it answers.
pub(super) async fn verdict(
    site: &BuildContext<'_>,
    running: &Running,
    pace: Pace,
) -> Option<String> {
    let begin = Instant::now();
    let mut stuck = 0;
    loop {
        let error = match asked(site, running, pace).await {
            Ok(()) => return None,
            Err(e) => e,
        };
        if let Some(why) = dead(site, running, &mut stuck).await {
            return Some(why);
        }
        if let Some(why) = signs::trouble(site, &running.machine).await {
            return Some(why);
        }
        if begin.elapsed() > pace.silence {
            return Some(mute(begin, &error));
        }
        tokio::time::sleep(site.cloud.compute().poll_interval().min(pace.ask)).await;
    }
}

fn mute(since: Instant, error: &RemoteError) -> String {
    format!(
        "its power is on, but it has not answered over SSH for {} s: {error}",
        since.elapsed().as_secs()
    )
}

/// The cloud's reason why the machine does not run. A single stuck state may be a hiccup of a
/// loaded host.
async fn dead(site: &BuildContext<'_>, running: &Running, stuck: &mut u32) -> Option<String> {
    match site.cloud.compute().power(&running.machine).await {
        Ok(Power::On) => *stuck = 0,
        Ok(Power::Off) => return Some("it was powered off".into()),
        Ok(Power::Gone(why)) => return Some(format!("it is gone: {why}")),
        Ok(Power::Stuck(why)) => {
            *stuck += 1;
            if *stuck > 1 {
                return Some(format!("it does not run: {why}"));
            }
        }
        // The cloud's API is away; the machine itself may be well.
        Err(_) => {}
    }
    None
}

async fn asked(site: &BuildContext<'_>, running: &Running, pace: Pace) -> Result<(), RemoteError> {
    let mut session = running.watch.lock().await;
    let answer = ask(site, &running.target, &mut session, pace.answer).await;
    if answer.is_err() {
        *session = None;
    }
    answer
}

async fn ask(
    site: &BuildContext<'_>,
    target: &Target,
    session: &mut Option<Arc<dyn Remote>>,
    limit: Duration,
) -> Result<(), RemoteError> {
    let remote = match session {
        Some(remote) => remote.clone(),
        None => session.insert(site.connect.connect(target, limit).await?).clone(),
    };
    remote.ping(limit).await
}
