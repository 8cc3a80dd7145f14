//! The rules of style that can be counted. A limit is what the tree holds today: it may fall, and
//! never rises. `0` is a rule without exceptions.
use super::rust_files;
use super::source::{PROGRAM, Source, code, root};
use super::tokens::{flatten, raw_strings};
use std::path::Path;

struct Rule {
    name: &'static str,
    /// Breaches that there may be.
    limit: usize,
    /// Breaches that there are: `file:line: what is wrong`.
    find: fn() -> Vec<String>,
}

const LINES_OF_A_FILE: usize = 500;
const LINES_OF_A_FUNCTION: usize = 60;
const PARAMETERS: usize = 4;
const COLUMNS: usize = 100;
const NAMES_THAT_SAY_NOTHING: [&str; 6] =
    ["util", "utils", "helper", "helpers", "common", "manager"];

#[rustfmt::skip]
const RULES: [Rule; 7] = [
    Rule { name: "files of code over 500 lines",    limit: 0, find: long_files },
    Rule { name: "files of tests over 500 lines",   limit: 0, find: long_test_files },
    Rule { name: "functions over 60 lines",         limit: 4, find: long_functions },
    Rule { name: "functions of over 4 parameters",  limit: 0, find: wide_functions },
    Rule { name: "files without //!",               limit: 0, find: silent_files },
    Rule { name: "files named utils or the like",   limit: 0, find: nameless_files },
    Rule { name: "lines over 100 columns",          limit: 0, find: wide_lines },
];

#[test]
fn style_only_gets_better() {
    let mut wrong = String::new();
    for Rule { name, limit, find } in RULES {
        let breaches = find();
        let count = breaches.len();
        println!("{count:4} {name}");
        if count > limit {
            let list = breaches.join("\n  ");
            wrong +=
                &format!("\n{count} {name}, {limit} are allowed. One of these is new:\n  {list}\n");
        } else if count < limit {
            wrong += &format!(
                "\nOnly {count} {name} are left. Lower the limit from {limit} to {count} in {}.\n",
                file!()
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// What is ours and written in Rust.
fn all() -> Vec<String> {
    let mut all = vec!["build.rs".to_owned()];
    all.extend(["src", "test-tools", "fuzz/src", "fuzz/fuzz_targets"].map(rust_files).concat());
    all
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

fn too_long(path: &str) -> Option<String> {
    let lines = read(path).lines().count();
    (lines > LINES_OF_A_FILE).then(|| format!("{path}:1: {lines} lines"))
}

fn is_code(path: &String) -> bool {
    code().any(|s| s.path == *path)
}

fn long_files() -> Vec<String> {
    all().iter().filter(|p| is_code(p)).filter_map(|p| too_long(p)).collect()
}

fn long_test_files() -> Vec<String> {
    all().iter().filter(|p| !is_code(p)).filter_map(|p| too_long(p)).collect()
}

fn functions(breach: impl Fn(&super::walk::Function) -> Option<String>) -> Vec<String> {
    let of = |s: &'static Source| s.functions.iter().map(move |f| (s, f));
    code()
        .flat_map(of)
        .filter_map(|(s, f)| Some(format!("{}:{}: {}: {}", s.path, f.line, f.name, breach(f)?)))
        .collect()
}

fn long_functions() -> Vec<String> {
    functions(|f| (f.lines > LINES_OF_A_FUNCTION).then(|| format!("{} lines", f.lines)))
}

fn wide_functions() -> Vec<String> {
    functions(|f| (f.parameters > PARAMETERS).then(|| format!("{} parameters", f.parameters)))
}

fn silent_files() -> Vec<String> {
    let silent = |path: &String| !read(path).starts_with("//!");
    all().into_iter().filter(silent).map(|path| format!("{path}:1: no //!")).collect()
}

fn nameless_files() -> Vec<String> {
    let says_nothing = |path: &String| {
        let path = Path::new(path).with_extension("");
        let words = path.iter().flat_map(|part| part.to_str().unwrap().split(['_', '-', '.']));
        words.into_iter().any(|word| NAMES_THAT_SAY_NOTHING.contains(&word))
    };
    all().into_iter().filter(says_nothing).map(|path| format!("{path}:1: name")).collect()
}

fn wide_lines() -> Vec<String> {
    let mut wrong = Vec::new();
    for path in all() {
        let text = read(&path);
        let parsed;
        let raw = match PROGRAM.iter().find(|s| s.path == path) {
            Some(source) => &source.raw_strings,
            None => {
                parsed = raw_strings(&flatten(text.parse().unwrap()));
                &parsed
            }
        };
        for (line, columns) in (1..).zip(text.lines().map(|l| l.chars().count())) {
            if columns > COLUMNS && !raw.iter().any(|r| r.contains(&line)) {
                wrong.push(format!("{path}:{line}: {columns} columns"));
            }
        }
    }
    wrong
}
