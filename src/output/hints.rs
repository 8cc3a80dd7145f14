//! Messages and hints for what goes wrong in templates.
use minijinja::ErrorKind;
use serde_json::{Map, Value as Json};

use super::filters;

/// Names Ansible has and we do not, with what to do instead.
const REFUSED: &[(&str, &str)] = &[
    ("omit", "leave the line out with `{% if … %}`"),
    ("inventory_hostname", "there is no inventory here: templates see build-vars.yml and the built image"),
    ("hostvars", "there is no inventory here: templates see build-vars.yml and the built image"),
    ("groups", "there is no inventory here: templates see build-vars.yml and the built image"),
];

/// What to do about the undefined variable `path`.
pub fn for_name(path: &str, variables: &Map<String, Json>) -> String {
    if path.starts_with("ansible_date_time") {
        return "facts are not gathered here: `build_date` holds the time of the build".into();
    }
    if path.starts_with("ansible_") {
        return "facts are not gathered here: templates see build-vars.yml and the built image".into();
    }
    if let Some((_, hint)) = REFUSED.iter().find(|(name, _)| *name == path) {
        return (*hint).into();
    }
    let (parent, last) = path.rsplit_once('.').unwrap_or(("", path));
    let siblings: Vec<String> = members(parent, variables).into_iter().flat_map(|m| m.keys().cloned()).collect();
    let full = |name: &str| if parent.is_empty() { name.to_string() } else { format!("{parent}.{name}") };
    if let Some(near) = nearest(last, siblings.iter().map(String::as_str)) {
        return format!("did you mean `{}`?", full(near));
    }
    // The right word in the wrong place: `{{ name }}` for `{{ bundle.name }}`.
    for (key, value) in variables {
        if value.as_object().is_some_and(|m| m.contains_key(last)) && full(last) != format!("{key}.{last}") {
            return format!("did you mean `{key}.{last}`?");
        }
    }
    match parent {
        "" => "put free variables under `vars:` in build-vars.yml".into(),
        _ if siblings.is_empty() => format!("`{parent}` has no members"),
        _ => format!("`{parent}` has {}", list(&siblings)),
    }
}

fn members<'a>(path: &str, variables: &'a Map<String, Json>) -> Option<&'a Map<String, Json>> {
    path.split('.').filter(|p| !p.is_empty()).try_fold(variables, |map, key| map.get(key)?.as_object())
}

fn list(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(8).map(|n| format!("`{n}`")).collect();
    format!("{}{}", shown.join(", "), if names.len() > 8 { ", …" } else { "" })
}

/// The name most like `word`, if one is like it at all.
pub fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Nearness costs as much as both words are long, in time and in memory.
    let short = |name: &&str| name.len() <= 100;
    names
        .filter(|n| short(n) && short(&word))
        .map(|n| (strsim::damerau_levenshtein(word, n), n))
        .filter(|(distance, n)| *distance <= word.len().max(n.len()) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, n)| n)
}

/// Byte offset of `word` in `text` as a whole word.
pub fn find_word(text: &str, word: &str) -> Option<usize> {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).find(|(at, _)| !text[..*at].ends_with(part) && !text[at + word.len()..].starts_with(part)).map(|(at, _)| at)
}

/// The message for an error other than an undefined variable.
pub fn message(kind: ErrorKind, detail: &str) -> String {
    match kind {
        ErrorKind::SyntaxError => format!("template syntax: {detail}"),
        ErrorKind::UnknownFunction => format!("function {detail}"),
        ErrorKind::OutOfFuel if detail.starts_with("values of") => detail.to_string(),
        ErrorKind::OutOfFuel => format!("does not come to an end: more than {} steps of rendering", super::jinja::FUEL),
        ErrorKind::WriteFailure => format!("renders to more than {} MiB", super::templates::MAX_OUTPUT >> 20),
        ErrorKind::UndefinedError => "something in this expression is undefined".into(),
        _ => detail.to_string(),
    }
}

/// What to do about it, where that is known.
pub fn for_error(kind: ErrorKind, detail: &str, snippet: &str) -> Option<String> {
    let word = detail.split_whitespace().nth(1).unwrap_or_default();
    match kind {
        ErrorKind::UnknownFilter => Some(match nearest(word, filters::NAMES.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "this filter is not supported; work the value out in build-vars.yml, under `vars:`".into(),
        }),
        ErrorKind::UnknownMethod if detail.contains("append") => Some("write `{% set xs = xs + [x] %}`".into()),
        ErrorKind::UnknownMethod => Some("this method is not supported; there may be a filter for it".into()),
        ErrorKind::InvalidOperation if detail.contains('%') && snippet.contains('%') => Some("write `{{ \"…\" | format(x) }}`".into()),
        ErrorKind::OutOfFuel | ErrorKind::WriteFailure => Some("look at loops in loops, and at what includes or calls itself".into()),
        ErrorKind::TemplateNotFound => Some("only files under `output/` can be included".into()),
        ErrorKind::SyntaxError if detail.contains("unexpected character") => {
            Some("only Jinja can stand between the braces; `{% raw %}…{% endraw %}` keeps braces as they are".into())
        }
        ErrorKind::SyntaxError if detail.contains("end of input") && detail.contains("variable block") => {
            Some("`{{ … }}` is not closed".into())
        }
        ErrorKind::SyntaxError if detail.contains("end of input") => Some("a `{% … %}` block is not closed".into()),
        _ => None,
    }
}
