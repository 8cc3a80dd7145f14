//! HTTP requests of a fetch: client, error classes, retries, header parsing. Source: RFC 9110
//! (`Content-Range` in 14.4, validators in 8.8).
use std::time::Duration;

use rand_core::{OsRng, RngCore};
use reqwest::header::{self, HeaderMap};
use reqwest::{Client, Response, StatusCode, redirect};

use super::{FetchError, RetryPolicy, SourceUri, TransferContext};
use crate::system::http::{Proxies, innermost, retry_after};

/// Size limit of a checksum list, in bytes.
pub const LONGEST_LIST: usize = 4 << 20;
const REDIRECTS: usize = 10;

/// Sends the requests of one fetch.
pub struct Http<'a> {
    pub client: Client,
    pub patience: &'a RetryPolicy,
    proxies: &'a Proxies,
}

impl<'a> Http<'a> {
    pub fn new(patience: &'a RetryPolicy, proxies: &'a Proxies) -> Result<Self, FetchError> {
        Ok(Self { client: client(patience, proxies)?, patience, proxies })
    }
}

fn client(patience: &RetryPolicy, proxies: &Proxies) -> Result<Client, FetchError> {
    let policy = redirect::Policy::custom(|attempt| {
        let left_https = attempt.previous().last().is_some_and(|p| p.scheme() == "https")
            && attempt.url().scheme() != "https";
        if left_https {
            attempt.error("it redirects from https to http")
        } else if attempt.previous().len() > REDIRECTS {
            attempt.error("it redirects too often")
        } else {
            attempt.follow()
        }
    });
    let builder = Client::builder()
        .user_agent(concat!("image-factory/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(patience.connect)
        .read_timeout(patience.idle)
        .tcp_keepalive(Duration::from_secs(30))
        .redirect(policy)
        // A URL's query may hold a key, and would go to whom the server redirects to.
        .referer(false);
    proxies.on(builder).build().map_err(|e| FetchError::Client(innermost(&e)))
}

/// Why an attempt failed.
pub enum Failed {
    /// Retryable, after the pause that the server requested.
    Again(String, Option<Duration>),
    For(FetchError),
}

impl From<FetchError> for Failed {
    fn from(e: FetchError) -> Self {
        Self::For(e)
    }
}

/// Counts consecutive attempts without progress.
pub struct Retry<'a> {
    patience: &'a RetryPolicy,
    shown: &'a SourceUri,
    fruitless: u32,
}

impl<'a> Retry<'a> {
    pub fn new(patience: &'a RetryPolicy, shown: &'a SourceUri) -> Self {
        Self { patience, shown, fruitless: 0 }
    }

    /// Waits before the next attempt, or fails when the attempts are used up.
    pub async fn next(
        &mut self,
        failed: Failed,
        progressed: bool,
        job: &TransferContext,
    ) -> Result<(), FetchError> {
        let (reason, asked) = match failed {
            Failed::Again(reason, asked) => (reason, asked),
            Failed::For(error) => return Err(error),
        };
        self.fruitless = if progressed { 1 } else { self.fruitless + 1 };
        if self.fruitless >= self.patience.tries {
            return Err(FetchError::GaveUp {
                url: self.shown.to_string(),
                tries: self.fruitless,
                reason,
            });
        }
        let doubled = self.patience.pause * 2u32.pow((self.fruitless - 1).min(10));
        let pause = match asked {
            Some(asked) => asked.min(self.patience.longest),
            // By chance, so that builds which failed together do not come back together.
            None => doubled
                .min(self.patience.longest)
                .mul_f64(0.5 + 0.5 * f64::from(OsRng.next_u32()) / f64::from(u32::MAX)),
        };
        job.events.note(format!("{}: {reason}; trying again", self.shown.name()));
        job.wait(self.shown, tokio::time::sleep(pause)).await
    }
}

impl Http<'_> {
    /// Downloads a short text completely.
    pub async fn text(
        &self,
        url: &str,
        shown: &SourceUri,
        job: &TransferContext,
    ) -> Result<Vec<u8>, FetchError> {
        let mut tries = Retry::new(self.patience, shown);
        loop {
            let attempt = async {
                let mut response =
                    self.client.get(url).send().await.map_err(|e| self.transport(&e, shown))?;
                if response.status() != StatusCode::OK {
                    return Err(self.refused(&response, shown));
                }
                let mut text = Vec::new();
                while let Some(chunk) =
                    response.chunk().await.map_err(|e| self.transport(&e, shown))?
                {
                    text.extend_from_slice(&chunk);
                    if text.len() > LONGEST_LIST {
                        let reason = "a list of checksums is shorter".into();
                        return Err(FetchError::TooLarge {
                            what: shown.to_string(),
                            bytes: text.len() as u64,
                            reason,
                        }
                        .into());
                    }
                }
                Ok(text)
            };
            match job.wait(shown, attempt).await? {
                Ok(text) => return Ok(text),
                Err(failed) => tries.next(failed, false, job).await?,
            }
        }
    }

    pub fn refused(&self, response: &Response, shown: &SourceUri) -> Failed {
        let (status, via) = (response.status(), self.proxies.via(response.url()));
        match status {
            StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                let reason = format!("the way there{via} wants a login of its own (407)");
                return FetchError::Unusable { url: shown.to_string(), reason }.into();
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {}
            status if status.is_server_error() => {}
            status => {
                return FetchError::Refused { url: shown.to_string(), status: status.as_u16() }
                    .into();
            }
        }
        let asked = response
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|v| v.to_str().ok())
            .and_then(retry_after);
        Failed::Again(format!("the server says {}{via}", status.as_u16()), asked)
    }

    pub fn transport(&self, e: &reqwest::Error, shown: &SourceUri) -> Failed {
        if let Some(Err(error)) = e.url().map(|url| self.proxies.check(url)) {
            return FetchError::Proxy(error).into();
        }
        let (reason, via) =
            (innermost(e), e.url().map(|url| self.proxies.via(url)).unwrap_or_default());
        if e.is_redirect() || e.is_builder() || reason.contains("certificate") {
            return FetchError::Unusable { url: shown.to_string(), reason }.into();
        }
        Failed::Again(
            match () {
                () if e.is_connect() => format!("no connection{via}: {reason}"),
                () if e.is_timeout() => {
                    format!("the server stalls{via}: nothing came for {:?}", self.patience.idle)
                }
                () => format!("the connection was cut{via}: {reason}"),
            },
            None,
        )
    }
}

/// Validator of a response: a strong `ETag`, otherwise `Last-Modified`. A weak `ETag` does not
/// identify bytes.
pub fn validator(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    text(header::ETAG).filter(|tag| tag.starts_with('"')).or_else(|| text(header::LAST_MODIFIED))
}

/// First byte and total length: `bytes 5-9/10`, `bytes 5-9/*`, `bytes */10`.
pub fn content_range(headers: &HeaderMap) -> Option<(Option<u64>, Option<u64>)> {
    let text = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let first = range.split_once('-').and_then(|(first, _)| first.trim().parse().ok());
    if first.is_none() && range.trim() != "*" {
        return None;
    }
    Some((first, total.trim().parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn ranges_as_servers_write_them() {
        let said = |text| content_range(&headers(&[(header::CONTENT_RANGE, text)]));
        assert_eq!(said("bytes 5-9/10"), Some((Some(5), Some(10))));
        assert_eq!(said("bytes 5-9/*"), Some((Some(5), None)));
        assert_eq!(said("bytes */10"), Some((None, Some(10))));
        for bad in ["bytes x-9/10", "5-9/10", "bytes 5-9", ""] {
            assert_eq!(said(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_what_vouches_for_bytes_is_a_validator() {
        let date = "Sat, 21 Nov 2026 10:00:00 GMT";
        let both = headers(&[(header::ETAG, "\"a\""), (header::LAST_MODIFIED, date)]);
        assert_eq!(validator(&both).as_deref(), Some("\"a\""));
        assert_eq!(
            validator(&headers(&[(header::ETAG, "W/\"a\""), (header::LAST_MODIFIED, date)]))
                .as_deref(),
            Some(date)
        );
        assert_eq!(validator(&headers(&[(header::ETAG, "W/\"a\"")])), None);
    }
}
