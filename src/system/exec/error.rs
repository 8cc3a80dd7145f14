//! Why a program did not do what it was run for.
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use super::OUTPUT;
use super::joint::Passed;
use crate::system::cancel::Cancelled;

#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    #[error("{program} is not installed")]
    Missing { program: String },
    #[error("cannot start {program}: {source}")]
    Start { program: String, source: std::io::Error },
    #[error("{program}: not done after {after:?}, killed")]
    Deadline { program: String, after: Duration },
    #[error("{program}: killed, for {passed}")]
    Passed { program: String, passed: Passed },
    #[error("{program}: said more than {} MiB, killed", OUTPUT >> 20)]
    Babbles { program: String },
    #[error("{program}: {status}{}", tail(.output))]
    Failed { program: String, status: String, output: String },
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

pub(super) fn tail(output: &str) -> String {
    let lines: Vec<&str> = output.lines().filter(|l| !l.trim().is_empty()).collect();
    let last = lines[lines.len().saturating_sub(5)..].join("; ");
    if last.is_empty() { String::new() } else { format!(": {last}") }
}

/// `exit code 3`, `killed by signal 9`.
pub fn status_text(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        _ => status.to_string(),
    }
}
