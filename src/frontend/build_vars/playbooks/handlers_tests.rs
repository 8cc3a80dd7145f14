//! Who is notified, and what is a handler: as ansible-core 2.14 and 2.19 have it.
use super::tests::{Files, said};

const CHANGES: &str = "- hosts: all\n  tasks:\n  - command: id\n    notify: r1\n";

fn handled(handlers: &str, more: Files) -> String {
    said(&format!("{CHANGES}  handlers:\n{handlers}"), more).join("\n")
}

const INNER: Files = &[("ansible/x.yml", "- name: r1\n  debug: {msg: x}\n")];

/// Each of these was found sound, and Ansible ends with "The requested handler 'r1' was not found".
#[test]
fn what_is_not_known_by_its_name_is_no_handler() {
    let role: Files = &[
        ("ansible/roles/r/handlers/main.yml", "- include_tasks: x.yml\n"),
        ("ansible/roles/r/handlers/x.yml", "- name: r1\n  ping:\n"),
    ];
    let deep: Files = &[
        ("ansible/x.yml", "- import_tasks: y.yml\n"),
        ("ansible/y.yml", "- ping:\n  listen: r1\n"),
    ];
    let cases: [(String, Files, &str); 7] = [
        (
            format!("{CHANGES}  handlers:\n  - name: inc\n    include_tasks: x.yml\n"),
            INNER,
            "`import_tasks` takes it in before",
        ),
        (
            format!(
                "{CHANGES}  handlers:\n  - {{name: inc, ansible.builtin.include_tasks: {{file: \
                    x.yml}}}}\n"
            ),
            INNER,
            "`import_tasks`",
        ),
        (format!("{CHANGES}  handlers:\n  - include_tasks: x.yml\n"), deep, "`import_tasks`"),
        (format!("{CHANGES}  roles: [r]\n"), role, "`import_tasks`"),
        (
            format!("{CHANGES}  handlers:\n  - include_tasks: '{{{{ x }}}}.yml'\n"),
            INNER,
            "under `handlers`",
        ),
        (
            format!("{CHANGES}  handlers:\n  - name: r1\n    import_tasks: x.yml\n"),
            &[("ansible/x.yml", "- ping:\n")],
            "under `handlers`",
        ),
        (
            format!("{CHANGES}  handlers:\n  - name: r1\n    block: [{{ping: }}]\n"),
            &[],
            "under `handlers`",
        ),
    ];
    for (playbook, files, hint) in cases {
        let found = said(&playbook, files).join("\n");
        let expected = "site.yml:4: error: no handler is called `r1`, or listens to it; ";
        assert!(
            found.starts_with(expected) && found.contains(hint) && !found.contains('\n'),
            "{playbook}{found}"
        );
    }
}

#[test]
fn what_is_known_by_its_name_is_a_handler() {
    assert_eq!(handled("  - name: inc\n    import_tasks: x.yml\n", INNER), "");
    assert_eq!(
        handled("  - name: r1\n    include_tasks: y.yml\n", &[("ansible/y.yml", "- ping:\n")]),
        ""
    );
    assert_eq!(handled("  - block:\n    - {name: r1, ping: }\n", &[]), "");
    assert_eq!(handled("  - {name: r1, action: ping}\n", &[]), "");
    assert_eq!(handled("  - {name: r1, local_action: {module: ping}}\n", &[]), "");
    assert_eq!(handled("  - {name: x, listen: [a, r1], meta: noop}\n", &[]), "");
    // Taken in late, and before.
    assert_eq!(
        handled("  - {name: o, include_tasks: x.yml}\n  - import_tasks: x.yml\n", INNER),
        ""
    );
    let of_role: Files = &[
        ("ansible/roles/r/tasks/main.yml", "- ping:\n"),
        ("ansible/roles/r/handlers/main.yml", "- {name: r1, ping: }\n"),
    ];
    assert_eq!(
        said(
            "- hosts: all\n  tasks:\n  - include_role: {name: r}\n  - {command: id, notify: r1}\n",
            of_role
        )
        .join("\n"),
        ""
    );
}

/// Each of these was an error; Ansible does not miss the handler.
#[test]
fn what_never_notifies_misses_nothing() {
    for task in [
        "{command: id, changed_when: false, notify: nope}",
        "{command: id, changed_when: no, notify: nope}",
        "{command: id, changed_when: [x, false], notify: nope}",
        "{command: id, when: false, notify: nope}",
        "{command: id, tags: [a, never], notify: nope}",
        "{debug: {msg: x}, notify: nope}",
        "{action: ping, notify: nope}",
        "{set_fact: {a: 1}, notify: nope}",
        "{ansible.builtin.stat: {path: /}, notify: nope}",
    ] {
        let found = said(&super::tests::task(task), &[]).join("\n");
        assert!(
            found.starts_with("site.yml:3: warning: no handler is called `nope`")
                && !found.contains('\n'),
            "{task}: {found}"
        );
    }
    for task in [
        "{command: id, notify: nope}",
        "{command: id, changed_when: 'false or x', notify: nope}",
        "{debug: {msg: x}, changed_when: true, notify: nope}",
        "{block: [{command: id}], notify: nope}",
    ] {
        let found = said(&super::tests::task(task), &[]).join("\n");
        assert!(
            found.starts_with("site.yml:3: error: no handler is called `nope`"),
            "{task}: {found}"
        );
    }
}

/// It was an error, though this setting says that Ansible goes on.
#[test]
fn whoever_says_so_misses_no_handler() {
    let with = |text: &str| said(CHANGES, &[("ansible.cfg", text)]).join("\n");
    for off in ["False", "no", "'off'", "0"] {
        let found = with(&format!("[defaults]\nerror_on_missing_handler = {off}\n"));
        assert!(
            found.starts_with("site.yml:4: warning: no handler is called `r1`"),
            "{off}: {found}"
        );
    }
    for on in [
        "[defaults]\nerror_on_missing_handler = True\n",
        "[other]\nerror_on_missing_handler = False\n",
    ] {
        assert!(with(on).contains("site.yml:4: error: no handler"), "{on}");
    }
}

/// All of these were found sound, and end the run.
#[test]
fn what_cannot_be_a_handler() {
    let found = handled("  - name: r1\n    meta: flush_handlers\n", &[]);
    assert!(
        found.starts_with("site.yml:7: error: `meta: flush_handlers` cannot be a handler; "),
        "{found}"
    );
    let found = handled(
        "  - include_tasks: x.yml\n  - {name: r1, ping: }\n",
        &[("ansible/x.yml", "- meta: flush_handlers\n")],
    );
    assert!(
        found.starts_with("ansible/x.yml:1: error: `meta: flush_handlers`")
            || found.contains("x.yml:1: error: `meta: flush"),
        "{found}"
    );
    let found = handled("  - meta: flush_handlers\n  - {name: r1, ping: }\n", &[]);
    assert!(
        found.starts_with("site.yml:6: warning: `meta: flush_handlers`"),
        "it is never notified: {found}"
    );
    let role: Files = &[("ansible/roles/r/tasks/main.yml", "- meta: flush_handlers\n")];
    for module in ["include_role", "import_role"] {
        let found = handled(&format!("  - name: r1\n    {module}: {{name: r}}\n"), role);
        assert!(
            found.starts_with(&format!("site.yml:7: error: `{module}` cannot be a handler"))
                && !found.contains('\n'),
            "{found}"
        );
    }
    assert_eq!(
        said(
            "- hosts: all\n  tasks:\n  - meta: flush_handlers\n  - include_role: {name: r}\n",
            role
        )
        .join("\n"),
        ""
    );
}
