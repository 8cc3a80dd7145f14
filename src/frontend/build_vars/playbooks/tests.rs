//! Playbooks as they were written ten years ago, each old word once, and playbooks that name what
//! is not there.
use super::*;

mod files;
mod needs;
mod words;

fn of_dir(dir: &Path, path: &str, shown: &str, config: &Config) -> Review {
    review(
        &Reviewed { dir, path: Path::new(path), shown: Path::new(shown), trees: &Trees::default() },
        config,
    )
}

pub(super) type Files<'f> = &'f [(&'f str, &'f str)];

fn reviewed(playbook: &str, more: Files) -> Review {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in more.iter().copied().chain([("ansible/site.yml", playbook)]) {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let config = Config::of(dir.path(), &Default::default());
    of_dir(dir.path(), "ansible/site.yml", "images/x", &config)
}

/// Findings in their order, `site.yml:LINE: error: MESSAGE; HINT`.
pub(super) fn said(playbook: &str, more: Files) -> Vec<String> {
    let found = reviewed(playbook, more).found.into_iter().map(|d| {
        let place = d.place.unwrap();
        let file = place
            .file
            .strip_prefix("images/x/ansible")
            .unwrap_or(&place.file)
            .display()
            .to_string();
        let word = if d.severity == crate::model::diagnostic::Severity::Error {
            "error"
        } else {
            "warning"
        };
        format!("{file}:{}: {word}: {}; {}", place.line, d.message, d.hint.unwrap_or_default())
    });
    found.collect()
}

pub(super) fn task(text: &str) -> String {
    format!("- hosts: all\n  tasks:\n  - {text}\n")
}

/// What is written today, and what only looks old.
#[test]
fn what_is_written_today_is_sound() {
    let tasks = [
        "{shell: 'cat x | search y | failed', register: r}",
        "{shell: id, when: r is failed and (x | default('a|failed')) == 'y'}",
        "{shell: id, with_items: [a, b]}",
        "{shell: id, with_items: '{{ packages }}'}",
        "{shell: id, with_fileglob: files, loop_control: {label: x}}",
        "{shell: id, with_sequence: start=1}",
        "{user: {name: x}, become: true, check_mode: false, ignore_unreachable: true}",
        "{name: user, ansible.builtin.user: name=x}",
        "debug: {msg: '{{ ansible_ssh_host_key_rsa_public }}'}",
        "set_fact: {sudo: true}",
        "{shell: id, vars: {sudo: x, always_run: y, docker: z}}",
        "command: echo warn",
    ];
    for one in tasks {
        assert_eq!(said(&task(one), &[]), [""; 0], "{one}");
    }
    let own = [("ansible/library/docker.py", "#!/usr/bin/python3\n")];
    assert_eq!(said(&task("docker: {image: x}"), &own), [""; 0], "a module of the bundle's own");
}

#[test]
fn hosts_that_nobody_has_are_told() {
    for sound in [
        "'!web'",
        "all:&local",
        "'all:!localhost'",
        "'&{{ x }}'",
        "all:!web*",
        "all",
        "local",
        "default",
        "'*'",
        "'{{ x }}'",
        "[web, local]",
        "all:!web",
        "'~.*'",
        "local[0]",
        "fact*",
        "'*-builder'",
        "'~fac.*'",
        "'~(?:web|fac).*'",
        "d?fault",
        "d[e]fault",
        "'web*:local'",
    ] {
        assert_eq!(said(&format!("- hosts: {sound}\n"), &[]), [""; 0], "{sound}");
    }
    assert!(
        said("- hosts: web\n", &[])[0].starts_with("site.yml:1: error: `hosts: web` names nobody")
    );
    for nobody in [
        "all:&web",
        "'all:!local'",
        "'!all'",
        "ungrouped",
        "web:&all",
        "web*",
        "'~web.*'",
        "'all:!*'",
        "'all:&w?b'",
        "'*-web'",
    ] {
        assert!(said(&format!("- hosts: {nobody}\n"), &[])[0].contains("names nobody"), "{nobody}");
    }
    assert!(
        said("- hosts: web\n- hosts: all\n", &[])[0]
            .starts_with("site.yml:1: warning: `hosts: web` names nobody")
    );
    assert_eq!(said("- hosts: all\n  tasks: [{group_by: key=web}]\n- hosts: web\n", &[]), [""; 0]);
}

#[test]
fn a_playbook_that_includes_itself_ends() {
    let found = said(
        "- hosts: all\n  roles: [a]\n- import_playbook: site.yml\n",
        &[("ansible/roles/a/meta/main.yml", "dependencies: [a]\n")],
    );
    assert_eq!(found, [""; 0]);
}

/// Each of these was an error, and Ansible takes it.
#[test]
fn honest_playbooks_are_not_refused() {
    let roles = |playbook: &str| playbook.to_owned();
    let role = ("shared/r/tasks/main.yml", "- ping:\n");
    let cases: Vec<(String, Vec<(&str, &str)>)> = vec![
        // What lies beside a playbook that is imported.
        (
            roles("- import_playbook: sub/p.yml\n"),
            vec![
                (
                    "ansible/sub/p.yml",
                    "- hosts: all\n  roles: [x]\n  vars_files: [v.yml]\n  tasks:\n  - copy: \
                        {src: f, dest: /x}\n  - include_tasks: t.yml\n",
                ),
                ("ansible/sub/roles/x/tasks/main.yml", "- ping:\n"),
                ("ansible/sub/v.yml", "a: 1\n"),
                ("ansible/sub/files/f", "x"),
                ("ansible/sub/t.yml", "- ping:\n"),
            ],
        ),
        (
            roles("- hosts: all\n  roles: [r]\n"),
            vec![("ansible.cfg", "[defaults]\nROLES_PATH: ./shared ; ours\n"), role],
        ),
        // Blanks in quotes.
        (task("copy: src=\"my file\" dest=/x"), vec![("ansible/files/my file", "x")]),
        (task("script: '\"my script\" --all'"), vec![("ansible/files/my script", "#!/bin/sh\n")]),
        (task("include_tasks: my tasks.yml"), vec![("ansible/my tasks.yml", "- ping:\n")]),
        // Modules and filters of its own.
        (
            task("docker: {image: x}"),
            vec![("ansible.cfg", "[defaults]\nlibrary = ./library\n"), ("library/docker.py", "x")],
        ),
        (task("docker: {image: x}"), vec![("ansible/roles/any/library/docker.py", "x")]),
        (
            task("debug: {msg: \"{{ x | json_query('a') }}\"}"),
            vec![("ansible.cfg", "[defaults]\nfilter_plugins = p\n"), ("p/a.py", "x")],
        ),
        // What is no expression.
        (
            task("template: {src: a.j2, dest: /x}"),
            vec![(
                "ansible/templates/a.j2",
                "{# {% if r|success %} #}\n{% raw %}{{ x | search }}{% endraw %}\n{%- raw -%}{{ x \
                    | failed }}{%- endraw -%}\n",
            )],
        ),
        (task("debug: {msg: 'a {# {{ r | success }} #}'}"), vec![]),
    ];
    for (playbook, files) in cases {
        let review = reviewed(&playbook, &files);
        assert!(review.found.is_empty() && review.needs.is_empty(), "{playbook}\n{review:?}");
    }
    let get_md5 = said(&task("stat: path=/x get_md5=no"), &[]);
    assert!(
        get_md5.len() == 1 && get_md5[0].starts_with("site.yml:3: warning: `get_md5`"),
        "2.14 has it still: {get_md5:?}"
    );
}

#[test]
fn facts_that_nobody_gathers_are_told() {
    let play = |first: &str, task: &str| {
        format!("{first}- hosts: all\n  gather_facts: no\n  tasks:\n  - {task}\n")
    };
    let uses = "{shell: id, when: ansible_os_family == 'Debian'}";
    let found = said(&play("", uses), &[]);
    assert!(
        found.len() == 1
            && found[0].starts_with("site.yml:4: warning: `ansible_os_family` is a fact"),
        "{found:?}"
    );
    let template: Files = &[("ansible/templates/a.j2", "x\n{{ ansible_default_ipv4.address }}\n")];
    let found = said(&play("", "template: {src: a.j2, dest: /x}"), template);
    assert!(
        found.len() == 1
            && found[0].starts_with("templates/a.j2:2: warning: `ansible_default_ipv4`"),
        "{found:?}"
    );
    let sound = [
        play("- hosts: all\n", uses),
        play("", &format!("setup:\n  - {uses}")),
        play("", &format!("{uses}\n  - ansible.builtin.setup: filter=x")),
        play("", "{shell: id, when: ansible_os_family is defined}"),
        play("", "{set_fact: {ansible_os_family: x}}\n  - {shell: id, when: ansible_os_family}"),
        play("", "{shell: echo ansible_hostname, when: ansible_check_mode}"),
        "- hosts: all\n  gather_facts: no\n  vars: {a: '{{ ansible_hostname }}'}\n".into(),
    ];
    for playbook in sound {
        assert_eq!(said(&playbook, &[]), [""; 0], "{playbook}");
    }
}

#[test]
fn a_play_without_hosts_is_an_error() {
    assert!(
        said("- name: x\n  shell: id\n", &[])[0]
            .starts_with("site.yml:1: error: this play has no `hosts`")
    );
}
