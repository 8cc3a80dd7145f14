//! Playbooks that would run on the factory, in every way in which that can be written out.
use super::*;

const FILES: [(&str, &str); 1] = [("roles/web/tasks/main.yml", "- ping:\n")];

/// Findings, without hints, on a bundle with this playbook and these files.
fn with(playbook: &str, files: &[(&str, &str)]) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files.iter().copied().chain([("ansible/site.yml", playbook)]) {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let found = super::playbook(dir.path(), Path::new("ansible/site.yml"), Path::new("images/x"));
    found.iter().map(|d| Diagnostic { hint: None, ..d.clone() }.to_string().replace("images/x/", "")).collect()
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
        "- hosts: all\n  tasks:\n  - copy: {src: /etc/a, dest: /b, remote_src: true}\n  - file: {src: /a, dest: /b, state: link}\n",
        "- hosts: all\n  tasks:\n  - {shell: echo localhost, delegate_to: '{{ inventory_hostname }}'}\n  - uri: {url: 'http://127.0.0.1/'}\n",
        "- hosts: all\n  connection: ssh\n  tasks:\n  - template: {src: ../templates/x, dest: /x}\n  - include_vars: ../vars/a.yml\n",
        "- hosts: all\n  tasks:\n  - unarchive: {src: 'https://x/y.tgz', dest: /, remote_src: yes}\n  - slurp: {src: /etc/passwd}\n",
    ];
    for playbook in playbooks {
        assert_eq!(said(playbook), "", "{playbook}");
    }
}

/// Each case would run something on the factory, or read or write a file of it, and `validate` found all of them sound.
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
        (task("{block: [{ping: }], rescue: [{block: [{ping: , delegate_to: 127.0.0.1}]}]}"), r#"delegate_to"#),
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
            let place = finding.strip_prefix("ansible/site.yml:")?.split_once(": error: ")?.0.to_owned();
            let (line, column) = place.split_once(':')?;
            let line = playbook.lines().nth(line.parse::<usize>().ok()? - 1)?;
            line.get(column.parse::<usize>().ok()? - 1..).map(|text| text.starts_with(at))
        };
        let found = with(&playbook, &FILES);
        assert!(found.iter().any(|f| pointed(f) == Some(true)), "{at}: {playbook} -> {found:?}");
    }
}

#[test]
fn what_is_known_at_the_run_only_is_a_warning() {
    assert_eq!(
        said("- hosts: \"{{ where }}\"\n  tasks: [{ping: , delegate_to: '{{ where }}'}]\n"),
        "ansible/site.yml:1:10: warning: where this runs is known at the run only: `hosts: {{ where }}`\n\
         ansible/site.yml:2:20: warning: where this runs is known at the run only: `delegate_to: {{ where }}`"
    );
}

#[test]
fn files_beside_the_playbook_and_roles_are_looked_into() {
    let sound = "- hosts: all\n  tasks: [{include_tasks: ../other/t.yml}]\n- import_playbook: more.yml\n";
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
        assert!(found.len() == 1 && found[0].starts_with(&format!("{file}:{at}: error: ")), "{file}: {found:?}");
    }
    let found = with(sound, &[("ansible/roles/web/tasks/main.yml", "- a: [\n")]);
    assert!(found.len() == 1 && found[0].contains("main.yml: warning: not checked"), "{found:?}");
}

/// A role as Galaxy delivers it has plays of its own trials, and a directory of playbooks has more than the one.
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
        assert!(found.len() == 1 && found[0].starts_with(&format!("{file}:1:10: warning: ")), "{found:?}");
        // Named by a role that is read later, or in words that may be any file's.
        let by_role = format!("- include_tasks: ../../../{}\n", file.strip_prefix("ansible/").unwrap());
        let found = with(sound, &[(file, local), ("ansible/roles/web/tasks/main.yml", &by_role)]);
        assert!(found.iter().any(|f| f.contains(":1:10: error: ")), "{found:?}");
        let found = with("- import_playbook: '{{ x }}.yml'\n", &[(file, local)]);
        assert!(found.iter().any(|f| f.contains(":1:10: error: ")), "{found:?}");
    }
    let task = "- {ping: , delegate_to: localhost}\n";
    for file in ["roles/tests/tasks/main.yml", "roles/molecule/tasks/main.yml", "roles/web/tasks/tests/x.yml"] {
        assert!(with(sound, &[(file, task)])[0].contains("error: "), "{file}");
    }
}
