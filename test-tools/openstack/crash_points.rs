//! `kill -9` of the factory at twelve moments spread over the stages of OpenStack builds, then
//! `sweep`: as administrator, the cloud looks as before.
//!
//! Half an hour of machine time: `make test-openstack-moments`.
use std::time::Duration;

use super::base;
use super::devcloud;
use super::factory::Factory;

/// What is waited for in the words of a verbose build, and how long after it the factory is killed.
const MOMENTS: [(&str, u64); 12] = [
    ("plan done", 0),
    ("plan done", 400),
    ("booting factory-", 300),
    ("booting factory-", 3000),
    ("waiting for SSH", 0),
    ("waiting for cloud-init", 500),
    ("shell | in the machine", 0),
    ("tidy", 300),
    ("capturing the disk", 100),
    ("capturing the disk", 1500),
    ("the host keys of smoke-", 0),
    ("check cloud-init", 0),
];

#[test]
#[ignore = "boots machines for half an hour: `make test-openstack-moments`"]
fn twelve_of_twelve_are_clean() {
    let vars = "bundle:\n  name: moments\n  img_base: os/debian-12\nsteps:\n  - name: the \
        step\n    shell: echo in the machine; sleep 5\n";
    let clouds = devcloud::clouds_yaml().display().to_string();
    let factory = Factory::new("openstack-moments")
        .apart()
        .env("OS_CLIENT_CONFIG_FILE", clouds)
        .env("OS_CLOUD", "devcloud")
        .file("images/moments/build-vars.yml", vars);
    let factory = base::published(factory);
    let before = devcloud::listing();
    let mut dirty = Vec::new();
    for (number, (text, after)) in MOMENTS.iter().enumerate() {
        let mut build = factory.start(&["-v", "build", "--force", "images/moments"]);
        build.until(text, Duration::from_secs(900));
        std::thread::sleep(Duration::from_millis(*after));
        build.child.kill().unwrap();
        build.child.wait().unwrap();
        let there = devcloud::changes(&before);
        let (code, said) = factory.run(&["sweep"]);
        let changes = devcloud::changes(&before);
        let left = factory.left();
        let removed = said.lines().filter(|l| l.contains("removed")).count();
        println!(
            "moment {:>2}: {text:?} + {after} ms: {} changes before sweep, {removed} removed, then \
                {changes:?} and {left:?}",
            number + 1,
            there.len()
        );
        if code != 0 || !changes.is_empty() || !left.is_empty() {
            dirty.push(number + 1);
        }
    }
    assert!(dirty.is_empty(), "not clean: {dirty:?}");
}
