//! Fetches images and verifies their checksums.
//!
//! A [`Download`] names sources and a checksum. [`Fetch::get`] looks the checksum up in a
//! publisher's list if needed ([`checksum_list`]), consults the [`cache`], and downloads a missing
//! file ([`download`], over [`http`]), writing and hashing it on the way ([`partial_file`]).
//! [`unpack`] decompresses. Local files are hashed in place.
//!
//! The cache is a directory of files named by their checksum (`sha256-3a52…`), shared by all builds
//! of a home. A file gets that name only once it is complete and verified. The cache may be emptied
//! whenever no build runs.
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::model::digest::{Algorithm, Digest};
use crate::model::event::Events;
use crate::model::source::{ChecksumSource, Download};
use crate::model::source_uri::SourceUri;
use crate::system::cancel::{Cancel, Cancelled};
use crate::system::http::{PROXY_HINT, Proxies, ProxyError, THROUGH};

mod cache;
mod download;
mod http;
mod partial_file;
mod checksum_list;
pub mod unpack;

pub use checksum_list::{SumsError, find as find_sum};

/// Timeouts and retries.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    pub connect: Duration,
    /// A connection is dropped after this long without a byte, or below 1 KiB/s.
    pub idle: Duration,
    /// Maximum consecutive attempts without progress.
    pub tries: u32,
    /// Pause before the second attempt; doubles for each further one.
    pub pause: Duration,
    /// Longest pause, also if the server requests more.
    pub longest: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            connect: seconds(15),
            idle: seconds(30),
            tries: 6,
            pause: seconds(1),
            longest: seconds(60),
        }
    }
}

impl RetryPolicy {
    /// For a question that somebody waits for.
    pub fn brief() -> Self {
        Self { connect: Duration::from_secs(10), tries: 2, ..Self::default() }
    }
}

/// Context of transfers and file work: cancellation, deadline, events.
#[derive(Clone)]
pub struct TransferContext {
    pub events: Events,
    pub cancel: Cancel,
    until: Instant,
    deadline: Duration,
}

impl TransferContext {
    pub fn new(events: &Events, cancel: &Cancel, deadline: Duration) -> Self {
        Self {
            events: events.clone(),
            cancel: cancel.clone(),
            until: Instant::now() + deadline,
            deadline,
        }
    }

    /// Waits for `work`, until cancellation or the deadline. `work` must be safe to drop.
    async fn wait<T>(
        &self,
        what: impl std::fmt::Display,
        work: impl Future<Output = T>,
    ) -> Result<T, FetchError> {
        match self.cancel.or(tokio::time::timeout_at(self.until.into(), work)).await? {
            Ok(done) => Ok(done),
            Err(_) => Err(FetchError::Deadline { what: what.to_string(), after: self.deadline }),
        }
    }

    /// The same check for blocking work, to be called between two chunks.
    fn check(&self, what: impl std::fmt::Display) -> Result<(), FetchError> {
        self.cancel.check()?;
        match Instant::now() < self.until {
            true => Ok(()),
            false => Err(FetchError::Deadline { what: what.to_string(), after: self.deadline }),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The server refused permanently.
    #[error("{url}: the server says {status}")]
    Refused { url: String, status: u16 },
    #[error("{url}: {reason} ({tries} attempts in a row brought nothing new)")]
    GaveUp { url: String, tries: u32, reason: String },
    /// The request is impossible: a redirect that is broken, circular, or from https to http.
    #[error("{url}: {reason}")]
    Unusable { url: String, reason: String },
    #[error(
        "{from} is not what it should be: the {bytes} bytes that came have {got}, wanted is \
            {wanted}"
    )]
    Checksum { from: String, bytes: u64, got: Digest, wanted: Digest },
    #[error("checksum list {list}: {source}")]
    Sums { list: String, source: SumsError },
    #[error("{what} is too large: {bytes} bytes, and {reason}")]
    TooLarge { what: String, bytes: u64, reason: String },
    /// The partial file has been removed.
    #[error("the disk is full: cannot write {path}")]
    Full { path: PathBuf },
    #[error("cannot {doing} {path}: {source}")]
    Io { doing: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{what}: cannot be unpacked: {reason}")]
    Packed { what: String, reason: String },
    #[error("{what}: not done after {after:?}")]
    Deadline { what: String, after: Duration },
    #[error("no connection can be set up: {0}")]
    Client(String),
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl FetchError {
    /// Converts an I/O error in `map_err`; reports a full disk as such.
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                Self::Full { path }
            }
            _ => Self::Io { doing, path, source },
        }
    }

    /// Hint for the user.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Refused { status: 404 | 410, .. } => {
                "publishers remove old images: look for the address of a newer one"
            }
            Self::Refused { status: 401 | 403, .. } => {
                "what needs a login is to be fetched beforehand: name the file by its path"
            }
            Self::GaveUp { reason, .. } | Self::Unusable { reason, .. }
                if reason.contains(THROUGH) =>
            {
                PROXY_HINT
            }
            Self::GaveUp { reason, .. } if reason.starts_with("no connection") => {
                "are the address, the network and the proxy (HTTPS_PROXY, NO_PROXY) as they should \
                    be?"
            }
            Self::GaveUp { .. } | Self::Deadline { .. } => {
                "the next build goes on where this one ended, if the server allows it"
            }
            Self::Checksum { .. } => {
                "an image that changes under its address (`latest`) needs `checksum_url`; \
                    otherwise somebody changed it, or the connection did"
            }
            Self::Proxy(error) => error.hint(),
            Self::Full { .. } | Self::TooLarge { .. } => {
                "free some space, or set IMAGE_FACTORY_HOME to a larger disk"
            }
            _ => return None,
        })
    }
}

/// Fetches files for all builds of a home.
pub struct Fetch {
    cache: PathBuf,
    patience: RetryPolicy,
    proxies: Proxies,
}

/// A fetched file, and its checksum if one was compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// In the cache or at its original place; must not be changed.
    pub file: PathBuf,
    pub digest: Option<Digest>,
    /// Nothing was downloaded.
    pub was_here: bool,
}

impl Fetch {
    /// `cache` is `<home>/cache/downloads`, created on demand. Does not connect.
    pub fn new(cache: &Path, patience: RetryPolicy, proxies: &Proxies) -> Self {
        Self { cache: cache.into(), patience, proxies: proxies.clone() }
    }

    pub async fn get(
        &self,
        download: &Download,
        job: &TransferContext,
    ) -> Result<Fetched, FetchError> {
        let wanted = match &download.sum {
            None => None,
            Some(ChecksumSource::Given(digest)) => Some(digest.clone()),
            Some(ChecksumSource::List(list)) => Some(self.listed(&download.from, list, job).await?),
        };
        match (&download.from, wanted) {
            (SourceUri::File(path), None) => {
                Ok(Fetched { file: path.clone(), digest: None, was_here: true })
            }
            (SourceUri::File(path), Some(wanted)) => {
                job.events.doing(format!("taking the checksum of {}", path.display()));
                partial_file::verify(path, &wanted, job).await?;
                Ok(Fetched { file: path.clone(), digest: Some(wanted), was_here: true })
            }
            (SourceUri::Url(url), Some(wanted)) => {
                self.through_cache(url, &download.from, wanted, job).await
            }
            (SourceUri::Url(_), None) => Err(FetchError::Unusable {
                url: download.from.to_string(),
                reason: "it has no checksum".into(),
            }),
        }
    }

    /// Checksum that the file should have now: the definition's, the publisher's, or a local file's
    /// own. Downloads a list at most.
    pub async fn digest(
        &self,
        download: &Download,
        job: &TransferContext,
    ) -> Result<Digest, FetchError> {
        match (&download.sum, &download.from) {
            (Some(ChecksumSource::Given(digest)), _) => Ok(digest.clone()),
            (Some(ChecksumSource::List(list)), from) => self.listed(from, list, job).await,
            (None, SourceUri::File(path)) => {
                job.events.doing(format!("taking the checksum of {}", path.display()));
                Ok(partial_file::hash(path, Algorithm::Sha512, job).await?.0)
            }
            (None, SourceUri::Url(_)) => Err(FetchError::Unusable {
                url: download.from.to_string(),
                reason: "it has no checksum".into(),
            }),
        }
    }

    async fn through_cache(
        &self,
        url: &str,
        shown: &SourceUri,
        wanted: Digest,
        job: &TransferContext,
    ) -> Result<Fetched, FetchError> {
        let slot = cache::Slot::take(&self.cache, &wanted, job).await?;
        if slot.holds(job).await? {
            job.events.note(format!(
                "{} is in the cache: {}",
                shown.name(),
                slot.whole().display()
            ));
            return Ok(Fetched { file: slot.whole(), digest: Some(wanted), was_here: true });
        }
        job.events.doing(format!("downloading {shown}"));
        let http = http::Http::new(&self.patience, &self.proxies)?;
        download::Transfer { http: &http, url, shown, wanted: &wanted, slot: &slot }
            .run(job)
            .await?;
        Ok(Fetched { file: slot.whole(), digest: Some(wanted), was_here: false })
    }

    /// Looks up the file's checksum in a publisher's list.
    async fn listed(
        &self,
        of: &SourceUri,
        list: &SourceUri,
        job: &TransferContext,
    ) -> Result<Digest, FetchError> {
        job.events.doing(format!("looking {} up in {list}", of.name()));
        let text = match list {
            SourceUri::Url(url) => {
                http::Http::new(&self.patience, &self.proxies)?.text(url, list, job).await?
            }
            SourceUri::File(path) => read_list(path)?,
        };
        let found = checksum_list::find(&String::from_utf8_lossy(&text), &of.name(), &list.name());
        found.map_err(|source| FetchError::Sums { list: list.to_string(), source })
    }
}

/// Reads a local list: a regular file of bounded length.
fn read_list(path: &Path) -> Result<Vec<u8>, FetchError> {
    use std::io::Read;
    use std::os::unix::fs::OpenOptionsExt;
    let open = || {
        // A pipe that nobody writes to is not waited for.
        let file = std::fs::File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
        match file.metadata()?.is_file() {
            true => Ok(file),
            false => Err(std::io::Error::other("it is no plain file")),
        }
    };
    let mut text = Vec::new();
    let file = open().map_err(FetchError::io("read", path))?;
    file.take(http::LONGEST_LIST as u64 + 1)
        .read_to_end(&mut text)
        .map_err(FetchError::io("read", path))?;
    match text.len() {
        0..=http::LONGEST_LIST => Ok(text),
        bytes => {
            let reason = "a list of checksums is shorter".into();
            Err(FetchError::TooLarge {
                what: path.display().to_string(),
                bytes: bytes as u64,
                reason,
            })
        }
    }
}
