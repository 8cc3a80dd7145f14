//! Lists of checksums in the forms of the distributions: whatever name stands in one is found with
//! the value of its line.
use std::path::Path;

use image_factory::testing::digest::Digest;
use image_factory::testing::fetch::{SumsError, find_sum};

/// Read in a way of its own, coarse and good enough for lists that are known to be sound: a value,
/// and what else is in its line.
fn lines_of(text: &str) -> Vec<(String, Digest)> {
    let value = |line: &str| line.split_whitespace().find_map(Digest::of_hex);
    let name = |line: &str| match line.split_once('(') {
        Some((_, rest)) => rest.split(')').next().unwrap().to_owned(),
        None => {
            line.split_whitespace().nth(1).unwrap_or_default().trim_start_matches('*').to_owned()
        }
    };
    text.lines()
        .filter(|l| !l.starts_with('#'))
        .filter_map(|l| Some((name(l), value(l)?)))
        .collect()
}

#[test]
fn every_name_in_every_list_is_found() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("test-tools/fixtures/checksums");
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().flatten().map(|e| e.path()).collect();
    files.retain(|path| path.extension().is_none_or(|x| x != "md"));
    assert!(files.len() >= 6, "{files:?}");
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let lines = lines_of(&text);
        assert!(!lines.is_empty(), "{} holds no checksum", path.display());
        for (name, value) in &lines {
            let found =
                find_sum(&text, name, "LIST").unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            assert!(
                found == *value || found.algorithm > value.algorithm,
                "{}: {name}",
                path.display()
            );
        }
        if lines.len() > 1 {
            let missing = find_sum(&text, "no-such-image.qcow2", "LIST");
            assert!(
                matches!(missing, Err(SumsError::NotListed { .. })),
                "{}: {missing:?}",
                path.display()
            );
        }
    }
}
