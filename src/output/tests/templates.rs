//! Templates: the traps between Jinja and minijinja, one case each, and what is said about bad templates.
use std::time::Instant;

use insta::assert_snapshot;

use super::bundle;
use crate::bundle::Bundle;
use crate::diagnostic::Diagnostic;
use crate::output::Job;

fn check(bundle: &Bundle) -> Vec<Diagnostic> {
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
        // AutoEscape goes by the name in minijinja.
        ("{{ bundle.name }}", "demo"),
        ("{% if true %}\na\n{% endif %}\nb\n", "a\nb\n"),
        ("  {% if true %}\na\n{% endif %}", "  a\n"),
        ("a\r\n{{ port }}\r\n", "a\n8080\n"),
        ("[{{\u{a0}port\u{a0}}}]", "[8080]"),
        ("{{ 'a\u{a0}b' }}\u{a0}", "a\u{a0}b\u{a0}"),
        ("{% raw %}{{\u{a0}}}{% endraw %}{{\u{a0}port }}", "{{\u{a0}}}8080"),
        ("#jinja2: trim_blocks:False\n{% if true %}\na\n{% endif %}\n", "\na\n\n"),
        ("#jinja2:lstrip_blocks: True, trim_blocks: True\n  {% if true %}\na\n  {% endif %}\n", "a\n"),
        ("[{{ vars.none }}]", "[]"),
        ("{{ port }} {{ vars.port }}", "8080 8080"),
        ("{{ vars.url }}", "http://demo.example"),
        ("{{ zones }} {{ bundle.properties }}", "['a', 'b'] {'cw_os': 'Debian', 'version': '1.10'}"),
        ("{{ bundle.properties.version }}", "1.10"),
        ("{{ true }} {{ none }}", "True "),
        ("{{ nothing | default('x') }} {{ bundle.nothing | d('y') }}", "x y"),
        ("{{ 'yes' if nothing is defined else 'no' }}", "no"),
        ("{% for k, v in bundle.properties.items() %}\n{{ k }}={{ v }}\n{% endfor %}\n", "cw_os=Debian\nversion=1.10\n"),
        ("{{ bundle.get('nothing', 3) }} {{ 'a-b'.split('-')[1] }} {{ 'A'.lower() }}", "3 b a"),
        ("{{ 'no' | bool }} {{ 'Yes' | bool }} {{ 1 | bool }}", "False True True"),
        ("{{ 'x' | int }} {{ '7.9' | int }} {{ 'x' | int(5) }} {{ none | int }} {{ 'ff' | int(base=16) }}", "0 7 5 0 255"),
        ("{{ '1.10' is version('1.9', '>') }}", "True"),
        ("{% for z in zones %}{{ loop.index }}{{ z }}{% if loop.last %}!{% endif %}{% endfor %}", "1a2b!"),
        ("{{ '%s-%d' | format('a', 3) }} {{ [1, 2] | tojson }}", "a-3 [1, 2]"),
    ];
    for (template, wanted) in cases {
        assert_eq!(outcome(template), wanted, "{template}");
    }
}

#[test]
fn heat_template() {
    let heat = "resources:\n  server:\n    properties:\n      image: {{ result_img_id }}\n      name: {{ result_img_name }} # {{ git_commit[:7] }}\n";
    assert_snapshot!(named("x.heat.yml.j2", heat), @"
    resources:
      server:
        properties:
          image: 00000000-0000-4000-8000-000000000000
          name: demo # 0000000
    ");
}

#[test]
fn every_undefined_name_of_every_template_at_once() {
    let found = findings(&[
        ("a.yml.j2", "image: {{ result_img_idd }}\nname: {{ bundle.nam }}\n\nfoo: {{ foo | upper }}\nown: {{ x | default('fine') }}\n"),
        (
            "sub/b.txt.j2",
            "é {{ bundle.name }} {{ img_base }} {{ name.first }}\n{% for z in zonez %}{{ z }}{% endfor %}\n{{ ansible_date_time.iso8601 }}",
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

#[test]
fn syntax_errors_have_a_place() {
    assert_snapshot!(outcome("a\n  {{ port "), @"
    images/demo/output/t.txt.j2:2:6: error: template syntax: unexpected end of input, expected end of variable block
        hint: `{{ … }}` is not closed
    ");
    assert_snapshot!(outcome("a\n{% if port %}\nb\n"), @"
    images/demo/output/t.txt.j2:3:1: error: template syntax: unexpected end of input, expected end of block
        hint: a `{% … %}` block is not closed
    ");
    assert_snapshot!(outcome("#jinja2: trim_blocks:False\n{{ port | uper }}"), @"
    images/demo/output/t.txt.j2:2:11: error: filter uper is unknown
        hint: did you mean `upper`?
    ");
    assert_snapshot!(outcome("#jinja2: line_statement_prefix:'%'\n"), @"images/demo/output/t.txt.j2:1:1: error: the `#jinja2:` line sets `line_statement_prefix`, which is not supported; trim_blocks, lstrip_blocks and keep_trailing_newline are");
    assert_snapshot!(outcome("{{ '%s' % port }}"), @r#"
    images/demo/output/t.txt.j2:1:4: error: tried to use % operator on unsupported types string and number
        hint: write `{{ "…" | format(x) }}`
    "#);
    assert_snapshot!(outcome("{{ zones.append('x') }}"), @"
    images/demo/output/t.txt.j2:1:9: error: sequence has no method named append
        hint: write `{% set xs = xs + [x] %}`
    ");
    assert_snapshot!(outcome("{{ lookup('env', 'HOME') }}"), @"images/demo/output/t.txt.j2:1:4: error: lookup('env') is not supported, so that a bundle renders the same everywhere: put the value under `vars:` in build-vars.yml");
    assert_snapshot!(outcome("{{ port | ipaddr }} {{ foo }}"), @"images/demo/output/t.txt.j2:1:11: error: `ipaddr` is not supported; write the address down in build-vars.yml, under `vars:`");
    assert_snapshot!(outcome("{{ fooo() }} {{ port is fine }}"), @"images/demo/output/t.txt.j2:1:4: error: function fooo is unknown");
    assert_snapshot!(outcome("{% include 'nothing' %}"), @"
    images/demo/output/t.txt.j2:1:4: error: tried to include non-existing template 'nothing'
        hint: only files under `output/` can be included
    ");
    assert_snapshot!(outcome("{{ port | regex_search('(?=x)') }}"), @"images/demo/output/t.txt.j2:1:11: error: pattern `(?=x)` is not supported: look-around, including look-ahead and look-behind, is not supported");
    assert_snapshot!(outcome("{{ nothing | mandatory('say what') }}{{ nothing | mandatory }}"), @"images/demo/output/t.txt.j2:1:14: error: say what");
    assert_snapshot!(outcome("{{ ${x} }}"), @"
    images/demo/output/t.txt.j2:1:4: error: template syntax: unexpected character
        hint: only Jinja can stand between the braces; `{% raw %}…{% endraw %}` keeps braces as they are
    ");
}

#[test]
fn the_result_must_be_what_its_name_says() {
    assert_snapshot!(named("a.yml.j2", "a: 1\nb: {{ bundle.name }}: x\n"), @"
    images/demo/output/a.yml.j2:2:1: error: renders to something that is not YAML: mapping values are not allowed in this context, in line 2 of the result: `b: demo: x`
        hint: the file's name says YAML; quote values that may hold `:` or `#`, and look at the indentation
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
    let mut bundle =
        bundle(tree.path(), &[("a.txt.j2", "{% include 'part.txt' %}"), ("b.txt.j2", "{{ vars.bad }}"), ("c.txt.j2", "{{ vars.me }}")]);
    std::fs::write(bundle.dir.join("output/part.txt"), "x\n{{ prt }}").unwrap();
    bundle.as_written["vars"]["bad"] = "{{ prt }}".into();
    bundle.as_written["vars"]["me"] = "{{ vars.me }}".into();
    let found = check(&bundle);
    assert_snapshot!(found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"), @"
    images/demo/output/part.txt:2:1: error: `prt` is undefined
        hint: did you mean `port`?
    images/demo/build-vars.yml: error: `prt` is undefined
        hint: did you mean `port`?
    images/demo/build-vars.yml: error: the value of `vars.me` refers to itself
    ");
}

/// `validate` must stay instant with a large tree. The bound is wide: this is a debug build on a shared machine.
#[test]
fn two_hundred_bundles_are_checked_in_no_time() {
    let tree = tempfile::tempdir().unwrap();
    let heat =
        "resources:\n  server:\n    properties:\n      image: {{ result_img_id }}\n".to_string() + &"# {{ bundle.name }}\n".repeat(40);
    let bundle = bundle(tree.path(), &[("x.heat.yml.j2", &heat), ("y.yml.j2", "name: {{ bundle.name }}\n")]);
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
