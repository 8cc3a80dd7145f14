//! Templates: traps of Jinja's and Ansible's, one case each, and what is said about bad templates.
use std::time::Instant;

use insta::assert_snapshot;

use super::bundle;
use crate::model::definition::Definition;
use crate::model::diagnostic::Diagnostic;
use crate::report::templates::Job;

fn check(bundle: &Definition) -> Vec<Diagnostic> {
    Job::to_check(bundle).render(|_| ()).err().unwrap_or_default()
}

/// What a template renders to, or the findings.
fn outcome(text: &str) -> String {
    named("t.txt.j2", text)
}

fn named(name: &str, text: &str) -> String {
    findings(&[(name, text)])
}

fn findings(files: &[(&str, &str)]) -> String {
    let tree = tempfile::tempdir().unwrap();
    let bundle = bundle(tree.path(), files);
    let found = check(&bundle);
    if found.is_empty() {
        let done = Job::to_check(&bundle).render(|_| ()).unwrap();
        return done.iter().map(|r| r.text.clone()).collect::<Vec<_>>().join("----\n");
    }
    found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn as_ansible_renders_it() {
    let cases = [
        ("{{ bundle.name }}", "demo"),
        ("{% if true %}\na\n{% endif %}\nb\n", "a\nb\n"),
        ("  {% if true %}\na\n{% endif %}", "  a\n"),
        ("a\r\n{{ port }}\r\n", "a\n8080\n"),
        ("[{{\u{a0}port\u{a0}}}]", "[8080]"),
        ("{{ 'a\u{a0}b' }}\u{a0}", "a\u{a0}b\u{a0}"),
        ("{% raw %}{{\u{a0}}}{% endraw %}{{\u{a0}port }}", "{{\u{a0}}}8080"),
        ("#jinja2: trim_blocks:False\n{% if true %}\na\n{% endif %}\n", "\na\n"),
        (
            "#jinja2:lstrip_blocks: True, trim_blocks: True\n  {% if true %}\na\n  {% endif %}\n",
            "a\n",
        ),
        ("[{{ vars.none }}]", "[]"),
        ("{{ port }} {{ vars.port }}", "8080 8080"),
        ("{{ vars.url }}", "http://demo.example"),
        (
            "{{ zones }} {{ bundle.properties }}",
            "['a', 'b'] {'cw_os': 'Debian', 'version': '1.10'}",
        ),
        ("{{ bundle.properties.version }}", "1.10"),
        ("{{ true }} {{ none }}", "True "),
        ("{{ nothing | default('x') }} {{ bundle.nothing | d('y') }}", "x y"),
        ("{{ 'yes' if nothing is defined else 'no' }}", "no"),
        (
            "{% for k, v in bundle.properties.items() %}\n{{ k }}={{ v }}\n{% endfor %}\n",
            "cw_os=Debian\nversion=1.10\n",
        ),
        ("{{ bundle.get('nothing', 3) }} {{ 'a-b'.split('-')[1] }} {{ 'A'.lower() }}", "3 b a"),
        ("{{ 'no' | bool }} {{ 'Yes' | bool }} {{ 1 | bool }}", "False True True"),
        (
            "{{ 'x' | int }} {{ '7.9' | int }} {{ 'x' | int(5) }} {{ none | int }} {{ 'ff' | \
                int(base=16) }}",
            "0 7 5 0 255",
        ),
        ("{{ '1.10' is version('1.9', '>') }}", "True"),
        (
            "{% for z in zones %}{{ loop.index }}{{ z }}{% if loop.last %}!{% endif %}{% endfor %}",
            "1a2b!",
        ),
        ("{{ '%s-%d' | format('a', 3) }} {{ [1, 2] | tojson }}", "a-3 [1, 2]"),
    ];
    for (template, wanted) in cases {
        assert_eq!(outcome(template), wanted, "{template}");
    }
}

#[test]
fn heat_template() {
    let heat = "resources:\n  server:\n    properties:\n      image: {{ result_img_id }}\n      \
        name: {{ result_img_name }} # {{ git_commit[:7] }}\n";
    assert_snapshot!(named("x.heat.yml.j2", heat), @"
    resources:
      server:
        properties:
          image: 00000000-0000-4000-8000-000000000000
          name: demo-2000-01-010000 # 0000000
    ");
}

#[test]
fn every_undefined_name_of_every_template_at_once() {
    let found = findings(&[
        (
            "a.yml.j2",
            "image: {{ result_img_idd }}\nname: {{ bundle.nam }}\n\nfoo: {{ foo | upper }}\nown: \
                {{ x | default('fine') }}\n",
        ),
        (
            "sub/b.txt.j2",
            "é {{ bundle.name }} {{ img_base }} {{ name.first }}\n{% for z in zonez %}{{ z \
                }}{% endfor %}\n{{ ansible_date_time.iso8601 }}",
        ),
    ]);
    assert_snapshot!(found, @"
    images/demo/output/a.yml.j2:1:11: error: `result_img_idd` is undefined
        hint: did you mean `result_img_id`?
    images/demo/output/a.yml.j2:2:10: error: `bundle.nam` is undefined
        hint: did you mean `bundle.name`?
    images/demo/output/a.yml.j2:4:9: error: `foo` is undefined
        hint: put free variables under `vars:` in build-vars.yml
    images/demo/output/sub/b.txt.j2:1:24: error: `img_base` is undefined
        hint: did you mean `bundle.img_base`?
    images/demo/output/sub/b.txt.j2:1:39: error: `name` is undefined
        hint: did you mean `bundle.name`?
    images/demo/output/sub/b.txt.j2:2:13: error: `zonez` is undefined
        hint: did you mean `zones`?
    images/demo/output/sub/b.txt.j2:3:4: error: `ansible_date_time` is undefined
        hint: facts are not gathered here: `build_date` holds the time of the build
    ");
}

/// It said to put `my` under `vars:`.
#[test]
fn a_name_with_a_minus_is_told_as_that() {
    let variables = serde_json::json!({"vars": {"my-var": 1}, "bundle": {"name": "x"}});
    let hint = |path: &str| crate::report::hints::for_name(path, variables.as_object().unwrap());
    assert_eq!(hint("my"), "there is `my-var`, but `-` subtracts: call it `my_var`");
    assert_eq!(hint("vars.my"), "there is `my-var`, but `-` subtracts: call it `my_var`");
    assert_eq!(hint("mine"), "put free variables under `vars:` in build-vars.yml");
}

#[test]
fn errors_have_a_place_and_a_hint() {
    let cases = [
        ("a\n  {{ port ", "2:3: error: template syntax: `{{ … }}` is not closed"),
        (
            "a\n{% if port %}\nb\n",
            "3:2: error: template syntax: unexpected end of the template, expected `{% elif %}`",
        ),
        (
            "#jinja2: trim_blocks:False\n{{ port | uper }}",
            "2:11: error: filter uper is unknown\n    hint: did you mean `upper`?",
        ),
        ("{{ port is odf }}", "1:12: error: test odf is unknown\n    hint: did you mean `odd`?"),
        (
            "#jinja2: line_statement_prefix:'%'\n",
            "1:1: error: the `#jinja2:` line sets `line_statement_prefix`, which is not",
        ),
        ("{{ 'x' + port }}", "1:4: error: unsupported operand type(s) for +: 'str' and 'int'"),
        ("{{ zones.push('x') }}", "1:4: error: `zones.push` is undefined"),
        (
            "{{ lookup('env', 'HOME') }}",
            "1:4: error: lookup('env') is not supported, so that a bundle renders the same \
                everywhere: put",
        ),
        (
            "{{ port | ipaddr }} {{ foo }}",
            "1:11: error: `ipaddr` is not supported; write the address down in build-vars.yml",
        ),
        ("{{ fooo() }}", "1:4: error: function `fooo` is unknown"),
        (
            "{% include 'nothing' %}",
            "1:4: error: there is no template `nothing`\n    hint: only files under `output/`",
        ),
        (
            "{{ port | regex_search('(?=x)') }}",
            "1:11: error: pattern `(?=x)` is not supported: look-around",
        ),
        ("{{ nothing | mandatory('say what') }}", "1:14: error: say what"),
        (
            "{{ ${x} }}",
            "1:4: error: template syntax: unexpected character `$`\n    hint: only Jinja can stand \
                between the braces",
        ),
        (
            "{% do zones.append(1) %}",
            "1:4: error: template syntax: the tag `do` belongs to an extension",
        ),
        ("{% for x in zones %}{% break %}{% endfor %}", "hint: choose in the loop's head"),
        ("{{ now() }}", "1:4: error: `now` is not supported: `build_date` holds"),
    ];
    for (template, wanted) in cases {
        let said = outcome(template);
        assert!(said.contains(wanted), "{template}\n{said}");
        assert!(said.starts_with("images/demo/output/t.txt.j2:"), "{template}\n{said}");
    }
}

/// What is not there is not there however deep one asks, and matters only when it is used: as
/// Ansible has it since 2.8.
#[test]
fn members_of_what_is_missing_are_missing() {
    let cases = [
        ("{{ bundle.x.y | default('z') }}", "z"),
        ("{{ nothing.x['y'].z | d('z') }} {{ zones[7].a.b() | default('q') }}", "z q"),
        ("{% if nothing.x is defined %}a{% else %}b{% endif %}", "b"),
        ("{{ nothing | upper | default('c') }}", "c"),
    ];
    for (template, wanted) in cases {
        assert_eq!(outcome(template), wanted, "{template}");
    }
    assert!(outcome("{{ bundle.x.y }}").contains("1:4: error: `bundle.x` is undefined"));
}

/// Ansible puts back what Jinja takes away, and only that.
#[test]
fn line_ends_at_the_end() {
    let cases = [
        ("a {% if true %}b{% endif %}\n", "a b\n"),
        ("{% if false %}x{% endif %}\n", ""),
        ("{{ bundle.name }}\n\n", "demo\n\n"),
        // One value alone stays what it is, and only texts get line ends.
        ("{{ port }}\n", "8080"),
        ("{{ 'a\nb\n' | indent(2) }}|", "a\n  b\n|"),
    ];
    for (template, wanted) in cases {
        assert_eq!(outcome(template), wanted, "{template:?}");
    }
}

#[test]
fn what_has_no_tags_is_copied_as_it_is() {
    for text in ["a\r\nb\r", "\u{feff}a\n", "\r\n\r\n", "a { % b\r\n", "\n\n"] {
        assert_eq!(outcome(text), text, "{text:?}");
    }
    // With a tag, line ends are Jinja's, and a mark of the encoding still stays.
    assert_eq!(outcome("\u{feff}a\r\n{{ port }}\r\n"), "\u{feff}a\n8080\n");
}

#[test]
fn numbers_at_the_edge_and_what_has_no_order_end_nothing() {
    let least = "(-(2**126)*2)";
    let templates = [
        format!("{{{{ {least} | abs }}}}"),
        format!("{{{{ {least} // -1 }}}}"),
        format!("{{{{ {least} % -1 }}}}"),
        format!("{{{{ '%*d' % ({least}, 1) }}}}"),
        format!("{{{{ range({least}, 2**126) | length }}}}"),
        format!("{{{{ 5 in range({least}, 2**126, 2) }}}}"),
        format!("{{{{ 'abc'[1::-{least}-1] }}}}"),
        "{{ [3.0, 'nan'|float, 1] * 20 | sort }}".into(),
        "{{ ([3.0, 'nan'|float, 1] * 20) | sort }}".into(),
        "{{ (range(60) | list + ['a', 'b'] + range(60) | list) | sort }}".into(),
    ];
    for template in templates {
        assert!(!outcome(&template).is_empty(), "{template}");
    }
    assert!(outcome("{{ ['nan'|float, 1] | sort }}").contains("`nan` has no place in an order"));
}

#[test]
fn what_ansible_knows_of_a_run_is_not_undefined() {
    assert_eq!(outcome("# {{ ansible_managed | default('x') }}"), "# Ansible managed");
    for template in [
        "{{ inventory_hostname | default('x') }}",
        "{{ playbook_dir is defined }}",
        "{{ template_path }}",
    ] {
        assert!(
            outcome(template).contains("there is no inventory and no playbook here"),
            "{}",
            outcome(template)
        );
    }
}

fn oddities(name: &str, text: &str) -> String {
    let tree = tempfile::tempdir().unwrap();
    let bundle = bundle(tree.path(), &[(name, text)]);
    let job = Job::to_check(&bundle);
    let found = job.warnings(&job.render(|_| ()).unwrap());
    found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_fixed_image_id_is_told_where_the_built_one_is_not_used() {
    let id = "6f1c2a7e-0b1d-4c55-9a38-2d7f0c9e1b44";
    let fixed = [
        format!("resources:\n  server:\n    properties:\n      image: {id}\n"),
        format!("# a\n\n# {{{{ port }}}}\nimage_id: \"{id}\"\n"),
        format!("parameters:\n  image:\n    type: string\n    default: {id}\n"),
    ];
    for text in fixed {
        let said = oddities("t.heat.yml.j2", &text);
        assert!(
            said.contains(
                "t.heat.yml.j2:4:1: warning: never uses the ID of the built image, and \
                carries a fixed one: `6f1c"
            ),
            "{said}"
        );
        assert!(said.contains("hint: write `{{ result_img_id }}`"), "{said}");
    }
    let fine = [
        format!("image: {{{{ result_img_id }}}}\nrescue_image: {id}\n"),
        format!("network: {id}\n"),
        format!("image: {{name: x}}\nnetworks:\n  - {id}\n"),
        format!("# the image was {id}\na: 1\n"),
        "image: debian-12\n".to_owned(),
    ];
    for text in fine {
        assert_eq!(oddities("t.heat.yml.j2", &text), "", "{text}");
    }
}

#[test]
fn a_key_that_stands_twice_is_told_at_its_second_place() {
    let said = oddities(
        "t.heat.yml.j2",
        "{% set x = 1 %}\noutputs:\n  a: {value: {{ x }}}\nresources: {}\noutputs:\n  b: \
            {value: 2}\n",
    );
    assert!(
        said.contains(
            "t.heat.yml.j2:5:1: warning: renders to a mapping with `outputs` twice, in \
            lines 1 and 4 of the result: Heat takes"
        ),
        "{said}"
    );
    let nested = oddities("t.yml.j2", "a:\n  k: 1\n  l: [{x: 1, x: 2}]\n  k: 3\n");
    assert!(
        nested.contains("t.yml.j2:3:1: warning") && nested.contains("t.yml.j2:4:1: warning"),
        "{nested}"
    );
    assert_eq!(oddities("t.yml.j2", "a: {k: 1}\nb: {k: 1}\nc: [{k: 1}, {k: 2}]\n<<: {}\n"), "");
    let json = oddities("t.json.j2", "{\"a\": 1,\n\"a\": 2}");
    assert!(
        json.contains("t.json.j2:2:1: warning")
            && json.contains("most readers take")
            && !json.contains("Heat"),
        "{json}"
    );
}

#[test]
fn the_result_must_be_what_its_name_says() {
    assert_snapshot!(named("a.yml.j2", "a: 1\nb: {{ bundle.name }}: x\n"), @"
    images/demo/output/a.yml.j2:2:1: error: renders to something that is not YAML: mapping values \
    are not allowed in this context, in line 2 of the result: `b: demo: x`
        hint: the file's name says YAML; quote values that may hold `:` or `#`, and look at the \
        indentation
    ");
    assert_snapshot!(named("a.json.j2", "{\n  \"a\": {{ bundle.name }}\n}\n"), @r#"
    images/demo/output/a.json.j2:2:1: error: renders to something that is not JSON: expected value, in line 2 of the result: `"a": demo`
        hint: the file's name says JSON; quote values that may hold `:` or `#`, and look at the indentation
    "#);
    assert_snapshot!(named("a.yml.j2", "a: 1\n---\n- !Ref x\n"), @"
    a: 1
    ---
    - !Ref x
    ");
}

#[test]
fn included_files_and_values_from_build_vars_name_themselves() {
    let tree = tempfile::tempdir().unwrap();
    let mut bundle = bundle(
        tree.path(),
        &[
            ("a.txt.j2", "{% include 'part.txt' %}"),
            ("b.txt.j2", "{{ vars.bad }}"),
            ("c.txt.j2", "{{ vars.me }}"),
        ],
    );
    std::fs::write(bundle.dir.join("output/part.txt"), "x\n{{ prt }}").unwrap();
    bundle.as_written["vars"]["bad"] = "{{ prt }}".into();
    bundle.as_written["vars"]["me"] = "{{ vars.me }}".into();
    let found = check(&bundle);
    assert_snapshot!(found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"), @"
    images/demo/output/part.txt:2:4: error: `prt` is undefined
        hint: did you mean `port`?
    images/demo/build-vars.yml: error: `prt` is undefined
        hint: did you mean `port`?
    images/demo/build-vars.yml: error: the value of `vars.me` refers to itself
    ");
}

/// `validate` must stay instant with a large tree. The bound is wide: this is a debug build on a
/// shared machine.
#[test]
fn two_hundred_bundles_are_checked_in_no_time() {
    let tree = tempfile::tempdir().unwrap();
    let heat = "resources:\n  server:\n    properties:\n      image: {{ result_img_id }}\n"
        .to_string()
        + &"# {{ bundle.name }}\n".repeat(40);
    let bundle =
        bundle(tree.path(), &[("x.heat.yml.j2", &heat), ("y.yml.j2", "name: {{ bundle.name }}\n")]);
    check(&bundle);
    // The best of some rounds: the others measure the neighbours.
    let round = || {
        let start = Instant::now();
        for _ in 0..200 {
            assert!(check(&bundle).is_empty());
        }
        start.elapsed()
    };
    let took = (0..5).map(|_| round()).min().unwrap();
    println!("200 bundles: {took:?}");
    assert!(took.as_secs_f64() < 2.0, "{took:?}");
}

/// Each was told at 1:1, or of the file as a whole.
#[test]
fn what_is_refused_is_told_where_it_stands() {
    let cases = [
        ("a\n\n {{ inventory_hostname }}", "3:5"),
        ("a\n{% if hostvars %}b{% endif %}", "2:7"),
        ("a\n{% for x in groups %}b{% endfor %}", "2:13"),
        ("a\n{% set y = group_names %}\n{{ y }}", "2:12"),
        ("a\n{% macro m(a=playbook_dir) %}{{ a }}{% endmacro %}\n{{ m() }}", "2:14"),
        ("a\n{{ [inventory_dir] }}", "2:5"),
        ("a\n{{ 'x' ~ template_path }}", "2:10"),
        ("a\n{{ template_path | upper }}", "2:4"),
        ("a\n{{ template_path | default('x') }}", "2:4"),
        ("a\n{{ hostvars['a'].b }}", "2:4"),
        ("a\n{{ bundle[inventory_hostname] }}", "2:11"),
        ("a\n{{ [{}] | map(attribute='x') | list }}", "2:32"),
        ("a\n{{ [{}] | map(attribute='x') | join }}", "2:32"),
        ("a\n{{ [{}] | sort(attribute='x') }}", "2:11"),
        ("a\n{{ [{}] | groupby('x') }}", "2:11"),
        ("a\n{{ lookup('env', 'HOME') }}", "2:4"),
        ("a\n{{ now() }}", "2:4"),
        ("a\n{{ {'k': play_hosts}.k }}", "2:10"),
    ];
    let told = |(template, at): &(&str, &str)| {
        let found = outcome(template);
        (!found.contains(&format!("t.txt.j2:{at}: error: ")))
            .then(|| format!("{template:?} at {at}: {found}"))
    };
    let wrong: Vec<String> = cases.iter().filter_map(told).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn stand_ins_look_as_what_is_published() {
    assert_eq!(
        outcome("{{ bundle_target_name }} {{ result_img_name }}"),
        "demo-2000-01-010000 demo-2000-01-010000"
    );
}
