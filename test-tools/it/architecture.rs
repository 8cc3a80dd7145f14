//! The invariants of ARCHITECTURE.md that can be read off the source.
use std::fs;
use std::path::{Path, PathBuf};

fn sources() -> Vec<(PathBuf, String)> {
    walkdir::WalkDir::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
        .into_iter()
        .flatten()
        .filter(|e| e.path().extension().is_some_and(|x| x == "rs"))
        .filter(|e| {
            !e.path()
                .components()
                .any(|c| ["tests", "tests.rs"].map(std::ffi::OsStr::new).contains(&c.as_os_str()))
        })
        .map(|e| {
            (
                e.path().strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().to_owned(),
                fs::read_to_string(e.path()).unwrap(),
            )
        })
        .collect()
}

/// Without the unit tests at the end of a file.
fn code(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}

#[test]
fn modules_import_only_from_those_before_them() {
    let lib = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let order: Vec<&str> =
        lib.lines().filter_map(|l| l.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert!(order.len() > 10, "the list of modules in lib.rs was not understood");
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let own = path.iter().nth(1).unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
        let Some(position) = order.iter().position(|m| *m == own) else { continue };
        for (later, name) in order.iter().enumerate().skip(position + 1).map(|(i, n)| (i, *n)) {
            if code(&text).contains(&format!("crate::{name}::")) {
                wrong.push(format!(
                    "{} imports from {name} ({later} is after {position})",
                    path.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn only_the_command_line_prints_and_reads_the_environment() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        if path.starts_with("src/cli") {
            continue;
        }
        for word in [
            "println!",
            "eprintln!",
            "print!(",
            "env::var",
            "from_env(",
            "from_system(",
            "io::stdout()",
            "io::stderr()",
        ] {
            if code(&text).lines().any(|l| l.contains(word) && !l.trim_start().starts_with("//")) {
                wrong.push(format!("{}: {word}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<_> = sources()
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(path, _)| path)
        .collect();
    assert!(silent.is_empty(), "{silent:?}");
}

#[test]
fn the_reference_is_what_help_says() {
    let text = super::support::Factory::new().run(&["reference"]).exits(0).out;
    let kept = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("CLI.md"))
        .unwrap_or_default();
    assert!(text == kept, "CLI.md is out of date: run `make reference`");
}

/// A promise whose test went away is a promise that nobody holds.
#[test]
fn the_tests_that_security_md_names_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("SECURITY.md")).unwrap();
    let files = ["src", "test-tools"]
        .map(|dir| walkdir::WalkDir::new(root.join(dir)).into_iter().flatten());
    let rust =
        files.into_iter().flatten().filter(|e| e.path().extension().is_some_and(|x| x == "rs"));
    let code: String = rust.map(|e| fs::read_to_string(e.path()).unwrap()).collect();
    let (mut named, mut gone) = (0, Vec::new());
    for quoted in text.split('`').skip(1).step_by(2) {
        let words = quoted.split_whitespace().last().unwrap_or_default();
        let last = words.rsplit("::").next().unwrap();
        let is_name = |name: &str| {
            name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        let sought = match (last, last.strip_suffix('…')) {
            ("*" | "tests", _) => format!("mod {}", words.rsplit("::").nth(1).unwrap()),
            (_, Some(begin)) if is_name(begin) => format!("fn {begin}"),
            _ if last.matches('_').count() > 2 && is_name(last) => format!("fn {last}("),
            _ => continue,
        };
        named += 1;
        if !code.contains(&sought) {
            gone.push(quoted);
        }
    }
    assert!(named > 40 && gone.is_empty(), "{named} named, gone: {gone:#?}");
}
