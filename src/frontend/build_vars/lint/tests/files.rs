//! Files that are looked into, wherever they lie.
use super::*;
use crate::frontend::build_vars::files;

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
