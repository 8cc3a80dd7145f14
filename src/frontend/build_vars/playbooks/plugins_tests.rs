//! Plugins that nobody has, names that are none, settings that Ansible ends at: all of these were
//! found sound.
use super::tests::{Files, said, task};

fn only(playbook: &str, more: Files) -> String {
    said(playbook, more).join("\n")
}

fn play(words: &str) -> String {
    format!("- hosts: all\n  {words}\n  tasks: [ping: ]\n")
}

#[test]
fn a_plugin_that_nobody_has_is_told() {
    let cases = [
        (
            play("strategy: fre"),
            "site.yml:2: error: there is no strategy `fre`; did you mean `free`?",
        ),
        (
            play("strategy: mitogen_linear"),
            "site.yml:2: error: there is no strategy `mitogen_linear`; one of a collection has",
        ),
        (
            play("strategy: ansible.builtin.nope"),
            "site.yml:2: error: there is no strategy `ansible.builtin.nope`",
        ),
        (play("connection: nosuch"), "site.yml:2: error: there is no connection `nosuch`"),
        (
            play("become: true\n  become_method: sodu"),
            "site.yml:3: error: there is no become method `sodu`; one of",
        ),
        (
            task("{ping: , become: yes, become_method: nosuch}"),
            "site.yml:3: error: there is no become method `nosuch`",
        ),
        (
            task("{ping: , become_method: nosuch}"),
            "site.yml:3: warning: there is no become method `nosuch`",
        ),
        (
            task("{ping: , become: yes, become_method: nosuch, when: x}"),
            "site.yml:3: warning: there is no become method `nosuch`",
        ),
        (
            task("{ping: , become: yes, become_method: doas}"),
            "site.yml:3: warning: the become method `doas` is no longer part of ansible-core",
        ),
        (
            task("{ping: , connection: docker}"),
            "site.yml:3: warning: the connection `docker` is no longer part of ansible-core",
        ),
        (
            task("debug: {msg: \"{{ lookup('nosuch', 1) }}\"}"),
            "site.yml:3: error: there is no lookup `nosuch`",
        ),
        (
            task("debug: {msg: \"{{ query('ansible.builtin.fiel', 1) }}\"}"),
            "site.yml:3: error: there is no lookup `ansible.builtin.fiel`",
        ),
        (
            task("debug: {msg: \"{{ x | default(lookup('nosuch', 1)) if y else 1 }}\"}"),
            "site.yml:3: warning: there is no lookup `nosuch`",
        ),
        (
            task("{ping: , with_itmes: [a]}"),
            "error: there is no lookup `itmes`; did you mean `items`?",
        ),
    ];
    for (playbook, expected) in cases {
        let found = only(&playbook, &[]);
        assert!(found.contains(expected) && !found.contains('\n'), "{playbook}{found}");
    }
}

#[test]
fn a_plugin_that_is_there_is_not_told() {
    for words in [
        "strategy: free",
        "strategy: ansible.builtin.host_pinned",
        "strategy: '{{ x }}'",
        "connection: ssh",
        "connection: smart",
    ] {
        assert_eq!(only(&play(words), &[]), "", "{words}");
    }
    assert_eq!(only(&task("{ping: , become: yes, become_method: su}"), &[]), "");
    assert_eq!(only(&task("debug: {msg: \"{{ lookup('first_found', ['a']) }}\"}"), &[]), "");
    let own: Files = &[("ansible/strategy_plugins/mine.py", "")];
    assert_eq!(only(&play("strategy: mine"), own), "");
    let own: Files = &[
        ("p/mine.py", ""),
        ("ansible.cfg", "[defaults]\nstrategy_plugins = p\nlookup_plugins = p\n"),
    ];
    assert_eq!(only(&play("strategy: mine"), own), "");
    assert_eq!(only(&task("debug: {msg: \"{{ lookup('mine') }}\"}"), own), "");
    let away: Files = &[(
        "ansible.cfg",
        "[defaults]\nstrategy = mitogen_linear\nstrategy_plugins = /opt/mitogen\n",
    )];
    let found = only(&task("ping:"), away);
    assert!(
        found.contains(
            "ansible.cfg:2: warning: there is no strategy `mitogen_linear`; a run \
        sees nothing of /opt/mitogen"
        ),
        "{found}"
    );
}

#[test]
fn what_sets_no_variable_is_told() {
    let error = |what: &str, name: &str, near: &str| {
        format!(
            "site.yml:3: error: `{what}` sets a variable, and `{name}` is no name of one; letters, \
                digits and `_`, and no word of Python's{near}"
        )
    };
    let cases = [
        (task("{ping: , register: a-b}"), error("register", "a-b", ": `a_b`")),
        (task("{ping: , register: a-b, when: x}"), error("register", "a-b", ": `a_b`")),
        (task("{ping: , register: r.out}"), error("register", "r.out", ": `r_out`")),
        (task("{ping: , register: 5}"), error("register", "5", ": `_5`")),
        (task("set_fact: {a-b: 1}"), error("set_fact", "a-b", ": `a_b`")),
        (task("set_fact: a-b=1"), String::new()),
        (task("set_fact: {None: 1}"), error("set_fact", "None", ": `_None`")),
        (
            task(
                "{set_fact: {a-b: 1}, when: \
            x}",
            ),
            error("set_fact", "a-b", ": `a_b`").replace("error", "warning"),
        ),
        (
            task(
                "{ping: , register: \
            import}",
            ),
            error("register", "import", ": `_import`").replace("error", "warning"),
        ),
        (
            task(
                "{ping: , register: '{{ x \
            }}_r'}",
            ),
            "site.yml:3: error: `register` sets a variable, \
            and `{{ x }}_r` is no name of one; a name that is written out: this one is not worked \
            out"
            .into(),
        ),
        (
            task(
                "{set_fact: {'{{ x }}_r': 1, cacheable: yes, _a1: 2}, register: \
            Result_2}",
            ),
            String::new(),
        ),
        (task("{ping: , vars: {x: 1}, register: r}"), String::new()),
    ];
    for (playbook, expected) in cases {
        assert_eq!(only(&playbook, &[]), expected, "{playbook}");
    }
}

#[test]
fn a_loop_over_no_list_is_told() {
    for (list, what) in [
        ("5", "a number"),
        ("{a: 1}", "a map"),
        ("'[1, 2]'", "a text"),
        ("''", "a text"),
        ("a b", "a text"),
    ] {
        let found = only(&task(&format!("{{ping: , loop: {list}}}")), &[]);
        let expected = format!("site.yml:3: error: `loop` goes over a list, and this is {what}; ");
        assert!(found.starts_with(&expected) && !found.contains('\n'), "{list}: {found}");
    }
    for list in ["[5]", "'{{ x }}'", "", "'[{{ x }}, 2]'"] {
        assert_eq!(only(&task(&format!("{{ping: , loop: {list}}}")), &[]), "", "{list}");
    }
}

#[test]
fn what_ansible_cfg_says_wrong_is_told() {
    let of = |text: &str| only(&task("ping:"), &[("ansible.cfg", text)]);
    let cases = [
        ("gathering = smrt", "2: error: `smrt` is no value of `gathering`; did you mean `smart`?"),
        (
            "gathering = smart # faster",
            "error: `smart # faster` is no value of `gathering`; what comes after `#` belongs to \
                the value",
        ),
        (
            "hash_behaviour = Merge",
            "2: error: `Merge` is no value of `hash_behaviour`; did you mean `merge`?",
        ),
        ("forks = many", "2: error: `forks` is a number, not `many`; digits alone"),
        (
            "forks = 50 # as many as we have",
            "error: `forks` is a number, not `50 # as many as we have`; what comes after `#`",
        ),
        (
            "forks = 5\nforks = 6",
            "3: error: `forks` is given twice in `[defaults]`: Ansible does not read the file; the \
                first one is on line 2",
        ),
        ("strategy = fre", "2: error: there is no strategy `fre`"),
        (
            "a = 1\n[privilege_escalation]\nbecome = True\nbecome_method = sodu",
            "5: error: there is no become method `sodu`",
        ),
        (
            "a = 1\n[privilege_escalation]\nbecome_method = sodu",
            "4: warning: there is no become method `sodu`",
        ),
        (
            "a = 1\n[privilege_escalation]\nbecome = True\nbecome_method = pbrun",
            "5: warning: the become method `pbrun` is no longer",
        ),
    ];
    for (line, expected) in cases {
        let found = of(&format!("[defaults]\n{line}\n"));
        assert!(
            found.contains(&format!("ansible.cfg:{}", expected.trim_start_matches("error")))
                || found.contains(expected),
            "{line}: {found}"
        );
    }
    assert!(of("x = 1\n").contains("ansible.cfg:1: error: `x` stands before any section"));
    let sound = "[defaults]\ngathering = 'smart'\nforks = 1_0 ; ten\nstrategy = free\ntimeout = \
        abc\n\
        [privilege_escalation]\nbecome_method = sudo\n[other]\ngathering = x\nforks = y\n";
    assert_eq!(of(sound), "");
}
