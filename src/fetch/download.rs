//! A resumable HTTP download. Each request continues where the previous one ended. Source: RFC 9110
//! (ranges in section 14, `If-Range` in 13.1.5).
use std::time::{Duration, Instant};

use reqwest::{Response, StatusCode, header};

use super::cache::{Note, Slot};
use super::http::{Failed, Http, Retry, content_range, validator};
use super::partial_file::{self, PartialFile, Progress};
use super::{FetchError, SourceUri, TransferContext};
use crate::model::digest::Digest;
use crate::system::disk;

/// Bytes per second below which a connection counts as stalled.
const CRAWL: f64 = 1024.0;
/// Size limit, in bytes, of a file whose length no server states.
const UNTOLD: u64 = 64 << 30;
/// Bytes between two checks of free space; other programs write to the disk too.
const LOOK: u64 = 8 << 20;

pub struct Transfer<'a> {
    pub http: &'a Http<'a>,
    pub url: &'a str,
    pub shown: &'a SourceUri,
    pub wanted: &'a Digest,
    pub slot: &'a Slot,
}

impl Transfer<'_> {
    /// Ends with the file in the cache. After an error nothing is left, except a partial file that
    /// a later build can resume.
    pub async fn run(&self, job: &TransferContext) -> Result<(), FetchError> {
        let mut again = true;
        loop {
            let Whole { got, bytes, pieced } = self.whole(job).await?;
            if got == *self.wanted {
                return self.slot.adopt(self.url, bytes);
            }
            self.slot.drop_all()?;
            if !(pieced && again) {
                return Err(FetchError::Checksum {
                    from: self.shown.to_string(),
                    bytes,
                    got,
                    wanted: self.wanted.clone(),
                });
            }
            again = false;
            job.events.note(format!(
                "{}: what was put together from pieces is not the file; it is downloaded in one",
                self.shown.name()
            ));
        }
    }

    async fn whole(&self, job: &TransferContext) -> Result<Whole, FetchError> {
        let note = self.slot.note().filter(|n| n.url == self.url && n.validator.is_some());
        let part = PartialFile::open(&self.slot.part(), note.is_some(), self.wanted.algorithm)?;
        let mut state =
            State { pieced: part.length() > 0, part, validator: note.and_then(|n| n.validator) };
        if state.part.length() > 0 {
            job.events.note(format!(
                "{}: going on after {} MiB of an earlier build",
                self.shown.name(),
                state.part.length() >> 20
            ));
        }
        let mut tries = Retry::new(self.http.patience, self.shown);
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
                let resumable = matches!(
                    error,
                    FetchError::GaveUp { .. }
                        | FetchError::Deadline { .. }
                        | FetchError::Cancelled(_)
                );
                if resumable && validator.is_some() && length > 0 {
                    job.events.note(format!(
                        "{}: {} MiB are kept for the next build",
                        self.shown.name(),
                        length >> 20
                    ));
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

    /// One request with its whole body.
    async fn attempt(&self, state: &mut State, job: &TransferContext) -> Result<(), Failed> {
        let begin = state.part.length();
        let mut request =
            self.http.client.get(self.url).header(header::ACCEPT_ENCODING, "identity");
        match &state.validator {
            Some(validator) if begin > 0 => {
                request = request
                    .header(header::RANGE, format!("bytes={begin}-"))
                    .header(header::IF_RANGE, validator);
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

    /// Evaluates the response head. Returns the total length, if stated; `None` if the file is
    /// already complete.
    async fn begun(
        &self,
        response: &Response,
        state: &mut State,
    ) -> Result<Option<Option<u64>>, Failed> {
        let begin = state.part.length();
        let headers = response.headers();
        match response.status() {
            StatusCode::PARTIAL_CONTENT => {
                let range = content_range(headers);
                // A tag and a date cannot be compared.
                let tag = |validator: &str| validator.starts_with('"');
                let same = match (&state.validator, validator(headers)) {
                    (Some(known), Some(now)) => *known == now || tag(known) != tag(&now),
                    _ => true,
                };
                match range {
                    Some((Some(first), total)) if first == begin && begin > 0 && same => {
                        Ok(Some(total))
                    }
                    _ => {
                        state.forget().await?;
                        Err(Failed::Again(
                            "the server went on with something else than was begun".into(),
                            Some(Duration::ZERO),
                        ))
                    }
                }
            }
            // Also where a range was asked for: the file has changed, or the server knows no
            // ranges.
            StatusCode::OK => {
                if begin > 0 {
                    state.part.anew().await?;
                }
                state.validator = validator(headers);
                let size = response.content_length();
                self.slot.write(&Note {
                    url: self.url.into(),
                    validator: state.validator.clone(),
                    size,
                })?;
                Ok(Some(size))
            }
            StatusCode::RANGE_NOT_SATISFIABLE if begin > 0 => match content_range(headers) {
                Some((None, Some(total))) if total == begin => Ok(None),
                _ => {
                    state.forget().await?;
                    Err(Failed::Again(
                        "the server has less than was begun".into(),
                        Some(Duration::ZERO),
                    ))
                }
            },
            _ => Err(self.http.refused(response, self.shown)),
        }
    }

    async fn body(
        &self,
        mut response: Response,
        total: Option<u64>,
        state: &mut State,
        job: &TransferContext,
    ) -> Result<(), Failed> {
        let mut progress = Progress::new(job);
        let (mut since, mut came) = (Instant::now(), 0);
        let mut looked = state.part.length();
        loop {
            let chunk =
                job.wait(self.shown, response.chunk()).await?.map_err(|e| self.failed(&e))?;
            let Some(chunk) = chunk else { break };
            came += chunk.len();
            if since.elapsed() >= self.http.patience.idle {
                if (came as f64) < CRAWL * since.elapsed().as_secs_f64() {
                    return Err(Failed::Again(
                        format!("the server stalls: {came} bytes in {:?}", self.http.patience.idle),
                        None,
                    ));
                }
                (since, came) = (Instant::now(), 0);
            }
            state.part.push(chunk).await?;
            let length = state.part.length();
            match total {
                // Not a byte more than was promised gets to the disk's account.
                Some(total) if length > total => break,
                None if length > UNTOLD => {
                    return Err(self
                        .too_large(
                            length,
                            format!("at most {UNTOLD} are taken of what has no length"),
                        )
                        .into());
                }
                _ => {}
            }
            if length - looked >= LOOK {
                looked = length;
                // What comes until the next look, and what waits for the disk.
                let soon = length + LOOK + partial_file::QUEUED;
                self.fits(total.map_or(soon, |total| total.min(soon)), length)?;
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

    /// Whether `total` bytes, of which `have` are here, leave the disk's floor free.
    fn fits(&self, total: u64, have: u64) -> Result<(), FetchError> {
        if total > disk::LARGEST {
            return Err(self.too_large(total, format!("at most {} are taken", disk::LARGEST)));
        }
        match disk::room(&self.slot.part()) {
            Some(room) if total.saturating_sub(have) > room || room == 0 => Err(self.too_large(
                total,
                format!("only {room} more may be written where downloads are kept"),
            )),
            _ => Ok(()),
        }
    }

    fn too_large(&self, bytes: u64, reason: String) -> FetchError {
        FetchError::TooLarge { what: self.shown.to_string(), bytes, reason }
    }

    fn failed(&self, e: &reqwest::Error) -> Failed {
        self.http.transport(e, self.shown)
    }
}

/// A completed download, not yet verified.
struct Whole {
    got: Digest,
    bytes: u64,
    /// Assembled from several responses.
    pieced: bool,
}

struct State {
    part: PartialFile,
    validator: Option<String>,
    pieced: bool,
}

impl State {
    async fn forget(&mut self) -> Result<(), FetchError> {
        self.validator = None;
        self.part.anew().await
    }
}
