//! Content keys of steps. A key is a digest of everything in the definition that determines the
//! machine's state after the step: the base, the earlier steps, the step itself, the family that a
//! program of it is told, and the files it reads.
//!
//! Not included: downloads of a step (packages, roles of Galaxy), values of `pass_env` variables,
//! and versions of programs on the factory. Names, deadlines and retries of steps are not included
//! either, because they do not affect the machine.
use std::path::Path;

use serde_json::{Value, json};

use super::{Origin, StepPlan};
use crate::model::definition::Definition;
use crate::model::digest::Algorithm;
use crate::model::inputs::{InputFile, Inputs, names_run};
use crate::model::source::ChecksumSource;
use crate::model::source_uri::SourceUri;
use crate::model::step::{Reads, StepKind};
use crate::system::digest::Hasher;

/// State before the first step.
pub(super) struct Begin<'a> {
    pub origin: &'a Origin,
    pub bundle: &'a Definition,
    pub ssh_user: &'a str,
    /// `None` if a file is unreadable.
    pub inputs: Option<&'a Inputs>,
}

/// Incremented when the same definition gets other keys.
const EDITION: u32 = 2;

/// Sets `key` and `outline` of every step: SHA-256, in hex. `None` from the first step on whose
/// dependencies are unknown: the base is not built yet, a file is unreadable, or the step is told
/// of the run itself. Returns the key of the state before the first step.
pub(super) fn set(steps: &mut [StepPlan], on: &Begin<'_>) -> Option<String> {
    let base = on.base().map(|base| digest(&json!([EDITION, "base", base, on.ssh_user])));
    let (mut key, mut outline) = (base.clone(), base.clone());
    for step in steps {
        let read = read_by(&step.action, on.inputs).filter(|read| !is_told_of_run(step, read));
        // A program is told it, as `FACTORY_BUNDLE`.
        let family = step.action.form().no_env.is_none().then_some(&on.bundle.name);
        let own = json!([step.action, step.env, step.sudo, family]);
        let of = |before: Option<String>, files: Option<Value>| {
            let both = before.zip(files);
            both.map(|(before, files)| digest(&json!([EDITION, "step", before, own, files])))
        };
        key = of(key, read.as_deref().map(listed));
        outline = of(outline, read.as_deref().map(|read| known_of(&step.action, read)));
        step.key.clone_from(&key);
        step.outline.clone_from(&outline);
    }
    base
}

/// Whether the step, or a file that it reads, names what differs in every run.
fn is_told_of_run(step: &StepPlan, read: &[&InputFile]) -> bool {
    let said = json!([step.action, step.env]).to_string();
    // Which of all files a playbook reads, only the run tells.
    let known = !matches!(step.action.reads(), Reads::Everything);
    names_run(said.as_bytes()) || known && read.iter().any(|file| file.names_run)
}

impl Begin<'_> {
    /// Initial content of the builder's disk.
    fn base(&self) -> Option<Value> {
        match self.origin {
            Origin::Base(image) if !image.is_built() => None,
            Origin::Base(image) if image.checksum.is_empty() => Some(json!(["id", image.id])),
            Origin::Base(image) => Some(json!(["image", image.checksum])),
            // A script reads what it likes of its definition, and is told of the run.
            Origin::Script(path) => {
                let is_told = under(path, self.inputs)?.iter().any(|file| file.names_run);
                let read = listed(&every(self.inputs)?);
                (!is_told).then(|| json!(["script", path, read]))
            }
            Origin::Url { wish, format } => {
                let sum = match &wish.sum {
                    None => Value::Null,
                    Some(ChecksumSource::Given(digest)) => json!(digest),
                    Some(ChecksumSource::List(list)) => self.named(list)?,
                };
                Some(json!(["source", self.named(&wish.from)?, sum, format]))
            }
        }
    }

    /// A file of the definition by its content, anything else by its name.
    fn named(&self, uri: &SourceUri) -> Option<Value> {
        match uri {
            SourceUri::File(path) => match path.strip_prefix(&self.bundle.dir) {
                Ok(own) => under(own, self.inputs).map(|read| listed(&read)),
                Err(_) => Some(name(path)),
            },
            SourceUri::Url(url) => Some(json!(url)),
        }
    }
}

/// What is known of the files before the run; of those that may be read, the names alone.
fn known_of(action: &StepKind, read: &[&InputFile]) -> Value {
    match action.reads() {
        Reads::Nothing | Reads::Path(_) => listed(read),
        Reads::Everything => {
            let link = |file: &InputFile| (file.mode == 'l').then(|| file.sha256.clone());
            let named = |file: &&InputFile| json!([name(&file.path), file.mode, link(file)]);
            read.iter().map(named).collect()
        }
    }
}

/// `None` if it reads something outside of the definition.
fn read_by<'a>(action: &StepKind, inputs: Option<&'a Inputs>) -> Option<Vec<&'a InputFile>> {
    match action.reads() {
        Reads::Nothing => Some(Vec::new()),
        Reads::Path(path) => under(path, inputs),
        Reads::Everything => every(inputs),
    }
}

fn every(inputs: Option<&Inputs>) -> Option<Vec<&InputFile>> {
    Some(inputs?.files.iter().collect())
}

/// The file at `path`, or the files below it. Through a link it may read any file of the
/// definition.
fn under<'a>(path: &Path, inputs: Option<&'a Inputs>) -> Option<Vec<&'a InputFile>> {
    let files = &inputs?.files;
    let on_the_way = |file: &InputFile| file.path.starts_with(path) || path.starts_with(&file.path);
    if files.iter().any(|file| file.mode == 'l' && on_the_way(file)) {
        return every(inputs);
    }
    let read: Vec<_> = files.iter().filter(|file| file.path.starts_with(path)).collect();
    (!read.is_empty()).then_some(read)
}

fn listed(files: &[&InputFile]) -> Value {
    files.iter().map(|file| json!([name(&file.path), file.sha256, file.mode])).collect()
}

/// SHA-256, in hex, of a value; the order of the keys of a map does not count.
pub fn digest(value: &Value) -> String {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(sorted(value).to_string().as_bytes());
    hasher.finish().hex
}

/// As text, or as bytes if it is not UTF-8, which JSON cannot express.
fn name(path: &Path) -> Value {
    match path.to_str() {
        Some(text) => json!(text),
        None => json!(path.as_os_str().as_encoded_bytes()),
    }
}

/// Sorts the keys of every map, because their written order has no meaning.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Object(map) => {
            let mut entries: Vec<_> =
                map.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(entries.into_iter().collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod generated;
#[cfg(test)]
mod tests;
