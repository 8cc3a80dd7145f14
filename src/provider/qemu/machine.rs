//! Files and record of a local machine. Its whole state is in its directories, its process and
//! `machine.json`, so that other processes can manage it too.
use std::fs;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::store;
use crate::provider::local_resources::{LocalResources, component};
use crate::provider::{CloudError, Machine};
use crate::system::durable;
use crate::system::exec::ExecError;
use crate::system::exec::process::Proc;

/// Maximum length of a Unix socket path: `sun_path` without its final zero.
const SOCKET_PATH: usize = 107;

/// Directories of this host's runs and machines.
#[derive(Debug, Clone)]
pub struct RunDirs(pub LocalResources);

impl RunDirs {
    /// Checks that other users cannot reach the sockets: a QMP socket grants full control of the
    /// machine and, through it, of this account.
    pub fn secure_runtime(&self) -> Result<(), CloudError> {
        let runtime = &self.0.runtime;
        durable::private_dir(runtime, durable::Others::Nothing).map_err(|e| {
            CloudError::refused(
                format!("use directory {} for sockets", runtime.display()),
                e.to_string(),
            )
            .hint("set XDG_RUNTIME_DIR to a directory that you alone can change")
        })
    }

    pub fn place(&self, run: &str, name: &str) -> Result<MachineDir, CloudError> {
        let [work, runtime] = self.0.of_run(run)?;
        let name = component(name)?;
        // The path is short of room, and the run is in it already.
        let short = name.strip_prefix(&format!("factory-{run}-")).unwrap_or(name);
        let place = MachineDir {
            run: run.to_owned(),
            name: name.to_owned(),
            dir: work.join(name),
            sockets: runtime.join(short),
        };
        let length = place.qmp().as_os_str().len();
        if length > SOCKET_PATH {
            return Err(CloudError::refused(
                format!("machine {name}"),
                format!(
                    "its socket {} would have a path of {length} bytes, {SOCKET_PATH} are possible",
                    place.qmp().display()
                ),
            )
            .hint("set XDG_RUNTIME_DIR to a directory with a shorter path"));
        }
        Ok(place)
    }

    pub fn place_of(&self, machine: &Machine) -> Result<MachineDir, CloudError> {
        let (run, name) = machine.id.split_once('/').ok_or_else(|| {
            CloudError::refused(format!("machine {}", machine.id), "is not a machine of this host")
        })?;
        self.place(run, name)
    }
}

/// Directories of one machine.
#[derive(Debug, Clone)]
pub struct MachineDir {
    /// Of the machine, and of the run that it belongs to.
    pub name: String,
    pub run: String,
    pub dir: PathBuf,
    pub sockets: PathBuf,
}

/// File names in [`MachineDir::dir`], QEMU's working directory, so that its arguments need neither
/// paths nor escapes.
pub const OVERLAY: &str = "overlay.qcow2";
pub const SEED: &str = "seed.img";
pub const CONSOLE: &str = "console.log";
pub const LOG: &str = "qemu.log";

impl MachineDir {
    pub fn qmp(&self) -> PathBuf {
        self.sockets.join("qmp.sock")
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Files whose size the guest controls.
    pub fn growing(&self) -> Vec<PathBuf> {
        [CONSOLE, LOG, super::network::LOG].map(|name| self.file(name)).into()
    }

    /// `None` if no machine was started here, or it was deleted.
    pub fn record(&self) -> Result<Option<Record>, CloudError> {
        let path = self.file("machine.json");
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|e| CloudError::refused(path.display().to_string(), e.to_string())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(CloudError::io(format!("read {}", path.display()))(e)),
        }
    }

    pub fn write(&self, record: &Record) -> Result<(), CloudError> {
        let text = serde_json::to_vec_pretty(record).expect("a record is plain data");
        let path = self.file("machine.json");
        store::replace(&path, &text).map_err(CloudError::io(format!("write {}", path.display())))
    }

    /// The last lines of QEMU's log, joined.
    pub fn last_words(&self) -> String {
        self.last_words_in(LOG)
    }

    /// The last lines of another log of this machine, joined.
    pub fn last_words_in(&self, log: &str) -> String {
        let text = super::growth::end_of(&self.file(log)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
        if lines.is_empty() {
            "it said nothing".into()
        } else {
            lines[lines.len().saturating_sub(5)..].join("; ")
        }
    }
}

/// `machine.json`: the record of a started machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    pub hardware: Hardware,
    /// QEMU, as `pid:start time`.
    pub process: String,
    pub port: u16,
    /// Network processes, as `pid:start time`; they end with QEMU.
    #[serde(default)]
    pub network: Vec<String>,
    /// Name of the file that it writes to as its disk.
    #[serde(default = "first_overlay")]
    pub overlay: String,
    /// Hostname that its config drive gives it, if it is not its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// An orderly power-off was observed. Only then does a missing process mean "off" instead of
    /// "gone".
    pub off: bool,
}

fn first_overlay() -> String {
    OVERLAY.to_owned()
}

/// Whether a file of a machine's directory is, or was, what it writes to as its disk.
pub fn is_overlay(name: &std::ffi::OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with("overlay") && name.ends_with(".qcow2"))
}

/// Properties that survive a power cycle.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hardware {
    pub cpus: u32,
    #[serde(rename = "ram_mb")]
    pub ram_mib: u64,
    pub uuid: String,
    pub mac: String,
}

impl Record {
    /// Its process. An unreadable entry counts as a process that does not exist.
    pub fn proc(&self) -> Proc {
        self.process.parse().unwrap_or(Proc { pid: i32::MAX, start: 0 })
    }
}

/// Converts the error of a tool in `map_err`.
pub fn convert_error(what: impl Into<String>) -> impl FnOnce(ExecError) -> CloudError {
    let what = what.into();
    move |error| match error {
        ExecError::Cancelled(c) => c.into(),
        ExecError::Deadline { after, .. } => CloudError::Deadline { what, after },
        ExecError::Missing { .. } => {
            CloudError::refused(what, error.to_string()).hint("run `make deps`")
        }
        other => CloudError::refused(what, other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn names_stay_where_they_belong() {
        let layout = RunDirs(LocalResources::new(Path::new("/h"), Path::new("/r")));
        let place = layout.place("r1", "factory-r1-builder").unwrap();
        assert_eq!(place.dir, Path::new("/h/building/r1/factory-r1-builder"));
        assert_eq!(place.qmp(), Path::new("/r/r1/builder/qmp.sock"));
        for bad in ["", "..", "a/b", ".x", "a b", "a,b"] {
            assert!(layout.place(bad, "m").is_err() && layout.place("r", bad).is_err(), "{bad}");
        }
        let long = layout.place("r1", &"m".repeat(120)).unwrap_err();
        assert!(long.to_string().contains("107"), "{long}");
    }

    #[test]
    fn sockets_are_this_users_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let layout = RunDirs(LocalResources::new(dir.path(), &dir.path().join("run")));
        layout.secure_runtime().unwrap();
        fs::set_permissions(dir.path().join("run"), fs::Permissions::from_mode(0o755)).unwrap();
        layout.secure_runtime().unwrap();
        assert_eq!(
            fs::metadata(dir.path().join("run")).unwrap().permissions().mode() & 0o777,
            0o700
        );
        fs::rename(dir.path().join("run"), dir.path().join("other")).unwrap();
        std::os::unix::fs::symlink(dir.path().join("other"), dir.path().join("run")).unwrap();
        assert!(layout.secure_runtime().is_err());
    }
}
