//! All that is wrong is told in one run, and nothing that is wrong only because of another mistake.
use super::support::Factory;

const GOOD: &str = "bundle:\n  name: x\n  img_base: some-image\n";
const PLAYBOOK: &str = "- hosts: all\n  tasks: []\n";

/// A sound definition but for what is in `vars`.
fn with(vars: &str) -> Factory {
    Factory::new().bundle("images/x", vars).file("images/x/ansible/bootstrap.yml", PLAYBOOK)
}

fn said(factory: &Factory, args: &[&str]) -> String {
    factory.run(args).exits(10).err
}

/// An error in build-vars.yml hid what templates, roles, bases and other definitions have.
#[test]
fn one_error_of_each_kind_is_told_in_one_run() {
    let vars = "bundle:\n  name: x\n  img_base: os/nosuch\nvm_flavour: m1.small\nkeep: many\nkeep: \
        2\nmachine :x\n\
        steps:\n- ansible: ansible/site.yml\n- ansible: ansible/gone.yml\n- script: gone.sh\nvars: \
        {port: 80}\n";
    let factory = Factory::new()
        .bundle("images/x", vars)
        .file(
            "images/x/ansible/site.yml",
            "- hosts: all\n  roles: [nobody]\n  tasks:\n    - \
            include_tasks: lost.yml\n    - sudo: yes\n",
        )
        .file("images/x/output/a.txt.j2", "{{ port }} {{ nope }}\n{{ bundle.nam }}\n")
        .file("images/x/output/b.txt.j2", "{% if %}")
        .file("images/x/output/c.txt.j2", "{{ port | nofilter }} {{ vars.prot }}")
        .file("images/x/tests/a.sh", "no first line\n")
        .bundle("images/y", &GOOD.replace("some-image", "images-of-others"))
        .file("images/y/ansible/bootstrap.yml", PLAYBOOK);
    let kinds = [
        "build-vars.yml:4:1: error: unknown key `vm_flavour`",
        "build-vars.yml:5:7: error: `keep`",
        "build-vars.yml:6:1: error: `keep` is given twice",
        "has its colon on the wrong side",
        "ansible/gone.yml",
        "gone.sh",
        "lost.yml",
        "`sudo`",
        "the role `nobody`",
        "a.txt.j2:1:15: error: `nope` is undefined",
        "a.txt.j2:2:4: error: `bundle.nam` is undefined",
        "b.txt.j2:1:",
        "c.txt.j2:1:11: error: ",
        "the base os/nosuch is not in this tree",
        "`bundle.name` is `x` in images/y",
    ];
    for args in [
        &["validate", "--offline", "images/x"][..],
        &["validate", "--offline"],
        &["plan", "images/x"],
        &["build", "images/x"],
    ] {
        let said = said(&factory, args);
        let missing: Vec<&str> = kinds.into_iter().filter(|kind| !said.contains(kind)).collect();
        assert!(missing.is_empty(), "{args:?} does not tell {missing:?} in\n{said}");
    }
}

/// Settings that cannot be read leave the files of a definition, and those of others.
#[test]
fn what_the_settings_cannot_change_is_told_without_them() {
    let factory = with("bundle: {name: x\n\tkeep: 3\n")
        .file("images/x/output/a.txt.j2", "{{ nope }} {{ bundle.name }}")
        .file("images/x/output/b.txt.j2", "{% if %}")
        .file("images/x/ansible/bootstrap.yml", "- hosts: all\n  sudo: yes\n  tasks: []\n");
    let said = said(&factory, &["validate", "--offline"]);
    assert!(said.contains("b.txt.j2:1:"), "{said}");
    assert!(
        !said.contains("undefined")
            && !said.contains("bootstrap.yml")
            && !said.contains("nothing to do"),
        "{said}"
    );
    let list = with("- a\n- b\n").file("images/x/output/b.txt.j2", "{% if %}");
    list.run(&["validate", "--offline"])
        .exits(10)
        .says("must be a map, not a list")
        .says("b.txt.j2:1:");
}

/// What is wrong only because of another mistake is not told; what is wrong anyway is.
#[test]
fn no_error_follows_from_another() {
    let template = "{{ port }} {{ nope }} {{ bundle.name }}";
    let cases: [(&str, &str, &[&str], &[&str]); 12] = [
        // Variables.
        ("mistyped", "varz: {port: 80}\n", &["`varz`", "`nope` is undefined"], &["`port`"]),
        ("no map", "vars: [port]\n", &["`vars`"], &["undefined"]),
        ("empty", "vars:\nport: 80\n", &["unknown key `port`"], &["undefined"]),
        (
            "within",
            "vars:\n  port: .nan\n  ansible_ssh_args: x\n",
            &["`ansible_ssh_args`"],
            &["undefined"],
        ),
        (
            "elsewhere",
            "templates: {port: 80}\n",
            &["`templates`", "`nope` is undefined"],
            &["`port` is undefined"],
        ),
        (
            "deeper",
            "machine: {vars: {port: 80}}\n",
            &["unknown key `vars`", "`nope` is undefined"],
            &["`port` is undefined"],
        ),
        ("merged", "vars: {port: 80}\n<<: x\n", &["`<<` takes a map"], &["undefined"]),
        ("twice", "vars: {}\nvars: {port: 80}\n", &["`vars` is given twice"], &["undefined"]),
        // Work.
        (
            "steps",
            "vars: {port: 1}\nstepz: [{shell: ls}]\n",
            &["`stepz`", "`nope` is undefined"],
            &["nothing to do"],
        ),
        ("a step", "vars: {port: 1}\nshell: ls\n", &["unknown key `shell`"], &["nothing to do"]),
        (
            "packer",
            "vars: {port: 1}\npacker_file: a.json\n",
            &["`packer_file`"],
            &["nothing to do"],
        ),
        (
            "none",
            "vars: {port: 1}\nkeep: many\n",
            &["`keep`", "`nope` is undefined", "nothing to do"],
            &["`port`"],
        ),
    ];
    for (name, more, told, not) in cases {
        let factory = Factory::new()
            .bundle("images/x", &format!("{GOOD}{more}"))
            .file("images/x/output/a.txt.j2", template);
        let said = said(&factory, &["validate", "--offline"]);
        assert!(
            told.iter().all(|one| said.contains(one)),
            "{name}: not all of {told:?} in\n{said}"
        );
        assert!(!not.iter().any(|one| said.contains(one)), "{name}: one of {not:?} in\n{said}");
    }
}

#[test]
fn a_bundle_that_is_missing_or_elsewhere_leaves_no_second_error() {
    let template = "{{ bundle.name }} {{ bundle.properties.a }}";
    for vars in [
        "keep: 2\n",
        "bundel: {name: x, img_base: i}\n",
        "bundle: {name: x, img_base: i}\nproperties: {a: b}\n",
        "bundle: x\n",
    ] {
        let said = said(
            &with(vars).file("images/x/output/a.txt.j2", template),
            &["validate", "--offline"],
        );
        assert!(!said.contains("undefined"), "{vars}: {said}");
    }
    // In another directory, maybe.
    for path in ["path: ../nowhere\n", "pth: ../shared\n"] {
        let factory = with(&format!("{GOOD}  {path}")).file("images/x/output/a.txt.j2", "{% if %}");
        assert!(!said(&factory, &["validate", "--offline"]).contains("a.txt.j2"));
    }
}

/// A role may lie where a search path would lead that was not understood.
#[test]
fn a_role_is_missed_only_where_all_places_are_known() {
    let play = "- hosts: all\n  roles: [nobody]\n";
    let missed = |steps: &str, more: &[(&str, &str)]| {
        let factory = with(&format!("{GOOD}{steps}")).file("images/x/ansible/bootstrap.yml", play);
        let factory =
            more.iter().fold(factory, |f, (path, text)| f.file(&format!("images/x/{path}"), text));
        said(&factory, &["validate", "--offline"]).contains("the role `nobody`")
    };
    let step = "steps:\n- ansible: ansible/bootstrap.yml\n";
    assert!(missed(&format!("{step}  timeout: soon\n"), &[]));
    assert!(missed("keep: many\n", &[]));
    assert!(!missed(&format!("{step}  enviroment: {{ANSIBLE_ROLES_PATH: shared}}\n"), &[]));
    assert!(!missed(&format!("{step}  env: {{ANSIBLE_ROLES_PATH: [shared]}}\n"), &[]));
    assert!(!missed("stepz: [{shell: ls}]\n", &[]));
    assert!(!missed(step, &[("ansible/requirements.yml", "roles: {nobody: 1}\n")]));
}

/// Ansible is asked about what an error elsewhere cannot have spoilt.
#[test]
fn ansible_is_asked_beside_an_error_in_the_settings() {
    let two = "- hosts: all\n  tasks:\n    - command: ls\n      shell: ls\n";
    let factory = with(&format!("{GOOD}keep: many\n")).file("images/x/ansible/bootstrap.yml", two);
    let ran = factory.run(&["validate"]).exits(10).says("`keep`");
    ran.says("checks the syntax of 1 playbook").says("conflicting action statements");
    // A step whose variables were not understood may name another file.
    let vars = format!("{GOOD}steps:\n- ansible: ansible/bootstrap.yml\n  extra_vars: [a]\n");
    let ran = with(&vars).run(&["validate"]).exits(10);
    assert!(!ran.err.contains("checks the syntax"), "{}", ran.err);
}
