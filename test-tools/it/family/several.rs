//! Several builds in one go.
use super::*;

#[test]
fn several_are_built_side_by_side_and_one_table_tells_of_them() {
    let factory = with_os(with_os(tree(), "other", ""), "broken", "")
        .script("os/broken/build.sh", "#!/bin/sh\necho no such luck >&2\nexit 7\n")
        .bundle(
            "images/web",
            "bundle: {name: web, img_base: os/broken}\nsteps: [{shell: 'true'}]\n",
        );
    let ran = build(&factory, &["images/web", "os/tiny", "os/broken", "os/other", "--jobs", "3"])
        .exits(30);
    for line in [
        "images/web  skipped: base os/broken failed",
        "os/broken   failed (30)",
        "os/tiny     built",
        "os/other    built",
    ] {
        assert!(ran.err.lines().any(|l| l.starts_with(line)), "`{line}` is not in\n{}", ran.err);
    }
    assert!(
        ran.err.lines().any(|l| l.starts_with("os/tiny: [00:")) && ran.err.contains("os/broken: "),
        "{}",
        ran.err
    );
    assert_eq!(
        (ids(&factory, "tiny").len(), ids(&factory, "other").len(), ids(&factory, "web").len()),
        (1, 1, 0)
    );

    // What jobs archive is of the one that failed, whichever ended last; so are its own results,
    // and those of the one that stands on it.
    for name in ["build.latest.log", "packer.latest.log"] {
        let log = std::fs::read_to_string(factory.tree().join(name)).unwrap();
        assert!(log.contains("no such luck") && !log.contains("is published, built"), "{log}");
    }
    for dir in ["os/target/broken", "images/target/web"] {
        let path = factory.tree().join(dir).join("image.properties");
        let properties = std::fs::read_to_string(path).unwrap();
        assert!(properties.starts_with("RESULT=failed\n"), "{properties}");
        assert!(properties.contains("\nEXIT_CODE=30\n"), "{properties}");
    }
    let listed = factory.run(&["run", "list"]).exits(0).out;
    for line in ["os/broken", "images/web", "os/tiny", "os/other"] {
        assert_eq!(listed.matches(line).count(), 1, "{listed}");
    }

    let ran = build(
        &factory,
        &["os/tiny", "os/other", "os/tiny", "--json", "--progress", "json", "--jobs", "2"],
    )
    .exits(0);
    let mut events: Vec<Value> =
        ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let table = events.pop().unwrap();
    assert!(
        !events.is_empty()
            && events.iter().all(|e| e["bundle"].as_str().is_some_and(|b| b.starts_with("os/"))),
        "{}",
        ran.out
    );
    assert_eq!(events.last().unwrap()["event"], "finished");
    assert_eq!(table["event"], "summary");
    assert_eq!(
        table["builds"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| r["outcome"].as_str().unwrap())
            .collect::<Vec<_>>(),
        ["built", "built"],
        "named twice is built once"
    );
}

/// Both machines fail to come up, there is no system in them; what counts is what was done for
/// them.
#[test]
fn a_base_that_two_need_is_built_once() {
    let web = |name: &str| {
        format!(
            "bundle: {{name: {name}, img_base: os/tiny}}\nsteps: [{{shell: 'true'}}]\nmachine: \
                {{ram: 64M}}\ntimeouts: {{ssh: 2s}}\n"
        )
    };
    let factory = tree().bundle("images/a", &web("a")).bundle("images/b", &web("b"));
    let ran = build(&factory, &["images/a", "images/b", "--jobs", "2"]).exits(20);
    assert_eq!(ran.err.matches("is missing: building it first").count(), 1, "{}", ran.err);
    assert!(
        ran.err.lines().any(|l| l.starts_with("os/tiny   built"))
            && ran.err.contains("images/b  failed (20)"),
        "{}",
        ran.err
    );
    assert_eq!(ids(&factory, "tiny").len(), 1);
    factory.run(&["sweep"]).exits(0).says("nothing to sweep");
}

/// A look at the builder makes no image: what the last build left for those that deploy stays as it
/// is.
#[test]
fn a_shell_leaves_the_outputs_of_builds_alone() {
    let web = "bundle: {name: web, img_base: os/tiny}\nsteps: [{shell: 'true'}]\nmachine: \
        {ram: 64M}\ntimeouts: {ssh: 2s}\n";
    let factory = tree().bundle("images/web", web);
    build(&factory, &["os/tiny"]).exits(0);
    let outputs = [
        "images/target/web/image.properties",
        "images/target/web/report.html",
        "build.latest.log",
        "packer.latest.log",
    ];
    let factory =
        outputs.iter().fold(factory, |factory, path| factory.file(path, "of the last build\n"));
    let command = factory.command(&["--accel", "tcg", "shell", "images/web"]);
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|w| format!("'{}'", w.display()))
        .collect();
    let mut terminal = factory.command(&[]);
    let mut on_terminal = std::process::Command::new("script");
    on_terminal.args(["-qec", &words.join(" "), "/dev/null"]).current_dir(factory.tree());
    for (name, value) in terminal.env("TERM", "dumb").get_envs() {
        _ = value.map(|value| on_terminal.env(name, value));
    }
    let ran = Ran::of(on_terminal.stdin(std::process::Stdio::null()).output().unwrap()).exits(20);
    assert!(ran.out.contains("not reached") || ran.out.contains("ssh"), "{}", ran.out);
    for path in outputs {
        assert_eq!(
            std::fs::read_to_string(factory.tree().join(path)).unwrap(),
            "of the last build\n",
            "{path}"
        );
    }
    let mut there: Vec<_> = std::fs::read_dir(factory.tree().join("images/target/web"))
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    there.sort();
    assert_eq!(there, ["image.properties", "report.html", "runs"], "it is in its own directory");
}

/// One signal: what runs is stopped in order, what waits is not begun, nothing is left.
#[test]
fn a_signal_stops_all() {
    let hang =
        |name: &str| format!("#!/bin/sh\ntouch \"$(dirname \"$OUT\")/{name}.begun\"\nsleep 60\n");
    let mut factory = tree();
    for name in ["x", "y"] {
        factory = with_os(factory, name, "");
        factory = factory.script(&format!("os/{name}/build.sh"), &hang(name));
    }
    let mut command =
        factory.command(&["build", "--no-smoke", "os/x", "os/y", "os/tiny", "--jobs", "2"]);
    let child = command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let begin = std::time::Instant::now();
    let began = |file: &str| {
        walkdir::WalkDir::new(factory.home().join("building"))
            .into_iter()
            .flatten()
            .any(|e| e.file_name() == file)
    };
    while !["x.begun", "y.begun"].iter().all(|file| began(file)) {
        assert!(begin.elapsed().as_secs() < 60, "the two were not begun side by side");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    // SAFETY: plain system call on a process that this test started.
    assert_eq!(unsafe { libc::kill(child.id() as i32, libc::SIGINT) }, 0);
    let ran = Ran::of(child.wait_with_output().unwrap()).exits(130);
    for line in ["os/x     stopped", "os/y     stopped", "os/tiny  not begun"] {
        assert!(ran.err.lines().any(|l| l.starts_with(line)), "`{line}` is not in\n{}", ran.err);
    }
    assert!(begin.elapsed().as_secs() < 60);
    factory.run(&["sweep"]).exits(0).says("nothing to sweep");
    assert!(images(&factory, "tiny").is_empty());
}
