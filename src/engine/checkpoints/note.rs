//! What the engine keeps beside a state: how to log in to a machine in that state, and when it was
//! made.
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use ssh_key::{PrivateKey, PublicKey};

use super::OLDEST;
use super::reads::Read;
use crate::engine::machine::Running;
use crate::guest::{Target, keys};
use crate::plan::Plan;
use crate::provider::Machine;

/// Has no `Debug`: it holds a private key.
pub(super) struct Note {
    user: String,
    pub login: Arc<PrivateKey>,
    pub host_keys: Vec<PublicKey>,
    /// Names of the machine in the runs that came to this state.
    pub names: Vec<String>,
    /// When the machine was booted, and when each of its steps was run.
    pub ran: Vec<Timestamp>,
    /// What each of its steps read, besides what its key has.
    pub read: Vec<Read>,
}

#[derive(Serialize, Deserialize)]
struct Written {
    user: String,
    /// OpenSSH's format.
    login: String,
    host_keys: Vec<String>,
    names: Vec<String>,
    ran: Vec<Timestamp>,
    read: Vec<Read>,
}

const ENCODES: &str = "a key that was made or parsed can be written";

impl Note {
    pub fn of(builder: &Running, (ran, read): (Vec<Timestamp>, Vec<Read>)) -> Self {
        let Target { user, key, host_keys, .. } = builder.target.clone();
        Self { user, login: key, host_keys, names: builder.names(), ran, read }
    }

    pub fn written(&self) -> Value {
        let host_key = |key: &PublicKey| key.to_openssh().expect(ENCODES);
        let written = Written {
            user: self.user.clone(),
            login: keys::private_text(&self.login).expect(ENCODES).to_string(),
            host_keys: self.host_keys.iter().map(host_key).collect(),
            names: self.names.clone(),
            ran: self.ran.clone(),
            read: self.read.clone(),
        };
        serde_json::to_value(written).expect("it is plain data")
    }

    /// `None`: it is not the note of a machine with so many steps behind it.
    pub fn read(note: &Value, done: usize) -> Option<Self> {
        let Written { user, login, host_keys, names, ran, read } =
            Written::deserialize(note).ok()?;
        let host_keys: Result<Vec<_>, _> =
            host_keys.iter().map(|key| PublicKey::from_openssh(key)).collect();
        let login = Arc::new(PrivateKey::from_openssh(login).ok()?);
        let note = Self { user, login, host_keys: host_keys.ok()?, names, ran, read };
        let fits = note.ran.len() == done + 1 && note.read.len() == done;
        (fits && !note.host_keys.is_empty()).then_some(note)
    }

    /// Whether what it was made from is young enough: each step as it says itself, and all of it.
    pub fn is_fresh(&self, plan: &Plan, now: Timestamp) -> bool {
        let limit = |index: usize| {
            let step = index.checked_sub(1).and_then(|step| plan.steps[step].fresh);
            step.map_or(OLDEST, Duration::from_secs)
        };
        self.ran.iter().enumerate().all(|(index, ran)| {
            // A clock that was set back tells nothing of its age.
            let age = Duration::try_from(now.duration_since(*ran));
            age.is_ok_and(|age| age <= limit(index))
        })
    }

    /// How the machine is reached while it has the keys of that time.
    pub fn target(&self, machine: &Machine) -> Target {
        Target {
            host: machine.host.clone(),
            port: machine.port,
            user: self.user.clone(),
            key: self.login.clone(),
            host_keys: self.host_keys.clone(),
        }
    }
}
