//! What would be passed over without a word.
use super::{MINIMAL, Tree, render, said_in};
use crate::bundle::strays;

const STEPS: &str = "bundle: {name: x, img_base: y}\nsteps:\n- ansible: ansible/site.yml\n";
const PLAY: &str = "- hosts: all\n";

fn bundle(files: &[&str]) -> Tree {
    let tree = Tree::new();
    tree.write("images/x/build-vars.yml", STEPS).write("images/x/ansible/site.yml", PLAY);
    for file in files {
        let program = "#!/bin/sh\ntrue\n";
        match file.ends_with(".yml") || file.ends_with(".yaml") {
            true => tree.write(&format!("images/x/{file}"), PLAY),
            false => tree.executable(&format!("images/x/{file}"), program),
        };
    }
    tree
}

#[test]
fn what_lies_nearly_in_a_known_place_is_told() {
    let cases = [
        ("test/page", "images/x/test: warning: `test/` is not looked at; `tests/` is"),
        ("Tests/page.sh", "images/x/Tests: warning: `Tests/` is not looked at"),
        ("outputs/x.heat.yml.j2", "images/x/outputs: warning: `outputs/` is not looked at; `output/` is"),
        ("Output/x.j2", "`Output/` is not looked at"),
        ("ouptut/x.j2", "`ouptut/` is not looked at"),
        ("Ansible/bootstrap.yml", "`Ansible/` is not looked at; `ansible/` is"),
        ("ansible/bootstrap.yaml", "images/x/ansible/bootstrap.yaml: warning: `ansible/bootstrap.yaml` is not looked at"),
        ("ansible/Bootstrap.yml", "`ansible/Bootstrap.yml` is not looked at"),
        ("ansible/bootstap.yml", "`ansible/bootstap.yml` is not looked at"),
        ("ansible/Requirements.yaml", "`ansible/Requirements.yaml` is not looked at; `ansible/requirements.yml` is"),
        ("ansible/group-vars/all.yml", "`ansible/group-vars/` is not looked at; `ansible/group_vars/` is"),
        ("build-vars.yaml", "`build-vars.yaml` is not looked at; `build-vars.yml` is"),
        ("output/x.heat.yml", "`output/x.heat.yml` is neither rendered nor copied"),
        ("output/x.heat.yml.J2", "`output/x.heat.yml.J2` is neither rendered nor copied"),
        ("output/sub/x.j2", "images/x/output/sub/x.j2: warning: `output/sub/x.j2` is not rendered"),
    ];
    for (file, wanted) in cases {
        let told = said_in(&bundle(&[file]), "images/x");
        assert!(told.contains(wanted), "{file}: {told}");
    }
}

#[test]
fn ordinary_directories_and_what_is_used_draw_nothing() {
    let ordinary = [
        "roles/a/tasks/main.yml",
        "files/x",
        "templates/x.j2",
        "group_vars/all.yml",
        "molecule/default/molecule.yml",
        "test/integration/default/x",
        "tests/page",
        "tests/data/x",
        "docs/output.md",
        "output/README.md",
        "output/.gitkeep",
        "scripts/x.sh",
        "inventory/hosts",
        "requirements.txt",
        "requirements.yaml",
        "ansible/requirements.yaml",
        "ansible/roles/a/files/x",
        "ansible/playbook.yml",
        "ansible/bootstrap.yml",
        "ansible/bootstrap2.yml",
        "test/own.sh",
    ];
    let files: Vec<&str> = ordinary.iter().copied().filter(|file| *file != "ansible/bootstrap.yml").collect();
    assert!(!said_in(&bundle(&ordinary), "images/x").contains("looked at"), "{}", said_in(&bundle(&ordinary), "images/x"));
    let tree = bundle(&files);
    let steps = "- script: test/own.sh\n- ansible: ansible/bootstrap2.yml\n";
    tree.write("images/x/build-vars.yml", &format!("{STEPS}{steps}"));
    assert_eq!(said_in(&tree, "images/x"), "");
    // What a template includes is used.
    let tree = bundle(&["output/part.txt", "output/sub/head.j2"]);
    tree.write("images/x/output/x.txt.j2", "{% include 'part.txt' %}{%- include \"sub/head.j2\" %}");
    assert_eq!(said_in(&tree, "images/x"), "");
    let tree = bundle(&["output/a.txt"]);
    tree.write("images/x/output/x.txt.j2", "{% include vars.name %}");
    assert_eq!(said_in(&tree, "images/x"), "");
}

#[test]
fn a_playbook_that_steps_leave_out_and_what_lies_beside_the_path_are_told() {
    let tree = Tree::new();
    tree.write("images/x/build-vars.yml", &format!("{MINIMAL}steps: [{{shell: 'true'}}]\n")).write("images/x/ansible/bootstrap.yml", PLAY);
    let told = said_in(&tree, "images/x");
    assert!(told.contains("images/x/ansible/bootstrap.yml: warning: `ansible/bootstrap.yml` does not run"), "{told}");
    let tree = Tree::new();
    tree.write("images/x/build-vars.yml", "bundle: {name: x, img_base: y, path: shared}\n")
        .write("shared/ansible/bootstrap.yml", PLAY)
        .executable("images/x/tests/page", "#!/bin/sh\ntrue\n");
    let told = said_in(&tree, "images/x");
    assert!(told.contains("images/x/tests: warning: `tests/` beside build-vars.yml is not looked at: `bundle.path` is shared"), "{told}");
}

#[test]
fn directories_that_were_meant_as_bundles_are_told() {
    let tree = Tree::new();
    let near = ["build-vars.yaml", "build_vars.yml", "buildvars.yml", "Build-Vars.yml", "build-vars.YML", "build-var.yml"];
    for (at, name) in near.iter().enumerate() {
        tree.write(&format!("images/n{at}/{name}"), MINIMAL);
    }
    tree.write("images/play/ansible/bootstrap.yml", PLAY)
        .write("os/both/output/x.j2", "")
        .executable("os/both/tests/a", "#!/bin/sh\n")
        .write("images/group/web/build-vars.yml", MINIMAL)
        .write("images/dir/build-vars.yml/x", "")
        .write("image/y/build-vars.yml", MINIMAL)
        // No bundles, and none were meant.
        .write("images/fine/build-vars.yml", MINIMAL)
        .write("images/notes/README.md", "")
        .write("images/roles/nginx/tasks/main.yml", "")
        .write("os/families/debian/ansible/bootstrap.yml", PLAY)
        .write("images/target/x/build-vars.yml", MINIMAL)
        .write("images/.old/build-vars.yaml", MINIMAL);
    let found: Vec<_> = strays(tree.path()).into_iter().map(|stray| stray.finding).collect();
    let told = render(&found);
    for (at, name) in near.iter().enumerate() {
        let wanted = format!("images/n{at}/{name}: warning: images/n{at} is no bundle: its settings are called `{name}`");
        assert!(told.contains(&wanted) && told.contains(&format!("hint: mv images/n{at}/{name} images/n{at}/build-vars.yml")), "{told}");
    }
    for wanted in [
        "images/play: warning: images/play looks like a bundle and has no build-vars.yml",
        "os/both: warning: os/both looks like a bundle",
        "images/group/web: warning: images/group/web is not looked at",
        "images/dir/build-vars.yml: warning: images/dir is no bundle: its build-vars.yml is not a file",
        "image: warning: image/ is not looked at, and holds 1 definitions",
    ] {
        assert!(told.contains(wanted), "{wanted}: {told}");
    }
    assert_eq!(found.len(), near.len() + 5, "{told}");
}
