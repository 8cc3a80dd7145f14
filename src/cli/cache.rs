//! `image-factory cache`: the checkpoints of local builds.
use std::process::ExitCode;
use std::time::SystemTime;

use serde_json::json;

use super::{Context, Failure, document, out};
use crate::log::sentences::duration;
use crate::provider::qemu::{KeptState, Local, LocalConfig};
use crate::settings::CACHE;
use crate::text::clean;

#[derive(clap::Subcommand)]
pub enum Command {
    /// List the checkpoints of local builds, those used last first
    ///
    /// A checkpoint is the state of a builder after a step, memory and disk. A build begins from
    /// the longest known prefix of its steps. The list removes the memory of checkpoints that are
    /// older than a week.
    List,
    /// Remove checkpoints until they take at most SIZE, those used longest ago first
    ///
    /// Checkpoints that a machine uses stay. Builds do the same by themselves, to the size `cache`
    /// in the owner's settings.
    Prune {
        /// What they may take, such as `2G` [default: `cache` of the settings]
        #[arg(value_name = "SIZE", conflicts_with = "all")]
        size: Option<String>,
        /// Remove all that no machine uses
        #[arg(long)]
        all: bool,
    },
}

pub fn run(context: &Context, command: &Command) -> Result<ExitCode, Failure> {
    let most = context.wall()?.settings().cache_mib.unwrap_or(CACHE);
    let most = most.saturating_mul(1 << 20);
    let cloud = Local::new(LocalConfig {
        home: context.home.data.clone(),
        runtime: context.home.runtime.clone(),
        accel: Default::default(),
        program: None,
        checkpoints: most,
    });
    match command {
        Command::List => list(context, &cloud.checkpoints_kept()?, most),
        Command::Prune { size, all } => {
            let most = match (size, all) {
                (_, true) => 0,
                (Some(size), _) => bytes(size)?,
                (None, _) => most,
            };
            let left = cloud.prune_checkpoints(most)?;
            if context.common.json {
                document(&context.common, SUMMARY, &json!({ "bytes": left }));
            } else {
                out(&format!("checkpoints take {}\n", mib(left)));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Of the document after events.
const SUMMARY: (&str, &str) = ("cache", "checkpoints");

fn bytes(size: &str) -> Result<u64, Failure> {
    crate::frontend::build_vars::size_in_mib(size)
        .map(|mib| mib.saturating_mul(1 << 20))
        .ok_or_else(|| {
            Failure::usage(format!("`{size}` is no size")).hint("like 512M, 2G, or whole MiB")
        })
}

fn list(context: &Context, all: &[KeptState], most: u64) {
    let age = |at: SystemTime| at.elapsed().unwrap_or_default();
    if context.common.json {
        let row = |one: &KeptState| {
            json!({
                "id": one.id, "about": one.about, "bytes": one.bytes,
                "used_seconds_ago": age(one.used).as_secs(), "in_use": one.in_use,
            })
        };
        return document(&context.common, SUMMARY, &all.iter().map(row).collect());
    }
    let mut text = String::new();
    for one in all {
        let used = if one.in_use {
            "in use".into()
        } else {
            format!("used {} ago", duration(age(one.used).as_secs_f64()))
        };
        text += &format!("{:>9}  {used:<16}  {}\n", mib(one.bytes), clean(&one.about));
    }
    let sum = all.iter().map(|one| one.bytes).sum();
    out(&format!("{text}{} of {} in {} checkpoints\n", mib(sum), mib(most), all.len()));
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}
