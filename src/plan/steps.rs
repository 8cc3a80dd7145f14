//! Steps of a plan: those of the definition, or the playbook where the default one lies.
use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::timeouts::{SSH, STEP, UPLOAD, secs};
use crate::model::definition::Definition;
use crate::model::step::{Step, StepKind};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepPlan {
    pub name: String,
    pub action: StepKind,
    pub timeout: u64,
    pub retries: u32,
    pub env: BTreeMap<String, String>,
    pub sudo: bool,
    /// Seconds for which its result may be used again; `None`: as long as it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh: Option<u64>,
    /// The content key; see `keys`.
    #[serde(default)]
    pub key: Option<String>,
    /// The same without the contents of files that only a run can tell to be read: those of a
    /// playbook.
    #[serde(default)]
    pub outline: Option<String>,
}

pub(super) fn steps(bundle: &Definition) -> Vec<StepPlan> {
    let default = secs(bundle.timeouts.step, STEP);
    if bundle.steps.is_empty() && bundle.has_bootstrap {
        return vec![bootstrap(bundle, default)];
    }
    let upload = secs(bundle.timeouts.upload, UPLOAD);
    let boot = secs(bundle.timeouts.ssh, SSH);
    let timeout = |step: &Step| match step.action {
        // A boot, and bounded as every boot is.
        StepKind::Reboot => secs(step.timeout, boot).min(boot),
        _ => secs(step.timeout, if step.action.form().sends { upload } else { default }),
    };
    let plan = |step: &Step| StepPlan {
        name: step.name.clone().unwrap_or_else(|| step.action.title()),
        action: step.action.clone().with_vars(&bundle.vars),
        timeout: timeout(step),
        retries: step.retries,
        env: step.env.clone(),
        sudo: step.sudo,
        fresh: step.fresh.map(|fresh| fresh.as_secs()),
        key: None,
        outline: None,
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
            plain: false,
        },
        timeout,
        retries: 0,
        env: BTreeMap::new(),
        sudo: false,
        fresh: None,
        key: None,
        outline: None,
    }
}
