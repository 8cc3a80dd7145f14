//! `image-factory shell`: an interactive prompt on the provisioned builder.
use std::io::IsTerminal;
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{Context, Failure, build, err};
use crate::engine::{BuildError, Goal, Interactive, SshAccess};
use crate::jobs::{RunError, RunOptions, RunRequest};
use crate::system::cancel::Cancel;

pub const CODES: &str = "\
The exit code is 0 when you leave the builder, 30 if a step failed before the prompt opened, and
2 if standard input is not a terminal. No image is made.";

/// Time for `ssh` to end by itself.
const LEAVE: Duration = Duration::from_secs(5);

#[derive(clap::Args)]
pub struct Args {
    /// Bundle: `images/X`, `os/Y`, a bare name, or a path
    bundle: String,
}

pub async fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let bundles = context.load(std::slice::from_ref(&args.bundle)).await?;
    let (cloud, line) = context.cloud()?;
    // Fails before building something that nobody can use.
    if !std::io::stdin().is_terminal() {
        let failure = Failure::usage("`shell` opens a prompt, and standard input is no terminal");
        return Err(failure.hint(
            "start it at a terminal; without one `build --keep-on-failure` leaves a \
                builder up, and tells how to log in",
        ));
    }
    err(&line);
    let factory = context.factory(cloud)?;
    let goal = Goal::Provisioned(Arc::new(Prompt(context.cancel.clone())));
    let options = RunOptions { goal, ..context.options() };
    let mut code = 0;
    for bundle in &bundles {
        let request = RunRequest { definition: bundle.clone(), options: options.clone() };
        let ended = factory.build(request).await;
        code = ended.exit_code();
        match &ended.result {
            // It was opened all the same: this is how.
            Err(RunError::Build(BuildError::Step { .. } | BuildError::StepRemote { .. })) => {
                build::tell_of(bundle, ended)
            }
            _ => build::tell(bundle, ended),
        }
    }
    Ok(ExitCode::from(code))
}

/// Hands the terminal to `ssh` until the user or a signal ends it.
struct Prompt(Cancel);

#[async_trait]
impl Interactive for Prompt {
    async fn open(&self, builder: &SshAccess, failed: Option<&BuildError>) {
        match failed {
            Some(e) => {
                err(&format!("{e}\nThis is the builder as that left it. `exit` removes it."))
            }
            None => err("This is the provisioned builder. `exit` removes it."),
        }
        let Some((program, args)) = builder.ssh.split_first() else { return };
        #[allow(clippy::disallowed_methods)]
        // the one process that is not `exec`'s: it has the terminal, and ends when its user wants
        // It shares our terminal and process group, so that the keyboard is its own while it runs.
        let ssh = tokio::process::Command::new(program).args(args).stdin(Stdio::inherit()).spawn();
        let mut ssh = match ssh {
            Ok(ssh) => ssh,
            Err(e) => return err(&format!("error: cannot start {program}: {e}")),
        };
        tokio::select! {
            biased;
            _ = ssh.wait() => return,
            () = self.0.stopped() => {}
        }
        // Asked first: it leaves the terminal as it found it.
        if let Some(id) = ssh.id().and_then(|id| i32::try_from(id).ok()) {
            // SAFETY: plain system call on a child that is not waited for yet.
            unsafe { libc::kill(id, libc::SIGTERM) };
        }
        if tokio::time::timeout(LEAVE, ssh.wait()).await.is_err() {
            let _ = ssh.kill().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn opened(ssh: &[&str]) -> SshAccess {
        serde_json::from_value(serde_json::json!({ "machine": "m", "ssh": ssh }))
            .expect("a machine that is up")
    }

    /// `kill` of a shell means the visit, too; a program that does not care is ended all the same.
    #[tokio::test]
    async fn a_signal_ends_the_visit() {
        for script in ["exec sleep 600", "trap '' TERM; while :; do sleep 1; done"] {
            let (cancel, begin) = (Cancel::default(), Instant::now());
            let stop = cancel.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(500)).await;
                stop.signal();
            });
            Prompt(cancel).open(&opened(&["sh", "-c", script]), None).await;
            assert!(begin.elapsed() < Duration::from_secs(60), "{script}: {:?}", begin.elapsed());
        }
    }
}
