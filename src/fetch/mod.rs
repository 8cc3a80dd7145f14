//! Gets an image from elsewhere, and hands it over only if it is what it should be.
//!
//! A [`Download`] says from where and what checksum. [`Fetch::get`] finds the checksum in a
//! publisher's list if need be ([`sums`]), looks into the [`cache`], and downloads what is not
//! there ([`download`], over [`http`]), written and hashed by [`part`] on the way. [`unpack`] opens
//! what is compressed. Files of this machine are hashed where they lie.
//!
//! The cache is a directory of files named by their checksum (`sha256-3a52…`), shared by all builds
//! of a home. A file has that name only when it was read to its end and has that checksum. It may
//! be emptied at any time when no build runs.
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use reqwest::Url;
use serde::{Deserialize, Serialize};

use crate::cancel::{Cancel, Cancelled};
use crate::digest::Digest;
use crate::event::Events;
use crate::http::{PROXY_HINT, Proxies, ProxyError, THROUGH};

mod cache;
mod download;
mod http;
mod partial_file;
mod source_uri;
mod checksum_list;
pub mod unpack;

pub use checksum_list::{SumsError, find as find_sum};
pub use source_uri::SourceUri;

/// What is to be got, and how it is known to be right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Download {
    pub from: SourceUri,
    /// Of the file as it is served, before it is unpacked.
    pub sum: Option<ChecksumSource>,
}

impl Download {
    /// What is asked for over the network, in this order.
    pub fn urls(&self) -> Vec<Url> {
        let list = match &self.sum {
            Some(ChecksumSource::List(place)) => Some(place),
            _ => None,
        };
        let named = list.into_iter().chain([&self.from]);
        named
            .filter_map(
                |place| if let SourceUri::Url(url) = place { Url::parse(url).ok() } else { None },
            )
            .collect()
    }

    /// Files of this machine that are read for it.
    pub fn files(&self) -> Vec<&Path> {
        let list = match &self.sum {
            Some(ChecksumSource::List(place)) => Some(place),
            _ => None,
        };
        let named = [Some(&self.from), list].into_iter().flatten();
        named
            .filter_map(
                |place| if let SourceUri::File(path) = place { Some(path.as_path()) } else { None },
            )
            .collect()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChecksumSource {
    Given(Digest),
    /// A list of the publisher's, in which the file is looked up by the last part of its URL.
    List(SourceUri),
}

/// How long a server is borne with.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    pub connect: Duration,
    /// Without a byte, or with less than 1 KiB a second for so long, a connection is given up.
    pub idle: Duration,
    /// Attempts in a row that bring nothing new.
    pub tries: u32,
    /// Before the second attempt; doubled for each further one.
    pub pause: Duration,
    /// Longest pause, and the longest that a server may ask for.
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

/// What work on files and connections needs besides its subject.
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

    /// Waits for `work`, which must be safe to drop, as long as the run and the deadline allow.
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

    /// The same question for work on a thread of its own, to be asked between two chunks.
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
    /// The server said no, and will say no again.
    #[error("{url}: the server says {status}")]
    Refused { url: String, status: u16 },
    #[error("{url}: {reason} ({tries} attempts in a row brought nothing new)")]
    GaveUp { url: String, tries: u32, reason: String },
    /// It cannot be asked for at all: a redirect to nowhere, from https to http, in a circle.
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
    /// What was written so far has been removed.
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
    /// For `map_err`. A full disk is told as such.
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                Self::Full { path }
            }
            _ => Self::Io { doing, path, source },
        }
    }

    /// What a person can do about it.
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
            Self::Proxy(wrong) => wrong.hint(),
            Self::Full { .. } | Self::TooLarge { .. } => {
                "free some space, or set IMAGE_FACTORY_HOME to a larger disk"
            }
            _ => return None,
        })
    }
}

/// Fetches for all builds of a home.
pub struct Fetch {
    cache: PathBuf,
    patience: RetryPolicy,
    proxies: Proxies,
}

/// Where a file is that was wished for, and its checksum if there was one to compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// In the cache or where it always was: not to be changed.
    pub file: PathBuf,
    pub digest: Option<Digest>,
    /// No byte of it was downloaded.
    pub was_here: bool,
}

impl Fetch {
    /// `cache`: `<home>/cache/downloads`; made when it is needed. Connects to nothing.
    pub fn new(cache: &Path, patience: RetryPolicy, proxies: &Proxies) -> Self {
        Self { cache: cache.into(), patience, proxies: proxies.clone() }
    }

    pub async fn get(&self, wish: &Download, job: &TransferContext) -> Result<Fetched, FetchError> {
        let wanted = match &wish.sum {
            None => None,
            Some(ChecksumSource::Given(digest)) => Some(digest.clone()),
            Some(ChecksumSource::List(list)) => Some(self.listed(&wish.from, list, job).await?),
        };
        match (&wish.from, wanted) {
            (SourceUri::File(path), None) => {
                Ok(Fetched { file: path.clone(), digest: None, was_here: true })
            }
            (SourceUri::File(path), Some(wanted)) => {
                job.events.doing(format!("taking the checksum of {}", path.display()));
                partial_file::verify(path, &wanted, job).await?;
                Ok(Fetched { file: path.clone(), digest: Some(wanted), was_here: true })
            }
            (SourceUri::Url(url), Some(wanted)) => {
                self.through_cache(url, &wish.from, wanted, job).await
            }
            (SourceUri::Url(_), None) => Err(FetchError::Unusable {
                url: wish.from.to_string(),
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

    /// The checksum of a file in a publisher's list.
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

/// A list that lies on this machine: a plain file, and no longer than a list is.
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
