//! Every key: wrong type, unknown, duplicate, missing, out of bounds.
use super::{MINIMAL, Tree, render, said, said_more};
use crate::frontend::build_vars::keys;
use crate::model::step::StepKind;

mod unknown;
mod values;

/// Settings, and the first line of everything said of them.
fn check(cases: &[(&str, &str)], said: impl Fn(&str) -> String) {
    let mut wrong = String::new();
    for (settings, expected) in cases {
        let got: Vec<String> = said(settings)
            .lines()
            .filter(|l| !l.starts_with("    hint"))
            .map(str::to_owned)
            .collect();
        let got = got.join(" | ");
        if got != *expected {
            wrong.push_str(&format!("{settings:?}\n  expected {expected}\n  got      {got}\n"));
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// Each was taken without a word.
#[test]
fn what_breaks_the_connection_or_is_hidden_is_told() {
    let cases = [
        (
            "vars: {run_id: 1}\n",
            "2:8: warning: in templates `{{ run_id }}` is what the build found out",
        ),
        (
            "tags: [a]\nvars: {tags: b}\n",
            "3:8: warning: in templates `{{ tags }}` is the key `tags`",
        ),
        ("vars: {bundle: b}\n", "warning: in templates `{{ bundle }}` is the key"),
        ("vars: {ansible_host: h}\n", "2:8: error: `ansible_host` cannot be set"),
        ("vars: {ansible_port: 22}\n", "error: `ansible_port` cannot be set"),
        (
            "vars: {ansible_ssh_private_key_file: k}\n",
            "error: `ansible_ssh_private_key_file` cannot be set",
        ),
        ("vars: {ansible_user: root}\n", "2:8: warning: `ansible_user` takes the place"),
        (
            "ssh_user: debian\nvars: {ansible_user: root}\n",
            "3:8: error: `ansible_user` takes the place",
        ),
        ("vars: {groups: [a]}\n", "warning: playbooks never see this `groups`"),
        ("ssh_user: root\n", "2:1: warning: the check `root-ssh` fails"),
    ];
    for (lines, wanted) in cases {
        assert!(said_more(lines).contains(wanted), "{lines}: {}", said_more(lines));
    }
    for lines in [
        "vars: {tags: b, port: 80, ansible_python_interpreter: /usr/bin/python3, \
            ansible_become_user: root}\n",
        "ssh_user: debian\nvars: {ansible_user: debian}\n",
        "ssh_user: root\ntests: {skip: [root-ssh]}\n",
    ] {
        assert_eq!(said_more(lines), "", "{lines}");
    }
}

#[test]
fn a_check_that_is_no_sound_one_is_there_all_the_same() {
    let tree = Tree::new();
    tree.write("images/x/build-vars.yml", &format!("{MINIMAL}tests: {{only: [tests/page.sh]}}\n"))
        .write("images/x/tests/page.sh", "ls");
    let said = super::said_in(&tree, "images/x");
    assert!(
        said.contains("`tests/page.sh` is not executable") && !said.contains("there is no check"),
        "{said}"
    );
}

#[test]
fn every_key_given_twice() {
    for key in keys::TOP.iter().filter(|key| **key != "bundle") {
        let said = said_more(&format!("{key}: a\n{key}: b\n"));
        assert!(
            said.contains(&format!(
                "3:1: error: `{key}` is given twice\n    hint: first given in line 2"
            )),
            "{said}"
        );
    }
    let twice = |prefix: &str, keys: &[&str]| {
        for key in keys {
            let said = said_more(&format!("{prefix}\n    {key}: a\n    {key}: b\n"));
            assert!(
                said.contains(&format!(
                    "4:5: error: `{key}` is given twice\n    hint: first given in line 3"
                )),
                "{said}"
            );
        }
    };
    twice("source:", keys::SOURCE);
    twice("tests:", keys::TESTS);
    twice("volume:", keys::VOLUME);
    twice("machine:", keys::MACHINE);
    twice("timeouts:", keys::TIMEOUTS);
    twice("tidy:", crate::model::definition::TIDY_PARTS);
    twice("tidy:", crate::model::definition::TIDY_ASKED);
    twice("vars:", &["free"]);
    for key in keys::STEP.iter() {
        let said = said_more(&format!("steps:\n  - {key}: a\n    {key}: b\n"));
        assert!(said.contains(&format!("4:5: error: `{key}` is given twice")), "{said}");
    }
    for key in ["src", "dest"] {
        let said = said_more(&format!("steps:\n  - upload:\n      {key}: a\n      {key}: b\n"));
        assert!(said.contains(&format!("5:7: error: `{key}` is given twice")), "{said}");
    }
    for key in ["name", "img_base", "path", "properties"] {
        let said = said(&format!("bundle:\n  {key}: a\n  {key}: b\n"));
        assert!(said.contains(&format!("3:3: error: `{key}` is given twice")), "{said}");
    }
    assert!(said(&format!("{MINIMAL}{MINIMAL}")).contains("2:1: error: `bundle` is given twice"));
}

#[test]
fn missing_keys() {
    insta::assert_snapshot!(said(""), @r"
        error: `bundle` is missing
           hint: `bundle: {name: my-image, img_base: os/debian-12}`
    ");
    insta::assert_snapshot!(said("# nothing\n---\n"), @r"
        error: `bundle` is missing
           hint: `bundle: {name: my-image, img_base: os/debian-12}`
    ");
    insta::assert_snapshot!(said("bundle: {}\n"), @r"
        1:1: error: `bundle.img_base` is missing
            hint: the ID, exact name or family of an image, or os/<name> of this tree
        1:1: error: `bundle.name` is missing
            hint: the prefix of the image's name
    ");
    insta::assert_snapshot!(said("vm_flavor: a\nbundle:\n  properties: {a: b}\n"), @r"
        2:1: error: `bundle.img_base` is missing
            hint: the ID, exact name or family of an image, or os/<name> of this tree
        2:1: error: `bundle.name` is missing
            hint: the prefix of the image's name
    ");
}

/// `validate` called all of these sound.
#[test]
fn settings_that_contradict_each_other_are_told() {
    let base = "bundle: {name: x, img_base: b, properties: {a: '1', b: '2'}}\n";
    let steps = "steps:\n- ansible: {playbook: p.yml}\n  sudo: true\n- reboot: true\n  sudo: \
        true\n  env: {A: b}\n- upload: {src: p.yml, dest: /x}\n  env: {A: b}\n";
    let cases = [
        (
            "final_glance_options: --property a=2 --property b=2",
            "error: the property `a` is `1` in `bundle.properties`, and `2` in \
                `final_glance_options`",
        ),
        (
            "tests: {skip: [rescue], add: [rescue]}",
            "error: `rescue` is both in `tests.skip` and in `tests.add`",
        ),
        (
            "tests: {skip: [dns], only: [dns, ssh]}",
            "error: `dns` is both in `tests.skip` and in `tests.only`",
        ),
        ("tests: {only: []}", "warning: no check is left: the image is published untested"),
        (
            "tests: {package: jq}",
            "warning: `tests.package` does nothing: the check `cloud-init-package` is not made",
        ),
        (
            "tests: {volume_size: 2G, add: [snapshot]}",
            "warning: `tests.volume_size` does nothing: the check `volume` is not made",
        ),
        (
            "tests: {dns_name: a.b, skip: [dns]}",
            "warning: `tests.dns_name` does nothing: the check `dns` is not made",
        ),
        ("tidy: {machine_id: false}", "warning: without it the check `machine-id-unique` fails"),
        ("keep: 2\nfinal_glance_options: --protected", "warning: `keep` removes nothing"),
        ("warm: 1\nvolume: {}", "warning: `warm` keeps no builder: a builder with `volume` is no"),
        (
            "checkpoints: true\nvolume: {}",
            "warning: `checkpoints` keeps nothing of a builder with `volume` on OpenStack",
        ),
        ("security_groups: [none, web]", "error: `security_groups` names some, and says `none`"),
        (steps, "warning: `sudo` does nothing for a playbook"),
        (steps, "warning: `sudo` does nothing for a restart"),
        (steps, "warning: `env` does nothing for a restart"),
        (steps, "warning: `env` does nothing for an upload"),
    ];
    let told = |more: &str| {
        let tree = Tree::new();
        tree.write("images/x/build-vars.yml", &format!("{base}{more}\n"))
            .write("images/x/p.yml", "- hosts: all\n");
        match tree.load("images/x") {
            Ok(loaded) => render(&loaded.warnings),
            Err(findings) => render(&findings),
        }
    };
    for (more, expected) in cases {
        let found = told(more);
        let places = found
            .lines()
            .filter(|line| line.contains(expected))
            .all(|line| line.starts_with("images/x/build-vars.yml:"));
        assert!(found.contains(expected) && places, "{more}\n{found}");
    }
    let sound = [
        "final_glance_options: --property a=1 --property c=3",
        "tests: {skip: [dns], add: [rescue]}",
        "tests: {package: jq, add: [cloud-init-package]}",
        "tests: {skip: [machine-id-unique]}\ntidy: {machine-id: false}",
        "keep: 2\nfinal_glance_options: --unprotected",
        "security_groups: none",
        "warm: 3",
        "warm: 0\nvolume: {}",
        "checkpoints: true",
        "checkpoints: false\nvolume: {}",
        "steps:\n- shell: id\n  sudo: true\n  env: {A: b}\n- upload: {src: p.yml, dest: /x}\n  \
            sudo: true\n- ansible: p.yml\n  env: {A: b}",
    ];
    for more in sound {
        assert_eq!(told(more), "", "{more}");
    }
}

#[test]
fn scripts_of_python_2_are_told() {
    let tree = Tree::new();
    tree.write(
        "images/x/build-vars.yml",
        "bundle: {name: x, img_base: b}\nsteps:\n- script: a.py\n- script: b.py\n- script: c.py\n- \
            script: d.sh\n",
    );
    tree.write("images/x/a.py", "#!/usr/bin/python\nimport os\nprint 'x'\n")
        .write("images/x/b.py", "#!/usr/bin/env python\nprint('x')\n");
    tree.write("images/x/c.py", "#!/usr/bin/python3\nprint('x')\n")
        .write("images/x/d.sh", "\n#!/bin/bash\nid\n");
    let found = render(&tree.load("images/x").unwrap().warnings);
    assert!(found.contains("images/x/a.py:3:1: warning: this line is of Python 2"), "{found}");
    assert!(
        found.contains("images/x/b.py:1:1: warning: `python` is Python 2, or not there at all"),
        "{found}"
    );
    assert!(
        found.contains("images/x/d.sh:2:1: warning: the `#!` of this script is not its first line")
            && !found.contains("c.py"),
        "{found}"
    );
}

#[test]
fn tags_that_no_task_has_are_told() {
    let told = |tags: &str, playbook: &str| {
        let tree = Tree::new();
        tree.write(
            "images/x/build-vars.yml",
            &format!(
                "bundle: {{name: x, img_base: b}}\nsteps:\n- ansible: p.yml\n  tags: {tags}\n"
            ),
        );
        tree.write("images/x/p.yml", playbook).write("images/x/t.yml", "- {ping: , tags: inner}\n");
        render(&tree.load("images/x").unwrap().warnings)
    };
    let playbook = "- hosts: all\n  tags: [play]\n  tasks:\n  - {ping: , tags: 'a, b'}\n  - \
        {block: [{ping: , tags: [c]}]}\n  - include_tasks: t.yml\n";
    assert!(
        told("[a, nope]", playbook).starts_with(
            "images/x/build-vars.yml:4:3: warning: no task of p.yml has the tag `nope`"
        )
    );
    assert_eq!(told("[a, b, c, play, inner, untagged]", playbook), "");
    assert_eq!(
        told("nope", "- hosts: all\n  tasks: [{include_tasks: '{{ x }}.yml'}]\n"),
        "",
        "what is not there to be read may have it"
    );
}

/// YAML has made a boolean of `off`, and so does Ansible.
#[test]
fn a_playbook_is_played_without_an_accelerator_if_it_says_so() {
    let of = |step: &str| {
        let tree = Tree::new();
        let base = "bundle: {name: x, img_base: b}\nsteps:\n- ";
        tree.write("images/x/build-vars.yml", &format!("{base}{step}\n"))
            .write("images/x/p.yml", "- hosts: all\n");
        tree.load("images/x").map_err(|findings| render(&findings))
    };
    for (step, expected) in [
        ("ansible: p.yml", false),
        ("ansible: {playbook: p.yml, accelerator: true}", false),
        ("ansible: {playbook: p.yml, accelerator: false}", true),
    ] {
        let loaded = of(step).unwrap();
        assert_eq!(render(&loaded.warnings), "", "{step}");
        let StepKind::Ansible { plain, .. } = loaded.bundle.steps[0].action else { panic!() };
        assert_eq!(plain, expected, "{step}");
    }
    let told = of("ansible: {playbook: p.yml, accelerator: perhaps}").unwrap_err();
    assert!(told.contains("`steps[1].ansible.accelerator` must be"), "{told}");
    let told = of("{ansible: p.yml, accelerator: false}").unwrap_err();
    assert!(told.contains("it belongs in `ansible: {playbook: …, accelerator: false}`"), "{told}");
}
