//! Requests to the services: token, endpoint, timeout, retries, and errors that say what happened.
//!
//! What may be repeated is repeated when the service was away or busy. A POST is, only when it surely had no effect: the
//! connection was refused, or the answer was 401 or 429. Where a token may go is `redirect`'s to say.
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use openstack::ErrorKind;
use openstack::session::{ServiceType, Session};
use rand_core::{OsRng, RngCore};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::OnceCell;

use super::body;
pub use super::error::ApiError;
use super::error::message;
use super::keystone::{Keystone, Token};
use super::login::Login;
use super::redirect::{self, Hops, Step};
use super::upload::Upload;
use crate::cancel::Cancel;
use crate::digest::Digest;
use crate::http::{innermost, retry_after};

/// Most attempts at one call.
const ATTEMPTS: u32 = 5;
/// One attempt may take this long, unless the call says otherwise.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Longest pause that a service may ask for.
const LONGEST: u32 = 60;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    Compute,
    Image,
    Network,
    Volume,
    Orchestration,
}

impl Service {
    /// Catalog types, the official one first.
    fn types(self) -> &'static [&'static str] {
        match self {
            Service::Compute => &["compute"],
            Service::Image => &["image"],
            Service::Network => &["network"],
            Service::Volume => &["block-storage", "volumev3"],
            Service::Orchestration => &["orchestration"],
        }
    }
}

/// A catalog type as the session wants it.
#[derive(Debug, Clone, Copy)]
struct Kind {
    name: &'static str,
    /// What goes before the path.
    version: Option<&'static str>,
}

impl ServiceType for Kind {
    fn catalog_type(&self) -> &'static str {
        self.name
    }

    fn version_discovery_supported(&self) -> bool {
        self.name == Service::Compute.types()[0]
    }
}

/// Whether a URL ends in a version, as `/v2.0`.
fn has_version(url: &Url) -> bool {
    let last = url.path_segments().and_then(|mut parts| parts.rfind(|p| !p.is_empty()));
    last.and_then(|p| p.strip_prefix('v')).is_some_and(|v| v.starts_with(|c: char| c.is_ascii_digit()))
}

pub struct Api {
    keystone: Keystone,
    /// Follows no redirect: [`Call::once`] does, where that is safe.
    client: Client,
    session: OnceCell<Arc<Session>>,
    /// The session's client, for GETs.
    reader: Client,
    /// Where the session was sent elsewhere, which its own errors do not tell.
    led_away: redirect::Refused,
    /// What a second is to pauses; tests have shorter ones.
    second: Duration,
}

/// What came back, with a status below 400.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// sha512 of the file that was sent, if one was.
    pub sent: Option<Digest>,
}

impl Api {
    /// Sends nothing.
    pub fn new(login: Login) -> Result<Self, ApiError> {
        Self::with_pauses(login, Duration::from_secs(1))
    }

    pub(super) fn with_pauses(login: Login, second: Duration) -> Result<Self, ApiError> {
        let client = client(&login, reqwest::redirect::Policy::none())?;
        let keystone = Keystone::new(login, client.clone(), second / 2);
        let led_away = redirect::Refused::default();
        let reader = self::client(keystone.login(), led_away.policy())?;
        Ok(Self { keystone, client, session: OnceCell::new(), reader, led_away, second })
    }

    pub fn name(&self) -> &str {
        &self.keystone.login().name
    }

    /// Where Keystone is.
    pub fn host(&self) -> String {
        self.keystone.login().auth_url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned()
    }

    pub fn port(&self) -> u16 {
        self.keystone.login().auth_url.port_or_known_default().unwrap_or(443)
    }

    /// HTTP requests sent so far.
    pub fn requests(&self) -> u64 {
        self.keystone.requests()
    }

    async fn token(&self, cancel: &Cancel) -> Result<Arc<Token>, ApiError> {
        cancel.or(self.keystone.token()).await?
    }

    /// ID of the project that we are logged in to.
    pub async fn project(&self, cancel: &Cancel) -> Result<String, ApiError> {
        Ok(self.token(cancel).await?.project.clone())
    }

    /// "user demo, project demo, region RegionOne"
    pub async fn who(&self, cancel: &Cancel) -> Result<String, ApiError> {
        let who = self.token(cancel).await?.who.clone();
        Ok(self.keystone.login().region.as_ref().map_or(who.clone(), |r| format!("{who}, region {r}")))
    }

    /// Whether the catalog has it.
    pub async fn has(&self, service: Service, cancel: &Cancel) -> Result<bool, ApiError> {
        let token = self.token(cancel).await?;
        Ok(self.kind(&token, service).is_some())
    }

    /// Oldest and newest microversion.
    pub async fn version(&self, service: Service, cancel: &Cancel) -> Result<Option<((u16, u16), (u16, u16))>, ApiError> {
        let token = self.token(cancel).await?;
        let kind = self.need(&token, service, "find out the version")?;
        let found =
            self.discovered(cancel, "find out the version", move |session| async move { session.get_api_versions(kind).await }).await?;
        Ok(found.map(|(oldest, newest)| ((oldest.0, oldest.1), (newest.0, newest.1))))
    }

    fn kind(&self, token: &Token, service: Service) -> Option<Kind> {
        let (name, url) = service.types().iter().find_map(|name| Some((*name, self.keystone.endpoint(token, name)?)))?;
        // The URLs of Heat and Cinder in the catalog have version and project. Nova's is found out, with its microversions. These
        // two have had one version for ten years; to ask them for it, as for Nova's, would be a request each.
        let version = match service {
            Service::Image => Some("v2"),
            Service::Network => Some("v2.0"),
            Service::Compute | Service::Volume | Service::Orchestration => None,
        };
        Some(Kind { name, version: version.filter(|_| !has_version(&url)) })
    }

    fn need(&self, token: &Token, service: Service, what: &str) -> Result<Kind, ApiError> {
        let login = self.keystone.login();
        self.kind(token, service).ok_or_else(|| ApiError::NotInCatalog {
            what: what.to_owned(),
            service: service.types()[0],
            region: login.region.clone(),
            interface: login.interface.clone(),
            has: Keystone::services(token),
        })
    }

    /// Asks the session for what it has to find out from the service itself; it tries once, so we try again.
    async fn discovered<T, F>(&self, cancel: &Cancel, what: &str, ask: impl Fn(Arc<Session>) -> F) -> Result<T, ApiError>
    where
        F: Future<Output = Result<T, openstack::Error>>,
    {
        let begin = || async { Session::new_with_client(self.reader.clone(), self.keystone.clone()).await.map(Arc::new) };
        let mut attempt = 0;
        loop {
            let asked = async {
                let session = self.session.get_or_try_init(begin).await?;
                ask(session.clone()).await
            };
            let error = match cancel.or(asked).await? {
                Ok(found) => return Ok(found),
                Err(e) => e,
            };
            if let Some(to) = self.led_away.take() {
                return Err(ApiError::Redirected { what: what.to_owned(), to });
            }
            attempt += 1;
            let lasting = matches!(error.kind(), ErrorKind::AuthenticationFailed | ErrorKind::EndpointNotFound | ErrorKind::InvalidInput);
            if lasting || attempt >= ATTEMPTS {
                return Err(ApiError::bad_answer(what, format!("version discovery: {error}")));
            }
            cancel.pause(self.pause(attempt, None)).await?;
        }
    }

    /// What a service says of its own address counts within the origin that the catalog, or an override, names.
    async fn url(&self, kind: Kind, path: &[String], what: &str, cancel: &Cancel) -> Result<Url, ApiError> {
        let ask = |session: Arc<Session>| {
            let path: Vec<String> = kind.version.map(str::to_owned).into_iter().chain(path.iter().cloned()).collect();
            async move { session.get_endpoint(kind, path).await }
        };
        let found = self.discovered(cancel, what, ask).await?;
        let token = self.token(cancel).await?;
        match self.keystone.endpoint(&token, kind.name) {
            Some(listed) if listed.origin() != found.origin() => Ok(redirect::at_home(listed, &found, path)),
            _ => Ok(found),
        }
    }

    /// Before the next attempt: what the service asks for, or twice as long at most as the time before, and by chance.
    fn pause(&self, attempt: u32, asked: Option<u32>) -> Duration {
        if let Some(seconds) = asked {
            return self.second * seconds.min(LONGEST);
        }
        let longest = (self.second / 2 * 2u32.pow(attempt.min(6))).min(self.second * 10);
        longest.mul_f64(0.2 + 0.8 * f64::from(OsRng.next_u32()) / f64::from(u32::MAX))
    }

    pub fn call(&self, service: Service, method: Method, path: &[&str]) -> Call<'_> {
        let repeatable = method != Method::POST;
        Call {
            api: self,
            service,
            method,
            path: path.iter().map(|p| (*p).to_owned()).collect(),
            what: String::new(),
            query: Vec::new(),
            content: Content::None,
            headers: HeaderMap::new(),
            timeout: TIMEOUT,
            repeatable,
        }
    }

    pub fn get(&self, service: Service, path: &[&str]) -> Call<'_> {
        self.call(service, Method::GET, path)
    }

    pub fn post(&self, service: Service, path: &[&str]) -> Call<'_> {
        self.call(service, Method::POST, path)
    }

    pub fn put(&self, service: Service, path: &[&str]) -> Call<'_> {
        self.call(service, Method::PUT, path)
    }

    pub fn patch(&self, service: Service, path: &[&str]) -> Call<'_> {
        self.call(service, Method::PATCH, path)
    }

    pub fn delete(&self, service: Service, path: &[&str]) -> Call<'_> {
        self.call(service, Method::DELETE, path)
    }
}

/// No read timeout: it would run while we upload. Every request has a timeout of its own.
fn client(login: &Login, redirects: reqwest::redirect::Policy) -> Result<Client, ApiError> {
    let wrong = |reason: String| ApiError::Login { reason, hint: "OS_CACERT, OS_CERT and OS_KEY name files in PEM form" };
    let mut builder = body::plain(Client::builder())
        .user_agent(concat!("image-factory/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(10))
        .timeout(TIMEOUT)
        .tcp_keepalive(Duration::from_secs(30))
        .redirect(redirects)
        .danger_accept_invalid_certs(login.tls.insecure);
    let read = |path: &Path| std::fs::read(path).map_err(|e| wrong(format!("cannot read {}: {e}", path.display())));
    if let Some(path) = &login.tls.cacert {
        // All of a bundle, in addition to what the system trusts.
        let all = reqwest::Certificate::from_pem_bundle(&read(path)?).map_err(|e| wrong(format!("{}: {e}", path.display())))?;
        if all.is_empty() {
            return Err(wrong(format!("{} holds no certificate", path.display())));
        }
        builder = all.into_iter().fold(builder, reqwest::ClientBuilder::add_root_certificate);
    }
    if let Some((cert, key)) = &login.tls.client {
        let mut pem = read(cert)?;
        if key != cert {
            pem.push(b'\n');
            pem.extend(read(key)?);
        }
        // The parser's words could quote the key.
        builder = builder
            .identity(reqwest::Identity::from_pem(&pem).map_err(|_| wrong(format!("{} is no certificate with a key", cert.display())))?);
    }
    builder.build().map_err(|e| wrong(format!("TLS: {e}")))
}

pub(super) type OnProgress = Arc<dyn Fn(u64, u64) + Send + Sync>;

enum Content {
    None,
    Bytes(Bytes),
    File(PathBuf, OnProgress),
}

/// Of the file that is sent, if one is.
type Sent = Option<Arc<OnceLock<Digest>>>;

/// A request in the making.
#[must_use]
pub struct Call<'a> {
    api: &'a Api,
    service: Service,
    method: Method,
    path: Vec<String>,
    what: String,
    query: Vec<(String, String)>,
    content: Content,
    headers: HeaderMap,
    timeout: Duration,
    repeatable: bool,
}

impl Call<'_> {
    /// "create server x", for error texts.
    pub fn what(mut self, text: impl Into<String>) -> Self {
        self.what = text.into();
        self
    }

    pub fn query(mut self, key: &str, value: impl Into<String>) -> Self {
        self.query.push((key.to_owned(), value.into()));
        self
    }

    pub fn json(self, value: &Value) -> Self {
        self.body("application/json", value.to_string().into_bytes())
    }

    pub fn body(mut self, kind: &'static str, bytes: Vec<u8>) -> Self {
        self.headers.insert(reqwest::header::CONTENT_TYPE, HeaderValue::from_static(kind));
        self.content = Content::Bytes(bytes.into());
        self
    }

    /// Streams a file, with its length told beforehand: not every server takes chunks.
    pub fn file(mut self, path: &Path, progress: impl Fn(u64, u64) + Send + Sync + 'static) -> Self {
        self.headers.insert(reqwest::header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        self.content = Content::File(path.to_owned(), Arc::new(progress));
        self
    }

    pub fn microversion(mut self, major: u16, minor: u16) -> Self {
        let version = HeaderValue::from_str(&format!("{major}.{minor}")).expect("digits and a dot");
        if self.service == Service::Compute {
            self.headers.insert(HeaderName::from_static("x-openstack-nova-api-version"), version);
        }
        let name = if self.service == Service::Volume { "volume" } else { self.service.types()[0] };
        let whole = HeaderValue::from_str(&format!("{name} {major}.{minor}")).expect("letters, digits and a dot");
        self.headers.insert(HeaderName::from_static("openstack-api-version"), whole);
        self
    }

    /// A POST that only reads, or may be repeated.
    pub fn idempotent(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// Of one attempt.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout = time;
        self
    }

    /// JSON of the answer.
    pub async fn fetch<T: DeserializeOwned>(self, cancel: &Cancel) -> Result<T, ApiError> {
        let what = self.what.clone();
        let answer = self.send(cancel).await?;
        serde_json::from_slice(&answer.body).map_err(|e| ApiError::bad_answer(what, e.to_string()))
    }

    /// Sends it, and again where that is safe and may help.
    pub async fn send(self, cancel: &Cancel) -> Result<Answer, ApiError> {
        let mut attempt = 0;
        let mut logged_in_again = false;
        loop {
            cancel.check()?;
            let token = self.api.token(cancel).await?;
            let kind = self.api.need(&token, self.service, &self.what)?;
            let url = self.api.url(kind, &self.path, &self.what, cancel).await?;
            // A create is never dropped half-way; nor is anything else that changes something, but for uploads, which may take long.
            let sent = self.once(&token, url);
            let done = match self.method == Method::GET || matches!(self.content, Content::File(..)) {
                true => cancel.or(sent).await?,
                false => sent.await,
            };
            let (error, asked) = match done {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            if error.status() == Some(401) && !logged_in_again {
                logged_in_again = true;
                self.api.keystone.forget(&token).await;
                continue;
            }
            attempt += 1;
            if attempt >= ATTEMPTS || !self.may_repeat(&error) {
                return Err(error);
            }
            cancel.pause(self.api.pause(attempt, asked)).await?;
        }
    }

    fn may_repeat(&self, error: &ApiError) -> bool {
        match error {
            ApiError::Refused { status: 429, .. } | ApiError::Unreachable { sent: false, .. } => true,
            ApiError::Refused { status: 502..=504, .. } | ApiError::Unreachable { .. } => self.repeatable,
            // An upload that did not get through in its time will not the second time.
            ApiError::TimedOut { .. } => self.repeatable && !matches!(self.content, Content::File(..)),
            _ => false,
        }
    }

    /// One attempt. With the error comes the pause that the service asks for, in seconds.
    async fn once(&self, token: &Token, url: Url) -> Result<Answer, (ApiError, Option<u32>)> {
        let host = url.host_str().unwrap_or_default().to_owned();
        let transport = |e: reqwest::Error| (transport(&self.what, &host, self.timeout, &e), None);
        let mut hops = Hops::new(self.with_query(url));
        let (answer, sent) = loop {
            let (request, sent) = self.request(token, hops.url()).map_err(|e| (e, None))?;
            self.api.keystone.count();
            let answer = request.send().await.map_err(transport)?;
            match hops.step(&answer, &self.method) {
                Step::Answered => break (answer, sent),
                Step::Again => {}
                Step::Refused(to) => return Err((ApiError::Redirected { what: self.what.clone(), to }, None)),
            }
        };
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = body::read(answer, &self.what, &host, self.timeout).await.map_err(|e| (e, None))?;
        if status < 400 {
            let sent = sent.and_then(|digest| digest.get().cloned());
            return Ok(Answer { status, headers, body, sent });
        }
        let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let request_id = text("x-openstack-request-id").or_else(|| text("x-compute-request-id"));
        let error = ApiError::Refused { what: self.what.clone(), status, request_id, message: message(&body) };
        let asked = text("retry-after").and_then(|t| retry_after(&t));
        Err((error, asked.map(|pause| u32::try_from(pause.as_secs()).unwrap_or(LONGEST))))
    }
}

impl Call<'_> {
    fn with_query(&self, mut url: Url) -> Url {
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        url
    }

    /// The request, and the digest of the file that goes with it.
    fn request(&self, token: &Token, url: &Url) -> Result<(reqwest::RequestBuilder, Sent), ApiError> {
        let request = self.api.client.request(self.method.clone(), url.clone()).timeout(self.timeout);
        let request = request.headers(self.headers.clone()).header("x-auth-token", token.expose());
        match &self.content {
            Content::None => Ok((request, None)),
            Content::Bytes(bytes) => Ok((request.body(bytes.clone()), None)),
            Content::File(path, progress) => {
                let file = Upload::begin(path, progress)
                    .map_err(|e| ApiError::bad_answer(&self.what, format!("cannot read {}: {e}", path.display())))?;
                let request = request.header(reqwest::header::CONTENT_LENGTH, file.length).body(file.body);
                Ok((request, Some(file.digest)))
            }
        }
    }
}

/// What kept an answer from coming. The words of the HTTP library may hold the URL, which holds no secret.
pub(super) fn transport(what: &str, host: &str, after: Duration, e: &reqwest::Error) -> ApiError {
    if e.is_timeout() && !e.is_connect() {
        return ApiError::TimedOut { what: what.to_owned(), host: host.to_owned(), after };
    }
    ApiError::Unreachable { what: what.to_owned(), host: host.to_owned(), reason: innermost(e), sent: !e.is_connect() }
}
