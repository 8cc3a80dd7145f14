//! Who logs in, where, and to which project: from the `auth` of an entry, or `OS_*`.
//! Source: the loaders of keystoneauth, `password`, `token` and `v3applicationcredential`.
use reqwest::Url;

use super::login::{Domain, Method, Secret, Who, text};
use super::resolve::Config;
use super::settings::{Map, Origin, Setting};

pub struct Credentials {
    pub auth_url: Url,
    pub method: Method,
    /// An application credential is of one project, and names none.
    pub project: Option<Who>,
}

/// `wrong`: everything that is.
pub fn read(config: &Config, wrong: &mut Vec<String>) -> Option<Credentials> {
    let auth = &config.auth;
    let mut reader = Reader { auth, wrong };
    reader.scopes();
    let auth_url = reader.auth_url();
    let (kind, versioned) = reader.kind(config.rest.get("auth_type"));
    let method = reader.method(&kind, versioned);
    let project = if kind == "applicationcredential" { None } else { reader.project(versioned) };
    Some(Credentials { auth_url: auth_url?, method: method?, project })
}

/// How a value is written, for what is wrong with it.
fn word(key: &str) -> String {
    format!("`{key}` (OS_{})", key.to_uppercase())
}

struct Reader<'a> {
    auth: &'a Map,
    wrong: &'a mut Vec<String>,
}

impl Reader<'_> {
    fn get(&self, key: &str) -> Option<String> {
        text(self.auth, key)
    }

    fn origin(&self, key: &str) -> String {
        self.auth.get(key).map_or_else(String::new, |s| format!(" ({})", s.origin))
    }

    fn missing(&mut self, key: &str) {
        self.wrong.push(format!("{} is missing", word(key)));
    }

    /// Images are of projects: another scope is no use to us.
    fn scopes(&mut self) {
        for key in ["system_scope", "trust_id", "domain_id", "domain_name", "passcode"] {
            if self.get(key).is_none() {
                continue;
            }
            let why = match key {
                "trust_id" => "logins by a trust are not supported",
                "passcode" => "a second factor cannot be asked for; an application credential needs none",
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
        let text = text.trim_end_matches('/');
        if text.ends_with("/v2.0") {
            self.wrong.push(format!("{text} is Identity v2.0, which no OpenStack since 2018 has; write /v3{origin}"));
            return None;
        }
        let whole = if text.ends_with("/v3") { text.to_owned() } else { format!("{text}/v3") };
        let wrong = match Url::parse(&whole) {
            // It is shown and written down.
            Ok(url) if url.password().is_some() || !url.username().is_empty() => {
                "has a login in it; OS_USERNAME and OS_PASSWORD are the places for that".to_owned()
            }
            Ok(url) if url.query().is_some() || url.fragment().is_some() => "has a `?` or `#` in it".to_owned(),
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => return Some(url),
            // Something before an `@` may be a password.
            _ if text.contains('@') => "is no URL, and has a login in it; OS_USERNAME and OS_PASSWORD are the places for that".to_owned(),
            _ => format!("is no URL with http:// or https://: `{text}`"),
        };
        self.wrong.push(format!("{} {wrong}{origin}", word("auth_url")));
        None
    }

    /// The kind of login, and whether it is one of v3 alone, which knows no default domain.
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
            None if has("application_credential_id") || has("application_credential_name") => ("applicationcredential".into(), true),
            None if !has("password") && has("token") => ("token".into(), false),
            None => ("password".into(), false),
        }
    }

    fn method(&mut self, kind: &str, versioned: bool) -> Option<Method> {
        match kind {
            "password" => {
                let (user, password) = (self.user(versioned), self.secret("password"));
                Some(Method::Password { user: user?, password: password? })
            }
            "applicationcredential" => {
                let secret = self.secret("application_credential_secret");
                if let Some(id) = self.get("application_credential_id") {
                    return Some(Method::AppCredential { id: Some(id), name: None, secret: secret? });
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
                self.wrong.push(format!(
                    "{}: `{other}` is not supported; there are password, v3applicationcredential and token",
                    word("auth_type")
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

    /// An ID counts more than a name. Without either it is `default`, as the `openstack` command has it.
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
        if name.is_none() {
            self.missing("username");
        }
        Some(Who::Name { name: name?, domain: self.domain("user", versioned) })
    }

    fn project(&mut self, versioned: bool) -> Option<Who> {
        if let Some(id) = self.get("project_id") {
            return Some(Who::Id(id));
        }
        let Some(name) = self.get("project_name") else {
            self.missing("project_name");
            return None;
        };
        Some(Who::Name { name, domain: self.domain("project", versioned) })
    }
}
