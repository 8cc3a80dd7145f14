//! What the factory is made of, as far as Cargo.lock and the source tell; `make audit` looks
//! closer, with a tool that has to be installed.
use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Each crate comes from crates.io, and is known by its checksum.
#[test]
fn every_crate_has_its_checksum() {
    let (lock, mut seen) = (read("Cargo.lock"), 0);
    for package in
        lock.split("[[package]]").skip(1).filter(|p| !p.contains("name = \"image-factory\"\n"))
    {
        assert!(
            package
                .contains("source = \"registry+https://github.com/rust-lang/crates.io-index\"\n"),
            "{package}"
        );
        assert!(package.contains("checksum = \""), "{package}");
        seen += 1;
    }
    assert!(seen > 100, "{seen} crates");
}

/// deny.toml lets the archived serde_yaml in through the session crate, because its one use there
/// is not called: a session is made from a login, and clouds.yaml is read by us.
#[test]
fn the_session_crate_reads_no_clouds_yaml() {
    for entry in walkdir::WalkDir::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
        .into_iter()
        .flatten()
    {
        if entry.path().extension().is_none_or(|x| x != "rs") {
            continue;
        }
        let text = fs::read_to_string(entry.path()).unwrap();
        for call in [
            "Session::from_config",
            "Session::from_env",
            "Cloud::from_",
            "CloudConfig",
            "osauth::",
            "openstack::Cloud",
        ] {
            assert!(!text.contains(call), "{}: {call}", entry.path().display());
        }
    }
}
