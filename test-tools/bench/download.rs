//! How long our download takes, and how long `curl -o` takes from the same server, in turns.
//! Started by `test-tools/bench/download`, which explains the environment. With `serve FILE` it is
//! the server.
#![allow(clippy::disallowed_methods)] // the programs it is measured against
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use image_factory::testing::digest::{Algorithm, Digest, Hasher};
use image_factory::testing::fetch::{
    ChecksumSource, Download, Fetch, RetryPolicy, SourceUri, TransferContext,
};
use image_factory::testing::http::Proxies;

/// The kernel does the sending: a server that costs as little as one can.
fn serve(file: &Path) -> ! {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("{}", listener.local_addr().unwrap().port());
    for stream in listener.incoming().flatten() {
        let _ = answer(stream, file); // who hangs up has what it wants
    }
    unreachable!("a listener does not end")
}

fn answer(mut stream: TcpStream, file: &Path) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    while lines.next().is_some_and(|l| l.is_ok_and(|l| !l.is_empty())) {}
    let file = File::open(file)?;
    let mut left = file.metadata()?.len();
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {left}\r\nConnection: close\r\n\r\n")?;
    while left > 0 {
        // SAFETY: plain system call on two files that are open.
        let sent = unsafe {
            libc::sendfile(
                stream.as_raw_fd(),
                file.as_raw_fd(),
                std::ptr::null_mut(),
                left.min(1 << 30) as usize,
            )
        };
        match sent {
            1.. => left -= sent as u64,
            _ => return Err(std::io::Error::last_os_error()),
        }
    }
    Ok(())
}

struct Server(Child, String);

impl Server {
    fn start(file: &Path) -> Self {
        let me = std::env::current_exe().unwrap();
        let mut child =
            Command::new(me).arg("serve").arg(file).stdout(Stdio::piped()).spawn().unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Self(child, format!("http://127.0.0.1:{}/disk.img", port.trim()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Median and best: on a machine that is busy with other things only the best says what the work
/// itself takes.
fn times(mut all: Vec<f64>) -> [f64; 2] {
    all.sort_by(f64::total_cmp);
    [all[all.len() / 2], all[0]]
}

fn digest(algorithm: Algorithm, file: &Path) -> Digest {
    let (mut hasher, mut chunk) = (Hasher::new(algorithm), vec![0; 1 << 20]);
    let mut file = File::open(file).unwrap();
    loop {
        match file.read(&mut chunk).unwrap() {
            0 => return hasher.finish(),
            n => hasher.update(&chunk[..n]),
        }
    }
}

/// What one round left to be written must not burden the next.
fn settle() {
    assert!(Command::new("sync").status().unwrap().success());
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [verb, file] = &arguments[..]
        && verb == "serve"
    {
        serve(Path::new(file));
    }
    let number = |name: &str, or: usize| std::env::var(name).map_or(or, |n| n.parse().expect(name));
    let (rounds, megabytes) = (number("ROUNDS", 5), number("MEGABYTES", 2000));
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("disk.img");
    let noise: Vec<u8> =
        (0..1_000_000u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u8).collect();
    std::fs::write(&disk, noise.repeat(megabytes)).unwrap();
    let server = Server::start(&disk);
    let (copy, cache) = (dir.path().join("copy"), dir.path().join("cache"));

    println!("{megabytes} MB from the loopback, {rounds} rounds");
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let wish = Download {
            from: SourceUri::Url(server.1.clone()),
            sum: Some(ChecksumSource::Given(digest(algorithm, &disk))),
        };
        let (mut ours, mut curls, mut with_sums, mut hashes) = (vec![], vec![], vec![], vec![]);
        for _ in 0..rounds {
            // One core, from the page cache: the floor of every download that is checked.
            let start = Instant::now();
            digest(algorithm, &disk);
            hashes.push(start.elapsed().as_secs_f64());

            settle();
            let start = Instant::now();
            let curl = Command::new("curl")
                .args(["-s", "-S", "-f", "-o"])
                .arg(&copy)
                .arg(&server.1)
                .status();
            curls.push(start.elapsed().as_secs_f64());
            assert!(curl.unwrap().success());
            let summed = Command::new(format!("{}sum", algorithm.name()))
                .arg(&copy)
                .stdout(Stdio::null())
                .status();
            with_sums.push(start.elapsed().as_secs_f64());
            assert!(summed.unwrap().success());
            std::fs::remove_file(&copy).unwrap();

            settle();
            let start = Instant::now();
            let job = TransferContext::new(
                &Default::default(),
                &Default::default(),
                Duration::from_secs(3600),
            );
            Fetch::new(&cache, RetryPolicy::default(), &Proxies::default())
                .get(&wish, &job)
                .await
                .unwrap();
            ours.push(start.elapsed().as_secs_f64());
            std::fs::remove_dir_all(&cache).unwrap();
        }
        let name = algorithm.name();
        let (ours, curls, with_sums, hashes) =
            (times(ours), times(curls), times(with_sums), times(hashes));
        let others = [
            ("curl -o".to_owned(), curls),
            (format!("curl -o; {name}sum"), with_sums),
            ("the hash alone".to_owned(), hashes),
        ];
        for (what, theirs) in others {
            for (kind, ours, theirs) in
                [("median", ours[0], theirs[0]), ("best", ours[1], theirs[1])]
            {
                println!(
                    "{name} to {what:<20} {kind:<7} ours {ours:7.2} s   theirs {theirs:7.2} s   \
                        ratio {:.2}",
                    ours / theirs
                );
            }
        }
    }
}
