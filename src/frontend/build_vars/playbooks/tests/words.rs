//! Words, includes and names that Ansible has dropped.
use super::*;

/// `validate` found all of these sound: Ansible refuses them, or does something else than was
/// meant.
#[test]
fn old_words_are_named_with_line_and_replacement() {
    let play = |text: &str| format!("- hosts: all\n  {text}\n  tasks: []\n");
    let cases = [
        (play("sudo: yes"), 2, "error", "`sudo`", "`become: true`"),
        (play("sudo_user: web"), 2, "error", "`sudo_user`", "`become_user`"),
        (play("su: yes"), 2, "error", "`su`", "`become_method: su`"),
        (play("accelerate: true"), 2, "error", "`accelerate`", "pipelining"),
        (play("user: root"), 2, "warning", "`user`", "`remote_user`"),
        (
            play("vars: {ansible_ssh_user: root}"),
            2,
            "warning",
            "`ansible_ssh_user`",
            "`ansible_user`",
        ),
        (
            play("vars: {ansible_sudo_pass: x}"),
            2,
            "warning",
            "`ansible_sudo_pass`",
            "`ansible_become_password`",
        ),
        (task("{shell: id, sudo: yes}"), 3, "error", "`sudo`", "`become: true`"),
        (task("{shell: id, always_run: yes}"), 3, "error", "`always_run`", "`check_mode: false`"),
        (
            task("{copy: {dest: /x}, first_available_file: [a]}"),
            3,
            "error",
            "`first_available_file`",
            "`with_first_found`",
        ),
        (task("{shell: id, only_if: x}"), 3, "error", "`only_if`", "`when`"),
        (task("action: module=shell id"), 3, "error", "`action: module=shell`", "`shell: …`"),
        (task("{shell: id, when: 'r|success'}"), 3, "error", "`| success`", "`is succeeded`"),
        (task("{shell: id, when: r | failed and x}"), 3, "error", "`| failed`", "`is failed`"),
        (task("{shell: id, when: [a, r|changed]}"), 3, "error", "`| changed`", "`is changed`"),
        (task("{shell: id, until: r|skipped}"), 3, "error", "`| skipped`", "`is skipped`"),
        (
            task("debug: {msg: \"{{ v | version_compare('1', '>') }}\"}"),
            3,
            "error",
            "`| version_compare`",
            "is version(",
        ),
        (task("assert: {that: [\"v|match('a')\"]}"), 3, "error", "`| match`", "`is match('…')`"),
        (task("{shell: id, when: \"{{ x }}\"}"), 3, "warning", "needs no braces", "leave"),
        (task("{shell: id, when: \"{{ r|failed }}\"}"), 3, "error", "`| failed`", "`is failed`"),
        (
            task("{apt: 'name={{ item }}', with_items: packages}"),
            3,
            "warning",
            "`with_items: packages`",
            "{{ packages }}",
        ),
        (
            task("{apt: 'name={{ item }}', with_items: r.stdout_lines}"),
            3,
            "error",
            "`with_items: r.stdout_lines`",
            "{{ r.stdout_lines }}",
        ),
        (
            task("{apt: 'name={{ item }}', with_items: $packages}"),
            3,
            "error",
            "`with_items: $packages`",
            "{{ packages }}",
        ),
        (
            task("{debug: , with_subelements: [users, keys]}"),
            3,
            "error",
            "`with_subelements: users`",
            "{{ users }}",
        ),
        (task("{shell: id, args: {warn: no}}"), 3, "error", "`warn` of `shell`", "leave it out"),
        (task("command: id warn=no"), 3, "error", "`warn` of `command`", "leave it out"),
        (
            task("get_url: url=http://x sha256sum=1 dest=/x"),
            3,
            "error",
            "`sha256sum`",
            "`checksum: sha256:…`",
        ),
        (
            task("docker: {image: x}"),
            3,
            "warning",
            "`docker`",
            "`community.docker.docker_container`",
        ),
        (
            task("docker_container: {name: x}"),
            3,
            "warning",
            "`docker_container`",
            "`community.docker.docker_container`",
        ),
        (
            task("{name: a, action: mysql_db name=x}"),
            3,
            "warning",
            "`mysql_db`",
            "`community.mysql.mysql_db`",
        ),
        (task("ec2: {image: x}"), 3, "warning", "`ec2`", "`amazon.aws.ec2_instance`"),
        (
            task("debug: {msg: '{{ x | json_query(y) }}'}"),
            3,
            "warning",
            "filter `json_query`",
            "`community.general.json_query`",
        ),
        (task("{block: [{shell: id, sudo: no}]}"), 3, "error", "`sudo`", "`become: true`"),
        (
            task("{set_fact: {ansible_ssh_port: 2}}"),
            3,
            "warning",
            "`ansible_ssh_port`",
            "`ansible_port`",
        ),
    ];
    for (playbook, line, severity, what, instead) in cases {
        let found = said(&playbook, &[]);
        let begins = format!("site.yml:{line}: {severity}: ");
        let hit = |f: &String| {
            f.starts_with(&begins)
                && f.contains(what)
                && f.split_once("; ").is_some_and(|(_, hint)| hint.contains(instead))
        };
        assert!(found.iter().any(hit), "{begins}{what} {instead}\n{playbook}{found:?}");
    }
}

#[test]
fn old_includes_are_named() {
    let files = [
        ("ansible/t.yml", "- {shell: id, sudo: yes}\n"),
        ("ansible/more.yml", "- hosts: all\n  sudo: yes\n"),
    ];
    let found = said(
        "- hosts: all\n  tasks:\n  - {include: t.yml, static: yes}\n- include: more.yml\n",
        &files,
    );
    let all = found.join("\n");
    for part in [
        "site.yml:3: error: `static`",
        "site.yml:3: warning: `include`",
        "site.yml:4: warning: `include`",
        "t.yml:1: error: `sudo`",
        "more.yml:2: error",
    ] {
        assert!(all.contains(part), "{part}\n{all}");
    }
}

#[test]
fn a_bare_name_of_a_known_variable_is_an_error() {
    let loop_over = "- hosts: all\n  roles: [web]\n  tasks:\n  - {apt: 'name={{ item }}', \
        with_items: packages}\n";
    let files = [("ansible/roles/web/defaults/main.yml", "packages: [a]\n")];
    assert!(
        said(loop_over, &files)[0]
            .starts_with("site.yml:4: error: `with_items: packages` is the text")
    );
}

/// None of these was told.
#[test]
fn more_old_words_are_named_with_line_and_replacement() {
    let play = |text: &str| format!("- hosts: all\n  {text}\n  tasks: []\n");
    let cases = [
        (play("environment: proxy"), 2, "error", "`environment: proxy` is a text", "{{ proxy }}"),
        (play("vars: [{a: 1}, {b: 2}]"), 2, "warning", "`vars` as a list", "one map"),
        (play("vars_prompt: {who: name}"), 2, "error", "`vars_prompt` as a map", "name: …"),
        (
            play("vars_prompt: [{name: who}]"),
            2,
            "warning",
            "`vars_prompt` asks nobody",
            "`extra_vars`",
        ),
        (
            play("module_defaults: {command: {warn: no}}"),
            2,
            "error",
            "`warn` of `command`",
            "leave it out",
        ),
        (
            play("roles: ['web, tags=a']"),
            2,
            "error",
            "`web, tags=a` is a role in the words",
            "`{role: web, tags: a}`",
        ),
        (task("debug: {msg: '{{ d.iteritems() }}'}"), 3, "error", "`.iteritems()`", "`.items()`"),
        (task("{debug: , when: d.has_key('a')}"), 3, "error", "`.has_key()`", "in dictionary"),
        (
            task("include_tasks: t.yml x=1"),
            3,
            "error",
            "`x` is no argument of `include_tasks`",
            "`vars: {x: …}`",
        ),
        (
            task("import_tasks: {file: t.yml, x: 1}"),
            3,
            "error",
            "`x` is no argument of `import_tasks`",
            "`vars: {x: …}`",
        ),
        (task("include: t.yml x=1"), 3, "warning", "`include`", "`x` under `vars`"),
        (
            task("include_role: name=web static=yes"),
            3,
            "error",
            "`static` of `include_role`",
            "`import_role`",
        ),
        (
            task("{debug: , with_items: 'packages | default([])'}"),
            3,
            "warning",
            "`with_items: packages | default([])`",
            "{{ packages",
        ),
        (task("{debug: , with_items: a + b}"), 3, "warning", "`with_items: a + b`", "{{ a + b }}"),
        (
            task("{debug: , vars: {a: [1]}, with_flattened: [a]}"),
            3,
            "error",
            "`with_flattened: a`",
            "{{ a }}",
        ),
        (
            task("{debug: , with_random_choice: names}"),
            3,
            "warning",
            "`with_random_choice: names`",
            "{{ names }}",
        ),
        (task("{debug: , with_dig: x}"), 3, "warning", "lookup `dig`", "`community.general.dig`"),
        (
            task("{shell: id, environment: $proxy}"),
            3,
            "error",
            "`environment: $proxy`",
            "{{ proxy }}",
        ),
        (
            task("{shell: id, environment: [proxy]}"),
            3,
            "error",
            "`environment: proxy`",
            "{{ proxy }}",
        ),
        (task("copy: content=$FILE(/etc/x) dest=/x"), 3, "error", "`$FILE(…)`", "lookup('file'"),
        (
            task("apt: pkg=x state=installed"),
            3,
            "error",
            "`state: installed` of `apt`",
            "`state: present`",
        ),
        (
            task("service: {name: x, state: running}"),
            3,
            "error",
            "`state: running` of `service`",
            "`state: started`",
        ),
        (
            task("uri: url=x HEADER_Accept=y"),
            3,
            "error",
            "`HEADER_Accept` of `uri`",
            "`headers: {Accept: …}`",
        ),
        (
            task("cron: name=x job=y reboot=yes"),
            3,
            "error",
            "`reboot` of `cron`",
            "`special_time: reboot`",
        ),
        (
            task("set_fact: ansible_ssh_user=x"),
            3,
            "warning",
            "`ansible_ssh_user`",
            "`ansible_user`",
        ),
        (
            task("file: {path: /x, mode: 644}"),
            3,
            "warning",
            "`mode: 644` is a decimal number, and means 1204",
            "\"0644\"",
        ),
        (task("debug: {msg: {{ x }}}"), 3, "error", "a key must be text", "needs quotes"),
    ];
    for (playbook, line, severity, what, instead) in cases {
        let found = said(
            &playbook,
            &[("ansible/t.yml", "- ping:\n"), ("ansible/roles/web/tasks/main.yml", "- ping:\n")],
        );
        let begins = format!("site.yml:{line}: {severity}: ");
        let hit = |f: &String| {
            f.starts_with(&begins)
                && f.contains(what)
                && f.split_once("; ").is_some_and(|(_, hint)| hint.contains(instead))
        };
        assert!(found.iter().any(hit), "{begins}{what} {instead}\n{playbook}{found:?}");
    }
    let today = [
        "file: {path: /x, mode: 0644}",
        "file: {path: /x, mode: '644'}",
        "file: path=/x mode=644",
        "{shell: id, environment: {A: b}}",
        "{shell: id, environment: '{{ e }}'}",
        "include_tasks: {file: t.yml, apply: {tags: a}}",
        "include_role: {name: web, public: true}",
        "yum: {name: x, state: installed}",
    ];
    for one in today {
        let found = said(
            &task(one),
            &[("ansible/t.yml", "- ping:\n"), ("ansible/roles/web/tasks/main.yml", "- ping:\n")],
        );
        assert_eq!(found, [""; 0], "{one}");
    }
}
