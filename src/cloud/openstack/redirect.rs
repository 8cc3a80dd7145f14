//! Where tokens and passwords may go: to the origin (scheme, host and port) that clouds.yaml,
//! `OS_*` or the service catalog names, and to no other that an answer names. A method stays what
//! it is: a DELETE that became a GET deleted nothing.
use reqwest::header::LOCATION;
use reqwest::{Method, Response, StatusCode, Url};

/// Services answer so to a missing slash; more than a few are a circle.
const MOST: usize = 5;

/// One request on its way.
pub struct Hops {
    url: Url,
    left: usize,
}

pub enum Step {
    Answered,
    /// The same again, at the new [`Hops::url`].
    Again,
    /// To there it does not go; the address, or what there is of one.
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

/// 300 is none: services list their versions with it.
fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301..=303 | 305 | 307 | 308)
}

/// A query may hold what is nobody's business.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}
