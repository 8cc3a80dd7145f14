//! Parses the command line. Masks possible secrets in clap's errors, which quote the arguments: a
//! slightly mistyped `--set` would show its value.
use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, Parser};

use super::Cli;
use crate::frontend::build_vars::Override;

/// Parses the arguments; on errors and `--help`, prints and exits.
pub(super) fn parse() -> Cli {
    Cli::try_parse().unwrap_or_else(|error| {
        let given: Vec<String> =
            std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
        hidden(error, &given).exit()
    })
}

/// Masks values in `error` for the words `given`, with `…`.
fn hidden(mut error: clap::Error, given: &[String]) -> clap::Error {
    let parts = parts_of_values(given);
    let mut changed = false;
    for kind in [
        ContextKind::InvalidArg,
        ContextKind::InvalidSubcommand,
        ContextKind::InvalidValue,
        ContextKind::PriorArg,
    ] {
        let value = match error.get(kind) {
            Some(ContextValue::String(word)) => masked(word, &parts).map(ContextValue::String),
            Some(ContextValue::Strings(words)) => {
                let all: Vec<Option<String>> =
                    words.iter().map(|word| masked(word, &parts)).collect();
                let any = all.iter().any(Option::is_some);
                any.then(|| {
                    ContextValue::Strings(
                        all.into_iter()
                            .zip(words)
                            .map(|(new, old)| new.unwrap_or(old.clone()))
                            .collect(),
                    )
                })
            }
            _ => None,
        };
        if let Some(value) = value {
            error.insert(kind, value);
            changed = true;
        }
    }
    // A tip quotes it, too.
    if changed {
        error.remove(ContextKind::Suggested);
    }
    error
}

/// `KEY=…` for `KEY=VALUE`; `None` if it may be shown.
fn masked(word: &str, parts: &[&str]) -> Option<String> {
    if parts.contains(&word) {
        return Some("…".into());
    }
    // clap names its own options so: `--set <KEY=VALUE>`.
    if word.starts_with('-') {
        return None;
    }
    word.split_once('=').map(|(key, _)| format!("{key}=…"))
}

/// Words that may belong to an unquoted value: those after a `--set` with a free-form or missing
/// value, as in `--set vars.text=two words` and `--set vars.text = x`.
fn parts_of_values(given: &[String]) -> Vec<&str> {
    let cli = Cli::command();
    let is_command = |word: &str| cli.get_subcommands().any(|command| command.get_name() == word);
    let mut parts = Vec::new();
    let mut words = given.iter().map(String::as_str).peekable();
    while let Some(word) = words.next() {
        let set = match word.strip_prefix("--set") {
            Some("") => words.next(),
            Some(rest) => rest.strip_prefix('='),
            None => None,
        };
        let Some(set) = set else { continue };
        if set.split_once('=').is_none_or(|(_, value)| value.trim().is_empty()) {
            parts.extend(words.next_if(|next| !next.starts_with("--set") && !is_command(next)));
        } else if Override::parse(set).is_ok_and(|one| !one.is_free()) {
            continue;
        }
        while let Some(part) = words.next_if(|next| !next.starts_with('-') && !is_command(next)) {
            parts.push(part);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str) -> String {
        let given: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let Err(error) = Cli::try_parse_from(&given) else { panic!("{line} is sound") };
        hidden(error, &given).to_string()
    }

    /// clap quotes each of these arguments, and suggests another.
    #[test]
    fn what_clap_refuses_is_told_without_values() {
        for line in [
            "plan x vars.password=hunter2",
            "vars.password=hunter2",
            "image vars.password=hunter2",
            "image list a vars.password=hunter2",
            "plan x --jobs=vars.password=hunter2",
            "plan x --sett vars.password=hunter2",
            "plan x --sett=vars.password=hunter2",
            "plan x --quiet=vars.password=hunter2",
            "plan x --progress vars.password=hunter2",
            "build x --jobs vars.password=hunter2",
            "plan x --set vars.password= hunter2",
            "plan x --set vars.password= --hunter2",
            "plan x --set vars.password hunter2",
            "plan x --set vars.password = hunter2",
            "plan x --set=vars.password hunter2",
            "plan x --set password=my hunter2 too",
            "--set vars.password=my hunter2 plan",
            "--set vars.password= hunter2 plan",
        ] {
            let said = said(&format!("image-factory {line}"));
            assert!(!said.contains("hunter2"), "{line}: {said}");
        }
    }

    #[test]
    fn what_is_no_value_is_told_as_it_is() {
        for (line, wanted) in [
            ("--set keep=2 biuld x", "unrecognized subcommand 'biuld'"),
            ("--set vars.a=b plan x y", "unexpected argument 'y' found"),
            ("plan x --set vars.a=b --ofline", "unexpected argument '--ofline' found"),
            ("plan x keep=2", "unexpected argument 'keep=…' found"),
            ("plan x --set", "a value is required for '--set <KEY=VALUE>'"),
            ("build x --jobs many", "invalid value 'many' for '--jobs <N>'"),
            ("biuld x", "a similar subcommand exists: 'build'"),
        ] {
            let said = said(&format!("image-factory {line}"));
            assert!(said.contains(wanted), "{line}: {said}");
        }
    }
}
