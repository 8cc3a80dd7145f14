//! Recognises, by content, the one definition of this project that needs to run without a wall; a
//! name proves nothing. Building the factory from a changed tree trusts that tree; an existing
//! program treats the change as untrusted.
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

include!(concat!(env!("OUT_DIR"), "/shipped.rs"));

/// Variables that it may request: none is secret.
pub(super) const ENV: &[&str] = &["MIRROR", "SECURITY_MIRROR", "DISK_MB"];

/// Not read by the script or its programs; code in them runs behind the wall.
const ASIDE: &[&str] = &["build-vars.yml", "tests", "output", "ansible"];

/// The script. build-vars.yml names it, and is not compared.
const SCRIPT: &str = "build.sh";

/// Whether `dir` holds the definition that this program was built with: the same files and
/// contents, no links; and whether `script` is the one it runs.
pub(super) fn is_ours(dir: &Path, script: &Path) -> bool {
    if script != Path::new(SCRIPT) {
        return false;
    }
    let aside = |path: &Path| {
        path.iter().next().is_some_and(|first| ASIDE.iter().any(|name| first == *name))
    };
    let known: BTreeSet<&Path> =
        FILES.iter().map(|(name, _)| Path::new(*name)).filter(|path| !aside(path)).collect();
    let mut found = 0;
    for entry in walkdir::WalkDir::new(dir).min_depth(1) {
        let Ok(entry) = entry else { return false };
        let path = entry.path().strip_prefix(dir).unwrap_or(entry.path());
        if aside(path) || entry.file_type().is_dir() {
            continue;
        }
        if !entry.file_type().is_file() || !known.contains(path) {
            return false;
        }
        found += 1;
    }
    let same =
        |name: &Path, content: &[u8]| fs::read(dir.join(name)).is_ok_and(|now| now == content);
    let kept = FILES.iter().filter(|(name, _)| !aside(Path::new(name)));
    found == known.len()
        && kept.clone().all(|(name, content)| same(Path::new(name), content))
        && !known.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_anything_that_runs_makes_it_a_strangers() {
        let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join(DEFINITION);
        let is_ours = |dir: &Path| is_ours(dir, Path::new(SCRIPT));
        assert!(is_ours(&ours));
        for other in ["tests/build.sh", "configure.sh", "./build.sh/../tests/x", ""] {
            assert!(!super::is_ours(&ours, Path::new(other)), "{other}");
        }
        let copy = tempfile::tempdir().unwrap();
        let copied = std::process::Command::new("cp")
            .arg("-R")
            .arg(ours.join("."))
            .arg(copy.path())
            .status()
            .unwrap();
        assert!(copied.success() && is_ours(copy.path()));
        let put = |name: &str, text: &str| fs::write(copy.path().join(name), text).unwrap();
        put("build-vars.yml", "bundle: {name: mine}");
        assert!(
            is_ours(copy.path()),
            "what it is called and what it gets is no matter of the wall"
        );
        put("files/etc/more", "x");
        assert!(
            !is_ours(copy.path()),
            "a file more goes into a root file system that root works in"
        );
        fs::remove_file(copy.path().join("files/etc/more")).unwrap();
        let script = fs::read_to_string(copy.path().join("build.sh")).unwrap();
        put("build.sh", &format!("{script}# changed\n"));
        assert!(!is_ours(copy.path()));
        put("build.sh", &script);
        assert!(is_ours(copy.path()));
        fs::remove_file(copy.path().join("configure.sh")).unwrap();
        std::os::unix::fs::symlink(ours.join("configure.sh"), copy.path().join("configure.sh"))
            .unwrap();
        assert!(!is_ours(copy.path()), "a link can lead elsewhere tomorrow");
        assert!(!is_ours(Path::new("/nonexistent")));
    }
}
