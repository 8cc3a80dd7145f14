//! Bundles in the tree, by name; and bundles on bundles.
use std::path::Path;

use super::{Tree, render};
use crate::frontend::build_vars::{check_bases, check_families};
use crate::frontend::{all, base_of, find, find_tree, load};

fn tree() -> Tree {
    let tree = Tree::new();
    for dir in [
        "images/nginx",
        "images/lamp",
        "images/both",
        "os/debian-12",
        "os/both",
        "images/target/nginx",
    ] {
        tree.write(&format!("{dir}/build-vars.yml"), super::MINIMAL);
    }
    tree.write("images/no-settings/a", "")
        .write("images/target/build-vars.yml", "")
        .write("apart/b/build-vars.yml", super::MINIMAL);
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
    let names =
        ["both", "ngnix", "images/lmap", "os/nginx", "zzz", "target", "images/target", "", "/"];
    let said: Vec<String> = names[..names.len() - 2]
        .iter()
        .map(|name| find(home, name).unwrap_err().to_string())
        .collect();
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
    assert!(
        find(empty.path(), "x").unwrap_err().to_string().contains("neither images/ nor os/ of")
    );
    for n in 0..20 {
        empty.write(&format!("images/b{n:02}/build-vars.yml"), "");
    }
    assert!(
        find(empty.path(), "zzzzzz").unwrap_err().to_string().ends_with("images/b11 and 8 more")
    );
}

#[test]
fn lists_what_is_there() {
    let tree = tree();
    let found: Vec<_> = all(tree.path())
        .iter()
        .map(|dir| dir.strip_prefix(tree.path()).unwrap().display().to_string())
        .collect();
    assert_eq!(found, ["images/both", "images/lamp", "images/nginx", "os/both", "os/debian-12"]);
    assert_eq!(all(Path::new("/nonexistent")), Vec::<std::path::PathBuf>::new());
    assert_eq!(find_tree(&tree.path().join("images/nginx")).as_deref(), Some(tree.path()));
    assert_eq!(find_tree(tree.path()).as_deref(), Some(tree.path()));
}

fn bases(pairs: &[(&str, &str, &str)]) -> String {
    let tree = Tree::new();
    for (dir, name, base) in pairs {
        tree.write(
            &format!("{dir}/build-vars.yml"),
            &format!("bundle:\n  name: {name}\n  img_base: {base}\n"),
        );
    }
    let bundles: Vec<_> = pairs.iter().map(|(dir, ..)| tree.bundle(dir)).collect();
    let bundles: Vec<_> = bundles.iter().collect();
    for bundle in &bundles {
        if let Some(dir) = base_of(tree.path(), bundle) {
            assert!(dir.is_dir());
        }
    }
    render(&check_bases(&bundles).into_iter().map(|(_, finding)| finding).collect::<Vec<_>>())
}

#[test]
fn a_directory_in_the_place_of_an_image_is_told() {
    let told = bases(&[("images/a", "a", "images/b"), ("images/b", "web", "x")]);
    assert!(
        told.contains(
            "warning: `images/b` is taken for the name of an image: images/b makes the family `web`"
        ),
        "{told}"
    );
    assert!(told.ends_with("hint: `img_base: web`"), "{told}");
    assert_eq!(bases(&[("images/a", "a", "images/c"), ("images/b", "web", "x")]), "");
    let tree = Tree::new();
    let of = |dir: &str, name: &str, base: &str| {
        tree.write(
            &format!("{dir}/build-vars.yml"),
            &format!("bundle: {{name: {name}, img_base: {base}}}\n"),
        );
        tree.bundle(dir)
    };
    let all = [
        of("images/readme", "web", "x"),
        of("images/a", "a", "web"),
        of("images/b", "b", "readme"),
        of("images/c", "c", "x"),
    ];
    let all: Vec<_> = all.iter().collect();
    let maker =
        |at: usize| crate::frontend::build_vars::maker(&all, all[at]).map(|maker| maker.label);
    assert_eq!(
        [maker(0), maker(1), maker(2), maker(3)],
        [None, Some("images/readme".into()), Some("images/readme".into()), None]
    );
}

#[test]
fn bases_that_are_missing_or_run_in_circles() {
    assert_eq!(
        bases(&[("images/a", "a", "os/d"), ("os/d", "d", "some-image"), ("images/b", "b", "a")]),
        ""
    );
    // Its own name is the cloud's image of that name.
    assert_eq!(bases(&[("os/debian", "debian", "debian")]), "");
    let said = [
        bases(&[("images/a", "a", "os/debain"), ("os/debian", "d", "x")]),
        bases(&[("images/a", "a", "os/d")]),
        bases(&[("os/d", "d", "os/d")]),
        // Through a family name and through the tree, with a tail that runs into the circle, and a
        // second circle.
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

/// Not a test of time: prints how long 200 bundles take (`cargo test --release -- --ignored
/// --nocapture two_hundred`).
#[test]
#[ignore = "prints a figure"]
fn two_hundred_bundles() {
    let tree = Tree::new();
    for n in 0..200 {
        let dir = format!("images/b{n:03}");
        let vars: String =
            (0..40).map(|v| format!("  var_{v}: {{a: {v}, b: [x, y, \"z\"]}}\n")).collect();
        tree.write(
            &format!("{dir}/build-vars.yml"),
            &format!(
                "bundle:\n  name: b{n}\n  img_base: os/d\n  properties: {{a: b, c: \
                \"1\"}}\nsteps:\n- ansible: ansible/bootstrap.yml\n- shell: ls\n- script: \
                a.sh\nvars:\n{vars}"
            ),
        )
        .write(
            &format!("{dir}/ansible/bootstrap.yml"),
            &"- hosts: all\n  tasks:\n    - apt: \
            {name: nginx}\n"
                .repeat(20),
        )
        .write(&format!("{dir}/a.sh"), "ls\n")
        .write(&format!("{dir}/output/a.heat.yml.j2"), "");
    }
    let start = std::time::Instant::now();
    let bundles: Vec<_> =
        all(tree.path()).iter().map(|dir| load(tree.path(), dir).unwrap().bundle).collect();
    println!("{} bundles in {:?}", bundles.len(), start.elapsed());
}

fn families(tree: &Tree, dirs: &[&str]) -> String {
    let bundles: Vec<_> = dirs.iter().map(|dir| tree.bundle(dir)).collect();
    render(
        &check_families(&bundles.iter().collect::<Vec<_>>())
            .into_iter()
            .map(|(_, finding)| finding)
            .collect::<Vec<_>>(),
    )
}

#[test]
fn a_family_has_one_definition() {
    let tree = Tree::new();
    for (dir, name) in [
        ("images/a", "web"),
        ("images/b", "web"),
        ("os/c", "web"),
        ("images/d", "Web"),
        ("apart/e", "web"),
        ("images/f", "web"),
    ] {
        let target = if dir == "images/f" { "bundle_target_name: own\n" } else { "" };
        tree.write(
            &format!("{dir}/build-vars.yml"),
            &format!("bundle:\n  name: {name}\n  img_base: i\n{target}"),
        );
    }
    assert_eq!(families(&tree, &["images/a", "images/d"]), "");
    // One that lies deeper in the tree counts; a target name makes no family.
    let said = [
        families(&tree, &["images/b", "images/a", "images/d"]),
        families(&tree, &["os/c", "images/f", "apart/e"]),
    ];
    insta::assert_snapshot!(said.join("\n--\n"), @r"
        images/a/build-vars.yml:2:3: error: `bundle.name` is `web` in images/b, too: a family has one maker, and they would prune each other's images
            hint: give each a name of its own; the other is at images/b/build-vars.yml:2:3
        images/b/build-vars.yml:2:3: error: `bundle.name` is `web` in images/a, too: a family has one maker, and they would prune each other's images
            hint: give each a name of its own; the other is at images/a/build-vars.yml:2:3
        --
        apart/e/build-vars.yml:2:3: error: `bundle.name` is `web` in images/f, os/c, too: a family has one maker, and they would prune each other's images
            hint: give each a name of its own; the others are at images/f/build-vars.yml:2:3, os/c/build-vars.yml:2:3
        images/f/build-vars.yml:2:3: error: `bundle.name` is `web` in apart/e, os/c, too: a family has one maker, and they would prune each other's images
            hint: give each a name of its own; the others are at apart/e/build-vars.yml:2:3, os/c/build-vars.yml:2:3
        os/c/build-vars.yml:2:3: error: `bundle.name` is `web` in apart/e, images/f, too: a family has one maker, and they would prune each other's images
            hint: give each a name of its own; the others are at apart/e/build-vars.yml:2:3, images/f/build-vars.yml:2:3
    ");
}

/// An exact name comes before a family: nobody could name that family. And a base may be named by
/// the one name that a bundle gives its image.
#[test]
fn a_target_name_is_no_other_definitions_family() {
    let tree = Tree::new();
    for (dir, vars) in [
        ("images/a", "bundle:\n  name: a\n  img_base: i\nbundle_target_name: web\n"),
        ("images/b", "bundle:\n  name: b\n  img_base: i\nbundle_target_name: b\n"),
        ("images/web", "bundle:\n  name: web\n  img_base: golden\n"),
        ("os/g", "bundle:\n  name: g\n  img_base: golden\nbundle_target_name: golden\n"),
    ] {
        tree.write(&format!("{dir}/build-vars.yml"), vars);
    }
    assert_eq!(families(&tree, &["images/a", "images/b", "os/g"]), "", "its own is no other's");
    insta::assert_snapshot!(families(&tree, &["images/a", "images/b", "images/web"]), @r"
        images/a/build-vars.yml:4:1: error: `bundle_target_name` is `web`, the family of images/web: that name would mean this one image
            hint: choose another name; the family is at images/web/build-vars.yml:2:3
    ");
    let (web, golden) = (tree.bundle("images/web"), tree.bundle("os/g"));
    let both = [&web, &golden];
    assert_eq!(super::super::base_among(&both, &web), Some(1));
    assert_eq!(super::super::base_among(&both, &golden), None, "an image of the cloud");
}

/// Reached through links or twice, a directory is one definition; a build-vars.yml that is linked
/// into another is two.
#[test]
fn one_directory_is_one_definition() {
    use std::os::unix::fs::symlink;
    let tree = Tree::new();
    tree.write("images/b/build-vars.yml", super::MINIMAL)
        .write("images/c/ansible/bootstrap.yml", "[]");
    symlink("b", tree.path().join("images/a")).unwrap();
    symlink(tree.path().join("images"), tree.path().join("os")).unwrap();
    assert_eq!(families(&tree, &["images/a", "images/b", "os/b", "images/a"]), "");
    symlink("../b/build-vars.yml", tree.path().join("images/c/build-vars.yml")).unwrap();
    assert_eq!(
        families(&tree, &["images/a", "images/c"]).matches("error: `bundle.name` is").count(),
        2
    );
    // Named by a path from elsewhere, it is a way to build the tree's family.
    let elsewhere = Tree::new();
    elsewhere.write("images/b/build-vars.yml", super::MINIMAL);
    let outside = load(tree.path(), &elsewhere.path().join("images/b")).unwrap().bundle;
    assert!(check_families(&[&tree.bundle("images/b"), &outside]).is_empty());
}
