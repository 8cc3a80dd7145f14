//! Braces that Jinja cannot read, filters and tests that nobody has, handlers that nobody is.
use super::tests::{said, task};

fn only(playbook: &str, more: &[(&str, &str)]) -> String {
    said(playbook, more).join("\n")
}

/// `validate` found all of these sound, and Ansible ends at them.
#[test]
fn what_jinja_cannot_read_is_an_error() {
    let cases = [
        (task("debug: {msg: '{{ x | }}'}"), "Jinja cannot read `{{ x | }}`"),
        (task("debug: {msg: 'a {{ x '}"), "is not closed"),
        (task("debug: {msg: '{% if x %}a'}"), "`{% endif %}`"),
        (task("debug: {msg: '{% do x %}'}"), "extension of Jinja"),
        (task("shell: docker ps --format '{{.Names}}'"), "Jinja cannot read `{{.Names}}`"),
        (task("shell: echo ${#all[@]}"), "comment is not closed"),
        (task("copy: dest=/x content='{{ x y }}'"), "Jinja cannot read `{{ x y }}`"),
        (task("{ping: , when: '1 = 1'}"), "Jinja cannot read `1 = 1`"),
        (task("{ping: , when: [a, 'b and']}"), "Jinja cannot read `b and`"),
        (task("{ping: , until: x is}"), "Jinja cannot read `x is`"),
        (task("{ping: , failed_when: '\"a\" in x)'}"), "unexpected `)`"),
        (task("assert: {that: '1 = 1'}"), "Jinja cannot read `1 = 1`"),
        (task("assert: {that: [a == b, c ==]}"), "Jinja cannot read `c ==`"),
        (task("{debug: {msg: '{{ item }}'}, loop: '{{ a b }}'}"), "Jinja cannot read `{{ a b }}`"),
        (
            task("debug: {msg: '{{ x | defualt(1) }}'}"),
            "there is no filter `defualt`; did you mean `default`?",
        ),
        (
            task("debug: {msg: '{{ x | ansible.builtin.nope }}'}"),
            "there is no filter `ansible.builtin.nope`",
        ),
        (
            task("{ping: , when: x is defnied}"),
            "there is no test `defnied`; did you mean `defined`?",
        ),
        (task("block: [{debug: {msg: '{{ x | }}'}}]"), "Jinja cannot read"),
        (
            "- hosts: all\n  vars: {a: '{{ x | }}'}\n  tasks: [{debug: {msg: '{{ a }}'}}]\n".into(),
            "Jinja cannot read",
        ),
    ];
    for (playbook, message) in cases {
        let found = said(&playbook, &[]);
        assert!(
            found.iter().any(|one| one.contains(": error: ") && one.contains(message)),
            "{message}: {playbook} -> {found:?}"
        );
    }
}

#[test]
fn a_template_that_a_task_names_is_read_with_its_lines() {
    let template = |text: &str| {
        only(&task("template: {src: a.j2, dest: /x}"), &[("ansible/templates/a.j2", text)])
    };
    let broken = template("a\n{% if x %}\nb {{ y | nope }}\n{% endfor %}\n");
    assert!(
        broken.contains("templates/a.j2:4: error: Jinja cannot read `{% endfor %}`"),
        "{broken}"
    );
    let unknown = template("a\nb {{ y | nope }}\n");
    assert!(unknown.contains("templates/a.j2:2: error: there is no filter `nope`"), "{unknown}");
    let branch = template("{% if x %}{{ y | nope }}{% endif %}\n");
    assert!(branch.contains("warning: there is no filter `nope`"), "{branch}");
    for sound in [
        "#jinja2: variable_start_string: '[['\n{{ x | }}\n",
        "{% raw %}{{ x | }}{% endraw %}\n",
        "plain ${x}\n",
        "{# {{ x | }} #}\n",
    ] {
        assert_eq!(template(sound), "", "{sound}");
    }
    let marks = task(
        "template: {src: a.j2, dest: /x, variable_start_string: '[[', variable_end_string: ']]'}",
    );
    assert_eq!(only(&marks, &[("ansible/templates/a.j2", "{{ x | }} [[ y ]]\n")]), "");
}

/// None of these is refused by Ansible, or nobody can tell here.
#[test]
fn honest_braces_are_sound() {
    let tasks = [
        "debug: {msg: '{% raw %}{{ x | }}{% endraw %}'}",
        "debug: {msg: !unsafe '{{ x | }}'}",
        "{set_fact: {a: !unsafe {b: '{{ x | }}'}}}",
        "shell: docker ps --format '{{ \"{{\" }}.Names{{ \"}}\" }}'",
        "shell: docker ps --format '{% raw %}{{.Names}}{% endraw %}'",
        "shell: rpm -q --qf '%{VERSION}' x && curl -w '%{http_code}' y && echo ${x} ${x#y}",
        "debug: {msg: '{{ x | community.general.json_query(y) if y is ansible.utils.in_network(z) \
            else w | mandatory }}'}",
        "{ping: , when: [yes, true, 1, x is defined and (y | default('') | length > 0), not z, a \
            in ['b'] or c is version('1', '>=')]}",
        "{ping: , when: x if y else z, changed_when: false, failed_when: \"'a' not in r.stdout\"}",
        "debug: {msg: \"{{ lookup('env', 'HOME') }}{{ [1, 2] | map('pow', 2) | list }}{{ {'a': 1} \
            | combine(b, recursive=True) }}\"}",
        "debug: {msg: \"{{ x.0.y['z'][1:2] ~ 'a' 'b' }}{{ '\\\\d+' | regex_escape }}{{ 1 if a }}{{ \
            x is not none }}\"}",
        "debug: {msg: \"{% for a, b in x.items() if b recursive %}{{ loop.index \
            }}{% else %}-{% endfor %}{% set n = namespace(i=0) %}\"}",
        "{name: 'about {{ x }}', ping: , loop: '{{ range(3) | list }}', loop_control: {label: '{{ \
            item.name }}'}}",
    ];
    for text in tasks {
        let wrong: Vec<_> = said(&task(text), &[])
            .into_iter()
            .filter(|one| one.contains("Jinja") || one.contains("there is no"))
            .collect();
        assert_eq!(wrong, [""; 0], "{text}");
    }
    // Own plugins, wherever Ansible looks for them, and extensions.
    let own = task("debug: {msg: '{{ x | own }}'}");
    for plugin in ["ansible/filter_plugins/a.py", "ansible/roles/r/filter_plugins/a.py"] {
        assert_eq!(only(&own, &[(plugin, "")]), "", "{plugin}");
    }
    assert_eq!(only(&own, &[("ansible.cfg", "[defaults]\nfilter_plugins = /opt/filters\n")]), "");
    let loaded = task("debug: {msg: '{% do x %}{{ y | }}'}");
    assert_eq!(
        only(&loaded, &[("ansible.cfg", "[defaults]\njinja2_extensions = jinja2.ext.do\n")]),
        ""
    );
    // A role from elsewhere may bring a filter; a variable that nobody asks for breaks nothing.
    let far =
        only("- hosts: all\n  roles: [far]\n  tasks: [{debug: {msg: '{{ x | own }}'}}]\n", &[]);
    assert!(far.contains("warning: there is no filter `own`"), "{far}");
    let unused = only("- hosts: all\n  vars: {a: '{{.Names}}'}\n", &[]);
    assert!(unused.contains("warning: Jinja cannot read") && !unused.contains("error"), "{unused}");
    let name = only(&task("{name: '{{ x | }}', ping: }"), &[]);
    assert!(name.contains("warning: Jinja cannot read") && !name.contains("error"), "{name}");
}

#[test]
fn who_is_notified_has_to_be_there() {
    let play = |more: &str| format!("- hosts: all\n{more}");
    let wrong = [
        (
            play("  tasks:\n  - command: id\n    notify: restart\n"),
            "4: error: no handler is called `restart`",
        ),
        (
            play(
                "  tasks:\n  - command: id\n    notify: [reload, restrat]\n  handlers:\n  - \
                    {name: restart, ping: }\n  - {name: reload, ping: }\n",
            ),
            "`restrat`, or listens to it; did you mean `restart`?",
        ),
        (
            play("  tasks:\n  - block:\n    - {command: id, notify: x}\n"),
            "no handler is called `x`",
        ),
        (play("  tasks:\n  - meta: nope\n"), "3: error: `meta: nope` is nothing that Ansible does"),
        (
            play("  tasks:\n  - ansible.builtin.meta: flush_handler\n"),
            "did you mean `flush_handlers`?",
        ),
    ];
    for (playbook, message) in wrong {
        let found = only(&playbook, &[]);
        assert!(found.contains(message), "{playbook} -> {found}");
    }
    let role = [
        (
            "ansible/roles/web/tasks/main.yml",
            "- ping:\n  notify: [restart web, all of it, 'web : restart web']\n",
        ),
        ("ansible/roles/web/handlers/main.yml", "- import_tasks: more.yml\n"),
        (
            "ansible/roles/web/handlers/more.yml",
            "- name: restart web\n  ping:\n  listen: [all of it]\n",
        ),
    ];
    let sound = [
        play("  roles: [web]\n  tasks: [{ping: , notify: restart web}]\n"),
        play("  tasks:\n  - include_role: {name: web}\n  - {ping: , notify: all of it}\n"),
        play(
            "  tasks:\n  - import_role: {name: web}\n- hosts: all\n  roles: [web]\n  tasks: \
                [{ping: , notify: restart web}]\n",
        ),
        play(
            "  tasks:\n  - {ping: , notify: '{{ x }}'}\n  - meta: flush_handlers\n  - meta: \
                end_host\n  - meta: '{{ x }}'\n",
        ),
        play("  tasks:\n  - include_role: {name: '{{ x }}'}\n  - {ping: , notify: unknown}\n"),
        play(
            "  tasks:\n  - {ping: , notify: unknown}\n  handlers:\n  - {name: 'restart {{ x }}', \
                ping: }\n",
        ),
        play(
            "  tasks:\n  - {ping: , notify: topic}\n  handlers:\n  - {name: a, ping: , listen: \
                topic, notify: a}\n",
        ),
    ];
    for playbook in sound {
        assert_eq!(only(&playbook, &role), "", "{playbook}");
    }
    let far = only(&play("  roles: [far]\n  tasks: [{ping: , notify: unknown}]\n"), &[]);
    assert!(!far.contains("no handler"), "{far}");
}

/// All of these were errors; Ansible skips the task, and says nothing. What it reads before that
/// stays one.
#[test]
fn what_may_not_run_is_warned_of() {
    let bad = [
        ("debug: {msg: '{{ x | }}'}", "Jinja cannot read"),
        ("debug: {msg: '{{ x | nope }}'}", "there is no filter `nope`"),
        ("debug: {msg: '{{ x is nope }}'}", "there is no test `nope`"),
        ("debug: {msg: '{{ x | success }}'}", "`| success` is a test"),
        ("debug: {msg: '{{ x.iteritems() }}'}", "is of Python 2"),
        ("debug: {msg: \"{{ lookup('nope') }}\"}", "there is no lookup `nope`"),
        ("command: id\n    args: {warn: false}", "`warn` of `command` is gone"),
        ("uri: {url: x, HEADER_a: b}", "`HEADER_a` of `uri` is gone"),
        ("script: bad.sh", "CR LF"),
        ("command: id\n    notify: nobody", "no handler is called"),
        ("command: id\n    environment: proxy", "`environment: proxy` is a text"),
        ("assert: {that: '1 = 1'}", "Jinja cannot read `1 = 1`"),
        ("command: id\n    failed_when: a = b", "Jinja cannot read `a = b`"),
        ("set_fact: {a-b: 1}", "`a-b` is no name"),
    ];
    let files: &[(&str, &str)] = &[("ansible/bad.sh", "#!/bin/sh\r\necho\r\n")];
    let told = |playbook: &str| said(playbook, files).join("\n");
    for (task, message) in bad {
        let inner = task.replace("\n    ", "\n      ");
        let plain = told(&format!("- hosts: all\n  tasks:\n  - {task}\n"));
        assert!(plain.contains(": error: ") && plain.contains(message), "{task}: {plain}");
        for playbook in [
            format!("- hosts: all\n  tasks:\n  - {task}\n    when: y\n"),
            format!("- hosts: all\n  tasks:\n  - {task}\n    tags: [never, x]\n"),
            format!("- hosts: all\n  tasks:\n  - block:\n    - {inner}\n    when: y\n"),
            format!(
                "- hosts: all\n  tasks:\n  - block: [{{command: id}}]\n    rescue:\n    - {inner}\n"
            ),
            format!("- hosts: all\n  tasks: [{{command: id}}]\n  handlers:\n  - {task}\n"),
        ] {
            let found = told(&playbook);
            assert!(
                found.contains(": warning: ")
                    && found.contains(message)
                    && !found.contains(": error: "),
                "{playbook}{found}"
            );
        }
    }
    for sure in [
        "{command: id, when: 'a = b'}",
        "{command: id, loop: '{{ a b }}', when: y}",
        "{command: id, sudo: yes, when: y}",
        "{meta: nope, when: y}",
        "{command: id, loop: 5, when: y}",
    ] {
        let found = told(&task(sure));
        assert!(found.contains(": error: "), "{sure}: {found}");
    }
    let role: &[(&str, &str)] =
        &[("ansible/roles/r/tasks/main.yml", "- debug: {msg: '{{ x | nope }}'}\n")];
    let both = "- hosts: all\n  roles: [{role: r, when: x}, r]\n";
    assert!(
        said(both, role).join("\n").contains("main.yml:1: error: there is no filter `nope`"),
        "it runs in any case"
    );
}
