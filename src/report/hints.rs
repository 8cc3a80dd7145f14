//! Messages and hints for errors in templates.
use serde_json::{Map, Value as Json};

use crate::jinja::{FILTERS, Kind, TESTS};

/// Hint for the undefined variable `path`.
pub fn for_name(path: &str, variables: &Map<String, Json>) -> String {
    if path.starts_with("ansible_date_time") {
        return "facts are not gathered here: `build_date` holds the time of the build".into();
    }
    if path.starts_with("ansible_") {
        return "facts are not gathered here: templates see build-vars.yml and the built image"
            .into();
    }
    let (parent, last) = path.rsplit_once('.').unwrap_or(("", path));
    let siblings: Vec<String> =
        members(parent, variables).into_iter().flat_map(|m| m.keys().cloned()).collect();
    let full =
        |name: &str| if parent.is_empty() { name.to_string() } else { format!("{parent}.{name}") };
    // `my-var` in an expression is what `my` is more than `var`.
    let minus = |names: &Map<String, Json>| {
        names.keys().find(|name| name.starts_with(&format!("{last}-"))).cloned()
    };
    let inner = || variables.values().filter_map(|value| value.as_object()).find_map(minus);
    if let Some(name) = members(parent, variables)
        .and_then(minus)
        .or_else(|| parent.is_empty().then(inner).flatten())
    {
        return format!(
            "there is `{name}`, but `-` subtracts: call it `{}`",
            name.replace('-', "_")
        );
    }
    if let Some(suggestion) = nearest(last, siblings.iter().map(String::as_str)) {
        return format!("did you mean `{}`?", full(suggestion));
    }
    // The right word in the wrong place: `{{ name }}` for `{{ bundle.name }}`.
    for (key, value) in variables {
        if value.as_object().is_some_and(|m| m.contains_key(last))
            && full(last) != format!("{key}.{last}")
        {
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
    path.split('.')
        .filter(|p| !p.is_empty())
        .try_fold(variables, |map, key| map.get(key)?.as_object())
}

fn list(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(8).map(|n| format!("`{n}`")).collect();
    format!("{}{}", shown.join(", "), if names.len() > 8 { ", …" } else { "" })
}

/// The name most similar to `word`, if any is similar.
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

/// Hint for an error, if known.
pub fn for_error(kind: Kind, message: &str) -> Option<String> {
    let word = message.split_whitespace().nth(1).unwrap_or_default();
    match kind {
        Kind::UnknownFilter => Some(match nearest(word, FILTERS.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "ansible-core has no filter of this name; those of collections are not \
                there"
                .into(),
        }),
        Kind::UnknownTest => Some(match nearest(word, TESTS.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "ansible-core has no test of this name; those of collections are not \
                there"
                .into(),
        }),
        Kind::Endless | Kind::TooLong => Some(
            "look at loops in loops, and at what includes or \
            calls itself"
                .into(),
        ),
        Kind::NotFound => Some("only files under `output/` can be included".into()),
        Kind::Syntax if message.contains("unexpected character") => Some(
            "only Jinja can stand between the braces; `{% raw %}…{% endraw %}` keeps braces \
                as they are"
                .into(),
        ),
        Kind::Syntax if message.contains("`do`") => Some("write `{% set _ = … %}`".into()),
        Kind::Syntax if message.contains("`break`") || message.contains("`continue`") => {
            Some("choose in the loop's head: `{% for x in xs if … %}`".into())
        }
        _ => None,
    }
}
