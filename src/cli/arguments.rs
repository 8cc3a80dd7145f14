//! The command line's commands and their common options, as clap parses them and `--help` shows
//! them.
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::{
    build, exit, guest_wire, image, plan, render, run, shell, show, sweep, test, validate,
};

/// OpenStack-native image factory: a bundle becomes a tested, published image.
///
/// A bundle is a directory under `images/` (or `os/`, for operating systems) with a
/// `build-vars.yml`. `build` boots a machine from its base image, runs its steps over SSH, captures
/// it, boots the captured image, tests it, publishes it and renders the bundle's templates with the
/// new image's ID. Without a cloud it does so on this machine, with QEMU.
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
pub struct Common {
    /// Cloud to build on: `local` (QEMU on this machine), or the name of an OpenStack in
    /// clouds.yaml
    #[arg(long, global = true, value_name = "NAME")]
    pub cloud: Option<String>,
    /// The clouds.yaml to use, wherever it lies; one in a factory tree is not read otherwise
    #[arg(long, global = true, value_name = "FILE")]
    pub clouds_file: Option<PathBuf>,
    /// How machines of the local cloud run their code
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "auto",
        env = "IMAGE_FACTORY_ACCEL",
        hide_env_values = true
    )]
    pub accel: AccelArg,
    /// Factory tree: the directory that holds `images/` and `os/` [default: the nearest above the
    /// current one]
    #[arg(long, global = true, value_name = "DIR")]
    pub tree: Option<PathBuf>,
    /// A value of build-vars.yml, over what is written there; can be repeated. For example `--set
    /// machine.ram=2G`
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
    /// How progress is shown
    #[arg(long, global = true, value_enum, default_value = "auto")]
    pub progress: show::Progress,
    /// Machine-readable output, where the command has one
    #[arg(long, global = true)]
    pub json: bool,
    /// Show the output of what runs, too
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Show only warnings, errors and the result
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq)]
pub enum AccelArg {
    /// KVM if a probe shows that it works, else software emulation
    Auto,
    /// Software emulation
    Tcg,
    /// KVM, without a probe
    Kvm,
}

#[derive(Subcommand)]
pub enum Command {
    /// Build bundles: bases first, if they are missing or named too
    ///
    /// Several bundles are built one after the other, or side by side with --jobs. One whose base
    /// was not built is left out. At the end a table tells what became of each; the exit code is
    /// the worst of theirs.
    #[command(after_help = build::EXAMPLES)]
    Build(build::Args),
    /// Check bundles, and say everything that is wrong at once
    Validate(validate::Args),
    /// Render a bundle's templates as a build would, to look at; nothing is built, and no cloud is
    /// asked
    ///
    /// Templates are rendered as ansible-core renders them, with everything that is in
    /// build-vars.yml. What only a build knows has stand-ins: an ID of zeros, a run of the year
    /// 2000; --image puts the ID of a real image in. What would differ from run to run or from
    /// machine to machine (`now`, `random`, lookups, facts) is refused; BUNDLES.md lists it all. A
    /// template without tags is copied byte for byte.
    ///
    /// All that is wrong with the templates is said at once, with places, and the exit code is that
    /// of `validate`: 0, or 10 for errors in the bundle.
    #[command(after_help = render::EXAMPLES)]
    Render(render::Args),
    /// Show what a build would do; nothing is created
    Plan(plan::Args),
    /// Provision a builder and open it at an interactive prompt; it is removed afterwards
    #[command(after_help = shell::CODES)]
    Shell(shell::Args),
    /// Boot an image and run the smoke checks on it
    ///
    /// It boots as two new machines, which are removed again; the image stays as it is. One that a
    /// definition of this tree makes (by its family) is tested as that definition says: its own
    /// checks in tests/, its network, flavor and user. Of any other image all built-in checks run;
    /// --set says what a build-vars.yml would.
    #[command(after_help = test::EXAMPLES)]
    Test(test::Args),
    /// Look at images, roll back, deprecate, prune
    #[command(subcommand)]
    Image(image::Command),
    /// Look at runs
    #[command(subcommand)]
    Run(run::Command),
    /// Remove what dead runs left behind; live ones are not touched
    Sweep(sweep::Args),
    /// Say what this machine lacks, and the command that mends it
    ///
    /// With --json one object: `ok`, and `lines`, each with `ok`, `what` (a program, `wall`,
    /// `proxy`, `cloud`, ...) and `text`. The exit code is 0, or 20 where anything is lacking.
    Doctor,
    /// Print completions for a shell
    Completions {
        /// For example `image-factory completions bash > /etc/bash_completion.d/image-factory`
        shell: clap_complete::Shell,
    },
    /// Print the command-line reference, as in CLI.md
    #[command(hide = true)]
    Reference,
    /// Render templates for the process that started this one, within the bounds of this one
    #[command(hide = true)]
    RenderTemplates { file: i32 },
    /// Load definitions for the process that started this one, within the bounds of this one
    #[command(hide = true)]
    LoadDefinitions { file: i32 },
    /// Carry the frames of a machine of the local cloud
    #[command(hide = true)]
    GuestWire(guest_wire::Args),
}
