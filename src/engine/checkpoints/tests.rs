//! What is known of a state, and when it is used.
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::Trail;
use super::note::{Kept, Past};
use super::reads::{self, Read, Watch};
use crate::engine::machine::Running;
use crate::frontend;
use crate::guest::{
    Command, Exit, OnOutput, OnProgress, Remote, RemoteError, Target, Transfer, keys,
};
use crate::model::definition::Definition;
use crate::model::inputs::Inputs;
use crate::plan::Plan;
use crate::provider::Machine;
use crate::provider::checkpoints::Keeps;
use crate::wall::example_plan;

mod builds;
mod disks;

struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Self {
        let this = Self(tempfile::tempdir().unwrap());
        this.write("build-vars.yml", "bundle: {name: x, img_base: b}\n");
        this.write("ansible/bootstrap.yml", "- hosts: all\n  roles: [r]\n");
        this.write("ansible/roles/r/tasks/main.yml", "- command: 'true'\n");
        this.write("tests/t", "#!/bin/sh\n");
        this
    }

    fn dir(&self) -> PathBuf {
        self.0.path().join("images/x")
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.dir().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn definition(&self) -> Definition {
        let dir = self.dir();
        Definition {
            tree: self.0.path().into(),
            dir,
            label: "images/x".into(),
            ..Definition::default()
        }
    }

    fn inputs(&self) -> Inputs {
        frontend::inputs(&self.definition()).unwrap()
    }

    /// What a step is taken to have read that does this.
    fn read_by(&self, step: impl FnOnce()) -> Option<Read> {
        let (definition, before) = (self.definition(), self.inputs());
        let watch = Watch::begin(&definition, &before).unwrap();
        step();
        let opened = watch.opened().expect("it can be told");
        reads::read(&definition, opened, (&before, &self.inputs()))
    }
}

fn paths(read: &Read) -> Vec<&str> {
    read.keys().map(|path| path.to_str().unwrap()).collect()
}

#[test]
fn what_a_step_opens_is_what_it_reads() {
    let tree = Tree::new();
    let open = |path: &str| drop(fs::read(tree.dir().join(path)).unwrap());
    let read = tree.read_by(|| {
        open("ansible/roles/r/tasks/main.yml");
        open("ansible/bootstrap.yml");
        assert!(fs::read_dir(tree.dir()).unwrap().count() > 0);
    });
    let read = read.expect("all is known of it");
    assert_eq!(paths(&read), ["ansible/bootstrap.yml", "ansible/roles/r/tasks/main.yml"]);
    assert!(reads::are_current(&read, &tree.inputs()));
    tree.write("build-vars.yml", "bundle: {name: y, img_base: b}\n");
    tree.write("tests/t", "#!/bin/sh\ntrue\n");
    assert!(reads::are_current(&read, &tree.inputs()), "it has not read them");
    tree.write("ansible/roles/r/tasks/main.yml", "- command: 'false'\n");
    assert!(!reads::are_current(&read, &tree.inputs()));
    fs::remove_file(tree.dir().join("ansible/roles/r/tasks/main.yml")).unwrap();
    assert!(!reads::are_current(&read, &tree.inputs()));
}

/// A program of another name space, as those behind the wall are.
#[test]
fn a_child_process_is_seen_too() {
    let tree = Tree::new();
    let read = tree.read_by(|| {
        let cat = std::process::Command::new("cat").arg(tree.dir().join("tests/t")).output();
        assert!(cat.unwrap().status.success());
    });
    assert_eq!(paths(&read.unwrap()), ["tests/t"]);
}

/// What the factory looks at for its own sake is not read by the step.
#[test]
fn what_is_opened_aside_does_not_count() {
    let tree = Tree::new();
    let (definition, inputs) = (tree.definition(), tree.inputs());
    let watch = Watch::begin(&definition, &inputs).unwrap();
    let open = |path: &str| drop(fs::read(tree.dir().join(path)).unwrap());
    open("tests/t");
    watch.aside(|| open("build-vars.yml"));
    open("ansible/bootstrap.yml");
    let read = reads::read(&definition, watch.opened().unwrap(), (&inputs, &inputs)).unwrap();
    assert_eq!(paths(&read), ["ansible/bootstrap.yml", "tests/t"]);
}

#[test]
fn what_changes_while_a_step_runs_is_not_known() {
    let tree = Tree::new();
    let changed = tree.read_by(|| {
        fs::read(tree.dir().join("tests/t")).unwrap();
        tree.write("tests/t", "#!/bin/sh\nfalse\n");
    });
    assert_eq!(changed, None);
    let tree = Tree::new();
    assert_eq!(tree.read_by(|| tree.write("ansible/group_vars/all.yml", "a: 1\n")), None, "new");
    let tree = Tree::new();
    let gone = tree.read_by(|| fs::remove_file(tree.dir().join("tests/t")).unwrap());
    assert_eq!(gone, None);
}

/// Its change would be in no digest.
#[test]
fn a_file_that_is_no_part_of_the_definition_is_not_known() {
    let tree = Tree::new();
    tree.write("ansible/x.pyc", "bytes");
    tree.write("secret/deep/x.pyc", "bytes");
    for path in ["ansible/x.pyc", "secret/deep/x.pyc"] {
        let read = tree.read_by(|| drop(fs::read(tree.dir().join(path)).unwrap()));
        assert_eq!(read, None, "{path}");
    }
}

#[test]
fn a_file_that_names_the_run_makes_a_state_of_one_run() {
    let tree = Tree::new();
    tree.write(
        "ansible/motd",
        &format!("{}{{{{ lookup('env', 'FACTORY_RUN') }}}}", "x".repeat(70_000)),
    );
    let read = tree.read_by(|| drop(fs::read(tree.dir().join("ansible/motd")).unwrap()));
    assert_eq!(read, None);
    let read = tree.read_by(|| drop(fs::read(tree.dir().join("tests/t")).unwrap()));
    assert_eq!(paths(&read.unwrap()), ["tests/t"], "what is not read names nothing");
}

#[test]
fn a_file_that_a_step_names_stays_as_it_is() {
    let tree = Tree::new();
    let before = tree.inputs();
    tree.write("tests/t", "#!/bin/sh\nfalse\n");
    let after = tree.inputs();
    assert!(reads::stays(Path::new("ansible"), (&before, &after)));
    assert!(!reads::stays(Path::new("tests/t"), (&before, &after)));
    std::os::unix::fs::symlink("../tests/t", tree.dir().join("ansible/by")).unwrap();
    let before = tree.inputs();
    tree.write("tests/t", "#!/bin/sh\ntrue\n");
    assert!(!reads::stays(Path::new("ansible/by"), (&before, &tree.inputs())), "through a link");
}

/// A session that nobody uses.
struct Nobody;

#[async_trait::async_trait]
impl Remote for Nobody {
    async fn exec(&self, _: Command, _: OnOutput) -> Result<Exit, RemoteError> {
        Err(RemoteError::Lost("nobody".into()))
    }

    async fn put(&self, _: &Transfer<'_>, _: OnProgress) -> Result<(), RemoteError> {
        Err(RemoteError::Lost("nobody".into()))
    }

    async fn ping(&self, _: Duration) -> Result<(), RemoteError> {
        Err(RemoteError::Lost("nobody".into()))
    }
}

const DISK: Keeps = Keeps::Disk { worth: Duration::ZERO };

fn running() -> Running {
    let key = Arc::new(keys::generate_key("login"));
    let target = Target {
        host: "h".into(),
        port: 1,
        user: "debian".into(),
        host_keys: vec![key.public_key().clone()],
        key,
    };
    let machine = Machine { name: "m".into(), id: "i".into(), host: "h".into(), port: 1 };
    let remote = Arc::new(Nobody);
    let mut running = Running::new(machine, target, remote);
    running.earlier_names = vec!["m-1".into()];
    running
}

fn note(keeps: Keeps, ran: &[Timestamp]) -> Kept {
    let read = vec![Read::from([("a".into(), "b".into())]); ran.len() - 1];
    Kept::of(&running(), keeps, Past { ran: ran.to_vec(), read })
}

#[test]
fn a_note_reads_back() {
    let now = Timestamp::now();
    let kept = note(Keeps::Memory, &[now, now]);
    let text = kept.written();
    let read = |done| Kept::read(&text, Keeps::Memory, done);
    let (Kept::Memory(note), Some(Kept::Memory(back))) = (&kept, read(1)) else { panic!() };
    assert_eq!(back.past, note.past);
    assert_eq!(back.login.public_key(), note.login.public_key());
    assert_eq!(back.host_keys, note.host_keys);
    assert_eq!(back.names, ["m-1", "m"], "of the runs before it too");
    assert!(read(2).is_none(), "it has one step behind it");
    assert!(Kept::read(&text, DISK, 1).is_none(), "it is of another kind");
    assert!(Kept::read(&serde_json::json!({}), Keeps::Memory, 1).is_none());
}

/// The disk of a builder has its keys, and no other machine needs them.
#[test]
fn the_note_of_a_disk_has_no_secret() {
    let now = Timestamp::now();
    let kept = note(DISK, &[now, now]);
    let text = kept.written();
    let (Kept::Disk(traces), Some(Kept::Disk(back))) = (&kept, Kept::read(&text, DISK, 1)) else {
        panic!()
    };
    assert_eq!((&back.past, &back.name), (&traces.past, &traces.name));
    assert_eq!(back.login, traces.login);
    assert!(Kept::read(&text, DISK, 2).is_none() && Kept::read(&text, Keeps::Memory, 1).is_none());
    assert!(!text.to_string().contains("PRIVATE"), "{text}");
}

/// Each step has an age of its own, which a restored machine inherits.
#[test]
fn what_is_too_old_is_not_used() {
    let now = Timestamp::now();
    let ago = |hours: i64| now - SignedDuration::from_hours(hours);
    let plan = |fresh: Option<u64>| {
        let mut plan: Plan = example_plan(Path::new("/b"));
        plan.steps.truncate(0);
        let step = crate::plan::StepPlan {
            name: "s".into(),
            action: crate::model::step::StepKind::Reboot,
            timeout: 1,
            retries: 0,
            env: Default::default(),
            sudo: false,
            fresh,
            key: None,
            outline: None,
        };
        plan.steps = vec![step; 2];
        plan
    };
    let fresh = |hours: [i64; 3], limit| {
        note(Keeps::Memory, &hours.map(ago)).past().is_fresh(&plan(limit), now)
    };
    assert!(fresh([100, 100, 1], None));
    assert!(!fresh([169, 1, 1], None), "the base is older than a week");
    assert!(!fresh([1, 169, 1], None));
    assert!(fresh([100, 20, 1], Some(86_400)), "a machine that was booted is no step");
    assert!(!fresh([100, 25, 1], Some(86_400)));
    assert!(!fresh([100, 1, -1], None), "it is from the future");
}
