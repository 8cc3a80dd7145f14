//! What takes another pace than that of every day, against a private OpenSSH server. All else is in
//! `test-tools/it/remote.rs`.
use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::*;
use crate::guest::sshd;

/// Between us and the server: counts what we send.
struct Between {
    port: u16,
    sent: Arc<AtomicU64>,
    /// The connection, once there is one.
    line: Arc<Mutex<Option<TcpStream>>>,
}

impl Between {
    fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port_here = listener.local_addr().unwrap().port();
        let between = Self { port: port_here, sent: Arc::default(), line: Arc::default() };
        let (sent, line) = (between.sent.clone(), between.line.clone());
        std::thread::spawn(move || {
            let (ours, theirs) =
                (listener.accept().unwrap().0, TcpStream::connect(("127.0.0.1", port)).unwrap());
            *line.lock().unwrap() = Some(ours.try_clone().unwrap());
            let back = (theirs.try_clone().unwrap(), ours.try_clone().unwrap());
            std::thread::spawn(move || carry(back.0, back.1, &AtomicU64::new(0)));
            carry(ours, theirs, &sent);
        });
        between
    }

    /// Waits for what is sent after a second of silence; no command asks for any of it, and no
    /// answer.
    fn hears_us(&self, times: u32) {
        let end = Instant::now() + Duration::from_secs(120);
        let (mut last, mut since, mut heard) =
            (self.sent.load(Ordering::SeqCst), Instant::now(), 0);
        while heard < times {
            assert!(Instant::now() < end, "nothing was sent in all that time: the line is silent");
            std::thread::sleep(Duration::from_millis(50));
            let now = self.sent.load(Ordering::SeqCst);
            if now != last {
                heard += u32::from(since.elapsed() > Duration::from_secs(1));
                (last, since) = (now, Instant::now());
            }
        }
    }
}

/// A machine that refuses is there, and so is one that answers.
#[tokio::test]
async fn a_machine_is_silent_that_neither_answers_nor_refuses() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    assert!(!Ssh.is_silent("127.0.0.1", port).await, "it refuses");
    let listener = socket.listen(1).unwrap();
    assert!(!Ssh.is_silent("127.0.0.1", port).await, "it answers");
    // Those that wait for it to accept are as many as it keeps: it drops what comes after them.
    let mut waiting = Vec::new();
    let full = async {
        loop {
            waiting.push(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap());
        }
    };
    let full: Result<(), _> = tokio::time::timeout(Duration::from_millis(500), full).await;
    assert!(full.is_err() && Ssh.is_silent("127.0.0.1", port).await);
    drop(listener);
    assert!(!Ssh.is_silent("127.0.0.1", port).await, "it refuses again");
}

/// Whether the process lives. One that nobody reaps is dead enough.
fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// sshd lets a command run on whose connection broke: tried again, it would run beside itself.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_lost_session_left_running_is_ended_over_another() {
    for sudo in [false, true] {
        let sshd = sshd::Sshd::start();
        let between = Between::start(sshd.target.port);
        let target = Target { port: between.port, ..sshd.target.clone() };
        let soon = Duration::from_secs(60);
        let remote = open(&target, soon, Duration::from_secs(2)).await.unwrap();
        let pid = sshd.dir.path().join("pid");
        let text = format!("echo $$ >'{0}.new'; mv '{0}.new' '{0}'; sleep 600", pid.display());
        let (session, command) = (remote.clone(), Command { sudo, ..script(text) });
        let running = tokio::spawn(async move { session.exec(command, Box::new(|_, _| {})).await });
        let end = Instant::now() + soon;
        while !pid.exists() {
            assert!(Instant::now() < end && !running.is_finished());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(remote.take_orphans(), [], "it is not lost");
        let line = between.line.lock().unwrap().take().unwrap();
        line.shutdown(std::net::Shutdown::Both).unwrap();
        let lost = running.await.unwrap();
        assert!(matches!(lost, Err(RemoteError::Lost(_))), "{lost:?}");
        let orphans = remote.take_orphans();
        let pid = std::fs::read_to_string(pid).unwrap().trim().to_owned();
        assert!(orphans.len() == 1 && orphans[0].sudo == sudo && lives(&pid), "{orphans:?}");
        assert_eq!(remote.take_orphans(), [], "given once");
        let other = Ssh.connect(&sshd.target, soon).await.unwrap();
        let ended = other.exec(orphans[0].end(soon), Box::new(|_, _| {})).await.unwrap();
        assert_eq!((ended, lives(&pid)), (Exit::Code(0), false));
        // Of a group that is gone there is nothing to end.
        let again = other.exec(orphans[0].end(soon), Box::new(|_, _| {})).await.unwrap();
        assert_eq!(again, Exit::Code(0));
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, count: &AtomicU64) {
    let mut buffer = [0; 4096];
    while let Ok(n @ 1..) = std::io::Read::read(&mut from, &mut buffer) {
        count.fetch_add(n as u64, Ordering::SeqCst);
        if std::io::Write::write_all(&mut to, &buffer[..n]).is_err() {
            break;
        }
    }
    // Whoever still reads or writes at the other end learns it.
    let _ = to.shutdown(std::net::Shutdown::Both);
}

fn script(text: String) -> Command {
    Command {
        script: text.into(),
        args: Vec::new(),
        env: BTreeMap::new(),
        sudo: false,
        deadline: Duration::from_secs(300),
    }
}

/// On a session with nothing to say something is sent all the same: servers and routers on the way
/// close those that are silent. So on one that is used while another one carries a playbook, and on
/// one whose command has nothing to say.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_session_is_kept_alive() {
    let sshd = sshd::Sshd::start();
    let between = Between::start(sshd.target.port);
    let target = Target { port: between.port, ..sshd.target.clone() };
    let remote = open(&target, Duration::from_secs(60), Duration::from_secs(2)).await.unwrap();
    let between = tokio::task::spawn_blocking(move || {
        between.hears_us(2);
        between
    });
    let between = between.await.unwrap();
    let go_on = sshd.dir.path().join("go-on");
    let waits = script(format!("until [ -e '{}' ]; do sleep 0.2; done; exit 3", go_on.display()));
    let running = tokio::spawn(async move { remote.exec(waits, Box::new(|_, _| {})).await });
    tokio::task::spawn_blocking(move || between.hears_us(2)).await.unwrap();
    std::fs::write(go_on, "").unwrap();
    assert_eq!(running.await.unwrap().unwrap(), Exit::Code(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_of_ipv6_is_logged_in_to() {
    let sshd = sshd::Sshd::start_at("::1", &[]);
    let remote = Ssh.connect(&sshd.target, Duration::from_secs(60)).await.unwrap();
    assert_eq!(
        remote.exec(script("exit 3".into()), Box::new(|_, _| {})).await.unwrap(),
        Exit::Code(3)
    );
}
