//! The command line: the only part that reads the environment, listens to signals and prints.
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};

use crate::bundle::{self, Bundle, LoadRequest, Loaded, Unsound};
use crate::cancel::Cancel;
use crate::cloud::Cloud;
use crate::cloud::local::{Accel, Local, LocalConfig};
use crate::cloud::openstack::login::Login;
use crate::cloud::openstack::{self, OpenStack};
use crate::diagnostic::Diagnostic;
use crate::event::Sink;
use crate::guest::ssh::Ssh;
use crate::http::Proxies;
use crate::plan::PlacementDefaults;
use crate::report;
use crate::run::{Home, Results, RunError, RunOptions, Show};
use crate::settings;
use crate::wall::{self, Wall};

mod build;
mod clouds;
mod command_line;
mod doctor;
pub mod exit;
pub mod findings;
mod guest_wire;
mod image;
mod missing;
mod places;
mod plan;
mod reference;
mod render;
mod run;
mod shell;
pub mod show;
mod surroundings;
mod sweep;
mod syntax;
mod test;
mod validate;
mod vault;

use exit::Failure;

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
    /// Can be repeated. Bases that are built first are built as written.
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
    /// Progress display
    #[arg(long, global = true, value_enum, default_value = "auto")]
    pub progress: show::Progress,
    /// Print machine-readable output, if the command supports it
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
    /// Boot an image and run the smoke checks on it
    ///
    /// Boots the image as two new machines and removes them afterwards. The image is not changed.
    /// If a definition of this tree makes images of the same family, the test uses its checks in
    /// tests/, its network, flavor and user. On any other image all built-in checks run; --set
    /// supplies what a build-vars.yml would.
    #[command(after_help = test::EXAMPLES)]
    Test(test::Args),
    /// List, show, roll back, deprecate, adopt and prune images
    #[command(subcommand)]
    Image(image::Command),
    /// List runs, show their results and logs
    #[command(subcommand)]
    Run(run::Command),
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

/// A definition, or what is wrong with it.
type Definition = Result<Loaded, Unsound>;

/// What a command works with: options, environment and a way to be stopped.
pub struct Context {
    pub common: Common,
    pub home: Home,
    pub cancel: Cancel,
    pub terminal: show::Terminal,
    /// Renders templates: this program again, with `render-templates`.
    pub templates: report::Renderer,
    /// Loads definitions: this program again, with `load-definitions`.
    definitions: bundle::Loader,
    /// By which the network is reached.
    pub proxies: Proxies,
    wall: OnceLock<Wall>,
}

/// `$XDG_CONFIG_HOME`, or what it stands for.
fn config_home() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    set("XDG_CONFIG_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".config")))
        .filter(|dir| dir.is_absolute())
}

/// No core dump of this process, and no debugger of another of this user's: its memory holds
/// passwords and tokens. What it starts is not affected.
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
        Command::LoadDefinitions { file } => Some(bundle::serve(file)),
        _ => None,
    };
    if let Some(served) = served {
        return served.map_or_else(|why| Failure::host(why).report(), |()| ExitCode::SUCCESS);
    }
    let context = match Context::new(cli.common) {
        Ok(context) => context,
        Err(failure) => return failure.report(),
    };
    let runtime =
        match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
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
        Err(failure) => failure.report(),
    }
}

async fn dispatch(context: &Context, command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Build(args) => build::run(context, &args).await,
        Command::Validate(args) => validate::run(context, &args).await,
        Command::Render(args) => render::run(context, &args).await,
        Command::Plan(args) => plan::run(context, &args).await,
        Command::Shell(args) => shell::run(context, &args).await,
        Command::Test(args) => test::run(context, &args).await,
        Command::Image(command) => image::run(context, &command).await,
        Command::Run(command) => run::run(context, &command),
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

impl Context {
    fn new(common: Common) -> Result<Self, Failure> {
        let home = places::home(!common.quiet)?;
        let terminal = show::Terminal::of_stderr(|name| std::env::var(name).ok());
        let templates = report::Renderer::new("/proc/self/exe", "render-templates");
        let definitions = bundle::Loader::new("/proc/self/exe", "load-definitions");
        let proxies = Proxies::read(|name| std::env::var_os(name));
        Ok(Self {
            common,
            home,
            cancel: Cancel::default(),
            terminal,
            templates,
            definitions,
            proxies,
            wall: OnceLock::new(),
        })
    }

    /// INT, TERM, HUP and QUIT ask for an orderly end; a second one for a fast one. Jenkins and
    /// terminals that are closed send several at once and mean one: what comes within a second of
    /// the last is the same.
    fn listen_to_signals(&self) {
        use tokio::signal::unix::{SignalKind, signal};
        show::patient::stopped_by(&self.cancel);
        let last: Arc<Mutex<Option<Instant>>> = Arc::default();
        for kind in [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
            SignalKind::quit(),
        ] {
            let Ok(mut stream) = signal(kind) else { continue };
            let (cancel, last) = (self.cancel.clone(), last.clone());
            tokio::spawn(async move {
                while stream.recv().await.is_some() {
                    let before =
                        last.lock().expect("nothing panics in here").replace(Instant::now());
                    if before.is_none_or(|at| at.elapsed() > Duration::from_secs(1)) {
                        cancel.signal();
                    }
                }
            });
        }
    }

    pub fn tree(&self) -> Result<PathBuf, Failure> {
        let start = match &self.common.tree {
            Some(dir) => dir
                .canonicalize()
                .map_err(|e| Failure::usage(format!("--tree {}: {e}", dir.display())))?,
            None => std::env::current_dir()
                .map_err(|e| Failure::host(format!("current directory: {e}")))?,
        };
        bundle::find_tree(&start).ok_or_else(|| {
            Failure::usage(format!("{} is in no factory tree", start.display())).hint(
                "a factory tree holds `images/` or `os/`; go into one, or name it with --tree",
            )
        })
    }

    /// The cloud, and a line that says which and why. Whatever is done there may be written down
    /// below our directories.
    pub fn cloud(&self) -> Result<(Box<dyn Cloud>, String), Failure> {
        let open = self.home.check()?;
        if !self.common.quiet {
            open.iter().for_each(|one| err(&format!("warning: {one}")));
        }
        let set = |name: &'static str| {
            std::env::var(name).ok().filter(|v| !v.is_empty()).map(|v| (name, v))
        };
        let (name, why) = match (&self.common.cloud, set("OS_CLOUD").or_else(|| set("OS_AUTH_URL")))
        {
            (Some(name), _) => (name.clone(), "--cloud".to_owned()),
            (None, Some((variable, value))) => (value, format!("{variable} is set")),
            (None, None) => ("local".to_owned(), "no --cloud, OS_CLOUD or OS_AUTH_URL".to_owned()),
        };
        if let (Some(file), None) = (
            &self.common.clouds_file,
            self.common.cloud.as_ref().or(set("OS_CLOUD").map(|_| &name)),
        ) {
            let failure = Failure::usage(format!(
                "--clouds-file {}: no cloud of it is named",
                file.display()
            ));
            return Err(failure.hint(
                "--cloud NAME or OS_CLOUD names one; without --clouds-file \
                this machine is the cloud",
            ));
        }
        if name != "local" {
            // A URL is no name in clouds.yaml: then the environment says it all.
            let named =
                self.common.cloud.clone().or_else(|| set("OS_CLOUD").map(|(_, value)| value));
            return Ok((
                Box::new(self.openstack(named.as_deref())?),
                format!("cloud: {name} ({why})"),
            ));
        }
        // Said to whoever asked for it by name.
        let asked = self.common.cloud.is_some() || set("OS_CLOUD").is_some();
        if let Some(warning) =
            clouds::local_is_no_entry(&self.common)?.filter(|_| asked && !self.common.quiet)
        {
            err(&format!("warning: {warning}"));
        }
        let accel = match self.common.accel {
            AccelArg::Auto => Accel::Auto,
            AccelArg::Tcg => Accel::Tcg,
            AccelArg::Kvm => Accel::Kvm,
        };
        let config = LocalConfig {
            home: self.home.data.clone(),
            runtime: self.home.runtime.clone(),
            accel,
            program: std::env::current_exe().ok(),
        };
        Ok((Box::new(Local::new(config)), format!("cloud: local ({why})")))
    }

    fn openstack(&self, named: Option<&str>) -> Result<OpenStack, Failure> {
        let set = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
        let login = Login { proxies: self.proxies.clone(), ..clouds::login(&self.common, named)? };
        self.proxies.check(&login.auth_url)?;
        if !self.common.quiet {
            login.warnings.iter().for_each(|warning| err(&format!("warning: {warning}")));
        }
        let words = |name: &str| -> Vec<String> {
            set(name)
                .map(|v| v.split([',', ' ']).filter(|w| !w.is_empty()).map(str::to_owned).collect())
                .unwrap_or_default()
        };
        let (ids, names) =
            (words("FACTORY_SECURITY_GROUP_ID"), words("FACTORY_SECURITY_GROUP_NAME"));
        let config = openstack::Config {
            login,
            home: self.home.data.clone(),
            runtime: self.home.runtime.clone(),
            defaults: PlacementDefaults {
                networks: words("FACTORY_NETWORK_ID"),
                security_groups: if ids.is_empty() { names } else { ids },
            },
            owner: std::fs::read_to_string("/proc/sys/kernel/hostname")
                .unwrap_or_default()
                .trim()
                .to_owned(),
            ssh_from: words("FACTORY_SSH_FROM"),
        };
        Ok(OpenStack::new(config)?)
    }

    /// Makes the sink for each run.
    pub fn show(&self) -> impl Fn(&str) -> Box<dyn Sink> + Send + Sync + '_ {
        |_| show::sink(self.common.progress, self.verbosity(), &self.terminal)
    }

    pub fn setup<'a>(
        &'a self,
        cloud: &'a dyn Cloud,
        show: &'a Show<'a>,
    ) -> Result<RunOptions<'a>, Failure> {
        Ok(RunOptions {
            cloud,
            connect: &Ssh,
            wall: self.wall()?,
            proxies: &self.proxies,
            home: &self.home,
            cancel: &self.cancel,
            show,
            keep_on_failure: false,
            smoke: true,
            check_templates: true,
            templates: &self.templates,
            test_only: false,
            person: None,
        })
    }

    /// Where the owner's settings are looked for; later files win.
    pub fn settings_files() -> Vec<PathBuf> {
        let config = config_home().map(|dir| dir.join("image-factory"));
        [Some(PathBuf::from("/etc/image-factory")), config]
            .into_iter()
            .flatten()
            .map(|dir| dir.join("config.yml"))
            .collect()
    }

    /// The wall, made from the owner's settings.
    pub fn wall(&self) -> Result<&Wall, Failure> {
        if let Some(wall) = self.wall.get() {
            return Ok(wall);
        }
        let tree = self.tree().ok();
        // SAFETY: plain system call without arguments.
        let user = unsafe { libc::getuid() };
        let settings = settings::load(&Self::settings_files(), tree.as_deref(), user)
            .map_err(|found| Failure::from(RunError::Refused(found)))?;
        // What is no text is no variable that anybody needs, and would not go into a plan.
        let env = std::env::vars_os()
            .filter_map(|(n, v)| Some((n.into_string().ok()?, v.into_string().ok()?)))
            .collect();
        let home = std::env::var_os("HOME").filter(|v| !v.is_empty()).map(PathBuf::from);
        let mut hidden = vec![
            self.home.data.clone(),
            self.home.runtime.clone(),
            "/etc/image-factory".into(),
            "/etc/openstack".into(),
        ];
        hidden.extend(
            config_home()
                .into_iter()
                .flat_map(|dir| [dir.join("openstack"), dir.join("image-factory")]),
        );
        let wall = Wall::new(wall::Config { settings, env, home, hidden });
        Ok(self.wall.get_or_init(|| wall))
    }

    /// Does what reads files, on a thread that a signal may leave: a slow disk or a huge definition
    /// holds nobody up.
    pub async fn reading<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        match self.cancel.or(tokio::task::spawn_blocking(work)).await? {
            Ok(done) => Ok(done),
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        }
    }

    /// What the owner of this machine has to write to let this definition run plays on it; `None`:
    /// it may.
    pub fn how_to_allow_local(&self, bundle: &Bundle) -> Result<Option<String>, Failure> {
        Ok(self.wall()?.settings().how_to_allow_local(&bundle.label, &bundle.asks))
    }

    /// Variables of the environment that a definition asks for, and does not get.
    pub fn not_granted(&self, bundle: &Bundle) -> Result<Option<Diagnostic>, Failure> {
        let Some((missing, how)) = self.wall()?.how_to_grant(bundle) else { return Ok(None) };
        let names = missing.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let message = format!(
            "`pass_env` asks for {names}, which the factory's owner does not let this definition \
                have"
        );
        Ok(Some(
            Diagnostic::warning(bundle.places.get("pass_env").cloned(), message)
                .hint(format!("the owner allows it: {how}")),
        ))
    }

    /// Definitions of `tree`: those that are meant get what `--set` says, the others are as
    /// written.
    pub async fn definitions(
        &self,
        tree: &Path,
        meant: &[PathBuf],
        others: &[PathBuf],
    ) -> Result<Vec<Definition>, Failure> {
        let wanted = |dirs: &[PathBuf], overridden| {
            dirs.iter().map(|dir| LoadRequest { dir: dir.clone(), overridden }).collect::<Vec<_>>()
        };
        let all = [wanted(meant, true), wanted(others, false)].concat();
        Ok(self.definitions.load(tree, &all, &self.overrides()?, &self.cancel).await?)
    }

    /// All of the tree that are sound, as written; none outside of a tree.
    pub async fn sound(&self) -> Result<Vec<Bundle>, Failure> {
        Ok(self.of_tree().await?.into_iter().flatten().map(|loaded| loaded.bundle).collect())
    }

    /// All of the tree, as written; none outside of a tree.
    pub async fn of_tree(&self) -> Result<Vec<Definition>, Failure> {
        let Ok(tree) = self.tree() else { return Ok(Vec::new()) };
        self.definitions(&tree, &[], &bundle::all(&tree)).await
    }

    /// Finds and loads bundles; what is wrong with any of them is said together.
    pub async fn load(&self, names: &[String]) -> Result<Vec<Bundle>, Failure> {
        let (tree, names) = (self.tree()?, names.to_vec());
        let look = tree.clone();
        let (found, all) = self
            .reading(move || {
                (
                    names.iter().map(|name| bundle::find(&look, name)).collect::<Vec<_>>(),
                    bundle::all(&look),
                )
            })
            .await?;
        let (dirs, unknown): (Vec<_>, Vec<_>) = found.into_iter().partition(Result::is_ok);
        let dirs: Vec<PathBuf> = dirs.into_iter().flatten().collect();
        let mut wrong: Vec<Diagnostic> = unknown.into_iter().filter_map(Result::err).collect();
        let mut loaded = self.definitions(&tree, &dirs, &all).await?;
        let others = loaded.split_off(dirs.len());
        let of_bases = unsound_bases(&tree, &loaded, &all, &others);
        let looked = self.look(loaded, &others).await?;
        wrong.extend(looked.found);
        wrong.extend(of_bases);
        // A base that is named itself was looked at twice.
        let mut said = Vec::new();
        wrong.retain(|d| {
            !said.contains(d) && {
                said.push(d.clone());
                true
            }
        });
        if wrong.iter().any(Diagnostic::is_error) {
            return Err(Failure::bundle(wrong));
        }
        self.show_diagnostics(&wrong);
        Ok(looked.bundles)
    }

    /// Where results lie of what is named so, whether it can be built or not: of a definition that
    /// is gone, too.
    pub fn results_of(&self, names: &[String]) -> Vec<Results> {
        let Ok(tree) = self.tree() else { return Vec::new() };
        let of = |name: &String| match bundle::find(&tree, name) {
            Ok(dir) => vec![Results::of_directory(&tree, &dir)],
            Err(_) => bundle::where_it_was(&tree, name)
                .iter()
                .map(|dir| Results::of_directory(&tree, dir))
                .collect(),
        };
        names.iter().flat_map(of).collect()
    }

    /// What `--set` says, for the bundles that are named; a base that is built first is built as
    /// written.
    pub fn overrides(&self) -> Result<Vec<bundle::Override>, Failure> {
        let read: Vec<_> =
            self.common.sets.iter().map(|text| bundle::Override::parse(text)).collect();
        let wrong: Vec<Diagnostic> =
            read.iter().filter_map(|one| one.as_ref().err().cloned()).collect();
        if !wrong.is_empty() {
            return Err(Failure::bundle(wrong).of_command_line());
        }
        Ok(read.into_iter().flatten().collect())
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

/// What is wrong with the bases of the tree that a run of `meant` would load, and build if they are
/// missing. `all` are the directories of the tree's definitions, `loaded` what came of them.
fn unsound_bases(
    tree: &Path,
    meant: &[Definition],
    all: &[PathBuf],
    loaded: &[Definition],
) -> Vec<Diagnostic> {
    let base =
        |one: &Definition| findings::read(one).and_then(|bundle| bundle::base_of(tree, bundle));
    let (mut found, mut seen) = (Vec::new(), Vec::new());
    let mut left: Vec<PathBuf> = meant.iter().filter_map(base).collect();
    while let Some(dir) = left.pop() {
        let Some(at) = all.iter().position(|one| *one == dir).filter(|at| !seen.contains(at))
        else {
            continue;
        };
        seen.push(at);
        left.extend(base(&loaded[at]));
        if let Err(unsound) = &loaded[at] {
            found.extend(unsound.findings.iter().cloned());
        }
    }
    found
}

/// A line on standard output, safe for a terminal. A reader that went away (`| head`) is not an
/// error; one that does not read is waited for until a signal comes.
pub fn out(text: &str) {
    let text = crate::text::block(text.trim_end_matches('\n'));
    show::patient::stdout(format!("{text}\n").as_bytes());
}

/// A text on standard output, safe for a terminal, with the line ends that it has and no more.
pub fn out_as_is(text: &str) {
    show::patient::stdout(crate::text::block(text).as_bytes());
}

/// A line on standard error, safe for a terminal. A reader that does not read is not waited for.
pub fn err(text: &str) {
    let text = crate::text::block(text.trim_end_matches('\n'));
    show::patient::stderr(format!("{text}\n").as_bytes());
}
