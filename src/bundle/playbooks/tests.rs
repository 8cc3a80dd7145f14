//! Playbooks as they were written ten years ago, each old word once, and playbooks that name what
//! is not there.
use super::*;

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
        let word =
            if d.severity == crate::diagnostic::Severity::Error { "error" } else { "warning" };
        format!("{file}:{}: {word}: {}; {}", place.line, d.message, d.hint.unwrap_or_default())
    });
    found.collect()
}

pub(super) fn task(text: &str) -> String {
    format!("- hosts: all\n  tasks:\n  - {text}\n")
}

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
fn what_has_to_come_from_elsewhere_is_listed() {
    let playbook = "- hosts: all\n  collections: [a.b]\n  roles: [nope, x.y.role]\n  tasks:\n  - \
        community.docker.docker_container: {name: x}\n\
        \x20 - debug: {msg: \"{{ lookup('c.d.e') }}\"}\n  - ansible.builtin.ping:\n  - \
        include_role: {name: '{{ r }}'}\n";
    let names = |files: Files| -> Vec<String> {
        reviewed(playbook, files)
            .needs
            .iter()
            .map(|need| format!("{} {}", need.place.line, need.name))
            .collect()
    };
    assert_eq!(names(&[]), ["2 a.b", "3 nope", "3 x.y", "5 community.docker", "6 c.d"]);
    let required = "roles: [{name: nope}]\ncollections: [a.b, name: community.docker]\n";
    assert_eq!(names(&[("ansible/requirements.yml", required)]), ["3 x.y", "6 c.d"]);
    let brought = [
        ("ansible/collections/ansible_collections/a/b/README", ""),
        ("ansible/roles/nope/tasks/main.yml", ""),
    ];
    assert_eq!(names(&brought), ["3 x.y", "5 community.docker", "6 c.d"]);
    let configured = [
        ("ansible.cfg", "[defaults]\nroles_path = shared:/opt\n"),
        ("shared/nope/tasks/main.yml", ""),
    ];
    assert!(!names(&configured).contains(&"3 nope".to_owned()));
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

/// Each of these was an error, though the task may not run or its failure is let pass.
#[test]
fn what_may_not_run_misses_nothing_for_certain() {
    let copy = "copy: {src: no, dest: /x}";
    let role: Files = &[("ansible/roles/r/tasks/main.yml", "- copy: {src: no, dest: /x}\n")];
    let imported: Files =
        &[("ansible/p.yml", "- hosts: all\n  tasks:\n  - copy: {src: no, dest: /x}\n")];
    let handler: Files = &[("ansible/roles/r/handlers/main.yml", "- copy: {src: no, dest: /x}\n")];
    let cases: [(String, Files); 9] = [
        ("- hosts: all\n  roles: [{role: r, when: x}]\n".into(), role),
        ("- hosts: all\n  roles: [{role: r, tags: never}]\n".into(), role),
        (task(&format!("{{block: [{copy}], rescue: [ping: ]}}")), &[]),
        (task(&format!("{{block: [ping: ], rescue: [{copy}]}}")), &[]),
        (task(&format!("{{{copy}, failed_when: false}}")), &[]),
        (task(&format!("{{{copy}, tags: [a, never]}}")), &[]),
        (format!("- hosts: all\n  handlers: [{copy}]\n"), &[]),
        ("- hosts: all\n  roles: [r]\n".into(), handler),
        ("- import_playbook: p.yml\n  when: x\n".into(), imported),
    ];
    for (playbook, files) in cases {
        let found = said(&playbook, files);
        assert!(
            found.len() == 1 && found[0].contains(": warning: `no`, which `copy` reads,"),
            "{playbook}{found:?}"
        );
    }
    for sure in [
        format!("{{{copy}, ignore_errors: false}}"),
        format!("{{block: [ping: ], rescue: [ping: ], always: [{copy}]}}"),
    ] {
        assert!(said(&task(&sure), &[])[0].contains(": error: `no`"), "{sure}");
    }
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

#[test]
fn a_play_without_hosts_is_an_error() {
    assert!(
        said("- name: x\n  shell: id\n", &[])[0]
            .starts_with("site.yml:1: error: this play has no `hosts`")
    );
}

/// `NAME surely|perhaps` of what is missing.
fn needs(playbook: &str, more: Files) -> Vec<String> {
    let word =
        |need: &Need| format!("{} {}", need.name, if need.sure { "surely" } else { "perhaps" });
    reviewed(playbook, more).needs.iter().map(word).collect()
}

/// All of these were errors; ansible-playbook runs them, but for those that are sure.
#[test]
fn what_may_not_run_is_not_surely_missed() {
    let uses = ("ansible/t.yml", "- ini_file: {path: /x}\n");
    let cases: [(&str, Files, &str); 19] = [
        ("{include_tasks: t.yml, when: x}", &[uses], "community.general perhaps"),
        ("{block: [include_tasks: t.yml], when: x}", &[uses], "community.general perhaps"),
        ("{import_tasks: t.yml, when: x}", &[uses], "community.general surely"),
        ("include_tasks: t.yml", &[uses], "community.general surely"),
        ("{include_role: {name: gone}, when: false}", &[], "gone perhaps"),
        ("{include_role: {name: gone}, tags: never}", &[], "gone perhaps"),
        ("{import_role: {name: gone}, when: false}", &[], "gone surely"),
        ("include_role: {name: gone}", &[], "gone surely"),
        (
            "{include_role: {name: r}, when: x}",
            &[("ansible/roles/r/tasks/main.yml", "- a.b.c:\n")],
            "a.b perhaps",
        ),
        ("{a.b.c: , when: false}", &[], "a.b surely"),
        ("{shell: id, vars: {u: '{{ 1 | a.b.c }}'}}", &[], "a.b perhaps"),
        ("debug: {msg: '{{ 1 | a.b.c }}'}", &[], "a.b surely"),
        ("debug: {msg: '{% if x %}{{ 1 | a.b.c }}{% endif %}'}", &[], "a.b perhaps"),
        ("debug: {msg: \"{{ y if x else lookup('a.b.c') }}\"}", &[], "a.b perhaps"),
        ("{debug: {msg: '{{ 1 | a.b.c }}'}, when: x}", &[], "a.b perhaps"),
        (
            "template: {src: t.j2, dest: /x}",
            &[("ansible/t.j2", "{% if x %}{{ 1 | a.b.c }}{% endif %}")],
            "a.b perhaps",
        ),
        ("template: {src: t.j2, dest: /x}", &[("ansible/t.j2", "{{ 1 | a.b.c }}")], "a.b surely"),
        (
            "{template: {src: t.j2, dest: /x}, when: x}",
            &[("ansible/t.j2", "{{ 1 | a.b.c }}")],
            "a.b perhaps",
        ),
        ("{shell: id, collections: [a.b]}", &[], "a.b perhaps"),
    ];
    for (text, files, expected) in cases {
        assert_eq!(needs(&task(text), files), [expected], "{text}");
    }
    let twice =
        "- hosts: all\n  tasks:\n  - {include_tasks: t.yml, when: x}\n  - include_tasks: t.yml\n";
    assert_eq!(needs(twice, &[uses]), ["community.general surely"]);
    let unused = "- hosts: all\n  vars: {unused: '{{ 1 | a.b.c }}'}\n";
    assert_eq!(needs(unused, &[]), ["a.b perhaps"]);
}

#[test]
fn roles_of_collections_are_found_by_their_short_names() {
    let playbook = "- hosts: all\n  collections: [my.coll]\n  roles: [web]\n";
    let role = "ansible/collections/ansible_collections/my/coll/roles/web/tasks/main.yml";
    assert_eq!(needs(playbook, &[(role, "- ping:\n")]), [""; 0]);
    assert_eq!(said(playbook, &[(role, "- {ping: , sudo: yes}\n")]).len(), 1, "it is looked into");
    assert_eq!(needs(playbook, &[]), ["my.coll perhaps", "web perhaps"]);
}

#[test]
fn lists_of_requirements_are_read_as_ansible_galaxy_reads_them() {
    let playbook = "- hosts: all\n  roles: [foo]\n  tasks: [{a.b.c: }]\n";
    let of = |list: &str| {
        (
            needs(playbook, &[("ansible/requirements.yml", list)]),
            said(playbook, &[("ansible/requirements.yml", list)]),
        )
    };
    for list in [
        "- git+https://x/y.git,v1,foo\n",
        "- git+https://x/foo.git,v1\n",
        "- src: https://x/foo.tar.gz\n",
        "- {role: foo}\n",
    ] {
        assert_eq!(of(list), (vec!["a.b surely".to_owned()], Vec::new()), "{list}");
    }
    assert_eq!(
        of("roles: [other.role]\ncollections: [c.d]\n").0,
        ["foo perhaps", "a.b perhaps"],
        "a dependency may be it"
    );
    for (list, says) in [
        ("roles:\n\t- foo\n", "not valid YAML"),
        ("roles: {web: 1}\n", "`roles` is a list"),
        ("collections: a.b\n", "`collections` is a list"),
        ("colections: [a.b]\n", "did you mean `collections`?"),
        ("roles: [foo]\nmore: 1\n", "`more` is no key"),
    ] {
        let (_, found) = of(list);
        assert!(
            matches!(&found[..], [one] if one.starts_with("requirements.yml:")
                && one.contains(": error: ")
                && one.contains(says)),
            "{list} {found:?}"
        );
    }
    for honest in ["", "---\n", "dependencies: [x]\n", "roles:\ncollections: []\n"] {
        assert_eq!(of(honest).1, [""; 0], "{honest}");
    }
    let dir = said(playbook, &[("ansible/requirements.yml/x", "")]);
    assert!(matches!(&dir[..], [one] if one.contains("cannot be read")), "{dir:?}");
}
