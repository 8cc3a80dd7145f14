//! `image-factory build`
use std::process::ExitCode;

use super::{Context, Failure, err, exit};
use crate::bundle::Bundle;
use crate::run::{self, Ended, Setup};

#[derive(clap::Args)]
pub struct Args {
    /// `images/X`, `os/Y`, the bare name of one, or a path
    #[arg(required = true, value_name = "BUNDLE")]
    bundles: Vec<String>,
    /// Leave the machine of a failed build up, and print the command that opens it
    #[arg(long)]
    keep_on_failure: bool,
    /// Publish without booting the captured image: nobody knows whether it works
    #[arg(long)]
    no_smoke: bool,
    /// Do not have rendered Heat templates checked by the cloud's Heat
    #[arg(long)]
    no_heat_validate: bool,
}

pub async fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let bundles = context.load(&args.bundles)?;
    let (cloud, line) = context.cloud()?;
    if !context.common.quiet {
        err(&line);
    }
    let show = context.show();
    let setup = Setup {
        keep_on_failure: args.keep_on_failure,
        smoke: !args.no_smoke,
        check_templates: !args.no_heat_validate,
        ..context.setup(&*cloud, &show)
    };
    let mut code = 0;
    for bundle in &bundles {
        let ended = run::run(&setup, bundle).await;
        let this = exit::code(&ended);
        tell(bundle, ended);
        code = if code == 0 { this } else { code };
        if context.cancel.check().is_err() {
            break;
        }
    }
    Ok(ExitCode::from(code))
}

/// What a person needs to know after the last line of the run itself.
pub fn tell(bundle: &Bundle, ended: Ended) {
    let Ended { result, leaks, kept, dir } = ended;
    match result {
        Err(e) if dir.is_none() => {
            let _ = Failure::from(e).report();
        }
        Err(e) => {
            if let Some(hint) = exit::run_hint(&e) {
                err(&format!("    hint: {hint}"));
            }
        }
        Ok(_) => {}
    }
    for leak in &leaks {
        err(&format!("left behind: {} {}: {}", leak.entry.kind.name(), leak.entry.name, leak.reason));
    }
    if !leaks.is_empty() {
        err("    hint: `image-factory sweep` tries again");
    }
    if let (Some(kept), Some(dir)) = (&kept, &dir) {
        let run = dir.file_name().unwrap_or_default().to_string_lossy();
        err(&format!("{} is still up. Open it:    {}", kept.machine, kept.ssh.join(" ")));
        err(&format!("Remove it when done:        image-factory sweep --run {run}"));
    }
    if let Some(dir) = &dir {
        let shown = dir.strip_prefix(&bundle.tree).unwrap_or(dir);
        err(&format!("log: {}", shown.join("build.log").display()));
    }
}
