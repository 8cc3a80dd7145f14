//! Restricts redirects of requests with tokens or passwords to the same origin (scheme, host, port)
//! as configured in clouds.yaml, `OS_*` or the service catalog. Keeps the method: a DELETE turned
//! into a GET would delete nothing.
use reqwest::header::LOCATION;
use reqwest::{Method, Response, StatusCode, Url};

/// Maximum redirects. Services redirect for a missing slash; more is a cycle.
const MOST: usize = 5;

/// A request and its redirects.
pub struct Hops {
    url: Url,
    left: usize,
}

pub enum Step {
    Answered,
    /// Repeat the request at the new [`Hops::url`].
    Again,
    /// The redirect is refused; the address as far as known.
    Refused(String),
}

impl Hops {
    pub fn new(url: Url) -> Self {
        Self { url, left: MOST }
    }

    pub fn url(&self) -> &Url {
        &self.url
    }

    pub fn step(&mut self, answer: &Response, method: &Method) -> Step {
        let status = answer.status();
        if !is_redirect(status) {
            return Step::Answered;
        }
        let to = answer
            .headers()
            .get(LOCATION)
            .map(|to| String::from_utf8_lossy(to.as_bytes()).into_owned());
        let Some(url) = to.as_ref().and_then(|to| self.url.join(to).ok()) else {
            return Step::Refused(format!(
                "{} (HTTP {})",
                to.unwrap_or("nowhere".into()),
                status.as_u16()
            ));
        };
        let keeps_method =
            matches!(status.as_u16(), 307 | 308) || matches!(*method, Method::GET | Method::HEAD);
        if self.left == 0 || !keeps_method || url.origin() != self.url.origin() {
            return Step::Refused(format!("{} (HTTP {})", shown(&url), status.as_u16()));
        }
        self.left -= 1;
        self.url = url;
        Step::Again
    }
}

/// Excludes 300, with which services list their versions.
fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301..=303 | 305 | 307 | 308)
}

/// The URL without its query, which may be confidential.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}
