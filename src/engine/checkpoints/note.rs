//! What the engine keeps beside a state: when it was made and of what, and what the machine has of
//! the run that kept it.
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use ssh_key::{PrivateKey, PublicKey};

use super::reads::Read;
use crate::engine::machine::Running;
use crate::guest::{Target, keys};
use crate::plan::Plan;
use crate::provider::Machine;
use crate::provider::checkpoints::{Keeps, OLDEST};

/// The steps that a state has behind it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Past {
    /// When the machine was booted, and when each of its steps was run.
    pub ran: Vec<Timestamp>,
    /// What each of its steps read, besides what its key has.
    pub read: Vec<Read>,
}

/// The note of a state.
pub(super) enum Kept {
    Memory(Note),
    Disk(Traces),
}

/// The note of a machine that goes on: how to log in to it. Has no `Debug`: it holds a private key.
pub(super) struct Note {
    user: String,
    pub login: Arc<PrivateKey>,
    pub host_keys: Vec<PublicKey>,
    /// Names of the machine in the runs that came to this state.
    pub names: Vec<String>,
    pub past: Past,
}

/// The note of a disk: what its run has left there. Nothing of it is secret.
#[derive(Debug)]
pub(super) struct Traces {
    pub login: PublicKey,
    /// Name of the machine.
    pub name: String,
    pub past: Past,
}

#[derive(Serialize, Deserialize)]
struct Written {
    user: String,
    /// OpenSSH's format.
    login: String,
    host_keys: Vec<String>,
    names: Vec<String>,
    #[serde(flatten)]
    past: Past,
}

#[derive(Serialize, Deserialize)]
struct WrittenTraces {
    login_public: String,
    machine: String,
    #[serde(flatten)]
    past: Past,
}

const ENCODES: &str = "a key that was made or parsed can be written";

impl Kept {
    /// The note of the state that `builder` is in.
    pub fn of(builder: &Running, keeps: Keeps, past: Past) -> Self {
        match keeps {
            Keeps::Memory => Self::Memory(Note::of(builder, past)),
            Keeps::Disk { .. } => Self::Disk(Traces::of(builder, past)),
        }
    }

    pub fn written(&self) -> Value {
        match self {
            Self::Memory(note) => note.written(),
            Self::Disk(traces) => traces.written(),
        }
    }

    /// `None`: it is not the note of such a state with so many steps behind it.
    pub fn read(note: &Value, keeps: Keeps, done: usize) -> Option<Self> {
        match keeps {
            Keeps::Memory => Note::read(note, done).map(Self::Memory),
            Keeps::Disk { .. } => Traces::read(note, done).map(Self::Disk),
        }
    }

    pub fn past(&self) -> &Past {
        match self {
            Self::Memory(note) => &note.past,
            Self::Disk(traces) => &traces.past,
        }
    }
}

impl Past {
    fn has(&self, done: usize) -> bool {
        self.ran.len() == done + 1 && self.read.len() == done
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
}

impl Traces {
    fn of(builder: &Running, past: Past) -> Self {
        let login = builder.target.key.public_key().clone();
        Self { login, name: builder.machine.name.clone(), past }
    }

    fn written(&self) -> Value {
        let written = WrittenTraces {
            login_public: self.login.to_openssh().expect(ENCODES),
            machine: self.name.clone(),
            past: self.past.clone(),
        };
        serde_json::to_value(written).expect("it is plain data")
    }

    fn read(note: &Value, done: usize) -> Option<Self> {
        let WrittenTraces { login_public, machine, past } =
            WrittenTraces::deserialize(note).ok()?;
        let login = PublicKey::from_openssh(&login_public).ok()?;
        past.has(done).then_some(Self { login, name: machine, past })
    }
}

impl Note {
    fn of(builder: &Running, past: Past) -> Self {
        let Target { user, key, host_keys, .. } = builder.target.clone();
        Self { user, login: key, host_keys, names: builder.names(), past }
    }

    pub fn written(&self) -> Value {
        let host_key = |key: &PublicKey| key.to_openssh().expect(ENCODES);
        let written = Written {
            user: self.user.clone(),
            login: keys::private_text(&self.login).expect(ENCODES).to_string(),
            host_keys: self.host_keys.iter().map(host_key).collect(),
            names: self.names.clone(),
            past: self.past.clone(),
        };
        serde_json::to_value(written).expect("it is plain data")
    }

    /// `None`: it is not the note of a machine with so many steps behind it.
    pub fn read(note: &Value, done: usize) -> Option<Self> {
        let Written { user, login, host_keys, names, past } = Written::deserialize(note).ok()?;
        let host_keys: Result<Vec<_>, _> =
            host_keys.iter().map(|key| PublicKey::from_openssh(key)).collect();
        let login = Arc::new(PrivateKey::from_openssh(login).ok()?);
        let note = Self { user, login, host_keys: host_keys.ok()?, names, past };
        (note.past.has(done) && !note.host_keys.is_empty()).then_some(note)
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
