//! A builder that was booted from the disk of another run becomes this run's: what cloud-init left
//! of the other is removed.
use std::time::Duration;

use super::note::Traces;
use crate::engine::answer::say_as_root;
use crate::engine::machine::{self, Running, plain_key};
use crate::engine::{BuildContext, BuildError};
use crate::text::shell;

const SCRIPT: &str = include_str!("../../../templates/guest/traces.sh");
/// Time limit of the script.
const REMOVAL: Duration = Duration::from_secs(60);

pub(super) async fn removed(
    site: &BuildContext<'_>,
    running: &Running,
    traces: &Traces,
) -> Result<(), BuildError> {
    let script = script(traces, &running.machine.name);
    match site.cx.cancel.or(say_as_root(&*running.remote, &script, REMOVAL)).await? {
        Ok(_) => Ok(()),
        Err(e) => {
            let reason = format!("the traces of the run whose disk it has cannot be removed: {e}");
            Err(machine::not_ready(site, &running.machine, reason).await)
        }
    }
}

/// `name`: that of the machine now.
pub(super) fn script(traces: &Traces, name: &str) -> String {
    let login = plain_key(&traces.login);
    let values = [("OLD_LOGIN", login.trim()), ("OLD_NAME", &traces.name), ("NAME", name)];
    let values = values.map(|(name, value)| format!("{name}={}\n", shell::quoted(value)));
    [values.concat().as_str(), SCRIPT].concat()
}
