//! Which change of a definition changes which keys.
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::super::tests::{facts, request};
use super::super::{Plan, Purpose, plan};
use crate::frontend;

const VARS: &str = "bundle: {name: x, img_base: b}\nvars: {port: 80, mode: a}\nsteps:\n\
    - {shell: first}\n\
    - {script: scripts/a.sh, env: {A: '1'}}\n\
    - {upload: {src: files, dest: /srv}}\n\
    - {ansible: ansible/play.yml}\n\
    - {reboot: true}\n";
const FIRST: usize = 0;
const SCRIPT: usize = 1;
const UPLOAD: usize = 2;
const ANSIBLE: usize = 3;

struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Self {
        let this = Self(tempfile::tempdir().unwrap());
        let files = [
            ("build-vars.yml", VARS),
            ("scripts/a.sh", "#!/bin/sh\necho a\n"),
            ("files/a", "a"),
            ("files/b/c", "c"),
            ("ansible/play.yml", "- hosts: all\n  roles: [r]\n"),
            ("ansible/roles/r/tasks/main.yml", "- command: 'true'\n"),
            ("ansible/roles/r/vars/main.yml", "v: 1\n"),
            ("tests/t", "#!/bin/sh\n"),
        ];
        for (path, text) in files {
            this.write(path, text);
        }
        for path in ["scripts/a.sh", "tests/t"] {
            this.mode(path, 0o755);
        }
        this
    }

    fn dir(&self) -> std::path::PathBuf {
        self.0.path().join("images/x")
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.dir().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn mode(&self, path: &str, mode: u32) {
        fs::set_permissions(self.dir().join(path), PermissionsExt::from_mode(mode)).unwrap();
    }

    fn plan(&self) -> Plan {
        self.plan_on(|_| {})
    }

    fn plan_on(&self, change: impl FnOnce(&mut crate::model::image::Image)) -> Plan {
        let bundle = frontend::load(self.0.path(), &self.dir()).unwrap().bundle;
        let mut facts = facts();
        let crate::model::facts::BaseLookup::Found(base) = &mut facts.cloud.base else {
            unreachable!()
        };
        change(base);
        facts.host.inputs = frontend::inputs(&bundle).ok();
        let purpose = Purpose::Build { smoke: true };
        plan(&bundle, &facts, &request("20261120-233145-abcdef", purpose)).unwrap()
    }

    fn keys(&self) -> Vec<Option<String>> {
        keys(&self.plan())
    }
}

fn keys(plan: &Plan) -> Vec<Option<String>> {
    plan.steps.iter().map(|step| step.key.clone()).collect()
}

/// The first step whose key differs; all after it differ as well.
#[track_caller]
fn from(before: &[Option<String>], after: &[Option<String>]) -> usize {
    let first = before.iter().zip(after).position(|(a, b)| a != b).expect("no key differs");
    assert!(before[first..].iter().zip(&after[first..]).all(|(a, b)| a != b));
    first
}

#[test]
fn the_same_definition_has_the_same_keys_wherever_it_lies() {
    let tree = Tree::new();
    let keys = tree.keys();
    assert!(keys.iter().all(|key| key.as_ref().is_some_and(|key| key.len() == 64)), "{keys:?}");
    let mut sorted = keys.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(sorted.len(), 5, "each has its own");
    assert_eq!(tree.keys(), keys);
    assert_eq!(Tree::new().keys(), keys);
}

#[test]
fn what_a_step_reads_changes_its_key_and_those_after_it() {
    for (path, text, first) in [
        ("scripts/a.sh", "#!/bin/sh\necho b\n", SCRIPT),
        ("files/b/c", "d", UPLOAD),
        ("files/new", "", UPLOAD),
        ("ansible/roles/r/tasks/main.yml", "- command: 'false'\n", ANSIBLE),
        ("ansible/roles/r/vars/main.yml", "v: 2\n", ANSIBLE),
        ("ansible/roles/r/files/new", "", ANSIBLE),
        // A playbook can read it.
        ("tests/t", "#!/bin/sh\ntrue\n", ANSIBLE),
    ] {
        let tree = Tree::new();
        let before = tree.keys();
        tree.write(path, text);
        assert_eq!(from(&before, &tree.keys()), first, "{path}");
    }
    let tree = Tree::new();
    let before = tree.keys();
    tree.mode("files/a", 0o755);
    assert_eq!(from(&before, &tree.keys()), UPLOAD, "it may be executed now");
}

#[test]
fn what_a_step_says_changes_its_key_and_those_after_it() {
    for (was, is, first) in [
        ("{shell: first}", "{shell: other}", FIRST),
        ("{shell: first}", "{shell: first, sudo: true}", FIRST),
        ("A: '1'", "A: '2'", SCRIPT),
        ("dest: /srv", "dest: /opt", UPLOAD),
        ("port: 80", "port: 81", ANSIBLE),
        ("ansible/play.yml}", "ansible/play.yml, extra_vars: {v: 3}}", ANSIBLE),
    ] {
        let tree = Tree::new();
        let before = tree.keys();
        tree.write("build-vars.yml", &VARS.replace(was, is));
        assert_eq!(from(&before, &tree.keys()), first, "{is}");
    }
}

/// Nothing of these reaches the machine. An Ansible step may read build-vars.yml, so it and those
/// after it are left out here.
#[test]
fn names_deadlines_and_retries_are_in_no_key() {
    let tree = Tree::new();
    let before = tree.keys();
    let more = "{shell: first, name: other, timeout: 7m, retries: 3}";
    tree.write("build-vars.yml", &VARS.replace("{shell: first}", more));
    assert_eq!(tree.keys()[..ANSIBLE], before[..ANSIBLE]);
}

#[test]
fn a_base_changes_every_key_and_one_that_is_not_built_leaves_none() {
    let tree = Tree::new();
    let before = tree.keys();
    assert_eq!(from(&before, &keys(&tree.plan_on(|base| base.checksum = "def".into()))), FIRST);
    assert_eq!(keys(&tree.plan_on(|base| base.name = "renamed".into())), before);
    let unbuilt = tree.plan_on(|base| base.id = crate::model::image::NOT_BUILT.into());
    assert_eq!(keys(&unbuilt), vec![None; 5]);
}

#[test]
fn what_a_link_leads_to_is_read_too() {
    let tree = Tree::new();
    let shared = tree.0.path().join("shared/tasks");
    fs::create_dir_all(&shared).unwrap();
    fs::write(shared.join("main.yml"), "- command: 'true'\n").unwrap();
    symlink("../../../../shared", tree.dir().join("ansible/roles/s")).unwrap();
    let before = tree.keys();
    fs::write(shared.join("main.yml"), "- command: 'false'\n").unwrap();
    assert_eq!(from(&before, &tree.keys()), ANSIBLE, "of the tree");

    for (link, to) in [("scripts/by", "../more"), ("files/more", "../more")] {
        let tree = Tree::new();
        tree.write("more/s.sh", "#!/bin/sh\necho s\n");
        tree.mode("more/s.sh", 0o755);
        symlink(to, tree.dir().join(link)).unwrap();
        if link.starts_with("scripts") {
            tree.write("build-vars.yml", &VARS.replace("scripts/a.sh", "scripts/by/s.sh"));
        }
        let before = tree.keys();
        assert!(before.iter().all(Option::is_some));
        tree.write("more/s.sh", "#!/bin/sh\necho t\n");
        let first = if link.starts_with("scripts") { SCRIPT } else { UPLOAD };
        assert_eq!(from(&before, &tree.keys()), first, "{link}");
    }
}

/// A bundle of a stranger may have any name that the file system takes.
#[test]
fn names_that_are_not_utf_8_are_told_apart() {
    use std::os::unix::ffi::OsStrExt;
    let keys = [b"files/\xfe", b"files/\xff"].map(|name| {
        let tree = Tree::new();
        fs::write(tree.dir().join(std::ffi::OsStr::from_bytes(name)), "").unwrap();
        let bundle = frontend::load(tree.0.path(), &tree.dir()).unwrap().bundle;
        serde_json::to_string(&frontend::inputs(&bundle).unwrap()).unwrap();
        tree.keys()
    });
    assert_eq!(from(&keys[0], &keys[1]), UPLOAD);
}

#[test]
fn a_source_counts_as_it_is_written() {
    let source = |source: &str| {
        let tree = tempfile::tempdir().unwrap();
        let dir = tree.path().join("os/x");
        fs::create_dir_all(&dir).unwrap();
        let vars = format!("bundle: {{name: x}}\nsource: {source}\nsteps: [{{shell: a}}]\n");
        fs::write(dir.join("build-vars.yml"), vars).unwrap();
        fs::write(dir.join("make"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(dir.join("make"), PermissionsExt::from_mode(0o755)).unwrap();
        fs::write(dir.join("disk.img"), "disk").unwrap();
        let bundle = frontend::load(tree.path(), &dir).unwrap().bundle;
        let keys = || {
            let mut facts = facts();
            facts.host.inputs = frontend::inputs(&bundle).ok();
            keys(&plan(&bundle, &facts, &request("r-1", Purpose::Build { smoke: true })).unwrap())
        };
        let before = keys();
        assert!(before[0].is_some(), "{source}");
        for (file, text) in [("make", "#!/bin/sh\ntrue\n"), ("disk.img", "other")] {
            fs::write(dir.join(file), text).unwrap();
        }
        (before.clone(), keys() != before)
    };
    let sum = |digit: &str| format!("sha256: {}", digit.repeat(64));
    let url = |sum: &str| format!("{{url: 'https://example.org/a.img', {sum}}}");
    let all = [
        source("{script: make}"),
        source("{url: disk.img}"),
        source(&url(&sum("a"))),
        source(&url(&sum("b"))),
        source(&url("checksum_url: 'https://example.org/SUMS'")),
    ];
    assert_eq!(all.each_ref().map(|(_, follows)| *follows), [true, true, false, false, false]);
    for (at, (key, _)) in all.iter().enumerate() {
        assert!(all[..at].iter().all(|(other, _)| other != key), "{at}");
    }
}

fn outlines(plan: &Plan) -> Vec<Option<String>> {
    plan.steps.iter().map(|step| step.outline.clone()).collect()
}

/// Which files a playbook reads, only its run tells: their names count, and not what is in them.
#[test]
fn an_outline_has_what_is_known_before_the_run() {
    for (path, text, first) in [
        ("scripts/a.sh", "#!/bin/sh\necho b\n", Some(SCRIPT)),
        ("files/b/c", "d", Some(UPLOAD)),
        ("ansible/roles/r/files/new", "", Some(ANSIBLE)),
        ("ansible/roles/r/vars/main.yml", "v: 2\n", None),
        ("tests/t", "#!/bin/sh\ntrue\n", None),
    ] {
        let tree = Tree::new();
        let before = outlines(&tree.plan());
        tree.write(path, text);
        let after = outlines(&tree.plan());
        match first {
            Some(first) => assert_eq!(from(&before, &after), first, "{path}"),
            None => assert_eq!(before, after, "{path}"),
        }
    }
    let tree = Tree::new();
    let before = outlines(&tree.plan());
    tree.write("build-vars.yml", &VARS.replace("port: 80", "port: 81"));
    assert_eq!(from(&before, &outlines(&tree.plan())), ANSIBLE, "its values are given to it");
    assert!(tree.plan().base_key.is_some());
}

/// Another family's image would say that it is this one's.
#[test]
fn a_step_that_runs_a_program_counts_with_the_family_that_it_is_told() {
    let tree = Tree::new();
    let upload = "- {upload: {src: files, dest: /srv}}\n- {reboot: true}\n- {shell: first}\n";
    let vars = |name: &str| format!("bundle: {{name: {name}, img_base: b}}\nsteps:\n{upload}");
    let keys = |name: &str| {
        tree.write("build-vars.yml", &vars(name));
        let plan = tree.plan();
        (plan.base_key.clone(), keys(&plan), outlines(&plan))
    };
    let (one, other) = (keys("one"), keys("other"));
    assert_eq!(one.0, other.0);
    for (one, other) in [(one.1, other.1), (one.2, other.2)] {
        assert!(one.iter().all(Option::is_some), "{one:?}");
        assert_eq!(from(&one, &other), 2, "a file and a restart are told nothing");
    }
}

/// It differs in every run, so that nothing made with it is of use to another.
#[test]
fn what_is_told_of_the_run_has_no_key() {
    let tree = Tree::new();
    tree.write("scripts/a.sh", "#!/bin/sh\necho $FACTORY_RUN\n");
    let (keys, outlines) = (tree.keys(), outlines(&tree.plan()));
    for keys in [keys, outlines] {
        assert!(keys[FIRST].is_some());
        assert!(keys[SCRIPT..].iter().all(Option::is_none), "{keys:?}");
    }
    let tree = Tree::new();
    tree.write("build-vars.yml", &VARS.replace("{shell: first}", "{shell: 'echo $FACTORY_RUN'}"));
    assert!(tree.keys().iter().all(Option::is_none));
}

/// What a link leads to is read as well, and has an entry of its own.
#[test]
fn what_a_link_leads_to_may_be_told_of_the_run() {
    for (link, to, step) in [
        ("scripts/by.sh", "../real/run.sh", "{script: scripts/by.sh}"),
        ("files/by", "../real", "{upload: {src: files, dest: /srv}}"),
    ] {
        let tree = Tree::new();
        tree.write("real/run.sh", "#!/bin/sh\necho $FACTORY_RUN\n");
        symlink(to, tree.dir().join(link)).unwrap();
        let vars = format!("bundle: {{name: x, img_base: b}}\nsteps: [{step}]\n");
        tree.write("build-vars.yml", &vars);
        assert_eq!((tree.keys(), outlines(&tree.plan())), (vec![None], vec![None]), "{link}");
    }
    let tree = Tree::new();
    tree.write("real/run.sh", "#!/bin/sh\necho $FACTORY_RUN\n");
    assert!(tree.keys().iter().all(Option::is_some), "no step reads it but a playbook, perhaps");
}
