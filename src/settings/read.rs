//! Parses the owner's settings from YAML: unknown keys and wrong types are errors, all reported at
//! once.
use std::path::{Path, PathBuf};

use super::{Accelerator, AnsibleSettings, LimitSettings, Mode, Rule, Settings};
use crate::frontend::build_vars::decode::{Field, Fields, Reader};
use crate::frontend::build_vars::yaml::{Node, Position, Value};

const TOP: &[&str] = &["wall", "allow", "ansible", "read_only", "limits", "cache"];
const RULE: &[&str] = &["definition", "tree", "local", "env", "unwalled"];
const ANSIBLE: &[&str] = &["accelerator", "vault_password_file", "collections", "roles"];
const LIMITS: &[&str] = &["memory", "cpu", "processes", "memory_together"];
const MODES: [Mode; 3] = [Mode::Auto, Mode::Required, Mode::Off];

/// Merges the settings in `root` into `settings`.
pub(super) fn over(settings: &mut Settings, reader: &mut Reader, root: &Node) {
    if matches!(root.value, Value::Null) {
        return;
    }
    let start = Position { line: 0, column: 0 };
    let field = Field { path: String::new(), key: start, node: root };
    let Some(top) = known(reader, &field, TOP) else { return };
    if let Some(mode) = top.read("wall", |f| reader.one_of(f, &MODES.map(Mode::name))) {
        settings.wall = MODES[mode];
    }
    if let Some(rules) = top.read("allow", |f| reader.list(f)) {
        settings.allow = rules.iter().filter_map(|f| rule(reader, f)).collect();
    }
    if let Some(ansible) = top.read("ansible", |f| known(reader, f, ANSIBLE)) {
        settings.ansible = AnsibleSettings {
            accelerator: ansible
                .read("accelerator", |f| accelerator(reader, f))
                .unwrap_or_default(),
            vault_password_file: ansible.read("vault_password_file", |f| path(reader, f)),
            collections: ansible.read("collections", |f| paths(reader, f)).unwrap_or_default(),
            roles: ansible.read("roles", |f| paths(reader, f)).unwrap_or_default(),
        };
    }
    if let Some(read_only) = top.read("read_only", |f| paths(reader, f)) {
        settings.read_only = read_only;
    }
    if let Some(mib) = top.read("cache", |f| cache(reader, f)) {
        settings.cache_mib = Some(mib);
    }
    if let Some(limits) = top.read("limits", |f| known(reader, f, LIMITS)) {
        settings.limits = LimitSettings {
            memory_mib: limits.read("memory", |f| reader.size(f, 1)),
            cpu: limits.read("cpu", |f| reader.duration(f)),
            // A shell that runs a program behind bubblewrap is a handful.
            processes: limits.read("processes", |f| reader.whole(f, 16)),
            together_mib: limits.read("memory_together", |f| reader.size(f, 1)),
        };
    }
    for (key, _) in top.all() {
        settings.from.insert(key.to_owned(), reader.file.clone());
    }
}

/// [`Reader::fields`], with this file's wording.
fn known<'n>(reader: &mut Reader, field: &Field<'n>, valid: &[&str]) -> Option<Fields<'n>> {
    let fields = reader.map(field)?;
    for entry in fields.entries.iter().filter(|e| !valid.contains(&e.key.as_str())) {
        let whose =
            if field.path.is_empty() { String::new() } else { format!(" in `{}`", field.path) };
        let hint = match crate::frontend::build_vars::nearest_key(&entry.key, valid) {
            Some(suggestion) => format!("did you mean `{suggestion}`?"),
            None => format!("known here: {}", valid.join(", ")),
        };
        reader.error(entry.spot, format!("unknown key `{}`{whose}", entry.key), &hint);
    }
    Some(fields)
}

/// A size, or `off`.
fn cache(reader: &mut Reader, field: &Field) -> Option<u64> {
    match &field.node.value {
        Value::Scalar { text, .. } if text == "off" => Some(0),
        _ => reader.size(field, 1),
    }
}

fn rule(reader: &mut Reader, field: &Field) -> Option<Rule> {
    let fields = known(reader, field, RULE)?;
    if fields.get("definition").is_none() {
        reader.error(
            field.key,
            format!("`{}` has no `definition`", field.path),
            "like `images/x`, or `images/*`",
        );
    }
    Some(Rule {
        definition: fields.read("definition", |f| reader.word(f))?,
        tree: fields.read("tree", |f| path(reader, f)),
        local: fields.read("local", |f| reader.truth(f)).unwrap_or_default(),
        env: fields.read("env", |f| reader.words(f)).unwrap_or_default(),
        unwalled: fields.read("unwalled", |f| reader.truth(f)).unwrap_or_default(),
    })
}

/// `auto`, `off`, or a directory.
fn accelerator(reader: &mut Reader, field: &Field) -> Option<Accelerator> {
    match reader.word(field)?.as_str() {
        "auto" => Some(Accelerator::Auto),
        "off" => Some(Accelerator::Off),
        at if at.starts_with('/') => Some(Accelerator::At(at.into())),
        other => {
            let message =
                format!("`{}` must be auto, off or an absolute path, not `{other}`", field.path);
            reader.error(field.node.spot, message, "");
            None
        }
    }
}

fn paths(reader: &mut Reader, field: &Field) -> Option<Vec<PathBuf>> {
    let items = reader.list(field)?;
    Some(items.iter().filter_map(|item| path(reader, item)).collect())
}

fn path(reader: &mut Reader, field: &Field) -> Option<PathBuf> {
    let text = reader.word(field)?;
    if !Path::new(&text).is_absolute() {
        reader.error(
            field.node.spot,
            format!("`{}` must be an absolute path, not `{text}`", field.path),
            "it begins with `/`",
        );
        return None;
    }
    Some(text.into())
}
