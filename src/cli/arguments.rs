//! The command line's commands and their common options, as clap parses them and `--help` shows
//! them.
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::{
    build, cache, exit, guest_wire, image, plan, render, run, shell, show, sweep, test, try_steps,
    validate, warm,
};

/// Build, test and publish machine images, on OpenStack or on this machine
///
/// A bundle is a directory below `images/` (below `os/` for an operating system) with a
/// `build-vars.yml`. `build` boots a machine from the bundle's base image, runs the bundle's steps
/// over SSH and captures the machine. It then boots the captured image, tests it, publishes it and
/// renders the bundle's templates with the new image's ID. If no cloud is selected, builds run on
/// this machine, with QEMU.
#[derive(Parser)]
#[command(name = "image-factory", version, max_term_width = 110, after_long_help = exit::HELP)]
pub struct Cli {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command takes.
#[derive(clap::Args, Clone)]
#[command(next_help_heading = "Global options")]
pub struct Common {
    /// Cloud to use: `local` (QEMU on this machine), or the name of a cloud in clouds.yaml
    /// [default: OS_CLOUD or OS_AUTH_URL, otherwise `local`]
    #[arg(long, global = true, value_name = "NAME")]
    pub cloud: Option<String>,
    /// Path of the clouds.yaml to use
    ///
    /// A clouds.yaml inside a factory tree is read only if this option names it.
    #[arg(long, global = true, value_name = "FILE")]
    pub clouds_file: Option<PathBuf>,
    /// Acceleration of machines of the local cloud
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "auto",
        env = "IMAGE_FACTORY_ACCEL",
        hide_env_values = true
    )]
    pub accel: AccelArg,
    /// Factory tree: a directory that contains `images/` or `os/` [default: the nearest one, from
    /// the current directory upwards]
    #[arg(long, global = true, value_name = "DIR")]
    pub tree: Option<PathBuf>,
    /// Override a value of build-vars.yml, for example `--set machine.ram=2G`
    ///
    /// Can be repeated. Bases that are built first are built as written. A command that uses no
    /// value of build-vars.yml refuses it.
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
    /// Progress display
    #[arg(long, global = true, value_enum, default_value = "auto")]
    pub progress: show::Progress,
    /// Print one JSON document on standard output, also of an error
    ///
    /// `build` and `test` print a list with a row for each bundle. After `--progress json` the
    /// document is one more line. `shell`, `try`, `run log` and `completions` have
    /// none.
    #[arg(long, global = true)]
    pub json: bool,
    /// Also show the output of the programs that run
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Show only warnings, errors and the result
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq)]
pub enum AccelArg {
    /// KVM if a probe shows that it works, otherwise software emulation
    Auto,
    /// Software emulation
    Tcg,
    /// KVM, without a probe
    Kvm,
}

#[derive(Subcommand)]
pub enum Command {
    /// Build bundles, and their missing bases first
    ///
    /// Builds several bundles one after the other, or in parallel with --jobs. A base is built
    /// before the bundles on it, if it has no image or is named too; if its build fails, those
    /// bundles are skipped. A table at the end shows the result of each bundle. The exit code is
    /// that of the worst result.
    #[command(after_help = build::EXAMPLES)]
    Build(build::Args),
    /// Check bundles and report all errors at once
    Validate(validate::Args),
    /// Render a bundle's templates as a build would, without building or contacting a cloud
    ///
    /// Renders templates as ansible-core does, with all values of build-vars.yml. Values that only
    /// a build knows have placeholders: an ID of zeros, and a run of the year 2000. --image inserts
    /// the ID of a real image. Expressions that depend on the time, the run or the machine (`now`,
    /// `random`, lookups, facts) are errors; BUNDLES.md lists them all. A template without tags is
    /// copied byte for byte.
    ///
    /// Reports all errors in the templates at once, with their locations. The exit code is that of
    /// `validate`: 0, or 10 for errors in the bundle.
    #[command(after_help = render::EXAMPLES)]
    Render(render::Args),
    /// Show what a build would do, without creating anything
    Plan(plan::Args),
    /// Provision a builder, open a prompt on it, and remove it afterwards
    #[command(after_help = shell::CODES)]
    Shell(shell::Args),
    /// Run the steps of a bundle again and again on a restored builder, and leave it up in between
    ///
    /// The builder begins from the longest known prefix of the steps, runs what follows, and stays
    /// up with its SSH command until Enter is pressed or, with --watch, a file changes. Then it is
    /// removed, and a restored one runs what follows the change. On a cloud without checkpoints
    /// every run boots a builder.
    #[command(after_help = try_steps::EXAMPLES)]
    Try(try_steps::Args),
    /// Boot an image and run the smoke checks on it
    ///
    /// Boots the image as two new machines and removes them afterwards. The image is not changed.
    /// If a definition of this tree makes images of the same family, the test uses its checks in
    /// tests/, its network, flavor and user. On any other image all built-in checks run; --set
    /// supplies what a build-vars.yml would.
    #[command(after_help = test::EXAMPLES)]
    Test(test::Args),
    /// List and remove the checkpoints of local builds
    #[command(subcommand)]
    Cache(cache::Command),
    /// List, show, roll back, deprecate, adopt and prune images
    #[command(subcommand)]
    Image(image::Command),
    /// List runs, show their results and logs
    #[command(subcommand)]
    Run(run::Command),
    /// Keep warm builders for builds to come, on OpenStack
    ///
    /// Boots as many builders as `warm` of each bundle asks for and its pool lacks, and leaves them
    /// up. Removes those that are older than 4 hours or gone. A build of the bundle takes one in
    /// place of a boot, and removes it when it ends. `build` does the same after it has published;
    /// `sweep --run RUN` removes one.
    Warm(warm::Args),
    /// Remove what dead runs left behind, without touching live runs
    Sweep(sweep::Args),
    /// Check this machine's prerequisites, and print the command that fixes each problem
    ///
    /// --json prints one object: `ok`, and `lines`, each with `ok`, `what` (a program, `wall`,
    /// `proxy`, `cloud`, ...) and `text`. The exit code is 0, or 20 if a prerequisite is missing.
    Doctor,
    /// Print completions for a shell
    Completions {
        /// Shell to complete for
        ///
        /// Example: `image-factory completions bash > /etc/bash_completion.d/image-factory`
        shell: clap_complete::Shell,
    },
    /// Print the command-line reference, as in CLI.md
    #[command(hide = true)]
    Reference,
    /// Render templates for the parent process, within this process's limits
    #[command(hide = true)]
    RenderTemplates { file: i32 },
    /// Load definitions for the parent process, within this process's limits
    #[command(hide = true)]
    LoadDefinitions { file: i32 },
    /// Forward the network frames of a machine of the local cloud
    #[command(hide = true)]
    GuestWire(guest_wire::Args),
}

impl Command {
    /// Whether values of build-vars.yml count, so that `--set` may change them.
    pub fn reads_values(&self) -> bool {
        match self {
            Self::Build(_)
            | Self::Validate(_)
            | Self::Render(_)
            | Self::Plan(_)
            | Self::Shell(_)
            | Self::Test(_)
            | Self::Try(_)
            | Self::Warm(_) => true,
            Self::Image(_)
            | Self::Cache(_)
            | Self::Run(_)
            | Self::Sweep(_)
            | Self::Doctor
            | Self::Completions { .. }
            | Self::Reference
            | Self::RenderTemplates { .. }
            | Self::LoadDefinitions { .. }
            | Self::GuestWire(_) => false,
        }
    }
}
