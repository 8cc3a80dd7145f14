//! The real `ansible-playbook` behind the real wall, against a private SSH server on loopback.
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::*;
use crate::engine::{BuildError, Goal};
use crate::guest::ssh::Ssh;
use crate::guest::{Connect, keys, sshd};
use crate::model::event::{Events, Sink, Stamped};
use crate::plan::Plan;
use crate::provider::fake::Memory;
use crate::provider::ledger::Ledger;
use crate::provider::{Machine, RunCx};
use crate::settings::{Accelerator, AnsibleSettings, Mode, Settings};
use crate::system::cancel::Cancel;
use crate::wall::{Config, Wall};

mod accelerated;
mod required;
mod vault;

const SECRET: &str = "s3cret";

#[derive(Clone, Default)]
struct Heard(Arc<Mutex<String>>);

impl Sink for Heard {
    fn take(&mut self, event: &Stamped) {
        let (Event::Output { line, .. }
        | Event::Note { text: line }
        | Event::Warning { text: line }) = &event.event
        else {
            return;
        };
        self.0.lock().unwrap().push_str(&format!("{line}\n"));
    }
}

/// A machine, a bundle in a tree, and a factory with secrets.
struct World {
    sshd: sshd::Sshd,
    dir: tempfile::TempDir,
    heard: Heard,
    mode: Mode,
    env: BTreeMap<String, String>,
    wrong_key: bool,
    /// What the owner's settings name.
    vault_password_file: Option<PathBuf>,
    accelerator: Accelerator,
    roles: Vec<PathBuf>,
}

impl World {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::Builder::new().prefix("w-").tempdir().unwrap();
        let kept = [
            "home/.config/openstack/clouds.yaml",
            "home/.ssh/id",
            "home/.netrc",
            "store/disk",
            "run/other/builder.key",
        ];
        let bundle = files.iter().map(|(name, text)| (format!("tree/images/x/{name}"), *text));
        for (name, text) in kept.map(|name| (name.to_owned(), SECRET)).into_iter().chain(bundle) {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text.replace("@DIR@", &dir.path().display().to_string())).unwrap();
        }
        let path = std::env::var("PATH").unwrap();
        let env = [("PATH", path.as_str()), ("OS_PASSWORD", SECRET), ("A_TOKEN", SECRET)]
            .map(|(n, v)| (n.to_owned(), v.to_owned()))
            .into();
        Self {
            sshd: sshd::Sshd::start(),
            dir,
            heard: Heard::default(),
            mode: Mode::Required,
            env,
            wrong_key: false,
            vault_password_file: None,
            accelerator: Accelerator::Off,
            roles: Vec::new(),
        }
    }

    /// Plays `play.yml`.
    fn step(&self, env: BTreeMap<String, String>) -> StepPlan {
        let terminal = ("ansible_ssh_use_tty".to_owned(), gives_terminals().into());
        let extra_vars = serde_json::Map::from_iter([terminal]);
        let action = StepKind::Ansible {
            playbook: "play.yml".into(),
            extra_vars,
            tags: Vec::new(),
            local: false,
            plain: false,
        };
        StepPlan {
            name: "play".into(),
            action,
            timeout: 120,
            retries: 0,
            env,
            sudo: false,
            fresh: None,
            key: None,
            outline: None,
        }
    }

    fn plan(&self, steps: Vec<StepPlan>) -> Plan {
        let dir = self.dir.path().join("tree/images/x");
        let mut plan = crate::wall::example_plan(&dir);
        plan.asks.tree = self.dir.path().join("tree");
        plan.steps = steps;
        plan
    }

    fn wall(&self) -> Wall {
        let at = |name: &str| self.dir.path().join(name);
        let ansible = AnsibleSettings {
            vault_password_file: self.vault_password_file.clone(),
            accelerator: self.accelerator.clone(),
            roles: self.roles.clone(),
            ..AnsibleSettings::default()
        };
        let settings = Settings { wall: self.mode, ansible, ..Settings::default() };
        let hidden = vec![at("store"), at("run")];
        Wall::new(Config { settings, env: self.env.clone(), home: Some(at("home")), hidden })
    }

    async fn play(&self, env: BTreeMap<String, String>) -> (Result<(), BuildError>, String) {
        self.play_all(vec![self.step(env)]).await
    }

    /// Plays the steps, up to the first that fails.
    async fn play_all(&self, steps: Vec<StepPlan>) -> (Result<(), BuildError>, String) {
        let plan = self.plan(steps);
        let at = |name: &str| self.dir.path().join(name);
        let wall = self.wall();
        let events = Events::default();
        events.add(Box::new(self.heard.clone()));
        let cx =
            RunCx::new(&plan.run, Ledger::open(&at("ledger")).unwrap(), events, Cancel::default());
        let scratch = at("run").join(&plan.run);
        fs::create_dir_all(&scratch).unwrap();
        fs::write(scratch.join("qmp"), SECRET).unwrap();
        let cloud = Memory::new();
        let site = BuildContext {
            cloud: &cloud,
            connect: &Ssh,
            cx: &cx,
            plan: &plan,
            wall: &wall,
            definition: Box::leak(Box::default()),
            scratch,
            work: at("work"),
            downloads: at("downloads"),
            proxies: Default::default(),
            pool: None,
            until: Goal::Published,
            keep_on_failure: false,
            home: at("home"),
            range: Default::default(),
        };
        let mut target = self.sshd.target.clone();
        let remote = Ssh.connect(&target, Duration::from_secs(30)).await.unwrap();
        if self.wrong_key {
            target.host_keys = vec![keys::generate_key("another").public_key().clone()];
        }
        let machine = Machine {
            name: "builder".into(),
            id: "1".into(),
            host: target.host.clone(),
            port: target.port,
        };
        let builder = Running::new(machine, target, remote);
        let mut done = Ok(());
        for (index, step) in plan.steps.iter().enumerate() {
            if done.is_ok() {
                done = Attempt { site: &site, builder: &builder, index, step }.run().await;
            }
        }
        (done, self.heard.0.lock().unwrap().clone())
    }
}

/// sshd gives a terminal to the group `tty`. Where the kernel has not done so already, only root
/// can, and a session that asks for a terminal, as Ansible's do, is lost.
fn gives_terminals() -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    // SAFETY: no preconditions.
    let root = unsafe { libc::geteuid() } == 0;
    root || mounts.lines().any(|line| line.contains(" devpts ") && line.contains("gid=5"))
}

/// What a thief looks for, in shell; `$1` is the directory of the world.
const LOOK: &str = "env; cat @DIR@/home/.config/openstack/* @DIR@/home/.ssh/* @DIR@/home/.netrc \
    ~/.config/openstack/* ~/.ssh/* \
     @DIR@/store/* @DIR@/run/other/* @DIR@/run/*/qmp @DIR@/ledger /etc/shadow /etc/image-factory/* \
     /etc/ssh/ssh_host* \
     /proc/*/environ; ls -a /root /home/* @DIR@/run; true";

fn thieves() -> [(&'static str, String); 3] {
    let play = format!(
        "- hosts: all\n  gather_facts: false\n  tasks:\n  - name: by lookup\n    debug: {{msg: \
            \"{{{{ lookup('pipe', '{LOOK}') }}}}\"}}\n  \
         - name: by plugin\n    thief: {{}}\n  - name: the machine\n    raw: echo on the \
         machine\n    register: said\n  - debug: {{var: said.stdout}}\n"
    );
    let plugin = format!(
        "import subprocess\nfrom ansible.plugins.action import ActionBase\nclass \
            ActionModule(ActionBase):\n    \
         def run(self, tmp=None, task_vars=None):\n        \
         said = subprocess.run('''{LOOK}''', shell=True, capture_output=True, text=True, \
         errors='replace')\n        \
         return dict(changed=False, msg='plugin: ' + said.stdout.replace(chr(0), ' '), \
         failed=False)\n"
    );
    let show = "- import_playbook: look.yml\n".to_owned();
    [
        (
            "look.yml",
            play.replace(
                "    thief: {}\n",
                "    thief: {}\n    register: found\n  - debug: {var: found.msg}\n",
            ),
        ),
        ("action_plugins/thief.py", plugin),
        ("play.yml", show),
    ]
}

fn world_with(files: &[(&'static str, String)]) -> World {
    World::new(&files.iter().map(|(name, text)| (*name, text.as_str())).collect::<Vec<_>>())
}

#[tokio::test]
async fn a_playbook_and_its_plugins_find_no_secret() {
    let (done, heard) = world_with(&thieves()).play(BTreeMap::new()).await;
    done.unwrap_or_else(|e| panic!("{e}\n{heard}"));
    assert!(
        heard.contains("on the machine")
            && heard.contains("plugin: ")
            && heard.contains("FACTORY_RUN="),
        "{heard}"
    );
    for word in [SECRET, "root:", "PRIVATE KEY", "OS_PASSWORD", "A_TOKEN", "authorized_keys"] {
        assert!(!heard.contains(word), "`{word}` in\n{heard}");
    }
}

/// The same without a wall finds what it looks for: the other test can fail. The environment is
/// kept even so.
#[tokio::test]
async fn without_a_wall_it_would_find_files() {
    let world = World { mode: Mode::Off, ..world_with(&thieves()) };
    let (done, heard) = world.play(BTreeMap::new()).await;
    done.unwrap_or_else(|e| panic!("{e}\n{heard}"));
    assert!(heard.contains(SECRET) && !heard.contains("OS_PASSWORD="), "{heard}");
}

/// Python wrote `__pycache__` into the definition, which had changed from then on.
#[tokio::test]
async fn a_playbook_leaves_no_bytecode_beside_its_plugins() {
    let plugin = "class FilterModule(object):\n    def filters(self):\n        return {'twice': \
        lambda text: text + text}\n";
    let play = "- hosts: all\n  gather_facts: false\n  tasks:\n  - debug: {msg: \"{{ 'ab' | twice \
        }}\"}\n";
    // Behind the wall nothing can be written there anyway.
    for mode in [Mode::Off, Mode::Required] {
        let files = [("filter_plugins/twice.py", plugin), ("play.yml", play)];
        let world = World { mode, ..World::new(&files) };
        let env = [("PYTHONDONTWRITEBYTECODE".to_owned(), String::new())].into();
        let (done, heard) = world.play(env).await;
        done.unwrap_or_else(|e| panic!("{e}\n{heard}"));
        assert!(heard.contains("abab"), "{heard}");
        let plugins = world.dir.path().join("tree/images/x/filter_plugins");
        let names: Vec<_> =
            fs::read_dir(plugins).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["twice.py"]);
    }
}

/// Whatever a bundle says of host keys, in all the places where Ansible listens.
fn careless() -> [(&'static str, String); 4] {
    let vars = "ansible_ssh_common_args: -o StrictHostKeyChecking=no -o \
        UserKnownHostsFile=/dev/null\n\
                ansible_ssh_extra_args: -o StrictHostKeyChecking=no\nansible_ssh_args: -o \
                StrictHostKeyChecking=no\n\
                ansible_host_key_checking: false\nansible_ssh_host_key_checking: false\n";
    let inner: String = vars.lines().map(|line| format!("      {line}\n")).collect();
    [
        (
            "ansible.cfg",
            "[defaults]\nhost_key_checking = False\n[ssh_connection]\nssh_args = -o \
            StrictHostKeyChecking=no\n"
                .into(),
        ),
        ("group_vars/all.yml", vars.into()),
        ("host_vars/builder.yml", vars.into()),
        (
            "play.yml",
            format!(
                "- hosts: all\n  gather_facts: false\n  vars:\n{inner}  tasks:\n  - \
            raw: echo reached\n    vars:\n{inner}"
            ),
        ),
    ]
}

#[tokio::test]
async fn ansibles_own_ssh_refuses_a_wrong_host_key_whatever_the_bundle_says() {
    for mode in [Mode::Required, Mode::Off] {
        let world = World { wrong_key: true, mode, ..world_with(&careless()) };
        let (done, heard) = world.play(BTreeMap::new()).await;
        let said = format!("{}\n{heard}", done.unwrap_err());
        assert!(
            said.to_lowercase().contains("host key verification failed")
                || said.contains("HOST IDENTIFICATION"),
            "{said}"
        );
        let right = World { wrong_key: false, mode, ..world_with(&careless()) };
        let (done, heard) = right.play(BTreeMap::new()).await;
        done.unwrap_or_else(|e| panic!("{e}\n{heard}"));
    }
}

#[tokio::test]
async fn what_a_step_sets_is_set() {
    let files = [
        ("other.cfg", "[defaults]\nforks = 7\n".to_owned()),
        (
            "play.yml",
            "- hosts: all\n  gather_facts: false\n  tasks:\n  - debug: {msg: \"{{ lookup('pipe', \
                'env') }}\"}\n  \
             - debug: {msg: \"forks {{ lookup('config', 'DEFAULT_FORKS') }}\"}\n"
                .to_owned(),
        ),
    ];
    let env = [
        ("ANSIBLE_CONFIG", "other.cfg"),
        ("ANSIBLE_TIMEOUT", "77"),
        ("PYTHONPATH", "/usr/share/none"),
        ("MINE", "1"),
    ];
    let env = env.map(|(n, v)| (n.to_owned(), v.to_owned())).into();
    let (done, heard) = world_with(&files).play(env).await;
    done.unwrap_or_else(|e| panic!("{e}\n{heard}"));
    for word in ["PYTHONPATH=/usr/share/none", "ANSIBLE_TIMEOUT=77", "MINE=1", "forks 7"] {
        assert!(heard.contains(word), "`{word}` is not in\n{heard}");
    }
}

/// Ansible tells of a failed module, and at most of a container; not that it is the wall.
#[tokio::test]
async fn a_become_on_the_factory_is_said_to_be_impossible() {
    let play = "- hosts: all\n  gather_facts: false\n  tasks:\n  - command: id\n    delegate_to: \
        localhost\n    become: true\n    \
                become_user: daemon\n    vars: {ansible_connection: local, \
                ansible_python_interpreter: /usr/bin/python3}\n";
    let (done, heard) = World::new(&[("play.yml", play)]).play(BTreeMap::new()).await;
    let said = done.unwrap_err().to_string();
    assert!(
        said.contains("behind the wall a task on the factory cannot become another user"),
        "{said}\n{heard}"
    );
}

/// A master of Ansible's `ssh` is used from task to task behind the wall too, and gone with the
/// playbook.
#[tokio::test]
async fn connections_are_shared_within_a_playbook() {
    let play = "- hosts: all\n  gather_facts: false\n  tasks:\n  - raw: echo one \
        $SSH_CONNECTION\n    register: a\n  \
                - raw: echo one $SSH_CONNECTION\n    register: b\n  - assert: {that: a.stdout == \
                b.stdout}\n";
    let world = World::new(&[("play.yml", play)]);
    let (done, heard) = world.play(BTreeMap::new()).await;
    done.unwrap_or_else(|e| panic!("{e}\n{heard}"));
    let here = world.dir.path().display().to_string();
    let masters = || {
        let titles =
            crate::system::exec::process::ours().into_iter().map(|process| process.title());
        titles.filter(|title| title.contains(&here) && title.contains("[mux]")).collect::<Vec<_>>()
    };
    // The kernel ends it; on a loaded machine that takes a moment.
    let mut left = masters();
    for _ in 0..100 {
        if left.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        left = masters();
    }
    assert!(left.is_empty(), "{left:?}");
}

/// The inventory, `ssh` and its list of known hosts each write such an address in a way of their
/// own.
#[tokio::test]
async fn a_machine_of_ipv6_alone_is_played_on() {
    let play = "- hosts: all\n  gather_facts: false\n  tasks:\n  - raw: echo on \
        $SSH_CONNECTION\n    register: said\n  \
                - debug: {var: said.stdout}\n";
    let world =
        World { sshd: sshd::Sshd::start_at("::1", &[]), ..World::new(&[("play.yml", play)]) };
    let (done, heard) = world.play(BTreeMap::new()).await;
    done.unwrap_or_else(|e| panic!("{e}\n{heard}"));
    assert!(heard.contains("on ::1 "), "{heard}");
    let wrong = World {
        sshd: sshd::Sshd::start_at("::1", &[]),
        wrong_key: true,
        ..World::new(&[("play.yml", play)])
    };
    let (done, heard) = wrong.play(BTreeMap::new()).await;
    let said = format!("{}\n{heard}", done.unwrap_err());
    assert!(
        said.to_lowercase().contains("host key verification failed")
            || said.contains("HOST IDENTIFICATION"),
        "{said}"
    );
}
