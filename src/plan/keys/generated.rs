//! Generated definitions, each with one change: the keys of the steps that it concerns differ, and
//! of those after them; all others stay.
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::super::tests::{facts, request};
use super::super::{Plan, Purpose, plan};
use crate::frontend;
use crate::model::facts::BaseLookup;

const DEFINITIONS: u64 = 150;

/// Numbers that look random, the same for one seed. Source: Steele and others, SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap()
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Shell,
    Script,
    Upload,
    Ansible,
    Reboot,
}
use Kind::{Ansible, Reboot, Script, Shell, Upload};

/// A step as it is written. `of` is which text, script or directory; `env` the value of a variable.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Written {
    kind: Kind,
    of: usize,
    env: Option<usize>,
    retries: usize,
}

impl Written {
    fn any(dice: &mut Dice) -> Self {
        let kind = [Shell, Script, Upload, Ansible, Reboot][dice.below(5)];
        let env =
            (matches!(kind, Shell | Script | Ansible) && dice.below(2) == 0).then(|| dice.below(9));
        // What a restart is of is not written.
        let of = if kind == Reboot { 0 } else { dice.below(3) };
        Self { kind, of, env, retries: 0 }
    }

    fn yaml(&self) -> String {
        let of = self.of;
        let what = match self.kind {
            Shell => format!("shell: echo {of}"),
            Script => format!("script: scripts/{of}.sh"),
            Upload => format!("upload: {{src: files/{of}, dest: /srv/{of}}}"),
            Ansible => format!("ansible: ansible/{of}.yml"),
            Reboot => "reboot: true".into(),
        };
        let env = self.env.map_or_else(String::new, |value| format!(", env: {{A: '{value}'}}"));
        let retries = match self.retries {
            0 => String::new(),
            more => format!(", retries: {more}"),
        };
        format!("- {{{what}{env}{retries}}}\n")
    }
}

struct Tree {
    dir: tempfile::TempDir,
    steps: Vec<Written>,
    port: usize,
    base: String,
}

impl Tree {
    fn any(dice: &mut Dice) -> Self {
        let steps = (0..1 + dice.below(6)).map(|_| Written::any(dice)).collect();
        let this = Self { dir: tempfile::tempdir().unwrap(), steps, port: 80, base: "c0".into() };
        for of in 0..3 {
            this.write(&format!("scripts/{of}.sh"), "#!/bin/sh\n");
            this.write(&format!("files/{of}/a"), "a");
            this.write(&format!("ansible/{of}.yml"), "- hosts: all\n  roles: [r]\n");
        }
        this.write("ansible/roles/r/tasks/main.yml", "- command: 'true'\n");
        this.write("tests/t", "#!/bin/sh\n");
        fs::set_permissions(this.path("tests/t"), fs::Permissions::from_mode(0o755)).unwrap();
        this
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join("images/x").join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn plan(&self) -> Plan {
        let steps: String = self.steps.iter().map(Written::yaml).collect();
        let vars = format!("vars: {{port: {}}}\n", self.port);
        let text = format!("bundle: {{name: x, img_base: b}}\n{vars}steps:\n{steps}");
        self.write("build-vars.yml", &text);
        let bundle = frontend::load(self.dir.path(), &self.path("")).unwrap().bundle;
        let mut facts = facts();
        let BaseLookup::Found(base) = &mut facts.cloud.base else { unreachable!() };
        base.checksum.clone_from(&self.base);
        facts.host.inputs = frontend::inputs(&bundle).ok();
        let purpose = Purpose::Build { smoke: true };
        plan(&bundle, &facts, &request("20261120-233145-abcdef", purpose)).unwrap()
    }

    fn first(&self, of: impl Fn(&Written) -> bool) -> Option<usize> {
        self.steps.iter().position(of)
    }

    /// Makes one change. The first step whose key it concerns, and the first whose outline.
    fn change(&mut self, dice: &mut Dice) -> (String, [Option<usize>; 2]) {
        let (of, at) = (dice.below(3), dice.below(self.steps.len()));
        let playbook = self.first(|step| step.kind == Ansible);
        // A playbook may read every file, the definition included.
        let sooner = |own: Option<usize>| [own, playbook].into_iter().flatten().min();
        match dice.below(9) {
            0 => {
                self.write(&format!("scripts/{of}.sh"), "#!/bin/sh\ntrue\n");
                let own = self.first(|step| (step.kind, step.of) == (Script, of));
                (format!("script {of}"), [sooner(own), own])
            }
            1 => {
                self.write(&format!("files/{of}/a"), "other");
                let own = self.first(|step| (step.kind, step.of) == (Upload, of));
                (format!("file {of}"), [sooner(own), own])
            }
            2 => {
                self.write(&format!("files/{of}/new"), "");
                let own = self.first(|step| (step.kind, step.of) == (Upload, of));
                (format!("new file {of}"), [sooner(own), sooner(own)])
            }
            3 => {
                self.write("ansible/roles/r/tasks/main.yml", "- command: 'false'\n");
                ("role".into(), [playbook, None])
            }
            4 => {
                self.write("tests/t", "#!/bin/sh\ntrue\n");
                ("check".into(), [playbook, None])
            }
            5 => {
                self.port += 1;
                ("value".into(), [playbook, playbook])
            }
            6 => {
                self.base += "1";
                ("base".into(), [Some(0), Some(0)])
            }
            7 => {
                self.steps[at].retries += 1;
                (format!("retries {at}"), [playbook, None])
            }
            _ => {
                let before = self.steps.clone();
                match dice.below(3) {
                    0 => self.steps[at] = Written::any(dice),
                    1 => self.steps.swap(0, at),
                    _ => self.steps.insert(at, Written::any(dice)),
                }
                let longest = before.len().max(self.steps.len());
                let own = (0..longest).find(|at| before.get(*at) != self.steps.get(*at));
                let all = |own: usize| playbook.map_or(own, |playbook| own.min(playbook));
                (format!("{before:?} to be {:?}", self.steps), [own.map(all), own])
            }
        }
    }
}

type Keys = Vec<Option<String>>;

fn keys(plan: &Plan) -> [Keys; 2] {
    let of = |key: fn(&super::StepPlan) -> &Option<String>| {
        plan.steps.iter().map(|step| key(step).clone()).collect()
    };
    [of(|step| &step.key), of(|step| &step.outline)]
}

#[test]
fn no_change_is_hidden_and_nothing_else_is_told_as_one() {
    for seed in 0..DEFINITIONS {
        let dice = &mut Dice(seed);
        let mut tree = Tree::any(dice);
        let before = tree.plan();
        assert_eq!(keys(&before), keys(&tree.plan()), "seed {seed}: nothing changed");
        let (what, first) = tree.change(dice);
        let after = tree.plan();
        assert_eq!(before.base_key == after.base_key, what != "base", "seed {seed}");
        for ((before, after), first) in keys(&before).into_iter().zip(keys(&after)).zip(first) {
            let known = |key: &Option<String>| key.is_some();
            assert!(before.iter().chain(&after).all(known), "seed {seed}");
            let first = first.unwrap_or(before.len()).min(before.len()).min(after.len());
            assert_eq!(before[..first], after[..first], "seed {seed}: {what}");
            let mut pairs = before[first..].iter().zip(&after[first..]);
            assert!(pairs.all(|(a, b)| a != b), "seed {seed}: {what}");
        }
    }
}
