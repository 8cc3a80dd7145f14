//! What lies in the cache, and what never goes there: builds share it, and nothing in it is
//! believed unseen.
use super::*;

#[tokio::test]
async fn two_builds_share_one_download() {
    let whole = content(0);
    let served = whole.clone();
    let (go, wait) = mpsc::channel();
    let wait = Mutex::new(wait);
    let server = Server::start(move |r, s| {
        wait.lock().unwrap().recv().unwrap();
        serve(r, s, &served, "\"a\"", usize::MAX);
    });
    let bench = Bench::new();
    let (one, two, stopped) = (bench.build(), bench.build(), bench.build());
    let wanted = sha256(&whole);
    let url = server.url("x");
    let second = async {
        until("the first request", || !server.seen().is_empty()).await;
        two.url(url.clone(), &wanted).await
    };
    // A third, which is stopped while it waits.
    let third = async {
        until("the wait of the second", || two.said("waiting for another build")).await;
        let stop = async {
            until("the wait of the third", || stopped.said("waiting for another build")).await;
            stopped.cancel.signal();
        };
        let (ended, ()) = tokio::join!(stopped.url(url.clone(), &wanted), stop);
        go.send(()).unwrap();
        ended
    };
    let (first, second, third) = tokio::join!(one.url(url.clone(), &wanted), second, third);
    assert!(!is(first, &whole).was_here && is(second, &whole).was_here);
    assert!(matches!(third, Err(FetchError::Cancelled(_))), "{third:?}");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_stopped_build_leaves_a_part_that_the_next_goes_on_with() {
    let whole = content(0);
    let served = whole.clone();
    let server = Server::start(move |r, s| {
        serve(r, s, &served, "\"a\"", if r.number == 0 { 2 * MIB } else { usize::MAX });
        hang(s);
    });
    let bench = Bench::new();
    let wanted = sha256(&whole);
    let build = bench.build();
    let part = bench.path(&wanted, ".part");
    let stop = async {
        until("a first MiB", || part.metadata().is_ok_and(|m| m.len() >= MIB as u64)).await;
        build.cancel.signal();
    };
    let (ended, ()) = tokio::join!(build.url(server.url("x"), &wanted), stop);
    assert!(matches!(ended, Err(FetchError::Cancelled(_))), "{ended:?}");
    assert!(!bench.path(&wanted, "").exists());
    let kept = part.metadata().unwrap().len() as usize;
    is(bench.build().url(server.url("x"), &wanted).await, &whole);
    assert_eq!(starts(&server.seen()), [None, Some(kept)]);
    assert!(!part.exists());
}

/// A build that was killed had no time to say what it wrote, and a machine that lost power may not
/// have written it.
#[tokio::test]
async fn a_part_that_is_not_the_beginning_costs_one_more_download() {
    let whole = content(0);
    let wanted = sha256(&whole);
    let served = whole.clone();
    let server = Server::start(move |r, s| serve(r, s, &served, "\"a\"", usize::MAX));
    let known =
        format!("{{\"url\":\"{}\",\"validator\":\"\\\"a\\\"\",\"size\":null}}", server.url("x"));
    let elsewhere = known.replace("127.0.0.1", "elsewhere");
    let all = whole.len();
    for (length, note, asked) in [
        (MIB, known.as_str(), &[Some(MIB), None][..]),
        (all, &known, &[Some(all), None]),
        (MIB, &elsewhere, &[None]),
        (MIB, "cut o", &[None]),
    ] {
        let bench = Bench::new_with_cache();
        let before = server.seen().len();
        std::fs::write(bench.path(&wanted, ".part"), vec![0; length]).unwrap();
        std::fs::write(bench.path(&wanted, ".json"), note).unwrap();
        is(bench.build().url(server.url("x"), &wanted).await, &whole);
        assert_eq!(starts(&server.seen()[before..]), asked, "{note}");
    }
}

#[tokio::test]
async fn a_damaged_file_in_the_cache_is_got_again() {
    let whole = content(0);
    let wanted = sha256(&whole);
    let served = whole.clone();
    let server = Server::start(move |r, s| serve(r, s, &served, "\"a\"", usize::MAX));
    let bench = Bench::new();
    let url = || server.url("x");
    let file = is(bench.build().url(url(), &wanted).await, &whole).file;
    std::fs::write(&file, &whole[..MIB]).unwrap();
    let build = bench.build();
    assert!(!is(build.url(url(), &wanted).await, &whole).was_here && build.said("is damaged"));
    // What is known of it is lost; it is read through, and found to be right.
    std::fs::remove_file(bench.path(&wanted, ".json")).unwrap();
    assert!(is(bench.build().url(url(), &wanted).await, &whole).was_here);
}

#[tokio::test]
async fn a_list_tells_the_checksum() {
    let whole = content(0);
    let (served, right) = (whole.clone(), sha256(&whole).hex);
    let server = Server::start(move |r, s| {
        let text = match r.path.as_str() {
            "/SHA256SUMS" => format!("{} *other.img\n{right} *x.img\n", sha256(b"").hex),
            "/wrong/SHA256SUMS" => format!("{} *x.img\n{right} *y.img\n", sha256(b"").hex),
            "/lacking/SHA256SUMS" => format!("{right} *x.imh\n{right} *y\n"),
            "/page" => "<html>".into(),
            "/gone" => return say(s, "404 Not Found\r\nContent-Length: 0", b""),
            _ => return serve(r, s, &served, "\"a\"", usize::MAX),
        };
        say(s, &format!("200 OK\r\nContent-Length: {}", text.len()), text.as_bytes());
    });
    let bench = Bench::new_with_cache();
    let wish = |list: &str| Download {
        from: SourceUri::Url(server.url("x.img")),
        sum: Some(ChecksumSource::List(SourceUri::Url(server.url(list)))),
    };
    for (list, why) in [
        ("wrong/SHA256SUMS", "is not what it should be"),
        ("lacking/SHA256SUMS", "lacking/SHA256SUMS: `x.img` is not in it; `x.imh` is"),
        ("page", "there are no checksums in it"),
        ("gone", "the server says 404"),
    ] {
        fails(&bench, bench.build().get(&wish(list)).await, why);
    }
    let got = is(bench.build().get(&wish("SHA256SUMS")).await, &whole);
    assert_eq!(got.digest, Some(sha256(&whole)));
}

#[tokio::test]
async fn files_of_this_machine_are_hashed_where_they_lie() {
    let bench = Bench::new_with_cache();
    let file: &Path = &bench.dir.path().join("disk.img");
    let whole = content(0);
    std::fs::write(file, &whole).unwrap();
    let wish = |sum| Download { from: SourceUri::File(file.into()), sum };
    assert_eq!(is(bench.build().get(&wish(None)).await, &whole).digest, None);
    let got =
        is(bench.build().get(&wish(Some(ChecksumSource::Given(sha256(&whole))))).await, &whole);
    assert!(got.file == file && got.was_here);
    fails(
        &bench,
        bench.build().get(&wish(Some(ChecksumSource::Given(sha256(b""))))).await,
        "disk.img is not what it should be",
    );
    std::fs::write(bench.dir.path().join("SUMS"), format!("{}  disk.img\n", sha256(&whole).hex))
        .unwrap();
    let list = ChecksumSource::List(SourceUri::File(bench.dir.path().join("SUMS")));
    is(bench.build().get(&wish(Some(list))).await, &whole);
    assert!(file.exists() && bench.listing().is_empty());
}
