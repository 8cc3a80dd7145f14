//! Sessions in a machine over SSH: run commands, send files, check liveness. The engine uses the
//! traits; [`ssh`] implements them.
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub mod keys;
mod orphan;
pub mod ssh;
#[cfg(test)]
#[path = "../../test-tools/it/sshd.rs"]
pub(crate) mod sshd;

pub use orphan::Orphan;

/// Address and credentials of a machine, with its expected host keys.
#[derive(Clone)]
pub struct Target {
    pub host: String,
    pub port: u16,
    pub user: String,
    /// Private key, ed25519. Must not be logged: `Target` has no `Debug`.
    pub key: Arc<ssh_key::PrivateKey>,
    /// Accepted host keys; any other ends the connection. Never empty.
    pub host_keys: Vec<ssh_key::PublicKey>,
}

/// A script to run on the machine.
#[derive(Debug, Clone)]
pub struct Command {
    /// Script for `sh -e`, sent over the session: it may hold secrets, be long, and contain any
    /// bytes.
    pub script: Vec<u8>,
    /// Positional arguments.
    pub args: Vec<String>,
    /// Environment, exported before the script. Sent with it, not through sshd's `AcceptEnv`.
    pub env: BTreeMap<String, String>,
    /// Runs as root, through `sudo -n`.
    pub sudo: bool,
    /// Time limit. Kills the remote process group and fails with [`RemoteError::Deadline`].
    pub deadline: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// How a command ended on the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    Code(i32),
    /// Name without `SIG`.
    Signal(String),
}

#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    #[error("cannot reach {}: {reason}", address(.host, *.port))]
    Unreachable { host: String, port: u16, reason: String },
    #[error("{} shows host key {shown}, which is not one this run pinned", address(.host, *.port))]
    HostKey { host: String, port: u16, shown: String },
    #[error("{user}@{} refuses the key", address(.host, *.port))]
    Refused { user: String, host: String, port: u16 },
    #[error("the connection was lost: {0}")]
    Lost(String),
    #[error("not done after {0:?}")]
    Deadline(Duration),
    /// Rejected before anything was sent.
    #[error("the command cannot be sent: {0}")]
    Command(String),
    #[error("{path}: {reason}")]
    Transfer { path: String, reason: String },
}

/// `192.0.2.4:22`, `[2001:db8::4]:22`
fn address(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Receives output as it arrives, on the SSH thread.
pub type OnOutput = Box<dyn FnMut(Stream, &[u8]) + Send>;

/// Receives (bytes sent, total bytes).
pub type OnProgress = Box<dyn FnMut(u64, u64) + Send>;

/// A file or directory to send.
#[derive(Debug, Clone, Copy)]
pub struct Transfer<'a> {
    pub src: &'a Path,
    /// One ending in `/` is the directory for a file.
    pub dest: &'a str,
    /// Permissions of files; `None`: 0755 for those that their owner may execute, else 0644, as git
    /// keeps them. Directories have 0755.
    pub mode: Option<u32>,
    /// Writes as root.
    pub sudo: bool,
    pub deadline: Duration,
}

/// One session. Calls may run concurrently.
#[async_trait]
pub trait Remote: Send + Sync {
    /// Runs a command, always draining both output streams. `Ok` only if the machine itself
    /// reported an exit; otherwise [`RemoteError::Lost`].
    async fn exec(&self, command: Command, output: OnOutput) -> Result<Exit, RemoteError>;

    /// Sends a file, or a directory (the contents of `src` become the contents of `dest`). Creates
    /// parents.
    async fn put(&self, transfer: &Transfer<'_>, progress: OnProgress) -> Result<(), RemoteError>;

    /// Checks that the machine answers. Starts no process there.
    async fn ping(&self, deadline: Duration) -> Result<(), RemoteError>;

    /// Calls that were running when this session was lost, and may be running still. Given once.
    fn take_orphans(&self) -> Vec<Orphan> {
        Vec::new()
    }
}

/// Opens sessions; tests of the engine use a fake.
#[async_trait]
pub trait Connect: Send + Sync {
    /// One attempt: TCP, host key and login, all within `deadline`.
    async fn connect(
        &self,
        target: &Target,
        deadline: Duration,
    ) -> Result<Arc<dyn Remote>, RemoteError>;

    /// Whether a machine neither answers nor refuses at a port: it is off, or its network is. One
    /// that cannot be asked is not said to be silent.
    async fn is_silent(&self, _host: &str, _port: u16) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_ipv6_is_told_from_its_port() {
        let refused = |host: &str| {
            RemoteError::Refused { user: "debian".into(), host: host.into(), port: 22 }.to_string()
        };
        assert_eq!(refused("2001:db8::4"), "debian@[2001:db8::4]:22 refuses the key");
        assert_eq!(refused("192.0.2.4"), "debian@192.0.2.4:22 refuses the key");
    }
}
