//! Requests to the services: token, endpoint, timeout, retries, and errors that say what happened.
//!
//! What may be repeated is repeated when the service was away or busy. A POST is, only when it
//! surely had no effect: the connection was refused, or the answer was 401 or 429. Where a token
//! may go is `redirect`'s to say.
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use openstack::session::Session;
use rand_core::{OsRng, RngCore};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::OnceCell;

use super::body;
use super::endpoint::{self, Microversions};
pub use super::error::ApiError;
use super::keystone::{Keystone, Token};
use super::login::Login;
use super::redirect::{Hops, Step};
use super::session;
use super::upload::Upload;
use crate::cancel::Cancel;
use crate::digest::Digest;
use crate::http::{Proxies, innermost, may_be_the_proxys, retry_after};
use crate::reading;

/// Most attempts at one call.
const ATTEMPTS: u32 = 5;
/// Bytes of a file with certificates; a system's whole list has some 200 KiB.
const MOST_PEM: u64 = 16 << 20;
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
    pub(super) const ALL: [Self; 5] =
        [Self::Compute, Self::Image, Self::Network, Self::Volume, Self::Orchestration];

    /// Catalog types, the official one first.
    pub(super) fn types(self) -> &'static [&'static str] {
        match self {
            Service::Compute => &["compute"],
            Service::Image => &["image"],
            Service::Network => &["network"],
            Service::Volume => &["block-storage", "volumev3"],
            Service::Orchestration => &["orchestration"],
        }
    }
}

pub struct Api {
    keystone: Keystone,
    /// Follows no redirect: [`Call::once`] does, where that is safe.
    client: Client,
    microversions: OnceCell<Microversions>,
    /// What a second is to pauses; tests have shorter ones.
    second: Duration,
}

/// What came back, with a status below 400.
#[derive(Debug)]
pub struct Answer {
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
        let client = client(&login)?;
        let keystone = Keystone::new(login, client.clone(), second / 2);
        Ok(Self { keystone, client, microversions: OnceCell::new(), second })
    }

    pub fn name(&self) -> &str {
        &self.keystone.login().name
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
        Ok(self
            .keystone
            .login()
            .region
            .as_ref()
            .map_or(who.clone(), |r| format!("{who}, region {r}")))
    }

    /// Whether the catalog has it.
    pub async fn has(&self, service: Service, cancel: &Cancel) -> Result<bool, ApiError> {
        let token = self.token(cancel).await?;
        Ok(self.keystone.endpoint(&token, service.types())?.is_some())
    }

    /// What Nova says of its microversions, asked once. An answer that says nothing is none: Nova
    /// is where the catalog says all the same.
    pub async fn microversions(&self, cancel: &Cancel) -> Result<&Microversions, ApiError> {
        let ask = || async {
            let call = Call {
                document: true,
                ..self.get(Service::Compute, &[]).what("find out the version")
            };
            match call.send(cancel).await {
                Ok(answer) => Ok(Microversions::read(&answer.body)),
                Err(ApiError::Redirected { to, .. }) => {
                    Ok(Microversions::unknown(format!("a redirect to {to}, which is not followed")))
                }
                Err(ApiError::Refused { status, .. }) if status != 401 => {
                    Ok(Microversions::unknown(format!("HTTP {status}")))
                }
                // The next call tells whether Nova itself does not answer.
                Err(e @ (ApiError::TimedOut { .. } | ApiError::BadAnswer { .. })) => {
                    Ok(Microversions::unknown(e.reason()))
                }
                Err(e) => Err(e),
            }
        };
        self.microversions.get_or_try_init(ask).await
    }

    /// The URL of a service, from an override or the catalog and nowhere else, with the version
    /// that we speak.
    async fn base(
        &self,
        session: &Session,
        token: &Token,
        (service, what): (Service, &str),
    ) -> Result<Url, ApiError> {
        let login = self.keystone.login();
        let special = login.services.get(service.types()[0]);
        if let Some(url) = session::endpoint(session, service).await {
            let overridden = special.is_some_and(|s| s.url.is_some());
            return Ok(endpoint::with_version(url, service, &token.project, overridden));
        }
        // The session's error has no hint.
        self.keystone.endpoint(token, service.types())?;
        let interface = special.and_then(|s| s.interface.as_ref()).unwrap_or(&login.interface);
        Err(ApiError::NotInCatalog {
            what: what.to_owned(),
            service: service.types()[0],
            region: special.and_then(|s| s.region.clone()).or_else(|| login.region.clone()),
            interface: interface.join(" or "),
            has: Keystone::services(token),
        })
    }

    /// Before the next attempt: what the service asks for, or twice as long at most as the time
    /// before, and by chance.
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
            document: false,
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

const PEM: &str = "`cacert`, `cert` and `key` of clouds.yaml, or OS_CACERT, OS_CERT and OS_KEY, \
    name files in PEM form";

/// No read timeout: it would run while we upload. Every request has a timeout of its own.
/// Follows no redirect: [`Call::once`] does, where that is safe.
fn client(login: &Login) -> Result<Client, ApiError> {
    let wrong = |reason: String| ApiError::Login { reason, hint: PEM };
    let mut builder = body::plain(Client::builder())
        .user_agent(concat!("image-factory/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(10))
        .timeout(TIMEOUT)
        .tcp_keepalive(Duration::from_secs(30))
        .redirect(reqwest::redirect::Policy::none())
        .danger_accept_invalid_certs(login.tls.insecure);
    let read = |path: &Path| {
        reading::stream(path, MOST_PEM, Duration::from_secs(5))
            .map_err(|e| wrong(format!("cannot read {}: {e}", path.display())))
    };
    if let Some(path) = &login.tls.cacert {
        // All of a bundle, in addition to what the system trusts.
        let all = reqwest::Certificate::from_pem_bundle(&read(path)?)
            .map_err(|e| wrong(format!("{}: {e}", path.display())))?;
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
        builder = builder.identity(
            reqwest::Identity::from_pem(&pem)
                .map_err(|_| wrong(format!("{} is no certificate with a key", cert.display())))?,
        );
    }
    login.proxies.on(builder).build().map_err(|e| wrong(format!("TLS: {e}")))
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
    /// Asks for what the service says of its version.
    document: bool,
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
    pub fn file(
        mut self,
        path: &Path,
        progress: impl Fn(u64, u64) + Send + Sync + 'static,
    ) -> Self {
        self.headers.insert(
            reqwest::header::CONTENT_TYPE,
            HeaderValue::from_static("application/octet-stream"),
        );
        self.content = Content::File(path.to_owned(), Arc::new(progress));
        self
    }

    pub fn microversion(mut self, major: u16, minor: u16) -> Self {
        let version = HeaderValue::from_str(&format!("{major}.{minor}")).expect("digits and a dot");
        if self.service == Service::Compute {
            self.headers.insert(HeaderName::from_static("x-openstack-nova-api-version"), version);
        }
        let name = if self.service == Service::Volume { "volume" } else { self.service.types()[0] };
        let whole = HeaderValue::from_str(&format!("{name} {major}.{minor}"))
            .expect("letters, digits and a dot");
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
            let session =
                session::begin(&self.api.client, &self.api.keystone, token.clone()).await?;
            let base = self.api.base(&session, &token, (self.service, &self.what)).await?;
            let url = if self.document {
                endpoint::document(base)
            } else {
                endpoint::below(base, &self.path)
            };
            // A create is never dropped half-way; nor is anything else that changes something, but
            // for uploads, which may take long.
            let sent = self.once(&session, url);
            let done = match self.method == Method::GET || matches!(self.content, Content::File(..))
            {
                true => cancel.or(sent).await?,
                false => sent.await,
            };
            let (error, asked) = match done {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            let error = error.without(token.expose());
            if error.status() == Some(401) && !logged_in_again {
                logged_in_again = true;
                self.api.keystone.forget(&token).await;
                continue;
            }
            attempt += 1;
            let most =
                if matches!(error, ApiError::TimedOut { .. }) { ATTEMPTS.min(2) } else { ATTEMPTS };
            if attempt >= most || !self.may_repeat(&error) {
                return Err(error);
            }
            cancel.pause(self.api.pause(attempt, asked)).await?;
        }
    }

    fn may_repeat(&self, error: &ApiError) -> bool {
        match error {
            ApiError::Refused { status: 429, .. } | ApiError::Unreachable { sent: false, .. } => {
                true
            }
            ApiError::Refused { status: 502..=504, .. } | ApiError::Unreachable { .. } => {
                self.repeatable
            }
            // An upload that did not get through in its time will not the second time.
            ApiError::TimedOut { .. } => {
                self.repeatable && !matches!(self.content, Content::File(..))
            }
            _ => false,
        }
    }

    /// One attempt. With the error comes the pause that the service asks for, in seconds.
    async fn once(&self, session: &Session, url: Url) -> Result<Answer, (ApiError, Option<u32>)> {
        let host = url.host_str().unwrap_or_default().to_owned();
        let proxies = &self.api.keystone.login().proxies;
        let asked = Asked { what: &self.what, host: &host, after: self.timeout, proxies };
        let mut hops = Hops::new(self.with_query(url));
        let (answer, sent) = loop {
            let (request, sent) = self.request(session, hops.url()).await.map_err(|e| (e, None))?;
            let answer = request.send().await.map_err(|e| (asked.failed(&e), None))?;
            match hops.step(&answer, &self.method) {
                Step::Answered => break (answer, sent),
                Step::Again => {}
                Step::Refused(to) => {
                    return Err((ApiError::Redirected { what: self.what.clone(), to }, None));
                }
            }
        };
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = body::read(answer, &asked).await.map_err(|e| (e, None))?;
        if status < 400 {
            let sent = sent.and_then(|digest| digest.get().cloned());
            return Ok(Answer { headers, body, sent });
        }
        let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let request_id = text("x-openstack-request-id").or_else(|| text("x-compute-request-id"));
        let mut message = self.api.keystone.login().said(&body);
        // A service of OpenStack numbers its answers; a proxy does not.
        if request_id.is_none() && may_be_the_proxys(status) {
            message += &proxies.via(hops.url());
        }
        let error = ApiError::Refused { what: self.what.clone(), status, request_id, message };
        let pause = text("retry-after").and_then(|t| retry_after(&t));
        Err((error, pause.map(|pause| u32::try_from(pause.as_secs()).unwrap_or(LONGEST))))
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
    async fn request(
        &self,
        session: &Session,
        url: &Url,
    ) -> Result<(reqwest::RequestBuilder, Sent), ApiError> {
        let request =
            self.api.client.request(self.method.clone(), url.clone()).timeout(self.timeout);
        let request = session::authenticate(session, request.headers(self.headers.clone())).await?;
        match &self.content {
            Content::None => Ok((request, None)),
            Content::Bytes(bytes) => Ok((request.body(bytes.clone()), None)),
            Content::File(path, progress) => {
                let file = Upload::begin(path, progress).map_err(|e| {
                    ApiError::bad_answer(&self.what, format!("cannot read {}: {e}", path.display()))
                })?;
                let request =
                    request.header(reqwest::header::CONTENT_LENGTH, file.length).body(file.body);
                Ok((request, Some(file.digest)))
            }
        }
    }
}

/// What is asked, of whom, for so long at most, and how it gets there.
pub(super) struct Asked<'a> {
    pub what: &'a str,
    pub host: &'a str,
    pub after: Duration,
    pub proxies: &'a Proxies,
}

impl Asked<'_> {
    /// What kept an answer from coming. The words of the HTTP library may hold the URL, which holds
    /// no secret.
    pub fn failed(&self, e: &reqwest::Error) -> ApiError {
        let (what, host) = (self.what.to_owned(), self.host);
        if let Some(Err(wrong)) = e.url().map(|url| self.proxies.check(url)) {
            return ApiError::Login { reason: wrong.to_string(), hint: wrong.hint() };
        }
        let via = e.url().map(|url| self.proxies.via(url)).unwrap_or_default();
        if e.is_timeout() && !e.is_connect() {
            return ApiError::TimedOut { what, host: format!("{host}{via}"), after: self.after };
        }
        // The port is told where it was written.
        let port = e.url().and_then(Url::port).map_or(String::new(), |port| format!(":{port}"));
        let reason = match innermost(e) {
            no_tls if no_tls.contains("InvalidContentType") => {
                "what answers there speaks no TLS: is it http:// and not https://?".into()
            }
            reason => reason,
        };
        ApiError::Unreachable {
            what,
            host: format!("{host}{port}{via}"),
            reason,
            sent: !e.is_connect(),
        }
    }
}
