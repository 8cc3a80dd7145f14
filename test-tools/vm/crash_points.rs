//! `kill -9` of the factory at twelve moments spread over the stages of a build, then `sweep`:
//! nothing of the run may be left.
//!
//! Half an hour of machine time, so neither `make test` nor `make test-failures` runs it: `make
//! test-moments`.
use std::time::Duration;

use super::factory::Factory;

/// What is waited for in the words of a verbose build, and how long after it the factory is killed.
const MOMENTS: [(&str, u64); 12] = [
    ("plan done", 0),
    ("booting factory-", 0),
    ("waiting for SSH", 200),
    ("waiting for SSH", 20_000),
    ("waiting for cloud-init", 500),
    ("the step", 1000),
    ("shell | in the machine", 0),
    ("tidy", 300),
    ("capturing the disk", 400),
    ("the host keys of smoke-", 10_000),
    ("check cloud-init", 0),
    ("publish", 0),
];

#[test]
#[ignore = "boots machines for half an hour: `make test-moments`"]
fn twelve_of_twelve_are_clean() {
    let vars = "bundle:\n  name: moments\n  img_base: os/debian-12\nsteps:\n  - name: the \
        step\n    shell: echo in the machine; sleep 5\n";
    let factory =
        Factory::ordinary("moments").file("images/moments/build-vars.yml", vars).with_base();
    let mut dirty = Vec::new();
    for (number, (text, after)) in MOMENTS.iter().enumerate() {
        let before = factory.images("moments").len();
        let mut build = factory.start(&["-v", "build", "--force", "images/moments"]);
        build.until(text, Duration::from_secs(900));
        std::thread::sleep(Duration::from_millis(*after));
        build.child.kill().unwrap();
        build.child.wait().unwrap();
        let there = factory.left().len();
        let (code, said) = factory.run(&["sweep"]);
        let left = factory.left();
        let published = factory.images("moments").len() - before;
        let removed = said.lines().filter(|l| l.contains("removed")).count();
        println!(
            "moment {:>2}: {text:?} + {after} ms: {there} things before sweep, {removed} removed, \
                left {left:?}, published {published}",
            number + 1
        );
        if code != 0 || !left.is_empty() || (published > 0 && number + 1 < MOMENTS.len()) {
            dirty.push(number + 1);
        }
    }
    assert!(dirty.is_empty(), "not clean: {dirty:?}");
}
