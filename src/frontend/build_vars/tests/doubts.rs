//! What does not follow from a definition that has errors.
use super::super::Doubts;
use super::super::load::load_whole;
use super::{MINIMAL, Tree};

const SUDO: &str = "- hosts: all\n  sudo: yes\n  roles: [nobody]\n";

fn of(tree: &Tree) -> Doubts {
    let rest = load_whole(tree.path(), &tree.path().join("images/x"), &[]).unwrap_err().rest;
    rest.expect("its directory is known").doubts
}

fn of_settings(settings: &str) -> Doubts {
    let tree = Tree::new();
    tree.write("images/x/build-vars.yml", settings);
    of(&tree)
}

/// `environment: {vars: {foo: 1}}` made `foo` undefined in every template.
#[test]
fn what_stands_deep_under_an_unknown_key_may_be_missed() {
    for more in [
        "environment: {vars: {foo: 1}}",
        "environment: {a: {b: {foo: 1}}}",
        "defaults: [{vars: {foo: 1}}]",
        "machine: {env: {vars: {foo: 1}}}",
        "tags: {vars: {foo: 1}}",
        "vars: {bar: 1}\nvras: {foo: 1}",
    ] {
        let doubts = of_settings(&format!("{MINIMAL}steps: [{{shell: id}}]\n{more}\n"));
        assert!(doubts.concern("foo") && !doubts.concern("port"), "{more}: {doubts:?}");
        assert!(!doubts.needs, "{more}: {doubts:?}");
    }
    let doubts = of_settings(&format!("{MINIMAL}environment: {{vars: [a, b]}}\n"));
    assert!(doubts.concern("anything"), "{doubts:?}");
    let doubts = of_settings(&format!("{MINIMAL}machines: {{steps: [{{shell: id}}]}}\n"));
    assert!(doubts.work && doubts.needs, "{doubts:?}");
    let tree = Tree::new();
    tree.write("images/x/build-vars.yml", "wrap: {bundle: {name: x, img_base: y, path: ../y}}\n");
    let unsound = load_whole(tree.path(), &tree.path().join("images/x"), &[]).unwrap_err();
    assert!(unsound.rest.is_none(), "its directory is not known");
}

/// Files of the directory that was meant were looked for in another.
#[test]
fn of_a_directory_that_is_not_known_nothing_is_told() {
    for bundle in [
        "bundle: {name: x, img_base: y, pth: ../y}",
        "bundel: {name: x, img_base: y, path: ../y}",
        "bundle: {path: ../nowhere}",
    ] {
        let tree = Tree::new();
        tree.write(
            "images/x/build-vars.yml",
            &format!("{bundle}\nkeep: many\nsteps: [{{script: gone.sh}}, {{ansible: gone.yml}}]\n"),
        );
        tree.write("images/x/tests/page", "no first line\n")
            .write("images/x/ansible/bootstrap.yml", SUDO);
        let unsound = load_whole(tree.path(), &tree.path().join("images/x"), &[]).unwrap_err();
        let told = super::render(&unsound.findings);
        assert!(unsound.rest.is_none() && told.contains(":2:7: error: `keep`"), "{told}");
        assert!(
            !told.contains("gone") && !told.contains("tests/page") && !told.contains("sudo"),
            "{told}"
        );
    }
}

/// Any error below roles/, and any of `--set`, hid missing roles and collections.
#[test]
fn an_error_in_a_line_leaves_the_roles_in_no_doubt() {
    let tree = Tree::new();
    let play = "- hosts: all\n  roles: [nobody, c]\n";
    tree.write("images/x/build-vars.yml", MINIMAL).write("images/x/ansible/bootstrap.yml", play);
    for (file, text) in [
        ("ansible/roles/c/tasks/main.yml", "- shell: id\n  sudo: yes\n"),
        ("ansible/roles/c/meta/main.yml", "dependencies: {}\n: [\n"),
        (
            "ansible/collections/ansible_collections/a/b/roles/c/tasks/main.yml",
            "- shell: id\n  sudo: yes\n",
        ),
    ] {
        tree.write(&format!("images/x/{file}"), text);
    }
    let doubts = of(&tree);
    assert!(doubts.playbooks && !doubts.needs, "{doubts:?}");
    for (link, to) in [
        ("ansible/roles/geerlingguy.ntp", "/etc"),
        ("ansible/roles/ntp", "/etc"),
        ("shared.d", "/usr/share"),
    ] {
        let tree = Tree::new();
        tree.write("images/x/build-vars.yml", MINIMAL)
            .write("images/x/ansible/bootstrap.yml", play)
            .write("images/x/ansible/roles/c/x", "");
        std::os::unix::fs::symlink(to, tree.path().join("images/x").join(link)).unwrap();
        assert!(of(&tree).needs, "{link}");
    }
    let tree = Tree::new();
    tree.write("images/x/build-vars.yml", MINIMAL).write("images/x/ansible/bootstrap.yml", play);
    tree.write("images/x/requirements.yaml", "role: [nobody]\n");
    assert!(of(&tree).needs, "what was meant by the list is not known");
}

/// They were known by the words of their messages.
#[test]
fn what_an_error_hides_is_known_by_its_kind() {
    let doubts = of_settings("vars: {a: 1}\n");
    assert!(doubts.concern("bundle.name") && !doubts.all_names && !doubts.needs, "{doubts:?}");
    let doubts = of_settings(&format!("{MINIMAL}keep: 1\nvars: {{a: 1}}\nvars: {{b: 1}}\n"));
    assert!(doubts.all_names && !doubts.needs, "{doubts:?}");
    let doubts = of_settings(&format!("{MINIMAL}tags: {{<<: a}}\n"));
    assert!(doubts.all_names && doubts.needs, "{doubts:?}");
    // A key of that name is none of these.
    let doubts = of_settings(&format!("{MINIMAL}tags: 3\n\"`<<` is given twice\": 1\n"));
    assert!(!doubts.all_names && !doubts.needs, "{doubts:?}");
}

#[test]
fn an_error_of_the_command_line_is_one_of_its_key() {
    let tree = Tree::new();
    tree.write("images/x/build-vars.yml", &format!("{MINIMAL}machine: {{ram: 1G}}\n"))
        .write("images/x/ansible/bootstrap.yml", SUDO);
    for (set, names) in [
        ("machine.rum=2G", false),
        ("keep=x", false),
        ("nope=1", false),
        ("vars=1", true),
        ("tags={a: 1}", false),
    ] {
        let sets = [super::super::Override::parse(set).unwrap()];
        let rest = load_whole(tree.path(), &tree.path().join("images/x"), &sets)
            .unwrap_err()
            .rest
            .unwrap();
        assert_eq!(
            (rest.doubts.all_names, rest.doubts.needs),
            (names, false),
            "{set}: {:?}",
            rest.doubts
        );
    }
}
