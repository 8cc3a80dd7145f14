//! Credentials: user, Keystone URL and project, from the `auth` of an entry or from `OS_*`. Source:
//! keystoneauth's loaders `password`, `token` and `v3applicationcredential`.
use reqwest::Url;

use super::login::{Domain, Method, Secret, Who, fills, text};
use super::resolve::Config;
use super::settings::{Map, Origin, Setting};

pub struct Credentials {
    pub auth_url: Url,
    pub method: Method,
    /// `None` for an application credential, which implies its project.
    pub project: Option<Who>,
}

/// `entry`: clouds.yaml has an entry. Appends all errors to `wrong`.
pub fn read(config: &Config, entry: bool, wrong: &mut Vec<String>) -> Option<Credentials> {
    let mut reader = Reader { auth: &config.auth, told: &config.told, entry, wrong };
    reader.scopes();
    let auth_url = reader.auth_url();
    let asked = config.rest.get("auth_type");
    let (kind, versioned) = reader.kind(asked);
    let method = reader.method(&kind, versioned, asked.map(|s| &s.origin));
    let project = if kind == "applicationcredential" { None } else { reader.project(versioned) };
    Some(Credentials { auth_url: auth_url?, method: method?, project })
}

struct Reader<'a> {
    auth: &'a Map,
    told: &'a [String],
    entry: bool,
    wrong: &'a mut Vec<String>,
}

impl Reader<'_> {
    fn get(&self, key: &str) -> Option<String> {
        text(self.auth, key)
    }

    fn origin(&self, key: &str) -> String {
        self.auth.get(key).map_or_else(String::new, |s| format!(" ({})", s.origin))
    }

    /// Name of a value in its source; mentions the environment variable only if one is allowed.
    fn word(&self, key: &str, origin: Option<&Origin>) -> String {
        let variable = match origin {
            Some(Origin::Variable(name)) => Some(name.to_string()),
            Some(_) => None,
            None if self.entry => fills(key).next().map(str::to_owned),
            None => Some(format!("OS_{}", key.to_uppercase())),
        };
        variable.map_or_else(|| format!("`{key}`"), |variable| format!("`{key}` ({variable})"))
    }

    /// Whether another error about it has been reported.
    fn is_told(&self, key: &str) -> bool {
        self.told.iter().any(|told| told == key || told == "auth")
    }

    fn missing(&mut self, key: &str) {
        if !self.is_told(key) {
            self.wrong.push(format!("{} is missing", self.word(key, None)));
        }
    }

    /// Rejects other scopes: images belong to projects.
    fn scopes(&mut self) {
        for key in ["system_scope", "trust_id", "domain_id", "domain_name", "passcode"] {
            if self.get(key).is_none() {
                continue;
            }
            let why = match key {
                "trust_id" => "logins by a trust are not supported",
                "passcode" => {
                    "a second factor cannot be asked for; an application credential needs none"
                }
                _ => "images belong to projects, so log in to one",
            };
            self.wrong.push(format!("`{key}` is set: {why}{}", self.origin(key)));
        }
    }

    fn auth_url(&mut self) -> Option<Url> {
        let Some(text) = self.get("auth_url") else {
            self.missing("auth_url");
            return None;
        };
        let origin = self.origin("auth_url");
        let from = self.auth.get("auth_url").map(|s| &s.origin);
        let (called, places) = (
            self.word("auth_url", from),
            match from {
                Some(Origin::Variable(_)) => "OS_USERNAME and OS_PASSWORD are",
                _ => "`username` and `password` are",
            },
        );
        let text = text.trim_end_matches('/');
        if text.ends_with("/v2.0") {
            self.wrong.push(format!(
                "{text} is Identity v2.0, which no OpenStack since 2018 has; write /v3{origin}"
            ));
            return None;
        }
        let whole = if text.ends_with("/v3") { text.to_owned() } else { format!("{text}/v3") };
        let wrong = match Url::parse(&whole) {
            // It is shown and written down.
            Ok(url) if url.password().is_some() || !url.username().is_empty() => {
                format!("has a login in it; {places} the places for that")
            }
            Ok(url) if url.query().is_some() || url.fragment().is_some() => {
                "has a `?` or `#` in it".to_owned()
            }
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
                return Some(url);
            }
            // Something before an `@` may be a password.
            _ if text.contains('@') => {
                format!("is no URL, and has a login in it; {places} the places for that")
            }
            _ => format!("is no URL with http:// or https://: `{text}`"),
        };
        self.wrong.push(format!("{called} {wrong}{origin}"));
        None
    }

    /// Authentication type, and whether it is v3-only, without a default domain.
    fn kind(&self, asked: Option<&Setting>) -> (String, bool) {
        let has = |key: &str| self.get(key).is_some();
        match asked.filter(|s| s.origin != Origin::Default) {
            Some(kind) => {
                let kind = kind.as_text().unwrap_or("none").to_lowercase();
                match kind.strip_prefix("v3") {
                    Some(plain) => (plain.to_owned(), true),
                    None => (kind, false),
                }
            }
            None if has("application_credential_id") || has("application_credential_name") => {
                ("applicationcredential".into(), true)
            }
            None if !has("password") && has("token") => ("token".into(), false),
            None => ("password".into(), false),
        }
    }

    /// `kind_from` is the source of the type.
    fn method(
        &mut self,
        kind: &str,
        versioned: bool,
        kind_from: Option<&Origin>,
    ) -> Option<Method> {
        match kind {
            "password" => {
                let (user, password) = (self.user(versioned), self.secret("password"));
                Some(Method::Password { user: user?, password: password? })
            }
            "applicationcredential" => {
                let secret = self.secret("application_credential_secret");
                if let Some(id) = self.get("application_credential_id") {
                    return Some(Method::AppCredential {
                        id: Some(id),
                        name: None,
                        secret: secret?,
                    });
                }
                let Some(name) = self.get("application_credential_name") else {
                    self.missing("application_credential_id");
                    return None;
                };
                let user = self.user(versioned);
                Some(Method::AppCredential { id: None, name: Some((name, user?)), secret: secret? })
            }
            "token" => self.secret("token").map(Method::Token),
            other => {
                let called = self.word("auth_type", kind_from);
                self.wrong.push(format!(
                    "{called}: `{other}` is not supported; there are password, \
                    v3applicationcredential and token"
                ));
                None
            }
        }
    }

    fn secret(&mut self, key: &str) -> Option<Secret> {
        let found = self.get(key).map(Secret::new);
        if found.is_none() {
            self.missing(key);
        }
        found
    }

    /// Domain: an ID takes precedence over a name. Defaults to `default`, like the `openstack`
    /// command.
    fn domain(&self, whose: &str, versioned: bool) -> Domain {
        let of = |key: &str| self.get(&format!("{whose}_domain_{key}"));
        let default = |key: &str| self.get(&format!("default_domain_{key}")).filter(|_| !versioned);
        let id = of("id").or_else(|| default("id")).map(Domain::Id);
        let name = || of("name").or_else(|| default("name")).map(Domain::Name);
        id.or_else(name).unwrap_or_else(|| Domain::Id("default".into()))
    }

    fn user(&mut self, versioned: bool) -> Option<Who> {
        if let Some(id) = self.get("user_id") {
            return Some(Who::Id(id));
        }
        let name = self.get("username").or_else(|| self.get("user_name"));
        if name.is_none() && !self.is_told("user_id") {
            self.missing("username");
        }
        Some(Who::Name { name: name?, domain: self.domain("user", versioned) })
    }

    fn project(&mut self, versioned: bool) -> Option<Who> {
        if let Some(id) = self.get("project_id") {
            return Some(Who::Id(id));
        }
        let Some(name) = self.get("project_name") else {
            if !self.is_told("project_id") {
                self.missing("project_name");
            }
            return None;
        };
        Some(Who::Name { name, domain: self.domain("project", versioned) })
    }
}
