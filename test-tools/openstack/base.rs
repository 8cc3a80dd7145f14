//! The base image of these tests: the disk that the tests of local machines made and tested is
//! uploaded, where there is one.
//!
//! So one CI run makes it once, and its definition's checks have passed on the same bytes.
//! `os_images` is about making it here.
use std::path::Path;

use super::factory::Factory;

/// The settings of `os/debian-12` with another source, and without what is for its script alone.
fn with_source(vars: &str, source: &str) -> String {
    let (before, rest) = vars.split_once("\nsource:\n").expect("os/debian-12 has a source");
    let (_, after) = rest.split_once("\n\n").expect("a blank line ends it");
    let after: Vec<&str> = after.lines().filter(|line| !line.starts_with("pass_env:")).collect();
    format!("{before}\n{source}\n{}\n", after.join("\n"))
}

/// `os/debian-12` as the local store has it: its disk and checksum.
fn local() -> Option<(String, String)> {
    let factory = Factory::new("base-of-local");
    let image = factory.images("debian-12").into_iter().find(|i| i["state"] == "active")?;
    let disk = factory.home().join("images").join(image["id"].as_str()?).join("disk.qcow2");
    Some((disk.display().to_string(), image["checksum"].as_str()?.to_owned()))
}

/// With the base published; without its smoke checks if it is the tested file of the local store.
pub fn published(factory: Factory) -> Factory {
    if factory.images("debian-12").iter().any(|i| i["state"] == "active") {
        return factory;
    }
    let Some((disk, sha512)) = local() else {
        println!("the local store has no debian-12: it is made here, by its script");
        return factory.with_base();
    };
    let written = Path::new(env!("CARGO_MANIFEST_DIR")).join("os/debian-12/build-vars.yml");
    let vars = std::fs::read_to_string(written).unwrap();
    let from_disk = format!("source:\n  url: {disk}\n  sha512: {sha512}\n  format: qcow2\n");
    let factory = factory.file("os/debian-12/build-vars.yml", &with_source(&vars, &from_disk));
    // A file outside the tree is the owner's to show.
    let config = factory.tree().with_file_name("config");
    std::fs::create_dir_all(config.join("image-factory")).unwrap();
    let store = Path::new(&disk).parent().unwrap().display();
    std::fs::write(config.join("image-factory/config.yml"), format!("read_only: ['{store}']\n"))
        .unwrap();
    let factory = factory.env("XDG_CONFIG_HOME", config.display().to_string());
    assert_eq!(factory.run(&["build", "--no-smoke", "--force", "os/debian-12"]).0, 0);
    factory
}
