//! The command-line reference, made from the same definitions as `--help`.
use std::fmt::Write;

use clap::CommandFactory;

pub fn text() -> String {
    let mut text = String::from(
        "# Command line\n\nMade by `make reference`; a test keeps it equal to `--help`. The \
            program is\n`target/release/image-factory` after `make build`; README.md says how it \
            gets into PATH.\n",
    );
    let mut command = super::Cli::command().term_width(100);
    command.build();
    add(&mut text, &mut command, "");
    text
}

fn add(text: &mut String, command: &mut clap::Command, parent: &str) {
    let name = format!("{parent}{}", command.get_name());
    let help = command.render_long_help().to_string();
    let _ = write!(
        text,
        "\n## `{name}`\n\n```text\n{}\n```\n",
        help.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim_end()
    );
    for sub in command.get_subcommands_mut().filter(|c| !c.is_hide_set() && c.get_name() != "help")
    {
        add(text, sub, &format!("{name} "));
    }
}
