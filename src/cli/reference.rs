//! The command-line reference (CLI.md), made from the same definitions as `--help`.
use std::fmt::Write;

use clap::CommandFactory;

const HEADING: &str = "Global options";

/// Markdown: a section with the global options, then one section per command without them.
pub fn text() -> String {
    let mut text = String::from(
        "# Command line\n\nMade by `make reference`; a test keeps it equal to `--help`. The \
            program is\n`target/release/image-factory` after `make build`; README.md says how to \
            put it into PATH.\n",
    );
    let mut command = super::Cli::command().term_width(100);
    command.build();
    let global = Help::of(&mut command).global;
    let _ = write!(
        text,
        "\n## {HEADING}\n\nEvery command takes these options.\n\n```text\n{}\n```\n",
        global.trim_end()
    );
    add(&mut text, &mut command, "");
    text
}

fn add(text: &mut String, command: &mut clap::Command, parent: &str) {
    let name = format!("{parent}{}", command.get_name());
    let _ = write!(
        text,
        "\n## `{name}`\n\n```text\n{}\n```\n",
        Help::of(command).of_command.trim_end()
    );
    for sub in command.get_subcommands_mut().filter(|c| !c.is_hide_set() && c.get_name() != "help")
    {
        add(text, sub, &format!("{name} "));
    }
}

/// The text of `--help`, in two parts.
#[derive(Default)]
struct Help {
    /// Without the global options.
    of_command: String,
    /// The global options, without their heading.
    global: String,
}

impl Help {
    fn of(command: &mut clap::Command) -> Self {
        let (mut help, mut in_global) = (Self::default(), false);
        for line in command.render_long_help().to_string().lines() {
            // Only headings, usage and prose begin in the first column.
            if !line.is_empty() && !line.starts_with(' ') {
                in_global = line.strip_suffix(':') == Some(HEADING);
                if in_global {
                    continue;
                }
            }
            let part = if in_global { &mut help.global } else { &mut help.of_command };
            part.push_str(line.trim_end());
            part.push('\n');
        }
        help
    }
}

#[cfg(test)]
mod tests {
    /// An example named an image in a way that no build does.
    #[test]
    fn images_in_examples_are_called_as_builds_call_them() {
        let text = super::text();
        let time = |word: &str| {
            let rest = word.trim_matches('`').strip_prefix("bundle-nginx-2")?;
            Some(format!("2{}", rest.replace(|c: char| c.is_ascii_digit(), "d")))
        };
        let times: Vec<String> = text.split_whitespace().filter_map(time).collect();
        assert!(!times.is_empty());
        for time in times {
            assert_eq!(time, "2ddd-dd-dddddd", "`name-2026-11-202331` is what a build makes");
        }
    }
}
