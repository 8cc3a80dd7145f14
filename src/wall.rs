//! The wall around what definitions bring: playbooks, source scripts and checks run in namespaces
//! of their own (bubblewrap), where they see the system, their definition and the room they work
//! in, and no home, store, ledger or other run. The network is the machine's: Ansible has to reach
//! the guest.
use std::collections::BTreeMap;
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OnceCell;

use crate::bundle::{Asks, Bundle, Source};
use crate::cancel::{Cancel, Cancelled};
use crate::exec::joint::{self, Joint};
use crate::exec::{self, Cmd, Limits, env};
use crate::paths::real;
use crate::plan::{Origin, Plan};
use crate::settings::{Mode, Settings};

mod calls;
mod check;
mod definition;
mod installation;
mod legible;
mod mounts;
mod say;
mod shipped;
#[cfg(test)]
mod tests;

pub use check::Checked;
use installation::{Installation, Surroundings};
use mounts::Mounts;
#[cfg(test)]
pub(crate) use tests::plan as example_plan;

const BWRAP: &str = "bwrap";
const ANSIBLE: &str = "ansible-playbook";
/// Lies beside it.
const GALAXY: &str = "ansible-galaxy";
/// Processes and threads of a step at once.
const PROCESSES: u64 = 4096;

/// What the wall is made from. It has no `Debug`: `env` is the factory's own, secrets included.
pub struct Config {
    pub settings: Settings,
    pub env: BTreeMap<String, String>,
    /// Of the user whom the factory runs as.
    pub home: Option<PathBuf>,
    /// Never seen from behind the wall, wherever they lie: the store, the runs' directories.
    pub hidden: Vec<PathBuf>,
}

/// The wall of this machine. What it finds out about the machine it finds out once.
pub struct Wall {
    config: Config,
    availability: OnceCell<Availability>,
    ansible: OnceCell<Installation>,
}

/// Whether there is a wall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Availability {
    /// `nested`: whoever is behind it can make namespaces too, because bubblewrap is older than
    /// 0.8.
    Up { version: String, nested: bool },
    /// The owner does not want it.
    Off,
    /// This machine does not have what it takes.
    Lacking { reason: String, hint: String },
}

/// A place to work in: what may be written, and what may be read besides the definition.
pub struct Room<'r> {
    pub plan: &'r Plan,
    /// Is made if it is not there. In it are the home and the temporary directory.
    pub dir: &'r Path,
    pub read: Vec<PathBuf>,
    /// The definition's source script, which may have asked to do without a wall.
    pub source: bool,
}

/// Whose files are shown.
struct Definition<'d> {
    label: &'d str,
    asks: &'d Asks,
    /// The bundle's directory.
    dir: &'d Path,
}

impl<'d> From<&'d Plan> for Definition<'d> {
    fn from(plan: &'d Plan) -> Self {
        Self { label: &plan.bundle, asks: &plan.asks, dir: &plan.bundle_dir }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum WallError {
    #[error("{0}")]
    Refused(String),
    #[error("cannot make {path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl Wall {
    pub fn new(config: Config) -> Self {
        Self { config, availability: OnceCell::new(), ansible: OnceCell::new() }
    }

    pub fn settings(&self) -> &Settings {
        &self.config.settings
    }

    /// The wall is tried, once in the life of this process: that a program is there says little
    /// about namespaces.
    pub async fn availability(&self, cancel: &Cancel) -> Result<&Availability, Cancelled> {
        self.availability
            .get_or_try_init(|| async {
                match self.config.settings.wall {
                    Mode::Off => Ok(Availability::Off),
                    Mode::Auto | Mode::Required => self.tried(cancel).await,
                }
            })
            .await
    }

    async fn tried(&self, cancel: &Cancel) -> Result<Availability, Cancelled> {
        let lacking =
            |reason: String, hint: &str| Availability::Lacking { reason, hint: hint.into() };
        let Some(bwrap) = find(BWRAP, self.path()) else {
            return Ok(lacking(
                "bubblewrap is not installed".into(),
                "`make deps`, or apt-get install bubblewrap",
            ));
        };
        let mut why = String::new();
        for nested in [false, true] {
            let mut mounts = Mounts::system(nested);
            mounts.set_env("PATH", "/usr/bin:/bin");
            let cmd = Cmd::new(&bwrap, Duration::from_secs(20));
            let cmd = match with_options(cmd, mounts) {
                Ok(cmd) => cmd.args(["--", "/usr/bin/true"]),
                Err(e) => {
                    return Ok(lacking(format!("its options cannot be handed over: {e}"), ""));
                }
            };
            match exec::output(&Cmd { bare: true, ..cmd }, cancel).await {
                Ok(_) => {
                    let asked = Cmd::new(&bwrap, Duration::from_secs(20)).arg("--version");
                    let version =
                        exec::output(&asked, cancel).await.unwrap_or_default().trim().to_owned();
                    return Ok(Availability::Up { version, nested });
                }
                Err(exec::ExecError::Cancelled(c)) => return Err(c),
                Err(e) => why = e.to_string(),
            }
        }
        Ok(lacking(format!("no namespaces: {why}"), say::NO_NAMESPACES))
    }

    fn path(&self) -> &str {
        self.config.env.get("PATH").map_or("/usr/local/bin:/usr/bin:/bin", String::as_str)
    }

    /// `cmd` as it is to be started: behind the wall where there is one, and with no more of the
    /// factory's environment than the definition gets. What `cmd` sets itself is set.
    pub async fn around(
        &self,
        cmd: Cmd,
        room: &Room<'_>,
        cancel: &Cancel,
    ) -> Result<Cmd, WallError> {
        let standing = self.availability(cancel).await?;
        let mut env = self.env(room.plan);
        let (home, temp) = furnished(room.dir, &mut env)?;
        let named = Path::new(&cmd.program);
        let ansible = match named == Path::new(ANSIBLE) || named == Path::new(GALAXY) {
            true => Some(self.ansible(cancel).await?),
            false => None,
        };
        // `ansible-galaxy` reads lists, which no vault holds, and talks to strangers.
        let vault = self
            .config
            .settings
            .ansible
            .vault_password_file
            .as_ref()
            .filter(|_| named == Path::new(ANSIBLE));
        if let Some(file) = vault {
            env.insert("ANSIBLE_VAULT_PASSWORD_FILE".into(), file.display().to_string());
        }
        if let Some(base) = ansible.and_then(|a| a.user_base.clone()) {
            env.insert("PYTHONUSERBASE".into(), base);
        }
        env.extend(cmd.env.clone());
        let program = ansible.map_or_else(
            || PathBuf::from(&cmd.program),
            |a| match named == Path::new(GALAXY) {
                true => a.program.with_file_name(GALAXY),
                false => a.program.clone(),
            },
        );
        let limits = self.limits();
        let Availability::Up { nested, .. } = standing else {
            return Ok(Cmd { program: program.into(), env, bare: true, limits, ..cmd });
        };
        if room.source && self.lets_out(room.plan) {
            return Ok(Cmd { program: program.into(), env, bare: true, limits, ..cmd });
        }
        let mut mounts = Mounts::system(*nested);
        mounts.writable_at(&temp, Path::new("/tmp"));
        self.definition(&mut mounts, &room.plan.into(), room.dir)?;
        self.certificates().iter().for_each(|path| mounts.read_only(path));
        mounts.writable(room.dir);
        for path in &room.read {
            // The wall's program would follow a link as the factory, which sees everything.
            if path.is_symlink() {
                let source = std::io::Error::other(
                    "this is a link, and shows no more than that behind the wall",
                );
                return Err(WallError::Io { path: path.clone(), source });
            }
            mounts.read_only(path);
        }
        if let Some(ansible) = ansible {
            self.show_ansible(&mut mounts, ansible, &home);
            if !program.starts_with("/usr") {
                mounts.read_only(&program);
            }
            vault.iter().filter(|path| path.exists()).for_each(|path| mounts.read_only(path));
        }
        let called = Some(cmd.program.clone());
        self.behind(
            Cmd { program: program.into(), env, called, limits: self.hard(), ..cmd },
            mounts,
        )
    }

    /// `cmd` behind the mounts. What it is to have of the environment is in it.
    fn behind(&self, cmd: Cmd, mut mounts: Mounts) -> Result<Cmd, WallError> {
        if let Some(dir) = &cmd.dir {
            mounts.start_in(dir);
        }
        cmd.env.iter().for_each(|(name, value)| mounts.set_env(name, value));
        let marks = [exec::RUN_MARK, exec::PROCESS_MARK].into_iter();
        let outside =
            marks.filter_map(|name| Some((name.to_owned(), cmd.env.get(name)?.clone()))).collect();
        let bwrap = find(BWRAP, self.path()).unwrap_or_else(|| BWRAP.into());
        let (program, args) = (cmd.program.clone(), cmd.args.clone());
        let walled = Cmd {
            program: bwrap.into(),
            args: Vec::new(),
            env: outside,
            bare: true,
            joint: Some(self.joint()),
            dir: None,
            ..cmd
        };
        let walled = with_options(walled, mounts)
            .map_err(|source| WallError::Io { path: "the wall's options".into(), source })?;
        Ok(walled.arg("--").arg(program).args(args))
    }

    /// Of the factory's environment: what passes by itself, and what is asked for and allowed.
    fn env(&self, plan: &Plan) -> BTreeMap<String, String> {
        let gets =
            |name: &String, value: &String| env::passes(name, value) || self.grants(plan, name);
        let mut env: BTreeMap<_, _> = self
            .config
            .env
            .iter()
            .filter(|(n, v)| gets(n, v))
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect();
        env.entry("PATH".into()).or_insert_with(|| self.path().to_owned());
        env
    }

    fn grants(&self, plan: &Plan, name: &str) -> bool {
        let asked = plan.asks.env.iter().any(|asked| asked == name);
        asked
            && (self.config.settings.allows_env(&plan.bundle, &plan.asks, name)
                || (shipped::ENV.contains(&name) && self.is_shipped(plan)))
    }

    /// Variables that a definition asks for and does not get, and what the owner has to write so
    /// that it does; `None`: it gets all.
    pub fn how_to_grant<'b>(&self, bundle: &'b Bundle) -> Option<(Vec<&'b str>, String)> {
        let (label, settings) = (&bundle.label, &self.config.settings);
        let shipped = || match &bundle.source {
            Some(Source::Script(script)) => {
                bundle.label == shipped::DEFINITION && shipped::is_ours(&bundle.dir, script)
            }
            _ => false,
        };
        let granted = |name: &str| {
            settings.allows_env(label, &bundle.asks, name)
                || (shipped::ENV.contains(&name) && shipped())
        };
        let missing: Vec<&str> =
            bundle.asks.env.iter().map(String::as_str).filter(|name| !granted(name)).collect();
        let rule = format!(
            "{{definition: {}, env: [{}]}}",
            crate::settings::quoted(label),
            missing.join(", ")
        );
        (!missing.is_empty()).then(|| (missing, settings.how_to_add("allow", &rule)))
    }

    fn lets_out(&self, plan: &Plan) -> bool {
        plan.asks.unwalled
            && (self.config.settings.allows_unwalled(&plan.bundle, &plan.asks)
                || self.is_shipped(plan))
    }

    fn is_shipped(&self, plan: &Plan) -> bool {
        // The script is named by build-vars.yml, which a stranger may change: it has to be one of
        // the files compared.
        let Origin::Script(script) = &plan.origin else { return false };
        plan.bundle == shipped::DEFINITION && shipped::is_ours(&plan.bundle_dir, script)
    }

    fn limits(&self) -> Limits {
        let wanted = self.config.settings.limits;
        Limits {
            address_space: wanted.memory_mib.map(|mb| mb.saturating_mul(1 << 20)),
            cpu: wanted.cpu,
            ..Limits::default()
        }
    }

    /// Of a step's processes together, where the owner says nothing: far above honest work, and
    /// what the machine bears.
    fn joint(&self) -> Joint {
        let wanted = self.config.settings.limits;
        let most = || joint::machine_memory().map_or(u64::MAX, |all| all / 4 * 3);
        Joint {
            processes: wanted.processes.unwrap_or(PROCESSES),
            memory: wanted.together_mib.map_or_else(most, |mb| mb.saturating_mul(1 << 20)),
        }
    }

    /// The kernel's own limit, which counts all that this user has, holds what is faster than the
    /// count. It leaves room, for what else the user does too: a step that passes the count ends
    /// with a reason, one that meets this limit fails somehow. Root is held to none.
    fn hard(&self) -> Limits {
        // SAFETY: plain system call without arguments.
        let me = unsafe { libc::geteuid() };
        Limits {
            processes: Some(
                self.joint().processes.saturating_mul(2).saturating_add(joint::of_user(me) + 1024),
            ),
            ..self.limits()
        }
    }

    /// The definition and what the owner shows to all, without what is hidden, wherever that lies.
    fn definition(
        &self,
        mounts: &mut Mounts,
        of: &Definition<'_>,
        room: &Path,
    ) -> Result<(), WallError> {
        let found = definition::places(of.asks, of.dir, self.config.home.as_deref());
        let mut shown = found.map_err(|finding| WallError::Refused(finding.message))?;
        let targets = ["images/target", "os/target"].map(|dir| of.asks.tree.join(dir));
        let hidden: Vec<PathBuf> = self
            .config
            .hidden
            .iter()
            .chain(&targets)
            .filter_map(|path| path.canonicalize().ok())
            .collect();
        if let Some(place) =
            shown.iter().find(|place| hidden.iter().any(|hidden| real(place).starts_with(hidden)))
        {
            let what =
                format!("{} leads to {}, which no definition is shown", of.label, place.display());
            return Err(WallError::Refused(what));
        }
        // What no digest of the definition counts, no program of it reads.
        let uncounted = definition::uncounted(&shown, &[of.dir, &of.asks.definition]);
        self.copied(&mut shown, mounts, room)?;
        shown.extend(self.config.settings.read_only.iter().filter(|path| path.exists()).cloned());
        shown.iter().for_each(|path| mounts.read_only(path));
        // By every name: a link that is shown is a place of its own there.
        for (hidden, path) in
            hidden.iter().flat_map(|hidden| shown.iter().map(move |path| (hidden, path)))
        {
            if let Ok(inner) = hidden.strip_prefix(real(path)) {
                mounts.hide(&path.join(inner));
            }
        }
        uncounted.iter().for_each(|path| mounts.cover(path));
        Ok(())
    }

    /// Shows copies of what this user, once behind the wall, may not read, and leaves the rest in
    /// `shown`.
    fn copied(
        &self,
        shown: &mut Vec<PathBuf>,
        mounts: &mut Mounts,
        room: &Path,
    ) -> Result<(), WallError> {
        // SAFETY: plain system call without arguments.
        let me = unsafe { libc::geteuid() };
        let Some(beside) = room.parent().filter(|_| me == 0) else { return Ok(()) };
        let closed: Vec<PathBuf> = shown
            .iter()
            .filter(|place| place.is_dir() && !legible::is_open(place, me))
            .cloned()
            .collect();
        shown.retain(|place| !closed.contains(place));
        for (number, place) in closed.iter().enumerate() {
            let to = beside.join(format!("shown-{number}"));
            let io = |source| WallError::Io { path: place.clone(), source };
            match std::fs::remove_dir_all(&to) {
                Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                    return Err(io(source));
                }
                _ => legible::copy(place, &to).map_err(io)?,
            }
            mounts.read_only_at(&to, place);
        }
        Ok(())
    }

    /// What the owner's environment names, but for what the system has anyway and what would show
    /// what is hidden.
    fn certificates(&self) -> Vec<PathBuf> {
        let named = env::CERTIFICATES.iter().filter_map(|name| self.config.env.get(*name));
        let closed: Vec<PathBuf> = self
            .config
            .hidden
            .iter()
            .chain(&self.config.home)
            .filter_map(|path| path.canonicalize().ok())
            .collect();
        let fits = |path: &PathBuf| {
            let system = ["/usr", "/etc/ssl", "/etc/pki", "/proc", "/dev"]
                .iter()
                .any(|dir| path.starts_with(dir));
            let wide = |real: PathBuf| {
                real.parent().is_none() || closed.iter().any(|hidden| hidden.starts_with(&real))
            };
            path.is_absolute() && !system && path.canonicalize().is_ok_and(|real| !wide(real))
        };
        named.flat_map(|paths| paths.split(':')).map(PathBuf::from).filter(fits).collect()
    }

    fn show_ansible(&self, mounts: &mut Mounts, ansible: &Installation, home: &Path) {
        let settings = &self.config.settings.ansible;
        let named = settings.collections.iter().chain(&settings.roles);
        ansible
            .paths
            .iter()
            .chain(named.filter(|path| path.exists()))
            .for_each(|path| mounts.read_only(path));
        // Where Ansible looks for them by itself: in a home.
        for name in ["collections", "roles"] {
            let inner = Path::new(".ansible").join(name);
            if let Some(dir) =
                self.config.home.as_ref().map(|h| h.join(&inner)).filter(|dir| dir.is_dir())
            {
                mounts.read_only_at(&dir, &home.join(&inner));
            }
        }
    }

    async fn ansible(&self, cancel: &Cancel) -> Result<&Installation, WallError> {
        let asked = Surroundings { path: self.path(), home: self.config.home.as_deref() };
        let look = || async {
            match installation::of_ansible(&asked, cancel).await {
                Ok(found) => Ok(found),
                Err(_) if cancel.check().is_err() => Err(WallError::Cancelled(Cancelled)),
                Err(why) => Err(WallError::Refused(why)),
            }
        };
        self.ansible.get_or_try_init(look).await
    }
}

/// A program by its name, along `path`.
fn find(name: &str, path: &str) -> Option<PathBuf> {
    let runs = |file: &PathBuf| {
        file.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    path.split(':')
        .filter(|dir| dir.starts_with('/'))
        .map(|dir| Path::new(dir).join(name))
        .find(runs)
}

/// Each program finds an empty room: what one left in it, a link above all, is nothing that the
/// next is to follow, nor we. The directory around it cannot be written to from behind the wall.
fn fresh_directory(dir: &Path) -> Result<(), WallError> {
    match std::fs::remove_dir_all(dir) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(WallError::Io { path: dir.into(), source })
        }
        _ => private_directory(dir),
    }
}

/// An empty room with a home and a directory for temporary files in it, which the environment
/// names.
fn furnished(
    room: &Path,
    env: &mut BTreeMap<String, String>,
) -> Result<(PathBuf, PathBuf), WallError> {
    let (home, temp) = (room.join("home"), room.join("tmp"));
    fresh_directory(room)?;
    for dir in [&home, &temp] {
        private_directory(dir)?;
    }
    env.insert("HOME".into(), home.display().to_string());
    env.insert("TMPDIR".into(), temp.display().to_string());
    Ok((home, temp))
}

/// Made anew: one that is there, or a link, is an error.
fn private_directory(dir: &Path) -> Result<(), WallError> {
    let io = |source| WallError::Io { path: dir.into(), source };
    std::fs::DirBuilder::new().mode(0o700).create(dir).map_err(io)
}

/// Hands the options over in memory, for an environment may hold what no list of processes should
/// show. The number of the file is an argument, and so is that of the calls that are refused.
fn with_options(mut cmd: Cmd, mounts: Mounts) -> std::io::Result<Cmd> {
    let options =
        [("--args", Some(in_memory(c"wall", &mounts.text())?)), ("--seccomp", calls::filter()?)];
    for (option, file) in options.into_iter().filter_map(|(option, file)| Some((option, file?))) {
        cmd = cmd.arg(option).arg(file.as_raw_fd().to_string()).hand(file);
    }
    Ok(cmd)
}

fn in_memory(name: &std::ffi::CStr, content: &[u8]) -> std::io::Result<Arc<OwnedFd>> {
    // SAFETY: plain system call; the name has its NUL.
    let file = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) };
    if file < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the file was opened above and is nobody else's.
    let file = unsafe { OwnedFd::from_raw_fd(file) };
    std::fs::File::from(file.try_clone()?).write_all(content)?;
    Ok(Arc::new(file))
}
