//! What is broken in the local store, and what goes on beside it.
use super::*;

/// One description was unreadable, and every command failed, whatever it was about.
#[test]
fn an_image_that_cannot_be_read_is_told_and_stops_nothing_else() {
    let factory = with_os(tree(), "other", "");
    build(&factory, &["os/tiny"]).exits(0);
    build(&factory, &["os/other"]).exits(0);
    let (sound, broken) = (ids(&factory, "tiny")[0].clone(), ids(&factory, "other")[0].clone());
    std::fs::write(factory.home().join("images").join(&broken).join("image.json"), "").unwrap();
    let left_out = format!("left out: image {broken}");
    let listed = factory.run(&["image", "list"]).exits(0).says(&left_out).out;
    assert!(listed.contains(&sound) && !listed.contains(&broken), "{listed}");
    build(&factory, &["os/tiny"]).exits(0).says(&left_out);
    assert_eq!(ids(&factory, "tiny").len(), 2);
    factory.run(&["image", "prune", "tiny", "--keep", "1", "--now"]).exits(0).says(&left_out);
    assert_eq!(ids(&factory, "tiny").len(), 1);
    factory.run(&["sweep"]).exits(0).says(&left_out).says("nothing to sweep");
    factory.run(&["image", "show", &broken]).exits(20).says("image.json");
    assert!(factory.home().join("images").join(&broken).join("disk.qcow2").exists());
}

/// The process died between the two steps of a removal: no image, and no run's.
#[test]
fn sweep_takes_what_a_removal_left() {
    let factory = tree();
    build(&factory, &["os/tiny"]).exits(0);
    build(&factory, &["os/tiny"]).exits(0);
    let all = ids(&factory, "tiny");
    let (stays, gone) = (&all[0], factory.home().join("images").join(&all[1]));
    std::fs::remove_file(gone.join("image.json")).unwrap();
    // Somebody may be about to put an image back there.
    factory.run(&["sweep"]).exits(0).says("nothing to sweep");
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(7200);
    for path in [&gone, &gone.join("disk.qcow2")] {
        std::fs::File::open(path).unwrap().set_modified(long_ago).unwrap();
    }
    let would = format!("(no run): would remove image {} without a description", all[1]);
    factory.run(&["sweep", "--dry-run"]).exits(0).says(&would);
    assert!(gone.exists());
    // Of one run nothing else is touched.
    factory.run(&["sweep", "--run", "20260101-000000-aaaaaa"]).exits(2);
    assert!(gone.exists());
    factory.run(&["sweep"]).exits(0).says("(no run): removed image");
    assert!(!gone.exists());
    factory.run(&["sweep"]).exits(0).says("nothing to sweep");
    assert_eq!(ids(&factory, "tiny"), [stays.as_str()]);
}

/// `PATH` with all programs but git.
fn without_git(dir: &std::path::Path) -> &std::path::Path {
    let path = std::env::var_os("PATH").unwrap();
    let programs = std::env::split_paths(&path).flat_map(std::fs::read_dir).flatten().flatten();
    for program in programs.filter(|program| program.file_name() != "git") {
        // The first of a name is the one.
        let _ = std::os::unix::fs::symlink(program.path(), dir.join(program.file_name()));
    }
    dir
}

/// What git ignores was a part of the definition there: "stale: its definition changed".
#[test]
fn without_git_a_definition_is_not_taken_for_another() {
    let factory = tree().file("os/tiny/site.retry", "").file(".gitignore", "*.retry\n");
    for words in ["init -q", "add .", "-c user.name=n -c user.email=e commit -qm a"] {
        let git = std::process::Command::new("git")
            .current_dir(factory.tree())
            .args(words.split(' '))
            .status();
        assert!(git.unwrap().success(), "{words}");
    }
    build(&factory, &["os/tiny"]).exits(0);
    let dir = tempfile::tempdir().unwrap();
    let ran = |args: &[&str]| {
        let mut command = factory.command(args);
        Ran::of(command.env("PATH", without_git(dir.path())).output().unwrap())
    };
    let listed = ran(&["image", "list", "tiny"]).exits(0).says("git is not installed");
    assert!(!listed.out.contains("definition changed"), "{}", listed.out);
    let planned = ["--accel", "tcg", "plan", "--json", "os/tiny"];
    let planned = ran(&planned).exits(0).says("git is not installed").out;
    assert!(!planned.contains("\"factory_inputs\""), "{planned}");
    let planned = factory.run(&["--accel", "tcg", "plan", "--json", "os/tiny"]).exits(0).out;
    assert!(planned.contains("\"factory_inputs\""), "{planned}");
}
