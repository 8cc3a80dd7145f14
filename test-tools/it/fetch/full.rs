//! Downloads and the disk they are written to: what has no length, what lies about it, and others
//! that write meanwhile.
use std::io::Write;
use std::net::TcpStream;

use super::super::small_disk::on_small_disk;
use super::*;

/// Sends zeros until the other side has had enough; returns how many MiB went.
fn pour(stream: &mut TcpStream, head: &str, most: usize) {
    say(stream, head, &[]);
    let chunk = vec![7; MIB];
    for _ in 0..most {
        if stream.write_all(&chunk).is_err() {
            return;
        }
    }
}

fn on_disk_of(mib: u64, test: impl AsyncFnOnce(&Bench) + Send) {
    on_small_disk(mib, |dir| {
        let bench = Bench { dir: tempfile::tempdir_in(dir).unwrap() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test(&bench));
    });
}

/// Bytes free of a file system of 64 MiB never get below its floor of 6.4, but for what is on its
/// way.
#[track_caller]
fn floor_is_kept(bench: &Bench) {
    assert_eq!(bench.listing(), [] as [String; 0], "what cannot be finished is removed");
    // The thread that takes the checksum lets go of the file a moment later.
    let until = Instant::now() + Duration::from_secs(10);
    while image_factory::testing::disk::space(bench.dir.path()).unwrap().free < 60 << 20 {
        assert!(Instant::now() < until, "its bytes are not given back");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_has_no_length_stops_at_the_floor() {
    on_disk_of(64, async |bench| {
        let lowest = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(u64::MAX));
        let server = Server::start(|_, stream| pour(stream, "200 OK\r\nETag: \"a\"", 500));
        let (watch, dir) = (lowest.clone(), bench.dir.path().to_owned());
        let look = async move {
            loop {
                let free = image_factory::testing::disk::space(&dir).unwrap().free;
                watch.fetch_min(free, std::sync::atomic::Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let (build, wanted) = (bench.build(), sha256(b""));
        let said = tokio::select! {
            said = build.url(server.url("x.qcow2"), &wanted) => said.unwrap_err().to_string(),
            () = look => unreachable!(),
        };
        assert!(said.contains("too large") && said.contains("more may be written"), "{said}");
        let lowest = lowest.load(std::sync::atomic::Ordering::Relaxed);
        assert!(lowest > 0, "the disk was full");
        floor_is_kept(bench);
    });
}

#[test]
fn more_than_was_promised_is_not_taken() {
    on_disk_of(64, async |bench| {
        // By HTTP itself no more than the length can come; a range may lie about the whole.
        let server = Server::start(|request, stream| match request.from {
            None => say(stream, "200 OK\r\nETag: \"a\"\r\nContent-Length: 2097152", &vec![7; MIB]),
            Some(from) => {
                let range = format!("bytes {from}-2097151/2097152");
                pour(
                    stream,
                    &format!("206 Partial Content\r\nETag: \"a\"\r\nContent-Range: {range}"),
                    500,
                );
            }
        });
        let said =
            bench.build().url(server.url("x.qcow2"), &sha256(b"")).await.unwrap_err().to_string();
        assert!(
            said.contains("the server said 2097152 bytes")
                || said.contains("is not what it should be"),
            "{said}"
        );
        floor_is_kept(bench);
    });
}

#[test]
fn what_would_not_fit_is_not_begun() {
    on_disk_of(64, async |bench| {
        let server =
            Server::start(|_, stream| pour(stream, "200 OK\r\nContent-Length: 62914560", 60));
        let said =
            bench.build().url(server.url("x.qcow2"), &sha256(b"")).await.unwrap_err().to_string();
        assert!(said.contains("too large: 62914560 bytes"), "{said}");
        floor_is_kept(bench);
    });
}

#[test]
fn others_may_fill_the_disk_meanwhile() {
    on_disk_of(64, async |bench| {
        let other = bench.dir.path().join("other");
        let file = other.clone();
        let server = Server::start(move |_, stream| {
            say(stream, "200 OK\r\nETag: \"a\"\r\nContent-Length: 41943040", &vec![7; 4 * MIB]);
            // Written by the test's own thread, which sees the small disk; the server's may not.
            for _ in 0..36 {
                std::thread::sleep(Duration::from_millis(20));
                if stream.write_all(&vec![7; MIB]).is_err() {
                    return;
                }
            }
        });
        let (build, wanted) = (bench.build(), sha256(b""));
        let fill = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            std::fs::write(&file, vec![1; 40 * MIB]).unwrap();
            std::future::pending::<()>().await;
        };
        let said = tokio::select! {
            said = build.url(server.url("x.qcow2"), &wanted) => said.unwrap_err().to_string(),
            () = fill => unreachable!(),
        };
        assert!(said.contains("may be written") || said.contains("the disk is full"), "{said}");
        assert_eq!(std::fs::metadata(&other).unwrap().len(), 40 << 20);
        std::fs::remove_file(&other).unwrap();
        floor_is_kept(bench);
    });
}

/// A key in a URL's query is for the server that it names.
#[tokio::test]
async fn a_redirect_does_not_tell_where_it_came_from() {
    let bench = Bench::new();
    let target = std::sync::Arc::new(Server::start(|_, stream| {
        say(stream, "200 OK\r\nContent-Length: 2", b"ok")
    }));
    let to = target.url("y.qcow2");
    let server = Server::start(move |_, stream| {
        let head = format!("302 Found\r\nLocation: {to}\r\nSet-Cookie: a=b\r\nContent-Length: 0");
        say(stream, &head, &[]);
    });
    is(bench.build().url(server.url("x.qcow2?key=secret"), &sha256(b"ok")).await, b"ok");
    let head = target.seen()[0].head.to_ascii_lowercase();
    for word in ["secret", "referer", "cookie", "authorization"] {
        assert!(!head.contains(word), "{head}");
    }
}

#[tokio::test]
async fn a_list_on_this_machine_has_an_end() {
    let bench = Bench::new();
    let wish = |list: &Path| Download {
        from: SourceUri::File("x.qcow2".into()),
        sum: Some(ChecksumSource::List(SourceUri::File(list.into()))),
    };
    let long = bench.dir.path().join("SHA256SUMS");
    std::fs::File::create(&long).unwrap().set_len(1 << 40).unwrap();
    let said = bench.build().get(&wish(&long)).await.unwrap_err().to_string();
    assert!(said.contains("a list of checksums is shorter"), "{said}");
    let said = bench.build().get(&wish(Path::new("/dev/zero"))).await.unwrap_err().to_string();
    assert!(said.contains("no plain file"), "{said}");
}
