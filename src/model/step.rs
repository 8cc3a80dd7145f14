//! Steps that provision a builder. All that is particular to a kind of step is in this file, but
//! for its program in the engine.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

type Variables = serde_json::Map<String, serde_json::Value>;

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
    /// For how long its result may be used again by other builds.
    pub fresh: Option<Duration>,
}

/// What a step does. Paths are relative to the definition's directory. Serialized under the word of
/// its [`Form`].
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepKind {
    Ansible {
        playbook: PathBuf,
        extra_vars: Variables,
        tags: Vec<String>,
        /// Requests that plays run on the factory too. The owner decides.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        local: bool,
        /// Never with an accelerator.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        plain: bool,
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
        /// Permissions of files; `None`: as git keeps them.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "octal")]
        mode: Option<u32>,
    },
    Reboot,
}

/// A kind of step as definitions write it.
pub struct Form {
    /// The key, and the word in plans.
    pub word: &'static str,
    /// The value of the key.
    pub shape: Shape,
    /// Makes the step of a value of that shape. The error says why the value is none.
    pub make: fn(Written) -> Result<StepKind, String>,
    /// For messages, with its article.
    pub what: &'static str,
    /// Why `sudo` has no effect; `None`: it has.
    pub no_sudo: Option<&'static str>,
    /// Why `env` has no effect; `None`: it has.
    pub no_env: Option<&'static str>,
    /// The step sends files, and has their default timeout.
    pub sends: bool,
}

/// The type of a value in a definition.
pub enum Shape {
    /// A playbook, with options beside it; see [`StepKind::Ansible`].
    Playbook,
    /// The text of a program, or a list of its lines.
    Lines,
    /// A script of the definition.
    Script,
    /// A file or directory of the definition.
    Files,
    /// Text on one line.
    Word,
    /// Permissions of a file, in octal.
    Mode,
    /// `true`, and nothing else.
    True,
    /// A map with all of these keys, but for optional ones.
    Map(&'static [(&'static str, Shape)]),
    /// In a map: it may be absent.
    Optional(&'static Shape),
}

/// A value that was read as its [`Shape`] says.
pub enum Written {
    Text(String),
    Path(PathBuf),
    True,
    Mode(u32),
    /// An optional value that is not written.
    Absent,
    /// Values of a map, in the order of the shape.
    All(Vec<Written>),
}

/// Files of the definition that determine what a step does.
#[derive(Debug, PartialEq, Eq)]
pub enum Reads<'a> {
    Nothing,
    /// This file, or the files below this directory.
    Path(&'a Path),
    /// Possibly any.
    Everything,
}

/// All kinds, in the order of messages.
pub const FORMS: [&Form; 5] = [&ANSIBLE, &SHELL, &SCRIPT, &UPLOAD, &REBOOT];

/// A shape that no front-end gives this kind.
const OTHER_SHAPE: &str = "is not of the form that this step has";

const ANSIBLE: Form = Form {
    word: "ansible",
    shape: Shape::Playbook,
    make: |_| Err(OTHER_SHAPE.into()),
    what: "a playbook",
    no_sudo: Some("playbooks say `become: true`"),
    no_env: None,
    sends: false,
};

const SHELL: Form = Form {
    word: "shell",
    shape: Shape::Lines,
    make: |written| match written {
        Written::Text(text) => Ok(StepKind::Shell { text }),
        _ => Err(OTHER_SHAPE.into()),
    },
    what: "a shell script",
    no_sudo: None,
    no_env: None,
    sends: false,
};

const SCRIPT: Form = Form {
    word: "script",
    shape: Shape::Script,
    make: |written| match written {
        Written::Path(path) => Ok(StepKind::Script { path }),
        _ => Err(OTHER_SHAPE.into()),
    },
    what: "a script",
    no_sudo: None,
    no_env: None,
    sends: false,
};

const UPLOAD: Form = Form {
    word: "upload",
    shape: Shape::Map(&[
        ("src", Shape::Files),
        ("dest", Shape::Word),
        ("mode", Shape::Optional(&Shape::Mode)),
    ]),
    make: |written| {
        let Written::All(all) = written else { return Err(OTHER_SHAPE.into()) };
        let (src, dest, mode) = match <[Written; 3]>::try_from(all) {
            Ok([Written::Path(src), Written::Text(dest), Written::Absent]) => (src, dest, None),
            Ok([Written::Path(src), Written::Text(dest), Written::Mode(mode)]) => {
                (src, dest, Some(mode))
            }
            _ => return Err(OTHER_SHAPE.into()),
        };
        Ok(StepKind::Upload { src, dest, mode })
    },
    what: "an upload",
    no_sudo: None,
    no_env: Some("an upload runs no program"),
    sends: true,
};

const REBOOT: Form = Form {
    word: "reboot",
    shape: Shape::True,
    make: |_| Ok(StepKind::Reboot),
    what: "a restart",
    no_sudo: Some("the factory restarts the machine as root anyway"),
    no_env: Some("a restart runs no program of yours"),
    sends: false,
};

impl StepKind {
    pub fn form(&self) -> &'static Form {
        match self {
            Self::Ansible { .. } => &ANSIBLE,
            Self::Shell { .. } => &SHELL,
            Self::Script { .. } => &SCRIPT,
            Self::Upload { .. } => &UPLOAD,
            Self::Reboot => &REBOOT,
        }
    }

    /// Name of a step that has none.
    pub fn title(&self) -> String {
        match self {
            Self::Ansible { playbook: path, .. } | Self::Script { path } => {
                path.display().to_string()
            }
            Self::Shell { text } => first_words(text),
            Self::Upload { src, dest, .. } => format!("upload {} to {dest}", src.display()),
            Self::Reboot => self.form().word.into(),
        }
    }

    /// The file or directory of the definition that the step names.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Ansible { playbook: path, .. }
            | Self::Script { path }
            | Self::Upload { src: path, .. } => Some(path),
            Self::Shell { .. } | Self::Reboot => None,
        }
    }

    pub fn reads(&self) -> Reads<'_> {
        // Roles, variables, templates, plugins, lookups: a playbook can read any of them.
        if self.is_playbook() {
            return Reads::Everything;
        }
        self.path().map_or(Reads::Nothing, Reads::Path)
    }

    pub fn is_playbook(&self) -> bool {
        matches!(self, Self::Ansible { .. })
    }

    /// The same with variables of the definition; the step's own win.
    #[must_use]
    pub fn with_vars(mut self, vars: &Variables) -> Self {
        if let Self::Ansible { extra_vars, .. } = &mut self {
            let own = std::mem::take(extra_vars);
            *extra_vars = vars.clone().into_iter().chain(own).collect();
        }
        self
    }
}

impl Shape {
    /// Whether a scalar at `path` inside the value is a number or a boolean.
    pub fn is_typed(&self, path: &[&str]) -> bool {
        match (self, path) {
            (Self::True, []) | (Self::Playbook, ["local" | "accelerator"]) => true,
            (Self::Map(parts), [key, rest @ ..]) => {
                parts.iter().any(|(name, shape)| name == key && shape.is_typed(rest))
            }
            _ => false,
        }
    }
}

/// Permissions as people write them: `0640`.
mod octal {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(mode: &Option<u32>, to: S) -> Result<S::Ok, S::Error> {
        match mode {
            Some(mode) => to.serialize_str(&format!("{mode:04o}")),
            None => to.serialize_none(),
        }
    }

    pub fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Option<u32>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| u32::from_str_radix(&text, 8).map_err(D::Error::custom)).transpose()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_serialized_under_its_word() {
        let shell = StepKind::Shell { text: "true".into() };
        for kind in [shell, StepKind::Script { path: "a".into() }] {
            assert!(serde_json::to_value(&kind).unwrap().get(kind.form().word).is_some());
        }
        assert_eq!(serde_json::to_value(StepKind::Reboot).unwrap(), REBOOT.word);
        // Of an older plan, and as people write modes.
        let upload = |mode| StepKind::Upload { src: "a".into(), dest: "/b".into(), mode };
        for (mode, text) in [
            (None, r#"{"upload":{"src":"a","dest":"/b"}}"#),
            (Some(0o640), r#"{"upload":{"src":"a","dest":"/b","mode":"0640"}}"#),
        ] {
            assert_eq!(serde_json::to_string(&upload(mode)).unwrap(), text);
            assert_eq!(serde_json::from_str::<StepKind>(text).unwrap(), upload(mode));
        }
    }
}
