//! A factory tree in a temporary directory, and the program run in it.
use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::cargo::CommandCargoExt;

/// Builder of a tree: `Factory::new().bundle("images/x",
/// "...").file("images/x/ansible/bootstrap.yml", "...")`.
pub struct Factory {
    dir: tempfile::TempDir,
}

impl Factory {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("tree/images")).unwrap();
        std::fs::create_dir_all(dir.path().join("tree/os")).unwrap();
        Self { dir }
    }

    pub fn tree(&self) -> PathBuf {
        self.dir.path().join("tree")
    }

    pub fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    pub fn file(self, path: &str, text: &str) -> Self {
        let path = self.tree().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    /// The same, executable.
    pub fn script(self, path: &str, text: &str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let this = self.file(path, text);
        std::fs::set_permissions(this.tree().join(path), std::fs::Permissions::from_mode(0o755))
            .unwrap();
        this
    }

    pub fn bundle(self, dir: &str, vars: &str) -> Self {
        self.file(&format!("{dir}/build-vars.yml"), vars)
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args).output().unwrap())
    }

    pub fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::cargo_bin("image-factory").unwrap();
        command
            .args(args)
            .current_dir(self.tree())
            .env("IMAGE_FACTORY_HOME", self.home())
            .env("CI", "true");
        for (variable, _) in std::env::vars_os() {
            let name = variable.to_string_lossy();
            if name.starts_with("OS_")
                || name.starts_with("FACTORY_")
                || name == "IMAGE_FACTORY_ACCEL"
            {
                command.env_remove(&variable);
            }
        }
        command.env("OS_CLIENT_CONFIG_FILE", self.dir.path().join("clouds.yaml"));
        command
    }

    /// Everything below the temporary directory, with sizes: to show that nothing was created.
    pub fn listing(&self) -> Vec<(PathBuf, u64)> {
        let mut all: Vec<_> = walkdir::WalkDir::new(self.dir.path())
            .into_iter()
            .flatten()
            .map(|e| {
                (
                    e.path().strip_prefix(self.dir.path()).unwrap_or(Path::new("")).to_owned(),
                    e.metadata().map_or(0, |m| m.len()),
                )
            })
            .collect();
        all.sort();
        all
    }
}

pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\nstdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(
            self.err.contains(text) || self.out.contains(text),
            "`{text}` is not in\nstdout:\n{}\nstderr:\n{}",
            self.out,
            self.err
        );
        self
    }
}
