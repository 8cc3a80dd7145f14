//! What would be passed over without a word.
use super::{MINIMAL, Tree, render, said_in};
use crate::frontend::build_vars::strays;

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
        (
            "outputs/x.heat.yml.j2",
            "images/x/outputs: warning: `outputs/` is not looked at; `output/` is",
        ),
        ("Output/x.j2", "`Output/` is not looked at"),
        ("ouptut/x.j2", "`ouptut/` is not looked at"),
        ("Ansible/bootstrap.yml", "`Ansible/` is not looked at; `ansible/` is"),
        (
            "ansible/bootstrap.yaml",
            "images/x/ansible/bootstrap.yaml: warning: `ansible/bootstrap.yaml` is not looked at",
        ),
        ("ansible/Bootstrap.yml", "`ansible/Bootstrap.yml` is not looked at"),
        ("ansible/bootstap.yml", "`ansible/bootstap.yml` is not looked at"),
        (
            "ansible/Requirements.yaml",
            "`ansible/Requirements.yaml` is not looked at; `ansible/requirements.yml` is",
        ),
        (
            "ansible/requirments.yml",
            "`ansible/requirments.yml` is not looked at; `ansible/requirements.yml` is",
        ),
        (
            "ansible/group-vars/all.yml",
            "`ansible/group-vars/` is not looked at; `ansible/group_vars/` is",
        ),
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
    let files: Vec<&str> =
        ordinary.iter().copied().filter(|file| *file != "ansible/bootstrap.yml").collect();
    assert!(
        !said_in(&bundle(&ordinary), "images/x").contains("looked at"),
        "{}",
        said_in(&bundle(&ordinary), "images/x")
    );
    let tree = bundle(&files);
    let steps = "- script: test/own.sh\n- ansible: ansible/bootstrap2.yml\n";
    tree.write("images/x/build-vars.yml", &format!("{STEPS}{steps}"));
    assert_eq!(said_in(&tree, "images/x"), "");
    // What a template includes is used.
    let tree = bundle(&["output/part.txt", "output/sub/head.j2"]);
    tree.write(
        "images/x/output/x.txt.j2",
        "{% include 'part.txt' %}{%- include \"sub/head.j2\" %}",
    );
    assert_eq!(said_in(&tree, "images/x"), "");
    let tree = bundle(&["output/a.txt"]);
    tree.write("images/x/output/x.txt.j2", "{% include vars.name %}");
    assert_eq!(said_in(&tree, "images/x"), "");
}

#[test]
fn a_playbook_that_steps_leave_out_and_what_lies_beside_the_path_are_told() {
    let tree = Tree::new();
    tree.write("images/x/build-vars.yml", &format!("{MINIMAL}steps: [{{shell: 'true'}}]\n"))
        .write("images/x/ansible/bootstrap.yml", PLAY);
    let told = said_in(&tree, "images/x");
    assert!(
        told.contains(
            "images/x/ansible/bootstrap.yml: warning: `ansible/bootstrap.yml` does not run"
        ),
        "{told}"
    );
    let tree = Tree::new();
    tree.write("images/x/build-vars.yml", "bundle: {name: x, img_base: y, path: shared}\n")
        .write("shared/ansible/bootstrap.yml", PLAY)
        .executable("images/x/tests/page", "#!/bin/sh\ntrue\n");
    let told = said_in(&tree, "images/x");
    assert!(
        told.contains(
            "images/x/tests: warning: `tests/` beside build-vars.yml is not looked \
        at: `bundle.path` is shared"
        ),
        "{told}"
    );
}

#[test]
fn directories_that_were_meant_as_bundles_are_told() {
    let tree = Tree::new();
    let near = [
        "build-vars.yaml",
        "build_vars.yml",
        "buildvars.yml",
        "Build-Vars.yml",
        "build-vars.YML",
        "build-var.yml",
    ];
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
        let wanted = format!(
            "images/n{at}/{name}: warning: images/n{at} is no bundle: its settings are called \
                `{name}`"
        );
        assert!(
            told.contains(&wanted)
                && told
                    .contains(&format!("hint: mv images/n{at}/{name} images/n{at}/build-vars.yml")),
            "{told}"
        );
    }
    for wanted in [
        "images/play: warning: images/play looks like a bundle and has no build-vars.yml",
        "os/both: warning: os/both looks like a bundle",
        "images/group/web: warning: images/group/web is not looked at",
        "images/dir/build-vars.yml: warning: images/dir is no bundle: its build-vars.yml is not a \
            file",
        "image: warning: image/ is not looked at, and holds 1 definitions",
    ] {
        assert!(told.contains(wanted), "{wanted}: {told}");
    }
    assert_eq!(found.len(), near.len() + 5, "{told}");
}

/// What a pasted hint does is what it says, whatever a directory is called.
#[test]
fn names_in_commands_are_quoted() {
    let tree = Tree::new();
    tree.write("images/$(touch pwned)/build-vars.yaml", MINIMAL)
        .write("images/a;id #/web/build-vars.yml", MINIMAL);
    let told =
        render(&strays(tree.path()).into_iter().map(|stray| stray.finding).collect::<Vec<_>>());
    assert!(
        told.contains(
            "hint: mv 'images/$(touch pwned)/build-vars.yaml' 'images/$(touch \
        pwned)/build-vars.yml'"
        ),
        "{told}"
    );
    assert!(told.contains("hint: mv 'images/a;id #/web' images/web"), "{told}");
    let tree = bundle(&[]);
    tree.write("images/x/tests/a b`id`", "#!/bin/sh\n");
    assert!(
        said_in(&tree, "images/x").contains("hint: chmod +x 'tests/a b`id`'; "),
        "{}",
        said_in(&tree, "images/x")
    );
}

/// Names beside the tree, and what the files hold, are the host's.
#[test]
fn nothing_is_looked_at_behind_links_that_leave_the_tree() {
    let (tree, outside) = (Tree::new(), Tree::new());
    let link = |to: &std::path::Path, at: &str| {
        std::os::unix::fs::symlink(to, tree.path().join(at)).unwrap()
    };
    outside
        .write("secret/build-vars.yml", MINIMAL)
        .write("ansible/bootstrap.yml", PLAY)
        .write("build-vars.yaml", MINIMAL);
    outside
        .executable("tests/secret", "#!/bin/sh\n")
        .write("images/secret/build-vars.yml", MINIMAL);
    tree.write("images/x/build-vars.yml", "bundle: {name: x, img_base: y, path: shared}\n")
        .write("shared/ansible/bootstrap.yml", PLAY);
    link(outside.path(), "images/link");
    link(&outside.path().join("images"), "image");
    link(&outside.path().join("tests"), "images/x/tests");
    tree.write("images/half/README.md", "");
    link(&outside.path().join("ansible"), "images/half/ansible");
    link(&outside.path().join("secret"), "images/half/secret");
    let told =
        render(&strays(tree.path()).into_iter().map(|stray| stray.finding).collect::<Vec<_>>());
    assert_eq!(told, "");
    assert_eq!(said_in(&tree, "images/x"), "");
    // A link within the tree is looked at.
    tree.write("parts/web/build-vars.yml", MINIMAL);
    link(&tree.path().join("parts"), "images/parts");
    let told =
        render(&strays(tree.path()).into_iter().map(|stray| stray.finding).collect::<Vec<_>>());
    assert!(told.contains("images/parts/web is not looked at"), "{told}");
}

/// Each file was looked for in every text: 15 MB times 600.
#[test]
fn many_large_files_of_output_are_no_burden() {
    let tree = bundle(&["output/x.j2"]);
    let text = "{% include 'nothing' %} some data of a service\n".repeat(600);
    for number in 0..600 {
        tree.write(&format!("images/x/output/conf/data{number}.conf"), &text);
    }
    let begin = std::time::Instant::now();
    let told = said_in(&tree, "images/x");
    assert_eq!(told.matches("is neither rendered nor copied").count(), 20, "{told}");
    assert!(begin.elapsed().as_secs() < 60, "{:?}: it took minutes", begin.elapsed());
    // What is reached is read, as far as that is bounded; then nothing is said.
    tree.write("images/x/output/x.j2", &"x".repeat(900_000))
        .write("images/x/output/y.j2", &"y".repeat(900_000));
    assert_eq!(said_in(&tree, "images/x").matches("neither").count(), 20);
    tree.write("images/x/output/z.j2", &"z".repeat(900_000));
    assert_eq!(said_in(&tree, "images/x"), "");
}

#[test]
fn what_texts_name_is_used() {
    let cases: &[(&str, &str, &str)] = &[
        // The file, the text that names it, and where that stands.
        ("output/z.txt", "{% set f = 'z.txt' %}{% include (f) %}", "output/x.j2"),
        ("output/z.txt", "{% set f = 'z' %}{% include f ~ '.txt' %}", "output/x.j2"),
        ("output/a%b.txt", "{% include 'a%b.txt' %}", "output/x.j2"),
        ("output/a.txt", "{%- include\n 'a.txt' if true else 'b.txt' %}", "output/x.j2"),
        ("output/m/a.j2", "{% from 'm/a.j2' import f as g with context %}", "output/x.j2"),
        ("output/a.sh", "{{ lookup('file', name) }}", "output/x.j2"),
        (
            "output/data.json",
            "- hosts: all\n  tasks: [{copy: {src: ../output/data.json, dest: /srv}}]\n",
            "ansible/site.yml",
        ),
        (
            "output/data.json",
            "- hosts: all\n  tasks: [{copy: {src: '{{ item }}', dest: /srv}, with_fileglob: \
                ../output/*}]\n",
            "ansible/site.yml",
        ),
        ("test/x.sh", "- hosts: all\n  tasks: [{script: ../test/x.sh}]\n", "ansible/site.yml"),
        ("Test/x.yml", "- hosts: all\n  vars_files: [../Test/x.yml]\n", "ansible/site.yml"),
        (
            "outputs/x.j2",
            "- hosts: all\n  tasks: [{template: {src: '../outputs/x.j2', dest: /srv}}]\n",
            "ansible/site.yml",
        ),
        ("ansible/bootstrap.yaml", "- import_playbook: bootstrap.yaml\n", "ansible/site.yml"),
        (
            "ansible/group-vars/all.yml",
            "- hosts: all\n  vars_files: ['group-vars/all.yml']\n",
            "ansible/site.yml",
        ),
        ("requirements.yaml", "", "x"),
        ("ansible/requirements.yaml", "", "x"),
    ];
    for (file, text, at) in cases {
        let tree = bundle(&[]);
        let data = if file.contains("requirements") { "roles: []\n" } else { "#!/bin/sh\na: b\n" };
        tree.write(&format!("images/x/{file}"), data).write(&format!("images/x/{at}"), text);
        let told = said_in(&tree, "images/x");
        assert!(
            !told.contains("not looked at")
                && !told.contains("neither")
                && !told.contains("not rendered"),
            "{file} {text}: {told}"
        );
    }
    // Steps: a whole directory, and what a shell calls.
    let tree = bundle(&["outputs/a.j2", "test/x"]);
    tree.write("images/x/build-vars.yml", &format!("{STEPS}- upload: {{src: ., dest: /srv}}\n"));
    assert_eq!(said_in(&tree, "images/x"), "");
    let tree = bundle(&["ansible/bootstrap.yml"]);
    tree.write(
        "images/x/build-vars.yml",
        &format!("{MINIMAL}steps: [{{shell: ansible-playbook /srv/bootstrap.yml}}]\n"),
    );
    assert_eq!(said_in(&tree, "images/x"), "");
    // A link names what it leads to.
    let tree = bundle(&["Tests/page", "outputs/x.j2"]);
    for (to, at) in [("Tests", "tests"), ("outputs", "output")] {
        std::os::unix::fs::symlink(to, tree.path().join("images/x").join(at)).unwrap();
    }
    assert_eq!(said_in(&tree, "images/x"), "");
    // What only a comment names is not.
    let tree = bundle(&["test/x"]);
    tree.write("images/x/build-vars.yml", &format!("{STEPS}# see test/x\n"));
    assert!(said_in(&tree, "images/x").contains("`test/` is not looked at"));
}

/// A known place that is there and holds nothing takes nothing of another's name.
#[test]
fn an_empty_place_hides_no_slip() {
    let tree = bundle(&["outputs/a.yml.j2", "test/page"]);
    for dir in ["output", "tests"] {
        std::fs::create_dir(tree.path().join("images/x").join(dir)).unwrap();
    }
    let told = said_in(&tree, "images/x");
    assert!(
        told.contains("`outputs/` is not looked at") && told.contains("`test/` is not looked at"),
        "{told}"
    );
}

#[test]
fn directories_that_definitions_use_are_no_strays() {
    let tree = Tree::new();
    let told =
        || render(&strays(tree.path()).into_iter().map(|stray| stray.finding).collect::<Vec<_>>());
    tree.executable("images/lib/tests/helper", "#!/bin/sh\n")
        .write("images/lib/output/base.j2", "")
        .write("images/x/build-vars.yml", MINIMAL);
    assert!(told().contains("images/lib looks like a bundle"), "{}", told());
    std::os::unix::fs::symlink("../lib/tests", tree.path().join("images/x/tests")).unwrap();
    assert_eq!(told(), "");
    std::fs::remove_file(tree.path().join("images/x/tests")).unwrap();
    tree.write(
        "images/x/ansible/site.yml",
        "- hosts: all\n  tasks: [{copy: {src: ../../lib/output/base.j2, dest: /srv}}]\n",
    );
    assert_eq!(told(), "");
}

/// It ran, unchecked, and nothing was said.
#[test]
fn an_empty_list_of_steps_runs_the_playbook() {
    let tree = Tree::new();
    tree.write("images/x/build-vars.yml", &format!("{MINIMAL}steps: []\n"))
        .write("images/x/ansible/bootstrap.yml", PLAY);
    let told = said_in(&tree, "images/x");
    assert!(
        told.contains("2:1: warning: `steps` is empty, so that `ansible/bootstrap.yml` runs"),
        "{told}"
    );
    tree.write("images/x/ansible/bootstrap.yml", "- hosts: all\n  sudo: yes\n");
    assert!(said_in(&tree, "images/x").contains("ansible/bootstrap.yml:2:3: error: `sudo`"));
}
