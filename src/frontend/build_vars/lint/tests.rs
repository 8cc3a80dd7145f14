//! Playbooks that would run on the factory, in every way in which that can be written out.
use super::*;
use crate::frontend::build_vars::ansible_cfg::Config;
use crate::frontend::build_vars::trees::Trees;

mod files;
mod variables;

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
