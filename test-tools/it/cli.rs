//! The command line without a machine: bad input, plans, empty stores.
use super::support::{Factory, Ran};

mod plan;
mod proxies;
mod render;

const GOOD: &str = "bundle:\n  name: x\n  img_base: some-image\n";
const PLAYBOOK: &str = "- hosts: local\n  tasks: []\n";

fn good() -> Factory {
    Factory::new().bundle("images/x", GOOD).file("images/x/ansible/bootstrap.yml", PLAYBOOK)
}

/// A run that came to nothing is in the workspace, with what it says of itself, and nothing is
/// anywhere else.
fn only_told(factory: &Factory, before: &[(std::path::PathBuf, u64)]) {
    let records = |path: &std::path::Path| {
        let path = path.to_string_lossy();
        let text = path
            .strip_prefix("tree/images/target/x/")
            .is_some_and(|inner| inner.contains('.') || inner.starts_with("runs"));
        // Locks stay: who waits for one has its file.
        let lock = path.starts_with("home/turns/");
        text || lock
            || ["tree/build.latest.log", "tree/packer.latest.log", "home/naming.lock"]
                .contains(&&*path)
    };
    let dirs = [
        "tree",
        "tree/images",
        "tree/images/target",
        "tree/images/target/x",
        "home",
        "home/runs",
        "home/cache",
        "home/cache/downloads",
        "home/checked",
        "home/images",
        "home/turns",
    ];
    let is_new = |entry: &&(std::path::PathBuf, u64)| {
        !before.contains(entry) && !dirs.iter().any(|dir| entry.0.ends_with(dir))
    };
    let listing = factory.listing();
    let made: Vec<_> = listing.iter().filter(is_new).filter(|(path, _)| !records(path)).collect();
    assert!(made.is_empty(), "{made:?}");
}

#[test]
fn a_wrong_bundle_is_told_whole_and_nothing_is_created() {
    let factory = Factory::new()
        .bundle(
            "images/x",
            "bundle:\n  name: [1]\n  img_bse: os/none\nstepps: []\nmachine: {ram: much}\n",
        )
        .file("images/x/output/a.yml.j2", "id: {{ result_img_idd }}\n");
    let before = factory.listing();
    let ran = factory.run(&["build", "images/x"]).exits(10);
    for (place, word) in [
        ("build-vars.yml:2:9:", "name"),
        (":3:3:", "img_bse"),
        (":4:1:", "stepps"),
        (":5:16:", "ram"),
    ] {
        assert!(
            ran.err.lines().any(|l| l.contains(place) && l.contains(word)),
            "{place} {word}\n{}",
            ran.err
        );
    }
    only_told(&factory, &before);
}

#[test]
fn an_undefined_template_variable_stops_a_build_before_it_begins() {
    let factory = good().file("images/x/output/a.yml.j2", "a: 1\nid: {{ result_img_idd }}\n");
    let before = factory.listing();
    factory
        .run(&["build", "images/x"])
        .exits(10)
        .says("images/x/output/a.yml.j2:2:")
        .says("result_img_idd")
        .says("result_img_id");
    only_told(&factory, &before);
}

#[test]
fn a_base_that_does_not_exist_is_told_with_its_place() {
    let factory = good();
    let before = factory.listing();
    factory
        .run(&["build", "images/x"])
        .exits(10)
        .says("images/x/build-vars.yml:3:3: error: base image `some-image` does not exist");
    only_told(&factory, &before);
}

#[test]
fn a_circle_of_bases_is_told() {
    let factory = Factory::new()
        .bundle("images/a", "bundle: {name: a, img_base: b}\n")
        .bundle("images/b", "bundle: {name: b, img_base: a}\n")
        .file("images/a/ansible/bootstrap.yml", PLAYBOOK)
        .file("images/b/ansible/bootstrap.yml", PLAYBOOK);
    factory.run(&["validate", "--offline"]).exits(10).says("circle");
    factory.run(&["build", "images/a"]).exits(10).says("circle");
}

#[test]
fn validate_counts_and_is_silent_about_what_is_sound() {
    good().run(&["validate", "--offline"]).exits(0).says("1 bundle checked: 0 errors, 0 warnings");
}

#[test]
fn an_unknown_bundle_is_told_with_what_is_near() {
    good()
        .bundle("images/bundle-nginx", GOOD)
        .run(&["build", "bundle-ngin"])
        .exits(10)
        .says("bundle-nginx");
}

/// The cloud that was asked for, or an error: never the local one instead.
#[test]
fn a_cloud_that_is_not_to_be_had_is_told_and_nothing_is_created() {
    let factory = good();
    let before = factory.listing();
    factory
        .run(&["--cloud", "mine", "build", "images/x"])
        .exits(20)
        .says("cloud mine: cannot read")
        .says("clouds.yaml");
    only_told(&factory, &before);

    let clouds = "clouds:\n  other: {auth: {auth_url: 'http://127.0.0.1:9/v3', username: u, \
        password: p4ss, project_name: p}}\n";
    let factory = good().file("../clouds.yaml", clouds);
    let before = factory.listing();
    factory
        .run(&["--cloud", "mine", "build", "images/x"])
        .exits(20)
        .says("has no such cloud")
        .says("there are: other");
    let ran = factory
        .run(&["--cloud", "other", "-vv", "build", "images/x"])
        .exits(20)
        .says("127.0.0.1:9 is not reached");
    assert!(!ran.err.contains("p4ss") && !ran.out.contains("p4ss"), "{}", ran.err);
    only_told(&factory, &before);
}

/// `local` is this machine, whatever clouds.yaml has by that name; `envvars` is no entry at all.
#[test]
fn names_that_are_no_entries_are_told() {
    let clouds = "clouds:\n  local: {auth: {auth_url: 'http://127.0.0.1:9/v3', username: u, \
        password: p, project_name: p}}\n";
    let factory = good().file("../clouds.yaml", clouds);
    let told = "`local` is QEMU on this machine; the entry `local` of";
    factory.run(&["--cloud", "local", "image", "list"]).exits(0).says(told);
    let of_variable =
        factory.command(&["image", "list"]).env("OS_CLOUD", "local").output().unwrap();
    super::support::Ran::of(of_variable).exits(0).says(told);
    assert!(!factory.run(&["image", "list"]).exits(0).err.contains("the entry `local`"));

    let mut command = factory.command(&["image", "list"]);
    for (name, value) in [
        ("CLOUD", "envvars"),
        ("AUTH_URL", "http://127.0.0.1:9"),
        ("USERNAME", "u"),
        ("PASSWORD", "p4ss"),
        ("PROJECT_NAME", "p"),
    ] {
        command.env(format!("OS_{name}"), value);
    }
    let ran = super::support::Ran::of(command.output().unwrap())
        .exits(20)
        .says("127.0.0.1:9 is not reached");
    assert!(!ran.err.contains("p4ss"), "{}", ran.err);
}

#[test]
fn usage_errors_exit_with_2() {
    good().run(&["build"]).exits(2);
    good().run(&["frobnicate"]).exits(2);
    Factory::new().run(&["run", "show", "nothing"]).exits(2);
}

#[test]
fn an_empty_store_lists_nothing_and_sweeps_nothing() {
    let factory = good();
    factory.run(&["image", "list"]).exits(0).says("NAME");
    factory.run(&["image", "show", "x"]).exits(20).says("no image `x`");
    factory.run(&["sweep"]).exits(0).says("nothing to sweep");
    factory.run(&["run", "list"]).exits(0).says("OUTCOME");
}

/// The words decide of the exit code, and not what the store holds.
#[test]
fn a_prune_of_nothing_ends_as_one_of_something() {
    let factory = good();
    for dry in [&[][..], &["--dry-run"]] {
        let prune = |more: &[&str]| factory.run(&[&["image", "prune"], more, dry].concat());
        prune(&[]).exits(2).says("no definition of this tree says how many images to `keep`");
        prune(&["--keep", "3"]).exits(0).says("nothing to prune");
        prune(&["x"]).exits(2).says("how many images of x are to be kept is not known");
        prune(&["x", "--keep", "3"]).exits(0).says("x: 0 published").says("nothing to prune");
        prune(&["nosuch", "--keep", "3"])
            .exits(20)
            .says("no family `nosuch`")
            .says("hint: this cloud has no image of the factory yet");
    }
    let keeps = good().bundle("images/x", &format!("{GOOD}keep: 3\n"));
    keeps.run(&["image", "prune", "--dry-run"]).exits(0).says("nothing to prune");
    let ran = factory
        .run(&["image", "rollback", "nosuch"])
        .exits(20)
        .says("hint: this cloud has no image of the factory yet");
    assert!(!ran.err.contains("there are"), "{}", ran.err);
}

/// Where nobody could type, nothing is built to be looked at.
#[test]
fn a_shell_without_a_terminal_is_refused_before_anything_is_built() {
    let factory = good();
    let shell = factory
        .command(&["--accel", "tcg", "shell", "images/x"])
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    Ran::of(shell)
        .exits(2)
        .says("standard input is no terminal")
        .says("hint: start it at a terminal");
    assert!(!factory.home().join("runs").exists(), "a run was begun");
}

#[test]
fn completions_are_printed() {
    good().run(&["completions", "bash"]).exits(0).says("image-factory");
}

/// As of OS_CLOUD and IMAGE_FACTORY_HOME.
#[test]
fn an_empty_variable_is_no_value_that_is_wrong() {
    let factory = good();
    let mut command = factory.command(&["validate", "--offline", "images/x"]);
    Ran::of(command.env("IMAGE_FACTORY_ACCEL", "").output().unwrap()).exits(0);
}

/// What is wrong with the command line or the environment is told as that, and nothing is begun.
#[test]
fn a_command_that_can_mean_nothing_is_refused() {
    let factory = good();
    factory
        .run(&["--set", "machine.ram", "--set", "=1", "validate"])
        .exits(2)
        .says("there is no `=`")
        .says("a key is empty");
    let with = |name: &str, value: &str, args: &[&str]| {
        let mut command = factory.command(args);
        for other in ["OS_CLOUD", "OS_AUTH_URL"] {
            command.env_remove(other);
        }
        let output = command.env(name, value).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for home in ["store", "~/store"] {
        let (code, said) = with("IMAGE_FACTORY_HOME", home, &["image", "list"]);
        assert!(code == Some(2) && said.contains("depends on where one stands"), "{home}: {said}");
    }
    let (code, said) = with("X", "", &["--clouds-file", "clouds.yaml", "image", "list"]);
    assert!(code == Some(2) && said.contains("no cloud of it is named"), "{said}");
}

/// A full disk behind standard output loses what was asked for; a reader that went away does not
/// want it.
#[test]
fn a_result_that_is_lost_is_no_success() {
    let factory = good().file("images/x/output/a.j2", "x\n");
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = factory
        .command(&["render", "images/x"])
        .stdout(full)
        .stderr(std::process::Stdio::piped())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.code() == Some(20)
            && said.contains("cannot write to standard output: No space"),
        "{said}"
    );
}

/// All that keeps outputs from being written is told before one is.
#[test]
fn outputs_that_cannot_be_written_are_told_at_once() {
    let factory = good()
        .file("images/x/output/a.j2", "x")
        .file("images/x/output/b.j2", "x")
        .file("images/x/output/c.j2", "x");
    let dir = tempfile::tempdir().unwrap();
    let out = |name: &str| dir.path().join(name).display().to_string();
    for taken in ["b", "c"] {
        std::fs::create_dir_all(dir.path().join("out").join(taken)).unwrap();
    }
    factory
        .run(&["render", "images/x", "-o", &out("out")])
        .exits(20)
        .says("out/b: it is a directory")
        .says("out/c: it is a directory");
    assert!(!dir.path().join("out/a").exists());
    std::os::unix::fs::symlink("nowhere", dir.path().join("link")).unwrap();
    factory.run(&["render", "images/x", "-o", &out("link")]).exits(20).says("a link to nowhere");
}

/// The list of all bundles was no answer.
#[test]
fn what_can_be_no_bundle_is_said_in_a_sentence() {
    let factory = good().file("images/README.md", "# x\n");
    std::os::unix::fs::symlink("gone", factory.tree().join("images/link")).unwrap();
    for (name, says) in [
        ("images/README.md", "`images/README.md` is a file"),
        ("README.md", "`README.md` is a file"),
        ("images/link", "`images/link` is a link to nowhere"),
    ] {
        let ran = factory.run(&["validate", "--offline", name]).exits(10).says(says);
        assert!(!ran.err.contains("there are images/x"), "{}", ran.err);
    }
    factory
        .run(&["validate", "--offline", "images/README.md", "images/x"])
        .exits(0)
        .says("passed over");
}

/// It was "neither in the definition nor on this machine", with a `requirements.yml` for a role
/// that lies in the tree.
#[test]
fn a_role_of_the_tree_is_brought_in_by_a_link() {
    let factory = good()
        .file("images/x/ansible/bootstrap.yml", "- hosts: all\n  roles: [web]\n")
        .file("images/x/ansible.cfg", "[defaults]\nroles_path = ../../shared/roles\n")
        .file("shared/roles/web/tasks/main.yml", "- ping:\n");
    let says = "error: the role `web` lies in shared/roles, outside of the bundle";
    let ran = factory
        .run(&["validate", "--offline"])
        .exits(10)
        .says(says)
        .says("`ln -s ../../shared/roles images/x/roles`, and `roles_path = roles`");
    assert!(!ran.err.contains("requirements.yml"), "{}", ran.err);
    // The way out.
    let factory = factory.file("images/x/ansible.cfg", "[defaults]\nroles_path = roles\n");
    std::os::unix::fs::symlink("../../shared/roles", factory.tree().join("images/x/roles"))
        .unwrap();
    factory.run(&["validate", "--offline"]).exits(0);
}

/// Bash runs it, and a run sends it as it is: `validate` refused it, and `shell` with a carriage
/// return was called sound.
#[test]
fn bytes_of_scripts_are_told_by_who_reads_them() {
    let factory = good().bundle(
        "images/x",
        &format!("{GOOD}steps:\n- script: a.sh\n- shell: \"echo a\\recho b\"\n"),
    );
    std::fs::write(
        factory.tree().join("images/x/a.sh"),
        b"#!/bin/bash\n# M\xfcller\ncd /srv\r\nls\n",
    )
    .unwrap();
    let factory = factory.script("images/x/tests/a.sh", "");
    std::fs::write(factory.tree().join("images/x/tests/a.sh"), b"\x7fELF\x02\x01\x01\0").unwrap();
    let ran = factory
        .run(&["validate", "--offline"])
        .exits(10)
        .says("tests/a.sh: error: this is a program, not a script");
    for warning in [
        "a.sh:2:1: warning: this line is not UTF-8",
        "a.sh:3:1: warning: this line ends as Windows",
        "`steps[2].shell` holds a carriage return",
    ] {
        assert!(ran.err.contains(warning), "{warning}: {}", ran.err);
    }
    assert_eq!(ran.err.matches("error:").count(), 1, "{}", ran.err);
}
