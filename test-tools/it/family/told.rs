//! What is hidden, replaced or invalid is compared, kept and told like anything else.
use image_factory::testing::digest::{Algorithm, Hasher};

use super::*;
use crate::tiny_disk::tiny_disk_saying;

/// A bundle that publishes hidden: nightly rebuilds end, and old images go.
#[test]
fn images_that_are_published_hidden_are_compared_and_pruned() {
    let factory = with_os(tree(), "tiny", "keep: 1\nfinal_glance_options: --hidden true\n");
    build(&factory, &["os/tiny"]).exits(0).says("is not current: it is hidden");
    build(&factory, &["--stale", "os/tiny"]).exits(0).says("os/tiny: up to date");
    for _ in 0..2 {
        build(&factory, &["os/tiny"]).exits(0);
    }
    assert_eq!(states(&factory, "tiny"), "active,hidden deprecated,hidden");
    factory.run(&["image", "show", "tiny"]).exits(0).says("has no current image; its newest is");
    let factory = factory.file("os/tiny/notes", "more");
    build(&factory, &["--stale", "--dry-run"]).exits(0).says("os/tiny: stale: its definition");
}

/// The publisher replaced the file under its address; here it is a file of this machine.
#[test]
fn another_file_of_the_source_makes_an_image_stale() {
    let factory = Factory::new();
    let disk = tiny_disk(&factory.tree());
    let list = factory.tree().join("SHA256SUMS");
    let publish = |text: &str| {
        tiny_disk_saying(&factory.tree(), text);
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(&std::fs::read(&disk).unwrap());
        std::fs::write(&list, format!("{}  tiny.img\n", hasher.finish().hex)).unwrap();
    };
    let vars = |name: &str, more: &str| {
        format!("bundle: {{name: {name}}}\nsource: {{url: {}{more}}}\n", disk.display())
    };
    publish("READY\r\n");
    let listed = vars("listed", &format!(", checksum_url: {}", list.display()));
    let factory = &factory;
    std::fs::create_dir_all(factory.tree().join("os/plain")).unwrap();
    std::fs::create_dir_all(factory.tree().join("os/listed")).unwrap();
    std::fs::write(factory.tree().join("os/plain/build-vars.yml"), vars("plain", "")).unwrap();
    std::fs::write(factory.tree().join("os/listed/build-vars.yml"), listed).unwrap();
    build(factory, &["os/plain", "os/listed"]).exits(0);
    build(factory, &["--stale"]).exits(0).says("nothing is stale");
    publish("ANOTHER\r\n");
    let notes = factory.run(&["image", "list"]).exits(0).out;
    assert_eq!(notes.matches("current, stale").count(), 2, "{notes}");
    for name in ["plain", "listed"] {
        factory.run(&["image", "show", name]).exits(0).says("yes: its source is another file now");
    }
    build(factory, &["--stale"]).exits(0).says("os/listed: stale: its source is another file now");
    build(factory, &["--stale"]).exits(0).says("nothing is stale");
    std::fs::write(&list, "<html>moved</html>\n").unwrap();
    factory.run(&["image", "list"]).exits(0).says("is stale is not known: checksum list");
    factory.run(&["image", "show", "listed"]).exits(0).says("stale       not known: checksum list");
    build(factory, &["--stale"]).exits(0).says("os/listed: up to date: as far as is known: ");
}

/// A slip in a definition with `keep`, and values that no command reads.
#[test]
fn what_an_invalid_definition_would_say_is_asked_for() {
    let factory = with_os(tree(), "other", "");
    for _ in 0..2 {
        build(&factory, &["os/tiny"]).exits(0);
        build(&factory, &["os/other"]).exits(0);
    }
    let factory = with_os(factory, "other", "keep: 1\n");
    let factory = with_os(factory, "tiny", "keep: 1\nmachin: {ram: 1G}\n");
    factory.run(&["image", "list"]).exits(0).says("os/tiny is invalid");
    let before = factory.listing();
    factory.run(&["image", "prune", "tiny"]).exits(10).says("machin");
    factory.run(&["image", "prune", "--set", "keep=1"]).exits(2).says("`--set` changes nothing");
    assert_eq!(before, factory.listing());
    factory.run(&["image", "prune"]).exits(10).says("machin").says("other: 2 published");
    assert_eq!(states(&factory, "other"), "active deprecated,hidden");
    assert_eq!(states(&factory, "tiny"), "active active");
    factory.run(&["image", "prune", "tiny", "--keep", "1"]).exits(0).says("hides");
    for command in [&["run", "list"][..], &["sweep"], &["doctor"], &["image", "list"]] {
        let refused = factory.run(&[command, &["--set", "keep=1"]].concat()).exits(2);
        assert!(!refused.says("`--set` changes nothing").err.contains("keep=1"), "{command:?}");
    }
}
