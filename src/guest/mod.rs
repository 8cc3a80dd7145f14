//! A machine reached over SSH: run a command, send files, ask whether it is alive.
//! The trait is what `build` sees; [`ssh`] is the real one.
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub mod keys;
pub mod ssh;
#[cfg(test)]
#[path = "../../test-tools/it/sshd.rs"]
pub(crate) mod sshd;

/// How to reach a machine, and which host key it must show.
#[derive(Clone)]
pub struct Target {
    pub host: String,
    pub port: u16,
    pub user: String,
    /// The private key (OpenSSH format, ed25519). Never logged: `Target` has no `Debug`.
    pub key: Arc<ssh_key::PrivateKey>,
    /// The host keys that are accepted; a machine that shows another is not spoken to. Never empty.
    pub host_keys: Vec<ssh_key::PublicKey>,
}

/// A command for `sh` on the machine.
#[derive(Debug, Clone)]
pub struct Command {
    /// Script text, given to `sh -e` (never on a command line: it may hold secrets and be long). A
    /// shell reads any bytes.
    pub script: Vec<u8>,
    /// Positional arguments of the script.
    pub args: Vec<String>,
    /// Exported before the script runs; travels with the script, not through sshd's `AcceptEnv`.
    pub env: BTreeMap<String, String>,
    /// Run as root through `sudo -n`.
    pub sudo: bool,
    /// After this the remote process group is killed and the call fails with
    /// [`RemoteError::Deadline`].
    pub deadline: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// How a command ended that did end on the machine.
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
    /// Refused before anything was sent.
    #[error("the command cannot be sent: {0}")]
    Command(String),
    #[error("{path}: {reason}")]
    Transfer { path: String, reason: String },
}

/// `192.0.2.4:22`, `[2001:db8::4]:22`
fn address(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Takes output as it comes. Called from the SSH thread.
pub type OnOutput = Box<dyn FnMut(Stream, &[u8]) + Send>;

/// Called with (bytes sent, bytes in all).
pub type OnProgress = Box<dyn FnMut(u64, u64) + Send>;

/// One session. Several calls may run at once.
#[async_trait]
pub trait Remote: Send + Sync {
    /// Both streams are drained at all times. An exit is reported only when the machine itself
    /// reported it; anything else is [`RemoteError::Lost`].
    async fn exec(&self, command: Command, output: OnOutput) -> Result<Exit, RemoteError>;

    /// Sends a file, or a directory as a whole (contents of `src` become contents of `dest`), modes
    /// kept. A file's `dest` ending in `/` is a directory to put it into. Parents are made. `sudo`:
    /// write as root.
    async fn put(
        &self,
        src: &Path,
        dest: &str,
        sudo: bool,
        deadline: Duration,
        progress: OnProgress,
    ) -> Result<(), RemoteError>;

    /// Is the far side alive? Cheap for the machine: no process is started there.
    async fn ping(&self, deadline: Duration) -> Result<(), RemoteError>;
}

/// Makes sessions; a fake one serves tests of `build`.
#[async_trait]
pub trait Connect: Send + Sync {
    /// One attempt: TCP, host key, login; `deadline` for all of it.
    async fn connect(
        &self,
        target: &Target,
        deadline: Duration,
    ) -> Result<Arc<dyn Remote>, RemoteError>;
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
