//! Polls a machine's power state, and powers it off.
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::machine::{MachineDir, Record};
use super::qmp::{Qmp, QmpError};
use crate::provider::ledger::Kind;
use crate::provider::{CloudError, Power, RunCx};
use crate::system::exec::process::{Proc, State};

/// Time limit for QEMU's answer: milliseconds, or a second when software emulation uses all CPUs.
const ANSWER: Duration = Duration::from_secs(5);
/// Interval between presses of the ACPI power button; a booting guest ignores them.
const PRESS_AGAIN: Duration = Duration::from_secs(10);
/// How long a machine may look stuck during a shutdown.
const STUCK: Duration = Duration::from_secs(15);

/// Serialises the clients of each machine's socket (see [`super::qmp`]).
#[derive(Debug, Clone, Default)]
pub struct Turns(Arc<Mutex<HashMap<PathBuf, Arc<tokio::sync::Mutex<()>>>>>);

impl Turns {
    /// Connects, runs one command, disconnects.
    pub async fn ask(&self, place: &MachineDir, command: &str) -> Result<Value, QmpError> {
        self.tell(place, command, json!({})).await
    }

    /// [`ask`](Self::ask) with arguments.
    pub async fn tell(
        &self,
        place: &MachineDir,
        command: &str,
        arguments: Value,
    ) -> Result<Value, QmpError> {
        let (_mine, mut qmp) = self.session(place).await?;
        qmp.execute(command, arguments, ANSWER).await
    }

    /// Connects; others wait until what is returned is dropped.
    pub async fn session(
        &self,
        place: &MachineDir,
    ) -> Result<(tokio::sync::OwnedMutexGuard<()>, Qmp), QmpError> {
        let turn =
            self.0.lock().expect("held for a look-up only").entry(place.qmp()).or_default().clone();
        let mine = turn.lock_owned().await;
        Ok((mine, Qmp::connect(&place.qmp(), ANSWER).await?))
    }
}

pub async fn power(turns: &Turns, place: &MachineDir) -> Result<Power, CloudError> {
    let Some(record) = place.record()? else {
        return Ok(Power::Gone(
            "nothing is known of it here: it was deleted, or never came up".into(),
        ));
    };
    let proc = record.proc();
    if proc.state() == State::Stopped {
        return Ok(Power::Stuck(format!("QEMU (process {}) is stopped by a signal", proc.pid)));
    }
    let asked = if proc.state() == State::Gone {
        Err(QmpError::Closed)
    } else {
        turns.ask(place, "query-status").await
    };
    Ok(match asked {
        Ok(answer) => judge(answer.get("status").and_then(Value::as_str).unwrap_or("unknown")),
        // It may have ended while it was asked.
        Err(_) if proc.state() == State::Gone && record.off => Power::Off,
        Err(_) if proc.state() == State::Gone => Power::Gone(ended(place).await),
        Err(e) => Power::Stuck(format!("QEMU (process {}) does not answer: {e}", proc.pid)),
    })
}

/// Interprets `RunState` of QEMU's qapi/run-state.json.
fn judge(status: &str) -> Power {
    match status {
        "running" | "prelaunch" => Power::On,
        "shutdown" => Power::Off,
        "guest-panicked" => Power::Stuck("its kernel panicked".into()),
        "internal-error" => Power::Stuck(
            "QEMU stopped it after an internal error (with KVM: an instruction it cannot emulate)"
                .into(),
        ),
        "io-error" => Power::Stuck(
            "QEMU stopped it after an error of its disk: is the host's disk full?".into(),
        ),
        other => Power::Stuck(format!("QEMU says `{other}`")),
    }
}

/// Reason of the exit. The exit status reaches the log a moment after the end.
async fn ended(place: &MachineDir) -> String {
    tokio::time::sleep(Duration::from_millis(100)).await;
    format!("QEMU is not there any more: {}", place.last_words())
}

/// Requests a power-off, then ends QEMU.
pub async fn shutdown(cx: &RunCx, turns: &Turns, place: &MachineDir) -> Result<(), CloudError> {
    powered_off(cx, turns, place).await?;
    end(turns, place).await
}

/// Ends QEMU and what carries its network, off or not; they are owned no more.
pub async fn cut(cx: &RunCx, turns: &Turns, place: &MachineDir) -> Result<(), CloudError> {
    let ended = place.record()?.map(|record| [vec![record.process], record.network].concat());
    end(turns, place).await?;
    for process in ended.unwrap_or_default() {
        cx.ledger.gone_by_id(Kind::Process, &process)?;
    }
    Ok(())
}

/// Presses the power button until the machine is off. QEMU keeps running.
pub async fn powered_off(cx: &RunCx, turns: &Turns, place: &MachineDir) -> Result<(), CloudError> {
    let what = format!("shut {} down", place.name);
    let mut wait = cx.wait(&what, Duration::from_millis(250));
    let (mut pressed, mut stuck_since) = (None::<Instant>, None::<Instant>);
    loop {
        match power(turns, place).await? {
            Power::Off => return Ok(()),
            Power::Gone(why) => return Err(CloudError::refused(&what, why)),
            Power::Stuck(why) if stuck_since.get_or_insert_with(Instant::now).elapsed() > STUCK => {
                return Err(CloudError::refused(&what, why));
            }
            Power::Stuck(_) => {}
            Power::On => {
                stuck_since = None;
                if pressed.is_none_or(|at| at.elapsed() >= PRESS_AGAIN) {
                    // A press that fails is pressed again; the deadline ends it.
                    let _ = turns.ask(place, "system_powerdown").await;
                    pressed = Some(Instant::now());
                }
            }
        }
        wait.pause().await?;
    }
}

/// Ends the QEMU of a machine that is off; it still holds the disk.
pub async fn end(turns: &Turns, place: &MachineDir) -> Result<(), CloudError> {
    let Some(record) = place.record()? else { return Ok(()) };
    let (proc, network) = (record.proc(), record.network.clone());
    if proc.state() == State::Gone {
        return Ok(());
    }
    // Written first: from here on, no process means off.
    place.write(&Record { off: true, ..record })?;
    let _ = turns.ask(place, "quit").await;
    if !proc.gone_within(ANSWER).await {
        proc.end(ANSWER).await.map_err(CloudError::io("end QEMU"))?;
    }
    for proc in network.iter().filter_map(|process| process.parse::<Proc>().ok()) {
        if !proc.gone_within(ANSWER).await {
            proc.end(ANSWER).await.map_err(CloudError::io("end the network of a machine"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_judged() {
        assert_eq!(judge("running"), Power::On);
        assert_eq!(judge("shutdown"), Power::Off);
        for stuck in ["paused", "internal-error", "io-error", "guest-panicked", "something-new"] {
            assert!(matches!(judge(stuck), Power::Stuck(_)), "{stuck}");
        }
    }
}
