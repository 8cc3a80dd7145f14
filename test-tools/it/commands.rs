//! What the help texts and the documents say of options, variables and commands, where no other
//! file is about it.
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::support::{Factory, Ran};
use super::tiny_disk::tiny_disk;

const BUILD: [&str; 5] = ["--accel", "tcg", "build", "--no-smoke", "--force"];

/// `os/tiny`, whose image needs no machine, and `images/x`, whose base is nowhere.
fn tree() -> Factory {
    let factory = Factory::new();
    let dir = factory.tree().join("os/tiny");
    fs::create_dir_all(&dir).unwrap();
    tiny_disk(&dir);
    factory
        .bundle("os/tiny", "bundle: {name: tiny}\nsource: {script: build.sh}\n")
        .script("os/tiny/build.sh", "#!/bin/sh\ncp tiny.img \"$OUT\"\n")
        .bundle("images/x", "bundle: {name: x, img_base: nowhere}\nsteps: [{shell: 'true'}]\n")
}

#[test]
fn runs_are_listed_oldest_first_and_meant_by_the_end_of_their_id() {
    let factory = tree();
    for _ in 0..2 {
        factory.run(&[&BUILD[..], &["os/tiny"]].concat()).exits(0);
    }
    let list = factory.run(&["run", "list"]).exits(0).out;
    let runs: Vec<&str> = list.lines().skip(1).map(|l| l.split(' ').next().unwrap()).collect();
    assert_eq!(runs.len(), 2, "{list}");
    assert!(runs[0] < runs[1], "an ID begins with its time: {list}");
    for run in &runs {
        let end = &run[run.len() - 6..];
        factory.run(&["run", "show", end]).exits(0).says(run);
        factory.run(&["run", "log", end]).exits(0).says(run);
    }
    let latest = factory.run(&["run", "show"]).exits(0);
    assert!(latest.out.contains(runs[1]) && !latest.out.contains(runs[0]), "{}", latest.out);
}

#[test]
fn the_tree_is_the_nearest_one_upwards() {
    let factory = tree();
    let within = |dir: &str, args: &[&str]| {
        let mut command = factory.command(args);
        Ran::of(command.current_dir(factory.tree().join(dir)).output().unwrap())
    };
    for dir in [".", "images", "os/tiny"] {
        within(dir, &["validate", "--offline", "tiny"]).exits(0);
    }
    within("..", &["validate", "--offline", "tiny"]).exits(2);
    within("..", &["--tree", "tree", "validate", "--offline", "tiny"]).exits(0);
}

#[test]
fn the_cloud_is_the_first_that_is_named() {
    let factory = tree();
    let auth = "auth: {auth_url: 'http://127.0.0.1:9/v3', username: u, password: p, \
                project_name: p}";
    let clouds = factory.tree().join("../clouds.yaml");
    fs::write(clouds, format!("clouds:\n  one: {{{auth}}}\n  two: {{{auth}}}\n")).unwrap();
    let url = ("OS_AUTH_URL", "http://127.0.0.1:9/v3");
    let login = [url, ("OS_USERNAME", "u"), ("OS_PASSWORD", "p"), ("OS_PROJECT_NAME", "p")];
    let named = ("OS_CLOUD", "two");
    for (args, env, line) in [
        (&["--cloud", "one"][..], &[named, url][..], "cloud: one (--cloud)"),
        (&["--cloud", "local"], &[named], "cloud: local (--cloud)"),
        (&[], &[named, url], "cloud: two (OS_CLOUD is set)"),
        (&[], &login, "cloud: http://127.0.0.1:9/v3 (OS_AUTH_URL is set)"),
        (&[], &[], "cloud: local (no --cloud, OS_CLOUD or OS_AUTH_URL)"),
    ] {
        let mut command = factory.command(&[args, &["build", "images/x"]].concat());
        let ran = Ran::of(command.envs(env.iter().copied()).output().unwrap());
        assert_eq!(ran.err.lines().next(), Some(line), "{}", ran.err);
        assert_ne!(ran.code, 0);
    }
}

#[test]
fn the_home_is_where_its_variables_say() {
    let factory = tree();
    let data = factory.tree().join("../data");
    fs::create_dir(&data).unwrap();
    let build = [&BUILD[..], &["os/tiny"]].concat();
    let mut command = factory.command(&build);
    command.env_remove("IMAGE_FACTORY_HOME").env("XDG_DATA_HOME", &data);
    Ran::of(command.output().unwrap()).exits(0);
    assert!(!factory.home().exists());
    let images = |home: &Path| fs::read_dir(home.join("images")).unwrap().count();
    assert_eq!(images(&data.join("image-factory")), 1);
    Ran::of(factory.command(&build).env("XDG_DATA_HOME", &data).output().unwrap()).exits(0);
    assert_eq!((images(&data.join("image-factory")), images(&factory.home())), (1, 1));
    // A link counts as its target.
    let link = factory.tree().join("../link");
    symlink(factory.home(), &link).unwrap();
    let mut command = factory.command(&["image", "list"]);
    Ran::of(command.env("IMAGE_FACTORY_HOME", &link).output().unwrap()).exits(0).says("tiny");
}

/// The bundle's machine never answers: its base is there by then.
#[test]
fn bases_that_are_built_first_are_built_as_written() {
    let factory = tree().bundle(
        "images/x",
        "bundle: {name: x, img_base: os/tiny}\nsteps: [{shell: 'true'}]\ntimeouts: {ssh: 1s}\n",
    );
    let set = ["images/x", "--set", "bundle.properties.colour=red"];
    let ran = factory.run(&[&BUILD[..], &set].concat()).exits(20);
    ran.says("base os/tiny of images/x is missing: building it first, with the checks of a bundle");
    let shown = factory.run(&["image", "show", "tiny", "--json"]).exits(0).out;
    assert!(!shown.contains("colour"), "{shown}");
    factory.run(&["plan", "--set", "bundle.properties.colour=red", "images/x"]).says("colour");
}

#[test]
fn doctor_shows_the_owners_settings_that_are_in_force() {
    let factory = tree();
    let config = factory.tree().join("../config/image-factory");
    fs::create_dir_all(&config).unwrap();
    let ran = |settings: &str| {
        fs::write(config.join("config.yml"), settings).unwrap();
        let mut command = factory.command(&["doctor"]);
        command.env("XDG_CONFIG_HOME", config.parent().unwrap());
        Ran::of(command.output().unwrap())
    };
    let shown = ran("wall: off\n");
    let line = shown.out.lines().find(|l| l.contains("config/image-factory/config.yml")).unwrap();
    assert!(line.ends_with("in force: wall"), "{line}");
    ran("ansible: {accelerator: off}\n").says("off, as the owner's settings say");
    let unfit = ran("ansible: {accelerator: /nosuch}\n").exits(20);
    for part in ["there is no Mitogen in /nosuch", "ansible.accelerator: /nosuch is not there"] {
        assert!(unfit.out.contains(part), "{part}\n{}", unfit.out);
    }
}

/// A directory of programs without `passt`.
#[test]
fn a_network_that_is_open_to_guests_is_told_by_doctor_and_plan() {
    let factory = tree();
    let programs = factory.tree().join("../programs");
    fs::create_dir(&programs).unwrap();
    for dir in ["/usr/sbin", "/usr/bin"] {
        for program in fs::read_dir(dir).unwrap().flatten() {
            if program.file_name() != "passt" {
                let _ = symlink(program.path(), programs.join(program.file_name()));
            }
        }
    }
    let run =
        |args: &[&str]| Ran::of(factory.command(args).env("PATH", &programs).output().unwrap());
    let open = "GUESTS CAN REACH SERVICES OF THIS HOST";
    let told = run(&["doctor"]).exits(20);
    let line = told.out.lines().find(|l| l.starts_with("MISSING  passt ")).unwrap();
    assert!(line.contains("keeping machines of the local cloud from this host's services"));
    let nowhere = "guests have no network";
    for said in [told.out, run(&["plan", "os/tiny"]).exits(0).out] {
        assert!(said.contains(open) || said.contains(nowhere), "{said}");
    }
}

#[test]
fn large_files_of_a_definition_are_refused() {
    let long = |mib: usize| format!("# {}\n", "x".repeat(mib << 20));
    let play = "- hosts: all\n  tasks: []\n";
    let with = |settings: &str, playbook: &str, template: &str| {
        let vars = format!("bundle: {{name: x, img_base: debian-12}}\n{settings}");
        let factory = Factory::new()
            .bundle("images/x", &vars)
            .file("images/x/ansible/bootstrap.yml", &format!("{play}{playbook}"))
            .file("images/x/output/a.txt.j2", &format!("{{{{ bundle.name }}}}\n{template}"));
        factory.run(&["validate", "--offline", "images/x"])
    };
    with("", &long(3), "").exits(0);
    with(&long(1), "", "").exits(10).says("build-vars.yml");
    with("", &long(4), "").exits(10).says("bootstrap.yml");
    with("", "", &long(1)).exits(10).says("a.txt.j2");
}

/// What a person keeps by `deprecate` is found by ID and by its exact name.
#[test]
fn a_deprecated_image_is_still_meant_by_its_id_and_name() {
    let factory = tree();
    factory.run(&[&BUILD[..], &["os/tiny"]].concat()).exits(0);
    let list = factory.run(&["image", "list", "--json"]).exits(0).out;
    let image = serde_json::from_str::<serde_json::Value>(&list).unwrap()[0].clone();
    let (id, name) = (image["id"].as_str().unwrap(), image["name"].as_str().unwrap());
    factory.run(&["image", "deprecate", "tiny"]).exits(0);
    for meant in [id, name] {
        factory.run(&["image", "show", meant]).exits(0).says(id);
    }
}

/// The plan that a run wrote last.
fn last_plan(factory: &Factory) -> serde_json::Value {
    let files = walkdir::WalkDir::new(factory.tree().parent().unwrap()).into_iter().flatten();
    let plans = files.filter(|entry| entry.file_name() == "plan.json");
    let last = plans.max_by_key(|entry| entry.metadata().unwrap().modified().unwrap()).unwrap();
    serde_json::from_slice(&fs::read(last.path()).unwrap()).unwrap()
}

/// Nothing answers on these machines: the run ends after its plan is made.
#[test]
fn a_test_takes_what_the_definition_of_the_family_says_or_all_checks() {
    let factory = tree()
        .bundle(
            "os/tiny",
            "bundle: {name: tiny}\nsource: {script: build.sh}\nssh_user: somebody\n\
             tests: {only: [boots, ssh, tests/page.sh]}\n",
        )
        .bundle("images/other", "bundle: {name: o, img_base: tiny}\nssh_user: other\n")
        .file("images/other/ansible/bootstrap.yml", "- hosts: all\n")
        .script("os/tiny/tests/page.sh", "#!/bin/sh\n");
    factory.run(&[&BUILD[..], &["os/tiny"]].concat()).exits(0);
    let test = |more: &[&str]| {
        let args = ["--accel", "tcg", "test", "tiny", "--set", "timeouts.ssh=1s"];
        let ran = factory.run(&[&args[..], more].concat()).exits(40);
        let reports: Vec<&str> =
            ran.err.lines().filter_map(|line| line.strip_prefix("report: ")).collect();
        assert_eq!(reports.len(), 1, "{}", ran.err);
        assert!(factory.tree().join(reports[0]).is_file(), "{}", reports[0]);
        let plan = last_plan(&factory);
        let own = plan["smoke"]["tests"].as_array().unwrap().len();
        let built_in = plan["smoke"]["checks"].as_array().unwrap().len();
        (plan["ssh_user"].as_str().unwrap().to_owned(), own, built_in)
    };
    assert_eq!(test(&[]), ("somebody".into(), 1, 2));
    let (user, own, _) = test(&["--bundle", "images/other"]);
    assert_eq!((user.as_str(), own), ("other", 0));
    fs::remove_dir_all(factory.tree().join("os/tiny")).unwrap();
    let (user, own, built_in) = test(&["--set", "ssh_user=third"]);
    assert_eq!((user.as_str(), own), ("third", 0));
    assert_eq!(built_in, 29, "all but the one for a build's key");
}

/// There is none yet, and what a crash left goes.
#[test]
fn checkpoints_are_listed_and_removed() {
    let factory = tree();
    let list = factory.run(&["cache", "list"]).exits(0);
    list.says("of 10240 MiB in 0 checkpoints");
    let debris = factory.home().join("cache/checkpoints/left");
    fs::create_dir_all(&debris).unwrap();
    fs::write(debris.join("disk.qcow2"), vec![1; 1 << 20]).unwrap();
    factory.run(&["cache", "list"]).exits(0).says("in 1 checkpoints");
    let json = factory.run(&["--json", "cache", "list"]).exits(0).out;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["in_use"], false, "{json}");
    factory.run(&["cache", "prune", "much"]).exits(2).says("is no size");
    factory.run(&["cache", "prune"]).exits(0).says("checkpoints take 0 MiB");
    assert!(!debris.exists());
}

/// Nobody could press Enter.
#[test]
fn a_trial_needs_a_terminal_or_a_watch() {
    let factory = tree();
    factory.run(&["try", "images/x"]).exits(2).says("standard input is no terminal");
}
