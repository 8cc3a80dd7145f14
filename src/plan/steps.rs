//! Steps of a plan: those of the definition, or the playbook where the default one lies.
use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::timeouts::{STEP, UPLOAD, secs};
use crate::model::definition::Definition;
use crate::model::step::StepKind;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepPlan {
    pub name: String,
    pub action: StepKind,
    pub timeout: u64,
    pub retries: u32,
    pub env: BTreeMap<String, String>,
    pub sudo: bool,
    /// The content key; see `keys`.
    #[serde(default)]
    pub key: Option<String>,
}

pub(super) fn steps(bundle: &Definition) -> Vec<StepPlan> {
    let default = secs(bundle.timeouts.step, STEP);
    if bundle.steps.is_empty() && bundle.has_bootstrap {
        return vec![bootstrap(bundle, default)];
    }
    // The bundle's own values; what a step says of itself wins.
    let with_vars = |extra: &serde_json::Map<String, serde_json::Value>| {
        bundle.vars.clone().into_iter().chain(extra.clone()).collect()
    };
    let plan = |step: &crate::model::step::Step| {
        let (name, action) = match &step.action {
            StepKind::Ansible { playbook, extra_vars, tags, local } => (
                playbook.display().to_string(),
                StepKind::Ansible {
                    playbook: playbook.clone(),
                    extra_vars: with_vars(extra_vars),
                    tags: tags.clone(),
                    local: *local,
                },
            ),
            StepKind::Shell { text } => (first_words(text), StepKind::Shell { text: text.clone() }),
            StepKind::Script { path } => {
                (path.display().to_string(), StepKind::Script { path: path.clone() })
            }
            StepKind::Upload { src, dest } => (
                format!("upload {} to {dest}", src.display()),
                StepKind::Upload { src: src.clone(), dest: dest.clone() },
            ),
            StepKind::Reboot => ("reboot".into(), StepKind::Reboot),
        };
        StepPlan {
            name: step.name.clone().unwrap_or(name),
            action,
            timeout: secs(
                step.timeout,
                if matches!(step.action, StepKind::Upload { .. }) {
                    secs(bundle.timeouts.upload, UPLOAD)
                } else {
                    default
                },
            ),
            retries: step.retries,
            env: step.env.clone(),
            sudo: step.sudo,
            key: None,
        }
    };
    bundle.steps.iter().map(plan).collect()
}

/// The playbook where the default one lies.
fn bootstrap(bundle: &Definition, timeout: u64) -> StepPlan {
    StepPlan {
        name: "ansible/bootstrap.yml".into(),
        action: StepKind::Ansible {
            playbook: PathBuf::from("ansible/bootstrap.yml"),
            extra_vars: bundle.vars.clone(),
            tags: Vec::new(),
            local: false,
        },
        timeout,
        retries: 0,
        env: BTreeMap::new(),
        sudo: false,
        key: None,
    }
}

/// A shell step without a name is called after its first line.
fn first_words(text: &str) -> String {
    let line = text
        .lines()
        .map(str::trim)
        .find(|l| !l.is_empty() && !l.starts_with('#'))
        .unwrap_or("shell");
    let short: String = line.chars().take(50).collect();
    if short.len() < line.len() { format!("{short}…") } else { short }
}
