//! The invariants of ARCHITECTURE.md that can be read off the source.
use std::fs;
use std::path::Path;

mod doors;
mod layers;
mod promises;
mod ratchet;
mod source;
mod tokens;
mod walk;

/// From the root of the repository, in order.
fn rust_files(below: &str) -> Vec<String> {
    let root = source::root();
    let mut files: Vec<String> = walkdir::WalkDir::new(root.join(below))
        .into_iter()
        .map(|entry| entry.expect("the tree can be read").into_path())
        .filter(|path| path.extension().is_some_and(|x| x == "rs"))
        .map(|path| path.strip_prefix(root).unwrap().display().to_string())
        .collect();
    files.sort();
    files
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
