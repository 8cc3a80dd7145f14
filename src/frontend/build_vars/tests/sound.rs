//! Sound definitions, and what is read out of them.
use std::time::Duration;

use serde_json::json;

use super::{Tree, paths, said_more, with};
use crate::frontend::build_vars::*;
use crate::frontend::load;

#[test]
fn everything_at_once() {
    let tree = Tree::new();
    tree.write(
        "images/bundle-nginx/build-vars.yml",
        r#"
bundle:
  name: bundle-nginx
  img_base: os/debian-12
  properties: {img_os: Debian, version: "1.10", empty: ""}
bundle_target_name: nginx of today
vm_flavor: 16
test_flavor: small
final_glance_options: "--min-disk 20 --property k=v"
ssh_user: debian
network: net-1
security_groups: [a, b]
floating_network: public
availability_zone: nova
volume: {size: 20G, type: ssd}
machine: {cpus: 4, ram: 2G, disk: 20}
timeouts: {source: 2h, boot: 90, ssh: 2m, step: 1h30m, capture: "10m", upload: 1h}
tags: [web]
visibility: shared
members: [0a1b2c]
keep: 3
tidy: {machine_id: no, logs: false, trim: on, user-ssh: true, schedules: false}
tests: {skip: [dns], timeout: 30s}
vars: {port: 80, mode: 0755, on: yes, text: "80", none: ~, day: 2018-02-26, list: [1.5, {a: b}]}
steps:
  - ansible: ansible/site.yml
    extra_vars: {debug: yes, name: "1"}
    tags: [a, b]
    name: site
    retries: 2
    timeout: 30m
    env: {A: "1", B: b c}
    sudo: true
  - shell: [apt-get update, true]
  - shell: |
      set -x
      ls
  - script: scripts/a.sh
  - upload: {src: files, dest: /srv}
  - reboot: true
"#,
    )
    .write("images/bundle-nginx/ansible/site.yml", "- hosts: all\n  tags: [a, b]\n")
    .write("images/bundle-nginx/scripts/a.sh", "ls\n")
    .write("images/bundle-nginx/files/f", "")
    .write("images/bundle-nginx/output/b.heat.yml.j2", "")
    .write("images/bundle-nginx/output/a.j2", "")
    .write("images/bundle-nginx/output/notes.txt", "")
    .executable("images/bundle-nginx/tests/10-http", "#!/bin/sh\n")
    .write("images/bundle-nginx/tests/data/page", "")
    .write("images/bundle-nginx/tests/README.md", "");
    let loaded = tree.load("images/bundle-nginx").unwrap();
    let warned: Vec<&str> = loaded.warnings.iter().map(|d| d.message.as_str()).collect();
    assert_eq!(
        warned,
        ["without it the check `machine-id-unique` fails", "`sudo` does nothing for a playbook"]
    );
    let b = loaded.bundle;
    let home = tree.path().canonicalize().unwrap();
    assert_eq!((&b.tree, &b.dir), (&home, &home.join("images/bundle-nginx")));
    assert_eq!(
        (b.label.as_str(), b.kind, b.name.as_str()),
        ("images/bundle-nginx", Kind::Image, "bundle-nginx")
    );
    assert_eq!((&b.base, &b.source), (&Some(Base::Os("debian-12".into())), &None));
    assert_eq!(
        b.properties,
        [("empty", ""), ("img_os", "Debian"), ("version", "1.10")]
            .map(|(k, v)| (k.into(), v.into()))
            .into()
    );
    assert_eq!(
        (b.target_name.as_deref(), b.flavor.as_deref(), b.test_flavor.as_deref()),
        (Some("nginx of today"), Some("16"), Some("small"))
    );
    assert_eq!((b.glance.min_disk_gib, b.glance.properties.len()), (Some(20), 1));
    assert_eq!(
        (b.ssh_user.as_deref(), b.floating_network.as_deref(), b.availability_zone.as_deref()),
        (Some("debian"), Some("public"), Some("nova"))
    );
    assert_eq!(
        (b.network, b.security_groups),
        (vec!["net-1".to_owned()], vec!["a".to_owned(), "b".to_owned()])
    );
    assert_eq!(b.volume, Some(Volume { size_gib: Some(20), kind: Some("ssd".into()), zone: None }));
    assert_eq!(
        b.machine,
        MachineRequest { cpus: Some(4), ram_mib: Some(2048), disk_gib: Some(20) }
    );
    let s = |n| Some(Duration::from_secs(n));
    assert_eq!(
        b.timeouts,
        Timeouts {
            source: s(7200),
            boot: s(90),
            ssh: s(120),
            step: s(5400),
            capture: s(600),
            upload: s(3600)
        }
    );
    assert_eq!(
        (b.tags, b.visibility, b.members, b.keep),
        (vec!["web".to_owned()], Some(Visibility::Shared), vec!["0a1b2c".to_owned()], Some(3))
    );
    assert_eq!(
        (b.tidy_off.join(" "), b.tidy_on.join(" ")),
        ("machine-id logs".into(), "user-ssh".into())
    );
    assert_eq!(
        b.tests,
        Tests {
            files: paths(&["tests/10-http"]),
            skip: vec!["dns".into()],
            timeout: s(30),
            ..Default::default()
        }
    );
    assert_eq!(b.templates, paths(&["output/a.j2", "output/b.heat.yml.j2"]));
    assert!(!b.has_bootstrap);
    let vars = json!({"port": 80, "mode": 493, "on": true, "text": "80", "none": null,
        "day": "2018-02-26", "list": [1.5, {"a": "b"}]});
    assert_eq!(serde_json::Value::Object(b.vars), vars);
    assert_eq!(b.steps.len(), 6);
    let site = &b.steps[0];
    assert_eq!(
        (site.name.as_deref(), site.retries, site.timeout, site.sudo),
        (Some("site"), 2, s(1800), true)
    );
    assert_eq!(site.env, [("A", "1"), ("B", "b c")].map(|(k, v)| (k.into(), v.into())).into());
    let extra_vars = json!({"debug": true, "name": "1"}).as_object().unwrap().clone();
    assert_eq!(
        site.action,
        StepKind::Ansible {
            playbook: "ansible/site.yml".into(),
            extra_vars,
            tags: vec!["a".into(), "b".into()],
            local: false,
            plain: false
        }
    );
    let plain = |action| Step {
        name: None,
        action,
        timeout: None,
        retries: 0,
        env: Default::default(),
        sudo: false,
        fresh: None,
    };
    assert_eq!(b.steps[1], plain(StepKind::Shell { text: "apt-get update\ntrue".into() }));
    assert_eq!(b.steps[2], plain(StepKind::Shell { text: "set -x\nls\n".into() }));
    assert_eq!(b.steps[3], plain(StepKind::Script { path: "scripts/a.sh".into() }));
    let (src, dest) = ("files".into(), "/srv".into());
    assert_eq!(b.steps[4], plain(StepKind::Upload { src, dest, mode: None }));
    assert_eq!(b.steps[5], plain(StepKind::Reboot));
    let place = |key: &str| {
        let place = b.locations.of_key(key).unwrap();
        (place.line, place.column)
    };
    assert_eq!(
        (place("bundle.img_base"), place("keep"), place("steps[1].retries")),
        ((4, 3), (21, 1), (30, 5))
    );
    let written = &b.as_written;
    assert_eq!(
        written["bundle"],
        json!({"name": "bundle-nginx", "img_base": "os/debian-12",
            "properties": {"img_os": "Debian", "version": "1.10", "empty": ""}})
    );
    assert_eq!(
        (&written["vm_flavor"], &written["keep"], &written["machine"]),
        (&json!("16"), &json!(3), &json!({"cpus": 4, "ram": "2G", "disk": 20}))
    );
    assert_eq!(
        (&written["vars"], &written["tidy"]["trim"], &written["timeouts"]["boot"]),
        (&vars, &json!(true), &json!(90))
    );
    assert_eq!(
        (&written["steps"][0]["retries"], &written["steps"][0]["extra_vars"]["debug"]),
        (&json!(2), &json!(true))
    );
    assert_eq!(
        (&written["steps"][1]["shell"], &written["steps"][5]["reboot"]),
        (&json!(["apt-get update", "true"]), &json!(true))
    );
}

#[test]
fn the_smallest_bundle() {
    let b = with("");
    assert_eq!(
        (b.base, b.steps.len(), b.has_bootstrap, b.keep),
        (Some(Base::Image("y".into())), 0, false, None)
    );
    assert_eq!((b.tests, b.timeouts, b.machine, b.glance), Default::default());
}

#[test]
fn text_kept_in_what_templates_see() {
    let tree = Tree::new();
    tree.write(
        "images/x/build-vars.yml",
        "bundle: {name: x, img_base: y, properties: {a: 1.10, b: yes, c: 0755, d: 1_000}}\n",
    );
    let b = tree.bundle("images/x");
    assert_eq!(
        b.as_written["bundle"]["properties"],
        json!({"a": "1.10", "b": "yes", "c": "0755", "d": "1_000"})
    );
    assert_eq!(b.properties["a"], "1.10");
}

#[test]
fn where_a_bundle_lives() {
    let tree = Tree::new();
    let sourced = "bundle: {name: d}\nsource: {script: make.sh}\n";
    for dir in ["os/d", "far/os/d", "far/d"] {
        tree.write(&format!("{dir}/build-vars.yml"), sourced)
            .executable(&format!("{dir}/make.sh"), "#!/bin/sh\n");
    }
    tree.write("far/plain/build-vars.yml", super::MINIMAL)
        .write("far/os/based/build-vars.yml", super::MINIMAL);
    for (dir, kind) in [
        ("os/d", Kind::Os),
        ("far/os/d", Kind::Os),
        ("far/d", Kind::Os),
        ("far/plain", Kind::Image),
        ("far/os/based", Kind::Os),
    ] {
        assert_eq!(tree.bundle(dir).kind, kind, "{dir}");
    }
    assert_eq!(tree.bundle("os/d").source, Some(Source::Script("make.sh".into())));
    let other = Tree::new();
    let far = tree.path().join("far/plain");
    assert_eq!(load(other.path(), &far).unwrap().bundle.label, far.display().to_string());
    tree.write("images/moved/build-vars.yml", "bundle: {name: x, img_base: y, path: ../shared}\n")
        .write("images/shared/output/a.j2", "");
    tree.write(
        "images/tree/build-vars.yml",
        "bundle: {name: x, img_base: y, path: images/shared}\n",
    );
    for dir in ["images/moved", "images/tree"] {
        let b = tree.bundle(dir);
        assert_eq!(
            (b.label.as_str(), b.dir.file_name().unwrap(), b.templates.len()),
            (dir, "shared".as_ref(), 1)
        );
    }
}

/// `../out/images/z`, named from within a tree, was told as a link of that tree's.
#[test]
fn a_path_upwards_is_no_link() {
    let (tree, other) = (Tree::new(), Tree::new());
    tree.write("images/x/build-vars.yml", super::MINIMAL);
    other.write("images/z/build-vars.yml", super::MINIMAL);
    let name = other.path().file_name().unwrap();
    let up =
        tree.path().canonicalize().unwrap().join("images/x/../../..").join(name).join("images/z");
    // Both lie in the directory for temporary files.
    assert!(up.is_dir(), "{up:?}");
    // From the tree's root that path may lead elsewhere.
    let whole = up.canonicalize().unwrap().display().to_string();
    assert_eq!(load(tree.path(), &up).unwrap().bundle.label, whole);
    let around = tree.path().canonicalize().unwrap().join("images/../images/x");
    assert_eq!(load(tree.path(), &around).unwrap().bundle.label, "images/x");
    for (link, dir) in [("lnk", "images/lnk"), ("deep", "images/deep/z")] {
        let to =
            if link == "lnk" { other.path().join("images/z") } else { other.path().join("images") };
        std::os::unix::fs::symlink(to, tree.path().join("images").join(link)).unwrap();
        let told = super::render(&tree.load(dir).unwrap_err());
        assert!(told.contains("is a link that leads out of the tree"), "{told}");
    }
}

/// A directory called `a<LF>[00:01] publish done` forged a line of every log.
#[test]
fn a_name_with_control_characters_is_refused() {
    let tree = Tree::new();
    for name in ["a\n[00:01] publish done", "b\r", "c\u{1b}[2J", "d\u{85}e"] {
        tree.write(&format!("images/{name}/build-vars.yml"), super::MINIMAL);
        let told = super::render(&tree.load(&format!("images/{name}")).unwrap_err());
        assert!(
            told.contains("error: the name of this directory has a control character in it"),
            "{told}"
        );
        assert!(!told.contains(name) && told.lines().count() == 2, "{told}");
    }
}

#[test]
fn no_settings() {
    let tree = Tree::new();
    tree.write("images/x/build-vars.yaml", "").write("images/y/a", "");
    let all: Vec<String> = ["images/x", "images/y", "images/z"]
        .map(|dir| super::render(&tree.load(dir).unwrap_err()))
        .to_vec();
    insta::assert_snapshot!(all.join("\n"), @r"
        images/x/build-vars.yml: error: images/x has no build-vars.yml
            hint: rename build-vars.yaml to build-vars.yml
        images/y/build-vars.yml: error: images/y has no build-vars.yml
            hint: it holds at least `bundle: {name: ..., img_base: ...}`
        images/z/build-vars.yml: error: there is no directory images/z
    ");
}

#[test]
fn checks_must_be_executable() {
    let tree = Tree::new();
    tree.write("images/x/build-vars.yml", super::MINIMAL)
        .write("images/x/tests/a", "ls")
        .executable("images/x/tests/b", "ls");
    insta::assert_snapshot!(super::said_in(&tree, "images/x"), @r"
        images/x/tests/a: error: `tests/a` is not executable
            hint: chmod +x tests/a; data of a check goes into a directory below tests/
    ");
    assert_eq!(said_more("tests: {timeout: 5s}\n"), "");
}

/// Ansible ends at once where the file is not there, and nothing said so.
#[test]
fn the_file_with_the_password_of_a_vault() {
    let tree = Tree::new();
    tree.write("images/x/ansible/bootstrap.yml", "- hosts: all\n");
    tree.write("images/x/there", "s3cret\n");
    tree.write("images/x/conf/near", "s3cret\n");
    let of = |cfg: &str, vars: &str, env: &[(&str, &str)]| {
        tree.write("images/x/ansible.cfg", cfg);
        tree.write("images/x/build-vars.yml", &format!("bundle: {{name: x, img_base: b}}\n{vars}"));
        let bundle = load(tree.path(), &tree.path().join("images/x")).unwrap().bundle;
        let env =
            env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        password(&bundle, &env)
            .map(|p| format!("{} {} {} {}", p.path.display(), p.place, p.is_there, p.of_config))
    };
    let cfg = |name: &str| format!("[defaults]\nvault_password_file = {name}\n");
    for (name, expected) in [
        ("~/.vault", "~/.vault images/x/ansible.cfg:2:1 false true"),
        ("'gone'", "gone images/x/ansible.cfg:2:1 false true"),
        ("./there", "there images/x/ansible.cfg:2:1 true true"),
        ("{{CWD}}/there", "there images/x/ansible.cfg:2:1 true true"),
        ("/srv/v", "/srv/v images/x/ansible.cfg:2:1 false true"),
        ("../v", "../v images/x/ansible.cfg:2:1 false true"),
    ] {
        assert_eq!(of(&cfg(name), "", &[]).as_deref(), Some(expected), "{name}");
    }
    for name in ["", "$HOME/x", "{{ x }}"] {
        assert_eq!(of(&cfg(name), "", &[]), None, "{name}");
    }
    assert_eq!(of("[other]\nvault_password_file = x\n", "", &[]), None);
    // Of the environment it is relative to the bundle's directory, where Ansible runs.
    let named = of(&cfg("gone"), "", &[("ANSIBLE_VAULT_PASSWORD_FILE", "conf/near")]);
    assert!(
        named.is_some_and(|said| said.starts_with("conf/near ") && said.ends_with(" true false"))
    );
    assert_eq!(of(&cfg("gone"), "pass_env: [ANSIBLE_VAULT_PASSWORD_FILE]\n", &[]), None);
}
