//! Checks from outside the machines: consoles, identities, logins.
use std::sync::Arc;
use std::time::{Duration, Instant};

use ssh_key::PrivateKey;

use super::{Candidate, Finding, Results};
use crate::engine::answer::{self, Question, Told};
use crate::engine::machine::{Identity, Running};
use crate::engine::{BuildContext, BuildError, signs};
use crate::guest::{Exit, RemoteError, Target};
use crate::model::check::{OUTSIDE, OutsideCheck, ROOT_SSH};
use crate::model::event::Verdict;

/// The two machines of an image.
pub(super) struct Pair<'p> {
    /// When their boot began.
    pub begin: Instant,
    pub first: &'p Running,
    pub second: &'p Running,
    pub candidate: &'p Candidate<'p>,
}

/// What is there twice, in sentences.
struct Duplicates {
    begin: Instant,
    machines: usize,
    keys: Vec<String>,
    ids: Vec<String>,
}

impl Pair<'_> {
    /// Makes the enabled checks of both machines.
    pub async fn all(&self, results: &Results<'_>) -> Result<(), BuildError> {
        let mut duplicates = None;
        for (check, id, _) in OUTSIDE.iter().filter(|(_, id, _)| results.wants(id)) {
            match check {
                OutsideCheck::Boots => {
                    let seconds = self.begin.elapsed().as_secs_f64();
                    let reason = format!("to cloud-init's end in {seconds:.0} s");
                    results.add(id, self.begin, Finding::new(Verdict::Passed, reason));
                }
                OutsideCheck::Ssh => {
                    let reason = format!("{} logged in with a new key", self.first.target.user);
                    results.add(id, self.begin, Finding::new(Verdict::Passed, reason));
                }
                OutsideCheck::Console => has_console(self.first, id, results).await?,
                OutsideCheck::HostKeysUnique | OutsideCheck::MachineIdUnique => {
                    if duplicates.is_none() {
                        duplicates = Some(self.duplicates(results.site).await?);
                    }
                    let found = duplicates.as_ref().expect("just made");
                    let keys = *check == OutsideCheck::HostKeysUnique;
                    let trouble = if keys { &found.keys } else { &found.ids };
                    let finding = match trouble.is_empty() {
                        true => {
                            let reason = format!("all differ ({} machines)", found.machines);
                            Finding::new(Verdict::Passed, reason)
                        }
                        false => Finding::new(Verdict::Failed, trouble.join("; ")),
                    };
                    results.add(id, found.begin, finding);
                }
                OutsideCheck::BuildKeyRefused => {
                    if let Some(key) = &self.candidate.build_key {
                        build_key_refused([self.first, self.second], key, id, results).await?;
                    }
                }
                // Beside the scripts: where root's key is answered with a word, that takes 10 s.
                OutsideCheck::RootSsh => {}
            }
        }
        Ok(())
    }

    /// Two machines of an image, and its builder, must share neither host key nor machine-id.
    async fn duplicates(&self, site: &BuildContext<'_>) -> Result<Duplicates, BuildError> {
        let begin = Instant::now();
        let (a, b) = tokio::join!(identity(self.first, site), identity(self.second, site));
        let mut seen: Vec<Identity> = self.candidate.earlier.to_vec();
        seen.extend([a?, b?]);
        let (mut keys, mut ids) = (Vec::new(), Vec::new());
        for (i, one) in seen.iter().enumerate() {
            if let Err(said) = &one.machine_id {
                ids.push(format!("{} has no valid machine-id (`{said}`)", one.machine));
            }
            for other in &seen[..i] {
                let both = format!("{} and {}", other.machine, one.machine);
                if let Some(key) = one.host_keys.iter().find(|k| other.host_keys.contains(k)) {
                    let kind = key.split(' ').next().unwrap_or_default();
                    keys.push(format!("{both} have the same {kind} host key"));
                }
                if let (Ok(id), true) = (&one.machine_id, one.machine_id == other.machine_id) {
                    ids.push(format!("{both} have the same machine-id {id}"));
                }
            }
        }
        Ok(Duplicates { begin, machines: seen.len(), keys, ids })
    }
}

/// A machine that the cloud runs and that does not tell its machine-id has none.
async fn identity(running: &Running, site: &BuildContext<'_>) -> Result<Identity, BuildError> {
    match running.identity(site).await {
        Err(BuildError::NotReady { reason, .. }) => Ok(running.identified(Err(reason))),
        known => known,
    }
}

/// The console is the only source of information about a machine that does not come up.
async fn has_console(running: &Running, id: &str, results: &Results<'_>) -> Result<(), BuildError> {
    let begin = Instant::now();
    let text = results.site.cloud.compute().console_log(&running.machine).await?;
    let lines = text.lines().filter(|l| !l.trim().is_empty()).count();
    let finding = match lines {
        0 => Finding::new(Verdict::Failed, "nothing was written to the serial console".to_owned()),
        n => Finding::new(Verdict::Passed, format!("{n} lines")),
    };
    results.add(id, begin, finding);
    Ok(())
}

/// The builder's key must not log in to any machine of the image.
async fn build_key_refused(
    machines: [&Running; 2],
    key: &Arc<PrivateKey>,
    id: &str,
    results: &Results<'_>,
) -> Result<(), BuildError> {
    let begin = Instant::now();
    let logins = machines.into_iter().flat_map(|running| {
        [running.target.user.as_str(), "root"].map(|user| opened(running, user, key, results))
    });
    let tried = futures_util::future::join_all(logins);
    let tried = results.site.cx.cancel.or(tried).await?;
    let tried = tried.into_iter().collect::<Result<Vec<Option<String>>, BuildError>>()?;
    let trouble: Vec<String> = tried.into_iter().flatten().collect();
    let (verdict, reason) = match trouble.is_empty() {
        true => (Verdict::Passed, "refused by both machines".to_owned()),
        false => (Verdict::Failed, trouble.join("; ")),
    };
    results.add(id, begin, Finding::new(verdict, reason));
    Ok(())
}

/// Why it is not proven that `key` opens `user` on a machine no more.
async fn opened(
    running: &Running,
    user: &str,
    key: &Arc<PrivateKey>,
    results: &Results<'_>,
) -> Result<Option<String>, BuildError> {
    let target = Target { user: user.into(), key: key.clone(), ..running.target.clone() };
    match results.site.connect.connect(&target, Duration::from_secs(30)).await {
        Ok(_) => Ok(Some(format!("it opens {user} on {}", running.machine.name))),
        Err(RemoteError::Refused { .. }) => Ok(None),
        // Neither opened nor refused proves nothing.
        Err(e) => {
            signs::lost(results.site, &running.machine).await?;
            Ok(Some(format!("it could not be tried on {}: {e}", running.machine.name)))
        }
    }
}

const ID: Question<'static> =
    Question { script: "id -u", sudo: false, deadline: Duration::from_secs(60), most: 4 << 10 };

/// Nobody may get a root shell, even with the default user's key. cloud-init accepts that key for
/// root only to name the right user, which is not a shell.
pub(super) async fn root_ssh(first: &Running, results: &Results<'_>) -> Result<(), BuildError> {
    if !results.wants(ROOT_SSH) {
        return Ok(());
    }
    let begin = Instant::now();
    let target = Target { user: "root".into(), ..first.target.clone() };
    let cancel = &results.site.cx.cancel;
    let (verdict, reason) =
        match cancel.or(results.site.connect.connect(&target, Duration::from_secs(60))).await? {
            Err(RemoteError::Refused { .. }) => (Verdict::Passed, "the key is refused".to_owned()),
            Err(e) => {
                signs::lost(results.site, &first.machine).await?;
                (Verdict::Failed, format!("it could not be tried: {e}"))
            }
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
                    signs::lost(results.site, &first.machine).await?;
                    (Verdict::Failed, format!("whether root gets a shell could not be seen: {e}"))
                }
            },
        };
    results.add(ROOT_SSH, begin, Finding::new(verdict, reason));
    Ok(())
}
