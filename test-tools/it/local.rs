//! QEMU as a cloud: the contract with a machine of one boot sector, which needs a second or so, and
//! ways in which machines fail.
use std::path::{Path, PathBuf};
use std::time::Duration;

use image_factory::testing::plan::{BaseLookup, FactsQuery};
use image_factory::testing::provider::ledger::{Kind, Ledger};
use image_factory::testing::provider::qemu::{Accel, Local, LocalConfig};
use image_factory::testing::provider::{
    BootSpec, CloudError, Machine, Power, Provider, RunCx, contract,
};

use super::tiny_disk::tiny_disk;

struct Bench {
    dir: tempfile::TempDir,
    cloud: Local,
    cx: RunCx,
}

fn program() -> Option<PathBuf> {
    Some(env!("CARGO_BIN_EXE_image-factory").into())
}

const SOON: Duration = Duration::from_secs(60);

fn bench() -> Bench {
    bench_in(tempfile::Builder::new().prefix("if").tempdir().unwrap())
}

fn bench_in(dir: tempfile::TempDir) -> Bench {
    let qemu = std::process::Command::new("qemu-system-x86_64").arg("--version").output();
    assert!(qemu.is_ok(), "qemu-system-x86_64 is not installed: run `setup/dependencies run`");
    let config = LocalConfig {
        home: dir.path().join("home"),
        runtime: dir.path().join("run"),
        accel: Accel::Tcg,
        program: program(),
        checkpoints: 0,
    };
    let ledger = Ledger::open(&dir.path().join("ledger.jsonl")).unwrap();
    let cx = RunCx::new("", ledger, Default::default(), Default::default());
    Bench { cloud: Local::new(config), cx, dir }
}

impl Bench {
    fn tiny_disk(&self) -> PathBuf {
        tiny_disk(self.dir.path())
    }

    async fn boot(&self, run: &str) -> Machine {
        let image = self
            .cloud
            .artifacts()
            .import(&self.cx.for_run(run).within(SOON), "staged", &self.tiny_disk())
            .await
            .unwrap();
        self.cloud
            .compute()
            .boot(&self.cx.for_run(run).within(SOON), &spec(run, &image.id, 64))
            .await
            .unwrap()
    }

    /// As the end of every run does it; nothing may be left.
    async fn unwind(&self, run: &str) {
        for entry in self.cx.ledger.entries() {
            self.cloud.resources().delete(run, &entry).await.unwrap();
            self.cx.ledger.gone(entry.seq).unwrap();
        }
        assert_eq!(self.cloud.resources().list(run).await.unwrap(), []);
        assert_eq!(self.cloud.artifacts().list().await.unwrap(), []);
        for dir in ["home/building", "run"] {
            assert_eq!(
                std::fs::read_dir(self.dir.path().join(dir)).unwrap().count(),
                0,
                "{dir} is not empty"
            );
        }
    }

    fn qemu(&self) -> i32 {
        let process =
            self.cx.ledger.entries().into_iter().find(|e| e.kind == Kind::Process).unwrap();
        process.id.unwrap().split(':').next().unwrap().parse().unwrap()
    }
}

fn spec(run: &str, image: &str, ram_mib: u64) -> BootSpec {
    let name = format!("factory-{run}-m");
    BootSpec {
        name,
        image: image.into(),
        cpus: 1,
        ram_mib,
        disk_gib: 1,
        user_data: "#cloud-config\n".into(),
        place: None,
    }
}

fn signal(pid: i32, signal: i32) {
    // SAFETY: plain system call on a QEMU that this test started.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
}

fn run_id() -> String {
    format!("it-{}", &uuid::Uuid::new_v4().simple().to_string()[..8])
}

#[tokio::test]
async fn contract_holds() {
    let bench = bench();
    contract::check(&bench.cloud, bench.dir.path(), &bench.tiny_disk(), None).await;
}

/// Copied by hand, as `cp -r` does it; with the ID mended in the description, too.
#[tokio::test]
async fn copies_of_a_directory_are_let_alone() {
    for mended in [false, true] {
        let bench = bench();
        let images = bench.dir.path().join("home/images");
        let copy = async |of: &image_factory::testing::image::Image| {
            let id = uuid::Uuid::new_v4().to_string();
            let (from, to) = (images.join(&of.id), images.join(&id));
            std::fs::create_dir(&to).unwrap();
            for file in ["disk.qcow2", "image.json"] {
                std::fs::copy(from.join(file), to.join(file)).unwrap();
            }
            if mended {
                let text = std::fs::read_to_string(to.join("image.json")).unwrap();
                let own = format!("\"id\": \"{}\"", of.id);
                assert!(text.contains(&own), "{text}");
                std::fs::write(
                    to.join("image.json"),
                    text.replace(&own, &format!("\"id\": \"{id}\"")),
                )
                .unwrap();
            }
            id
        };
        let copies =
            contract::copies(&bench.cloud, bench.dir.path(), &bench.tiny_disk(), copy).await;
        assert!(copies.iter().all(|id| images.join(id).join("disk.qcow2").exists()));
    }
}

#[tokio::test]
async fn a_killed_qemu_is_gone_and_a_stopped_one_is_stuck() {
    let bench = bench();
    let run = run_id();
    let machine = bench.boot(&run).await;
    let pid = bench.qemu();
    signal(pid, libc::SIGSTOP);
    wait_for(
        &bench,
        &machine,
        |p| matches!(p, Power::Stuck(why) if why.contains("stopped by a signal")),
    )
    .await;
    signal(pid, libc::SIGCONT);
    wait_for(&bench, &machine, |p| *p == Power::On).await;
    signal(pid, libc::SIGKILL);
    wait_for(
        &bench,
        &machine,
        |p| matches!(p, Power::Gone(why) if why.contains("killed by signal 9")),
    )
    .await;
    let refused = bench
        .cloud
        .compute()
        .capture(&bench.cx.for_run(&run).within(SOON), &machine, "x")
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("killed by signal 9"), "{refused}");
    bench.unwind(&run).await;
}

async fn wait_for(bench: &Bench, machine: &Machine, wanted: impl Fn(&Power) -> bool) {
    let mut seen = None;
    for _ in 0..100 {
        let power = bench.cloud.compute().power(machine).await.unwrap();
        if wanted(&power) {
            return;
        }
        seen = Some(power);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("last seen: {seen:?}");
}

#[tokio::test]
async fn a_guest_that_powers_itself_off_is_off() {
    let bench = bench();
    let run = run_id();
    let machine = bench.boot(&run).await;
    for _ in 0..100 {
        if bench.cloud.compute().console_log(&machine).await.unwrap().contains("READY") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bench.cloud.compute().shutdown(&bench.cx.within(SOON), &machine).await.unwrap();
    // QEMU has ended; only what was written down says that this was an orderly end.
    assert_eq!(bench.cloud.compute().power(&machine).await.unwrap(), Power::Off);
    bench.unwind(&run).await;
}

#[tokio::test]
async fn a_qemu_that_does_not_start_says_why() {
    let bench = bench();
    let run = run_id();
    let image = bench
        .cloud
        .artifacts()
        .import(&bench.cx.for_run(&run).within(SOON), "staged", &bench.tiny_disk())
        .await
        .unwrap();
    let error = bench
        .cloud
        .compute()
        .boot(&bench.cx.for_run(&run).within(SOON), &spec(&run, &image.id, 1 << 40))
        .await
        .unwrap_err();
    assert!(
        matches!(error, CloudError::Refused { .. })
            && error.to_string().contains("qemu-system-x86_64: "),
        "{error}"
    );
    bench.unwind(&run).await;
}

#[tokio::test]
async fn files_that_are_no_images_are_refused() {
    let bench = bench();
    let file = |content: &[u8]| {
        let path: PathBuf = bench.dir.path().join("file");
        std::fs::write(&path, content).unwrap();
        path
    };
    let page = file(b"<html>404</html>");
    let refused = bench
        .cloud
        .artifacts()
        .import(&bench.cx.for_run("r").within(SOON), "x", &page)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("neither a qcow2"), "{refused}");
    let backed = bench.dir.path().join("backed.qcow2");
    let made = std::process::Command::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"])
        .args([Path::new("/etc/passwd"), &backed])
        .arg("1G")
        .status();
    assert!(made.unwrap().success());
    let refused = bench
        .cloud
        .artifacts()
        .import(&bench.cx.for_run("r").within(SOON), "x", &backed)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("backing file"), "{refused}");
    assert_eq!(bench.cx.ledger.entries(), [], "nothing was made");
}

const VICTIM: &str = "FACTORY_IT_VICTIM";

/// Not a test of its own: the factory that [`a_killed_factory_leaves_nothing`] kills.
#[tokio::test]
async fn victim() {
    let Ok(dir) = std::env::var(VICTIM) else { return };
    let run = victim_run(Path::new(&dir));
    // In a directory of the parent's, which is not removed when this process ends.
    let mut dir = tempfile::Builder::new().prefix("v").tempdir_in(dir).unwrap();
    dir.disable_cleanup(true);
    let bench = bench_in(dir);
    let machine = bench.boot(&run).await;
    std::fs::write(bench.dir.path().join("machine"), format!("{}\n{}\n", machine.id, machine.port))
        .unwrap();
    tokio::time::sleep(SOON).await;
}

fn victim_run(dir: &Path) -> String {
    format!("victim-{}", dir.file_name().unwrap().display())
}

/// The machine lives on (`--keep-on-failure` counts on that), and another process finds and removes
/// all of it, by the ledger as well as without.
#[tokio::test]
async fn a_killed_factory_leaves_nothing() {
    for by_ledger in [true, false] {
        let outer = tempfile::Builder::new().prefix("if").tempdir().unwrap();
        let run = victim_run(outer.path());
        let mut victim = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "local::victim"])
            .env(VICTIM, outer.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let text = loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert_eq!(victim.try_wait().unwrap(), None);
            let dirs = std::fs::read_dir(&outer).unwrap().flatten().map(|d| d.path());
            if let Some(text) = dirs
                .filter_map(|d| std::fs::read_to_string(d.join("machine")).ok())
                .find(|t| t.lines().count() == 2)
            {
                break text;
            }
        };
        victim.kill().unwrap();
        victim.wait().unwrap();
        let dir = std::fs::read_dir(&outer)
            .unwrap()
            .flatten()
            .map(|d| d.path())
            .find(|d| d.join("machine").exists())
            .unwrap();
        let config = LocalConfig {
            home: dir.join("home"),
            runtime: dir.join("run"),
            accel: Accel::Tcg,
            program: program(),
            checkpoints: 0,
        };
        let cloud = Local::new(config);
        let mut lines = text.lines();
        let id = lines.next().unwrap().to_owned();
        let machine = Machine {
            name: "m".into(),
            id,
            host: "127.0.0.1".into(),
            port: lines.next().unwrap().parse().unwrap(),
        };
        assert_eq!(cloud.compute().power(&machine).await.unwrap(), Power::On);
        assert!(std::net::TcpStream::connect(("127.0.0.1", machine.port)).is_ok());
        assert!(cloud.resources().list_runs().await.unwrap().contains(&run));
        let ledger = Ledger::open(&dir.join("ledger.jsonl")).unwrap().entries();
        let found = cloud.resources().list(&run).await.unwrap();
        for entry in if by_ledger { ledger } else { found } {
            cloud.resources().delete(&run, &entry).await.unwrap();
        }
        assert_eq!(cloud.resources().list(&run).await.unwrap(), []);
        assert!(matches!(cloud.compute().power(&machine).await.unwrap(), Power::Gone(_)));
        assert_eq!(std::fs::read_dir(dir.join("home/building")).unwrap().count(), 0);
    }
}

/// KVM is tried once and the result remembered; whatever it is, it is said with its reason.
#[tokio::test]
async fn facts_say_how_machines_run() {
    let bench = bench();
    let home = bench.dir.path().join("home");
    let config = LocalConfig {
        home: home.clone(),
        runtime: bench.dir.path().join("run"),
        accel: Accel::Auto,
        program: program(),
        checkpoints: 0,
    };
    let wanted = FactsQuery { base: None, image_name: "x".into(), ..FactsQuery::default() };
    let first = Local::new(config.clone()).facts(&wanted, &bench.cx).await.unwrap();
    eprintln!("{}", first.how);
    assert!(first.how.starts_with("QEMU ") && first.how.contains(": "), "{}", first.how);
    assert_eq!((first.missing_prerequisites.len(), &first.base), (0, &BaseLookup::None));
    let missing = FactsQuery {
        base: Some("os/none".into()),
        image_name: "x".into(),
        ..FactsQuery::default()
    };
    let missing = Local::new(config.clone()).facts(&missing, &bench.cx).await.unwrap();
    assert_eq!(missing.base, BaseLookup::Missing { near: Vec::new() });
    let at = std::time::Instant::now();
    assert_eq!(Local::new(config).facts(&wanted, &bench.cx).await.unwrap().how, first.how);
    assert!(
        !home.join("cache/kvm.json").exists() || at.elapsed() < Duration::from_secs(4),
        "tried again"
    );
}

/// The whole way with a real guest: SSH by the config drive, orderly stop, capture, and the
/// captured image lives.
#[tokio::test]
#[ignore = "needs minutes, and a Debian cloud image in FACTORY_IT_DISK"]
async fn a_real_image_lives() {
    let bench = bench();
    let Ok(disk) = std::env::var("FACTORY_IT_DISK") else { return };
    let run = run_id();
    let key = bench.dir.path().join("key");
    let made = std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&key)
        .status();
    assert!(made.unwrap().success());
    let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
    let user_data = format!("#cloud-config\nssh_authorized_keys:\n  - {public}");
    let mut image = bench
        .cloud
        .artifacts()
        .import(&bench.cx.for_run(&run).within(SOON), "base", Path::new(&disk))
        .await
        .unwrap();
    let mut ids = Vec::new();
    for round in ["builder", "smoke"] {
        let at = std::time::Instant::now();
        let lap = |what: &str| eprintln!("{:7.1} s {round}: {what}", at.elapsed().as_secs_f64());
        let name = format!("factory-{run}-{round}");
        let spec = BootSpec {
            name,
            ram_mib: 1024,
            cpus: 2,
            disk_gib: 4,
            user_data: user_data.clone(),
            ..spec(&run, &image.id, 0)
        };
        let machine = bench.cloud.compute().boot(&bench.cx.within(SOON), &spec).await.unwrap();
        lap("powered on");
        let id = loop {
            assert!(
                at.elapsed() < Duration::from_secs(1200),
                "{}",
                bench.cloud.compute().console_log(&machine).await.unwrap()
            );
            let asked = tokio::process::Command::new("ssh")
                .args([
                    "-o",
                    "StrictHostKeyChecking=no",
                    "-o",
                    "UserKnownHostsFile=/dev/null",
                    "-o",
                    "ConnectTimeout=5",
                    "-i",
                ])
                .arg(&key)
                .args([
                    "-p",
                    &machine.port.to_string(),
                    "debian@127.0.0.1",
                    "hostname; cat /etc/machine-id; df -h / | tail -1; nproc",
                ])
                .output();
            let said = asked.await.unwrap();
            if said.status.success() {
                break String::from_utf8_lossy(&said.stdout).into_owned();
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        };
        lap(&format!("SSH: {}", id.replace('\n', " ")));
        ids.push(id);
        bench
            .cloud
            .compute()
            .shutdown(&bench.cx.within(Duration::from_secs(180)), &machine)
            .await
            .unwrap();
        lap("off");
        if let Ok(keep) = std::env::var("FACTORY_IT_KEEP") {
            let overlay = bench
                .dir
                .path()
                .join(format!("home/building/{run}/{}/overlay.qcow2", machine.name));
            let flat = std::process::Command::new("qemu-img")
                .args(["convert", "-O", "qcow2"])
                .arg(overlay)
                .arg(keep)
                .status();
            assert!(flat.unwrap().success());
        }
        image = bench
            .cloud
            .compute()
            .capture(&bench.cx.for_run(&run).within(Duration::from_secs(600)), &machine, round)
            .await
            .unwrap();
        lap(&format!("captured {} MiB", image.size >> 20));
    }
    bench.unwind(&run).await;
}
