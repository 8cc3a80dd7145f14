//! Checks from outside the machines: consoles, identities, logins.
use std::sync::Arc;
use std::time::{Duration, Instant};

use ssh_key::PrivateKey;

use super::Results;
use crate::engine::answer::{self, Question, Told};
use crate::engine::machine::{Identity, Running};
use crate::engine::{BuildContext, BuildError};
use crate::guest::{Exit, RemoteError, Target};
use crate::model::event::Verdict;

/// The console is the only source of information about a machine that does not come up.
pub(super) async fn has_console(
    running: &Running,
    results: &Results<'_>,
) -> Result<(), BuildError> {
    if !results.wants("console") {
        return Ok(());
    }
    let begin = Instant::now();
    let text = results.site.cloud.compute().console_log(&running.machine).await?;
    let lines = text.lines().filter(|l| !l.trim().is_empty()).count();
    let (verdict, reason) = match lines {
        0 => (Verdict::Failed, "nothing was written to the serial console".to_owned()),
        n => (Verdict::Passed, format!("{n} lines")),
    };
    results.add("console", begin, verdict, reason, String::new());
    Ok(())
}

/// Two machines of an image, and its builder, must share neither host key nor machine-id.
pub(super) async fn identities(
    site: &BuildContext<'_>,
    first: &Running,
    second: &Running,
    earlier: &[Identity],
    results: &Results<'_>,
) -> Result<(), BuildError> {
    if !results.wants("host-keys-unique") && !results.wants("machine-id-unique") {
        return Ok(());
    }
    let begin = Instant::now();
    let (a, b) =
        site.cx.cancel.or(async { tokio::join!(first.identity(), second.identity()) }).await?;
    let mut seen: Vec<Identity> = earlier.to_vec();
    seen.extend([a?, b?]);
    let mut keys_twice = Vec::new();
    let mut ids_twice = Vec::new();
    for (i, one) in seen.iter().enumerate() {
        if let Err(said) = &one.machine_id {
            ids_twice.push(format!("{} has no valid machine-id (`{said}`)", one.machine));
        }
        for other in &seen[..i] {
            if let Some(key) = one.host_keys.iter().find(|k| other.host_keys.contains(k)) {
                let kind = key.split(' ').next().unwrap_or_default();
                keys_twice.push(format!(
                    "{} and {} have the same {kind} host key",
                    other.machine, one.machine
                ));
            }
            if let (Ok(id), true) = (&one.machine_id, one.machine_id == other.machine_id) {
                ids_twice.push(format!(
                    "{} and {} have the same machine-id {id}",
                    other.machine, one.machine
                ));
            }
        }
    }
    let say = |id: &str, trouble: Vec<String>, well: &str| {
        let verdict = if trouble.is_empty() { Verdict::Passed } else { Verdict::Failed };
        let reason = if trouble.is_empty() {
            format!("{well} ({} machines)", seen.len())
        } else {
            trouble.join("; ")
        };
        results.add(id, begin, verdict, reason, String::new());
    };
    say("host-keys-unique", keys_twice, "all differ");
    say("machine-id-unique", ids_twice, "all differ");
    Ok(())
}

/// The builder's key must not log in to any machine of the image.
pub(super) async fn build_key_refused(
    machines: [&Running; 2],
    key: &Arc<PrivateKey>,
    results: &Results<'_>,
) -> Result<(), BuildError> {
    if !results.wants("build-key-refused") {
        return Ok(());
    }
    let begin = Instant::now();
    let mut trouble = Vec::new();
    for running in machines {
        for user in [running.target.user.as_str(), "root"] {
            let target = Target { user: user.into(), key: key.clone(), ..running.target.clone() };
            match results
                .site
                .cx
                .cancel
                .or(results.site.connect.connect(&target, Duration::from_secs(30)))
                .await?
            {
                Ok(_) => trouble.push(format!("it opens {user} on {}", running.machine.name)),
                Err(RemoteError::Refused { .. }) => {}
                // Neither opened nor refused proves nothing.
                Err(e) => {
                    trouble.push(format!("it could not be tried on {}: {e}", running.machine.name))
                }
            }
        }
    }
    let (verdict, reason) = match trouble.is_empty() {
        true => (Verdict::Passed, "refused by both machines".to_owned()),
        false => (Verdict::Failed, trouble.join("; ")),
    };
    results.add("build-key-refused", begin, verdict, reason, String::new());
    Ok(())
}

const ID: Question<'static> =
    Question { script: "id -u", sudo: false, deadline: Duration::from_secs(60), most: 4 << 10 };

/// Nobody may get a root shell, even with the default user's key. cloud-init accepts that key for
/// root only to name the right user, which is not a shell.
pub(super) async fn root_ssh(first: &Running, results: &Results<'_>) -> Result<(), BuildError> {
    if !results.wants("root-ssh") {
        return Ok(());
    }
    let begin = Instant::now();
    let target = Target { user: "root".into(), ..first.target.clone() };
    let cancel = &results.site.cx.cancel;
    let (verdict, reason) =
        match cancel.or(results.site.connect.connect(&target, Duration::from_secs(60))).await? {
            Err(RemoteError::Refused { .. }) => (Verdict::Passed, "the key is refused".to_owned()),
            Err(e) => (Verdict::Failed, format!("it could not be tried: {e}")),
            Ok(session) => match cancel.or(answer::ask(&*session, &ID)).await? {
                // It ran our script, which proves a shell, whatever the answer.
                Ok(Told { answer: Some(_), .. }) => (
                    Verdict::Failed,
                    format!("the key of {} opens a shell as root", first.target.user),
                ),
                Ok(Told { exit: Exit::Code(1..), .. }) => {
                    (Verdict::Passed, "the key is answered with a word and no shell".to_owned())
                }
                Ok(told) => (
                    Verdict::Failed,
                    format!(
                        "as root `id -u` gives nothing and ends with {}",
                        answer::exit_text(&told.exit)
                    ),
                ),
                // Neither opened nor refused proves nothing.
                Err(e) => {
                    (Verdict::Failed, format!("whether root gets a shell could not be seen: {e}"))
                }
            },
        };
    results.add("root-ssh", begin, verdict, reason, String::new());
    Ok(())
}
