//! A console that never ends.
use std::io::Write;

use super::*;

fn on_disk(path: &Path) -> u64 {
    path.metadata().unwrap().blocks() * 512
}

#[test]
fn what_is_appended_without_end_stays_small_and_its_end_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("console.log");
    bound(&path).unwrap();
    let mut console = File::options().create(true).append(true).open(&path).unwrap();
    for round in 0..20 {
        console.write_all(&vec![b'x'; 3 << 20]).unwrap();
        writeln!(console, "\nround {round}").unwrap();
        console.sync_all().unwrap();
        bound(&path).unwrap();
        assert!(on_disk(&path) <= MOST + (64 << 10), "{} bytes in round {round}", on_disk(&path));
        let end = end_of(&path).unwrap();
        assert!(end.ends_with(&format!("x\nround {round}\n")) && end.len() as u64 <= END);
    }
}

#[test]
fn a_link_is_not_followed_and_small_files_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (real, link) = (dir.path().join("real"), dir.path().join("link"));
    std::fs::write(&real, vec![b'x'; 9 << 20]).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    assert!(bound(&link).is_err() && on_disk(&real) >= 9 << 20);
    std::fs::write(dir.path().join("small"), vec![b'x'; 5 << 20]).unwrap();
    bound(&dir.path().join("small")).unwrap();
    assert!(!std::fs::read(dir.path().join("small")).unwrap().contains(&0));
    assert_eq!(end_of(&dir.path().join("none")).unwrap(), "");
}
