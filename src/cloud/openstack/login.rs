//! Who we are, and at which cloud: from clouds.yaml, or from the `OS_*` variables of the environment.
//!
//! A cloud that is named is looked up in clouds.yaml; a secret that its entry leaves out is taken from the environment (an
//! `OS_PASSWORD` that a job sets, say), and so is the region. Nothing else is: variables of another cloud would mix with it.
//! Without a name, `OS_*` says it all. Empty values count as absent.
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use reqwest::Url;
use zeroize::Zeroizing;

pub use super::clouds_yaml::Places;
use super::clouds_yaml::{self, Entry, Found};

/// Text that is shown to nobody: printing it prints nothing of it, and it is wiped when dropped.
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
    /// An ID says it all; a name belongs to a user.
    AppCredential {
        id: Option<String>,
        name: Option<(String, Who)>,
        secret: Secret,
    },
    Token(Secret),
}

#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// Certificates to trust besides the system's.
    pub cacert: Option<PathBuf>,
    /// Certificates are not looked at.
    pub insecure: bool,
    /// A client certificate and its key.
    pub client: Option<(PathBuf, PathBuf)>,
}

#[derive(Debug, Clone)]
pub struct Login {
    /// Of clouds.yaml; without an entry there, the URL.
    pub name: String,
    /// With `/v3`, without a slash at its end.
    pub auth_url: Url,
    pub method: Method,
    /// The project; an application credential has its own.
    pub project: Option<Who>,
    pub region: Option<String>,
    /// `public`, `internal` or `admin`.
    pub interface: String,
    pub tls: Tls,
    /// Catalog type to URL.
    pub overrides: BTreeMap<String, Url>,
    /// For the person who started us.
    pub warnings: Vec<String>,
}

/// Everything that is wrong with a login, at once.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("cloud {cloud}: {}", wrong.join("; "))]
pub struct LoginError {
    pub cloud: String,
    pub wrong: Vec<String>,
    pub hint: Option<String>,
}

/// Catalog types whose URLs may be overridden, and their words in variables and keys.
const SERVICES: &[(&str, &[&str])] = &[
    ("compute", &["compute"]),
    ("image", &["image"]),
    ("network", &["network"]),
    ("volumev3", &["volumev3", "volume", "block_storage"]),
    ("orchestration", &["orchestration"]),
];

/// `cloud`: its name in clouds.yaml; `None`: the environment alone. `env`: the environment.
pub fn login(cloud: Option<&str>, env: &BTreeMap<String, String>, places: &Places) -> Result<Login, LoginError> {
    let env: BTreeMap<&str, &str> = env.iter().filter(|(_, v)| !v.is_empty()).map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let Found { entry, files, warnings } = match cloud {
        None => Found { entry: Entry::default(), files: String::new(), warnings: Vec::new() },
        Some(name) => clouds_yaml::find(name, &env, places)?,
    };
    let mut reader = Reader { entry, env, wrong: Vec::new(), files };
    let made = reader.login(cloud);
    let named = cloud.map_or_else(|| "of the environment".to_owned(), str::to_owned);
    match made {
        Some(login) if reader.wrong.is_empty() => Ok(Login { warnings: [warnings, login.warnings].concat(), ..login }),
        _ => {
            let hint = match cloud {
                Some(_) => format!("its entry is in {}; OS_PASSWORD and its like fill in secrets that it leaves out", reader.files),
                None => "`openstack --help` lists the OS_* variables; or name a cloud of clouds.yaml with --cloud or OS_CLOUD".to_owned(),
            };
            Err(LoginError { cloud: named, wrong: reader.wrong, hint: Some(hint) })
        }
    }
}

/// What the environment may add to an entry of clouds.yaml.
const FILLS: &[&str] = &["password", "application_credential_secret", "token", "auth_token", "region_name"];

/// Looks a value up: first in the entry of clouds.yaml, then in the environment.
struct Reader<'a> {
    entry: Entry,
    env: BTreeMap<&'a str, &'a str>,
    wrong: Vec<String>,
    files: String,
}

impl Reader<'_> {
    fn get(&self, keys: &[&str]) -> Option<String> {
        let of_env = |key: &&str| {
            if self.files.is_empty() || FILLS.contains(key) { self.of_env(key) } else { None }
        };
        keys.iter().find_map(|key| self.entry.get(key)).or_else(|| keys.iter().find_map(of_env))
    }

    fn of_env(&self, key: &str) -> Option<String> {
        self.env.get(format!("OS_{}", key.to_uppercase()).as_str()).map(|v| (*v).to_owned())
    }

    /// How a value is written, for what is wrong with it.
    fn word(key: &str) -> String {
        format!("`{key}` (OS_{})", key.to_uppercase())
    }

    fn is_true(&self, key: &str) -> Option<bool> {
        self.get(&[key]).map(|text| matches!(text.to_lowercase().as_str(), "1" | "true" | "yes" | "on"))
    }

    fn login(&mut self, cloud: Option<&str>) -> Option<Login> {
        if self.get(&["system_scope"]).is_some() {
            self.wrong.push("`system_scope` is set: images belong to projects, so log in to one".into());
        }
        let auth_url = self.auth_url();
        let kind = self.kind();
        let method = self.method(&kind);
        // An application credential is of one project, and names none.
        let project = if kind == "applicationcredential" { None } else { self.project() };
        let interface = self.interface();
        let mut warnings = Vec::new();
        let tls = self.tls(&mut warnings);
        let overrides = self.overrides();
        let auth_url = auth_url?;
        Some(Login {
            name: cloud.map_or_else(|| auth_url.to_string(), str::to_owned),
            auth_url,
            method: method?,
            project,
            region: self.get(&["region_name"]),
            interface: interface?,
            tls,
            overrides,
            warnings,
        })
    }

    fn auth_url(&mut self) -> Option<Url> {
        let Some(text) = self.get(&["auth_url"]) else {
            self.wrong.push(format!("{} is missing", Self::word("auth_url")));
            return None;
        };
        let text = text.trim_end_matches('/');
        if text.ends_with("/v2.0") {
            self.wrong.push(format!("{text} is Identity v2.0, which no OpenStack since 2018 has; write /v3"));
            return None;
        }
        let whole = if text.ends_with("/v3") { text.to_owned() } else { format!("{text}/v3") };
        match Url::parse(&whole) {
            // It is shown and written down.
            Ok(url) if url.password().is_some() || !url.username().is_empty() => {
                self.wrong
                    .push(format!("{} has a login in it; OS_USERNAME and OS_PASSWORD are the places for that", Self::word("auth_url")));
                None
            }
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Some(url),
            _ => {
                self.wrong.push(format!("{}: `{text}` is no URL", Self::word("auth_url")));
                None
            }
        }
    }

    fn domain(&self, whose: &str) -> Option<Domain> {
        let id = self.get(&[&format!("{whose}_domain_id")]).map(Domain::Id);
        let name = || self.get(&[&format!("{whose}_domain_name")]).map(Domain::Name);
        let default = || {
            self.get(&["default_domain_id"])
                .map(Domain::Id)
                .or_else(|| self.get(&["default_domain_name", "default_domain"]).map(Domain::Name))
        };
        id.or_else(name).or_else(default)
    }

    fn user(&mut self) -> Option<Who> {
        if let Some(id) = self.get(&["user_id"]) {
            return Some(Who::Id(id));
        }
        let name = self.get(&["username", "user_name"]);
        if name.is_none() {
            self.wrong.push(format!("{} is missing", Self::word("username")));
        }
        // What every OpenStack has had since Keystone v3, and what other clients take.
        let domain = self.domain("user").or_else(|| self.domain("project")).unwrap_or(Domain::Id("default".into()));
        Some(Who::Name { name: name?, domain })
    }

    fn secret(&mut self, key: &str) -> Option<Secret> {
        let found = self.get(&[key]).map(Secret::new);
        if found.is_none() {
            self.wrong.push(format!("{} is missing", Self::word(key)));
        }
        found
    }

    /// `password`, `applicationcredential`, `token`, or what else is asked for.
    fn kind(&self) -> String {
        let asked = self.get(&["auth_type"]).map(|t| t.to_lowercase());
        let has = |key: &str| self.get(&[key]).is_some();
        let inferred = if has("application_credential_id") || has("application_credential_name") {
            "applicationcredential"
        } else if !has("password") && (has("token") || has("auth_token")) {
            "token"
        } else {
            "password"
        };
        let asked = asked.as_deref().map(|t| t.strip_prefix("v3").unwrap_or(t));
        asked.unwrap_or(inferred).to_owned()
    }

    fn method(&mut self, kind: &str) -> Option<Method> {
        match kind {
            "password" => {
                let (user, password) = (self.user(), self.secret("password"));
                Some(Method::Password { user: user?, password: password? })
            }
            "applicationcredential" => {
                let secret = self.secret("application_credential_secret");
                if let Some(id) = self.get(&["application_credential_id"]) {
                    return Some(Method::AppCredential { id: Some(id), name: None, secret: secret? });
                }
                let Some(name) = self.get(&["application_credential_name"]) else {
                    self.wrong.push(format!("{} is missing", Self::word("application_credential_id")));
                    return None;
                };
                let user = self.user();
                Some(Method::AppCredential { id: None, name: Some((name, user?)), secret: secret? })
            }
            "token" => match self.get(&["token", "auth_token"]) {
                Some(token) => Some(Method::Token(Secret::new(token))),
                None => {
                    self.wrong.push(format!("{} is missing", Self::word("token")));
                    None
                }
            },
            other => {
                self.wrong.push(format!(
                    "{}: `{other}` is not supported; there are password, applicationcredential and token",
                    Self::word("auth_type")
                ));
                None
            }
        }
    }

    fn project(&mut self) -> Option<Who> {
        if let Some(id) = self.get(&["project_id", "tenant_id"]) {
            return Some(Who::Id(id));
        }
        let Some(name) = self.get(&["project_name", "tenant_name"]) else {
            self.wrong.push(format!("{} is missing", Self::word("project_name")));
            return None;
        };
        let domain = self.domain("project").or_else(|| self.domain("user")).unwrap_or(Domain::Id("default".into()));
        Some(Who::Name { name, domain })
    }

    fn interface(&mut self) -> Option<String> {
        let text = self.get(&["interface", "endpoint_type"]).unwrap_or_else(|| "public".into());
        let plain = text.trim_end_matches("URL").to_lowercase();
        if ["public", "internal", "admin"].contains(&plain.as_str()) {
            return Some(plain);
        }
        self.wrong.push(format!("{}: `{text}` is not one of public, internal, admin", Self::word("interface")));
        None
    }

    fn tls(&mut self, warnings: &mut Vec<String>) -> Tls {
        let insecure = self.is_true("insecure").unwrap_or(false) || self.is_true("verify") == Some(false);
        if insecure {
            warnings
                .push("TLS certificates are not checked (`verify: false` or OS_INSECURE): anyone on the way may read the password".into());
        }
        let client = match (self.get(&["cert"]), self.get(&["key"])) {
            (Some(cert), Some(key)) => Some((PathBuf::from(cert), PathBuf::from(key))),
            (Some(cert), None) => Some((PathBuf::from(&cert), PathBuf::from(cert))),
            _ => None,
        };
        Tls { cacert: self.get(&["cacert"]).map(PathBuf::from), insecure, client }
    }

    fn overrides(&mut self) -> BTreeMap<String, Url> {
        let mut found = BTreeMap::new();
        for (kind, words) in SERVICES {
            let keys: Vec<String> = words.iter().flat_map(|w| [format!("{w}_endpoint_override"), format!("{w}_endpoint")]).collect();
            let Some(text) = self.get(&keys.iter().map(String::as_str).collect::<Vec<_>>()) else { continue };
            match Url::parse(&text) {
                Ok(url) if url.has_host() => drop(found.insert((*kind).to_owned(), url)),
                _ => self.wrong.push(format!("{}: `{text}` is no URL", Self::word(&keys[0]))),
            }
        }
        found
    }
}
