//! The command line: the only part that reads the environment, listens to signals and prints.
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};

use crate::bundle::{self, Bundle};
use crate::cancel::Cancel;
use crate::cloud::Cloud;
use crate::cloud::local::{Accel, Local, LocalConfig};
use crate::cloud::openstack::{self, OpenStack};
use crate::diagnostic::Diagnostic;
use crate::event::Sink;
use crate::output;
use crate::plan::SiteDefaults;
use crate::remote::ssh::Ssh;
use crate::run::{Home, Setup, Show};

mod build;
mod doctor;
pub mod exit;
mod guest_wire;
mod image;
mod plan;
mod reference;
mod run;
mod shell;
pub mod show;
mod sweep;
mod test;
mod validate;

use exit::Failure;

/// OpenStack-native image factory: a bundle becomes a tested, published image.
///
/// A bundle is a directory under `images/` (or `os/`, for operating systems) with a `build-vars.yml`. `build` boots a
/// machine from its base image, runs its steps over SSH, captures it, boots the captured image, tests it, publishes it
/// and renders the bundle's templates with the new image's ID. Without a cloud it does so on this machine, with QEMU.
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
    /// Cloud to build on: `local` (QEMU on this machine), or the name of an OpenStack in clouds.yaml
    #[arg(long, global = true, value_name = "NAME")]
    pub cloud: Option<String>,
    /// How machines of the local cloud run their code
    #[arg(long, global = true, value_enum, default_value = "auto", env = "IMAGE_FACTORY_ACCEL", hide_env_values = true)]
    pub accel: AccelArg,
    /// Factory tree: the directory that holds `images/` and `os/` [default: the nearest above the current one]
    #[arg(long, global = true, value_name = "DIR")]
    pub tree: Option<PathBuf>,
    /// A value of build-vars.yml, over what is written there; may be given often. For example `--set machine.ram=2G`
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
    /// Several bundles are built one after the other, or side by side with --jobs. One whose base was not built is left out. At the
    /// end a table tells what became of each; the exit code is the worst of theirs.
    #[command(after_help = build::EXAMPLES)]
    Build(build::Args),
    /// Check bundles offline, and say everything that is wrong at once
    Validate(validate::Args),
    /// Show what a build would do; nothing is created
    Plan(plan::Args),
    /// Provision a builder and open it at an interactive prompt; it is removed afterwards
    Shell(shell::Args),
    /// Boot an image and run the smoke checks on it
    ///
    /// It boots as two new machines, which are removed again; the image stays as it is. One that a definition of this tree makes (by
    /// its family) is tested as that definition says: its own checks in tests/, its network, flavor and user. Of any other image
    /// all built-in checks run; --set says what a build-vars.yml would.
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
    Doctor,
    /// Print completions for a shell
    Completions {
        /// For example `image-factory completions bash > /etc/bash_completion.d/image-factory`
        shell: clap_complete::Shell,
    },
    /// Print the command-line reference, as in CLI.md
    #[command(hide = true)]
    Reference,
    /// Carry the frames of a machine of the local cloud
    #[command(hide = true)]
    GuestWire(guest_wire::Args),
}

/// What a command works with: options, environment and a way to be stopped.
pub struct Context {
    pub common: Common,
    pub home: Home,
    pub cancel: Cancel,
    pub terminal: show::Terminal,
}

/// Parses the command line, runs the command, and gives the exit code of `exit::HELP`.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Command::GuestWire(args) = cli.command {
        return guest_wire::run(args).unwrap_or_else(|failure| failure.report());
    }
    let context = match Context::new(cli.common) {
        Ok(context) => context,
        Err(failure) => return failure.report(),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
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
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

async fn dispatch(context: &Context, command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Build(args) => build::run(context, &args).await,
        Command::Validate(args) => validate::run(context, &args),
        Command::Plan(args) => plan::run(context, &args).await,
        Command::Shell(args) => shell::run(context, &args).await,
        Command::Test(args) => test::run(context, &args).await,
        Command::Image(command) => image::run(context, &command).await,
        Command::Run(command) => run::run(context, &command),
        Command::Sweep(args) => sweep::run(context, &args).await,
        Command::Doctor => doctor::run(context).await,
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut <Cli as clap::CommandFactory>::command(), "image-factory", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
        Command::GuestWire(args) => guest_wire::run(args),
        Command::Reference => {
            out(&reference::text());
            Ok(ExitCode::SUCCESS)
        }
    }
}

impl Context {
    fn new(common: Common) -> Result<Self, Failure> {
        let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let data = set("IMAGE_FACTORY_HOME")
            .or_else(|| set("XDG_DATA_HOME").map(|d| d.join("image-factory")))
            .or_else(|| set("HOME").map(|d| d.join(".local/share/image-factory")))
            .ok_or_else(|| Failure::usage("neither IMAGE_FACTORY_HOME nor HOME is set"))?;
        let data = std::path::absolute(&data).map_err(|e| Failure::usage(format!("{}: {e}", data.display())))?;
        // SAFETY: plain system call without arguments.
        let uid = unsafe { libc::getuid() };
        // Socket paths are limited to 108 bytes; a long XDG_RUNTIME_DIR is no use.
        let runtime = set("XDG_RUNTIME_DIR")
            .filter(|d| d.is_dir() && d.as_os_str().len() < 32)
            .map_or_else(|| PathBuf::from(format!("/tmp/image-factory-{uid}")), |d| d.join("image-factory"));
        let terminal = show::Terminal::of_stderr(|name| std::env::var(name).ok());
        Ok(Self { common, home: Home { data, runtime }, cancel: Cancel::default(), terminal })
    }

    /// INT, TERM and HUP ask for an orderly end; a second one for a fast one. Jenkins and terminals that are closed send
    /// several at once and mean one: what comes within a second of the last is the same.
    fn listen_to_signals(&self) {
        use tokio::signal::unix::{SignalKind, signal};
        let last: Arc<Mutex<Option<Instant>>> = Arc::default();
        for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
            let Ok(mut stream) = signal(kind) else { continue };
            let (cancel, last) = (self.cancel.clone(), last.clone());
            tokio::spawn(async move {
                while stream.recv().await.is_some() {
                    let before = last.lock().expect("nothing panics in here").replace(Instant::now());
                    if before.is_none_or(|at| at.elapsed() > Duration::from_secs(1)) {
                        cancel.signal();
                    }
                }
            });
        }
    }

    pub fn tree(&self) -> Result<PathBuf, Failure> {
        let start = match &self.common.tree {
            Some(dir) => dir.canonicalize().map_err(|e| Failure::usage(format!("--tree {}: {e}", dir.display())))?,
            None => std::env::current_dir().map_err(|e| Failure::host(format!("current directory: {e}")))?,
        };
        bundle::find_tree(&start).ok_or_else(|| {
            Failure::usage(format!("{} is in no factory tree", start.display()))
                .hint("a factory tree holds `images/` or `os/`; go into one, or name it with --tree")
        })
    }

    /// The cloud, and a line that says which and why.
    pub fn cloud(&self) -> Result<(Box<dyn Cloud>, String), Failure> {
        let set = |name: &'static str| std::env::var(name).ok().filter(|v| !v.is_empty()).map(|v| (name, v));
        let (name, why) = match (&self.common.cloud, set("OS_CLOUD").or_else(|| set("OS_AUTH_URL"))) {
            (Some(name), _) => (name.clone(), "--cloud".to_owned()),
            (None, Some((variable, value))) => (value, format!("{variable} is set")),
            (None, None) => ("local".to_owned(), "no --cloud, OS_CLOUD or OS_AUTH_URL".to_owned()),
        };
        if name != "local" {
            // A URL is no name in clouds.yaml: then the environment says it all.
            let named = self.common.cloud.clone().or_else(|| set("OS_CLOUD").map(|(_, value)| value));
            return Ok((Box::new(self.openstack(named.as_deref())?), format!("cloud: {name} ({why})")));
        }
        let accel = match self.common.accel {
            AccelArg::Auto => Accel::Auto,
            AccelArg::Tcg => Accel::Tcg,
            AccelArg::Kvm => Accel::Kvm,
        };
        let config =
            LocalConfig { home: self.home.data.clone(), runtime: self.home.runtime.clone(), accel, program: std::env::current_exe().ok() };
        Ok((Box::new(Local::new(config)), format!("cloud: local ({why})")))
    }

    fn openstack(&self, named: Option<&str>) -> Result<OpenStack, Failure> {
        let env: BTreeMap<String, String> = std::env::vars().filter(|(key, _)| key.starts_with("OS_")).collect();
        let set = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
        let config_home = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|h| format!("{h}/.config"))).unwrap_or_default();
        let dirs = [PathBuf::from("."), PathBuf::from(config_home).join("openstack"), PathBuf::from("/etc/openstack")];
        let login = openstack::login::login(named, &env, &dirs).map_err(|e| {
            let failure = Failure::cloud(e.to_string());
            if let Some(hint) = e.hint { failure.hint(hint) } else { failure }
        })?;
        if !self.common.quiet {
            login.warnings.iter().for_each(|warning| err(&format!("warning: {warning}")));
        }
        let words = |name: &str| -> Vec<String> {
            set(name).map(|v| v.split([',', ' ']).filter(|w| !w.is_empty()).map(str::to_owned).collect()).unwrap_or_default()
        };
        let (ids, names) = (words("FACTORY_SECURITY_GROUP_ID"), words("FACTORY_SECURITY_GROUP_NAME"));
        let config = openstack::Config {
            login,
            home: self.home.data.clone(),
            runtime: self.home.runtime.clone(),
            defaults: SiteDefaults { networks: words("FACTORY_NETWORK_ID"), security_groups: if ids.is_empty() { names } else { ids } },
            owner: std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned(),
            ssh_from: words("FACTORY_SSH_FROM"),
        };
        Ok(OpenStack::new(config)?)
    }

    /// Makes the sink for each run.
    pub fn show(&self) -> impl Fn(&str) -> Box<dyn Sink> + Send + Sync + '_ {
        |_| show::sink(self.common.progress, self.verbosity(), &self.terminal)
    }

    pub fn setup<'a>(&'a self, cloud: &'a dyn Cloud, show: &'a Show<'a>) -> Setup<'a> {
        Setup {
            cloud,
            connect: &Ssh,
            home: &self.home,
            cancel: &self.cancel,
            show,
            keep_on_failure: false,
            smoke: true,
            check_templates: true,
            test_only: false,
            person: None,
        }
    }

    /// Finds and loads bundles; what is wrong with any of them is said together.
    pub fn load(&self, names: &[String]) -> Result<Vec<Bundle>, Failure> {
        let tree = self.tree()?;
        let (mut bundles, mut wrong) = (Vec::new(), Vec::new());
        let sets = self.overrides()?;
        for name in names {
            match bundle::find(&tree, name).map_err(|d| vec![d]).and_then(|dir| bundle::load_with(&tree, &dir, &sets)) {
                Ok(loaded) => {
                    self.show_diagnostics(&loaded.warnings);
                    wrong.extend(output::templates::check(&loaded.bundle));
                    wrong.extend(bundle::check_work(&loaded.bundle));
                    bundles.push(loaded.bundle);
                }
                Err(diagnostics) => wrong.extend(diagnostics),
            }
        }
        let all: Vec<Bundle> = bundle::all(&tree).iter().filter_map(|dir| bundle::load(&tree, dir).ok()).map(|l| l.bundle).collect();
        let mine = |d: &Diagnostic| d.place.as_ref().is_some_and(|p| bundles.iter().any(|b| b.places.values().any(|q| q.file == p.file)));
        wrong.extend(bundle::check_bases(&all.iter().collect::<Vec<_>>()).into_iter().filter(mine));
        if wrong.iter().any(Diagnostic::is_error) { Err(Failure::bundle(wrong)) } else { Ok(bundles) }
    }

    /// What `--set` says, for the bundles that are named; a base that is built first is built as written.
    pub fn overrides(&self) -> Result<Vec<bundle::Override>, Failure> {
        self.common.sets.iter().map(|s| bundle::Override::parse(s).map_err(|d| Failure::bundle(vec![d]))).collect()
    }

    pub fn verbosity(&self) -> i8 {
        if self.common.quiet { -1 } else { i8::try_from(self.common.verbose).unwrap_or(i8::MAX) }
    }

    pub fn show_diagnostics(&self, diagnostics: &[Diagnostic]) {
        for diagnostic in diagnostics {
            err(&diagnostic.to_string());
        }
    }
}

/// A line on standard output. A reader that went away (`| head`) is not an error.
pub fn out(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end_matches('\n'));
}

/// A line on standard error.
pub fn err(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{}", text.trim_end_matches('\n'));
}
