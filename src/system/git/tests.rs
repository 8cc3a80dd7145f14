//! Repositories of every kind, and ones that were planted.
use std::os::unix::fs::symlink;
use std::process::Command;

use super::*;

/// git as a person calls it, with nothing of this machine's configuration.
fn git(dir: &Path, args: &[&str]) -> String {
    let identity = [
        "-c",
        "user.name=n",
        "-c",
        "user.email=e",
        "-c",
        "init.defaultBranch=main",
        "-c",
        "protocol.file.allow=always",
    ];
    let mut command = Command::new("git");
    command
        .current_dir(dir)
        .args(identity)
        .args(args)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1");
    let done = command.output().unwrap();
    assert!(done.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

struct Tree(tempfile::TempDir);

impl Tree {
    fn new(init: &[&str]) -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        git(tree.path(), init);
        fs::create_dir_all(tree.path().join("images/x")).unwrap();
        fs::create_dir_all(tree.path().join("images/y")).unwrap();
        fs::write(tree.path().join("images/x/f"), "1").unwrap();
        fs::write(tree.path().join("images/y/f"), "1").unwrap();
        git(tree.path(), &["add", "."]);
        git(tree.path(), &["commit", "-qm", "a"]);
        tree
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

async fn asked(tree: &Path) -> Option<String> {
    let dir = tree.join("images/x").canonicalize().unwrap();
    commit(tree, &[&dir], &Cancel::default()).await
}

#[tokio::test]
async fn the_commit_and_changes_below_the_bundle_are_told() {
    for init in [&["init", "-q"][..], &["init", "-q", "--object-format=sha256"]] {
        let tree = Tree::new(init);
        let head = git(tree.path(), &["rev-parse", "HEAD"]);
        let clean = Some(head.clone());
        assert_eq!(asked(tree.path()).await, clean, "{init:?}");
        fs::write(tree.path().join("images/y/f"), "22").unwrap();
        assert_eq!(asked(tree.path()).await, clean, "another bundle's change");
        fs::write(tree.path().join("images/x/new"), "").unwrap();
        assert_eq!(asked(tree.path()).await, Some(format!("{head}-dirty")));
        fs::write(tree.path().join(".gitignore"), "new\n").unwrap();
        assert_eq!(asked(tree.path()).await, clean, "what is ignored is no change");
        fs::write(tree.path().join("images/x/f"), "22").unwrap();
        assert_eq!(asked(tree.path()).await, Some(format!("{head}-dirty")));
        git(tree.path(), &["checkout", "-q", "images/x/f"]);
        git(tree.path(), &["pack-refs", "--all"]);
        git(tree.path(), &["update-index", "--split-index"]);
        assert_eq!(asked(tree.path()).await, clean, "packed refs and a split index");
        git(tree.path(), &["checkout", "-q", "--detach"]);
        assert_eq!(asked(tree.path()).await, clean);
        assert_eq!(git(tree.path(), &["status", "--porcelain"]), "M images/y/f\n?? .gitignore");
    }
}

/// A build was `-dirty` for what Ansible or an editor had left.
#[tokio::test]
async fn debris_is_no_change_of_the_tree_unless_git_tracks_it() {
    let tree = Tree::new(&["init", "-q"]);
    let clean = asked(tree.path()).await;
    let at = |name: &str| tree.path().join("images/x").join(name);
    fs::create_dir(at("__pycache__")).unwrap();
    fs::write(at("__pycache__/x.pyc"), "").unwrap();
    fs::write(at(".f.swp"), "").unwrap();
    assert_eq!(asked(tree.path()).await, clean);
    fs::write(at("new"), "").unwrap();
    assert!(asked(tree.path()).await.unwrap().ends_with("-dirty"));
    fs::remove_file(at("new")).unwrap();
    git(tree.path(), &["add", "-f", "images/x/.f.swp"]);
    git(tree.path(), &["commit", "-qm", "b"]);
    fs::write(at(".f.swp"), "1").unwrap();
    assert!(asked(tree.path()).await.unwrap().ends_with("-dirty"));
}

#[tokio::test]
async fn worktrees_and_submodules_are_known() {
    let tree = Tree::new(&["init", "-q"]);
    let head = git(tree.path(), &["rev-parse", "HEAD"]);
    let other = tempfile::tempdir().unwrap();
    let worktree = other.path().join("w");
    git(tree.path(), &["worktree", "add", "-q", worktree.to_str().unwrap()]);
    assert_eq!(asked(&worktree).await, Some(head.clone()));
    let around = Tree::new(&["init", "-q"]);
    git(around.path(), &["submodule", "add", "-q", tree.path().to_str().unwrap(), "sub"]);
    assert_eq!(asked(&around.path().join("sub")).await, Some(head));
}

/// Every way to name a program in a repository's configuration that `git status` is known to run,
/// and a bare repository made of plain files: `plan` ran the command of the latter.
#[tokio::test]
async fn nothing_that_a_repository_brings_is_run() {
    let tree = Tree::new(&["init", "-q"]);
    let mark = tree.path().join("ran");
    let program = tree.path().join("evil.sh");
    fs::write(&program, format!("#!/bin/sh\ntouch {}\ncat\n", mark.display())).unwrap();
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let evil = program.to_str().unwrap();
    let config = format!(
        "[core]\n fsmonitor = {evil}\n hooksPath = {0}\n pager = {evil}\n sshCommand = {evil}\n \
            gitProxy = {evil}\n \
         alternateRefsCommand = {evil}\n[filter \"x\"]\n clean = {evil}\n process = {evil}\n \
         required = true\n\
         [diff \"x\"]\n textconv = {evil}\n command = {evil}\n[diff]\n external = \
         {evil}\n[include]\n path = {0}/more\n",
        tree.path().display()
    );
    fs::write(tree.path().join("more"), format!("[core]\n fsmonitor = {evil}\n")).unwrap();
    fs::copy(&program, tree.path().join("post-index-change")).unwrap();
    fs::write(tree.path().join(".gitattributes"), "* filter=x diff=x\n").unwrap();
    let bare = tree.path().join("images/x");
    for dir in ["objects", "refs"] {
        fs::create_dir(bare.join(dir)).unwrap();
    }
    fs::write(bare.join("HEAD"), "ref: refs/heads/main\n").unwrap();
    fs::write(bare.join("config"), format!("{config}[core]\n bare = false\n worktree = .\n"))
        .unwrap();
    let own = tree.path().join(".git/config");
    fs::write(&own, fs::read_to_string(&own).unwrap() + &config).unwrap();
    // so that filters would have to look
    fs::write(tree.path().join("images/x/f"), "other").unwrap();
    let head = fs::read_to_string(tree.path().join(".git/refs/heads/main")).unwrap();
    assert_eq!(asked(tree.path()).await, Some(format!("{}-dirty", head.trim())));
    assert!(!mark.exists());
    // The traps are real: git itself steps into one.
    let _ = Command::new("git").current_dir(tree.path()).args(["status", "-s"]).output();
    assert!(mark.exists(), "the test's own trap does not work");
}

#[tokio::test]
async fn what_is_odd_has_no_commit() {
    let plain = tempfile::tempdir().unwrap();
    fs::create_dir_all(plain.path().join("images/x")).unwrap();
    assert_eq!(asked(plain.path()).await, None);
    let other = Tree::new(&["init", "-q"]);
    let git = plain.path().join(".git");
    fs::write(&git, format!("gitdir: {}/.git\n", other.path().display())).unwrap();
    assert_eq!(asked(plain.path()).await, None, "a file that leads into another project");
    fs::remove_file(&git).unwrap();
    symlink(other.path().join(".git"), &git).unwrap();
    assert_eq!(asked(plain.path()).await, None, "a link that does");
    fs::remove_file(&git).unwrap();
    fs::create_dir(&git).unwrap();
    for head in ["", "ref: refs/../../../etc/passwd", "ref: HEAD", "zz", "ref: refs/heads/none"] {
        fs::write(git.join("HEAD"), head).unwrap();
        assert_eq!(asked(plain.path()).await, None, "{head}");
    }
    let outside = tempfile::tempdir().unwrap();
    assert_eq!(
        commit(other.path(), &[outside.path()], &Cancel::default()).await,
        None,
        "a bundle that lies elsewhere"
    );
}

/// git compares the content of files that are as new as the index, which may have changed within a
/// tick of the clock.
#[test]
fn the_copy_of_the_index_is_as_old_as_the_index() {
    let tree = Tree::new(&["init", "-q"]);
    let index = tree.path().join(".git/index");
    let hour = std::time::SystemTime::now() - Duration::from_secs(3600);
    fs::File::options().write(true).open(&index).unwrap().set_modified(hour).unwrap();
    let ours = ours(&find(tree.path()).unwrap()).unwrap();
    let time = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
    assert_eq!(time(&ours.path().join("index")), time(&index));
}

/// Who did not look saw no change: `factory_commit` was without `-dirty`.
#[tokio::test]
async fn a_change_that_git_is_told_not_to_look_at_is_one() {
    for mark in ["--assume-unchanged", "--skip-worktree"] {
        let tree = Tree::new(&["init", "-q"]);
        let clean = asked(tree.path()).await;
        git(tree.path(), &["update-index", mark, "images/x/f", "images/y/f"]);
        assert_eq!(asked(tree.path()).await, clean, "{mark}: nothing is changed");
        fs::write(tree.path().join("images/y/f"), "other").unwrap();
        assert_eq!(asked(tree.path()).await, clean, "{mark}: another bundle's change");
        fs::write(tree.path().join("images/x/f"), "other").unwrap();
        assert!(asked(tree.path()).await.unwrap().ends_with("-dirty"), "{mark}");
        fs::remove_file(tree.path().join("images/x/f")).unwrap();
        assert!(asked(tree.path()).await.unwrap().ends_with("-dirty"), "{mark}, removed");
        assert_eq!(git(tree.path(), &["status", "--porcelain"]), "", "{mark}: the index is theirs");
    }
}

/// Names that git writes in quotes matched no file, and what was ignored counted.
#[test]
fn what_is_ignored_is_left_out_whatever_it_is_called() {
    use std::os::unix::ffi::OsStrExt;
    let tree = Tree::new(&["init", "-q"]);
    fs::write(tree.path().join(".gitignore"), "*.retry\n").unwrap();
    let top = tree.path().canonicalize().unwrap();
    let dir = top.join("images/x");
    let names: [&[u8]; 8] = [
        b"a.retry",
        b"a b.retry",
        b"a\"b.retry",
        b"a\\b.retry",
        b"\"a\".retry",
        b"a\n\t\x07\x1b.retry",
        "\u{e4}\u{20ac}.retry".as_bytes(),
        b"\xff\xfe.retry",
    ];
    let mut paths: Vec<PathBuf> =
        names.map(|name| dir.join(std::ffi::OsStr::from_bytes(name))).into();
    paths.iter().for_each(|path| fs::write(path, "").unwrap());
    let mut found = left_out(&top, &[&dir]).unwrap().unwrap().ignored;
    paths.sort();
    found.sort();
    assert_eq!(found, paths);
}

/// The digest of a definition was another one where git is not installed.
#[test]
fn without_git_nobody_knows_what_it_ignores() {
    let none = super::asked(&Cmd::new("no-git-of-this-name", DEADLINE)).unwrap_err();
    assert_eq!(none.kind(), io::ErrorKind::Unsupported);
    assert!(none.to_string().contains("is not known"), "{none}");
    let fails = super::asked(&Cmd::new("false", DEADLINE)).unwrap_err();
    assert_eq!(fails.kind(), io::ErrorKind::Other);
}
