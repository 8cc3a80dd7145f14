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
/// Least time for the script, however late it is begun.
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
    let made = note.past.ran.iter().max().copied().unwrap_or_default();
    let is_old = Timestamp::now().duration_since(made).as_secs() > LONG;
    // In one call: an emulated machine takes a second for another.
    let (ready, waits) = ready::script(deadline);
    let (then, waits) = if is_old { (ready.as_str(), waits) } else { ("", Duration::ZERO) };
    let script = [script(keys, note).as_str(), then].concat();
    let limit = deadline.saturating_duration_since(Instant::now()).max(RENEWAL) + waits;
    match site.cx.cancel.or(say_as_root(&*remote, &script, limit)).await? {
        Ok(said) => ready::tell(site, &said),
        Err(e) => {
            let reason = format!("it does not take the keys of this run: {e}");
            return Err(machine::not_ready(site, &machine, reason).await);
        }
    }
    let target = keys.target(&machine, &site.plan.ssh_user);
    let mut running = Running::new(machine, target, remote);
    running.earlier_names = note.names.clone();
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
