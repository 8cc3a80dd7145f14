//! Text that is no YAML, or not the YAML that was meant.
use super::{MINIMAL, said, said_more};

/// The example of the ancestor's guide, letter by letter.
const GUIDE: &str = "bundle:
  name: bundle-my-bundle                          # <-- Image name
  img_base: ae3082cb-fac1-46b1-97aa-507aaa8f184f  # <-- Glance ID of image to use as base
  properties:                                     # <-- Properties you want applied
    img_os: Ubuntu                                #     to the final image
    cw_bundle: MY_BUNDLE
    cw_origin: Cloudwatt
    hw_cpu_max_sockets: 1
    hw_rng_model :virtio     
";

#[test]
fn the_guide_has_its_colon_on_the_wrong_side() {
    insta::assert_snapshot!(said(GUIDE), @r"
        9:5: error: `hw_rng_model :virtio` has its colon on the wrong side of the space
            hint: write `hw_rng_model: virtio`
    ");
    insta::assert_snapshot!(said(&format!("{GUIDE}vm_flavour: x\n")), @r"
        9:5: error: `hw_rng_model :virtio` has its colon on the wrong side of the space
            hint: write `hw_rng_model: virtio`
        10:1: error: unknown key `vm_flavour`
            hint: did you mean `vm_flavor`?
    ");
    assert_eq!(said(&GUIDE.replace("hw_rng_model :virtio", "hw_rng_model: virtio")), "");
}

#[test]
fn a_misplaced_colon_anywhere() {
    let cases = [
        // First, last, only, in the middle, twice, deeper, at the top, in a list, in a flow map,
        // with a comment.
        "bundle:\n  name :x\n  img_base: y\n",
        "bundle:\n  name: x\n  img_base :y # base\n",
        "bundle:\n  name: x\n  img_base: y\n  properties:\n    a :b\n",
        "bundle:\n  name: x\n  img_base: y\n  properties:\n    a: b\n    c :d\n    e: f\n",
        "bundle:\n  name: x\n  img_base: y\n  properties:\n    a: b\n    c :d\n    e :f\n\nkeep: \
            1\n",
        "bundle:\n  name: x\n  img_base: y\n  properties:\n    a: b\n      c :d\n",
        "vm_flavor :small\nbundle: {name: x, img_base: y}\n",
        "bundle: {name: x, img_base: y}\nvm_flavor   :small\n",
        "bundle: {name: x, img_base: y}\nsteps:\n  - shell :ls\n",
        "bundle: {name: x, img_base: y, properties: {a :b}}\n",
    ];
    let all: Vec<String> = cases.iter().map(|case| said(case)).collect();
    insta::assert_snapshot!(all.join("\n--\n"), @r"
        2:3: error: `name :x` has its colon on the wrong side of the space
            hint: write `name: x`
        --
        3:3: error: `img_base :y` has its colon on the wrong side of the space
            hint: write `img_base: y`
        --
        5:5: error: `a :b` has its colon on the wrong side of the space
            hint: write `a: b`
        --
        6:5: error: `c :d` has its colon on the wrong side of the space
            hint: write `c: d`
        --
        6:5: error: `c :d` has its colon on the wrong side of the space
            hint: write `c: d`
        7:5: error: `e :f` has its colon on the wrong side of the space
            hint: write `e: f`
        --
        6:7: error: `c :d` has its colon on the wrong side of the space
            hint: write `c: d`
        --
        1:1: error: `vm_flavor :small` has its colon on the wrong side of the space
            hint: write `vm_flavor: small`
        --
        2:1: error: `vm_flavor   :small` has its colon on the wrong side of the space
            hint: write `vm_flavor: small`
        --
        3:5: error: `shell :ls` has its colon on the wrong side of the space
            hint: write `shell: ls`
        --
        1:45: error: `a :b` has its colon on the wrong side of the space
            hint: write `a: b`
    ");
}

#[test]
fn colons_that_are_where_they_belong() {
    for lines in [
        "vm_flavor : small",
        "steps:\n  - shell: vim :q",
        "steps:\n  - shell: |\n      echo :x\n      a :b\n",
        "steps:\n  - shell:\n      - 'a :b'\n",
        "vars: {a: 'b :c', 'd :e': f}",
        "steps:\n  - shell: |\n      docker run\n      image :latest\nkeep: 3",
    ] {
        assert_eq!(said_more(lines), "", "{lines}");
    }
    // The innocent line above a real mistake is not blamed.
    insta::assert_snapshot!(said_more("steps:\n  - shell: |\n      a :b\n   bad: \
        indentation\n"), @r"
        5:4: error: this line does not fit the list above it
            hint: check its indentation; every item starts with `- `
    ");
}

#[test]
fn bad_yaml() {
    let cases = [
        "bundle:\n\tname: x\n",
        "bundle:\n  name: x\n \timg_base: y\n",
        "bundle:\n  name: x\n  img_base\n",
        "bundle:\n  name:x\n  img_base: y\n",
        "bundle:\n  name: a: b\n",
        "bundle:\n  name: x\n   img_base: y\n",
        "bundle: {name: x\n",
        "bundle: {name: x]\n",
        "bundle:\n  name: \"x\n",
        "bundle:\n  name: 'x'y\n",
        "bundle:\n  name: *x\n",
        "bundle:\n  name: @x\n",
        "bundle:\n  name: {{ x }}\n  img_base: y\n",
        "- a\n",
        "text\n",
        "bundle: {name: x, img_base: y}\n---\nkeep: 1\n",
        "bundle: {name: x, img_base: y}\nvars:\n  ? [a]\n  : b\n",
        "bundle: {name: \u{7}x, img_base: y}\n",
        "bundle: {name: x, img_base: y}\ntags: [a\n",
        "bundle:\n  name: x\n img_base: y\n",
        "bundle:\n  name:x\n",
    ];
    let all: Vec<String> = cases.iter().map(|case| said(case)).collect();
    insta::assert_snapshot!(all.join("\n--\n"), @r#"
        2:1: error: a tab in the indentation
            hint: YAML is indented with spaces only
        --
        3:2: error: a tab in the indentation
            hint: YAML is indented with spaces only
        --
        3:3: error: this line has no `key: `
            hint: every line of a map is `key: value`; a long value goes on with deeper indentation
        --
        2:3: error: `name:x` has no space after its colon
            hint: write `name: x`
        --
        2:10: error: a `: ` where no key can stand
            hint: put a value that holds `: ` in quotes, and check the indentation of this line and the one above
        --
        3:12: error: a `: ` where no key can stand
            hint: put a value that holds `: ` in quotes, and check the indentation of this line and the one above
        --
        2:1: error: a `{` is not closed, or a comma is missing
            hint: before this place
        --
        1:17: error: a `{` is not closed, or a comma is missing
            hint: before this place
        --
        2:9: error: a quote is opened and never closed
            hint: a value that holds `'` goes in `"`
        --
        2:12: error: something stands after the closing quote
            hint: quotes go around the whole value
        --
        2:9: error: this alias names no anchor
            hint: `&name` must stand before `*name`
        --
        2:9: error: a value cannot start with this character
            hint: put it in quotes
        --
        2:9: error: `bundle.name` must be text, not a map
        2:10: error: a key must be text
            hint: a value that starts with `{` or `[` needs quotes
        --
        1:1: error: build-vars.yml must be a map, not a list
            hint: lines of `key: value`
        --
        1:1: error: build-vars.yml must be a map, not `text`
            hint: lines of `key: value`
        --
        3:1: error: a second YAML document starts here
            hint: one file describes one bundle: drop the `---` between
        --
        3:5: error: a key must be text
            hint: a value that starts with `{` or `[` needs quotes
        --
        1:16: error: `bundle.name` must be one line without control characters
        --
        3:1: error: a `[` is not closed, or a comma is missing
            hint: before this place
        --
        3:2: error: this line does not fit the map above it
            hint: check its indentation, and the quotes in the line above
        --
        2:3: error: `bundle` must be a map, not `name:x`
    "#);
}

#[test]
fn tags_are_refused() {
    insta::assert_snapshot!(said_more("vm_flavor: !vault abc\nkeep: !!str 3\nvars: {a: !foo [b], \
        c: !!python/object d}\n"), @r"
        2:12: error: YAML tags are not supported here: `!vault`
            hint: secrets come from the environment, not from build-vars.yml
        3:7: error: YAML tags are not supported here: `!!str`
            hint: a value in quotes is text
        4:11: error: YAML tags are not supported here: `!foo`
            hint: leave it out
        4:24: error: YAML tags are not supported here: `!!python/object`
            hint: leave it out
    ");
}

#[test]
fn anchors_and_merges() {
    let bundle = super::with(
        "vars:\n  one: &one {a: 1, b: 2}\n  two: &two {b: 3, c: 4}\n  all: {<<: [*one, *two], c: \
            5}\n  same: *one\n  txt: &t x\nvm_flavor: *t\n",
    );
    assert_eq!(serde_json::to_string(&bundle.vars["all"]).unwrap(), r#"{"c":5,"a":1,"b":2}"#);
    assert_eq!(bundle.vars["same"], bundle.vars["one"]);
    assert_eq!(bundle.flavor.as_deref(), Some("x"));
    insta::assert_snapshot!(said_more("vars:\n  a: {<<: text}\n  b: &b [*b]\n"), @r"
        4:10: error: this alias stands inside the thing it names
            hint: an alias repeats something that ends before it
    ");
    // What is wrong in an anchored value is said once.
    insta::assert_snapshot!(said_more("timeouts: &t {boot: soon}\nvars: {a: *t}\n"), @r"
        2:21: error: `timeouts.boot` must be a duration, not `soon`
            hint: like 90s, 10m, 1h30m, 1d, or whole seconds
    ");
}

#[test]
fn bombs_do_not_go_off() {
    let mut bomb = format!("{MINIMAL}vars:\n  a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for n in 1..12 {
        let refs = vec![format!("*a{}", n - 1); 9].join(", ");
        bomb.push_str(&format!("  a{n}: &a{n} [{refs}]\n"));
    }
    insta::assert_snapshot!(said(&bomb), @r"
        7:17: error: aliases blow the file up to more than 20000 values
            hint: write the values out
    ");
    let chain: String = (1..3000).map(|n| format!("  a{n}: &a{n} [*a{}]\n", n - 1)).collect();
    assert!(
        said(&format!("{MINIMAL}vars:\n  a0: &a0 [x]\n{chain}"))
            .contains("aliases blow the file up")
    );
    for (open, close) in [("[", "]"), ("{a: ", "}")] {
        let deep =
            said_more(&format!("vars: {{a: {}{}}}\n", open.repeat(5000), close.repeat(5000)));
        assert!(
            deep.contains("nested deeper than 64 levels") || deep.contains("recursion limit"),
            "{deep}"
        );
    }
    let deep: String = (0..200).map(|n| format!("{}a:\n", " ".repeat(n + 2))).collect();
    assert!(said_more(&format!("vars:\n{deep}")).contains("nested deeper than 64 levels"));
}

#[test]
fn encodings_and_line_ends() {
    assert_eq!(said(&format!("\u{feff}{}", MINIMAL.replace('\n', "\r\n"))), "");
    assert_eq!(said(&GUIDE.replace('\n', "\r\n")).lines().count(), 2);
    let tree = super::Tree::new();
    std::fs::create_dir_all(tree.path().join("images/x")).unwrap();
    std::fs::write(tree.path().join("images/x/build-vars.yml"), b"bundle:\n  name: \xff\n")
        .unwrap();
    insta::assert_snapshot!(super::said_in(&tree, "images/x"), @r"
        2:9: error: not UTF-8
            hint: save the file as UTF-8
    ");
}

/// Whatever the text, an answer comes and nothing panics: every prefix of a file, and every
/// character of it left out.
#[test]
fn broken_anywhere() {
    let text = format!(
        "{GUIDE}steps:\n  - {{shell: 'a', env: {{B: \"c\"}}}}\n  - shell: |\n      x\nvars: &v\n  \
            <<: *v\n  k: [1, 2]\n"
    );
    let chars: Vec<char> = text.chars().collect();
    for at in 0..chars.len() {
        let prefix: String = chars[..at].iter().collect();
        let hole: String =
            chars.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, c)| c).collect();
        for text in [prefix, hole] {
            super::super::syntax::read(std::path::Path::new("f"), &text);
        }
    }
}
