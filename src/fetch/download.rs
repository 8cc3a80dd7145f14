//! A download over HTTP: one request after another until all is there, each going on where the one before ended.
//! Source: RFC 9110 (ranges in section 14, `If-Range` in 13.1.5, `Retry-After` in 10.2.3).
use std::time::{Duration, Instant};

use rand_core::{OsRng, RngCore};
use reqwest::header::{self, HeaderMap};
use reqwest::{Client, Response, StatusCode, redirect};

use super::cache::{Note, Slot};
use super::part::{Part, Progress};
use super::{FetchError, Job, Patience, Place};
use crate::digest::Digest;
use crate::disk;

/// Longer lists of checksums are none.
const LONGEST_LIST: usize = 4 << 20;
/// Bytes a second below which a connection counts as stalled.
const CRAWL: f64 = 1024.0;
const REDIRECTS: usize = 10;

/// Proxies are those of the environment.
pub fn client(patience: &Patience) -> Result<Client, FetchError> {
    let policy = redirect::Policy::custom(|attempt| {
        let left_https = attempt.previous().last().is_some_and(|p| p.scheme() == "https") && attempt.url().scheme() != "https";
        if left_https {
            attempt.error("it redirects from https to http")
        } else if attempt.previous().len() > REDIRECTS {
            attempt.error("it redirects too often")
        } else {
            attempt.follow()
        }
    });
    Client::builder()
        .user_agent(concat!("image-factory/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(patience.connect)
        .read_timeout(patience.idle)
        .tcp_keepalive(Duration::from_secs(30))
        .redirect(policy)
        .build()
        .map_err(|e| FetchError::Client(innermost(&e)))
}

/// Why one attempt failed.
enum Failed {
    /// Another may do better, after the pause that the server asks for.
    Again(String, Option<Duration>),
    For(FetchError),
}

impl From<FetchError> for Failed {
    fn from(e: FetchError) -> Self {
        Self::For(e)
    }
}

/// Attempts in a row that brought nothing new.
struct Tries<'a> {
    patience: &'a Patience,
    shown: &'a Place,
    fruitless: u32,
}

impl<'a> Tries<'a> {
    fn new(patience: &'a Patience, shown: &'a Place) -> Self {
        Self { patience, shown, fruitless: 0 }
    }

    /// Waits before the next attempt, or ends the matter.
    async fn next(&mut self, failed: Failed, progressed: bool, job: &Job) -> Result<(), FetchError> {
        let (reason, asked) = match failed {
            Failed::Again(reason, asked) => (reason, asked),
            Failed::For(error) => return Err(error),
        };
        self.fruitless = if progressed { 1 } else { self.fruitless + 1 };
        if self.fruitless >= self.patience.tries {
            return Err(FetchError::GaveUp { url: self.shown.to_string(), tries: self.fruitless, reason });
        }
        let doubled = self.patience.pause * 2u32.pow((self.fruitless - 1).min(10));
        let pause = match asked {
            Some(asked) => asked.min(self.patience.longest),
            // By chance, so that builds which failed together do not come back together.
            None => doubled.min(self.patience.longest).mul_f64(0.5 + 0.5 * f64::from(OsRng.next_u32()) / f64::from(u32::MAX)),
        };
        job.events.note(format!("{}: {reason}; trying again", self.shown.name()));
        job.wait(self.shown, tokio::time::sleep(pause)).await
    }
}

pub struct Download<'a> {
    pub client: &'a Client,
    pub patience: &'a Patience,
    pub url: &'a str,
    pub shown: &'a Place,
    pub wanted: &'a Digest,
    pub slot: &'a Slot,
}

impl Download<'_> {
    /// Ends with the file in the cache, or with an error and nothing of it, but for a part that a later build can go on with.
    pub async fn run(&self, job: &Job) -> Result<(), FetchError> {
        let mut again = true;
        loop {
            let Whole { got, bytes, pieced } = self.whole(job).await?;
            if got == *self.wanted {
                return self.slot.adopt(self.url, bytes);
            }
            self.slot.drop_all()?;
            if !(pieced && again) {
                return Err(FetchError::Checksum { from: self.shown.to_string(), bytes, got, wanted: self.wanted.clone() });
            }
            again = false;
            job.events.note(format!("{}: what was put together from pieces is not the file; it is downloaded in one", self.shown.name()));
        }
    }

    async fn whole(&self, job: &Job) -> Result<Whole, FetchError> {
        let note = self.slot.note().filter(|n| n.url == self.url && n.validator.is_some());
        let mut state = State {
            part: Part::open(&self.slot.part(), note.is_some(), self.wanted.algorithm)?,
            validator: note.as_ref().and_then(|n| n.validator.clone()),
            pieced: false,
        };
        if state.part.length() > 0 {
            job.events.note(format!("{}: going on after {} MiB of an earlier build", self.shown.name(), state.part.length() >> 20));
        }
        let mut tries = Tries::new(self.patience, self.shown);
        let mut furthest = state.part.length();
        let failed = loop {
            let Err(failed) = self.attempt(&mut state, job).await else { break None };
            let progressed = state.part.length() > furthest;
            furthest = furthest.max(state.part.length());
            if let Err(e) = tries.next(failed, progressed, job).await {
                break Some(e);
            }
        };
        let State { part, validator, pieced } = state;
        let error = match failed {
            Some(error) => {
                let length = part.close().await;
                let resumable = matches!(error, FetchError::GaveUp { .. } | FetchError::Deadline { .. } | FetchError::Cancelled(_));
                if resumable && validator.is_some() && length > 0 {
                    job.events.note(format!("{}: {} MiB are kept for the next build", self.shown.name(), length >> 20));
                    return Err(error);
                }
                error
            }
            None => match part.finish().await {
                Ok((got, bytes)) => return Ok(Whole { got, bytes, pieced }),
                Err(error) => error,
            },
        };
        self.slot.drop_all()?;
        Err(error)
    }

    /// One request, and all of its body.
    async fn attempt(&self, state: &mut State, job: &Job) -> Result<(), Failed> {
        let begin = state.part.length();
        let mut request = self.client.get(self.url).header(header::ACCEPT_ENCODING, "identity");
        match &state.validator {
            Some(validator) if begin > 0 => {
                request = request.header(header::RANGE, format!("bytes={begin}-")).header(header::IF_RANGE, validator);
            }
            _ if begin > 0 => state.part.anew().await?,
            _ => {}
        }
        let response = job.wait(self.shown, request.send()).await?.map_err(|e| self.failed(&e))?;
        let total = self.begun(&response, state).await?;
        let Some(total) = total else { return Ok(()) };
        if let Some(total) = total {
            self.fits(total, state.part.length())?;
        }
        state.pieced |= state.part.length() > 0;
        self.body(response, total, state, job).await
    }

    /// What the answer's head says: the length of the whole, if it says one; `None` if nothing is missing any more.
    async fn begun(&self, response: &Response, state: &mut State) -> Result<Option<Option<u64>>, Failed> {
        let begin = state.part.length();
        let headers = response.headers();
        match response.status() {
            StatusCode::PARTIAL_CONTENT => {
                let range = content_range(headers);
                let same = validator(headers).is_none_or(|now| state.validator.as_ref() == Some(&now) || !now.starts_with('"'));
                match range {
                    Some((Some(first), total)) if first == begin && begin > 0 && same => Ok(Some(total)),
                    _ => {
                        state.forget().await?;
                        Err(Failed::Again("the server went on with something else than was begun".into(), Some(Duration::ZERO)))
                    }
                }
            }
            // Also where a range was asked for: the file has changed, or the server knows no ranges.
            StatusCode::OK => {
                if begin > 0 {
                    state.part.anew().await?;
                }
                state.validator = validator(headers);
                let size = response.content_length();
                self.slot.write(&Note { url: self.url.into(), validator: state.validator.clone(), size })?;
                Ok(Some(size))
            }
            StatusCode::RANGE_NOT_SATISFIABLE if begin > 0 => match content_range(headers) {
                Some((None, Some(total))) if total == begin => Ok(None),
                _ => {
                    state.forget().await?;
                    Err(Failed::Again("the server has less than was begun".into(), Some(Duration::ZERO)))
                }
            },
            status => Err(refused(status, headers, self.shown)),
        }
    }

    async fn body(&self, mut response: Response, total: Option<u64>, state: &mut State, job: &Job) -> Result<(), Failed> {
        let mut progress = Progress::new(job);
        let (mut since, mut came) = (Instant::now(), 0);
        loop {
            let chunk = job.wait(self.shown, response.chunk()).await?.map_err(|e| self.failed(&e))?;
            let Some(chunk) = chunk else { break };
            came += chunk.len();
            if since.elapsed() >= self.patience.idle {
                if (came as f64) < CRAWL * since.elapsed().as_secs_f64() {
                    return Err(Failed::Again(format!("the server stalls: {came} bytes in {:?}", self.patience.idle), None));
                }
                (since, came) = (Instant::now(), 0);
            }
            state.part.push(chunk).await?;
            let length = state.part.length();
            if length > disk::LARGEST {
                self.fits(length, length)?;
            }
            progress.tell(length, total.unwrap_or(0));
        }
        match total.filter(|total| *total != state.part.length()) {
            None => Ok(()),
            Some(total) => {
                let length = state.part.length();
                if length > total {
                    state.forget().await?;
                }
                Err(Failed::Again(format!("the server said {total} bytes and sent {length}"), None))
            }
        }
    }

    fn fits(&self, total: u64, have: u64) -> Result<(), FetchError> {
        let too_large = |reason: String| Err(FetchError::TooLarge { what: self.shown.to_string(), bytes: total, reason });
        if total > disk::LARGEST {
            return too_large(format!("at most {} are taken", disk::LARGEST));
        }
        match disk::free_bytes(&self.slot.part()) {
            Some(free) if total.saturating_sub(have) > free => too_large(format!("only {free} are free where downloads are kept")),
            _ => Ok(()),
        }
    }

    fn failed(&self, e: &reqwest::Error) -> Failed {
        transport(e, self.shown, self.patience)
    }
}

/// What was downloaded, right or not.
struct Whole {
    got: Digest,
    bytes: u64,
    /// From more than one answer.
    pieced: bool,
}

struct State {
    part: Part,
    validator: Option<String>,
    pieced: bool,
}

impl State {
    async fn forget(&mut self) -> Result<(), FetchError> {
        self.validator = None;
        self.part.anew().await
    }
}

/// A short text, whole or not at all.
pub async fn text(client: &Client, patience: &Patience, url: &str, shown: &Place, job: &Job) -> Result<Vec<u8>, FetchError> {
    let mut tries = Tries::new(patience, shown);
    loop {
        let attempt = async {
            let mut response = client.get(url).send().await.map_err(|e| transport(&e, shown, patience))?;
            if response.status() != StatusCode::OK {
                return Err(refused(response.status(), response.headers(), shown));
            }
            let mut text = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(|e| transport(&e, shown, patience))? {
                text.extend_from_slice(&chunk);
                if text.len() > LONGEST_LIST {
                    let reason = "a list of checksums is shorter".into();
                    return Err(FetchError::TooLarge { what: shown.to_string(), bytes: text.len() as u64, reason }.into());
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

fn refused(status: StatusCode, headers: &HeaderMap, shown: &Place) -> Failed {
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {}
        status if status.is_server_error() => {}
        status => return FetchError::Refused { url: shown.to_string(), status: status.as_u16() }.into(),
    }
    let asked = headers.get(header::RETRY_AFTER).and_then(|v| v.to_str().ok()).and_then(retry_after);
    Failed::Again(format!("the server says {}", status.as_u16()), asked)
}

/// Seconds, or a date.
fn retry_after(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp();
    Some(Duration::from_secs(at.duration_since(jiff::Timestamp::now()).as_secs().max(0).unsigned_abs()))
}

fn transport(e: &reqwest::Error, shown: &Place, patience: &Patience) -> Failed {
    let reason = innermost(e);
    if e.is_redirect() || e.is_builder() || reason.contains("certificate") {
        return FetchError::Unusable { url: shown.to_string(), reason }.into();
    }
    Failed::Again(
        match () {
            () if e.is_connect() => format!("no connection: {reason}"),
            () if e.is_timeout() => format!("the server stalls: nothing came for {:?}", patience.idle),
            () => format!("the connection was cut: {reason}"),
        },
        None,
    )
}

/// The cause lies at the end of the chain: "connection refused", "certificate verify failed".
fn innermost(e: &dyn std::error::Error) -> String {
    let mut cause = e;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// By which a server can tell whether its file is still the same: a weak `ETag` says nothing about bytes.
fn validator(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    text(header::ETAG).filter(|tag| tag.starts_with('"')).or_else(|| text(header::LAST_MODIFIED))
}

/// First byte, and length of the whole: `bytes 5-9/10`, `bytes 5-9/*`, `bytes */10`.
fn content_range(headers: &HeaderMap) -> Option<(Option<u64>, Option<u64>)> {
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
        assert_eq!(validator(&headers(&[(header::ETAG, "W/\"a\""), (header::LAST_MODIFIED, date)])).as_deref(), Some(date));
        assert_eq!(validator(&headers(&[(header::ETAG, "W/\"a\"")])), None);
    }

    #[test]
    fn pauses_that_servers_ask_for() {
        assert_eq!(retry_after(" 7 "), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Sat, 21 Nov 2020 10:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(retry_after("soon"), None);
    }
}
