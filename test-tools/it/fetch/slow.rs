//! Servers that stall, crawl or never answer.
use super::*;

/// Sends nothing after the first MiB of the first answer.
fn stalls_once(whole: &[u8]) -> Server {
    let whole = whole.to_vec();
    Server::start(move |r, s| {
        serve(r, s, &whole, "\"a\"", if r.number == 0 { MIB } else { usize::MAX });
        hang(s);
    })
}

#[tokio::test]
async fn a_stall_is_noticed_and_the_next_connection_goes_on() {
    let whole = content(0);
    let server = stalls_once(&whole);
    let bench = Bench::new();
    let build = bench.patient(STALL);
    is(build.url(server.url("x"), &sha256(&whole)).await, &whole);
    assert!(build.said("the server stalls: nothing came for 400ms"));
    assert_eq!(starts(&server.seen()), [None, Some(MIB)]);
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let server = Server::start(|_, s| hang(s));
    let bench = Bench::new();
    fails(
        &bench,
        bench.patient(STALL).url(server.url("x"), &sha256(b"")).await,
        "the server stalls",
    );
    assert_eq!(server.seen().len(), 4);
}

/// A byte now and then is a stall, too.
#[tokio::test]
async fn a_server_that_crawls_is_given_up() {
    let server = Server::start(|_, s| {
        use std::io::Write;
        say(s, "200 OK\r\nContent-Length: 1000000", b"");
        let (_wait, never) = mpsc::channel::<()>();
        while s.write_all(b"x").is_ok() {
            let _ = never.recv_timeout(Duration::from_millis(50));
        }
    });
    let bench = Bench::new();
    fails(
        &bench,
        bench.patient(STALL).url(server.url("x"), &sha256(b"")).await,
        "the server stalls",
    );
}

#[tokio::test]
async fn the_deadline_ends_it_and_what_came_is_kept() {
    let whole = content(0);
    let server = stalls_once(&whole);
    let bench = Bench::new();
    let build = Build { deadline: Duration::from_millis(1500), ..bench.build() };
    let error = build.url(server.url("x"), &sha256(&whole)).await.unwrap_err();
    assert!(matches!(error, FetchError::Deadline { .. }), "{error}");
    assert!(build.said("1 MiB are kept for the next build"));
    let again = bench.build();
    is(again.url(server.url("x"), &sha256(&whole)).await, &whole);
    assert!(again.said("going on after 1 MiB"));
    assert_eq!(starts(&server.seen()), [None, Some(MIB)]);
}
