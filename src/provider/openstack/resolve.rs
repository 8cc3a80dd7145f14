//! Resolves an entry of clouds.yaml, or the environment, to the settings of one region: profile,
//! `regions`, old keys, domains, `{region_name}` in values. Follows `OpenStackConfig.get_one` of
//! openstacksdk 4.22 step by step, because the order decides between synonymous keys.
//! `test-tools/sdk-corpus` compares the results.
use super::settings::{Map, Origin, Setting, Value};
use crate::model::diagnostic::there_are;
use crate::text::suggest;

/// Allowed keys of `auth`; others are errors there.
const AUTH: &[&str] = &[
    "auth_url",
    "username",
    "user_name",
    "user_id",
    "user_domain_id",
    "user_domain_name",
    "password",
    "passcode",
    "token",
    "application_credential_id",
    "application_credential_name",
    "application_credential_secret",
    "project_id",
    "project_name",
    "project_domain_id",
    "project_domain_name",
    "default_domain_id",
    "default_domain_name",
    "domain_id",
    "domain_name",
    "system_scope",
    "trust_id",
    "tenant_id",
    "tenant_name",
];

/// Old names of login keys, also with `-` for `_`. The last one present wins; beside `auth` it
/// takes precedence over inside.
const WORDS: &[(&str, &[&str])] = &[
    ("domain_id", &["domain_id", "domain-id"]),
    ("domain_name", &["domain_name", "domain-name"]),
    ("user_domain_id", &["user_domain_id", "user-domain-id"]),
    ("user_domain_name", &["user_domain_name", "user-domain-name"]),
    ("project_domain_id", &["project_domain_id", "project-domain-id"]),
    ("project_domain_name", &["project_domain_name", "project-domain-name"]),
    ("token", &["auth-token", "auth_token", "token"]),
    ("passcode", &["passcode"]),
    ("project_id", &["tenant_id", "tenant-id", "project_id", "project-id"]),
    ("project_name", &["tenant_name", "tenant-name", "project_name", "project-name"]),
];

/// Common wrong names of login keys, and the right ones.
const MEANT: &[(&str, &str)] = &[
    ("user", "username"),
    ("login", "username"),
    ("name", "username"),
    ("pass", "password"),
    ("passwd", "password"),
    ("passwort", "password"),
    ("pwd", "password"),
    ("project", "project_name"),
    ("tenant", "project_name"),
    ("domain", "domain_name"),
    ("user_domain", "user_domain_name"),
    ("project_domain", "project_domain_name"),
    ("url", "auth_url"),
    ("secret", "application_credential_secret"),
];

/// Settings of one cloud in one region.
pub struct Config {
    /// Login keys.
    pub auth: Map,
    pub rest: Map,
    /// Login keys with a reported error, which must not also be reported as missing. `auth` stands
    /// for all.
    pub told: Vec<String>,
}

/// `region` is the requested one; default: the first. Appends all errors to `wrong`.
pub fn resolve(entry: &Map, vendor: &Map, region: Option<&str>, wrong: &mut Vec<String>) -> Config {
    let mut told = Vec::new();
    let mut config = defaults();
    config.update(vendor);
    config.update(entry);
    config.take("cloud");
    let (name, values) = one_region(entry, vendor, region).unwrap_or_else(|why| {
        wrong.push(why);
        (Setting::text("", Origin::Default), Map::default())
    });
    config.take("regions");
    let values: Vec<_> = values
        .iter()
        .filter(|(_, v)| !v.is_null())
        .map(|(k, v)| (k.to_owned(), v.clone()))
        .collect();
    values.into_iter().for_each(|(key, value)| {
        let mut one = Map::default();
        one.set(&key, value);
        config.update(&one);
    });
    config.set("region_name", name);
    let mut auth = auth_of(&mut config).unwrap_or_else(|why| {
        wrong.push(why);
        told.push("auth".to_owned());
        Map::default()
    });
    wrong.extend(auth_plugin(&config, entry));
    old_words(&mut config, &mut auth, |key, why| {
        told.push(key.to_owned());
        wrong.push(why);
    });
    let config = config.renamed(|key| match key.strip_suffix("endpoint_type") {
        Some(head) => format!("{head}interface"),
        None => key.to_owned(),
    });
    let mut config = domains(config, &mut auth);
    if let Some(url) = auth.get("auth_url").filter(|s| s.as_text().is_some()) {
        match filled("auth_url", url, &config) {
            Ok(filled) => auth.set("auth_url", filled),
            Err(why) => {
                wrong.push(why);
                told.push("auth_url".to_owned());
                auth.take("auth_url");
            }
        }
    }
    let auth = login_part(&mut config, auth, |key, why| {
        told.push(key.to_owned());
        wrong.push(why);
    });
    let rest = filled_in(config.normalized(), wrong);
    Config { auth, rest, told }
}

/// With the settings filled in that are used, and without those where that went wrong.
fn filled_in(rest: Map, wrong: &mut Vec<String>) -> Map {
    let mut whole = rest.clone();
    for (key, value) in
        rest.iter().filter(|(_, v)| v.as_text().is_some() && v.origin != Origin::Default)
    {
        if USED.iter().any(|used| key == *used || key.ends_with(&format!("_{used}"))) {
            match filled(key, value, &whole) {
                Ok(value) => whole.set(key, value),
                Err(why) => {
                    wrong.push(why);
                    whole.take(key);
                }
            }
        }
    }
    whole
}

/// Keys of `rest` in use, alone or prefixed by a service.
const USED: &[&str] = &[
    "region_name",
    "interface",
    "endpoint_override",
    "endpoint",
    "cacert",
    "cert",
    "key",
    "auth_type",
    "verify",
];

fn defaults() -> Map {
    let mut map = Map::default();
    for (key, text) in [("verify", "true"), ("auth_type", "password"), ("interface", "public")] {
        let value = Value::Text { text: text.into(), plain: true };
        map.set(key, Setting { value, origin: Origin::Default });
    }
    map.set("auth", Setting { value: Value::Map(Map::default()), origin: Origin::Default });
    map
}

/// Error about the old name of `auth_type`, which openstacksdk ignores.
fn auth_plugin(config: &Map, entry: &Map) -> Option<String> {
    let kind = config.get("auth_type").and_then(Setting::as_text);
    let old =
        entry.get("auth_plugin").filter(|old| old.as_text().is_some() && old.as_text() != kind)?;
    Some(format!(
        "`auth_plugin` is passed over by openstacksdk; the word is `auth_type` ({})",
        old.origin
    ))
}

fn auth_of(config: &mut Map) -> Result<Map, String> {
    match config.take("auth") {
        Some(Setting { value: Value::Map(map), .. }) => Ok(map),
        Some(Setting { value: Value::Null, .. }) | None => Ok(Map::default()),
        Some(other) => Err(format!("`auth` is no map ({})", other.origin)),
    }
}

type Region = (Setting, Map);

/// The selected region, and its specific settings.
fn one_region(entry: &Map, vendor: &Map, asked: Option<&str>) -> Result<Region, String> {
    let known = known_regions(entry, vendor)?;
    let asked = asked.filter(|name| !name.is_empty());
    let bare = |name: &str| {
        (Setting::text(name, Origin::Variable("OS_REGION_NAME".into())), Map::default())
    };
    match (known.is_empty(), asked) {
        (true, name) => Ok(bare(name.unwrap_or_default())),
        (false, None) => Ok(known.into_iter().next().expect("there are some")),
        (false, Some(name)) => {
            let names: Vec<String> =
                known.iter().filter_map(|(n, _)| n.as_text().map(str::to_owned)).collect();
            let found = known.into_iter().find(|(n, _)| n.as_text() == Some(name));
            found.ok_or_else(|| {
                format!(
                    "OS_REGION_NAME is `{name}`, which is no region of the entry; {}",
                    there_are(&names)
                )
            })
        }
    }
}

fn known_regions(entry: &Map, vendor: &Map) -> Result<Vec<Region>, String> {
    let entry = entry.clone().normalized();
    // An empty list names none: openstacksdk passes `region_name` over beside it, and takes the
    // catalog's first.
    let empty = |regions: &Setting| matches!(&regions.value, Value::List(list) if list.is_empty());
    let name = entry.get("region_name").filter(|r| !r.is_null());
    if let Some(regions) = entry.get("regions").filter(|regions| !empty(regions) || name.is_none())
    {
        return regions_of(regions);
    }
    let of_vendor = || {
        vendor
            .get("regions")
            .filter(|regions| !empty(regions))
            .or_else(|| vendor.get("region_name"))
    };
    match name {
        Some(Setting { value: Value::Text { text, .. }, origin }) => Ok(text
            .split(',')
            .map(|name| (Setting::text(name, origin.clone()), Map::default()))
            .collect()),
        Some(list) => regions_of(list),
        None => of_vendor().map_or(Ok(Vec::new()), |regions| match &regions.value {
            Value::Text { .. } => Ok(vec![(regions.clone(), Map::default())]),
            _ => regions_of(regions),
        }),
    }
}

fn regions_of(regions: &Setting) -> Result<Vec<Region>, String> {
    let Value::List(list) = &regions.value else {
        return Err(format!("`regions` is no list ({})", regions.origin));
    };
    let one = |region: &Setting| {
        let wrong = |what: &str| Err(format!("{what} ({})", region.origin));
        let Value::Map(map) = &region.value else {
            return match region.as_text() {
                Some(_) => Ok((region.clone(), Map::default())),
                None => wrong("a region has a name"),
            };
        };
        if let Some(strange) = map.keys().find(|k| !["name", "values"].contains(k)) {
            return wrong(&format!("a region has `name` and `values`, and no `{strange}`"));
        }
        let Some(name) = map.get("name").filter(|n| n.as_text().is_some()) else {
            return wrong("a region has a `name`");
        };
        match map.get("values").map(|v| &v.value) {
            None | Some(Value::Null) => Ok((name.clone(), Map::default())),
            Some(Value::Map(values)) => Ok((name.clone(), values.clone())),
            Some(_) => wrong("the `values` of a region are a map"),
        }
    };
    list.iter().map(one).collect()
}

/// `wrong` receives the login key and the error.
fn old_words(config: &mut Map, auth: &mut Map, mut wrong: impl FnMut(&str, String)) {
    for (target, words) in WORDS {
        let mut found = None;
        for word in *words {
            found = auth.take(word).or(found);
            found = config.take(word).or(found);
        }
        match found {
            None => {}
            Some(nothing) if nothing.is_null() => {
                wrong(target, format!("`{target}` has no value: leave it out ({})", nothing.origin))
            }
            Some(found) if found.as_text().is_some() => auth.set(target, found),
            Some(Setting { value: Value::Text { .. }, .. }) => {}
            Some(found) => wrong(target, format!("`{target}` is no text ({})", found.origin)),
        }
    }
}

/// `domain_id` and `domain_name` apply to user and project; without a project they are the scope.
fn domains(mut config: Map, auth: &mut Map) -> Map {
    let of_project =
        ["project_id", "project_name"].iter().any(|key| config.has(key) || auth.has(key));
    for (word, both) in [
        ("domain_id", ["user_domain_id", "project_domain_id"]),
        ("domain_name", ["user_domain_name", "project_domain_name"]),
    ] {
        if !of_project {
            continue;
        }
        let Some(domain) = auth.take(word) else { continue };
        for key in both {
            if !auth.has(key) {
                auth.set(key, domain.clone());
            }
        }
        config.take(word);
    }
    config
}

/// Login keys from `auth`, or from beside it. `wrong` receives the actual or intended key and the
/// error.
fn login_part(config: &mut Map, auth: Map, mut wrong: impl FnMut(&str, String)) -> Map {
    let mut auth = auth.normalized();
    let rest = std::mem::take(config).normalized();
    for (strange, value) in auth.iter().filter(|(key, _)| !AUTH.contains(key)) {
        let near = meant(strange);
        let hint = near.map_or_else(
            || "it belongs beside `auth`, if anywhere".to_owned(),
            |n| format!("did you mean `{n}`?"),
        );
        wrong(
            near.unwrap_or(strange),
            format!(
                "`auth` has `{strange}`, which is no part of a login: {hint} ({})",
                value.origin
            ),
        );
    }
    for (key, value) in rest.iter() {
        if !AUTH.contains(&key) {
            config.set(key, value.clone());
        } else if auth.get(key).is_none_or(|there| there.as_text().is_none()) {
            auth.set(key, value.clone());
        }
    }
    for (key, value) in auth.iter().filter(|(key, _)| AUTH.contains(key)) {
        if matches!(value.value, Value::List(_) | Value::Map(_)) {
            wrong(key, format!("`{key}` is no text ({})", value.origin));
        }
    }
    auth
}

/// The login key that `strange` probably means.
fn meant(strange: &str) -> Option<&'static str> {
    let lower = strange.to_lowercase();
    if let Some((_, known)) = MEANT.iter().find(|(word, _)| *word == lower) {
        return Some(known);
    }
    let near = |known: &&&str| (1000.0 * suggest::similarity(known, &lower)) as u32;
    AUTH.iter().max_by_key(near).filter(|known| near(known) > 900).copied()
}

/// Expands `{region_name}` and similar in a value, like Python's `format`. Never applies to `auth`.
fn filled(key: &str, setting: &Setting, config: &Map) -> Result<Setting, String> {
    let text = setting.as_text().unwrap_or_default();
    let wrong = |what: &str| Err(format!("`{key}`: {what} ({})", setting.origin));
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let brace = &rest[at..at + 1];
        rest = &rest[at + 1..];
        if let Some(more) = rest.strip_prefix(brace) {
            out.push_str(brace);
            rest = more;
            continue;
        }
        let Some((name, more)) = rest.split_once('}').filter(|_| brace == "{") else {
            return wrong(
                "a brace alone is written twice (`{{`), since `{region_name}` stands for the \
                    region",
            );
        };
        match config.get(name).filter(|_| !AUTH.contains(&name)).map(|s| &s.value) {
            Some(Value::Text { text, .. }) => out.push_str(text),
            _ => {
                return wrong(
                    "a name in braces is that of another setting, as `{region_name}`; a brace \
                        alone is written twice",
                );
            }
        }
        rest = more;
    }
    out.push_str(rest);
    let plain = matches!(setting.value, Value::Text { plain: true, .. });
    Ok(Setting { value: Value::Text { text: out, plain }, origin: setting.origin.clone() })
}
