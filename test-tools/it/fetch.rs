//! Downloads from servers that cut, stall, lie, change their minds and are busy: each ends with the
//! right file or with an error that names what happened, and never with a wrong file in the cache.
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use image_factory::testing::cancel::Cancel;
use image_factory::testing::digest::{Algorithm, Digest, Hasher};
use image_factory::testing::event::{Event, Events, Sink, Stamped};
use image_factory::testing::fetch::{
    ChecksumSource, Download, Fetch, FetchError, Fetched, RetryPolicy, SourceUri, TransferContext,
};
use image_factory::testing::http::Proxies;

use super::http::{Request, Server, hang, say, serve};

mod slow;

mod cache;
mod full;

const MIB: usize = 1 << 20;
/// For servers that are silent on purpose; a busy machine is silent now and then.
const STALL: Duration = Duration::from_millis(400);

fn content(seed: u32) -> Vec<u8> {
    (0..(3 * MIB as u32 + 17))
        .map(|n| (n.wrapping_mul(0x9e37_79b9) >> 24) as u8 ^ seed as u8)
        .collect()
}

fn digest(algorithm: Algorithm, bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(bytes);
    hasher.finish()
}

fn sha256(bytes: &[u8]) -> Digest {
    digest(Algorithm::Sha256, bytes)
}

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Event>>>);

impl Sink for Seen {
    fn take(&mut self, event: &Stamped) {
        self.0.lock().unwrap().push(event.event.clone());
    }
}

/// One build's view of a cache.
struct Build {
    fetch: Fetch,
    cancel: Cancel,
    seen: Seen,
    deadline: Duration,
}

struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// With the cache's directory made, for what is to lie in it.
    fn new_with_cache() -> Self {
        let bench = Self::new();
        std::fs::create_dir_all(bench.cache()).unwrap();
        bench
    }

    fn cache(&self) -> PathBuf {
        self.dir.path().join("cache/downloads")
    }

    fn build(&self) -> Build {
        self.patient(Duration::from_secs(20))
    }

    /// One that bears with silence for so long.
    fn patient(&self, idle: Duration) -> Build {
        let ms = Duration::from_millis;
        let patience =
            RetryPolicy { connect: ms(2000), idle, tries: 4, pause: ms(2), longest: ms(50) };
        let fetch = Fetch::new(&self.cache(), patience, &Proxies::default());
        Build {
            fetch,
            cancel: Cancel::default(),
            seen: Seen::default(),
            deadline: Duration::from_secs(60),
        }
    }

    /// What is in the cache, locks left out.
    fn listing(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.cache())
            .unwrap()
            .flatten()
            .map(|e| e.file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|n| !n.ends_with(".lock")).collect();
        names.sort();
        names
    }

    fn path(&self, wanted: &Digest, end: &str) -> PathBuf {
        self.cache().join(format!("{}-{}{end}", wanted.algorithm.name(), wanted.hex))
    }
}

impl Build {
    async fn get(&self, wish: &Download) -> Result<Fetched, FetchError> {
        let events = Events::default();
        events.add(Box::new(self.seen.clone()));
        self.fetch.get(wish, &TransferContext::new(&events, &self.cancel, self.deadline)).await
    }

    async fn url(&self, url: String, wanted: &Digest) -> Result<Fetched, FetchError> {
        self.get(&Download {
            from: SourceUri::Url(url),
            sum: Some(ChecksumSource::Given(wanted.clone())),
        })
        .await
    }

    fn said(&self, text: &str) -> bool {
        let of = |e: &Event| match e {
            Event::Note { text } | Event::Doing { what: text } | Event::Warning { text } => {
                text.clone()
            }
            _ => String::new(),
        };
        self.seen.0.lock().unwrap().iter().any(|e| of(e).contains(text))
    }
}

#[track_caller]
fn is(got: Result<Fetched, FetchError>, content: &[u8]) -> Fetched {
    let got = got.unwrap_or_else(|e| panic!("{e}"));
    assert!(
        std::fs::read(&got.file).unwrap() == content,
        "{} has another content",
        got.file.display()
    );
    got
}

/// An error with this in it, and nothing in the cache.
#[track_caller]
fn fails(bench: &Bench, got: Result<Fetched, FetchError>, text: &str) -> FetchError {
    let error = got.expect_err(text);
    assert!(error.to_string().contains(text), "`{text}` is not in: {error}");
    assert_eq!(bench.listing(), [] as [&str; 0], "{error}");
    error
}

/// Waits for something that happens on another thread.
async fn until(what: &str, done: impl Fn() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < Duration::from_secs(30), "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn starts(seen: &[Request]) -> Vec<Option<usize>> {
    seen.iter().map(|r| r.from).collect()
}

#[tokio::test]
async fn what_is_downloaded_once_is_there() {
    let whole = content(0);
    let served = whole.clone();
    let server = Server::start(move |r, s| serve(r, s, &served, "\"a\"", usize::MAX));
    let bench = Bench::new();
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let wanted = digest(algorithm, &whole);
        let build = bench.build();
        assert!(!is(build.url(server.url("x.qcow2"), &wanted).await, &whole).was_here);
        let done = build
            .seen
            .0
            .lock()
            .unwrap()
            .iter()
            .rev()
            .find(|e| matches!(e, Event::Progress { .. }))
            .cloned();
        let all = whole.len() as u64;
        assert_eq!(done, Some(Event::Progress { done: all, of: all, unit: "bytes".into() }));
        let again = bench.build();
        let got = is(again.url(server.url("elsewhere/x.qcow2"), &wanted).await, &whole);
        assert!(
            got.was_here && got.file == bench.path(&wanted, "") && again.said("is in the cache")
        );
    }
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_server_that_cuts_is_asked_for_the_rest() {
    let whole = content(0);
    let served = whole.clone();
    let server = Server::start(move |r, s| serve(r, s, &served, "\"a\"", MIB));
    let bench = Bench::new();
    is(bench.build().url(server.url("x"), &sha256(&whole)).await, &whole);
    assert_eq!(starts(&server.seen()), [None, Some(MIB), Some(2 * MIB), Some(3 * MIB)]);
}

#[tokio::test]
async fn a_server_that_knows_no_ranges_begins_again() {
    let whole = content(0);
    let served = whole.clone();
    let server = Server::start(move |r, s| {
        let most = if r.number == 0 { MIB } else { usize::MAX };
        serve(&Request { from: None, ..r.clone() }, s, &served, "\"a\"", most);
    });
    let bench = Bench::new();
    is(bench.build().url(server.url("x"), &sha256(&whole)).await, &whole);
    assert_eq!(starts(&server.seen()), [None, Some(MIB)]);
}

/// Without a validator nothing tells whether the rest would be of the same file.
#[tokio::test]
async fn without_a_validator_it_begins_again_and_keeps_nothing() {
    let whole = content(0);
    let served = whole.clone();
    let server = Server::start(move |r, s| {
        let most = if r.number == 4 { served.len() } else { MIB };
        say(
            s,
            &format!("200 OK\r\nETag: W/\"a\"\r\nContent-Length: {}", served.len()),
            &served[..most],
        );
    });
    let bench = Bench::new();
    let error = fails(
        &bench,
        bench.build().url(server.url("x"), &sha256(&whole)).await,
        "the connection was cut",
    );
    assert!(error.to_string().contains("4 attempts in a row"), "{error}");
    is(bench.build().url(server.url("x"), &sha256(&whole)).await, &whole);
    assert_eq!(starts(&server.seen()), [None; 5]);
}

#[tokio::test]
async fn a_length_that_is_too_long_is_named_or_got_over() {
    let whole = content(0);
    let lie = |content: Vec<u8>, ranges: bool| {
        Server::start(move |r, s| match r.from {
            Some(_) if ranges => serve(r, s, &content, "\"a\"", usize::MAX),
            _ => say(
                s,
                &format!("200 OK\r\nETag: \"a\"\r\nContent-Length: {}", content.len() + 1000),
                &content,
            ),
        })
    };
    let bench = Bench::new();
    let server = lie(whole.clone(), false);
    let error = bench.build().url(server.url("x"), &sha256(&whole)).await.unwrap_err();
    assert!(error.to_string().contains("the connection was cut"), "{error}");
    assert!(!bench.path(&sha256(&whole), "").exists(), "it was never said to be whole");
    // Asked for the rest, this one says that there is none; and all that came is what it should be.
    let server = lie(whole.clone(), true);
    is(bench.build().url(server.url("x"), &sha256(&whole)).await, &whole);
}

#[tokio::test]
async fn a_length_that_is_too_short_is_a_wrong_checksum() {
    let whole = content(0);
    let served = whole.clone();
    let server =
        Server::start(move |_, s| say(s, &format!("200 OK\r\nContent-Length: {MIB}"), &served));
    let bench = Bench::new();
    fails(
        &bench,
        bench.build().url(server.url("x"), &sha256(&whole)).await,
        "the 1048576 bytes that came have sha256:",
    );
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_wrong_checksum_names_both_and_leaves_nothing() {
    let whole = content(0);
    let (wanted, got) = (sha256(b"other"), sha256(&whole));
    let server = Server::start(move |r, s| serve(r, s, &whole, "\"a\"", usize::MAX));
    let bench = Bench::new();
    let error = fails(
        &bench,
        bench.build().url(server.url("x"), &wanted).await,
        &format!("{got}, wanted is {wanted}"),
    );
    assert!(error.to_string().contains(&server.url("x")), "{error}");
    assert_eq!(server.seen().len(), 1, "a wrong file is not asked for again");
}

/// The file was replaced while it was downloaded. The new one counts, from its beginning.
#[tokio::test]
async fn a_file_that_changes_is_begun_again() {
    let (old, new) = (content(1), content(2));
    let wanted = sha256(&new);
    let (served, after) = (old.clone(), new.clone());
    let server = Server::start(move |r, s| match r.number {
        0 => serve(r, s, &served, "\"old\"", MIB),
        _ => serve(r, s, &after, "\"new\"", usize::MAX),
    });
    let bench = Bench::new();
    is(bench.build().url(server.url("x"), &wanted).await, &new);
    assert_eq!(server.seen()[1].if_range.as_deref(), Some("\"old\""));

    let (served, after) = (old.clone(), new.clone());
    let server = Server::start(move |r, s| match r.number {
        0 => serve(r, s, &served, "\"old\"", MIB),
        _ => serve(r, s, &after, "\"new\"", usize::MAX),
    });
    let bench = Bench::new();
    fails(
        &bench,
        bench.build().url(server.url("x"), &sha256(&old)).await,
        "is not what it should be",
    );
}

/// This one goes on with the new file where the old one ended, and says so only in its ETag, or not
/// at all.
#[tokio::test]
async fn pieces_of_two_files_are_never_one() {
    for tag in ["ETag: \"new\"\r\n", ""] {
        let (old, new) = (content(1), content(2));
        let wanted = sha256(&new);
        let served = new.clone();
        let server = Server::start(move |r, s| match r.from {
            None if r.number == 0 => serve(r, s, &old, "\"old\"", MIB),
            None => serve(r, s, &served, "\"new\"", usize::MAX),
            Some(from) => {
                let (of, rest) = (served.len(), &served[from..]);
                let head = format!(
                    "206 Partial Content\r\n{tag}Content-Range: bytes \
                        {from}-{}/{of}\r\nContent-Length: {}",
                    of - 1,
                    rest.len()
                );
                say(s, &head, rest);
            }
        });
        let bench = Bench::new();
        is(bench.build().url(server.url("x"), &wanted).await, &new);
        assert_eq!(starts(&server.seen()), [None, Some(MIB), None], "{tag}");
    }
}

#[tokio::test]
async fn a_busy_server_is_asked_again() {
    let whole = content(0);
    let served = whole.clone();
    let server = Server::start(move |r, s| match r.number {
        0 => say(s, "503 Service Unavailable\r\nRetry-After: 1000\r\nContent-Length: 0", b""),
        1 => say(s, "429 Too Many Requests\r\nContent-Length: 0", b""),
        2 => {}
        _ => serve(r, s, &served, "\"a\"", usize::MAX),
    });
    let bench = Bench::new();
    let build = bench.build();
    is(build.url(server.url("x"), &sha256(&whole)).await, &whole);
    assert!(build.said("the server says 503; trying again") && build.said("the server says 429"));

    let server = Server::start(|_, s| say(s, "500 Oops\r\nContent-Length: 0", b""));
    let bench = Bench::new();
    fails(
        &bench,
        bench.build().url(server.url("x"), &sha256(b"")).await,
        "the server says 500 (4 attempts",
    );
}

#[tokio::test]
async fn what_is_not_there_is_told_at_once() {
    let server = Server::start(|_, s| say(s, "404 Not Found\r\nContent-Length: 0", b""));
    let bench = Bench::new();
    let error = fails(
        &bench,
        bench.build().url(server.url("x"), &sha256(b"")).await,
        "the server says 404",
    );
    assert_eq!((server.seen().len(), error.hint().is_some()), (1, true));
    // Nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    fails(
        &bench,
        bench.build().url(format!("http://127.0.0.1:{port}/x"), &sha256(b"")).await,
        "no connection: ",
    );
}

#[tokio::test]
async fn redirects_are_followed_but_not_for_ever() {
    let whole = content(0);
    let served = whole.clone();
    let server = Server::start(move |r, s| match r.path.as_str() {
        "/x" => say(s, "302 Found\r\nLocation: /pool/y\r\nContent-Length: 0", b""),
        "/circle" => say(s, "302 Found\r\nLocation: /circle\r\nContent-Length: 0", b""),
        _ => serve(r, s, &served, "\"a\"", MIB),
    });
    let bench = Bench::new();
    fails(
        &bench,
        bench.build().url(server.url("circle"), &sha256(&whole)).await,
        "it redirects too often",
    );
    is(bench.build().url(server.url("x"), &sha256(&whole)).await, &whole);
}

#[tokio::test]
async fn a_file_that_no_disk_holds_is_refused_before_it_comes() {
    let server = Server::start(|_, s| {
        say(s, &format!("200 OK\r\nETag: \"a\"\r\nContent-Length: {}", 1u64 << 60), b"begin");
        hang(s);
    });
    let bench = Bench::new();
    let error = fails(
        &bench,
        bench.build().url(server.url("x"), &sha256(b"")).await,
        "is too large: 1152921504606846976 bytes",
    );
    assert!(matches!(error, FetchError::TooLarge { .. }));
}

/// /dev/full is a disk that is.
#[tokio::test]
async fn a_full_disk_is_told_and_nothing_is_kept() {
    let whole = content(0);
    let wanted = sha256(&whole);
    let served = whole.clone();
    let server = Server::start(move |r, s| serve(r, s, &served, "\"a\"", usize::MAX));
    let bench = Bench::new_with_cache();
    std::os::unix::fs::symlink("/dev/full", bench.path(&wanted, ".part")).unwrap();
    let error = fails(
        &bench,
        bench.build().url(server.url("x"), &wanted).await,
        "the disk is full: cannot write",
    );
    assert!(matches!(error, FetchError::Full { .. }) && error.hint().is_some(), "{error:?}");
    is(bench.build().url(server.url("x"), &wanted).await, &whole);
}
