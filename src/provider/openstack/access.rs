//! Access to services: interface, TLS, and per-service settings. Source: `CloudRegion` of
//! openstacksdk.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use reqwest::Url;

use super::endpoint;
use super::login::{Special, Tls, text};
use super::settings::{Map, Setting, Value};
use crate::ready::user;

pub struct Access {
    pub interface: Vec<String>,
    pub tls: Tls,
    pub services: BTreeMap<&'static str, Special>,
    pub warnings: Vec<String>,
}

/// Services in use, with the prefixes of `_endpoint_override` and other keys, by precedence.
const SERVICES: &[(&str, &[&str])] = &[
    ("compute", &["compute"]),
    ("image", &["image"]),
    ("network", &["network"]),
    ("block-storage", &["block_storage", "volumev3", "volumev2", "volume", "block_store"]),
    ("orchestration", &["orchestration"]),
];

/// The API version in use, and other values that mean the same.
const VERSIONS: &[(&str, &str)] = &[
    ("compute", "2"),
    ("image", "2"),
    ("network", "2"),
    ("block-storage", "3"),
    ("orchestration", "1"),
];

/// `home` is the value of `~`. Appends all errors to `wrong`.
pub fn read(config: &Map, home: Option<&Path>, wrong: &mut Vec<String>) -> Access {
    let mut reader = Reader { config, home, wrong, warnings: Vec::new() };
    let interface = reader.config.get("interface").map(|s| reader.interface("interface", s));
    let interface = interface.filter(|i| !i.is_empty()).unwrap_or_else(|| vec!["public".into()]);
    let tls = reader.tls();
    if let Some(list) =
        config.get("region_name").filter(|r| matches!(r.value, Value::List(_) | Value::Map(_)))
    {
        reader.wrong("region_name", " is said twice, once with `-` and a list", list);
    }
    let services = SERVICES.iter().map(|(name, words)| (*name, reader.service(name, words)));
    let services = services.filter(|(_, special)| *special != Special::default()).collect();
    Access { interface, tls, services, warnings: reader.warnings }
}

struct Reader<'a> {
    config: &'a Map,
    home: Option<&'a Path>,
    wrong: &'a mut Vec<String>,
    warnings: Vec<String>,
}

impl<'a> Reader<'a> {
    fn wrong(&mut self, key: &str, what: &str, setting: &Setting) {
        self.wrong.push(format!("`{key}`{what} ({})", setting.origin));
    }

    /// Interfaces in order of preference.
    fn interface(&mut self, key: &str, setting: &Setting) -> Vec<String> {
        let named: Vec<Option<&str>> = match &setting.value {
            Value::List(items) => items.iter().map(Setting::as_text).collect(),
            Value::Null => Vec::new(),
            Value::Text { text, .. } if text.is_empty() => Vec::new(),
            _ => vec![setting.as_text()],
        };
        let mut known = Vec::new();
        for name in named {
            let plain = name.map(|n| n.trim_end_matches("URL"));
            match plain.filter(|n| ["public", "internal", "admin"].contains(n)) {
                Some(plain) => known.push(plain.to_owned()),
                None => {
                    let what = format!(
                        ": `{}` is not one of public, internal, admin",
                        name.unwrap_or("nothing")
                    );
                    self.wrong(key, &what, setting);
                }
            }
        }
        known
    }

    fn tls(&mut self) -> Tls {
        let (mut insecure, mut cacert) = (self.insecure(), self.file("cacert"));
        match self.config.get("verify") {
            None => {}
            Some(nothing) if nothing.is_null() && cacert.is_some() => {
                self.wrong(
                    "verify",
                    " has no value, and so `cacert` would not count: leave \
                    `verify` out",
                    nothing,
                );
            }
            Some(nothing) if nothing.is_null() => {}
            Some(verify) => match (verify.as_bool(), verify.as_text()) {
                (Some(true), _) => {}
                (Some(false), _) => insecure = true,
                // As `cacert` is, but for `~`.
                (None, Some(path)) if path.contains('/') => {
                    cacert = cacert.or_else(|| Some(PathBuf::from(path)))
                }
                _ => self.wrong(
                    "verify",
                    " is true or false without quotes, or the path of a file; OS_INSECURE=true is \
                        for the environment",
                    verify,
                ),
            },
        }
        if insecure {
            cacert = None; // as openstacksdk: it is not even read
            self.warnings.push(
                "TLS certificates are not checked (`verify: false` or OS_INSECURE): anyone \
                    on the way may read the password"
                    .into(),
            );
        }
        let client = match (self.file("cert"), self.file("key")) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (Some(cert), None) => Some((cert.clone(), cert)),
            _ => None,
        };
        Tls { cacert, insecure, client }
    }

    /// Only `true` disables verification; any other value keeps it.
    fn insecure(&mut self) -> bool {
        let Some(setting) = self.config.get("insecure") else { return false };
        let text = setting.as_text().unwrap_or_default();
        let is = setting.as_bool().unwrap_or(false) || text.eq_ignore_ascii_case("true");
        let says_no = setting.as_bool() == Some(false)
            || ["", "false", "no", "off", "0"].contains(&text.to_lowercase().as_str());
        if !is && !says_no {
            let place = &setting.origin;
            self.warnings.push(format!(
                "`insecure` is not `true`: certificates are checked, as \
                openstacksdk does it ({place})"
            ));
        }
        is
    }

    fn file(&mut self, key: &str) -> Option<PathBuf> {
        let setting = self.config.get(key)?;
        if let Some(is) = setting.as_bool() {
            if is {
                self.wrong(key, " names a file", setting);
            }
            return None;
        }
        let path = match &setting.value {
            Value::List(_) | Value::Map(_) => {
                self.wrong(key, " names a file", setting);
                return None;
            }
            _ => setting.as_text()?,
        };
        let Some(below) = path.strip_prefix('~') else { return Some(PathBuf::from(path)) };
        match (below.strip_prefix('/').or((below.is_empty()).then_some("")), self.home) {
            (Some(""), Some(home)) => Some(home.to_owned()),
            (Some(below), Some(home)) => Some(home.join(below)),
            (Some(_), None) => {
                self.wrong(key, " begins with `~`, and HOME is not set", setting);
                None
            }
            (None, _) => {
                let (name, rest) = below.split_once('/').unwrap_or((below, ""));
                let home = user::named(name).map(|user| user.home);
                if home.is_none() {
                    self.wrong(
                        key,
                        &format!(
                            ": `{path}` is in the home of a user whom this machine does not know"
                        ),
                        setting,
                    );
                }
                home.map(|home| if rest.is_empty() { home } else { home.join(rest) })
            }
        }
    }

    /// The first of `block_storage_x`, `volumev3_x` and so on with a value.
    fn first(&self, words: &[&str], what: &str) -> Option<(String, &'a Setting)> {
        let key = words.iter().map(|word| format!("{word}_{what}"));
        key.filter_map(|key| Some((key.clone(), self.config.get(&key).filter(|s| !s.is_null())?)))
            .next()
    }

    fn service(&mut self, name: &str, words: &[&str]) -> Special {
        if let Some((key, setting)) = self.first(words, "region_name")
            && matches!(setting.value, Value::List(_) | Value::Map(_))
        {
            self.wrong(&key, " is one name", setting);
        }
        let mut special = Special {
            region: self.first(words, "region_name").and_then(|(key, _)| text(self.config, &key)),
            ..Special::default()
        };
        let url = ["endpoint_override", "endpoint"]
            .map(|what| self.first(words, what).filter(|(_, s)| s.as_text().is_some()));
        if let Some((key, setting)) = url.into_iter().flatten().next() {
            special.url = self.url(&key, setting);
        }
        if let Some((key, setting)) = self.first(words, "interface") {
            let named = self.interface(&key, setting);
            special.interface = Some(if named.is_empty() { vec!["public".into()] } else { named });
        }
        for what in ["service_type", "service_name"] {
            if let Some((key, setting)) =
                self.first(words, what).filter(|(_, s)| s.as_text().is_none_or(|t| t != name))
            {
                self.wrong(
                    &key,
                    &format!(" is not supported: `{}_endpoint_override` names a URL", words[0]),
                    setting,
                );
            }
        }
        let ours = VERSIONS
            .iter()
            .find(|(service, _)| *service == name)
            .map_or("", |(_, version)| version);
        if let Some((key, setting)) = self.first(words, "api_version")
            && let Some(asked) = setting.as_text().filter(
                |t| !matches!(t.trim_start_matches('v').split('.').next(), Some(v) if v == ours),
            )
        {
            self.warnings.push(format!(
                "`{key}: {asked}` is passed over: we speak version {ours} ({})",
                setting.origin
            ));
        }
        special
    }

    fn url(&mut self, key: &str, setting: &Setting) -> Option<Url> {
        let text = setting.as_text().unwrap_or_default();
        if let Some(strange) = endpoint::strange(text) {
            self.wrong(
                key,
                &format!(
                    ": `{strange}` is nothing that is filled in; `%(project_id)s` \
                and `%(user_id)s` are"
                ),
                setting,
            );
            return None;
        }
        match Url::parse(text) {
            Ok(url) if url.password().is_some() || !url.username().is_empty() => {
                self.wrong(key, " has a login in it", setting)
            }
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
                return Some(url);
            }
            _ if text.contains('@') => {
                self.wrong(key, " is no URL, and has a login in it", setting)
            }
            _ => self.wrong(key, &format!(": `{text}` is no URL"), setting),
        }
        None
    }
}
