//! How long our upload takes, and how long `scp -r` takes to the same machine, in turns; and what
//! one command costs. Started by `test-tools/bench/upload`, which explains the environment.
#![allow(clippy::disallowed_methods)] // the programs it is measured against
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command as Program, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use image_factory::testing::guest::ssh::Ssh;
use image_factory::testing::guest::{Command, Connect, Remote, Target, Transfer};

#[path = "../it/sshd.rs"]
mod sshd;

const LIMIT: Duration = Duration::from_secs(3600);

/// The machine, and what the `ssh` programs are told about it.
struct Machine {
    target: Target,
    options: Vec<String>,
    _sshd: Option<sshd::Sshd>,
}

fn machine() -> Machine {
    let env = |name: &str| std::env::var(name).ok();
    let (target, key, known, own) = match env("HOST") {
        None => {
            let own = sshd::Sshd::start();
            (
                own.target.clone(),
                own.dir.path().join("user"),
                own.dir.path().join("known_hosts"),
                Some(own),
            )
        }
        Some(host) => {
            let key = PathBuf::from(env("KEY").expect("KEY: file of the private key"));
            let known = PathBuf::from(
                env("KNOWN_HOSTS").expect("KNOWN_HOSTS: file with the machine's host keys"),
            );
            let read = |path: &Path| std::fs::read_to_string(path).unwrap();
            // Every key in the file is taken for the machine's: it is the bench's own file.
            let keys = read(&known)
                .lines()
                .filter_map(|line| line.split_once(' ')?.1.parse().ok())
                .collect();
            let target = Target {
                host,
                port: env("PORT").map_or(22, |port| port.parse().expect("PORT")),
                user: env("REMOTE_USER").unwrap_or_else(|| "root".into()),
                key: Arc::new(read(&key).parse().expect("KEY")),
                host_keys: keys,
            };
            (target, key, known, None)
        }
    };
    let options = [
        "BatchMode=yes".into(),
        "IdentitiesOnly=yes".into(),
        format!("IdentityFile={}", key.display()),
        format!("UserKnownHostsFile={}", known.display()),
        format!("Port={}", target.port),
    ];
    let options = ["-F", "none"]
        .map(String::from)
        .into_iter()
        .chain(options.into_iter().flat_map(|o| ["-o".into(), o]))
        .collect();
    Machine { target, options, _sshd: own }
}

fn seconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64()
}

/// Median and best: on a machine that is busy with other things only the best says what the work
/// itself takes.
struct Times(f64, f64);

fn times(mut all: Vec<f64>) -> Times {
    all.sort_by(f64::total_cmp);
    Times(all[all.len() / 2], all[0])
}

async fn run(remote: &dyn Remote, script: &str) {
    let command = Command {
        script: script.into(),
        args: vec![],
        env: BTreeMap::new(),
        sudo: false,
        deadline: LIMIT,
    };
    let exit = remote
        .exec(command, Box::new(|_, data| eprint!("{}", String::from_utf8_lossy(data))))
        .await;
    assert_eq!(exit.unwrap(), image_factory::testing::guest::Exit::Code(0), "{script}");
}

/// `scp` as it is used: a connection of its own each time. Ours has its connection made in the
/// measured time, too.
async fn upload(machine: &Machine, src: &Path, rounds: usize) -> (Times, Times) {
    let keeper = Ssh.connect(&machine.target, LIMIT).await.unwrap();
    let (mut ours, mut theirs) = (vec![], vec![]);
    let place = format!("{}@{}:/tmp/bench-scp", machine.target.user, machine.target.host);
    for _ in 0..rounds {
        run(&*keeper, "rm -rf /tmp/bench-ours /tmp/bench-scp").await;
        let start = Instant::now();
        let remote = Ssh.connect(&machine.target, LIMIT).await.unwrap();
        remote
            .put(
                &Transfer {
                    src,
                    dest: "/tmp/bench-ours",
                    mode: None,
                    sudo: false,
                    deadline: LIMIT,
                },
                Box::new(|_, _| {}),
            )
            .await
            .unwrap();
        ours.push(seconds(start));

        let start = Instant::now();
        let scp = Program::new("scp")
            .args(["-q", "-r"])
            .args(&machine.options)
            .arg(src)
            .arg(&place)
            .stdin(Stdio::null())
            .status();
        theirs.push(seconds(start));
        assert!(scp.unwrap().success());
        run(&*keeper, "diff -r /tmp/bench-ours /tmp/bench-scp").await;
    }
    run(&*keeper, "rm -rf /tmp/bench-ours /tmp/bench-scp").await;
    (times(ours), times(theirs))
}

async fn command(machine: &Machine, dir: &Path, rounds: usize) -> (Times, Times) {
    let remote = Ssh.connect(&machine.target, LIMIT).await.unwrap();
    let place = format!("{}@{}", machine.target.user, machine.target.host);
    let control = format!("ControlPath={}/mux", dir.display());
    let ssh = |more: &[&str]| {
        let mut ssh = Program::new("ssh");
        ssh.args(&machine.options).args(["-o", &control]).args(more).stdin(Stdio::null());
        ssh
    };
    assert!(
        ssh(&["-o", "ControlMaster=yes", "-o", "ControlPersist=60", "-f", "-N", &place])
            .status()
            .unwrap()
            .success()
    );
    let (mut ours, mut theirs) = (vec![], vec![]);
    for _ in 0..rounds {
        let start = Instant::now();
        run(&*remote, "true").await;
        ours.push(seconds(start));
        let start = Instant::now();
        assert!(ssh(&[&place, "true"]).status().unwrap().success());
        theirs.push(seconds(start));
    }
    let _ = ssh(&["-q", "-O", "exit", &place]).stderr(Stdio::null()).status();
    (times(ours), times(theirs))
}

fn report(what: &str, (ours, theirs): (Times, Times)) {
    for (kind, ours, theirs) in [("median", ours.0, theirs.0), ("best", ours.1, theirs.1)] {
        println!(
            "{what:<28} {kind:<7} ours {ours:8.3} s   theirs {theirs:8.3} s   ratio {:.2}",
            ours / theirs
        );
    }
}

#[tokio::main]
async fn main() {
    let number = |name: &str, or: usize| std::env::var(name).map_or(or, |n| n.parse().expect(name));
    let (rounds, megabytes, files) =
        (number("ROUNDS", 5), number("MEGABYTES", 200), number("FILES", 2000));
    let dir = tempfile::tempdir().unwrap();
    let machine = machine();

    let big = dir.path().join("big");
    let noise: Vec<u8> =
        (0..1u64 << 20).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u8).collect();
    std::fs::write(&big, noise.repeat(megabytes)).unwrap();
    let tree = dir.path().join("tree");
    for n in 0..files {
        let place = tree.join(format!("{:02}", n % 40));
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(place.join(format!("{n}.txt")), &noise[n..n + 100 + (n * 37) % 4000])
            .unwrap();
    }
    report(&format!("one file, {megabytes} MB"), upload(&machine, &big, rounds).await);
    report(&format!("{files} small files"), upload(&machine, &tree, rounds).await);
    report("one command (ControlMaster)", command(&machine, dir.path(), 10 * rounds).await);
}
