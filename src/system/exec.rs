//! The one door for subprocesses: each has a deadline, its own process group, and the marks by
//! which `sweep` finds it.
use std::process::{ExitStatus, Stdio};

use tokio::process::Child;

use crate::system::cancel::Cancel;

mod command;
pub mod confined;
pub mod env;
mod error;
pub mod joint;
mod limits;
pub mod probe;
pub mod process;
mod started;
#[cfg(test)]
mod tests;

pub use command::Cmd;
pub use error::{ExecError, status_text};
pub use limits::Limits;
pub use started::{Stream, start};

/// In the environment of every process that a run starts, and so of all their children: the run's
/// ID. It is the owner tag of a process; `sweep` ends nothing that does not carry it.
pub const RUN_MARK: &str = "IMAGE_FACTORY_RUN";
/// Name of the process in the ledger, for one whose PID was lost.
pub const PROCESS_MARK: &str = "IMAGE_FACTORY_PROCESS";

/// Runs to the end; see [`start`].
pub async fn run(
    cmd: &Cmd,
    cancel: &Cancel,
    on_line: impl FnMut(Stream, &str) + Send,
) -> Result<ExitStatus, ExecError> {
    start(cmd)?.wait(cancel, on_line).await
}

/// Bytes of one stream that [`output`] takes.
const OUTPUT: usize = 16 << 20;

/// Runs a short tool to the end and gives its standard output; anything but exit code 0 is an error
/// with what it said. One that says more than 16 MiB on one stream is killed, and an error.
pub async fn output(cmd: &Cmd, cancel: &Cancel) -> Result<String, ExecError> {
    let (mut out, mut err) = (String::new(), String::new());
    let full = tokio::sync::Notify::new();
    let work = run(cmd, cancel, |stream, line| {
        let to = if stream == Stream::Stdout { &mut out } else { &mut err };
        if to.len() + line.len() >= OUTPUT {
            full.notify_one();
            return;
        }
        to.push_str(line);
        to.push('\n');
    });
    let status = tokio::select! {
        status = work => status?,
        // Dropped, its group is killed.
        () = full.notified() => return Err(ExecError::Babbles { program: cmd.name() }),
    };
    if status.success() {
        return Ok(out);
    }
    let said = if err.trim().is_empty() { out } else { err };
    Err(ExecError::Failed { program: cmd.name(), status: status_text(status), output: said })
}

/// Starts a process that outlives the call (QEMU), with both streams going to `log`. The deadline
/// of `cmd` is not used.
pub fn spawn(cmd: &Cmd, log: &std::fs::File) -> Result<Child, ExecError> {
    let dup = || {
        log.try_clone()
            .map(Stdio::from)
            .map_err(|source| ExecError::Start { program: cmd.name(), source })
    };
    let (out, err) = (dup()?, dup()?);
    spawn_child(cmd.build().stdout(out).stderr(err), cmd)
}

fn spawn_child(command: &mut tokio::process::Command, cmd: &Cmd) -> Result<Child, ExecError> {
    command.spawn().map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound if cmd.dir.as_ref().is_none_or(|d| d.is_dir()) => {
            ExecError::Missing { program: cmd.name() }
        }
        _ => ExecError::Start { program: cmd.name(), source },
    })
}
