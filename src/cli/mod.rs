//! The command line: the only part that reads the environment, listens to signals and prints.
use std::process::ExitCode;

use crate::frontend;
use crate::report;

mod arguments;
mod build;
mod cache;
mod clouds;
mod command_line;
mod context;
mod definitions;
mod doctor;
pub mod exit;
pub mod findings;
mod guest_wire;
mod image;
mod missing;
mod permissions;
mod places;
mod plan;
mod print;
mod provider;
mod reference;
mod render;
mod run;
mod shell;
pub mod show;
mod signals;
mod surroundings;
mod sweep;
mod syntax;
mod test;
mod try_steps;
mod validate;
mod vault;
mod warm;

use arguments::{Cli, Command, Common};
use context::Context;
use definitions::LoadResult;
use exit::Failure;
use print::{document, err, out, out_as_is};

/// Forbids core dumps and debuggers of this process, because its memory holds passwords and tokens.
/// Child processes are not affected.
fn keep_memory_private() {
    // SAFETY: plain system call.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) };
}

/// Parses the command line, runs the command, and gives the exit code of `exit::HELP`.
pub fn main() -> ExitCode {
    surroundings::settle();
    let cli = command_line::parse();
    if let Command::GuestWire(args) = cli.command {
        // It holds no secret, and has to be found by the mark in its environment, which nobody
        // could read of a private process.
        return guest_wire::run(args).unwrap_or_else(|failure| failure.report());
    }
    keep_memory_private();
    // Before anything else is set up: signals end them, and they need neither a home nor a runtime.
    let served = match cli.command {
        Command::RenderTemplates { file } => Some(report::serve(file)),
        Command::LoadDefinitions { file } => Some(frontend::serve(file)),
        _ => None,
    };
    if let Some(served) = served {
        return served.map_or_else(|why| Failure::host(why).report(), |()| ExitCode::SUCCESS);
    }
    let common = cli.common.clone();
    let failed = |failure: Failure| {
        if common.json && !show::patient::said() {
            failure.document(&common);
        }
        failure.report()
    };
    let context = match Context::new(cli.common) {
        Ok(context) => context,
        Err(failure) => return failed(failure),
    };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    // As large as a main thread's stack: a build is one future, and its frames are deep.
    let runtime = match runtime.worker_threads(2).thread_stack_size(8 << 20).enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return Failure::host(format!("cannot start: {e}")).report(),
    };
    let done = runtime.block_on(async {
        context.listen_to_signals();
        dispatch(&context, cli.command).await
    });
    // A thread that still reads from a dead machine must not hold the exit up.
    runtime.shutdown_background();
    match done {
        Ok(_) if show::patient::was_cut() => ExitCode::from(exit::STOPPED),
        Ok(code) => match show::patient::lost() {
            Some(e) => Failure::host(format!("cannot write to standard output: {e}")).report(),
            None => code,
        },
        Err(failure) => failed(failure),
    }
}

async fn dispatch(context: &Context, command: Command) -> Result<ExitCode, Failure> {
    // Its value may be a secret.
    if !command.reads_values() && !context.common.sets.is_empty() {
        return Err(Failure::usage("`--set` changes nothing in this command").hint(
            "it changes values for `build`, `plan`, `render`, `shell`, `test`, `try`, `validate`, \
                `warm`",
        ));
    }
    match command {
        Command::Build(args) => build::run(context, &args).await,
        Command::Validate(args) => validate::run(context, &args).await,
        Command::Render(args) => render::run(context, &args).await,
        Command::Plan(args) => plan::run(context, &args).await,
        Command::Shell(args) => shell::run(context, &args).await,
        Command::Test(args) => test::run(context, &args).await,
        Command::Try(args) => try_steps::run(context, &args).await,
        Command::Cache(command) => cache::run(context, &command),
        Command::Image(command) => image::run(context, &command).await,
        Command::Run(command) => run::run(context, &command),
        Command::Warm(args) => warm::run(context, &args).await,
        Command::Sweep(args) => sweep::run(context, &args).await,
        Command::Doctor => doctor::run(context).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(
                shell,
                &mut <Cli as clap::CommandFactory>::command(),
                "image-factory",
                &mut script,
            );
            show::patient::stdout(&script);
            Ok(ExitCode::SUCCESS)
        }
        Command::GuestWire(_) => unreachable!("it was done before"),
        Command::Reference => {
            out(&reference::text());
            Ok(ExitCode::SUCCESS)
        }
        Command::RenderTemplates { .. } | Command::LoadDefinitions { .. } => {
            unreachable!("it was done before")
        }
    }
}
