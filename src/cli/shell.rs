//! `image-factory shell`: the builder, provisioned so far, at an interactive prompt.
use std::process::{ExitCode, Stdio};

use async_trait::async_trait;

use super::{Context, Failure, build, err, exit};
use crate::build::{BuildError, Interactive, Opened};
use crate::run::{self, RunError, Setup};

pub const CODES: &str = "\
Exit code: 0 when you leave the builder, or 30 if a step had failed before you came. No image is made, and the builder is removed.";

#[derive(clap::Args)]
pub struct Args {
    /// As `build` takes it
    bundle: String,
}

pub async fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let bundles = context.load(std::slice::from_ref(&args.bundle)).await?;
    let (cloud, line) = context.cloud()?;
    err(&line);
    let show = context.show();
    let setup = Setup { person: Some(&Prompt), ..context.setup(&*cloud, &show)? };
    let mut code = 0;
    for bundle in &bundles {
        let ended = run::run(&setup, bundle).await;
        code = exit::code(&ended);
        match &ended.result {
            // It was opened all the same: this is how.
            Err(RunError::Build(BuildError::Step { .. } | BuildError::StepRemote { .. })) => build::tell_of(bundle, ended),
            _ => build::tell(bundle, ended),
        }
    }
    Ok(ExitCode::from(code))
}

/// Hands the terminal to `ssh`.
struct Prompt;

#[async_trait]
impl Interactive for Prompt {
    async fn open(&self, builder: &Opened, failed: Option<&BuildError>) {
        match failed {
            Some(e) => err(&format!("{e}\nThis is the builder as that left it. `exit` removes it.")),
            None => err("This is the provisioned builder. `exit` removes it."),
        }
        let Some((program, args)) = builder.ssh.split_first() else { return };
        #[allow(clippy::disallowed_methods)] // the one process that is not `exec`'s: it has the terminal, and ends when its user wants
        // It shares our terminal and process group, so that the keyboard is its own while it runs.
        let status = tokio::process::Command::new(program).args(args).stdin(Stdio::inherit()).status().await;
        if let Err(e) = status {
            err(&format!("error: cannot start {program}: {e}"));
        }
    }
}
