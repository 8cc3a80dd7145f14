//! A request in the making, its attempts, and the answer.
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use openstack::session::Session;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::super::error::ApiError;
use super::super::redirect::{Hops, Step};
use super::super::upload::Upload;
use super::super::{body, endpoint, session};
use super::asked::Asked;
use super::{Api, LONGEST, Service, TIMEOUT};
use crate::model::digest::Digest;
use crate::system::cancel::Cancel;
use crate::system::http::{may_be_the_proxys, retry_after};

/// Most attempts at one call.
const ATTEMPTS: u32 = 5;

pub type OnProgress = Arc<dyn Fn(u64, u64) + Send + Sync>;

enum Content {
    None,
    Bytes(Bytes),
    File(PathBuf, OnProgress),
}

/// Of the file that is sent, if one is.
type Sent = Option<Arc<OnceLock<Digest>>>;

/// What came back, with a status below 400.
#[derive(Debug)]
pub struct Answer {
    pub headers: HeaderMap,
    pub body: Bytes,
    /// sha512 of the file that was sent, if one was.
    pub sent: Option<Digest>,
}

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

impl<'a> Call<'a> {
    pub(super) fn new(api: &'a Api, service: Service, method: Method, path: &[&str]) -> Self {
        let repeatable = method != Method::POST;
        Self {
            api,
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

    /// Is not sent again after a lost answer: the caller looks first.
    pub fn once_in_doubt(mut self) -> Self {
        self.repeatable = false;
        self
    }

    /// Asks for what the service says of its version, in place of `path`.
    pub(super) fn document(mut self) -> Self {
        self.document = true;
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
            ApiError::Refused { status: 502..=504, .. }
            | ApiError::Unreachable { .. }
            | ApiError::TimedOut { .. } => self.repeatable,
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
