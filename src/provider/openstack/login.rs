//! The login: cloud, credentials and access, from clouds.yaml or `OS_*`.
//!
//! A named cloud is read from clouds.yaml. Of the environment it takes only secrets that the entry
//! omits (such as a job's `OS_PASSWORD`) and `OS_REGION_NAME`; other variables may belong to
//! another cloud. Without a name, or with the name `envvars`, `OS_*` supplies everything. Empty
//! variables count as unset. Otherwise follows openstacksdk (`resolve`), except that values are
//! text as written.
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use reqwest::Url;
use zeroize::Zeroizing;

use super::access;
pub use super::clouds_yaml::Places;
use super::clouds_yaml::{self, Found};
use super::credentials;
use super::error::message;
use super::resolve;
use super::scrub::scrubbed;
use super::settings::{Map, Origin, Setting};
use crate::system::http::Proxies;

/// Secret text. Its `Debug` output is masked, and it is wiped on drop.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// By ID, or by name in a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    Id(String),
    Name { name: String, domain: Domain },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Domain {
    Id(String),
    Name(String),
}

#[derive(Debug, Clone)]
pub enum Method {
    Password {
        user: Who,
        password: Secret,
    },
    /// An ID is sufficient; a name belongs to a user.
    AppCredential {
        id: Option<String>,
        name: Option<(String, Who)>,
        secret: Secret,
    },
    Token(Secret),
}

#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// Additional trusted certificates.
    pub cacert: Option<PathBuf>,
    /// Disables certificate verification.
    pub insecure: bool,
    /// Client certificate and key.
    pub client: Option<(PathBuf, PathBuf)>,
}

#[derive(Debug, Clone)]
pub struct Login {
    /// Name in clouds.yaml; the URL if there is no entry.
    pub name: String,
    /// With `/v3`, without a trailing slash.
    pub auth_url: Url,
    pub method: Method,
    /// `None` for an application credential.
    pub project: Option<Who>,
    pub region: Option<String>,
    /// `public`, `internal` or `admin`, by preference.
    pub interface: Vec<String>,
    pub tls: Tls,
    /// None by default; set by the caller.
    pub proxies: Proxies,
    /// Settings per official service type.
    pub services: BTreeMap<&'static str, Special>,
    /// Warnings for the user.
    pub warnings: Vec<String>,
}

impl Login {
    /// Error message in a response body, with the request's and proxies' secrets masked.
    pub fn said(&self, body: &[u8]) -> String {
        let secret = match &self.method {
            Method::Password { password: secret, .. }
            | Method::AppCredential { secret, .. }
            | Method::Token(secret) => secret.expose(),
        };
        let secrets = [vec![secret.to_owned()], self.proxies.secrets()].concat();
        // Before it is shortened, and when it is no JSON any more.
        let bare = scrubbed(&String::from_utf8_lossy(body), &secrets);
        scrubbed(&message(bare.as_bytes()), &secrets)
    }
}

/// Settings of one service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Special {
    /// Overrides the catalog.
    pub url: Option<Url>,
    pub region: Option<String>,
    pub interface: Option<Vec<String>>,
}

/// All errors of a login.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("cloud {cloud}: {}", wrong.join("; "))]
pub struct LoginError {
    pub cloud: String,
    pub wrong: Vec<String>,
    pub hint: Option<String>,
}

/// `cloud` is a name in clouds.yaml; `None`: environment only. `env` is the environment.
pub fn login(
    cloud: Option<&str>,
    env: &BTreeMap<String, String>,
    places: &Places,
) -> Result<Login, LoginError> {
    let all: BTreeMap<&str, &str> = env.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let env: BTreeMap<&str, &str> =
        all.iter().map(|(k, v)| (*k, *v)).filter(|(_, v)| !v.is_empty()).collect();
    let of_environment = env.get("OS_CLOUD_NAME").copied().unwrap_or("envvars");
    let in_files = cloud.filter(|name| *name != of_environment);
    let found = match in_files {
        None => clouds_yaml::of_environment(&all, &env, places)?,
        Some(name) => clouds_yaml::find(name, &env, places)?,
    };
    let mut wrong = Vec::new();
    let made = found.login(in_files, &env, places, &mut wrong);
    match made {
        Some(login) if wrong.is_empty() => {
            Ok(Login { warnings: [found.warnings, login.warnings].concat(), ..login })
        }
        _ => {
            let hint = match in_files {
                Some(_) => format!(
                    "its entry is in {}; OS_PASSWORD and its like fill in secrets that it leaves \
                        out, and other OS_* are not taken for it",
                    found.files
                ),
                None => "`openstack --help` lists the OS_* variables; or name a cloud of \
                    clouds.yaml with --cloud or OS_CLOUD"
                    .to_owned(),
            };
            let hint = std::iter::once(hint).chain(found.warnings).collect::<Vec<_>>().join("; ");
            let cloud = in_files.map_or_else(|| "of the environment".to_owned(), str::to_owned);
            Err(LoginError { cloud, wrong, hint: Some(hint) })
        }
    }
}

/// The clouds.yaml with an entry `local`, a name that this program reserves for QEMU.
pub fn entry_named_local(env: &BTreeMap<String, String>, places: &Places) -> Option<PathBuf> {
    let env: BTreeMap<&str, &str> =
        env.iter().map(|(k, v)| (k.as_str(), v.as_str())).filter(|(_, v)| !v.is_empty()).collect();
    clouds_yaml::with_entry("local", &env, places)
}

/// Secrets that the environment may add to an entry of clouds.yaml.
const FILLS: &[(&str, &str)] = &[
    ("password", "OS_PASSWORD"),
    ("application_credential_secret", "OS_APPLICATION_CREDENTIAL_SECRET"),
    ("token", "OS_TOKEN"),
    ("token", "OS_AUTH_TOKEN"),
];

/// Variables that may supply `key` of an entry.
pub(super) fn fills(key: &str) -> impl Iterator<Item = &'static str> {
    FILLS.iter().filter(move |(filled, _)| *filled == key).map(|(_, variable)| *variable)
}

impl Found {
    fn login(
        &self,
        named: Option<&str>,
        env: &BTreeMap<&str, &str>,
        places: &Places,
        wrong: &mut Vec<String>,
    ) -> Option<Login> {
        // In the environment alone it is a setting as any other.
        let region = named.and_then(|_| env.get("OS_REGION_NAME").copied());
        let mut config = resolve::resolve(&self.entry, &self.vendor, region, wrong);
        for (key, variable) in FILLS.iter().filter(|_| named.is_some()) {
            let Some(value) = env.get(variable).filter(|_| text(&config.auth, key).is_none())
            else {
                continue;
            };
            config.auth.set(key, Setting::text(*value, Origin::Variable((*variable).into())));
        }
        let who = credentials::read(&config, named.is_some(), wrong);
        let access = access::read(&config.rest, places.home.as_deref(), wrong);
        let who = who?;
        Some(Login {
            name: named.map_or_else(|| who.auth_url.to_string(), str::to_owned),
            auth_url: who.auth_url,
            method: who.method,
            project: who.project,
            region: text(&config.rest, "region_name"),
            interface: access.interface,
            tls: access.tls,
            proxies: Proxies::default(),
            services: access.services,
            warnings: access.warnings,
        })
    }
}

pub(super) fn text(map: &Map, key: &str) -> Option<String> {
    map.get(key)?.as_text().map(str::to_owned)
}
