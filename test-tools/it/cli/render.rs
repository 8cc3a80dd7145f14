//! `render`, and what templates may hold.
use super::*;

/// `render` shows what `build` would write: with a stand-in or an ID, on standard output or in
/// files, and what is wrong as `validate` does.
#[test]
fn render_shows_what_templates_become() {
    let id = "6f1c2a7e-0b1d-4c55-9a38-2d7f0c9e1b44";
    let one = good().file(
        "images/x/output/a.yml.j2",
        "image: {{ result_img_id }}\nport: {{ vars.port | default(80) }}\n",
    );
    let before = one.listing();
    assert_eq!(
        one.run(&["render", "images/x"]).exits(0).out,
        "image: 00000000-0000-4000-8000-000000000000\nport: 80\n"
    );
    let set = one.run(&["render", "images/x", "--image", id, "--set", "vars.port=81"]).exits(0);
    assert_eq!(set.out, format!("image: {id}\nport: 81\n"));
    one.run(&["render", "images/x", "--image", "a b"]).exits(2);
    one.run(&["render", "images/x", "--image", id])
        .exits(0)
        .err
        .is_empty()
        .then_some(())
        .expect("an ID is no news");
    one.run(&["render", "images/x", "--image", "nope"])
        .exits(0)
        .says("warning: `nope` is no image's ID, which is a UUID");
    assert_eq!(before, one.listing());

    let two = one
        .file("images/x/output/b.txt.j2", "\u{1b}[2J{{ bundle.name }}")
        .file("images/x/output/c.txt.j2", "image: 1\n");
    let shown = two.run(&["render", "images/x"]).exits(0).out;
    assert!(
        shown.contains("==> a.yml <==\nimage: 0000") && shown.contains("==> b.txt <==\n"),
        "{shown}"
    );
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("new/out");
    // A definition's own files are no place for outputs: one could be named like a template.
    two.run(&["render", "images/x", "-o", "images/x/output"])
        .exits(20)
        .says("in the definition itself");
    two.run(&["render", "images/x", "-o", "images/x/new/dir"])
        .exits(20)
        .says("in the definition itself");
    let written = two.run(&["render", "images/x", "-o", target.to_str().unwrap()]).exits(0);
    assert!(written.out.is_empty() && written.err.contains("b.txt"), "{}", written.err);
    assert_eq!(std::fs::read_to_string(target.join("b.txt")).unwrap(), "\u{1b}[2Jx");

    let wrong = two.file("images/x/output/d.yml.j2", "a: {{ nope }}\nb: {{ noper }}\n");
    let said = wrong
        .run(&["render", "images/x"])
        .exits(10)
        .says("d.yml.j2:1:7: error: `nope` is undefined")
        .says("d.yml.j2:2:7:");
    assert!(said.out.is_empty(), "{}", said.out);
    good().run(&["render", "images/x"]).exits(0).says("has no templates");
    good().run(&["render", "images/nope"]).exits(10);
    let odd = good().file(
        "images/x/output/a.yml.j2",
        format!("image: {id}\noutputs: 1\noutputs: 2\n").as_str(),
    );
    for command in ["validate", "render"] {
        odd.run(&[command, "images/x"])
            .exits(0)
            .says("a.yml.j2:1:1: warning: never uses the ID")
            .says("a.yml.j2:3:1: warning: renders to");
    }
}

/// One expression alone stays a value, whose text is counted all the same.
#[test]
fn a_template_renders_to_no_more_than_it_may() {
    let factory = good().file("images/x/output/a.j2", "{{ \"a\\nb\" | indent(10000000) }}");
    factory.run(&["render", "images/x"]).exits(10).says("renders to more than 4 MiB");
}
