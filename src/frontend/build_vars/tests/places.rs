//! All at once, each at its place; and what is kept as text.
use super::{Tree, said, said_more};

#[test]
fn all_at_once_with_places() {
    let tree = Tree::new();
    tree.write(
        "images/x/build-vars.yml",
        "bundle:
  name: bundle nginx
  img_bsae: y
  properties:
    \u{fc}ber: {a: b}   # columns count characters
    hw_qemu_guest_agent: yes
    os_glance_x: 1
vm_flavor: [small]
keep: '3'
steps:
  - ansible: ansible/bootstrp.yml
  - shell: ls
    tags: [a]
  - script: ../../etc/passwd
    timeout: soon
vm_flavor: other
nginx_port: 80
",
    )
    .write("images/x/ansible/bootstrap.yml", "- hosts: all\n")
    .write("images/x/tests/check.sh", "#!/bin/sh\n");
    insta::assert_snapshot!(super::render(&tree.load("images/x").unwrap_err()), @r#"
        images/x/build-vars.yml:2:9: error: `bundle.name` cannot be `bundle nginx`
            hint: letters, digits, `.`, `_` and `-`; a letter or digit first
        images/x/build-vars.yml:3:3: error: unknown key `img_bsae` in `bundle`
            hint: did you mean `img_base`?
        images/x/build-vars.yml:5:11: error: `bundle.properties.über` must be text, not a map
        images/x/build-vars.yml:6:26: warning: `bundle.properties.hw_qemu_guest_agent` stays the text `yes`; Ansible would have made `True` of it
            hint: quotes make it plain: "yes"
        images/x/build-vars.yml:7:5: error: `os_glance_x` is reserved by Glance
            hint: keys that start with `os_glance_` belong to Glance
        images/x/build-vars.yml:8:12: error: `vm_flavor` must be text, not a list
        images/x/build-vars.yml:9:7: error: `keep` must be a whole number from 1 up, not the text "3"
            hint: without the quotes
        images/x/build-vars.yml:11:14: error: `ansible/bootstrp.yml` does not exist
            hint: did you mean `ansible/bootstrap.yml`?
        images/x/build-vars.yml:13:5: error: `tags` goes with `ansible` only
        images/x/build-vars.yml:14:13: error: `../../etc/passwd` leaves the bundle
            hint: what a bundle needs lies in its directory
        images/x/build-vars.yml:15:14: error: `steps[3].timeout` must be a duration, not `soon`
            hint: like 90s, 10m, 1h30m, 1d, or whole seconds
        images/x/build-vars.yml:16:1: error: `vm_flavor` is given twice
            hint: first given in line 8
        images/x/build-vars.yml:17:1: error: unknown key `nginx_port`
            hint: free variables for templates go under `vars:`
        images/x/tests/check.sh: error: `tests/check.sh` is not executable
            hint: chmod +x tests/check.sh; data of a check goes into a directory below tests/
    "#);
}

#[test]
fn text_stays_text_with_a_warning() {
    insta::assert_snapshot!(said("bundle:\n  name: x\n  img_base: y\n  properties:\n    a: \
        yes\n    b: 1.10\n    c: 0755\n    d: 1_000\n    e: 1:30\n    f: 2018-02-26\n    g: \
        '1.10'\n    h: 1\n    i: |\n      yes\n    j: true\n"), @r#"
        5:8: warning: `bundle.properties.a` stays the text `yes`; Ansible would have made `True` of it
            hint: quotes make it plain: "yes"
        6:8: warning: `bundle.properties.b` stays the text `1.10`; Ansible would have made `1.1` of it
            hint: quotes make it plain: "1.10"
        7:8: warning: `bundle.properties.c` stays the text `0755`; Ansible would have made `493` of it
            hint: quotes make it plain: "0755"
        8:8: warning: `bundle.properties.d` stays the text `1_000`; Ansible would have made `1000` of it
            hint: quotes make it plain: "1_000"
        9:8: warning: `bundle.properties.e` stays the text `1:30`; Ansible would have made `90` of it
            hint: quotes make it plain: "1:30"
        15:8: warning: `bundle.properties.j` stays the text `true`; Ansible would have made `True` of it
            hint: quotes make it plain: "true"
    "#);
    insta::assert_snapshot!(said_more("vm_flavor: 1.10\nbundle_target_name: '{{ bundle.name \
        }}-x'\n"), @r#"
        2:12: warning: `vm_flavor` stays the text `1.10`; Ansible would have made `1.1` of it
            hint: quotes make it plain: "1.10"
        3:21: warning: `bundle_target_name` is taken as it stands: build-vars.yml is not a template
            hint: write the value itself
    "#);
}

#[test]
fn playbooks_are_looked_into() {
    let cases = [
        "- hosts: all\n  tasks:\n   - a\n  - b\n",
        "hosts: all\n",
        "",
        "---\n# nothing\n",
        "- hosts: all\n  vars: {a: \"{{ b }}\"\n",
        "- hosts: all\n  a: !vault x\n  b: 1\n  b: 2\n",
        "- hosts: all\n---\n- hosts: b\n",
    ];
    let mut all = String::new();
    for playbook in cases {
        for steps in ["", "steps: [{ansible: ansible/bootstrap.yml}]\n"] {
            let tree = Tree::new();
            tree.write("images/x/build-vars.yml", &format!("{}{steps}", super::MINIMAL))
                .write("images/x/ansible/bootstrap.yml", playbook);
            let said = super::said_in(&tree, "images/x");
            if steps.is_empty() {
                all.push_str(&format!("{said}\n--\n"));
            } else {
                assert!(
                    all.ends_with(&format!("{said}\n--\n")),
                    "the default playbook is checked like a named one"
                );
            }
        }
    }
    insta::assert_snapshot!(all, @r"
        images/x/ansible/bootstrap.yml:4:3: error: not valid YAML: did not find expected key
        --
        images/x/ansible/bootstrap.yml:1:1: error: a playbook is a list of plays
            hint: it starts with `- hosts: all`
        --
        images/x/ansible/bootstrap.yml: error: this playbook is empty
            hint: a playbook is a list of plays
        --
        images/x/ansible/bootstrap.yml: error: this playbook is empty
            hint: a playbook is a list of plays
        --
        images/x/ansible/bootstrap.yml:3:1: error: not valid YAML: did not find expected ',' or '}'
        --

        --
        images/x/ansible/bootstrap.yml: error: a playbook is one YAML document
            hint: drop the second `---`
        --
    ");
}

#[test]
fn files_stay_in_the_bundle() {
    let tree = Tree::new();
    tree.write("outside/secret", "s")
        .write("images/x/scripts/a.sh", "ls\n")
        .write("images/x/scripts/empty.sh", "")
        .write("images/x/data/f", "f");
    let link = |to: &str, from: &str| {
        std::os::unix::fs::symlink(to, tree.path().join("images/x").join(from)).unwrap()
    };
    link("../../outside/secret", "link");
    link("nowhere", "dangling");
    link("scripts", "inner");
    link("../../outside", "dir");
    link("../../../outside/secret", "data/leak");
    link("../../../outside/secret", "scripts/check");
    std::fs::create_dir(tree.path().join("images/x/tests")).unwrap();
    link("../../../outside/secret", "tests/leak");
    let cases = [
        "script: /etc/passwd",
        "script: ../y/a.sh",
        "script: scripts/../../x/scripts/a.sh",
        "script: link",
        "script: dir/secret",
        "script: dangling",
        "script: scripts",
        "script: scripts/empty.sh",
        "script: scripts/b.sh",
        "script: a.sh",
        "script: ./scripts/../scripts/a.sh",
        "script: inner/a.sh",
        "upload: {src: data, dest: /x}",
        "upload: {src: dir, dest: /x}",
        "upload: {src: scripts/a.sh, dest: /x}",
        "upload: {src: /, dest: /x}",
        "script: dir/../scripts/a.sh",
    ];
    let steps: String = cases.iter().map(|case| format!("- {case}\n")).collect();
    tree.write("images/x/build-vars.yml", &format!("{}steps:\n{steps}", super::MINIMAL));
    insta::assert_snapshot!(super::said_in(&tree, "images/x"), @r"
        3:11: error: `/etc/passwd` is an absolute path
            hint: paths are relative to the bundle's directory
        4:11: error: `../y/a.sh` leaves the bundle
            hint: what a bundle needs lies in its directory
        5:11: error: `scripts/../../x/scripts/a.sh` leaves the bundle
            hint: what a bundle needs lies in its directory
        6:11: error: `link` leads out of the bundle
            hint: a symbolic link in it points elsewhere
        7:11: error: `dir/secret` leads out of the bundle
            hint: a symbolic link in it points elsewhere
        8:11: error: `dangling` is a link to nowhere
        9:11: error: `scripts` is not a file
        10:11: error: `scripts/empty.sh` is empty
        11:11: error: `scripts/b.sh` does not exist
            hint: did you mean `scripts/a.sh`?
        12:11: error: `a.sh` does not exist
            hint: there is `scripts/a.sh`
        15:17: error: `data/leak` leads out of the bundle
            hint: a symbolic link in it points elsewhere
        16:17: error: `dir` leads out of the bundle
            hint: a symbolic link in it points elsewhere
        18:17: error: `/` is an absolute path
            hint: paths are relative to the bundle's directory
        19:11: error: `dir/../scripts/a.sh` leads out of the bundle
            hint: `..` behind a symbolic link goes elsewhere than it reads
        images/x/tests/leak: error: `tests/leak` leads out of the bundle
            hint: a symbolic link in it points elsewhere
    ");
}

/// Findings told the names of files of the host.
#[test]
fn names_behind_a_link_that_leads_out_are_not_told() {
    let (tree, outside) = (super::Tree::new(), super::Tree::new());
    outside
        .write("tests/secret-a", "#!/bin/sh\n")
        .write("output/secret-b.j2", "")
        .write("files/secret-c.sh", "#!/bin/sh\n");
    tree.write(
        "images/x/build-vars.yml",
        &format!("{}steps: [{{script: files/secret-d.sh}}]\n", super::MINIMAL),
    );
    for dir in ["tests", "output", "files"] {
        std::os::unix::fs::symlink(
            outside.path().join(dir),
            tree.path().join("images/x").join(dir),
        )
        .unwrap();
        let told = super::said_in(&tree, "images/x");
        assert!(!told.replace("secret-d", "").contains("secret-"), "{told}");
        assert!(
            told.contains(&format!("images/x/{dir}: error: `{dir}` leads out of the factory tree")),
            "{told}"
        );
    }
}
