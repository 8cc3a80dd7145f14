//! A tree with one definition, a home and a runtime directory of its own; what is left there; and a
//! victim, and the program, run in it.
use std::process::{Command, Output, Stdio};

use assert_cmd::cargo::CommandCargoExt;

use super::{Moment, tiny_disk_saying, victim};

/// Goes through every stage: disk by a script, one step, tidy, capture, two machines that are
/// tested, publication.
const TINY: &str = "bundle: {name: tiny}
source: {script: build.sh}
steps: [{name: the step, shell: 'true'}]
machine: {cpus: 1, ram: 64M, disk: 1G}
tests: {only: [boots, ssh]}
";

pub struct Place {
    pub dir: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        use std::os::unix::fs::PermissionsExt;
        // Short: sockets lie in it.
        let dir = tempfile::Builder::new().prefix("ifc").tempdir().unwrap();
        let (os, run) = (dir.path().join("tree/os/tiny"), dir.path().join("run"));
        std::fs::create_dir_all(&os).unwrap();
        std::fs::create_dir(&run).unwrap();
        std::fs::set_permissions(&run, std::fs::Permissions::from_mode(0o700)).unwrap();
        let key = image_factory::testing::guest::keys::generate_key("");
        let key = key.public_key().to_openssh().unwrap();
        let (begin, end) = ("-----BEGIN SSH HOST KEY KEYS-----", "-----END SSH HOST KEY KEYS-----");
        tiny_disk_saying(&os, &format!("{begin}\r\n{key}\r\n{end}\r\nREADY\r\n"));
        std::fs::write(os.join("build-vars.yml"), TINY).unwrap();
        std::fs::write(os.join("build.sh"), "#!/bin/sh\nexec cp tiny.img \"$OUT\"\n").unwrap();
        std::fs::set_permissions(os.join("build.sh"), std::fs::Permissions::from_mode(0o755))
            .unwrap();
        Self { dir }
    }

    /// The program, as a user calls it.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::cargo_bin("image-factory").unwrap();
        command.args(args).current_dir(self.dir.path().join("tree")).stdin(Stdio::null());
        let of_clouds = |name: &str| name.starts_with("OS_") || name.starts_with("FACTORY_");
        for (name, _) in std::env::vars_os().filter(|(name, _)| of_clouds(&name.to_string_lossy()))
        {
            command.env_remove(name);
        }
        command
            .env("IMAGE_FACTORY_HOME", self.dir.path().join("home"))
            .env("XDG_RUNTIME_DIR", self.dir.path().join("run"));
        command.env("IMAGE_FACTORY_ACCEL", "tcg").env("CI", "true");
        command
    }

    pub fn factory(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Builds here in a process that dies at `moment`.
    pub fn victim(&self, moment: Moment) -> Output {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::victim", "--nocapture"])
            .env(victim::DIR, self.dir.path())
            .env(victim::MOMENT, moment.to_string())
            .env("IMAGE_FACTORY_HOME", self.dir.path().join("home"))
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Records of the one ledger that is here.
    pub fn records(&self) -> usize {
        let files = walkdir::WalkDir::new(self.dir.path()).into_iter().flatten();
        let ledgers = files.filter(|e| e.file_name() == "ledger.jsonl");
        ledgers
            .map(|e| std::fs::read_to_string(e.path()).unwrap_or_default().lines().count())
            .max()
            .unwrap_or(0)
    }

    /// States of the images in the store.
    pub fn states(&self) -> Vec<String> {
        let listed = self.factory(&["image", "list", "--json"]).stdout;
        let images: Vec<serde_json::Value> = serde_json::from_slice(&listed).unwrap();
        images.iter().map(|i| i["state"].as_str().unwrap_or("no state").to_owned()).collect()
    }

    /// Whatever a run may leave: work files, sockets and keys, staged images, marked processes.
    pub fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        for dir in ["home/building", "run/image-factory"] {
            let found =
                std::fs::read_dir(self.dir.path().join(dir)).into_iter().flatten().flatten();
            left.extend(found.map(|e| e.path().display().to_string()));
        }
        left.extend(self.states().into_iter().filter(|s| s == "building"));
        let here = self.dir.path().display().to_string();
        for process in std::fs::read_dir("/proc").unwrap().flatten() {
            let read = |name: &str| std::fs::read(process.path().join(name)).unwrap_or_default();
            let (environ, cmdline) = (read("environ"), read("cmdline"));
            let [environ, cmdline] =
                [environ, cmdline].map(|b| String::from_utf8_lossy(&b).replace('\0', " "));
            if environ.contains("IMAGE_FACTORY_RUN=") && environ.contains(&here) {
                left.push(format!("process {cmdline}"));
            }
        }
        left.sort();
        left
    }
}

impl Drop for Place {
    /// A test that failed leaves no machine running either.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.factory(&["sweep"]);
        }
    }
}
