//! A copy of the tree with the real definitions, a home of its own, and the program run in it.
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use assert_cmd::cargo::CommandCargoExt;

#[path = "ordinary.rs"]
mod ordinary;

use ordinary::Ordinary;

/// Held by whoever builds the base image of the home that tests share: those that need it wait, and
/// build no second one.
static BASE: Mutex<()> = Mutex::new(());

pub fn base_turn() -> MutexGuard<'static, ()> {
    BASE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

pub struct Factory {
    root: PathBuf,
    home: PathBuf,
    env: Vec<(String, String)>,
    /// Whom the program runs as, if not as whoever runs the tests.
    user: Option<Ordinary>,
}

impl Factory {
    /// As an ordinary user with a private home, whoever runs the tests: the first thing that is
    /// ever done with a factory is not done by root. `name` sets the tree apart; the home, with the
    /// base image in it, is shared.
    pub fn ordinary(name: &str) -> Self {
        let this = Self::new(name);
        let user = Ordinary::below(&PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("vm"));
        let home = user.as_ref().map_or_else(|| this.home.clone(), Ordinary::data);
        Self { user, home, ..this }
    }

    /// As whoever runs the tests.
    pub fn new(name: &str) -> Self {
        let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("vm");
        let this =
            Self { root: root.join(name), home: root.join("home"), env: Vec::new(), user: None };
        let _ = std::fs::remove_dir_all(&this.root);
        let from = Path::new(env!("CARGO_MANIFEST_DIR"));
        for definition in ["os/debian-12", "images/bundle-nginx"] {
            copy(&from.join(definition), &this.tree().join(definition));
        }
        let vars = std::fs::read_to_string(from.join("os/debian-12/build-vars.yml")).unwrap();
        let quick = "tests:\n  skip: [package-update, cloud-init-package, reboot-soft, \
            reboot-hard, rescue, snapshot]\n";
        this.file("os/debian-12/build-vars.yml", &format!("{vars}\n{quick}"))
    }

    /// With the base as it is, all its checks on: they take minutes, and most tests are about
    /// something else.
    pub fn whole(self) -> Self {
        let vars = std::fs::read_to_string(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("os/debian-12/build-vars.yml"),
        )
        .unwrap();
        self.file("os/debian-12/build-vars.yml", &vars)
    }

    pub fn tree(&self) -> PathBuf {
        self.root.join("tree")
    }

    pub fn home(&self) -> PathBuf {
        self.home.clone()
    }

    pub fn file(self, path: &str, text: &str) -> Self {
        let path = self.tree().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    /// A home that it shares with no other: images of an OpenStack are not in it anyway.
    pub fn apart(mut self) -> Self {
        self.home = self.root.join("home");
        self
    }

    /// For every call of the program, in place of what this process was given.
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = match &self.user {
            Some(user) => user.command(&self.tree(), args),
            None => Command::cargo_bin("image-factory").unwrap(),
        };
        if self.user.is_none() {
            command.args(args).current_dir(self.tree());
        }
        for (variable, _) in std::env::vars_os() {
            let name = variable.to_string_lossy();
            if name.starts_with("OS_")
                || name.starts_with("FACTORY_")
                || name == "IMAGE_FACTORY_ACCEL"
            {
                command.env_remove(&variable);
            }
        }
        command.env("CI", "true");
        // By itself it takes the user's own, which is what a first command does.
        if self.user.as_ref().is_none_or(|user| user.data() != self.home) {
            command.env("IMAGE_FACTORY_HOME", self.home());
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs to the end; what it says is shown as it comes (a test runner shows it when the test
    /// fails), and returned.
    pub fn run(&self, args: &[&str]) -> (i32, String) {
        let out =
            self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        );
        println!("$ image-factory {}\n{said}", args.join(" "));
        (out.status.code().unwrap_or(-1), said)
    }

    /// Builds the base image, if this home has none yet.
    pub fn with_base(self) -> Self {
        let _turn = base_turn();
        let (_, images) = self.run(&["image", "list", "debian-12"]);
        if !images.contains("active") {
            assert_eq!(self.run(&["build", "os/debian-12"]).0, 0);
        }
        self
    }

    /// Starts a build in the background, its words in a file.
    pub fn start(&self, args: &[&str]) -> Running {
        let log = self.root.join("said.log");
        let file = std::fs::File::create(&log).unwrap();
        let child =
            self.command(args).stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        Running { child, log }
    }

    /// Whatever a run may leave: work files, index entries, staged images, marked processes. Not
    /// what names a run of another test's tree: that test may be at work.
    pub fn left(&self) -> Vec<String> {
        let left = self.left_in_home();
        let others = self.runs_of_others();
        left.into_iter().filter(|what| !others.iter().any(|run| what.contains(run))).collect()
    }

    fn runs_of_others(&self) -> Vec<String> {
        let trees = std::fs::read_dir(self.root.parent().unwrap())
            .unwrap()
            .flatten()
            .map(|e| e.path())
            .filter(|dir| *dir != self.root);
        let runs =
            trees.flat_map(|dir| walkdir::WalkDir::new(dir.join("tree")).into_iter().flatten());
        runs.filter(|e| e.path().parent().is_some_and(|p| p.ends_with("runs")))
            .map(|e| e.file_name().to_string_lossy().into_owned())
            .collect()
    }

    fn left_in_home(&self) -> Vec<String> {
        let list = |dir: PathBuf| {
            std::fs::read_dir(dir)
                .into_iter()
                .flatten()
                .flatten()
                .map(|e| e.path().display().to_string())
        };
        let mut left: Vec<String> =
            list(self.home().join("building")).chain(list(self.home().join("runs"))).collect();
        let runtime = std::env::var("XDG_RUNTIME_DIR")
            .map(|d| PathBuf::from(d).join("image-factory"))
            .unwrap_or_default();
        for run in walkdir::WalkDir::new(self.tree())
            .into_iter()
            .flatten()
            .filter(|e| e.path().parent().is_some_and(|p| p.ends_with("runs")))
        {
            let of_user = self
                .user
                .as_ref()
                .map_or_else(|| PathBuf::from("/tmp/image-factory-0"), Ordinary::runtime);
            let of_run = [runtime.clone(), of_user].map(|d| d.join(run.file_name()));
            left.extend(of_run.iter().filter(|d| d.exists()).map(|d| d.display().to_string()));
        }
        let images = self.command(&["image", "list", "--json"]).output().unwrap().stdout;
        let images: Vec<serde_json::Value> = serde_json::from_slice(&images).unwrap();
        left.extend(
            images.iter().filter(|i| i["state"] == "building").map(|i| format!("staged image {i}")),
        );
        let home = self
            .user
            .as_ref()
            .map_or_else(|| self.home(), |user| user.home.clone())
            .display()
            .to_string();
        for process in std::fs::read_dir("/proc").unwrap().flatten() {
            let read = |name: &str| {
                String::from_utf8_lossy(
                    &std::fs::read(process.path().join(name)).unwrap_or_default(),
                )
                .into_owned()
            };
            let environ = read("environ");
            if environ.contains("IMAGE_FACTORY_RUN=") && environ.contains(&home) {
                let run = environ
                    .split('\0')
                    .find(|variable| variable.starts_with("IMAGE_FACTORY_RUN="))
                    .unwrap_or_default();
                left.push(format!("process {} ({run})", read("cmdline").replace('\0', " ")));
            }
        }
        left
    }

    pub fn images(&self, family: &str) -> Vec<serde_json::Value> {
        let out = self.command(&["image", "list", "--json", family]).output().unwrap().stdout;
        serde_json::from_slice(&out).unwrap()
    }
}

pub struct Running {
    pub child: Child,
    log: PathBuf,
}

impl Running {
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it said `text`.
    pub fn until(&mut self, text: &str, limit: Duration) {
        let begin = Instant::now();
        while !self.said().contains(text) {
            assert!(
                begin.elapsed() < limit,
                "`{text}` was not said in {limit:?}:\n{}",
                self.said()
            );
            assert!(
                self.child.try_wait().unwrap().is_none(),
                "ended before `{text}`:\n{}",
                self.said()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    pub fn signal(&self, name: &str) {
        assert!(
            Command::new("kill")
                .args([name, &self.child.id().to_string()])
                .status()
                .unwrap()
                .success()
        );
    }

    /// The exit code, -1 for a signal.
    pub fn end(&mut self, limit: Duration) -> i32 {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                println!("{}", self.said());
                return status.code().unwrap_or(-1);
            }
            assert!(begin.elapsed() < limit, "still running after {limit:?}:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in walkdir::WalkDir::new(from) {
        let entry = entry.unwrap();
        let target = to.join(entry.path().strip_prefix(from).unwrap());
        if entry.file_type().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}
