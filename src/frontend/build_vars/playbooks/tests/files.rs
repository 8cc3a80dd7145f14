//! Files that playbooks name, or that Ansible reads unasked.
use super::*;
use crate::frontend::build_vars::files;

#[test]
fn what_is_not_there_is_named() {
    let cases: [(String, Files, &str); 12] = [
        (
            "- hosts: all\n- import_playbook: no.yml\n".into(),
            &[],
            "site.yml:2: error: the playbook `no.yml` does not exist",
        ),
        (
            task("include_tasks: no.yml"),
            &[],
            "site.yml:3: error: the file of tasks `no.yml` does not exist",
        ),
        (
            task("import_tasks: tasks/no.yml"),
            &[],
            "site.yml:3: error: the file of tasks `tasks/no.yml`",
        ),
        (
            task("{include_tasks: {file: no.yml}, when: x}"),
            &[],
            "site.yml:3: warning: the file of tasks `no.yml`",
        ),
        (
            task("copy: {src: no.conf, dest: /x}"),
            &[],
            "site.yml:3: error: `no.conf`, which `copy` reads,",
        ),
        (task("copy: src=no.conf dest=/x"), &[], "site.yml:3: error: `no.conf`"),
        (
            task("template: {src: no.j2, dest: /x}"),
            &[],
            "site.yml:3: error: `no.j2`, which `template` reads,",
        ),
        (task("script: no.sh --all"), &[], "site.yml:3: error: `no.sh`, which `script` reads,"),
        (task("include_vars: no.yml"), &[], "site.yml:3: error: `no.yml`"),
        (
            "- hosts: all\n  vars_files: [no.yml]\n".into(),
            &[],
            "site.yml:2: error: the file of variables `no.yml`",
        ),
        (
            "- hosts: all\n  roles: [web]\n".into(),
            &[("ansible/roles/web/tasks/main.yml", "- template: {src: no.j2, dest: /x}\n")],
            "roles/web/tasks/main.yml:1: error: `no.j2`",
        ),
        (
            task("include_role: {name: web, tasks_from: no}"),
            &[("ansible/roles/web/tasks/main.yml", "- ping:\n")],
            "site.yml:3: error: the role `web` has no file `no` in tasks",
        ),
    ];
    for (playbook, files, expected) in cases {
        let found = said(&playbook, files);
        assert!(
            found.len() == 1 && found[0].starts_with(expected),
            "{expected}\n{playbook}{found:?}"
        );
    }
}

#[test]
fn what_is_there_is_found_as_ansible_finds_it() {
    let playbook = "- hosts: all\n  vars_files: [vars/a.yml, [no.yml, b.yml], '{{ c }}.yml']\n  \
        roles: [web, {role: db}]\n  tasks:\n\
        \x20 - include_tasks: tasks/t.yml\n  - copy: {src: conf, dest: /x}\n  - copy: \
        {src: /etc/x, dest: /x, remote_src: yes}\n\
        \x20 - copy: {content: x, dest: /x}\n  - template: {src: '{{ item }}.j2', dest: /x}\n  - \
        unarchive: {src: 'https://x/y', dest: /}\n\
        \x20 - script: run.sh\n";
    let files = [
        ("ansible/vars/a.yml", "x: 1\n"),
        ("ansible/b.yml", "x: 1\n"),
        ("ansible/tasks/t.yml", "- include_tasks: u.yml\n- copy: {src: beside, dest: /x}\n"),
        ("ansible/tasks/u.yml", "- ping:\n"),
        ("ansible/tasks/beside", "x"),
        ("ansible/files/conf", "x"),
        ("ansible/run.sh", "#!/bin/sh\n"),
        (
            "ansible/roles/web/tasks/main.yml",
            "- include_tasks: more.yml\n- template: {src: a.j2, dest: /x}\n- copy: {src: d/, dest: \
                /}\n",
        ),
        ("ansible/roles/web/tasks/more.yml", "- ping:\n"),
        ("ansible/roles/web/templates/a.j2", "{{ x }}"),
        ("ansible/roles/web/files/d/f", "x"),
        ("ansible/roles/db/meta/main.yml", "dependencies: [web]\n"),
    ];
    let review = reviewed(playbook, &files);
    assert!(review.found.is_empty() && review.needs.is_empty(), "{review:?}");
}

#[test]
fn templates_and_scripts_that_tasks_name_are_looked_into() {
    let files = [
        ("ansible/templates/a.j2", "x\n{% if v|version_compare('1', '<') %}\n{% endif %}"),
        ("ansible/files/run.sh", "#!/bin/sh\r\nid\r\n"),
    ];
    let found = said(
        "- hosts: all\n  tasks:\n  - template: {src: a.j2, dest: /x}\n  - script: run.sh\n",
        &files,
    );
    assert!(found[0].starts_with("templates/a.j2:2: error: `| version_compare`"), "{found:?}");
    assert!(
        found[1].starts_with("files/run.sh:1: error: lines of this script end as Windows"),
        "{found:?}"
    );
}

#[test]
fn an_encrypted_file_is_said_not_to_be_checked() {
    let found = said("$ANSIBLE_VAULT;1.1;AES256\n6162\n6364\n", &[]);
    assert!(
        found.len() == 1 && found[0].starts_with("site.yml:0: warning: this file is encrypted"),
        "{found:?}"
    );
    assert!(
        said("\u{feff}- hosts: all\n  sudo: yes\n", &[])[0]
            .starts_with("site.yml:2: error: `sudo`")
    );
}

/// Ansible reads these unasked, and nobody else did.
#[test]
fn variables_of_groups_and_settings_are_looked_into() {
    let vars = "ansible_ssh_user: root\npackages: [a]\nx: '{{ r | success }}'\n";
    let playbook = "- hosts: all\n  tasks:\n  - {debug: , with_items: packages}\n";
    for file in [
        "ansible/group_vars/all.yml",
        "ansible/group_vars/local",
        "ansible/group_vars/all/main.yml",
    ] {
        let all = said(playbook, &[(file, vars)]).join("\n");
        for part in [
            ":1: warning: `ansible_ssh_user`",
            ":3: error: `| success`",
            "site.yml:3: error: `with_items: packages`",
        ] {
            assert!(all.contains(part), "{file} {part}\n{all}");
        }
    }
    let cfg = "[defaults]\nhostfile = hosts\nsudo_user=root\nask_pass = \
        True\n[accelerate]\naccelerate_port = 1\n";
    let all =
        said("- hosts: all\n", &[("ansible.cfg", cfg), ("ansible/ansible.cfg", "[defaults]\n")])
            .join("\n");
    for part in [
        "cfg:2: warning: `hostfile`",
        "cfg:3: warning: `sudo_user`",
        "cfg:4: warning: `ask_pass`",
        "cfg:6: warning: `accelerate_port`",
    ] {
        assert!(all.contains(part), "{part}\n{all}");
    }
    assert!(
        all.contains("ansible.cfg:0: warning: Ansible does not read this file")
            && all.contains("ANSIBLE_CONFIG: ansible/ansible.cfg"),
        "{all}"
    );
}

/// What Ansible cannot read was a warning in the words of another matter, or nothing.
#[test]
fn files_that_ansible_cannot_read_are_told_with_their_line() {
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &str, bytes: &[u8]| {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    write(
        "site.yml",
        b"- hosts: all\n  vars_files: [v.yml]\n  roles: [r]\n  tasks:\n  - template: \
        {src: a.j2, dest: /x}\n",
    );
    write("v.yml", b"a: 1\nb: \xe4\n");
    write("roles/r/tasks/main.yml", b"- ping:\n\tx: y\n");
    write("roles/r/handlers/main.yml", b"ping:\n");
    write("roles/r/defaults/main.yml", b"- a\n");
    write("templates/a.j2", b"a\nb\n\xfc\n");
    let config = Config::of(dir.path(), &Default::default());
    let found = of_dir(dir.path(), "site.yml", "x", &config).found;
    let told: Vec<String> =
        found.iter().map(|d| Diagnostic { hint: None, ..d.clone() }.to_string()).collect();
    let all = told.join("\n");
    for part in [
        "x/v.yml:2:1: error: this line is not UTF-8",
        "x/templates/a.j2:3:1: error: this line is not UTF-8",
        "x/roles/r/tasks/main.yml:2:1: error: a tab in the indentation",
        "x/roles/r/handlers/main.yml:1:1: error: a file of tasks is a list, not a map",
        "x/roles/r/defaults/main.yml:1:1: error: a file of variables is a map, not a list",
    ] {
        assert!(all.contains(part), "{part}\n{all}");
    }
    assert_eq!(told.len(), 5, "{all}");
    write("site.yml", b"- hosts: all\n# \xe4\n");
    let (trouble, line, _) =
        files::playbook(&dir.path().join("site.yml"), &Trees::default()).unwrap_err();
    assert_eq!((trouble.message.as_str(), line), ("this line is not UTF-8", 2));
}

/// What is not there was told only where its name stands in the task.
#[test]
fn files_of_loops_and_lookups_are_looked_for() {
    let files: Files = &[("ansible/files/a", "x"), ("ansible/a.yml", "- {shell: id, sudo: yes}\n")];
    let cases = [
        (
            task("{copy: {src: '{{ item }}', dest: /x}, with_items: [a, no]}"),
            "error: `no`, which `copy` reads,",
        ),
        (
            task("{copy: 'src={{ item }} dest=/x', loop: [a, no]}"),
            "error: `no`, which `copy` reads,",
        ),
        (
            task("{include_tasks: '{{ item }}.yml', loop: [a, no]}"),
            "error: the file of tasks `no.yml`",
        ),
        (task("{include_tasks: '{{ item }}.yml', loop: [a]}"), "error: `sudo`"),
        (
            task("debug: {msg: \"{{ lookup('file', 'no') }}\"}"),
            "error: `no`, which a lookup reads,",
        ),
        (
            task("{debug: {msg: \"{{ lookup('file', 'no') }}\"}, when: x}"),
            "warning: `no`, which a lookup reads,",
        ),
        (
            "- hosts: all\n  vars: {k: \"{{ lookup('file', 'no') }}\"}\n".into(),
            "warning: `no`, which a lookup reads,",
        ),
    ];
    for (playbook, expected) in cases {
        let found = said(&playbook, files);
        assert!(found.iter().any(|f| f.contains(expected)), "{playbook}{found:?}");
    }
    let sound = [
        task("{copy: {src: '{{ item }}', dest: /x}, with_items: [a]}"),
        task("{copy: {src: '{{ item }}', dest: /x}, with_items: '{{ all }}'}"),
        task("{copy: {src: '{{ f }}', dest: /x}, loop: [no], loop_control: {loop_var: f}}"),
        task(
            "debug: {msg: \"{{ lookup('file', 'a') }}{{ lookup('file', 'no', errors='ignore') }}{{ \
                lookup('file', x) }}\"}",
        ),
    ];
    for playbook in sound {
        assert_eq!(said(&playbook, files), [""; 0], "{playbook}");
    }
}
