//! What Ansible's filters give, noted down from ansible-core.
use crate::output::jinja;

fn eval(template: &str) -> String {
    let context = minijinja::context! {
        d => minijinja::context! { b => 1, a => minijinja::context! { y => vec!["p", "q"], x => "é" } },
        l => vec!["a", "b", "a"],
        t => "10.0",
    };
    jinja::ANSIBLE.render_str(template, context).unwrap_or_else(|e| format!("error: {}", e.detail().unwrap_or_default()))
}

#[test]
fn as_ansible() {
    let cases = [
        ("{{ d | to_json }}", r#"{"b": 1, "a": {"y": ["p", "q"], "x": "\u00e9"}}"#),
        (
            "{{ d | to_nice_json }}",
            "{\n    \"a\": {\n        \"x\": \"\\u00e9\",\n        \"y\": [\n            \"p\",\n            \"q\"\n        ]\n    },\n    \"b\": 1\n}",
        ),
        ("{{ d | to_yaml }}", "a:\n  x: é\n  y: [p, q]\nb: 1\n"),
        ("{{ d | to_nice_yaml }}", "a:\n    x: é\n    y:\n    - p\n    - q\nb: 1\n"),
        ("{{ d | to_nice_yaml(indent=2) }}", "a:\n  x: é\n  y:\n  - p\n  - q\nb: 1\n"),
        ("{{ [{'k': 1, 'l': [2]}, {'k': 3}] | to_nice_yaml }}", "-   k: 1\n    l:\n    - 2\n-   k: 3\n"),
        (
            "{{ {'a': 'yes', 'b': '1.10', 'c': 'x: y', 'd': '', 'e': none, 'f': true, 'g': '2024-01-01'} | to_nice_yaml }}",
            "a: 'yes'\nb: '1.10'\nc: 'x: y'\nd: ''\ne: null\nf: true\ng: '2024-01-01'\n",
        ),
        ("{{ [] | to_nice_yaml }}{{ {} | to_yaml }}", "[]\n{}\n"),
        ("{{ ('{\"a\": [1]}' | from_json).a[0] }} {{ ('a: [1, x]' | from_yaml).a[1] }}", "1 x"),
        (
            "{{ 'héllo' | b64encode }} {{ 'aMOp
bGxv' | b64decode }}",
            "aMOpbGxv héllo",
        ),
        ("{{ 'abc-12' | regex_replace('([a-z]+)-(\\\\d+)', '\\\\2-\\\\1') }}", "12-abc"),
        ("{{ 'abc' | regex_replace('B', 'x', ignorecase=True) }} {{ 'a$1' | regex_replace('a', '$0') }}", "axc $0$1"),
        ("{{ 'abc-12' | regex_replace('(?P<n>[a-z])', '<\\\\g<n>>') }}", "<a><b><c>-12"),
        ("{{ 'v1.2' | regex_search('[0-9.]+') }} [{{ 'v' | regex_search('[0-9]') }}]", "1.2 []"),
        ("{{ 'a=1' | regex_search('(\\\\w)=(\\\\d)', '\\\\1', '\\\\2') }}", "['a', '1']"),
        ("{{ 'a1b2' | regex_findall('[a-z]') }} {{ 'a1b2' | regex_findall('([a-z])([0-9])') }}", "['a', 'b'] [('a', '1'), ('b', '2')]"),
        ("{{ true | ternary('a', 'b') }} {{ none | ternary('a', 'b', 'c') }}", "a c"),
        ("{{ {'a': 1, 'n': {'x': 1}} | combine({'b': 2, 'n': {'y': 2}}, recursive=True) }}", "{'a': 1, 'n': {'x': 1, 'y': 2}, 'b': 2}"),
        ("{{ {'n': {'x': 1}} | combine({'n': {'y': 2}}) }}", "{'n': {'y': 2}}"),
        ("{{ l | union(['c']) }} {{ l | difference(['a']) }} {{ l | intersect(['a']) }}", "['a', 'b', 'c'] ['b'] ['a']"),
        (
            "{{ '/a/b.tar.gz' | basename }} {{ '/a/b' | dirname }} {{ '/a' | dirname }} {{ '/a/b.tar.gz' | splitext }}",
            "b.tar.gz /a / ('/a/b.tar', '.gz')",
        ),
        ("{{ '.bashrc' | splitext }}", "('.bashrc', '')"),
        ("{{ \"it's\" | quote }} {{ 'plain-1' | quote }} {{ '' | quote }}", "'it'\"'\"'s' plain-1 ''"),
        ("{{ 'a' | hash('sha256') }}", "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"),
        ("{{ 'a' | hash }}", "error: hash('sha1') is not supported; use hash('sha256') or hash('sha512')"),
        ("{{ 'a' | ansible.builtin.b64encode }} {{ 'A' | ansible.builtin.lower }}", "YQ== a"),
        (
            "{{ t | float }} {{ 'x' | float }} {{ [[1], [2, [3]]] | flatten }} {{ {'a': 1} | dict2items }}",
            "10.0 0.0 [1, 2, 3] [{'key': 'a', 'value': 1}]",
        ),
        ("{{ 'abc' is match('a') }} {{ 'abc' is search('c') }} {{ 'abc' is match('c') }}", "True True False"),
        ("{{ 'ab' | center(6) }}|", "  ab  |"),
    ];
    for (template, wanted) in cases {
        assert_eq!(eval(template), wanted, "{template}");
    }
}
