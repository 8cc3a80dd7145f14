//! What counts as a part of a definition.
use std::fs;

use super::*;

const VARS: &str = "bundle: {name: x, img_base: b}\n";

fn tree() -> (tempfile::TempDir, Definition) {
    let tree = tempfile::tempdir().unwrap();
    let dir = tree.path().join("images/x");
    fs::create_dir_all(dir.join("ansible")).unwrap();
    fs::write(dir.join("build-vars.yml"), VARS).unwrap();
    fs::write(dir.join("ansible/bootstrap.yml"), "- hosts: local\n").unwrap();
    let bundle = crate::frontend::load(tree.path(), &dir).unwrap().bundle;
    (tree, bundle)
}

#[test]
fn whatever_a_definition_says_is_in_its_digest() {
    let (_tree, bundle) = tree();
    let file = |name: &str| bundle.dir.join(name);
    let mut seen = vec![inputs(&bundle).unwrap().sha256];
    assert_eq!(seen[0].len(), 64);
    let mut differs = |what: &str| {
        let now = inputs(&bundle).unwrap().sha256;
        assert!(!seen.contains(&now), "{what}");
        seen.push(now);
    };
    fs::write(file("ansible/bootstrap.yml"), "- hosts: all\n").unwrap();
    differs("content");
    fs::set_permissions(file("ansible/bootstrap.yml"), fs::Permissions::from_mode(0o755)).unwrap();
    differs("mode");
    fs::rename(file("ansible/bootstrap.yml"), file("ansible/other.yml")).unwrap();
    differs("name");
    std::os::unix::fs::symlink("other.yml", file("ansible/bootstrap.yml")).unwrap();
    differs("link");
    fs::write(file("build-vars.yml"), format!("{VARS}\n")).unwrap();
    differs("settings");
    fs::write(file("empty"), "").unwrap();
    differs("an empty file");
    // What a list leads to is not counted, and so the list's every word is.
    for version in ["1.0.0", "1.0.1"] {
        fs::write(
            file("ansible/requirements.yml"),
            format!("collections: [{{name: a.b, version: {version}}}]\n"),
        )
        .unwrap();
        differs("a list of requirements");
    }
}

/// A role that several definitions share, behind a link: changed, and the digest stayed as it
/// was.
#[test]
fn what_a_link_brings_in_counts() {
    let (tree, bundle) = tree();
    let shared = tree.path().join("shared/roles");
    fs::create_dir_all(shared.join("web/tasks")).unwrap();
    fs::write(shared.join("web/tasks/main.yml"), "- ping:\n").unwrap();
    let plain = files(&bundle).unwrap();
    std::os::unix::fs::symlink("../../../shared/roles", bundle.dir.join("ansible/roles")).unwrap();
    let linked = files(&bundle).unwrap();
    let added: Vec<_> = linked
        .iter()
        .filter(|f| !plain.contains(f))
        .map(|f| (f.path.to_str().unwrap(), f.mode))
        .collect();
    assert_eq!(added, [("../../shared/roles/web/tasks/main.yml", '-'), ("ansible/roles", 'l')]);
    let mut seen = vec![inputs(&bundle).unwrap().sha256];
    let mut differs = |what: &str| {
        let now = inputs(&bundle).unwrap().sha256;
        assert!(!seen.contains(&now), "{what}");
        seen.push(now);
    };
    fs::write(shared.join("web/tasks/main.yml"), "- reboot:\n").unwrap();
    differs("a file behind a link to a directory");
    fs::create_dir(tree.path().join("more")).unwrap();
    fs::write(tree.path().join("more/f"), "1").unwrap();
    std::os::unix::fs::symlink("../../more", shared.join("more")).unwrap();
    differs("a link behind a link");
    fs::write(tree.path().join("more/f"), "2").unwrap();
    differs("what that one leads to");
    std::os::unix::fs::symlink("..", tree.path().join("more/loop")).unwrap();
    std::os::unix::fs::symlink("loop2", tree.path().join("more/loop2")).unwrap();
    differs("loops of links end");
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "1").unwrap();
    std::os::unix::fs::symlink(outside.path(), bundle.dir.join("out")).unwrap();
    let before = files(&bundle).unwrap();
    fs::write(outside.path().join("secret"), "2").unwrap();
    assert_eq!(files(&bundle).unwrap(), before, "what lies outside is not read");
}

#[test]
fn what_is_no_part_of_a_definition_is_not() {
    let (_tree, bundle) = tree();
    let before = inputs(&bundle).unwrap().sha256;
    for dir in ["target/runs", ".git", "emptydir"] {
        fs::create_dir_all(bundle.dir.join(dir)).unwrap();
    }
    fs::write(bundle.dir.join("target/runs/log"), "x").unwrap();
    fs::write(bundle.dir.join(".git/HEAD"), "x").unwrap();
    fs::set_permissions(bundle.dir.join("build-vars.yml"), fs::Permissions::from_mode(0o600))
        .unwrap();
    assert_eq!(inputs(&bundle).unwrap().sha256, before);
    fs::create_dir_all(bundle.dir.join("files/target")).unwrap();
    fs::write(bundle.dir.join("files/target/x"), "x").unwrap();
    assert_ne!(
        inputs(&bundle).unwrap().sha256,
        before,
        "a directory of that name further down is the bundle's"
    );
}

fn git(tree: &Path, words: &str) {
    let status = std::process::Command::new("git")
        .current_dir(tree)
        .args(["-c", "user.name=n", "-c", "user.email=e"])
        .args(words.split(' '))
        .status();
    assert!(status.unwrap().success(), "{words}");
}

/// Ansible wrote `__pycache__` beside a plugin, an editor its swap file: the definition
/// "changed".
#[test]
fn what_programs_leave_beside_a_definition_is_no_part_of_it() {
    for in_git in [false, true] {
        let (tree, bundle) = tree();
        fs::create_dir_all(bundle.dir.join("ansible/filter_plugins")).unwrap();
        fs::write(bundle.dir.join("ansible/filter_plugins/x.py"), "").unwrap();
        if in_git {
            git(tree.path(), "init -q");
            git(tree.path(), "add .");
            git(tree.path(), "commit -qm a");
        }
        let before = inputs(&bundle).unwrap();
        let cache = bundle.dir.join("ansible/filter_plugins/__pycache__");
        fs::create_dir(&cache).unwrap();
        let debris = [
            cache.join("x.cpython-311.pyc"),
            bundle.dir.join(".build-vars.yml.swp"),
            bundle.dir.join("ansible/bootstrap.yml~"),
        ];
        debris.iter().for_each(|path| fs::write(path, "1").unwrap());
        assert_eq!(inputs(&bundle).unwrap(), before, "in git: {in_git}");
        fs::write(bundle.dir.join("ansible/new file.yml"), "").unwrap();
        let more = inputs(&bundle).unwrap();
        assert_eq!(more.files.len(), before.files.len() + 1, "a new file counts before `add`");
        if in_git {
            git(tree.path(), "add -f images/x/.build-vars.yml.swp");
            assert_ne!(inputs(&bundle).unwrap(), more, "what git tracks is a part of it");
        }
    }
}

#[test]
fn what_git_ignores_counts_if_a_step_names_it() {
    let (tree, _) = tree();
    let dir = tree.path().join("images/x");
    let vars = "bundle: {name: x, img_base: b}\n\
        steps: [{upload: {src: dist, dest: /opt/}}, {script: made.sh}]\n";
    fs::write(dir.join("build-vars.yml"), vars).unwrap();
    fs::create_dir(dir.join("dist")).unwrap();
    for (name, text) in [("dist/app.jar", "1"), ("made.sh", "#!/bin/sh\n"), ("app.log", "1")] {
        fs::write(dir.join(name), text).unwrap();
    }
    fs::write(tree.path().join(".gitignore"), "dist/\n*.log\nmade.sh\n*.tmp\n").unwrap();
    git(tree.path(), "init -q");
    git(tree.path(), "add .");
    git(tree.path(), "commit -qm a");
    let bundle = crate::frontend::load(tree.path(), &dir).unwrap().bundle;
    let names = || -> Vec<String> {
        let files = files(&bundle).unwrap();
        files.iter().map(|file| file.path.display().to_string()).collect()
    };
    assert_eq!(names(), ["ansible/bootstrap.yml", "build-vars.yml", "dist/app.jar", "made.sh"]);
    fs::create_dir(dir.join("dist/__pycache__")).unwrap();
    fs::write(dir.join("ansible/x.tmp"), "").unwrap();
    assert_eq!(names().len(), 4 + 1, "the upload sends the directory: {:?}", names());
}

/// An upload sends all that is there: a plugin's byte code changed, and no digest did.
#[test]
fn all_that_a_step_sends_counts() {
    let (tree, _) = tree();
    let dir = tree.path().join("images/x");
    let vars = "bundle: {name: x, img_base: b}\nsteps:\n\
        - {upload: {src: files, dest: /opt/}}\n- {upload: {src: target/app.jar, dest: /opt/}}\n\
        - {upload: {src: shared, dest: /opt/}}\n";
    fs::write(dir.join("build-vars.yml"), vars).unwrap();
    std::os::unix::fs::symlink("more", dir.join("shared")).unwrap();
    let sent = [
        dir.join("files/plugin.pyc"),
        dir.join("files/__pycache__/x"),
        dir.join("files/.git/HEAD"),
        dir.join("target/app.jar"),
        dir.join("more/.git/HEAD"),
        dir.join("more/x~"),
    ];
    for path in &sent {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "1").unwrap();
    }
    let bundle = crate::frontend::load(tree.path(), &dir).unwrap().bundle;
    let mut seen = vec![inputs(&bundle).unwrap().sha256];
    let mut differs = |what: &Path| {
        let now = inputs(&bundle).unwrap().sha256;
        assert!(!seen.contains(&now), "{}", what.display());
        seen.push(now);
    };
    for path in &sent {
        fs::write(path, "2").unwrap();
        differs(path);
    }
    fs::create_dir(dir.join("files/empty")).unwrap();
    differs(Path::new("an empty directory"));
    fs::create_dir(dir.join("files/empty/inner")).unwrap();
    differs(Path::new("another in it"));
    let before = inputs(&bundle).unwrap();
    fs::create_dir(dir.join("target/runs")).unwrap();
    fs::write(dir.join("target/other.jar"), "1").unwrap();
    fs::write(dir.join("build-vars.yml~"), "1").unwrap();
    assert_eq!(inputs(&bundle).unwrap(), before, "no step sends that");
}

/// Every listing read every file of every definition.
#[test]
fn a_digest_is_known_until_a_file_changes_in_size_or_time() {
    let (_tree, bundle) = tree();
    let notes = tempfile::tempdir().unwrap();
    let file = bundle.dir.join("ansible/bootstrap.yml");
    let noted = || fs::read_dir(notes.path()).unwrap().count();
    let digest = known_digest(&bundle, notes.path()).unwrap();
    assert_eq!(digest, inputs(&bundle).unwrap().sha256);
    std::thread::sleep(std::time::Duration::from_millis(3500));
    assert_eq!(known_digest(&bundle, notes.path()).unwrap(), digest);
    assert_eq!(noted(), 1);
    // What is noted is believed, and so nothing was read.
    let note = fs::read_dir(notes.path()).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(&note).unwrap();
    fs::write(&note, text.replace(&digest, "told")).unwrap();
    assert_eq!(known_digest(&bundle, notes.path()).unwrap(), "told");
    fs::write(&file, "- hosts: all\n").unwrap();
    let changed = known_digest(&bundle, notes.path()).unwrap();
    assert_eq!(changed, inputs(&bundle).unwrap().sha256);
    assert_ne!(changed, digest);
}

/// A name with the end of a line in it once read like two files.
#[test]
fn no_name_reads_like_other_files() {
    let (_tree, bundle) = tree();
    fs::write(bundle.dir.join("a"), "1").unwrap();
    fs::write(bundle.dir.join("b"), "2").unwrap();
    let two = inputs(&bundle).unwrap().sha256;
    let of_b =
        files(&bundle).unwrap().into_iter().find(|f| f.path == Path::new("b")).unwrap().sha256;
    fs::remove_file(bundle.dir.join("b")).unwrap();
    fs::create_dir_all(bundle.dir.join(format!("a\n{of_b} - ."))).unwrap();
    fs::rename(bundle.dir.join("a"), bundle.dir.join(format!("a\n{of_b} - ./b"))).unwrap();
    assert_ne!(inputs(&bundle).unwrap().sha256, two);
    let (_tree, bundle) = tree_with(&[b"\xff".as_slice(), b"x\\2d".as_slice()]);
    let first = inputs(&bundle).unwrap().sha256;
    let (_tree, bundle) = tree_with(&[b"\xfe".as_slice(), b"x\\2d".as_slice()]);
    assert_ne!(inputs(&bundle).unwrap().sha256, first, "what is no text is told apart, too");
}

fn tree_with(names: &[&[u8]]) -> (tempfile::TempDir, Definition) {
    let (tree, bundle) = tree();
    for name in names {
        fs::write(bundle.dir.join(std::ffi::OsStr::from_bytes(name)), "").unwrap();
    }
    (tree, bundle)
}

#[test]
fn a_stamp_tells_what_was_taken_back() {
    let (_tree, bundle) = tree();
    let before = stamp(&bundle);
    assert_eq!(stamp(&bundle), before);
    let file = bundle.dir.join("ansible/bootstrap.yml");
    let text = fs::read(&file).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(20));
    fs::write(&file, "- hosts: all\n").unwrap();
    fs::write(&file, text).unwrap();
    assert_ne!(stamp(&bundle), before);
}

/// A link is what it says, also if that leads nowhere: the digest counts it.
#[test]
fn a_stamp_tells_where_links_lead() {
    let (_tree, bundle) = tree();
    let link = bundle.dir.join("link");
    std::os::unix::fs::symlink("nowhere", &link).unwrap();
    let (before, digest) = (stamp(&bundle), inputs(&bundle).unwrap().sha256);
    assert_eq!(stamp(&bundle), before);
    for target in ["elsewhere", "link", "ansible", "ansible/../ansible"] {
        let before = stamp(&bundle);
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(target, &link).unwrap();
        assert_ne!(stamp(&bundle), before, "{target}");
    }
    assert_ne!(inputs(&bundle).unwrap().sha256, digest);
}

#[test]
fn settings_that_lie_elsewhere_count() {
    let (tree, _) = tree();
    let dir = tree.path().join("images/y");
    fs::create_dir_all(&dir).unwrap();
    let vars = "bundle: {name: y, img_base: b, path: images/x}\n";
    fs::write(dir.join("build-vars.yml"), vars).unwrap();
    let bundle = crate::frontend::load(tree.path(), &dir).unwrap().bundle;
    let before = inputs(&bundle).unwrap().sha256;
    fs::write(dir.join("build-vars.yml"), format!("{vars}# more\n")).unwrap();
    let after = inputs(&bundle).unwrap().sha256;
    assert_ne!(after, before);
    fs::write(dir.join("beside.yml"), "").unwrap();
    assert_ne!(
        inputs(&bundle).unwrap().sha256,
        after,
        "what lies beside the settings is shown to playbooks, too"
    );
}
