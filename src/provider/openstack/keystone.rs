//! Tokens and the service catalog. Logs in once at a time, renews tokens before they expire, and
//! sends secrets only in that request's body. Source: the Identity API v3 reference.
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::{Client, Url};
use serde_json::{Value, json};

use super::api::{Asked, Service};
use super::body as answers;
use super::endpoint;
use super::error::ApiError;
use super::login::{Domain, Login, Method, Secret, Who};
use super::redirect::{Hops, Step};
use crate::system::http::may_be_the_proxys;

/// Minimum remaining lifetime of a token, since a request may take as long.
const LEAST: Duration = Duration::from_secs(120);
const TIMEOUT: Duration = Duration::from_secs(30);
/// For error texts.
const WHAT: &str = "log in";

/// Result of a login.
pub struct Token {
    value: Secret,
    /// Catalog type, interface, region, URL.
    endpoints: Vec<Endpoint>,
    pub project: String,
    user: String,
    /// "user demo, project demo"
    pub who: String,
    /// Computed from the time of receipt: this machine's clock may be wrong, but not its speed.
    until: Instant,
}

struct Endpoint {
    service: String,
    interface: String,
    region: Option<String>,
    url: Url,
}

/// Shares one login between all requests.
#[derive(Clone)]
pub struct Keystone(Arc<Inner>);

struct Inner {
    login: Login,
    client: Client,
    token: tokio::sync::Mutex<Option<Arc<Token>>>,
    /// Pause between two login attempts.
    pause: Duration,
}

impl fmt::Debug for Keystone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keystone({})", self.0.login.auth_url)
    }
}

impl Keystone {
    pub fn new(login: Login, client: Client, pause: Duration) -> Self {
        Self(Arc::new(Inner { login, client, token: Default::default(), pause }))
    }

    pub fn login(&self) -> &Login {
        &self.0.login
    }

    /// The current token, or a new one.
    pub async fn token(&self) -> Result<Arc<Token>, ApiError> {
        let mut known = self.0.token.lock().await;
        if let Some(token) =
            known.as_ref().filter(|t| t.until.saturating_duration_since(Instant::now()) > LEAST)
        {
            return Ok(token.clone());
        }
        let token = Arc::new(self.log_in().await?);
        *known = Some(token.clone());
        Ok(token)
    }

    /// Discards a token that a service rejected, so that the next request logs in again.
    pub async fn forget(&self, refused: &Arc<Token>) {
        let mut known = self.0.token.lock().await;
        if known.as_ref().is_some_and(|t| Arc::ptr_eq(t, refused)) {
            *known = None;
        }
    }

    /// Logs in. Retries if the service is briefly unavailable; reports a refused connection at
    /// once.
    async fn log_in(&self) -> Result<Token, ApiError> {
        let mut left = 2;
        loop {
            let error = match self.ask().await {
                Ok(token) => return Ok(token),
                Err(e) => e,
            };
            let passing = matches!(error.status(), Some(429 | 502..=504))
                || matches!(error, ApiError::Unreachable { sent: true, .. });
            if left == 0 || !passing {
                return Err(error);
            }
            left -= 1;
            tokio::time::sleep(self.0.pause).await;
        }
    }

    async fn ask(&self) -> Result<Token, ApiError> {
        let login = &self.0.login;
        let host = login.auth_url.host_str().unwrap_or_default().to_owned();
        let asked = Asked { what: WHAT, host: &host, after: TIMEOUT, proxies: &login.proxies };
        let (answer, url) = self.sent(&asked).await?;
        let status = answer.status().as_u16();
        let header = |name: &str| answer.headers().get(name).and_then(|t| t.to_str().ok());
        let subject = header("x-subject-token").map(Secret::new);
        let request_id = header("x-openstack-request-id").map(str::to_owned);
        let bytes = answers::read(answer, &asked).await?;
        match (status, subject) {
            (200 | 201, Some(value)) => {
                let body: Value = serde_json::from_slice(&bytes)
                    .map_err(|e| ApiError::bad_answer(WHAT, e.to_string()))?;
                Ok(read(value, &body["token"]))
            }
            (200..=299, None) => Err(ApiError::bad_answer(WHAT, "no token in it")),
            _ => {
                let own = request_id.is_none() && may_be_the_proxys(status);
                let via = if own { login.proxies.via(&url) } else { String::new() };
                Err(refused(login, status, request_id, login.said(&bytes) + &via))
            }
        }
    }

    /// The answer, and where it came from in the end.
    async fn sent(&self, asked: &Asked<'_>) -> Result<(reqwest::Response, Url), ApiError> {
        let login = &self.0.login;
        let mut url = login.auth_url.clone();
        url.path_segments_mut().expect("an http URL has a path").extend(["auth", "tokens"]);
        let mut hops = Hops::new(url);
        loop {
            let request = self.0.client.post(hops.url().clone()).json(&body(login));
            let answer = request.timeout(TIMEOUT).send().await.map_err(|e| asked.failed(&e))?;
            match hops.step(&answer, &reqwest::Method::POST) {
                Step::Answered => return Ok((answer, hops.url().clone())),
                Step::Again => {}
                Step::Refused(to) => return Err(ApiError::Redirected { what: WHAT.into(), to }),
            }
        }
    }

    /// Service types in the catalog, for messages.
    pub fn services(token: &Token) -> Vec<String> {
        let all: std::collections::BTreeSet<String> =
            token.endpoints.iter().map(|e| e.service.clone()).collect();
        all.into_iter().collect()
    }

    /// URL of a service with one of these catalog types, preferably the official one: from an
    /// override or the catalog. Without a named region, the catalog must have only one, since each
    /// service might otherwise pick another.
    pub fn endpoint(&self, token: &Token, types: &[&str]) -> Result<Option<Url>, ApiError> {
        let login = &self.0.login;
        let special = login.services.get(types[0]).cloned().unwrap_or_default();
        if let Some(url) = special.url {
            return Ok(Some(endpoint::filled(&url, &token.project, &token.user)));
        }
        let region = special.region.as_ref().or(login.region.as_ref());
        match region {
            None => self.one_region(token)?,
            Some(region) => known_region(token, region)?,
        }
        let interfaces = special.interface.as_ref().unwrap_or(&login.interface);
        let fits = |e: &Endpoint, service: &str, interface: &str| {
            e.service == service
                && e.interface == interface
                && (region.is_none() || e.region.as_ref() == region || e.region.is_none())
        };
        let wanted = types
            .iter()
            .flat_map(|service| interfaces.iter().map(move |interface| (service, interface)));
        let found = |(service, interface): (&&str, &String)| {
            token.endpoints.iter().find(|e| fits(e, service, interface))
        };
        Ok(wanted.into_iter().find_map(found).map(|e| e.url.clone()))
    }

    /// Checks for a single region. Overridden services, Keystone included, are exempt.
    fn one_region(&self, token: &Token) -> Result<(), ApiError> {
        let login = &self.0.login;
        let mut regions = std::collections::BTreeSet::new();
        for service in Service::ALL {
            let special = login.services.get(service.types()[0]).cloned().unwrap_or_default();
            if special.url.is_some() || special.region.is_some() {
                continue;
            }
            let interfaces = special.interface.unwrap_or_else(|| login.interface.clone());
            let ours = |e: &&Endpoint| {
                service.types().contains(&e.service.as_str()) && interfaces.contains(&e.interface)
            };
            regions.extend(token.endpoints.iter().filter(ours).filter_map(|e| e.region.clone()));
        }
        if regions.len() < 2 {
            return Ok(());
        }
        let regions = regions.into_iter().collect::<Vec<_>>().join(", ");
        Err(ApiError::Login {
            reason: format!("the cloud has several regions, and none is named: {regions}"),
            hint: "`region_name` in clouds.yaml names one, or OS_REGION_NAME",
        })
    }
}

/// Whether the catalog has the region. An endpoint without a region belongs to all.
fn known_region(token: &Token, region: &str) -> Result<(), ApiError> {
    let regions: Option<std::collections::BTreeSet<&str>> =
        token.endpoints.iter().map(|e| e.region.as_deref()).collect();
    match regions {
        Some(regions) if !regions.is_empty() && !regions.contains(region) => Err(ApiError::Login {
            reason: format!(
                "the cloud has no region `{region}`; it has: {}",
                regions.into_iter().collect::<Vec<_>>().join(", ")
            ),
            hint: "region names are case sensitive; `region_name` in clouds.yaml names one, or \
                OS_REGION_NAME",
        }),
        _ => Ok(()),
    }
}

impl Token {
    pub fn expose(&self) -> &str {
        self.value.expose()
    }
}

/// The error of an answer that is no token. `message`: what the service said.
fn refused(login: &Login, status: u16, request_id: Option<String>, message: String) -> ApiError {
    match status {
        401 | 403 => ApiError::Login {
            reason: format!(
                "{} refuses {}: {message} (HTTP {status})",
                login.auth_url,
                asked(login)
            ),
            hint: "are user, password, project and their domains right? clouds.yaml or the \
                OS_* variables have them",
        },
        404 | 300 => ApiError::Login {
            reason: format!("{} is no Identity v3 service (HTTP {status})", login.auth_url),
            hint: "the URL ends with /v3, after what the cloud puts before it (/identity, :5000)",
        },
        _ => ApiError::Refused { what: WHAT.into(), status, request_id, message },
    }
}

/// Subject of the error.
fn asked(login: &Login) -> String {
    let name = |who: &Who| match who {
        Who::Id(id) => id.clone(),
        Who::Name { name, .. } => name.clone(),
    };
    let project =
        login.project.as_ref().map_or(String::new(), |p| format!(" in project {}", name(p)));
    match &login.method {
        Method::Password { user, .. } => format!("user {}{project}", name(user)),
        Method::AppCredential { id: Some(id), .. } => format!("application credential {id}"),
        Method::AppCredential { name: Some((credential, _)), .. } => {
            format!("application credential {credential}")
        }
        Method::AppCredential { .. } => "the application credential".into(),
        Method::Token(_) => format!("the token{project}"),
    }
}

fn domain(domain: &Domain) -> Value {
    match domain {
        Domain::Id(id) => json!({ "id": id }),
        Domain::Name(name) => json!({ "name": name }),
    }
}

fn who(who: &Who) -> Value {
    match who {
        Who::Id(id) => json!({ "id": id }),
        Who::Name { name, domain: of } => json!({ "name": name, "domain": domain(of) }),
    }
}

fn body(login: &Login) -> Value {
    let identity = match &login.method {
        Method::Password { user, password } => {
            let mut user = who(user);
            user["password"] = json!(password.expose());
            json!({ "methods": ["password"], "password": { "user": user } })
        }
        Method::AppCredential { id, name, secret } => {
            let mut credential = json!({ "secret": secret.expose() });
            if let Some(id) = id {
                credential["id"] = json!(id);
            }
            if let Some((name, user)) = name {
                credential["name"] = json!(name);
                credential["user"] = who(user);
            }
            json!({ "methods": ["application_credential"], "application_credential": credential })
        }
        Method::Token(token) => json!({ "methods": ["token"], "token": { "id": token.expose() } }),
    };
    let mut auth = json!({ "identity": identity });
    if let Some(project) = &login.project {
        auth["scope"] = json!({ "project": who(project) });
    }
    json!({ "auth": auth })
}

fn read(value: Secret, token: &Value) -> Token {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let time = |key: &str| token[key].as_str().and_then(|t| t.parse::<jiff::Timestamp>().ok());
    // Both by the same clock, which need not be ours.
    let life = time("expires_at")
        .zip(time("issued_at"))
        .and_then(|(end, begin)| Duration::try_from(end.duration_since(begin)).ok());
    let mut endpoints = Vec::new();
    for service in token["catalog"].as_array().into_iter().flatten() {
        for endpoint in service["endpoints"].as_array().into_iter().flatten() {
            // Skips invalid entries; they matter only if needed.
            let (Some(kind), Some(interface)) =
                (text(&service["type"]), text(&endpoint["interface"]))
            else {
                continue;
            };
            let Some(url) =
                endpoint["url"].as_str().and_then(|u| Url::parse(u).ok()).filter(Url::has_host)
            else {
                continue;
            };
            let region = text(&endpoint["region_id"])
                .or_else(|| text(&endpoint["region"]))
                .filter(|r| !r.is_empty());
            endpoints.push(Endpoint { service: kind, interface, region, url });
        }
    }
    let name = |what: &str| {
        token[what]["name"].as_str().or(token[what]["id"].as_str()).unwrap_or("?").to_owned()
    };
    Token {
        value,
        endpoints,
        project: text(&token["project"]["id"]).unwrap_or_default(),
        user: text(&token["user"]["id"]).unwrap_or_default(),
        who: format!("user {}, project {}", name("user"), name("project")),
        until: Instant::now() + life.unwrap_or(Duration::from_secs(3600)),
    }
}
