//! YAML tags: those that keep Ansible from rendering, and those that hide what a value says.
use saphyr_parser::Event;

pub(super) fn is_raw(event: &Event<'_>) -> bool {
    let (Event::Scalar(.., tag) | Event::SequenceStart(_, tag) | Event::MappingStart(_, tag)) =
        event
    else {
        return false;
    };
    tag.as_deref().is_some_and(|tag| {
        ["unsafe", "vault", "vault-encrypted"].contains(&tag.suffix.trim_start_matches('!'))
    })
}

/// The tag of a value that Ansible (YAML 1.1) reads as something else than what is written.
pub(super) fn misleading(event: &Event<'_>) -> Option<String> {
    let (tag, kind) = match event {
        Event::Scalar(_, _, _, Some(tag)) => (tag, None),
        Event::SequenceStart(_, Some(tag)) => (tag, Some("seq")),
        Event::MappingStart(_, Some(tag)) => (tag, Some("map")),
        _ => return None,
    };
    let full = format!("{}{}", tag.handle, tag.suffix);
    let Some(name) = full.strip_prefix("tag:yaml.org,2002:") else {
        return full.contains('%').then_some(full);
    };
    // A scalar's tag on a map stands for the map's `=`.
    let wrong = match kind {
        None => ["merge", "binary", "value"].contains(&name),
        Some(kind) => name != kind,
    };
    (wrong || name.contains('%')).then(|| format!("!!{name}"))
}
