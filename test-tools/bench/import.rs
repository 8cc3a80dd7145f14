//! How long our upload to Glance takes, and how long `openstack image create` takes, in turns.
//! Started by `test-tools/bench/import`, which explains the environment.
#![allow(clippy::disallowed_methods)] // the programs it is measured against
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use image_factory::testing::provider::ledger::{Entry, Ledger};
use image_factory::testing::provider::openstack::{Config, OpenStack, login};
use image_factory::testing::provider::{Provider, RunCx};

const RUN: &str = "bench-import";

/// A qcow2 full of what cannot be packed.
fn disk(dir: &Path, megabytes: u64) -> std::path::PathBuf {
    let (raw, disk) = (dir.join("raw"), dir.join("disk.qcow2"));
    let mut file = std::io::BufWriter::new(std::fs::File::create(&raw).unwrap());
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..megabytes * 1_000_000 / 8 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        file.write_all(&state.to_le_bytes()).unwrap();
    }
    drop(file);
    let made = Command::new("qemu-img")
        .args(["convert", "-f", "raw", "-O", "qcow2"])
        .args([&raw, &disk])
        .status();
    assert!(made.expect("qemu-img is not installed: run `setup/dependencies run`").success());
    std::fs::remove_file(raw).unwrap();
    disk
}

fn openstack(arguments: &[&str]) {
    // Settings of this process for its own Python are none of theirs.
    let mut command = Command::new("openstack");
    command.args(arguments).env_remove("PYTHONDONTWRITEBYTECODE").env_remove("PYTHONPATH");
    assert!(
        command.output().expect("python3-openstackclient is not installed").status.success(),
        "openstack {arguments:?} failed"
    );
}

fn settle() {
    assert!(Command::new("sync").status().unwrap().success());
}

#[tokio::main]
async fn main() {
    let number = |name: &str, or: u64| std::env::var(name).map_or(or, |n| n.parse().expect(name));
    let (rounds, megabytes) = (number("ROUNDS", 3), number("MEGABYTES", 2000));
    let name = std::env::var("OS_CLOUD").expect("OS_CLOUD");
    let dir = tempfile::tempdir().unwrap();
    let disk = disk(dir.path(), megabytes);
    let env = std::env::vars().collect();
    let config = Config {
        login: login::login(Some(&name), &env, &login::Places::default()).unwrap(),
        home: dir.path().join("home"),
        runtime: dir.path().join("run"),
        defaults: Default::default(),
        owner: RUN.into(),
        ssh_from: Vec::new(),
    };
    let cloud = OpenStack::new(config).unwrap();
    let cx = RunCx::new(
        RUN,
        Ledger::open(&dir.path().join("ledger")).unwrap(),
        Default::default(),
        Default::default(),
    );

    println!("{megabytes} MB to Glance of {name}, {rounds} rounds");
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        settle();
        let start = Instant::now();
        let file = disk.to_str().unwrap();
        openstack(&[
            "image",
            "create",
            "--disk-format",
            "qcow2",
            "--container-format",
            "bare",
            "--file",
            file,
            "bench-import-theirs",
        ]);
        theirs.push(start.elapsed().as_secs_f64());
        openstack(&["image", "delete", "bench-import-theirs"]);

        settle();
        let start = Instant::now();
        let image = cloud
            .artifacts()
            .import(&cx.within(Duration::from_secs(3600)), "bench-import-ours", &disk)
            .await
            .unwrap();
        ours.push(start.elapsed().as_secs_f64());
        let made: Vec<Entry> = cx.ledger.entries();
        assert!(made.iter().any(|e| e.id.as_deref() == Some(&image.id)));
        for entry in &made {
            cloud.resources().delete(RUN, entry).await.unwrap();
            cx.ledger.gone(entry.seq).unwrap();
        }
    }
    for times in [&mut ours, &mut theirs] {
        times.sort_by(f64::total_cmp);
    }
    for (kind, index) in [("median", ours.len() / 2), ("best", 0)] {
        let (ours, theirs) = (ours[index], theirs[index]);
        println!(
            "{kind:<7} ours {ours:7.2} s   openstack image create {theirs:7.2} s   ratio {:.2}",
            ours / theirs
        );
    }
}
