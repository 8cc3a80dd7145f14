//! An ordinary user for tests that root runs, as CI does: with a private home, subordinate IDs, and
//! no more rights than anybody has. The user is on no list of this machine: the program is started
//! with lists of its own mounted over the system's, in a mount namespace that ends with it.
use std::fmt::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Of nobody on this machine.
const ID: u32 = 54_321;
const NAME: &str = "factory-test";
const SUBORDINATE: &str = "factory-test:1610612736:65536";

pub struct Ordinary {
    /// Where everything of the user's lies.
    root: PathBuf,
    pub home: PathBuf,
    program: PathBuf,
    /// Runs the rest of its words as the user.
    script: PathBuf,
}

/// What the user has to do with.
pub struct Means<'m> {
    pub subordinate_ids: bool,
    /// Commands of root's in the namespace, before the program is started: what is mounted there
    /// nobody else sees.
    pub mounts: &'m str,
}

impl Ordinary {
    pub fn below(root: &Path) -> Option<Self> {
        Self::with(root, &Means { subordinate_ids: true, mounts: "" })
    }

    /// Below `root`. `None`: whoever runs the tests is an ordinary user.
    ///
    /// # Panics
    /// Where root may make no mount namespaces. The factory would run as root, and prove nothing of
    /// what most users do.
    pub fn with(root: &Path, means: &Means<'_>) -> Option<Self> {
        // SAFETY: plain system call without arguments.
        if unsafe { libc::geteuid() } != 0 {
            return None;
        }
        let tried = Command::new("unshare").args(["--mount", "true"]).output();
        let said = tried.as_ref().map_or_else(ToString::to_string, |tried| {
            String::from_utf8_lossy(&tried.stderr).into_owned()
        });
        assert!(
            tried.is_ok_and(|tried| tried.status.success()),
            "root may make no mount namespaces here ({}): run the tests as an ordinary user, or \
                give the container CAP_SYS_ADMIN",
            said.trim()
        );
        let (home, lists) = (root.join("user"), root.join("lists"));
        std::fs::create_dir_all(&lists).unwrap();
        std::fs::create_dir_all(&home).unwrap();
        std::fs::set_permissions(&home, std::fs::Permissions::from_mode(0o700)).unwrap();
        chown(&home, Some(ID), Some(ID)).unwrap();
        let group = std::fs::metadata("/dev/kvm").map_or(ID, |meta| meta.gid());
        let subordinate =
            if means.subordinate_ids { SUBORDINATE.to_owned() } else { String::new() };
        let lines = [
            ("passwd", format!("{NAME}:x:{ID}:{ID}::{}:/bin/bash", home.display())),
            ("group", format!("{NAME}:x:{ID}:")),
            ("subuid", subordinate.clone()),
            ("subgid", subordinate),
        ];
        let mut script = String::from("set -eu\n");
        for (name, line) in lines {
            let (theirs, system) = (lists.join(name), Path::new("/etc").join(name));
            let text = std::fs::read_to_string(&system).unwrap_or_default();
            replace(&theirs, &format!("{}\n{line}\n", text.trim_end()));
            if !system.exists() {
                std::fs::write(&system, "").unwrap();
            }
            writeln!(script, "mount --bind '{}' '{}'", theirs.display(), system.display()).unwrap();
        }
        script.push_str(&reachable(root));
        script.push_str(means.mounts);
        // No capabilities, no groups but that of /dev/kvm.
        writeln!(
            script,
            "cd \"$1\"\nshift\nexec setpriv --reuid {ID} --regid {ID} --groups \
            {group} --inh-caps=-all -- \"$@\""
        )
        .unwrap();
        let this = Self {
            root: root.into(),
            home,
            program: root.join("image-factory"),
            script: lists.join("as-user"),
        };
        replace(&this.script, &script);
        // The one in `target` may lie where the user cannot go. A test may run it while the next
        // one copies.
        let fresh = tempfile::Builder::new().prefix("image-factory").tempfile_in(root).unwrap();
        std::fs::copy(env!("CARGO_BIN_EXE_image-factory"), fresh.path()).unwrap();
        std::fs::rename(fresh.into_temp_path().keep().unwrap(), &this.program).unwrap();
        Some(this)
    }

    /// The program in `dir`, which is made the user's with all that is in it.
    pub fn command(&self, dir: &Path, args: &[&str]) -> Command {
        assert!(dir.starts_with(&self.root));
        for entry in walkdir::WalkDir::new(dir.parent().unwrap()).into_iter().flatten() {
            std::os::unix::fs::lchown(entry.path(), Some(ID), Some(ID)).unwrap();
        }
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh"])
            .arg(&self.script)
            .arg(dir)
            .arg(&self.program)
            .args(args)
            .current_dir(dir);
        for name in [
            "IMAGE_FACTORY_HOME",
            "XDG_DATA_HOME",
            "XDG_CONFIG_HOME",
            "XDG_RUNTIME_DIR",
            "XDG_CACHE_HOME",
        ] {
            command.env_remove(name);
        }
        command.env("HOME", &self.home).env("USER", NAME).env("LOGNAME", NAME);
        command
    }

    /// Where the program keeps what outlives a run.
    pub fn data(&self) -> PathBuf {
        self.home.join(".local/share/image-factory")
    }

    pub fn runtime(&self) -> PathBuf {
        format!("/tmp/image-factory-{ID}").into()
    }
}

/// At once: another test may have the file mounted, or be reading it.
fn replace(path: &Path, text: &str) {
    let mut fresh = tempfile::Builder::new()
        .permissions(std::fs::Permissions::from_mode(0o644))
        .tempfile_in(path.parent().unwrap())
        .unwrap();
    std::io::Write::write_all(&mut fresh, text.as_bytes()).unwrap();
    fresh.persist(path).unwrap();
}

/// Commands that let others than root reach `dir`, which may lie in root's home: that is covered,
/// and `dir` alone shown there.
fn reachable(dir: &Path) -> String {
    let open = |dir: &Path| std::fs::metadata(dir).is_ok_and(|meta| meta.mode() & 0o001 != 0);
    let closed: Vec<&Path> = dir.ancestors().skip(1).filter(|above| !open(above)).collect();
    let Some(first) = closed.last() else { return String::new() };
    let (dir, first) = (dir.display(), first.display());
    format!(
        "kept=$(mktemp -d)\nmount --bind '{dir}' \"$kept\"\nmount -t tmpfs -o mode=755 none \
            '{first}'\nmkdir -p '{dir}'\n\
         mount --bind \"$kept\" '{dir}'\numount \"$kept\"\nrmdir \"$kept\"\n"
    )
}
