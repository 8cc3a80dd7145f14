//! Steps that provision a builder.
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Step {
    pub name: Option<String>,
    pub action: StepKind,
    pub timeout: Option<Duration>,
    /// Further attempts after the first; 0 by default.
    pub retries: u32,
    pub env: BTreeMap<String, String>,
    /// `sudo: true`; off by default.
    pub sudo: bool,
}

/// What a step does. Paths are relative to the definition's directory.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepKind {
    Ansible {
        playbook: PathBuf,
        extra_vars: serde_json::Map<String, serde_json::Value>,
        tags: Vec<String>,
        /// Requests that plays run on the factory too. The owner decides.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        local: bool,
    },
    /// A script text; a list of lines is joined, and runs under `sh -e`.
    Shell {
        text: String,
    },
    Script {
        path: PathBuf,
    },
    Upload {
        src: PathBuf,
        dest: String,
    },
    Reboot,
}
