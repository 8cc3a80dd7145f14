//! What is wrong with several definitions of a tree together.
use super::support::Factory;

const PLAYBOOK: &str = "- hosts: all\n  tasks: []\n";

fn with(factory: Factory, dir: &str, vars: &str) -> Factory {
    factory.bundle(dir, vars).file(&format!("{dir}/ansible/bootstrap.yml"), PLAYBOOK)
}

fn web(dir: &str, factory: Factory) -> Factory {
    with(factory, dir, "bundle:\n  name: web\n  img_base: some-image\nkeep: 1\n")
}

/// Both published into one family, where each hid the other's images, and a prune by the first
/// one's `keep` deleted them.
#[test]
fn two_definitions_of_one_family_are_refused() {
    let factory = web("images/b", web("images/a", Factory::new()));
    let factory = with(factory, "images/c", "bundle: {name: c, img_base: some-image}\n");
    let (a, b) = ("images/a/build-vars.yml:2:3", "images/b/build-vars.yml:2:3");
    let said = factory.run(&["validate", "--offline"]).exits(10).err;
    for (at, other) in [(a, b), (b, a)] {
        let (_, rest) = said
            .split_once(&format!("{at}: error: `bundle.name` is `web`"))
            .unwrap_or_else(|| panic!("{said}"));
        assert!(rest.lines().nth(1).unwrap().ends_with(other), "{said}");
    }
    // A build that was asked for is on record, and that is all.
    let listing = || {
        let mut all = factory.listing();
        all.retain(|(path, _)| {
            let path = path.to_string_lossy();
            let dirs = ["", "tree", "tree/images"];
            !path.contains("/target") && !path.ends_with(".latest.log") && !dirs.contains(&&*path)
        });
        all
    };
    let before = listing();
    let commands = [
        &["validate", "--offline", "b"][..],
        &["plan", "images/b"],
        &["build", "./images/b"],
        &["--set", "keep=2", "build", "b"],
    ];
    for command in commands {
        let said = factory.run(command).exits(10).says(b).says(&format!("the other is at {a}")).err;
        assert!(!said.contains(&format!("{a}: error")), "only what is named is wrong: {said}");
    }
    factory
        .run(&["build", "--stale"])
        .exits(10)
        .says(&format!("{a}: error"))
        .says(&format!("{b}: error"));
    factory
        .run(&["image", "prune"])
        .exits(10)
        .says(&format!("{a}: error"))
        .says(&format!("{b}: error"));
    assert_eq!(before, listing(), "nothing was created");
    // Those that are not of it go on; so does one that gets a name of its own.
    factory.run(&["validate", "--offline", "images/c"]).exits(0);
    factory.run(&["--set", "bundle.name=mine", "validate", "--offline", "images/b"]).exits(0);
    factory
        .run(&["--set", "bundle.name=web", "validate", "--offline", "images/c"])
        .exits(10)
        .says(a)
        .says(b);
}

/// What `--set` says is said to each that is named. Its finding was sorted out with those of files
/// that nobody had named, and the place of the other was the same `--set`.
#[test]
fn one_name_on_the_command_line_is_not_for_several() {
    let one = |factory, name: &str| {
        with(
            factory,
            &format!("images/{name}"),
            &format!("bundle: {{name: {name}, img_base: some-image}}\n"),
        )
    };
    let factory = one(one(Factory::new(), "a"), "c");
    let hint = "give `--set bundle.name` to one definition at a time, and a name that is free; the \
        other is images/a";
    for set in ["bundle.name=zz", "bundle={name: zz, img_base: y}"] {
        for command in [
            &["validate", "--offline", "a", "c"][..],
            &["build", "images/a", "images/c"],
            &["build", "--stale"],
        ] {
            let ran = factory.run(&[&["--set", set], command].concat()).exits(10);
            let said = ran.says(": error: `bundle.name` is `zz` in images/c, too").says(hint).err;
            assert!(!said.contains("=zz"), "{said}");
        }
    }
    for command in [&["validate", "--offline", "c"][..], &["plan", "images/c"], &["build", "c"]] {
        let ran = factory.run(&[&["--set", "bundle.name=a"], command].concat()).exits(10);
        ran.says("--set bundle.name: error: `bundle.name` is `a` in images/a, too")
            .says("images/a/build-vars.yml:1:10");
    }
    factory.run(&["--set", "bundle.name=c", "validate", "--offline", "c"]).exits(0);
}

/// Whichever way it is named, from wherever: it is one.
#[test]
fn a_definition_is_not_another_of_itself() {
    let factory = web("images/a", Factory::new());
    std::os::unix::fs::symlink("a", factory.tree().join("images/link")).unwrap();
    let whole = factory.tree().join("images/a").display().to_string();
    for names in [
        &[][..],
        &["images/link"],
        &["a", "images/link"],
        &["a", "images/a", "./images/a/", &whole],
    ] {
        factory.run(&[&["validate", "--offline"], names].concat()).exits(0);
    }
    let mut within = factory.command(&["validate", "--offline", "."]);
    let ran = super::support::Ran::of(
        within.current_dir(factory.tree().join("images/a")).output().unwrap(),
    );
    ran.exits(0);
}

/// A base that a build would make first publishes, too.
#[test]
fn the_family_of_a_base_counts() {
    let os = "bundle: {name: base}\nsource: {script: build.sh}\n";
    let factory = Factory::new().bundle("os/a", os).bundle("os/b", os);
    let factory = ["os/a", "os/b"]
        .iter()
        .fold(factory, |f, dir| f.script(&format!("{dir}/build.sh"), "#!/bin/sh\ntrue\n"));
    let factory = with(factory, "images/x", "bundle: {name: x, img_base: os/b}\n");
    let factory = with(factory, "images/y", "bundle: {name: y, img_base: some-image}\n");
    factory
        .run(&["validate", "--offline", "images/x"])
        .exits(10)
        .says("os/b/build-vars.yml:1:10: error: `bundle.name` is `base` in os/a");
    factory.run(&["validate", "--offline", "images/y"]).exits(0);
}

/// Findings went by their place, and the place of what any `--set` gives was no file of the
/// definitions that were named.
#[test]
fn what_several_have_wrong_is_told_whatever_is_set() {
    let factory = web("images/b", web("images/a", Factory::new()));
    let factory = with(factory, "images/z", "bundle: {name: z, img_base: os/p}\n");
    let factory = factory
        .bundle("os/p", "bundle: {name: p, img_base: os/q}\n")
        .bundle("os/q", "bundle: {name: q, img_base: os/p}\n");
    let factory = ["os/p", "os/q"]
        .iter()
        .fold(factory, |f, dir| f.file(&format!("{dir}/ansible/bootstrap.yml"), PLAYBOOK));
    for set in [
        "availability_zone=nova",
        "bundle.img_base=other",
        "bundle={name: web, img_base: other}",
        "vars={}",
        "tags=[a]",
    ] {
        factory
            .run(&["--set", set, "validate", "--offline", "b"])
            .exits(10)
            .says("error: `bundle.name` is `web` in images/a");
    }
    for set in ["availability_zone=nova", "bundle.name=other"] {
        factory
            .run(&["--set", set, "validate", "--offline", "z"])
            .exits(10)
            .says("bases run in a circle");
    }
    let ran = factory
        .run(&[
            "--set",
            "bundle.img_base=os/nope",
            "--set",
            "bundle.name=own",
            "validate",
            "--offline",
            "b",
        ])
        .exits(10);
    ran.says("--set bundle.img_base: error: the base os/nope is not in this tree");
}
