//! Locates Ansible's installation: below /usr, or in a virtual environment of pipx, pip --user,
//! pyenv or uv, possibly in a home that stays hidden. Asks Python itself, and exposes only the
//! paths it reports.
use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::find;
use crate::system::cancel::Cancel;
use crate::system::exec::{self, Cmd};

/// Paths that must be visible for `ansible-playbook` to run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Installation {
    /// The script itself, with links and version managers' shims resolved.
    pub program: PathBuf,
    /// Read-only directories and files outside of /usr.
    pub paths: Vec<PathBuf>,
    /// Version of ansible-core, such as `2.14.18`; `None` if not reported.
    pub version: Option<String>,
    /// Base directory of `pip --user` installs, which otherwise depends on HOME.
    pub user_base: Option<String>,
    /// Python packages beside it, with their versions: `jinja2-3.1.2.dist-info`.
    pub packages: BTreeSet<String>,
}

const ASK: &str = "import sys, site\n\
    try:\n\
    \x20from ansible.release import __version__\n\
    \x20print('version ' + __version__)\n\
    except Exception: pass\n\
    for p in [sys.executable, sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix] \
    + sys.path: print(p)\n\
    print('base ' + site.getuserbase() if site.ENABLE_USER_SITE else 'none')";

/// Never exposes the whole home of the user.
pub(super) async fn of_ansible(
    env: &Surroundings<'_>,
    cancel: &Cancel,
) -> Result<Installation, String> {
    let mut program =
        find("ansible-playbook", env.path).ok_or("ansible-playbook is not installed")?;
    let mut python = interpreter(&program, env.path);
    if python.is_none() {
        // A shim of pyenv or asdf, or a non-Python script: Ansible reports its real path.
        let cmd = env.cmd(&program).arg("--version").env("ANSIBLE_CONFIG", "/dev/null");
        let said = exec::output(&cmd, cancel).await.map_err(|e| e.to_string())?;
        let real = said.lines().find_map(|l| l.trim().strip_prefix("executable location = "));
        program = real
            .map(PathBuf::from)
            .ok_or("`ansible-playbook --version` does not say where it is")?;
        python = interpreter(&program, env.path);
    }
    let python = python.ok_or_else(|| format!("{} is no Python script", program.display()))?;
    let said = exec::output(&env.cmd(&python).arg("-c").arg(ASK), cancel)
        .await
        .map_err(|e| e.to_string())?;
    let mut paths = BTreeSet::new();
    hops(&python, &mut paths);
    paths.insert(program.clone());
    let (listing, last) = said.trim_end().rsplit_once('\n').unwrap_or_default();
    for path in listing.lines().map(PathBuf::from).filter(|p| p.is_absolute()) {
        hops(&path, &mut paths);
    }
    let visible =
        |p: &PathBuf| !["/usr", "/bin", "/lib", "/lib64"].iter().any(|dir| p.starts_with(dir));
    let narrow = |p: &PathBuf| {
        p.exists() && p.parent().is_some() && env.home.is_none_or(|home| !home.starts_with(p))
    };
    let mut shown: Vec<PathBuf> = Vec::new();
    // What lies in a directory that is shown is seen with it; the set is sorted, so that
    // directories come first.
    for path in paths.into_iter().filter(|p| visible(p) && narrow(p)) {
        if !shown.iter().any(|dir| path.starts_with(dir)) {
            shown.push(path);
        }
    }
    let packages = listing.lines().map(Path::new).filter(|p| p.is_absolute()).flat_map(packages_in);
    let packages = packages.collect();
    let version = listing.lines().find_map(|line| line.strip_prefix("version ")).map(str::to_owned);
    Ok(Installation {
        program,
        paths: shown,
        version,
        user_base: last.strip_prefix("base ").map(str::to_owned),
        packages,
    })
}

/// Of a directory of Python modules. The version of a package is part of the name.
fn packages_in(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let names = names.map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(".dist-info") || name.ends_with(".egg-info")).collect()
}

/// Environment of the queries.
pub(super) struct Surroundings<'a> {
    pub path: &'a str,
    pub home: Option<&'a Path>,
}

impl Surroundings<'_> {
    fn cmd(&self, program: &Path) -> Cmd {
        let home = self.home.unwrap_or(Path::new("/nonexistent")).to_string_lossy().into_owned();
        let cmd = Cmd::new(program, Duration::from_secs(60))
            .dir("/")
            .env("PATH", self.path)
            .env("HOME", home)
            .env("LANG", "C.UTF-8");
        Cmd { bare: true, ..cmd }
    }
}

/// Directories of Python modules for an `ansible-playbook`, derived from its path without running
/// anything.
pub(super) fn python_homes(program: &Path, home: Option<&Path>) -> Vec<PathBuf> {
    let real = program.canonicalize().unwrap_or_else(|_| program.to_owned());
    let mut prefixes: BTreeSet<PathBuf> = [program, &real]
        .into_iter()
        .filter_map(|p| Some(p.parent()?.parent()?.to_owned()))
        .collect();
    // A version manager's stand-in lies beside the versions.
    let versions = home.map(|home| home.join(".pyenv/versions"));
    let versions = versions
        .and_then(|dir| fs::read_dir(dir).ok())
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path());
    prefixes.extend(versions.filter(|_| program.iter().any(|part| part == "shims")));
    let libraries = prefixes
        .iter()
        .flat_map(|prefix| fs::read_dir(prefix.join("lib")).into_iter().flatten().flatten());
    let pythons = libraries
        .map(|e| e.path())
        .filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("python")));
    pythons
        .flat_map(|dir| ["site-packages", "dist-packages"].map(|name| dir.join(name)))
        .filter(|dir| dir.is_dir())
        .collect()
}

/// The Python interpreter in a script's first line.
fn interpreter(script: &Path, path: &str) -> Option<PathBuf> {
    let mut head = [0; 512];
    let count = fs::File::open(script).ok()?.read(&mut head).ok()?;
    let line = String::from_utf8_lossy(&head[..count])
        .lines()
        .next()?
        .strip_prefix("#!")?
        .trim()
        .to_owned();
    let mut words = line.split_ascii_whitespace();
    let first = PathBuf::from(words.next()?);
    let python = match first.file_name()?.to_str()? {
        "env" => find(words.find(|w| !w.starts_with('-') && !w.contains('='))?, path)?,
        _ => first,
    };
    // A version manager's stand-in for Python is a script as well.
    let is_python = python.file_name()?.to_str()?.starts_with("python") && !is_script(&python);
    is_python.then_some(python)
}

fn is_script(path: &Path) -> bool {
    let mut head = [0; 2];
    fs::File::open(path).and_then(|mut f| f.read_exact(&mut head)).is_ok() && &head == b"#!"
}

/// A path and each link target on its way.
fn hops(path: &Path, into: &mut BTreeSet<PathBuf>) {
    let mut at = path.to_owned();
    for _ in 0..16 {
        into.insert(at.clone());
        match fs::read_link(&at) {
            Ok(target) => at = at.parent().unwrap_or(Path::new("/")).join(target),
            Err(_) => break,
        }
    }
    into.extend(path.canonicalize());
}
