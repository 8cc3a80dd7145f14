//! What kept an answer from coming, in the words of what was asked.
use std::time::Duration;

use reqwest::Url;

use super::super::error::ApiError;
use crate::system::http::{Proxies, innermost};

/// What is asked, of whom, for so long at most, and how it gets there.
pub struct Asked<'a> {
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
