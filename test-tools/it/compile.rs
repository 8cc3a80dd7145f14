//! `setup/compile` moves the debug information out of the program, and cargo notices nothing.
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::support::Ran;

/// A target directory, and a cargo that compiles a program of C with debug information into it
/// unless it has. Like the true one, it links the program's second name anew at each build.
struct Compiled {
    dir: tempfile::TempDir,
}

impl Compiled {
    const CARGO: &str = r#"#!/bin/sh
set -e
cd "$CARGO_TARGET_DIR/release"
[ -e deps/image_factory-1 ] || {
    echo '#include <stdio.h>
int main(void) { getchar(); return 0; }' | cc -g -x c - -o deps/image_factory-1
    cp deps/image_factory-1 "$CARGO_TARGET_DIR/as-made"
}
ln -f deps/image_factory-1 image-factory
"#;

    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cargo = dir.path().join("cargo");
        fs::write(&cargo, Self::CARGO).unwrap();
        fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir_all(dir.path().join("with blanks/release/deps")).unwrap();
        Self { dir }
    }

    fn target(&self) -> PathBuf {
        self.dir.path().join("with blanks")
    }

    fn program(&self) -> PathBuf {
        self.target().join("release/image-factory")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("setup/compile"));
        let path = format!("{}:{}", self.dir.path().display(), std::env::var("PATH").unwrap());
        command.env("PATH", path).env("CARGO_TARGET_DIR", self.target());
        command
    }

    fn compile(&self) -> Ran {
        Ran::of(self.command().output().unwrap())
    }

    /// Nothing but the program, its second name, the debug file and cargo's lock.
    fn is_split(&self) {
        let release = self.target().join("release");
        let (program, debug) = (self.program(), release.join("image-factory.debug"));
        let sections = |path: &Path| {
            let shown = Command::new("readelf").arg("-SW").arg(path).output().unwrap();
            String::from_utf8(shown.stdout).unwrap()
        };
        let (small, large) = (sections(&program), sections(&debug));
        assert!(small.contains(" .gnu_debuglink ") && !small.contains(" .debug_info "), "{small}");
        assert!(large.contains(" .debug_info ") && large.contains(" .symtab "), "{large}");
        let (one, other) = (
            fs::metadata(&program).unwrap(),
            fs::metadata(release.join("deps/image_factory-1")).unwrap(),
        );
        assert_eq!((one.ino(), one.nlink()), (other.ino(), 2));
        // Cargo compares times.
        let made = fs::metadata(self.target().join("as-made")).unwrap().mtime();
        assert!(one.mtime() <= made, "{} {made}", one.mtime());
        let mut names: Vec<_> = fs::read_dir(&release)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, [".cargo-lock", "deps", "image-factory", "image-factory.debug"]);
    }
}

#[test]
fn what_is_shipped_is_small_and_stays_so() {
    let compiled = Compiled::new();
    assert_eq!(compiled.compile().exits(0).err, "");
    compiled.is_split();
    let first = fs::metadata(compiled.program()).unwrap().ino();
    assert_eq!(compiled.compile().exits(0).err, "");
    compiled.is_split();
    assert_eq!(fs::metadata(compiled.program()).unwrap().ino(), first, "it was split again");
    // What is compiled anew is split anew.
    fs::remove_file(compiled.target().join("release/deps/image_factory-1")).unwrap();
    compiled.compile().exits(0);
    compiled.is_split();
    assert_ne!(fs::metadata(compiled.program()).unwrap().ino(), first);
}

#[test]
fn several_may_compile_at_once_while_the_program_runs() {
    let compiled = Compiled::new();
    let made = Command::new(compiled.dir.path().join("cargo"))
        .env("CARGO_TARGET_DIR", compiled.target())
        .status();
    assert!(made.unwrap().success());
    let mut running = Command::new(compiled.program()).stdin(Stdio::piped()).spawn().unwrap();
    let all: Vec<_> = (0..4).map(|_| compiled.command().spawn().unwrap()).collect();
    for mut one in all {
        assert!(one.wait().unwrap().success());
    }
    compiled.is_split();
    drop(running.stdin.take());
    assert!(running.wait().unwrap().success());
    assert!(Command::new(compiled.program()).stdin(Stdio::null()).status().unwrap().success());
}
