//! What has to come from elsewhere.
use super::*;

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
