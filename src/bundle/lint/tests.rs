//! Playbooks that would run on the factory, in every way in which that can be written out.
use super::*;
use crate::bundle::ansible_cfg::Config;
use crate::bundle::trees::Trees;

const FILES: [(&str, &str); 1] = [("roles/web/tasks/main.yml", "- ping:\n")];

/// Findings, without hints, on a bundle with this playbook and these files.
fn with(playbook: &str, files: &[(&str, &str)]) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files.iter().copied().chain([("ansible/site.yml", playbook)]) {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let given = Given {
        variables: serde_json::from_str(r#"{"given": "all", "far": "localhost"}"#).unwrap(),
        env: vec!["MIRROR".into()],
        config: Config::of(dir.path(), &Default::default()),
    };
    let (path, shown) = (Path::new("ansible/site.yml"), Path::new("images/x"));
    let found = super::playbook(
        &mut Cache::default(),
        &Playbook { dir: dir.path(), shown, path, given, local: false },
    );
    found
        .iter()
        .map(|d| Diagnostic { hint: None, ..d.clone() }.to_string().replace("images/x/", ""))
        .collect()
}

fn said(playbook: &str) -> String {
    with(playbook, &FILES).join("\n")
}

#[test]
fn what_runs_on_the_builder_is_sound() {
    let playbooks = [
        "- hosts: all\n  roles: [web]\n  tasks:\n  - copy: {src: files/a, dest: /etc/a}\n",
        "- hosts: local\n- hosts: [all, local]\n- hosts: 'all:!localhost'\n- hosts: web:&db\n",
        "- hosts: all\n  vars: {password: !vault x, raw: !unsafe '{{', db: {connection: local}}\n",
        "- hosts: all\n  tasks:\n  - copy: {src: /etc/a, dest: /b, remote_src: true}\n  - file: \
            {src: /a, dest: /b, state: link}\n",
        "- hosts: all\n  tasks:\n  - {shell: echo localhost, delegate_to: '{{ inventory_hostname \
            }}'}\n  - uri: {url: 'http://127.0.0.1/'}\n",
        "- hosts: all\n  connection: ssh\n  tasks:\n  - template: {src: ../templates/x, dest: \
            /x}\n  - include_vars: ../vars/a.yml\n",
        "- hosts: all\n  tasks:\n  - unarchive: {src: 'https://x/y.tgz', dest: /, remote_src: \
            yes}\n  - slurp: {src: /etc/passwd}\n",
    ];
    for playbook in playbooks {
        assert_eq!(said(playbook), "", "{playbook}");
    }
}

/// Each case would run something on the factory, or read or write a file of it, and `validate`
/// found all of them sound.
#[test]
fn what_runs_on_the_factory_is_found() {
    let play = |more: &str| format!("- hosts: all\n  {more}\n");
    let task = |more: &str| format!("- hosts: all\n  tasks:\n  - {more}\n");
    let cases = [
        ("- hosts: localhost\n".into(), r#"localhost"#),
        ("- hosts: 127.0.0.1\n".into(), r#"127.0.0.1"#),
        ("- hosts: ::1\n".into(), r#"::1"#),
        ("- hosts: all,localhost\n".into(), r#"all,"#),
        ("- hosts: 'local : localhost'\n".into(), r#"'local"#),
        ("- hosts: [all, localhost]\n".into(), r#"[all"#),
        ("- hosts: localhost[0]\n".into(), r#"localhost["#),
        ("- hosts: \"{{ h | default('localhost') }}\"\n".into(), r#""{{ h"#),
        ("- hosts: all\n  hosts: localhost\n".into(), r#"localhost"#),
        ("- &p {hosts: localhost}\n- <<: *p\n".into(), r#"localhost"#),
        (play("connection: local"), r#"connection"#),
        (play("connection: ansible.builtin.local"), r#"connection"#),
        (play("vars: {ansible_connection: local}"), r#"ansible_connection"#),
        (play("vars: {ansible_ssh_common_args: -oProxyCommand=x}"), r#"ansible_ssh"#),
        (play("vars_files: [/root/secrets.yml]"), r#"/root"#),
        (play("roles: [{role: /opt/r}]"), r#"/opt"#),
        (play("roles: [../../../r]"), r#"../"#),
        (task("{ping: , delegate_to: localhost}"), r#"delegate_to"#),
        (task("{ping: , delegate_to: other.example.net}"), r#"delegate_to"#),
        (task("local_action: command id"), r#"local_action"#),
        (task("{ping: , connection: local}"), r#"connection"#),
        (task("{command: id, vars: {ansible_connection: local}}"), r#"ansible_connection"#),
        (task("block: [{ping: , delegate_to: localhost}]"), r#"delegate_to"#),
        (
            task("{block: [{ping: }], rescue: [{block: [{ping: , delegate_to: 127.0.0.1}]}]}"),
            r#"delegate_to"#,
        ),
        (task("include_tasks: {file: a.yml, apply: {delegate_to: localhost}}"), r#"delegate_to"#),
        (task("set_fact: {ansible_connection: local}"), r#"ansible_connection"#),
        (task("set_fact: ansible_connection=local"), r#"ansible_connection="#),
        (task("add_host: name=x ansible_connection=local"), r#"name=x"#),
        (task("ansible.builtin.copy: {src: /etc/shadow, dest: /x}"), r#"/etc/shadow"#),
        (task("copy: src=/etc/shadow dest=/x"), r#"src=/etc"#),
        (task("action: copy src=/etc/shadow dest=/x"), r#"copy src"#),
        (task("copy: {src: ~/.ssh/id_rsa, dest: /x}"), r#"~/"#),
        (task("template: {src: ../../../x, dest: /x}"), r#"../"#),
        (task("script: /usr/bin/x --all"), r#"/usr/bin"#),
        (task("fetch: {src: /x, dest: /root/}"), r#"/root/"#),
        (task("include_vars: /etc/x.yml"), r#"/etc/x"#),
        (task("debug: {msg: \"{{ lookup('file', '/etc/passwd') }}\"}"), r#""{{ lookup"#),
        (task("{debug: , with_file: [/etc/passwd]}"), r#"/etc/passwd"#),
        ("- import_playbook: /opt/x.yml\n".into(), r#"/opt/x"#),
    ];
    for (playbook, at) in cases {
        // What stands where the finding points to.
        let pointed = |finding: &String| {
            let place =
                finding.strip_prefix("ansible/site.yml:")?.split_once(": error: ")?.0.to_owned();
            let (line, column) = place.split_once(':')?;
            let line = playbook.lines().nth(line.parse::<usize>().ok()? - 1)?;
            line.get(column.parse::<usize>().ok()? - 1..).map(|text| text.starts_with(at))
        };
        let found = with(&playbook, &FILES);
        assert!(found.iter().any(|f| pointed(f) == Some(true)), "{at}: {playbook} -> {found:?}");
    }
}

/// A name that is worked out is sound where all that the bundle gives it is; else it was a warning
/// that nobody reads.
#[test]
fn what_is_known_at_the_run_only_is_an_error() {
    assert_eq!(
        said("- hosts: \"{{ where }}\"\n  tasks: [{ping: , delegate_to: '{{ where }}'}]\n"),
        "ansible/site.yml:1:10: error: where this runs is known at the run only: `hosts: {{ where \
            }}`; nothing in the bundle sets `where`\n\
         ansible/site.yml:2:20: error: where this runs is known at the run only: `delegate_to: {{ \
         where }}`; nothing in the bundle sets `where`"
    );
    let hosts = |template: &str, more: &str| format!("- hosts: \"{template}\"\n{more}");
    let sound = [
        hosts("{{ target | default('all') }}", ""),
        hosts("{{ given }}", ""),
        hosts("{{ t | d('all', true) }}", "  vars: {t: local}\n"),
        hosts("all", "  tasks:\n  - {ping: , delegate_to: \"{{ groups['all'][0] }}\"}\n"),
        hosts(
            "all",
            "  tasks:\n  - {ping: , delegate_to: '{{ to | default(inventory_hostname) }}'}\n",
        ),
    ];
    for playbook in sound {
        assert_eq!(said(&playbook), "", "{playbook}");
    }
    let wrong = [
        hosts("{{ far }}", ""),
        hosts("{{ t | default('all') }}", "  vars: {t: localhost}\n"),
        hosts("{{ t | default('all') }}", "  vars: {t: \"{{ 'local' ~ 'host' }}\"}\n"),
        hosts("{{ t | default('all') }}", "  tasks: [{set_fact: t=localhost}]\n"),
        hosts("{{ t | default('all') }}", "  vars_prompt: [{name: t, default: x}]\n"),
        hosts("{{ 'local' ~ 'host' }}", ""),
        hosts("{% if true %}all{% endif %}", ""),
        hosts("all", "  connection: '{{ c }}'\n"),
    ];
    for playbook in wrong {
        assert!(
            said(&playbook).contains(": error: where this runs is known at the run only"),
            "{playbook}: {}",
            said(&playbook)
        );
    }
}

/// As Ansible splits and matches patterns; each of these was sound.
#[test]
fn every_spelling_of_the_factory_is_found() {
    let patterns = [
        "127.1.2.3",
        "127.1",
        "0x7f.1",
        "0177.0.0.1",
        "2130706433",
        "0.0.0.0",
        "'0:0:0:0:0:0:0:1'",
        "'::ffff:127.0.0.1'",
        "'[::1]:22'",
        "ip6-localhost",
        "localhost.localdomain",
        "a.localhost",
        "LOCALHOST",
        "localhost.",
        "'~localh.st'",
        "'~(web|localhost)'",
        "'local?ost'",
        "'localhos[t]'",
        "'localhos[!x]'",
        "'local*'",
        "'127.*'",
        "'all:localhost'",
        "'all localhost'",
        "'web:&localhost'",
        "'localhost[0:1]'",
        "'x,127.0.0.2'",
    ];
    for pattern in patterns {
        let found = said(&format!("- hosts: {pattern}\n"));
        assert!(found.contains("error: this runs on the factory"), "{pattern}: {found}");
    }
    for pattern in ["'!all'", "'all:!*'", "'~(?!x)localhost'"] {
        let found = said(&format!("- hosts: {pattern}\n"));
        assert!(
            found.contains("error: where this runs is known at the run only"),
            "{pattern}: {found}"
        );
    }
    let sound = [
        "'*'",
        "'~.*'",
        "'web*'",
        "'db[0:2]'",
        "'all:!localhost'",
        "10.0.0.1",
        "'fe80::1'",
        "'~web[0-9]+'",
        "'web:db:&local'",
        "local",
    ];
    for pattern in sound {
        assert_eq!(said(&format!("- hosts: {pattern}\n")), "", "{pattern}");
    }
    let tasks = [
        "add_host: name=localhost",
        "add_host: {hostname: 127.0.1.1}",
        "set_fact: ansible_host=127.0.0.1",
        "action: add_host host=::1",
    ];
    for task in tasks {
        let found = said(&format!("- hosts: all\n  tasks:\n  - {task}\n"));
        assert!(found.contains("error: this"), "{task}: {found}");
    }
}

/// Padding made of the refusal a warning.
#[test]
fn what_cannot_be_looked_into_is_refused() {
    let deep = format!("- hosts: localhost\n  vars: {{a: {}{}}}\n", "[".repeat(70), "]".repeat(70));
    let many = format!(
        "- &a [{}]\n- [{}]\n- delegate_to: localhost\n",
        "x,".repeat(500),
        "*a,".repeat(50)
    );
    for text in [&deep, &many, &"- hosts: !!binary bG9jYWxob3N0\n".to_owned()] {
        let found = with("- import_playbook: more.yml\n", &[("ansible/more.yml", text)]);
        assert!(
            found
                .iter()
                .any(|f| f.starts_with("ansible/more.yml:") && f.contains("error: not checked")),
            "{found:?}"
        );
        let found = with("- hosts: all\n", &[("ansible/more.yml", text)]);
        assert!(
            found.iter().all(|f| f.contains("warning: not checked")) && found.len() == 1,
            "{found:?}"
        );
    }
    let local = "- {ping: , delegate_to: localhost}\n";
    for role in ["files", "templates", "target", "output"] {
        let found = with("- hosts: all\n", &[(&format!("roles/{role}/tasks/main.yml"), local)]);
        assert!(
            found.iter().any(|f| f.contains("error: this runs on the factory")),
            "{role}: {found:?}"
        );
    }
}

/// What is not passed behind the wall was an empty text, without a word.
#[test]
fn variables_of_the_environment_that_do_not_arrive_are_told_of() {
    let playbook = "- hosts: all\n  vars: {a: \"{{ lookup('env', 'TOKEN') }}\", b: \"{{ \
        q('ansible.builtin.env', 'HOME', 'MIRROR', 'LANG') }}\"}\n  \
        tasks: [{debug: , with_env: [OTHER]}]\n";
    let found =
        with(playbook, &[("roles/web/templates/x.j2", "one\n {{ lookup('env', \"SITE\") }}\n")]);
    let told = |place: &str, name: &str| {
        format!(
            "{place}: warning: `{name}` of the factory's environment does not reach playbooks: \
                this is an empty text"
        )
    };
    assert_eq!(
        found,
        [
            told("ansible/site.yml:2:13", "TOKEN"),
            told("ansible/site.yml:3:32", "OTHER"),
            told("roles/web/templates/x.j2:2:20", "SITE")
        ]
    );
}

#[test]
fn files_beside_the_playbook_and_roles_are_looked_into() {
    let sound =
        "- hosts: all\n  tasks: [{include_tasks: ../other/t.yml}]\n- import_playbook: more.yml\n";
    let local = "- {ping: , delegate_to: localhost}\n";
    let cases = [
        ("ansible/more.yml", "- hosts: localhost\n", "1:10"),
        ("ansible/roles/web/tasks/main.yml", local, "1:12"),
        ("ansible/roles/web/handlers/main.yml", local, "1:12"),
        ("ansible/roles/web/vars/main.yml", "ansible_connection: local\n", "1:1"),
        ("ansible/roles/web/meta/main.yml", "dependencies:\n- role: /opt/r\n", "2:9"),
        ("roles/db/tasks/a.yaml", local, "1:12"),
        ("other/t.yml", local, "1:12"),
        ("ansible/group_vars/all", "ansible_connection: local\n", "1:1"),
        ("ansible/host_vars/local.json", "{\"ansible_connection\": \"local\"}", "1:2"),
        ("ansible/hosts", "[all]\nx ansible_connection=local\n", "2:3"),
        ("ansible/inventory/site", "x ansible_connection = 'local'\n", "1:3"),
        ("ansible.cfg", "[defaults]\ntransport = local\n", "2:1"),
        ("ansible.cfg", "[ssh_connection]\nssh_executable=/tmp/x\n", "2:1"),
    ];
    for (file, text, at) in cases {
        let found = with(sound, &[(file, text)]);
        assert!(
            found.len() == 1 && found[0].starts_with(&format!("{file}:{at}: error: ")),
            "{file}: {found:?}"
        );
    }
    let found = with(sound, &[("ansible/roles/web/tasks/main.yml", "- a: [\n")]);
    assert!(found.len() == 1 && found[0].contains("main.yml: warning: not checked"), "{found:?}");
}

/// A role as Galaxy delivers it has plays of its own trials, and a directory of playbooks has more
/// than the one.
#[test]
fn what_no_step_runs_is_no_error() {
    let (sound, local) = ("- hosts: all\n  roles: [web]\n", "- hosts: localhost\n");
    let trials = [
        "ansible/roles/web/tests/test.yml",
        "ansible/roles/web/molecule/default/converge.yml",
        "roles/web/.github/workflows/ci.yml",
        "ansible/collections/ansible_collections/a/b/tests/integration/x/tasks/main.yml",
    ];
    for file in trials {
        assert_eq!(with(sound, &[(file, local)]), [""; 0], "{file}");
    }
    for file in ["ansible/other.yml", "ansible/playbooks/x.yml"] {
        let found = with(sound, &[(file, local)]);
        assert!(
            found.len() == 1 && found[0].starts_with(&format!("{file}:1:10: warning: ")),
            "{found:?}"
        );
        // Named by a role that is read later, or in words that may be any file's.
        let by_role =
            format!("- include_tasks: ../../../{}\n", file.strip_prefix("ansible/").unwrap());
        let found = with(sound, &[(file, local), ("ansible/roles/web/tasks/main.yml", &by_role)]);
        assert!(found.iter().any(|f| f.contains(":1:10: error: ")), "{found:?}");
        let found = with("- import_playbook: '{{ x }}.yml'\n", &[(file, local)]);
        assert!(found.iter().any(|f| f.contains(":1:10: error: ")), "{found:?}");
    }
    let task = "- {ping: , delegate_to: localhost}\n";
    for file in [
        "roles/tests/tasks/main.yml",
        "roles/molecule/tasks/main.yml",
        "roles/web/tasks/tests/x.yml",
    ] {
        assert!(with(sound, &[(file, task)])[0].contains("error: "), "{file}");
    }
}

/// What only has the name of a variable sets none; each of these was refused.
#[test]
fn what_has_the_name_of_a_variable_does_not_set_it() {
    let names = [
        "hosts",
        "group",
        "groups_to_do",
        "play_target",
        "item_host",
        "ansible_limit",
        "host",
        "target",
        "name",
        "where",
    ];
    let tasks = "  - {name: target, wait_for: {host: localhost, target: localhost}}\n  - make: \
        {target: '{{ x }}', chdir: /a}\n  \
        - shell: mysql --host=db && make target=y\n  - {shell: a, args: {chdir: /host}}\n  - \
        debug: msg='host=localhost'\n  \
        - add_host: {name: web, groups: all}\n  - set_fact: other=localhost\n  - set_fact: {'{{ x \
        }}_path': localhost}\n";
    let files = [
        ("ansible.cfg", "[defaults]\n# host = 1\n; target = localhost\nfact_path = x\n"),
        ("roles/web/templates/x.cfg", "host = localhost\ntarget = {{ target }}\n"),
        ("roles/web/templates/x.yml", "host: localhost\ntarget: localhost\n"),
        ("roles/web/tasks/main.yml", "- {uri: {url: x, host: localhost}, register: answer}\n"),
        (
            "ansible/inventory/site",
            "# host=localhost\n[all]\nx target=all where='local' # \
                host=localhost\n[all:vars]\nplay_target = all\n",
        ),
        ("ansible/other.yml", "- hosts: all\n  vars: {target: localhost}\n"),
        (
            "ansible/group_vars/all.yml",
            "db: {host: localhost, target: localhost}\nitem_host: [all]\n",
        ),
    ];
    for name in names {
        let playbook = format!(
            "- hosts: \"{{{{ {name} | default('all') }}}}\"\n  roles: [{{role: web, name: \
                localhost}}]\n  tasks:\n{tasks}"
        );
        assert_eq!(with(&playbook, &files), [""; 0], "{name}");
    }
    for all in [
        "groups['all']",
        "groups.all",
        "groups['all'][0]",
        "groups['all'] | join(',')",
        "groups['all'] | first",
    ] {
        assert_eq!(said(&format!("- hosts: \"{{{{ {all} }}}}\"\n")), "", "{all}");
    }
}

/// Every word that sets a variable, with the place where it stands.
#[test]
fn what_sets_a_variable_is_found_and_its_place_is_said() {
    let play = "- hosts: \"{{ t | default('all') }}\"\n";
    let more = [
        "  vars: {t: localhost}\n",
        "  vars: [{t: localhost}]\n",
        "  vars: {t: [all, localhost]}\n",
        "  vars: {'{{ x }}': localhost}\n",
        "  roles: [{role: web, t: localhost}]\n",
        "  roles: [{role: web, vars: {t: localhost}}]\n",
        "  module_defaults: {set_fact: {t: localhost}}\n",
        "  tasks: [{set_fact: {t: localhost}}]\n",
        "  tasks: [{set_fact: {\"t{{ '' }}\": localhost}}]\n",
        "  tasks: [{ansible.builtin.set_fact: , args: {t: localhost}}]\n",
        "  tasks: [{set_fact: 'a=\"b c\" t=localhost'}]\n",
        "  tasks: [{set_fact: \"t={{ 'local' ~ 'host' }}\"}]\n",
        "  tasks: [{set_fact: 't=localhos\\x74'}]\n",
        "  tasks: [{set_fact: '\\x74=localhost'}]\n",
        "  tasks: [{set_fact: '{{ all_of_them }}'}]\n",
        "  tasks: [{action: set_fact t=localhost}]\n",
        "  tasks: [{action: {module: set_fact, t: localhost}}]\n",
        "  tasks: [{action: \"{{ 'set_' ~ 'fact' }} t=localhost\"}]\n",
        "  tasks: [{add_host: name=web t=localhost}]\n",
        "  tasks: [{ping: , register: t}]\n",
        "  tasks: [{ping: , loop: [a], loop_control: {loop_var: t}}]\n",
        "  tasks: [{block: [{ping: , vars: {t: localhost}}]}]\n",
        "  tasks: [{include_role: {name: web, apply: {vars: {t: localhost}}}}]\n",
        "  tasks: [{include_vars: {file: v.yml, name: t}}]\n",
        "  vars_prompt: [{name: t}]\n",
    ];
    for more in more {
        let found = said(&format!("{play}{more}"));
        assert!(
            found.contains(": error: where this runs") && found.contains("; ansible/site.yml:2:"),
            "{more}: {found}"
        );
    }
    let files = [
        ("ansible/group_vars/all", "t: localhost\n"),
        ("ansible/inventory/site.yml", "all: {children: {a: {hosts: {x: {t: localhost}}}}}\n"),
        ("ansible/inventory/site.yml", "all: {vars: {t: localhost}}\n"),
        ("ansible/inventory/site", "x  t=localhost\n"),
        ("ansible/inventory/site", "[all:vars]\nt = localhost\n"),
        ("roles/web/meta/main.yml", "dependencies: [{role: db, t: localhost}]\n"),
        ("roles/web/defaults/main.yml", "t: localhost\n"),
    ];
    for (file, text) in files {
        let found = with(play, &[(file, text)]).join("\n");
        assert!(
            found.contains(": error: where this runs") && found.contains(&format!("; {file}:")),
            "{file}: {text}: {found}"
        );
    }
    assert!(
        said("- hosts: \"{{ far }}\"\n")
            .ends_with("; the step or `vars` of the definition sets `far`")
    );
    // As a map it was an error.
    for task in ["set_fact", "add_host"] {
        let found = said(&format!(
            "- hosts: all\n  tasks: [{{{task}: \"name=x ansible_connection={{{{ 'loc' ~ 'al' \
                }}}}\"}}]\n"
        ));
        assert!(
            found.contains("error: where this runs is known at the run only: `ansible_connection="),
            "{found}"
        );
    }
}

/// Each of these ran on the factory, without a finding.
#[test]
fn what_lies_where_nothing_else_is_looked_into_is_found_where_it_is_named() {
    let task = "- {ping: , delegate_to: localhost}\n";
    let play = |words: &str| format!("- hosts: all\n  {words}\n");
    let collections = "ansible/collections/ansible_collections";
    let cases = [
        // Looked into as a template, or as settings, before it was named.
        (
            play("roles: [zzz]"),
            "roles/aaa/templates/t.yml",
            "roles/zzz/tasks/main.yml",
            "- include_tasks: ../../aaa/templates/t.yml\n",
        ),
        (
            play("roles: [zzz]"),
            "roles/aaa/x/t.cfg",
            "roles/zzz/tasks/main.yml",
            "- include_tasks: ../../aaa/x/t.cfg\n",
        ),
        (
            play("roles: [a.files.r]"),
            "ansible/collections/ansible_collections/a/files/roles/r/tasks/main.yml",
            "",
            "",
        ),
        (
            play("roles: [files.a.r]"),
            "ansible/collections/ansible_collections/files/a/roles/r/tasks/main.yml",
            "",
            "",
        ),
        (
            play("roles: [a.templates.r]"),
            "ansible/collections/ansible_collections/a/templates/roles/r/tasks/main.yml",
            "",
            "",
        ),
        (play("roles: [files/r]"), "roles/files/r/tasks/main.yml", "", ""),
        (play("roles: [x/files/r]"), "roles/x/files/r/tasks/main.yml", "", ""),
        (
            play("roles: [{role: x/templates/r}]"),
            "ansible/roles/x/templates/r/handlers/main.yml",
            "",
            "",
        ),
        (play("roles: [files]"), "ansible/files/tasks/main.yml", "", ""),
        (play("tasks: [{include_role: {name: x/tests}}]"), "roles/x/tests/tasks/main.yml", "", ""),
        (play("tasks: [{include_role: name=x/files}]"), "roles/x/files/tasks/main.yml", "", ""),
        (
            play("roles: [r]"),
            "ansible/files/r/tasks/main.yml",
            "ansible.cfg",
            "[defaults]\nroles_path = ./ansible/files\n",
        ),
        (
            play("roles: [web]"),
            "roles/web/files/t.yml",
            "roles/web/tasks/main.yml",
            "- include_tasks: files/t.yml\n",
        ),
        (
            play("roles: [web]"),
            "roles/web/files/t.yml",
            "roles/web/tasks/main.yml",
            "- {include_tasks: , args: {file: files/t.yml}}\n",
        ),
        (play("tasks: [{action: include_tasks files/t.yml}]"), "ansible/files/t.yml", "", ""),
        (play("tasks: [{include_tasks: file=files/t.yml}]"), "ansible/files/t.yml", "", ""),
    ];
    for (playbook, file, more, text) in cases {
        let more = (!more.is_empty()).then_some((more, text));
        let files: Vec<_> = more.into_iter().chain([(file, task)]).collect();
        let found = with(&playbook, &files);
        assert!(
            found
                .iter()
                .any(|f| f.starts_with(&format!("{file}:1:")) && f.contains("error: this runs")),
            "{playbook} {file}: {found:?}"
        );
    }
    for vars in ["{dir: files/v}", "dir=files/v", "{dir: v}", "files/v/x/a.txt"] {
        let file = if vars.contains("files") {
            "ansible/files/v/x/a.txt"
        } else {
            "ansible/vars/v/x/a.txt"
        };
        let found = with(
            &play(&format!("tasks: [{{include_vars: {vars}}}]")),
            &[(file, "ansible_connection: local\n")],
        );
        assert!(
            found.iter().any(|f| f.starts_with(&format!("{file}:1:1: error: this runs"))),
            "{vars}: {found:?}"
        );
    }
    let (file, task) = ("roles/web/vars/files/v/a.yml", "- include_vars: {dir: files/v}\n");
    let found = with(
        &play("roles: [web]"),
        &[(file, "ansible_connection: local\n"), ("roles/web/tasks/sub/a.yml", task)],
    );
    assert!(
        found.iter().any(|f| f.starts_with(&format!("{file}:1:1: error: this runs"))),
        "{found:?}"
    );
    let found = with(
        "- import_playbook: a.b.site\n",
        &[(&format!("{collections}/a/b/playbooks/site.yml"), "- hosts: localhost\n")],
    );
    assert!(found.iter().any(|f| f.contains("error: this runs")), "{found:?}");
    // What Ansible does not take for the role, nor for the file, that is named.
    let cfg = "[defaults]\ntransport = local\n";
    let honest = [
        ("ansible/files/web/inventory/x.cfg", cfg),
        ("web/x.cfg", cfg),
        ("roles/web/tasks/a.yml", "- include_tasks: b.yml\n"),
    ];
    let honest = honest
        .into_iter()
        .chain([
            ("roles/web/tasks/b.yml", "- ping:\n"),
            ("b.yml", "- {ping: , delegate_to: localhost}\n"),
        ])
        .collect::<Vec<_>>();
    assert_eq!(with(&play("roles: [web]"), &honest), [""; 0]);
    // A role's own files are no tasks.
    let task = "- {ping: , delegate_to: localhost}\n";
    let honest = [
        ("roles/web/files/t.yml", task),
        ("roles/web/templates/t.yml", task),
        ("roles/web/tests/t.yml", task),
    ];
    assert_eq!(with(&play("roles: [web]"), &honest), [""; 0]);
}

/// What Ansible reads as JSON, or by YAML 1.1, was a warning or nothing.
#[test]
fn what_another_reader_reads_is_found() {
    let json = |more: &str| format!("[{{\"name\": \"{more}\", \"hosts\": \"localhost\"}}]");
    let cases = [
        json("\\ud83d\\ude00"),
        json("\\ud83d"),
        "- &a {hosts: localhost}\n- !!merge foo: *a\n".into(),
        "- !<tag:yaml.org,2002:merge> foo: {hosts: localhost}\n".into(),
        "%TAG !m! tag:yaml.org,2002:mer\n---\n- !m!ge foo: {hosts: localhost}\n".into(),
        "- hosts: !!str {=: localhost}\n".into(),
        "- hosts: !!set {localhost}\n".into(),
        "# x\u{2028}- hosts: localhost\n".into(),
        "# x\u{85}- hosts: localhost\n".into(),
        "- hosts: 'all' # it's\u{2029}- hosts: localhost # '\n".into(),
        "- hosts: all\n  name: |\n    x\u{2028}- hosts: localhost\n".into(),
    ];
    for text in cases {
        let found = with("- import_playbook: more.yml\n", &[("ansible/more.yml", &text)]);
        assert!(
            found.iter().any(|f| f.starts_with("ansible/more.yml:") && f.contains("error: ")),
            "{text}: {found:?}"
        );
        // The step's own playbook is refused before anything looks into it.
        let own = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(own.path(), &text).unwrap();
        assert!(files::playbook(own.path(), &Trees::default()).is_err(), "{text}");
    }
    let honest = [
        "- hosts: all\n  name: \"a \\\" \u{2028}\"\n  vars: {a: 'it''s \u{85}', b: !!str \
            \"\u{2029}\", c: !!int 3}\n"
            .to_owned(),
        "[{\"name\": \"\\ud83d\\ude00\", \"hosts\": \"all\"}]".into(),
    ];
    for text in honest {
        let found = with("- import_playbook: more.yml\n", &[("ansible/more.yml", &text)]);
        assert_eq!(found, [""; 0], "{text}");
    }
}

/// A byte that is no UTF-8 does not keep Ansible from reading JSON.
#[test]
fn json_that_is_no_text_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &[u8]| std::fs::write(dir.path().join(name), text).unwrap();
    write("site.yml", b"- import_playbook: more.yml\n");
    let found = || {
        let (path, shown) = (Path::new("site.yml"), Path::new("x"));
        super::playbook(
            &mut Cache::default(),
            &Playbook { dir: dir.path(), shown, path, given: Given::default(), local: false },
        )
    };
    write("more.yml", b"[{\"name\": \"\xff\", \"hosts\": \"localhost\"}]");
    assert!(found().iter().any(Diagnostic::is_error), "{:?}", found());
    write("more.yml", b"- name: \xff\n");
    assert!(!found().iter().any(Diagnostic::is_error), "{:?}", found());
}

/// Every template read every file again: more than five seconds of processor time.
#[test]
fn hosts_that_are_worked_out_cost_one_look_at_each_file() {
    let playbook = "- hosts: \"{{ target | default('all') }}\"\n".repeat(45);
    let task = "- {copy: {src: a, dest: /b}, when: c is defined, register: d}\n".repeat(20);
    let names: Vec<String> = (0..150).map(|n| format!("roles/web/tasks/t{n}.yml")).collect();
    let files: Vec<(&str, &str)> =
        names.iter().map(|name| (name.as_str(), task.as_str())).collect();
    let spent = || {
        // SAFETY: plain system call that fills what it is given.
        let mut at: libc::timespec = unsafe { std::mem::zeroed() };
        assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut at) }, 0);
        std::time::Duration::new(at.tv_sec as u64, at.tv_nsec as u32)
    };
    let before = spent();
    assert_eq!(with("- hosts: \"{{ target | default('all') }}\"\n", &files), [""; 0]);
    let once = spent() - before;
    let before = spent();
    assert_eq!(with(&playbook, &files), [""; 0]);
    // It was as many times as there are plays.
    assert!(spent() - before < once * 5, "{once:?} for one play, {:?} for 45", spent() - before);
}

/// Each of these was refused, or ran on the factory without a finding.
#[test]
fn a_variable_may_be_worked_out_of_the_next() {
    let play = |vars: &str| format!("- hosts: \"{{{{ t }}}}\"\n  vars: {vars}\n");
    let sound = [
        "{t: \"{{ target | default('all') }}\"}",
        "{t: '{{ u }}', u: '{{ v }}', v: all}",
        "{t: '{{ given }}'}",
        "{t: \"{{ groups['all'] }}\"}",
    ];
    for vars in sound {
        assert_eq!(said(&play(vars)), "", "{vars}");
    }
    let wrong = [
        "{t: \"{{ target | default('localhost') }}\"}",
        "{t: '{{ u }}', u: localhost}",
        "{t: '{{ u }}', u: '{{ v }}'}",
        "{t: '{{ u }}', u: '{{ t }}'}",
        "{t: \"{{ t | default('all') }}\"}",
        "{t: '{{ far }}'}",
    ];
    for vars in wrong {
        assert!(
            said(&play(vars)).contains(": error: where this runs is known"),
            "{vars}: {}",
            said(&play(vars))
        );
    }
}

#[test]
fn files_without_an_ending_are_looked_into() {
    let task = "- {ping: , delegate_to: localhost}\n";
    for file in ["ansible/roles/web/tasks/main", "roles/web/handlers/main", "roles/web/tasks/other"]
    {
        let found = with("- hosts: all\n  roles: [web]\n", &[(file, task)]);
        assert!(
            found.len() == 1 && found[0].starts_with(&format!("{file}:1:12: error: ")),
            "{file}: {found:?}"
        );
    }
    let found = with(
        "- hosts: all\n  roles: [web]\n",
        &[("roles/web/vars/main", "ansible_connection: local\n")],
    );
    assert!(found.len() == 1 && found[0].contains("error: this runs on the factory"), "{found:?}");
    for (file, text) in [
        ("roles/web/tasks/README", "what: [is\n this?"),
        ("roles/web/files/main", task),
        ("roles/web/tasks/LICENSE", "Copyright\n"),
    ] {
        assert_eq!(with("- hosts: all\n  roles: [web]\n", &[(file, text)]), [""; 0], "{file}");
    }
}

/// The settings of a step's environment were not followed.
#[test]
fn what_the_environment_of_a_step_names_is_looked_into() {
    let task = "- {ping: , delegate_to: localhost}\n";
    let found = |env: (&str, &str), files: &[(&str, &str)]| {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in
            files.iter().copied().chain([("ansible/site.yml", "- hosts: all\n  roles: [r]\n")])
        {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let config = Config::of(dir.path(), &[(env.0.to_owned(), env.1.to_owned())].into());
        let (path, shown) = (Path::new("ansible/site.yml"), Path::new("x"));
        let given = Given { config, ..Given::default() };
        super::playbook(
            &mut Cache::default(),
            &Playbook { dir: dir.path(), shown, path, given, local: false },
        )
    };
    let role = ("far/r/tasks/main.yml", task);
    for env in [("ANSIBLE_ROLES_PATH", "far"), ("ANSIBLE_CONFIG", "conf/a.cfg")] {
        let found = found(env, &[role, ("conf/a.cfg", "[defaults]\nRoles_Path: ../far\n")]);
        assert!(
            found.len() == 1
                && found[0].to_string().starts_with("x/far/r/tasks/main.yml:1:12: error"),
            "{env:?} {found:?}"
        );
    }
    let found =
        found(("ANSIBLE_CONFIG", "conf/a.cfg"), &[("conf/a.cfg", "[defaults]\nTRANSPORT=local\n")]);
    assert!(
        found.len() == 1 && found[0].to_string().starts_with("x/conf/a.cfg:2:1: error"),
        "{found:?}"
    );
}

/// Ansible adds up the directories of includes, and looked there the lint did not.
#[test]
fn what_ansible_finds_beside_the_playbook_is_looked_into() {
    let play = "- hosts: all\n  tasks: [{include_tasks: a/one.yml}]\n";
    let files = |found: &'static str| {
        [
            ("ansible/a/one.yml", "- include_tasks: b/two.yml\n"),
            ("ansible/a/b/two.yml", "- include_tasks: templates/three.yml\n"),
            ("ansible/a/b/templates/three.yml", "- ping:\n"),
            (found, "- {ping: , delegate_to: localhost}\n"),
        ]
    };
    for file in ["ansible/templates/three.yml", "ansible/b/templates/three.yml"] {
        let found = with(play, &files(file));
        assert!(
            found.iter().any(|f| f.starts_with(&format!("{file}:1:12: error: "))),
            "{file} {found:?}"
        );
    }
    // One directory down, the file beside is the one.
    let found = with(
        play,
        &[
            ("ansible/a/one.yml", "- include_tasks: files/t.yml\n"),
            ("ansible/a/files/t.yml", "- ping:\n"),
            ("ansible/files/t.yml", "- {ping: , delegate_to: localhost}\n"),
        ],
    );
    assert_eq!(found, [""; 0]);
}

/// These said what is not so.
#[test]
fn words_and_advice_are_true() {
    let hint = |task: &str| {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("site.yml"), format!("- hosts: all\n  tasks: [{task}]\n"))
            .unwrap();
        let (path, shown) = (Path::new("site.yml"), Path::new("x"));
        let found = super::playbook(
            &mut Cache::default(),
            &Playbook { dir: dir.path(), shown, path, given: Given::default(), local: false },
        );
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].to_string()
    };
    let delegated = hint("{ping: , delegate_to: db1}");
    assert!(
        delegated.contains("error: `delegate_to: db1` names a machine that a run does not know")
            && !delegated.contains("on the factory"),
        "{delegated}"
    );
    // Ansible looks for the machine where the task runs.
    for idle in [
        "{ping: , delegate_to: db1, when: x}",
        "{ping: , delegate_to: db1, tags: [a, never]}",
        "{block: [{ping: , delegate_to: db1}], when: x}",
        "{block: [{ping: }], rescue: [{ping: , delegate_to: db1}]}",
    ] {
        assert!(hint(idle).contains("warning: `delegate_to: db1` names a machine"), "{idle}");
    }
    assert!(
        hint("{ping: , delegate_to: localhost, when: x}")
            .contains("error: this runs on the factory")
    );
    assert!(hint("{ping: , delegate_to: localhost}").contains("this runs on the factory"));
    let fetched = hint("fetch: {src: /x, dest: /root/}");
    assert!(
        fetched.contains("`/tmp` and `~/` are directories of the step")
            && !fetched.contains("lies in its directory"),
        "{fetched}"
    );
}

/// `/tmp` of a playbook is the step's own: what it writes there it may read. All of these were
/// errors.
#[test]
fn the_room_of_a_step_is_no_file_of_the_factory() {
    let play = |tasks: &str| format!("- hosts: all\n  tasks:\n{tasks}");
    let (fetch, copy) = (
        "  - fetch: {src: /etc/x, dest: /tmp/got/}\n",
        "  - copy: {src: /tmp/got/local/etc/x, dest: /y}\n",
    );
    let sound = [
        play("  - user: {name: x, password: \"{{ lookup('password', '/tmp/pw length=16') }}\"}\n"),
        play(
            "  - user: {name: x, password: \"{{ lookup('password', '/tmp/pw') }}\"}\n  - debug: \
                {msg: \"{{ lookup('file', '/tmp/pw') }}\"}\n",
        ),
        play(&format!("{fetch}{copy}")),
        play("  - fetch: src=/etc/x dest=/tmp/x flat=yes\n  - copy: src=/tmp/x dest=/y\n"),
        play(
            "  - fetch: {src: /etc/x, dest: '/tmp/{{ name }}', flat: true}\n  - copy: \
                {src: '/tmp/{{ name }}', dest: /y}\n",
        ),
        play(
            "  - fetch: {src: /etc/x.yml, dest: ~/x.yml, flat: true}\n  - include_vars: ~/x.yml\n",
        ),
        play(
            "  - synchronize: {mode: pull, src: /etc/x, dest: /tmp/x}\n  - debug: {msg: '{{ item \
                }}'}\n    with_fileglob: /tmp/x/*\n",
        ),
    ];
    for playbook in sound {
        assert_eq!(said(&playbook), "", "{playbook}");
    }
    let unwritten = said(&play(copy));
    assert!(
        unwritten.contains("warning: `/tmp/got/local/etc/x` is read on the factory"),
        "{unwritten}"
    );
    let other = said(&play(&format!("{fetch}  - template: {{src: /tmp/gotten, dest: /y}}\n")));
    assert!(
        other.contains("warning: `/tmp/gotten` is read") && !other.contains("error"),
        "{other}"
    );
    let in_role = "- copy: {src: /tmp/got/local/etc/x, dest: /y}\n";
    let of_role = with(
        "- hosts: all\n  roles: [web]\n  post_tasks:\n  - fetch: {src: /etc/x, dest: /tmp/got/}\n",
        &[("roles/web/tasks/main.yml", in_role)],
    );
    assert_eq!(of_role, [""; 0]);
    for task in [
        "  - copy: {src: /tmp/../etc/shadow, dest: /y}\n",
        "  - fetch: {src: /x, dest: /tmp/../root/x}\n",
        "  - fetch: {src: /x, dest: /var/tmp/x}\n",
        "  - fetch: {src: /x, dest: ~root/x}\n",
        "  - fetch: {src: /x, dest: /tmpfoo}\n",
        "  - debug: {msg: \"{{ lookup('password', '/root/pw') }}\"}\n",
        "  - synchronize: {mode: pull, src: /x, dest: /srv/x}\n",
        "  - copy: {src: ~/.ssh/id_rsa, dest: /y}\n",
    ] {
        assert!(said(&play(task)).contains("error:"), "{task}");
    }
}

/// It passed, and failed on the read-only definition when the machine had long been up.
#[test]
fn what_is_fetched_into_the_definition_is_told() {
    for dest in ["dest: out/, flat: true", "dest: out", "dest: ./a/b"] {
        let found = said(&format!("- hosts: all\n  tasks:\n  - fetch: {{src: /x, {dest}}}\n"));
        assert!(found.contains("a file of the definition is written"), "{dest} {found:?}");
    }
    assert_eq!(said("- hosts: all\n  tasks:\n  - fetch: {src: /x, dest: '{{ out }}/x'}\n"), "");
}
