//! A guest that is root and hostile, on the real network of this machine. `make test-guest-network`
//! runs these: each boots a kernel of its own, which takes seconds.
use std::io::Write;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Instant;

use super::super::super::machine::{CONSOLE, Hardware, LOG as QEMU_LOG, MachineDir, OVERLAY, SEED};
use super::super::super::{Accel, accel};
use super::super::super::{boot, growth};
use super::super::*;
use crate::provider::ledger::Ledger;
use crate::system::exec::process::State;

const MANY_SECONDS: Duration = Duration::from_secs(120);

struct Bench {
    dir: tempfile::TempDir,
    place: MachineDir,
    cx: RunCx,
    hardware: Hardware,
}

/// A guest that runs.
struct Guest {
    child: Child,
    network: Network,
    port: u16,
}

fn built() -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.set_file_name("image-factory");
    assert!(path.exists(), "{} is not built: run `cargo build --locked`", path.display());
    path
}

/// Kernel and initramfs, made once for all tests of this tree.
async fn tiny_guest() -> PathBuf {
    let dir = built().parent().unwrap().join("tiny-guest");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("test-tools/tiny-guest");
    exec::output(&Cmd::new(script, MANY_SECONDS).arg(&dir), &Cancel::default()).await.unwrap();
    dir
}

async fn bench() -> Bench {
    let dir = tempfile::Builder::new().prefix("if").tempdir().unwrap();
    let place = MachineDir {
        name: "guest".into(),
        run: "it-net".into(),
        dir: dir.path().into(),
        sockets: dir.path().into(),
    };
    let disk = Cmd::new("qemu-img", MANY_SECONDS)
        .args(["create", "-q", "-f", "qcow2", OVERLAY, "16M"])
        .dir(dir.path());
    exec::output(&disk, &Cancel::default()).await.unwrap();
    std::fs::write(place.file(SEED), vec![0; 1 << 20]).unwrap();
    let ledger = Ledger::open(&dir.path().join("ledger")).unwrap();
    let cx = RunCx::new("r", ledger, Default::default(), Default::default());
    let hardware = Hardware {
        cpus: 1,
        ram_mib: 256,
        uuid: uuid::Uuid::new_v4().to_string(),
        mac: "52:54:00:12:34:56".into(),
    };
    Bench { dir, place, cx, hardware }
}

impl Bench {
    async fn start(&self, reach: &Reach, words: &str) -> Guest {
        let network = start(&self.cx, reach, &self.place, (0, None)).await.unwrap();
        let files = tiny_guest().await;
        let choice = accel::choose(Accel::Tcg, "", self.dir.path(), &self.cx.cancel).await.unwrap();
        let mut cmd = boot::command((&self.hardware, OVERLAY), &self.place, &choice, &network);
        // `-kernel` is what is booted first, and two cannot be.
        for arg in &mut cmd.args {
            *arg = arg.to_string_lossy().replace(",bootindex=0", "").into();
        }
        let cmd = cmd
            .arg("-kernel")
            .arg(files.join("vmlinuz"))
            .arg("-initrd")
            .arg(files.join("initramfs"))
            .args(["-append", &format!("console=ttyS0 quiet panic=1 {words}")]);
        let log =
            File::options().create(true).append(true).open(self.place.file(QEMU_LOG)).unwrap();
        let child = exec::spawn(&cmd, &log).unwrap();
        let Network { option, end, port, processes } = network;
        drop(end);
        Guest {
            child,
            port: port.unwrap_or_default(),
            network: Network { option, end: None, port, processes },
        }
    }

    /// What the guest wrote until `word`.
    async fn console(&self, word: &str) -> String {
        let until = Instant::now() + MANY_SECONDS;
        loop {
            let text = growth::end_of(&self.place.file(CONSOLE)).unwrap();
            if text.contains(word) {
                return text;
            }
            assert!(
                Instant::now() < until,
                "no {word}: {text}\n{}\n{}",
                self.place.last_words(),
                self.place.last_words_in(LOG)
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// A service of this host: whoever connects is told a secret.
fn service(address: &str) -> u16 {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"SECRET of the host\n");
        }
    });
    port
}

async fn closed() -> Reach {
    let reach = reach(Some(&built()), &Cancel::default()).await.unwrap();
    assert!(
        matches!(reach, Reach::Closed(_)),
        "on this machine guests cannot be kept from the host: {}",
        reach.text()
    );
    reach
}

/// The first address by which others see this host.
fn own_address() -> String {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("192.0.2.254:9").unwrap();
    socket.local_addr().unwrap().ip().to_string()
}

/// All the ways to this host: the address by which it is offered, its loopback by frames of the
/// guest's own making, the address by which others see it, the forwarded port of another machine.
#[tokio::test]
#[ignore = "boots a machine: make test-guest-network"]
async fn a_hostile_guest_does_not_reach_this_host() {
    let bench = bench().await;
    let (loopback, any, own) = (service("127.0.0.1"), service("0.0.0.0"), own_address());
    let words = format!(
        "try=10.0.2.2:{loopback} try={own}:{any} hostile try=127.0.0.1:{loopback} \
            try=127.0.0.1:{any} try=127.1.2.3:{any}"
    );
    let mut guest = bench.start(&closed().await, &words).await;
    let console = bench.console("DONE").await;
    guest.child.kill().await.unwrap();
    assert!(console.contains("LEASE 10.0.2.15"), "{console}");
    assert_eq!(console.matches("TRY ").count(), 5, "{console}");
    assert!(!console.contains("SECRET"), "{console}");
}

/// The same guest behind QEMU's own network: the test can fail, and this is why the wire is there.
#[tokio::test]
#[ignore = "boots a machine: make test-guest-network"]
async fn behind_qemus_own_network_it_does() {
    let bench = bench().await;
    let port = service("127.0.0.1");
    let mut guest =
        bench.start(&Reach::Open("a test".into()), &format!("try=10.0.2.2:{port}")).await;
    let console = bench.console("DONE").await;
    guest.child.kill().await.unwrap();
    assert!(console.contains("SECRET"), "{console}");
}

/// SSH comes in, names and packages are had, and with QEMU all ends.
#[tokio::test]
#[ignore = "boots a machine: make test-guest-network"]
async fn what_a_guest_needs_works_and_ends_with_it() {
    let bench = bench().await;
    let begin = Instant::now();
    let words =
        "get=http://deb.debian.org/debian/dists/bookworm/main/binary-amd64/Packages.gz serve=22";
    let mut guest = bench.start(&closed().await, words).await;
    let console = bench.console("DONE").await;
    assert!(console.contains("GET ok"), "{console}");
    let until = Instant::now() + MANY_SECONDS;
    loop {
        use std::io::Read;
        let mut said = String::new();
        if let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", guest.port)) {
            stream.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
            // busybox' nc speaks when it has heard something.
            let _ = stream.write_all(b"hello\n");
            let _ = stream.read_to_string(&mut said);
        }
        if said.contains("HELLO from the guest") {
            break;
        }
        assert!(Instant::now() < until, "port {} does not lead to the guest", guest.port);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    eprintln!("booted, fetched and reached in {:?}", begin.elapsed());
    let carriers: Vec<Proc> = guest.network.processes.iter().map(|p| p.parse().unwrap()).collect();
    assert_eq!(carriers.len(), 2);
    assert!(carriers.iter().all(|proc| proc.state() == State::Alive));
    guest.child.kill().await.unwrap();
    for proc in carriers {
        assert!(proc.gone_within(Duration::from_secs(5)).await, "{} outlives QEMU", proc.title());
    }
}
