//! Playbooks with Mitogen, which `setup/dependencies test` installs, and facts that are gathered
//! once where playbooks follow one another.
use std::time::Instant;

use super::required::made;
use super::*;

/// Fails where Mitogen's Python runs the task.
const NOT_BY_MITOGEN: &str = "- hosts: all\n  gather_facts: false\n  tasks:\n  - name: picky\n    \
    shell: '! grep -q mitogen: /proc/$PPID/cmdline && echo $((6 * 7)) of plain'\n    register: \
    said\n  - debug: {var: said.stdout}\n";

/// A machine whose package index does not have it can do without.
fn is_installed() -> bool {
    let is = std::path::Path::new("/usr/local/lib/image-factory/mitogen").is_dir();
    if !is {
        eprintln!("left out: `setup/dependencies accelerator` has not installed Mitogen");
    }
    is
}

fn fast(files: &[(&str, &str)]) -> World {
    World { accelerator: Accelerator::Auto, ..World::new(files) }
}

fn nothing() -> BTreeMap<String, String> {
    BTreeMap::new()
}

#[tokio::test]
async fn a_playbook_runs_with_mitogen_and_the_machine_is_not_told_of_the_factory() {
    if !is_installed() {
        return;
    }
    let play = "- hosts: all\n  gather_facts: false\n  tasks:\n  - shell: tr '\\\\0' ' ' < \
        /proc/$PPID/cmdline\n    register: said\n  - debug: {var: said.stdout}\n";
    for mode in [Mode::Required, Mode::Off] {
        let world = World { mode, ..fast(&[("play.yml", play)]) };
        let (done, heard) = world.play(nothing()).await;
        done.unwrap_or_else(|e| panic!("{e}\n{heard}"));
        assert!(heard.contains("ansible: played with Mitogen 0."), "{heard}");
        // Ansible's own name for itself in place of user, host and process.
        assert!(heard.contains("(mitogen:ansible)"), "{heard}");
    }
}

/// Where the owner has it, which is not below /usr.
#[tokio::test]
async fn a_mitogen_that_the_owner_names_is_used_and_not_written() {
    if !is_installed() {
        return;
    }
    let play = "- hosts: all\n  gather_facts: false\n  tasks:\n  - debug: {msg: \"{{ \
        lookup('pipe', 'touch @DIR@/mitogen/new || echo read only') }}\"}\n  - raw: echo reached\n";
    let mut world = fast(&[("play.yml", play)]);
    let at = world.dir.path().join("mitogen");
    // `setup/dependencies test` puts it there.
    made(world.dir.path(), &["cp", "-r", "/usr/local/lib/image-factory/mitogen", "mitogen"]);
    world.accelerator = Accelerator::At(at.clone());
    let (done, heard) = world.play(nothing()).await;
    done.unwrap_or_else(|e| panic!("{e}\n{heard}"));
    assert!(heard.contains("ansible: played with Mitogen 0."), "{heard}");
    assert!(heard.contains("read only") && !at.join("new").exists(), "{heard}");
}

#[tokio::test]
async fn a_play_with_a_strategy_of_its_own_keeps_it() {
    if !is_installed() {
        return;
    }
    let play = NOT_BY_MITOGEN.replacen("  gather_facts", "  strategy: linear\n  gather_facts", 1);
    let (done, heard) = fast(&[("play.yml", &play)]).play(nothing()).await;
    done.unwrap_or_else(|e| panic!("{e}\n{heard}"));
    assert!(heard.contains("42 of plain") && !heard.contains("played again"), "{heard}");
}

/// Its own options stand before those of the factory on the command line of `ssh`.
#[tokio::test]
async fn mitogens_ssh_refuses_a_wrong_host_key_whatever_the_bundle_says() {
    if !is_installed() {
        return;
    }
    let files = careless();
    let files = files.iter().map(|(name, text)| (*name, text.as_str())).collect::<Vec<_>>();
    let world = World { wrong_key: true, ..fast(&files) };
    let (done, heard) = world.play(nothing()).await;
    let said = done.unwrap_err().to_string();
    let of_mitogen = "Host key checking is enabled, and SSH reported an unrecognized or \
        mismatching host key";
    assert!(said.contains(of_mitogen), "{said}\n{heard}");
    assert!(!heard.contains("changed: [builder]"), "{heard}");
    let (done, heard) = fast(&files).play(nothing()).await;
    done.unwrap_or_else(|e| panic!("{e}\n{heard}"));
    assert!(heard.contains("played with Mitogen") && heard.contains("changed: [builder]"));
}

#[tokio::test]
async fn a_playbook_that_fails_with_mitogen_is_played_without_and_so_is_the_rest_of_the_run() {
    if !is_installed() {
        return;
    }
    let world = fast(&[("play.yml", NOT_BY_MITOGEN)]);
    let (done, heard) = world.play_all(vec![world.step(nothing()), world.step(nothing())]).await;
    done.unwrap_or_else(|e| panic!("{e}\n{heard}"));
    for (times, line) in [
        (1, "ansible: played with Mitogen"),
        (1, "is played again without, on the machine as it is"),
        (1, "the playbook went well without Mitogen"),
        (1, "ansible: played without Mitogen: it failed with it before in this run"),
        (2, "42 of plain"),
    ] {
        assert_eq!(heard.matches(line).count(), times, "{line}\n{heard}");
    }
}

#[tokio::test]
async fn what_fails_both_ways_is_said_once() {
    if !is_installed() {
        return;
    }
    let play = "- hosts: all\n  gather_facts: false\n  tasks:\n  - fail: {msg: no way}\n";
    let (done, heard) = fast(&[("play.yml", play)]).play(nothing()).await;
    let said = done.unwrap_err().to_string();
    assert_eq!(
        (said.matches("no way").count(), said.matches("with Mitogen too").count()),
        (1, 1),
        "{said}\n{heard}"
    );
    let play = "- hosts: all\n  gather_facts: false\n  tasks:\n  - shell: grep -q '(mitogen' \
        /proc/$PPID/cmdline && echo one >&2 || echo two >&2; exit 1\n";
    let (done, heard) = fast(&[("play.yml", play)]).play(nothing()).await;
    let said = done.unwrap_err().to_string();
    let (two, one) = said.split_once("before that, with Mitogen: ").unwrap();
    assert!(two.contains("two") && one.contains("one"), "{said}\n{heard}");
}

#[tokio::test]
async fn the_steps_deadline_is_for_both_tries() {
    if !is_installed() {
        return;
    }
    let play = |seconds: u32| {
        format!(
            "- hosts: all\n  gather_facts: false\n  tasks:\n  - shell: grep -q '(mitogen' \
                /proc/$PPID/cmdline && sleep {seconds} || sleep 100; exit 1\n"
        )
    };
    for (seconds, tried_again) in [(1, true), (100, false)] {
        let text = play(seconds);
        let world = fast(&[("play.yml", &text)]);
        let begin = Instant::now();
        let step = StepPlan { timeout: 20, ..world.step(nothing()) };
        let (done, heard) = world.play_all(vec![step]).await;
        let said = done.unwrap_err().to_string();
        assert!(said.contains("not done after"), "{said}");
        assert_eq!(heard.contains("is played again without"), tried_again, "{heard}");
        assert_eq!(said.contains("`accelerator: false` of the step"), !tried_again, "{said}");
        assert!(begin.elapsed() < Duration::from_secs(40), "{:?}", begin.elapsed());
    }
}

/// Each of these is something that Mitogen does in another way, or that somebody has chosen.
#[tokio::test]
async fn what_mitogen_would_do_otherwise_is_played_without_it() {
    if !is_installed() {
        return;
    }
    let play = |more: &str| {
        format!("- hosts: all\n  gather_facts: false\n  tasks:\n  - raw: echo plain\n{more}")
    };
    let background = play("    ignore_errors: true\n    async: 10\n");
    let play = play("");
    let with = |name: &'static str, text: &'static str| [("play.yml", play.as_str()), (name, text)];
    let world = fast(&[("play.yml", background.as_str())]);
    let (done, heard) = world.play(nothing()).await;
    done.unwrap_or_else(|e| panic!("{e}\n{heard}"));
    assert!(heard.contains("played without Mitogen: `async` in play.yml"), "{heard}");
    for (files, why) in [
        (with("ansible.cfg", "[defaults]\nstrategy = free\n"), "the definition sets `strategy`"),
        (
            with("group_vars/all.yml", "ansible_become_method: su\n"),
            "`ansible_become_method` in group_vars/all.yml",
        ),
    ] {
        let (done, heard) = fast(&files).play(nothing()).await;
        done.unwrap_or_else(|e| panic!("{e}\n{heard}"));
        assert!(heard.contains(&format!("ansible: played without Mitogen: {why}")), "{heard}");
    }
    for (local, plain, why) in [
        (false, true, "the step says `accelerator: false`"),
        (true, false, "the step plays on the factory too"),
    ] {
        let world = fast(&[("play.yml", play.as_str())]);
        let step = world.step(nothing());
        let StepKind::Ansible { playbook, extra_vars, tags, .. } = step.action else { panic!() };
        let action = StepKind::Ansible { playbook, extra_vars, tags, local, plain };
        let (done, heard) = world.play_all(vec![StepPlan { action, ..step }]).await;
        done.unwrap_or_else(|e| panic!("{e}\n{heard}"));
        assert!(heard.contains(&format!("ansible: played without Mitogen: {why}")), "{heard}");
    }
    let off = World { accelerator: Accelerator::Off, ..fast(&[("play.yml", &play)]) };
    assert!(!off.play(nothing()).await.1.contains("Mitogen"));
}

/// Its end ended the task silently, and the step went well.
#[tokio::test]
async fn a_role_of_the_owner_counts_for_how_it_is_played() {
    if !is_installed() {
        return;
    }
    let play = "- hosts: all\n  gather_facts: false\n  tasks:\n  - import_role: {name: slow}\n";
    let cfg = "[defaults]\nroles_path = @DIR@/roles\n";
    let mut world = fast(&[("play.yml", play), ("ansible.cfg", cfg)]);
    world.roles = vec![world.dir.path().join("roles")];
    let tasks = world.roles[0].join("slow/tasks/main.yml");
    fs::create_dir_all(tasks.parent().unwrap()).unwrap();
    fs::write(&tasks, "- raw: echo the role speaks\n  ignore_errors: true\n  async: 10\n").unwrap();
    let (done, heard) = world.play(nothing()).await;
    done.unwrap_or_else(|e| panic!("{e}\n{heard}"));
    let why = format!("ansible: played without Mitogen: `async` in {}", tasks.display());
    assert!(heard.contains(&why), "{heard}");
}

/// What a play changes may be among the facts: the next one, of its playbook or of another step,
/// does not get those of before.
#[tokio::test]
async fn each_play_gathers_facts_of_its_own() {
    let play = "- hosts: all\n  tasks:\n  - debug: {msg: 'kernel is {{ ansible_system }}'}\n";
    let world = World::new(&[("play.yml", &play.repeat(2))]);
    let steps = vec![world.step(nothing()), world.step(nothing())];
    let (done, heard) = world.play_all(steps).await;
    done.unwrap_or_else(|e| panic!("{e}\n{heard}"));
    assert_eq!(heard.matches("TASK [Gathering Facts]").count(), 4, "{heard}");
    assert_eq!(heard.matches("kernel is Linux").count(), 4, "{heard}");
}
