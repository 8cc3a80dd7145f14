//! The command line without a machine: bad input, plans, empty stores.
use super::support::{Factory, Ran};

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
        text || ["tree/build.latest.log", "tree/packer.latest.log", "home/naming.lock"]
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
    assert_eq!(before, factory.listing());
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
    assert_eq!(before, factory.listing());
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

/// Neither looks at the network: nobody listens at that address.
#[test]
fn a_source_from_elsewhere_is_planned_with_its_checksum() {
    let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let with = |more: &str| {
        Factory::new().bundle(
            "os/d",
            &format!(
                "bundle: {{name: d}}\nsource: {{url: 'https://127.0.0.1:1/d.qcow2.xz', {more}}}\n"
            ),
        )
    };
    let factory = with(&format!("sha256: {sum}, format: qcow2"));
    factory.run(&["validate", "--offline"]).exits(0);
    let plan = factory.run(&["plan", "os/d"]).exits(0);
    let plan = plan
        .says("https://127.0.0.1:1/d.qcow2.xz, must be qcow2")
        .says(&format!("sha256 {sum}"))
        .says("none: the source is the image");
    assert!(!plan.out.contains("base "), "{}", plan.out);
    let listed = with("checksum_url: https://127.0.0.1:1/SHA256SUMS");
    listed
        .run(&["plan", "os/d"])
        .exits(0)
        .says("of `d.qcow2.xz` in https://127.0.0.1:1/SHA256SUMS");
    let json = listed.run(&["plan", "os/d", "--json"]).exits(0);
    let plan: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(
        plan["origin"]["url"]["wish"]["sum"]["list"]["url"],
        "https://127.0.0.1:1/SHA256SUMS"
    );
    with("format: raw")
        .run(&["plan", "os/d"])
        .exits(10)
        .says("os/d/build-vars.yml:2:10: error: `source.url` has no checksum");
}

/// What Glance will be told is in the plan, defaults too; the list had none of them, and the ID of
/// a check read like a finding.
#[test]
fn a_plan_shows_all_that_will_be_published() {
    let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let source = format!("source: {{url: 'https://127.0.0.1:1/d.qcow2', sha256: {sum}}}\n");
    let options = "--min-disk 7 --min-ram 512 --protected --property c=d --tag t";
    let name = "bundle_target_name: d-1\n";
    let with = |more: &str| {
        Factory::new().bundle(
            "os/d",
            &format!("bundle: {{name: d, properties: {{a: b}}}}\n{source}{name}{more}"),
        )
    };
    let factory = with(&format!("final_glance_options: '{options}'\n"));
    let told = factory.run(&["plan", "os/d"]).exits(0);
    let lines: Vec<&str> = told.out.lines().map(str::trim_end).collect();
    for line in [
        "name       d-1",
        "family     d",
        "visibility private",
        "members    none",
        "min_disk   at least 7 GiB, or what its disk needs",
        "min_ram    512 MiB",
        "protected  yes",
        "hidden     no",
        "tags       t, factory-published",
        "properties a=b (bundle.properties)",
        "           c=d (final_glance_options)",
        "           factory_family=d (the factory)",
        "           factory_image_id (the factory, once the image is there)",
        "           host-keys-unique   two machines of the image and its builder have host keys of \
            their own",
    ] {
        assert!(lines.contains(&line), "{line}\n{}", told.out);
    }
    assert!(!told.out.contains("build-key-refused"), "nobody logs in to build\n{}", told.out);
    let plain = with("").run(&["plan", "os/d"]).exits(0);
    plain.says("min_disk   what its disk needs").says("min_ram    0 MiB").says("protected  no");
    let json: serde_json::Value =
        serde_json::from_str(&factory.run(&["plan", "os/d", "--json"]).exits(0).out).unwrap();
    let publish = &json["publish"];
    for key in [
        "name",
        "family",
        "visibility",
        "members",
        "min_disk_gb",
        "min_ram_mb",
        "protected",
        "hidden",
        "tags",
    ] {
        assert!(!publish[key].is_null(), "{key}: {publish}");
    }
    assert_eq!((&publish["min_disk_gb"], &publish["min_disk_at_least"]), (&7.into(), &true.into()));
    assert_eq!(publish["set_by"]["c"], "final_glance_options");
    assert_eq!(publish["set_at_the_end"][0], "factory_image_id");
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
    assert_eq!(before, factory.listing());

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

/// `render` shows what `build` would write: with a stand-in or an ID, on standard output or in
/// files, and what is wrong as `validate` does.
#[test]
fn render_shows_what_templates_become() {
    let id = "6f1c2a7e-0b1d-4c55-9a38-2d7f0c9e1b44";
    let one = good().file(
        "images/x/output/a.yml.j2",
        "image: {{ result_img_id }}\nport: {{ vars.port | default(80) }}\n",
    );
    let before = one.listing();
    assert_eq!(
        one.run(&["render", "images/x"]).exits(0).out,
        "image: 00000000-0000-4000-8000-000000000000\nport: 80\n"
    );
    let set = one.run(&["render", "images/x", "--image", id, "--set", "vars.port=81"]).exits(0);
    assert_eq!(set.out, format!("image: {id}\nport: 81\n"));
    one.run(&["render", "images/x", "--image", "a b"]).exits(2);
    one.run(&["render", "images/x", "--image", id])
        .exits(0)
        .err
        .is_empty()
        .then_some(())
        .expect("an ID is no news");
    one.run(&["render", "images/x", "--image", "nope"])
        .exits(0)
        .says("warning: `nope` is no image's ID, which is a UUID");
    assert_eq!(before, one.listing());

    let two = one
        .file("images/x/output/b.txt.j2", "\u{1b}[2J{{ bundle.name }}")
        .file("images/x/output/c.txt.j2", "image: 1\n");
    let shown = two.run(&["render", "images/x"]).exits(0).out;
    assert!(
        shown.contains("==> a.yml <==\nimage: 0000") && shown.contains("==> b.txt <==\n"),
        "{shown}"
    );
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("new/out");
    // A definition's own files are no place for outputs: one could be named like a template.
    two.run(&["render", "images/x", "-o", "images/x/output"])
        .exits(20)
        .says("in the definition itself");
    two.run(&["render", "images/x", "-o", "images/x/new/dir"])
        .exits(20)
        .says("in the definition itself");
    let written = two.run(&["render", "images/x", "-o", target.to_str().unwrap()]).exits(0);
    assert!(written.out.is_empty() && written.err.contains("b.txt"), "{}", written.err);
    assert_eq!(std::fs::read_to_string(target.join("b.txt")).unwrap(), "\u{1b}[2Jx");

    let wrong = two.file("images/x/output/d.yml.j2", "a: {{ nope }}\nb: {{ noper }}\n");
    let said = wrong
        .run(&["render", "images/x"])
        .exits(10)
        .says("d.yml.j2:1:7: error: `nope` is undefined")
        .says("d.yml.j2:2:7:");
    assert!(said.out.is_empty(), "{}", said.out);
    good().run(&["render", "images/x"]).exits(0).says("has no templates");
    good().run(&["render", "images/nope"]).exits(10);
    let odd = good().file(
        "images/x/output/a.yml.j2",
        format!("image: {id}\noutputs: 1\noutputs: 2\n").as_str(),
    );
    for command in ["validate", "render"] {
        odd.run(&[command, "images/x"])
            .exits(0)
            .says("a.yml.j2:1:1: warning: never uses the ID")
            .says("a.yml.j2:3:1: warning: renders to");
    }
}

/// Errors name the way: who has a proxy in the environment may not think of it. Its password is
/// nobody's to read.
#[test]
fn a_proxy_that_gives_no_connection_is_named_without_its_password() {
    let run = |factory: &Factory, args: &[&str], env: &[(&str, &str)]| {
        let mut command = factory.command(args);
        for name in [
            "HTTP_PROXY",
            "http_proxy",
            "ALL_PROXY",
            "all_proxy",
            "NO_PROXY",
            "no_proxy",
            "OS_CLOUD",
        ] {
            command.env_remove(name);
        }
        let output = command.envs(env.iter().copied()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && !said.contains("s3cret"), "{said}");
        said
    };
    // Nobody listens at either.
    let cloud = [
        ("OS_AUTH_URL", "http://127.0.0.1:2/v3"),
        ("OS_USERNAME", "u"),
        ("OS_PASSWORD", "p"),
        ("OS_PROJECT_NAME", "p"),
        ("http_proxy", "http://me:s3cret@127.0.0.1:1"),
    ];
    let said = run(&good(), &["plan", "images/x"], &cloud);
    assert!(
        said.contains("127.0.0.1:2 (through the proxy http://127.0.0.1:1) is not reached: "),
        "{said}"
    );
    assert!(said.contains("hint: is that proxy right") && said.contains("NO_PROXY="), "{said}");
    let direct = [&cloud[..], &[("NO_PROXY", "127.0.0.1")]].concat();
    let said = run(&good(), &["plan", "images/x"], &direct);
    assert!(
        said.contains("127.0.0.1:2 is not reached: ") && !said.contains("through the proxy"),
        "{said}"
    );
    // One that answers itself, and wants a login.
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://me:s3cret@{}", proxy.local_addr().unwrap());
    let named = format!(
        "(through the proxy http://{}) wants a login of its own (407)",
        proxy.local_addr().unwrap()
    );
    std::thread::spawn(move || {
        for mut asked in proxy.incoming().flatten() {
            let _ = std::io::Read::read(&mut asked, &mut [0; 4096]);
            let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: \
                0\r\nConnection: close\r\n\r\n";
            let _ = std::io::Write::write_all(&mut asked, refusal);
        }
    });
    let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let vars = format!(
        "bundle: {{name: d}}\nsource: {{url: 'http://127.0.0.1:2/d.qcow2', sha256: {sum}}}\n"
    );
    let factory = Factory::new().bundle("os/d", &vars);
    let said = run(
        &factory,
        &["--cloud", "local", "--accel", "tcg", "build", "os/d"],
        &[("http_proxy", &address)],
    );
    assert!(said.contains(&named) && said.contains("NO_PROXY="), "{said}");
}

/// The program in an environment that says nothing but `env` of proxies.
fn behind(factory: &Factory, args: &[&str], env: &[(&str, &str)]) -> Ran {
    let mut command = factory.command(args);
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    Ran::of(command.envs(env.iter().copied()).output().unwrap())
}

const CLOUD: [(&str, &str); 4] = [
    ("OS_AUTH_URL", "http://127.0.0.1:2/v3"),
    ("OS_USERNAME", "u"),
    ("OS_PASSWORD", "p"),
    ("OS_PROJECT_NAME", "p"),
];

/// A part of the password stood in the error, and in the log; of a kind that is not supported
/// nothing was said for half a minute.
#[test]
fn a_proxy_that_cannot_be_used_is_refused_at_once_and_without_a_word_of_it() {
    let url = "bundle: {name: d}\nsource: {url: 'http://127.0.0.1:2/d.qcow2', sha256: \
        ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad}\n";
    let factory = good().bundle("os/d", url);
    let values = [
        "http://me:s3@cret@127.0.0.1:9",
        "http://me:s3/cret@127.0.0.1:9",
        "http://me:s3?cret@h",
        "http://me:s3#cret@h",
        "me:s3/cret@h",
    ];
    let of_login = |said: Ran| {
        let said = said
            .says("http_proxy cannot be taken apart: a character of its login is not escaped")
            .says("%40");
        let all = format!("{}{}", said.out, said.err).replace("s%40cret", "");
        assert!(!all.contains("s3") && !all.contains("cret"), "{all}");
    };
    let before = factory.listing();
    for value in values {
        let proxy = ("http_proxy", value);
        of_login(
            behind(&factory, &["plan", "images/x"], &[&CLOUD[..], &[proxy]].concat()).exits(2),
        );
        of_login(behind(&factory, &["image", "list"], &[&CLOUD[..], &[proxy]].concat()).exits(2));
    }
    for kind in ["socks5h", "ftp"] {
        let proxy = format!("{kind}://me:s3cret@127.0.0.1:9");
        let ran = behind(
            &factory,
            &["plan", "images/x"],
            &[&CLOUD[..], &[("ALL_PROXY", &proxy)]].concat(),
        )
        .exits(2);
        let ran =
            ran.says(&format!("error: ALL_PROXY names a {kind} proxy, which is not supported"));
        assert!(!ran.err.contains("s3cret"), "{}", ran.err);
    }
    assert_eq!(factory.listing(), before, "something was made");
    // A build has a record of its failure, in which the login does not stand either.
    let of_build = behind(
        &factory,
        &["--cloud", "local", "--accel", "tcg", "build", "os/d"],
        &[("http_proxy", values[0])],
    );
    let path = of_build
        .err
        .lines()
        .find_map(|line| line.strip_prefix("log: "))
        .expect("the log is named")
        .to_owned();
    of_login(of_build.exits(2));
    let log = std::fs::read_to_string(factory.tree().join(path)).unwrap().replace("s%40cret", "");
    assert!(
        log.contains("http_proxy cannot be taken apart")
            && !log.contains("s3")
            && !log.contains("cret"),
        "{log}"
    );
    // Where no request goes that way nothing is wrong.
    let socks = ("all_proxy", "socks5h://127.0.0.1:9");
    behind(&factory, &["--cloud", "local", "image", "list"], &[socks]).exits(0);
    behind(&factory, &["validate", "--offline", "images/x"], &[socks]).exits(0);
    for direct in ["*", "127.0.0.1", "127.0.0.1:2", "127.0.0.0/8"] {
        let ran = behind(
            &factory,
            &["plan", "images/x"],
            &[&CLOUD[..], &[socks, ("no_proxy", direct)]].concat(),
        )
        .exits(20);
        assert!(
            ran.err.contains("127.0.0.1:2 is not reached: ") && !ran.err.contains("proxy http"),
            "{direct}: {}",
            ran.err
        );
    }
}

/// It printed text whatever it was asked for.
#[test]
fn doctor_tells_what_it_finds_as_json_and_of_proxies() {
    let factory = good();
    let env = [
        ("http_proxy", "http://me:s3@cret@h"),
        ("https_proxy", "http://me:s3cret@proxy.example:3128"),
    ];
    let ran = behind(&factory, &["--json", "doctor"], &env).exits(20);
    let told: serde_json::Value =
        serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {}", ran.out));
    let proxies: Vec<_> =
        told["lines"].as_array().unwrap().iter().filter(|line| line["what"] == "proxy").collect();
    assert!(told["ok"] == false && proxies.len() == 2 && proxies[0]["ok"] == false, "{told:#}");
    assert_eq!(proxies[1]["text"], "https through http://proxy.example:3128 (https_proxy)");
    let text = behind(&factory, &["doctor"], &env)
        .exits(20)
        .says("MISSING  proxy                http_proxy cannot be taken apart")
        .out;
    for said in [ran.out, text] {
        assert!(!said.replace("s%40cret", "").contains("cret"), "{said}");
    }
}

/// As of OS_CLOUD and IMAGE_FACTORY_HOME.
#[test]
fn an_empty_variable_is_no_value_that_is_wrong() {
    let factory = good();
    let mut command = factory.command(&["validate", "--offline", "images/x"]);
    Ran::of(command.env("IMAGE_FACTORY_ACCEL", "").output().unwrap()).exits(0);
}

/// Members mean a shared image, and Glance refuses them of any other, after the build: told at
/// once, whoever says the other thing.
#[test]
fn members_of_an_image_that_is_not_shared_are_refused() {
    let vars = |more: &str| {
        format!(
            "bundle: {{name: x, img_base: b}}\nmembers: [p7]\nsteps: [{{shell: 'true'}}]\n{more}"
        )
    };
    let factory = Factory::new().bundle("images/x", &vars(""));
    factory.run(&["validate", "images/x"]).exits(0);
    factory.run(&["--set", "visibility=shared", "validate", "images/x"]).exits(0);
    for command in ["validate", "plan"] {
        for word in ["public", "private", "community"] {
            let said = format!("only shared images have members; this one is {word}");
            factory
                .run(&["--set", &format!("visibility={word}"), command, "images/x"])
                .exits(10)
                .says(&said);
            let option = Factory::new()
                .bundle("images/x", &vars(&format!("final_glance_options: --{word}\n")));
            option
                .run(&[command, "images/x"])
                .exits(10)
                .says(&said)
                .says("build-vars.yml:2:1: error");
        }
    }
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

/// One expression alone stays a value, whose text is counted all the same.
#[test]
fn a_template_renders_to_no_more_than_it_may() {
    let factory = good().file("images/x/output/a.j2", "{{ \"a\\nb\" | indent(10000000) }}");
    factory.run(&["render", "images/x"]).exits(10).says("renders to more than 4 MiB");
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
