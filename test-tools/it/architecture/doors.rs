//! What one part of the program alone may do: print, read the environment, start processes.
use super::source::{Source, code};

/// Names of which each two in a row are looked for, in imports and in calls.
const PRINTS: [&[&str]; 3] = [&["io", "stdout"], &["io", "stderr"], &["io", "stdin"]];
const PRINTING_MACROS: [&str; 5] = ["print", "println", "eprint", "eprintln", "dbg"];
const ENVIRONMENT: [&[&str]; 10] = [
    &["env", "var"],
    &["env", "var_os"],
    &["env", "vars"],
    &["env", "vars_os"],
    &["env", "set_var"],
    &["env", "remove_var"],
    &["std", "env", "*"],
    &["std", "io", "*"],
    // Of libraries, and of ours: they say by their names that they read it.
    &["from_env"],
    &["from_system"],
];
const PROCESSES: [&[&str]; 10] = [
    &["process", "Command"],
    &["process", "*"],
    &["libc", "fork"],
    &["libc", "vfork"],
    &["libc", "clone"],
    &["libc", "execv"],
    &["libc", "execve"],
    &["libc", "execvp"],
    &["libc", "posix_spawn"],
    &["libc", "system"],
];

/// Ways to files, to the network and to other threads, by path and by method.
const INPUT_AND_OUTPUT: [&[&str]; 14] = [
    &["std", "fs"],
    &["std", "net"],
    &["std", "thread"],
    &["std", "*"],
    &["tokio"],
    &["File", "open"],
    &["OpenOptions"],
    &["reqwest", "Client"],
    &["exists"],
    &["metadata"],
    &["symlink_metadata"],
    &["canonicalize"],
    &["read_dir"],
    &["read_link"],
];
/// Modules that compute, and touch nothing.
const PURE: [&str; 2] = ["model", "plan"];

/// `ssh` for a person at a terminal, which stays in the terminal's own group until he ends it.
const INTERACTIVE: &str = "src/cli/shell.rs";

fn uses(source: &Source, patterns: &[&[&str]]) -> Vec<String> {
    let mut wrong = Vec::new();
    for named in &source.names {
        let hidden = named.renamed
            && named.segments[0] == "std"
            && ["env", "io", "process"].contains(&named.segments.last().unwrap().as_str());
        let matches =
            |pattern: &&[&str]| named.segments.windows(pattern.len()).any(|w| w == *pattern);
        if hidden || patterns.iter().any(matches) {
            wrong.push(format!("{}:{}: {}", source.path, named.at.line, named.segments.join("::")));
        }
    }
    wrong
}

fn prints(source: &Source) -> Vec<String> {
    let mut wrong = uses(source, &PRINTS);
    wrong.extend(
        source
            .macros
            .iter()
            .filter(|(name, _)| PRINTING_MACROS.contains(&name.as_str()))
            .map(|(name, at)| format!("{}:{}: {name}!", source.path, at.line)),
    );
    wrong
}

#[test]
fn only_the_command_line_prints_and_reads_the_environment() {
    let inner = || code().filter(|s| s.module.first().is_some_and(|m| m != "cli"));
    let mut wrong: Vec<_> = inner().flat_map(prints).collect();
    wrong.extend(inner().flat_map(|s| uses(s, &ENVIRONMENT)));
    assert!(wrong.is_empty(), "{wrong:#?}");
    let cli = code().filter(|s| s.module.first().is_some_and(|m| m == "cli"));
    let there: Vec<_> = cli.flat_map(|s| uses(s, &ENVIRONMENT)).collect();
    assert!(!there.is_empty(), "the environment is read somewhere, or this test is blind");
}

#[test]
fn only_exec_starts_processes() {
    let of_exec = |s: &Source| s.module.starts_with(&["system".to_owned(), "exec".to_owned()]);
    let starting = |s: &'static Source| uses(s, &PROCESSES);
    let outside: Vec<_> =
        code().filter(|s| !of_exec(s) && s.path != INTERACTIVE).flat_map(starting).collect();
    assert!(outside.is_empty(), "{outside:#?}");
    let interactive: Vec<_> = code().filter(|s| s.path == INTERACTIVE).flat_map(starting).collect();
    assert_eq!(interactive.len(), 1, "{interactive:#?}");
    assert!(code().filter(|s| of_exec(s)).flat_map(starting).count() > 0, "this test is blind");
}

#[test]
fn model_and_plan_touch_nothing() {
    for pure in PURE {
        let sources = || code().filter(|s| s.module.first().is_some_and(|m| m == pure));
        let mut wrong: Vec<_> = sources().flat_map(|s| uses(s, &INPUT_AND_OUTPUT)).collect();
        wrong.extend(sources().flat_map(|s| uses(s, &PROCESSES)));
        wrong.extend(sources().flat_map(prints));
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert!(sources().count() > 5, "{pure}: this test is blind");
    }
    let system = code().filter(|s| s.module.first().is_some_and(|m| m == "system"));
    assert!(system.flat_map(|s| uses(s, &INPUT_AND_OUTPUT)).count() > 20, "this test is blind");
}

#[test]
fn each_form_of_use_is_found() {
    let text = r##"
        use std::env::{self, var};
        use std::{env as surroundings, process::Command};
        use tokio::process::*;
        fn f() {
            let a = env::var_os("A");
            println!("x");
            let _ = format!("{}", std::env::vars().count());
            tracing!(std::io::stderr());
            Settings::from_env();
            libc::fork();
            Path::new("x").exists();
            std::fs::read("x");
        }
        #[test]
        fn g() { println!("in a test") }
    "##;
    let source = Source::parse("x.rs", vec!["x".to_owned()], false, text.to_owned());
    let lines = |found: Vec<String>| -> Vec<String> {
        found.iter().map(|w| w.split(':').nth(1).unwrap().to_owned()).collect()
    };
    assert_eq!(lines(uses(&source, &ENVIRONMENT)), ["2", "3", "6", "8", "10"]);
    assert_eq!(lines(uses(&source, &PROCESSES)), ["3", "3", "4", "11"]);
    assert_eq!(lines(uses(&source, &INPUT_AND_OUTPUT)), ["3", "4", "12", "13"]);
    assert_eq!(lines(prints(&source)), ["3", "9", "7"]);
}
