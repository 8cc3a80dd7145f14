//! Script checks. The factory's run in the machine; a bundle's also there, or on the factory if
//! they request it.
use crate::wall::WorkDir;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use ssh_key::PublicKey;

use super::{Finding, Results};
use crate::engine::answer::exit_text;
use crate::engine::heard::{LastLines, REASON, lines_to};
use crate::engine::machine::{Identity, Running, SshFiles, plain_key};
use crate::engine::steps::ROOM;
use crate::engine::{BuildContext, BuildError, checks, child, signs};
use crate::guest::{Command, Exit, RemoteError};
use crate::model::check::{SCRIPTS, ScriptCheck};
use crate::model::event::Verdict;
use crate::system::exec::Cmd;
use crate::system::lines;

/// Maximum output of a check in reports.
const OUTPUT_LIMIT: usize = 64 << 10;

/// This line near the top of a bundle's check makes it run on the factory, against the machine's
/// address.
const OUTSIDE: &str = "# image-factory: outside";

/// The machine under test, and the inputs of its checks.
pub(super) struct Tested<'a> {
    pub running: &'a Running,
    pub build_key: Option<&'a PublicKey>,
    /// `None`: there was no builder.
    pub builder: Option<&'a Identity>,
    pub disk_bytes: u64,
}

/// Runs script checks on one machine.
pub(super) struct Runner<'a> {
    pub site: &'a BuildContext<'a>,
    pub tested: &'a Tested<'a>,
    pub results: &'a Results<'a>,
}

/// A check's script, as it runs in the machine.
struct Inside {
    script: Vec<u8>,
    sudo: bool,
}

pub(super) async fn all(
    site: &BuildContext<'_>,
    tested: &Tested<'_>,
    results: &Results<'_>,
) -> Result<(), BuildError> {
    let runner = Runner { site, tested, results };
    let wanted: Vec<&ScriptCheck> = SCRIPTS.iter().filter(|c| results.wants(c.id)).collect();
    let (alone, rest): (Vec<&ScriptCheck>, Vec<_>) = wanted.into_iter().partition(|c| c.alone);
    let (root, user): (Vec<_>, Vec<_>) = rest.into_iter().partition(|c| c.sudo);
    let (as_user, as_root) =
        tokio::join!(runner.together(&user, false), runner.together(&root, true));
    as_user.and(as_root)?;
    for check in alone {
        let inside = Inside { script: check.script.into(), sudo: check.sudo };
        runner.remote(check.id, inside, runner.limit([check])).await?;
    }
    for path in &results.smoke.tests {
        let file = site.plan.bundle_dir.join(path);
        let id = path.display().to_string();
        let text = std::fs::read(&file)
            .map_err(|source| BuildError::Unreadable { path: file.clone(), source })?;
        let limit = runner.limit([]);
        if String::from_utf8_lossy(&text).lines().take(10).any(|line| line.trim() == OUTSIDE) {
            runner.here(&id, &file, limit).await?;
        } else {
            runner.remote(&id, Inside { script: text, sudo: false }, limit).await?;
        }
    }
    Ok(())
}

impl Runner<'_> {
    /// Time limit of a call that runs `checks`, or one of the bundle.
    pub(super) fn limit<'c>(&self, checks: impl IntoIterator<Item = &'c ScriptCheck>) -> Duration {
        let most = checks.into_iter().map(checks::limit).fold(checks::LIMIT, u64::max);
        Duration::from_secs(self.results.smoke.check_timeout.unwrap_or(most))
    }

    /// Environment of a check. See [`checks`].
    pub(super) fn told(&self) -> BTreeMap<String, String> {
        let Self { site, tested, results } = *self;
        let (plan, running) = (site.plan, tested.running);
        let names = tested.builder.map(|builder| &builder.names[..]).unwrap_or_default();
        let id = tested.builder.and_then(|builder| builder.machine_id.as_deref().ok());
        let env = [
            ("FACTORY_HOSTNAME", running.machine.name.clone()),
            ("FACTORY_USER", running.target.user.clone()),
            ("FACTORY_DISK_BYTES", tested.disk_bytes.to_string()),
            ("FACTORY_NOW", jiff::Timestamp::now().as_second().to_string()),
            ("FACTORY_RUN_BUILDER", names.join(" ")),
            ("FACTORY_BUILDER_ID", id.unwrap_or_default().to_owned()),
            ("FACTORY_BUILD_KEY", tested.build_key.map(plain_key).unwrap_or_default()),
            ("FACTORY_TIDY", plan.tidy.join(" ")),
            ("FACTORY_BUNDLE", plan.family.clone()),
            ("FACTORY_IMAGE_NAME", plan.image_name.clone()),
            ("FACTORY_DNS_NAME", results.smoke.dns_name.clone().unwrap_or_default()),
            ("FACTORY_PACKAGE", results.smoke.package.clone()),
        ];
        env.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
    }

    /// The exit code of a call in the machine, or why there is none. Fails if the cloud lost the
    /// machine.
    pub(super) async fn ended(
        &self,
        exit: Result<Exit, RemoteError>,
    ) -> Result<Result<i32, String>, BuildError> {
        match exit {
            Ok(Exit::Code(code)) => Ok(Ok(code)),
            Ok(exit @ Exit::Signal(_)) => Ok(Err(exit_text(&exit))),
            Err(e) => {
                signs::lost(self.site, &self.tested.running.machine).await?;
                Ok(Err(e.to_string()))
            }
        }
    }

    /// Runs a check in the machine. The last line of its standard output is the reason.
    async fn remote(
        &self,
        id: &str,
        Inside { script, sudo }: Inside,
        limit: Duration,
    ) -> Result<(), BuildError> {
        let Self { site, tested, .. } = *self;
        site.cx.cancel.check()?;
        let begin = Instant::now();
        site.cx.events.doing(format!("check {id}"));
        let last = LastLines::default();
        let command = Command { script, args: Vec::new(), env: self.told(), sudo, deadline: limit };
        let exit = site
            .cx
            .cancel
            .or(tested
                .running
                .remote
                .exec(command, lines_to(site.cx.events.clone(), "check", last.clone())))
            .await?;
        let ended = self.ended(exit).await?;
        self.results.always(id, begin, judge(ended, &last.all()));
        Ok(())
    }

    /// A bundle's check on this machine, behind the wall, with access data for the machine under
    /// test.
    async fn command_here(&self, file: &Path, limit: Duration) -> Result<Cmd, BuildError> {
        let Self { site, tested, .. } = *self;
        let target = &tested.running.target;
        let files = SshFiles::write(site, tested.running)?;
        let config = site.scratch.join("check-ssh-config");
        let options: Vec<String> = files
            .options()
            .chunks(2)
            .filter(|o| o[0] == "-o")
            .map(|o| o[1].replacen('=', " ", 1))
            .collect();
        let text = format!(
            "Host machine\nHostName {}\nPort {}\nUser {}\n{}\n",
            target.host,
            target.port,
            target.user,
            options.join("\n")
        );
        std::fs::write(&config, text)
            .map_err(|source| BuildError::Io { path: config.clone(), source })?;
        let mut cmd = Cmd::new(file, limit).dir(&site.plan.bundle_dir).mark(&site.plan.run);
        for (key, value) in self.told() {
            cmd = cmd.env(key, value);
        }
        // `ssh -F "$FACTORY_SSH_CONFIG" machine` logs in, host key pinned.
        cmd = cmd.env("FACTORY_HOST", &target.host).env("FACTORY_PORT", target.port.to_string());
        cmd = cmd.env("FACTORY_SSH_CONFIG", config.to_string_lossy());
        let room = site.scratch.join(ROOM);
        let room = WorkDir {
            plan: site.plan,
            dir: &room,
            read: vec![config, files.key, files.known_hosts],
            source: false,
        };
        Ok(site.wall.around(cmd, &room, &site.cx.cancel).await?)
    }

    /// Runs a bundle's check on this machine, with access data for the machine under test.
    async fn here(&self, id: &str, file: &Path, limit: Duration) -> Result<(), BuildError> {
        let site = self.site;
        site.cx.cancel.check()?;
        let begin = Instant::now();
        site.cx.events.doing(format!("check {id}, from here"));
        let cmd = self.command_here(file, limit).await?;
        let last = LastLines::default();
        let name = format!("{} {id}", site.plan.run);
        let status = child::run(site.cx, &name, &cmd, |_, line| {
            site.cx.events.output("check", line);
            last.push(line);
        })
        .await;
        let ended = match status {
            Ok(status) => status.code().ok_or_else(|| crate::system::exec::status_text(status)),
            Err(child::ChildError::Exec(e)) => Err(crate::engine::exec_reason(e)?),
            Err(child::ChildError::Ledger(e)) => return Err(e.into()),
        };
        let finding = judge(ended, &last.all());
        if finding.verdict == Verdict::Failed {
            // Nothing here tells why the machine did not answer it.
            signs::lost(site, &self.tested.running.machine).await?;
        }
        self.results.always(id, begin, finding);
        Ok(())
    }
}

/// Result of a check by its exit code, or why there is none.
pub(super) fn judge(ended: Result<i32, String>, said: &[String]) -> Finding {
    let reason = said
        .iter()
        .rev()
        .find(|l| !l.trim().is_empty())
        .map(|l| lines::cut(l.trim(), REASON))
        .unwrap_or_default();
    let (verdict, reason) = match ended {
        Ok(0) => (Verdict::Passed, reason),
        Ok(checks::SKIP) => (Verdict::Skipped, reason),
        Ok(code) => {
            (Verdict::Failed, if reason.is_empty() { format!("exit code {code}") } else { reason })
        }
        Err(why) => (Verdict::Failed, why),
    };
    let output = lines::end_of(&said.join("\n"), OUTPUT_LIMIT).to_owned();
    Finding { verdict, reason, output }
}
