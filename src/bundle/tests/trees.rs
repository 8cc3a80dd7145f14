//! Bundles in the tree, by name; and bundles on bundles.
use std::path::Path;

use super::{Tree, render};
use crate::bundle::{all, base_of, check_bases, find, find_tree};

fn tree() -> Tree {
    let tree = Tree::new();
    for dir in ["images/nginx", "images/lamp", "images/both", "os/debian-12", "os/both", "images/target/nginx"] {
        tree.write(&format!("{dir}/build-vars.yml"), super::MINIMAL);
    }
    tree.write("images/no-settings/a", "").write("images/target/build-vars.yml", "").write("apart/b/build-vars.yml", super::MINIMAL);
    tree
}

#[test]
fn finds_by_name_and_path() {
    let tree = tree();
    let home = tree.path();
    let apart = home.join("apart/b");
    for (name, dir) in [
        ("nginx", "images/nginx"),
        ("debian-12", "os/debian-12"),
        ("images/nginx", "images/nginx"),
        ("images/both", "images/both"),
        ("./os/both/", "os/both"),
        ("no-settings", "images/no-settings"),
        (apart.to_str().unwrap(), "apart/b"),
        (apart.join("build-vars.yml").to_str().unwrap(), "apart/b"),
    ] {
        assert_eq!(find(home, name).unwrap(), home.join(dir), "{name}");
    }
    let names = ["both", "ngnix", "images/lmap", "os/nginx", "zzz", "target", "images/target", "", "/"];
    let said: Vec<String> = names[..names.len() - 2].iter().map(|name| find(home, name).unwrap_err().to_string()).collect();
    insta::assert_snapshot!(said.join("\n"), @r"
        error: `both` is both images/both and os/both
            hint: give it with its directory
        error: there is no bundle `ngnix`
            hint: did you mean images/nginx? there are images/both, images/lamp, images/nginx, os/both, os/debian-12
        error: there is no bundle `images/lmap`
            hint: did you mean images/lamp? there are images/both, images/lamp, images/nginx, os/both, os/debian-12
        error: there is no bundle `os/nginx`
            hint: did you mean images/nginx? there are images/both, images/lamp, images/nginx, os/both, os/debian-12
        error: there is no bundle `zzz`
            hint: there are images/both, images/lamp, images/nginx, os/both, os/debian-12
        error: there is no bundle `target`
            hint: there are images/both, images/lamp, images/nginx, os/both, os/debian-12
        error: there is no bundle `images/target`
            hint: there are images/both, images/lamp, images/nginx, os/both, os/debian-12
    ");
    let empty = Tree::new();
    assert!(find(empty.path(), "x").unwrap_err().to_string().contains("neither images/ nor os/ of"));
    for n in 0..20 {
        empty.write(&format!("images/b{n:02}/build-vars.yml"), "");
    }
    assert!(find(empty.path(), "zzzzzz").unwrap_err().to_string().ends_with("images/b11 and 8 more"));
}

#[test]
fn lists_what_is_there() {
    let tree = tree();
    let found: Vec<_> = all(tree.path()).iter().map(|dir| dir.strip_prefix(tree.path()).unwrap().display().to_string()).collect();
    assert_eq!(found, ["images/both", "images/lamp", "images/nginx", "os/both", "os/debian-12"]);
    assert_eq!(all(Path::new("/nonexistent")), Vec::<std::path::PathBuf>::new());
    assert_eq!(find_tree(&tree.path().join("images/nginx")).as_deref(), Some(tree.path()));
    assert_eq!(find_tree(tree.path()).as_deref(), Some(tree.path()));
}

fn bases(pairs: &[(&str, &str, &str)]) -> String {
    let tree = Tree::new();
    for (dir, name, base) in pairs {
        tree.write(&format!("{dir}/build-vars.yml"), &format!("bundle:\n  name: {name}\n  img_base: {base}\n"));
    }
    let bundles: Vec<_> = pairs.iter().map(|(dir, ..)| tree.bundle(dir)).collect();
    let bundles: Vec<_> = bundles.iter().collect();
    for bundle in &bundles {
        if let Some(dir) = base_of(tree.path(), bundle) {
            assert!(dir.is_dir());
        }
    }
    render(&check_bases(&bundles))
}

#[test]
fn bases_that_are_missing_or_run_in_circles() {
    assert_eq!(bases(&[("images/a", "a", "os/d"), ("os/d", "d", "some-image"), ("images/b", "b", "a")]), "");
    // Its own name is the cloud's image of that name.
    assert_eq!(bases(&[("os/debian", "debian", "debian")]), "");
    let said = [
        bases(&[("images/a", "a", "os/debain"), ("os/debian", "d", "x")]),
        bases(&[("images/a", "a", "os/d")]),
        bases(&[("os/d", "d", "os/d")]),
        // Through a family name and through the tree, with a tail that runs into the circle, and a second circle.
        bases(&[
            ("images/z", "z", "b"),
            ("images/b", "b", "os/c"),
            ("images/a", "a", "b"),
            ("os/c", "c", "a"),
            ("os/p", "p", "os/q"),
            ("os/q", "q", "os/p"),
        ]),
    ];
    insta::assert_snapshot!(said.join("\n--\n"), @r"
        images/a/build-vars.yml:3:3: error: the base os/debain is not in this tree
            hint: did you mean os/debian?
        --
        images/a/build-vars.yml:3:3: error: the base os/d is not in this tree
            hint: os/ holds no definition at all
        --
        os/d/build-vars.yml:3:3: error: bases run in a circle: os/d -> os/d
            hint: one of them needs a base that is already there
        --
        images/a/build-vars.yml:3:3: error: bases run in a circle: images/a -> images/b -> os/c -> images/a
            hint: one of them needs a base that is already there
        os/p/build-vars.yml:3:3: error: bases run in a circle: os/p -> os/q -> os/p
            hint: one of them needs a base that is already there
    ");
}

/// Not a test of time: prints how long 200 bundles take (`cargo test --release -- --ignored --nocapture two_hundred`).
#[test]
#[ignore = "prints a figure"]
fn two_hundred_bundles() {
    let tree = Tree::new();
    for n in 0..200 {
        let dir = format!("images/b{n:03}");
        let vars: String = (0..40).map(|v| format!("  var_{v}: {{a: {v}, b: [x, y, \"z\"]}}\n")).collect();
        tree.write(
            &format!("{dir}/build-vars.yml"),
            &format!("bundle:\n  name: b{n}\n  img_base: os/d\n  properties: {{a: b, c: \"1\"}}\nsteps:\n- ansible: ansible/bootstrap.yml\n- shell: ls\n- script: a.sh\nvars:\n{vars}"),
        )
        .write(&format!("{dir}/ansible/bootstrap.yml"), &"- hosts: all\n  tasks:\n    - apt: {name: nginx}\n".repeat(20))
        .write(&format!("{dir}/a.sh"), "ls\n")
        .write(&format!("{dir}/output/a.heat.yml.j2"), "");
    }
    let start = std::time::Instant::now();
    let bundles: Vec<_> = all(tree.path()).iter().map(|dir| super::super::load(tree.path(), dir).unwrap().bundle).collect();
    println!("{} bundles in {:?}", bundles.len(), start.elapsed());
}
