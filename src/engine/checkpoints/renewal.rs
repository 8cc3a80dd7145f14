//! A restored machine becomes this run's: the time, fresh randomness, and the run's own keys.
use std::time::{Duration, Instant};

use jiff::Timestamp;
use ssh_key::PublicKey;

use super::note::Note;
use crate::engine::answer::say_as_root;
use crate::engine::machine::{self, BuilderKeys, Running, plain_key};
use crate::engine::{BuildContext, BuildError, ready};
use crate::guest::keys;
use crate::provider::Machine;
use crate::text::shell;

const SCRIPT: &str = include_str!("../../../templates/guest/restored.sh");
/// Time limit of the script.
const RENEWAL: Duration = Duration::from_secs(60);
/// Age of a state from which on its timers may be due, and packages be installed by one.
const LONG: i64 = 600;

/// Logs in by the keys of the state, which are pinned as ever, and puts this run's in their place.
pub(super) async fn renewed(
    site: &BuildContext<'_>,
    machine: Machine,
    (keys, note): (&BuilderKeys, &Note),
) -> Result<Running, BuildError> {
    let deadline = Instant::now() + Duration::from_secs(site.plan.timeouts.ssh);
    let remote = machine::reach(site, &machine, &note.target(&machine), deadline).await?;
    let script = script(keys, note);
    let done = site.cx.cancel.or(say_as_root(&*remote, &script, RENEWAL)).await?;
    if let Err(e) = done {
        let reason = format!("it does not take the keys of this run: {e}");
        return Err(machine::not_ready(site, &machine, reason).await);
    }
    let target = keys.target(&machine, &site.plan.ssh_user);
    let mut running = Running::new(machine, target, remote);
    running.earlier_names = note.names.clone();
    let made = note.ran.iter().max().copied().unwrap_or_default();
    if Timestamp::now().duration_since(made).as_secs() > LONG {
        ready::builder(site, &running, deadline).await?;
    }
    Ok(running)
}

fn script(keys: &BuilderKeys, note: &Note) -> String {
    let seed: String =
        [uuid::Uuid::new_v4(), uuid::Uuid::new_v4()].map(|u| u.simple().to_string()).concat();
    let now = Timestamp::now().as_millisecond();
    let host_private = keys::private_text(&keys.host).expect("a key that was made can be written");
    let login = keys.login.public_key();
    let old_host = note.host_keys.first().map(plain_key).unwrap_or_default();
    let values = [
        ("NOW", format!("{}.{:03}", now / 1000, now % 1000)),
        ("SEED", seed),
        ("OLD_LOGIN", two_words(note.login.public_key())),
        ("LOGIN", two_words(login)),
        ("COMMENT", login.comment().to_owned()),
        ("OLD_HOST", old_host.trim().to_owned()),
        ("HOST", two_words(keys.host.public_key())),
        ("HOST_PRIVATE", host_private.trim_end().to_owned()),
    ];
    let values = values.map(|(name, value)| format!("{name}={}\n", shell::quoted(&value)));
    [values.concat().as_str(), SCRIPT].concat()
}

fn two_words(key: &PublicKey) -> String {
    plain_key(key).trim().to_owned()
}
