//! A subprocess of a run, recorded in the ledger while it lives.
use std::process::ExitStatus;

use crate::provider::RunCx;
use crate::provider::ledger::{Kind, LedgerError, Made};
use crate::system::exec::process::Proc;
use crate::system::exec::{self, Cmd, ExecError, Stream};

#[derive(Debug, thiserror::Error)]
pub(super) enum ChildError {
    #[error(transparent)]
    Exec(#[from] ExecError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Runs to completion. `name` identifies the process in the ledger; `cmd` must carry the run's
/// mark.
pub(super) async fn run(
    cx: &RunCx,
    name: &str,
    cmd: &Cmd,
    on_line: impl FnMut(Stream, &str) + Send,
) -> Result<ExitStatus, ChildError> {
    let cmd = cmd.clone().env(exec::PROCESS_MARK, name);
    let (started, id) = cx
        .ledger
        .own(Kind::Process, name, || async {
            let started = exec::start(&cmd)?;
            let proc = started.pid().and_then(|pid| Proc::of(pid as i32));
            let id: String = proc.map(|p| p.to_string()).unwrap_or_default();
            Ok::<_, ChildError>(Made { id: id.clone(), value: (started, id) })
        })
        .await?;
    let ended = started.wait(&cx.cancel, on_line).await;
    // Ended or killed, it is gone; a child that refused to start keeps its entry, which costs
    // nothing.
    cx.ledger.gone_by_id(Kind::Process, &id)?;
    Ok(ended?)
}
