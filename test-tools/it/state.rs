//! What a run owns is written down where nobody tidies up, and in directories that are ours alone: the program as a user
//! calls it, with what a user, another user or a tree does to it meanwhile.
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::support::{Factory, Ran};
use super::tiny_disk::tiny_disk;

/// `os/slow`, whose script waits for the file `go` beside it.
fn slow() -> Factory {
    let factory = Factory::new();
    let dir = factory.tree().join("os/slow");
    std::fs::create_dir_all(&dir).unwrap();
    tiny_disk(&dir);
    let script = "#!/bin/sh\necho waiting\nwhile [ ! -e go ]; do [ -e \"$0\" ] || exit 1; sleep 0.1; done\n\
                  echo went on\ncp tiny.img \"$OUT\"\n";
    let vars = "bundle: {name: slow}\nsource: {script: build.sh}\n";
    factory.bundle("os/slow", vars).script("os/slow/build.sh", script)
}

fn begin(factory: &Factory) -> (Child, String) {
    let mut command = factory.command(&["--accel", "tcg", "build", "--no-smoke", "os/slow"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let log = |run: &str| factory.tree().join("os/target/slow/runs").join(run).join("build.log");
    let found = soon(|| runs(factory).into_iter().find(|r| std::fs::read_to_string(log(r)).is_ok_and(|t| t.contains("waiting"))));
    (child, found)
}

fn soon<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "it did not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn names(dir: &Path) -> Vec<String> {
    std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect()
}

fn runs(factory: &Factory) -> Vec<String> {
    names(&factory.home().join("runs"))
}

/// What `make clean` does to the tree.
fn clean(factory: &Factory) {
    std::fs::remove_dir_all(factory.tree().join("os/target")).unwrap();
}

#[test]
fn a_run_whose_workspace_is_emptied_is_alive_and_ends_well() {
    let factory = slow();
    let (child, run) = begin(&factory);
    clean(&factory);
    factory.run(&["sweep"]).exits(0).says(&format!("{run}: alive, left alone"));
    std::fs::write(factory.tree().join("os/slow/go"), "").unwrap();
    Ran::of(child.wait_with_output().unwrap()).exits(0);
    let dir = factory.tree().join("os/target/slow/runs").join(&run);
    let log = std::fs::read_to_string(dir.join("build.log")).unwrap();
    assert!(log.contains("waiting") && log.contains("went on"), "{log}");
    for file in ["plan.json", "ledger.jsonl", "events.jsonl", "result.json"] {
        assert!(dir.join(file).is_file(), "{file}");
    }
    factory.run(&["run", "show", &run]).exits(0).says("outcome   built");
    assert_eq!(runs(&factory), [""; 0]);
    factory.run(&["sweep"]).exits(0).says("nothing to sweep");
}

#[test]
fn what_a_killed_run_owned_is_found_though_its_workspace_is_gone() {
    let factory = slow();
    let (mut child, run) = begin(&factory);
    child.kill().unwrap();
    child.wait().unwrap();
    clean(&factory);
    let building = factory.home().join("building").join(&run);
    assert!(building.is_dir());
    factory.run(&["sweep", "--dry-run"]).exits(0).says("would remove directory");
    assert!(building.is_dir());
    factory.run(&["sweep"]).exits(0).says("removed directory");
    assert!(!building.exists());
    assert_eq!(runs(&factory), [""; 0]);
}

#[test]
fn a_damaged_record_beside_it_stops_neither_sweep_nor_build() {
    let factory = slow();
    let (mut child, run) = begin(&factory);
    child.kill().unwrap();
    child.wait().unwrap();
    let index = factory.home().join("runs");
    std::fs::write(index.join("a-file"), "").unwrap();
    std::os::unix::fs::symlink("/nowhere", index.join("old")).unwrap();
    let mut ledger = std::fs::OpenOptions::new().append(true).open(index.join(&run).join("ledger.jsonl")).unwrap();
    ledger.write_all(b"{\"record\":\"int{\"record\":\"gone\",\"seq\":77}\n").unwrap();
    let swept = factory.run(&["sweep"]).exits(0).says("is no record").says("set aside");
    let swept = swept.says("a-file: its record is damaged, left alone").says("/nowhere is gone");
    assert!(!swept.out.contains("nothing to sweep"), "{}", swept.out);
    std::fs::write(factory.tree().join("os/slow/go"), "").unwrap();
    factory.run(&["--accel", "tcg", "build", "--no-smoke", "os/slow"]).exits(0);
    factory.run(&["image", "prune", "slow", "--keep", "1"]).exits(0);
    assert_eq!(names(&index).len(), 3, "a-file, old, .aside");
}

/// Who has built wants to open what came of it: template and report are named, each once.
#[test]
fn the_last_lines_name_what_was_rendered_and_the_report() {
    let factory = slow().file("os/slow/go", "").file("os/slow/output/x.heat.yml.j2", "image: {{ result_img_id }}\n");
    let ran = factory.run(&["--accel", "tcg", "build", "--no-smoke", "os/slow"]).exits(0);
    for line in ["rendered: os/target/slow/output/x.heat.yml", "report: os/target/slow/report.html"] {
        assert_eq!(ran.err.lines().filter(|l| *l == line).count(), 1, "{line}\n{}", ran.err);
        assert!(factory.tree().join(line.split_once(": ").unwrap().1).exists(), "{line}");
    }
}

/// What strace sees of one thread: system calls in their order. The program keeps its memory, and so the arguments of its
/// calls, from all but root.
#[test]
fn intents_reach_the_disk_before_what_they_announce() {
    // SAFETY: no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        eprintln!("not tried: only root sees what the program writes");
        return;
    }
    let factory = slow();
    std::fs::write(factory.tree().join("os/slow/go"), "").unwrap();
    let trace = factory.tree().join("../trace");
    let program = factory.command(&[]).get_program().to_owned();
    let mut strace = std::process::Command::new("strace");
    let plain = factory.command(&[]);
    strace.envs(plain.get_envs().filter_map(|(k, v)| Some((k, v?)))).current_dir(factory.tree());
    strace.args(["-f", "-y", "-s", "64", "-e", "trace=write,fsync,fdatasync,mkdir,mkdirat,rename,renameat,renameat2", "-o"]);
    let ran = strace.arg(&trace).arg(program).args(["--accel", "tcg", "build", "--no-smoke", "os/slow"]).output();
    let Ok(ran) = ran else { panic!("strace is not installed: run `setup/dependencies test`") };
    let text = std::fs::read_to_string(&trace).unwrap_or_default();
    if text.is_empty() && String::from_utf8_lossy(&ran.stderr).contains("ptrace") {
        eprintln!("not tried: this machine does not let us trace");
        return;
    }
    Ran::of(ran).exits(0);
    let calls = text.lines().filter_map(|l| l.split_once(char::is_whitespace));
    let lines: Vec<(&str, &str)> = calls.filter(|(_, c)| c.trim().starts_with(|c: char| c.is_ascii_lowercase())).collect();
    let mut seen = 0;
    for (at, (thread, call)) in lines.iter().enumerate().filter(|(_, (_, c))| c.trim().starts_with("write(") && c.contains("ledger.jsonl>"))
    {
        let next = lines[at + 1..].iter().find(|(t, _)| t == thread).map(|(_, c)| c.trim());
        assert!(next.is_some_and(|c| c.starts_with("fdatasync(") && c.contains("ledger.jsonl>")), "{call}: then {next:?}");
        seen += 1;
    }
    assert!(seen >= 6, "the run's record, intents and answers: {seen}");
    let place = |what: &dyn Fn(&str) -> bool| lines.iter().position(|(_, c)| what(c.trim())).unwrap();
    let made = place(&|c| c.starts_with("mkdir") && c.contains("home/building/2"));
    let intent = place(&|c| c.starts_with("write(") && c.contains("ledger.jsonl>") && c.contains("intent"));
    let plan = place(&|c| c.starts_with("rename") && c.contains("plan.json"));
    let entry = place(&|c| c.starts_with("rename") && c.contains("home/runs/.coming-") && !c.contains("image-name"));
    let synced = lines[entry..intent].iter().any(|(_, c)| c.trim().starts_with("fsync(") && c.contains("home/runs>"));
    assert!(
        entry < plan && plan < intent && synced && intent < made,
        "plan {plan}, entry {entry} ({synced}), intent {intent}, made {made}"
    );
    assert!(lines[..plan].iter().any(|(_, c)| c.trim().starts_with("fsync(") && c.contains("/.new-")), "plan.json is synced");
}

/// A short directory for XDG_RUNTIME_DIR.
fn runtime() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::Builder::new().prefix("xr").tempdir_in("/tmp").unwrap();
    let inner = dir.path().join("image-factory");
    (dir, inner)
}

fn with_runtime(factory: &Factory, dir: &Path, args: &[&str]) -> Ran {
    Ran::of(factory.command(args).env("XDG_RUNTIME_DIR", dir).output().unwrap())
}

#[test]
fn a_runtime_directory_that_is_not_ours_alone_is_refused_by_every_command() {
    let factory = slow();
    std::fs::write(factory.tree().join("os/slow/go"), "").unwrap();
    let build: &[&str] = &["--accel", "tcg", "build", "--no-smoke", "os/slow"];
    let commands: [&[&str]; 5] = [build, &["plan", "os/slow"], &["sweep"], &["test", "slow"], &["shell", "os/slow"]];
    let refused = |dir: &Path, why: &str| {
        for args in commands {
            with_runtime(&factory, dir, args).exits(20).says(why).says("XDG_RUNTIME_DIR");
        }
        assert_eq!(names(&dir.join("image-factory")), [""; 0], "nothing is below it");
        assert!(!factory.home().join("runs").exists() && !factory.home().join("building").exists());
    };
    let (dir, inner) = runtime();
    let (_elsewhere, other) = runtime();
    std::fs::create_dir(&other).unwrap();
    std::os::unix::fs::symlink(&other, &inner).unwrap();
    refused(dir.path(), "is no directory");
    let (dir, inner) = runtime();
    std::fs::create_dir(&inner).unwrap();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o777)).unwrap();
    refused(dir.path(), "may be replaced by anybody");
    let (dir, inner) = runtime();
    std::fs::create_dir(&inner).unwrap();
    if std::os::unix::fs::chown(&inner, Some(12345), None).is_ok() {
        refused(dir.path(), "belongs to user 12345");
        with_runtime(&factory, dir.path(), &["--cloud", "x", "sweep"]).exits(20).says("belongs to user 12345");
    }
    let (dir, inner) = runtime();
    std::fs::create_dir(&inner).unwrap();
    std::fs::set_permissions(&inner, PermissionsExt::from_mode(0o777)).unwrap();
    with_runtime(&factory, dir.path(), build).exits(0);
    assert_eq!(inner.metadata().unwrap().mode() & 0o777, 0o700, "ours, and closed");
    assert_eq!(factory.home().metadata().unwrap().mode() & 0o777, 0o700);
}

#[test]
fn a_home_of_another_user_is_refused() {
    let factory = slow();
    std::fs::create_dir(factory.home()).unwrap();
    if std::os::unix::fs::chown(factory.home(), Some(12345), None).is_err() {
        eprintln!("not tried: only root can give a directory away");
        return;
    }
    factory.run(&["plan", "os/slow"]).exits(20).says("belongs to user 12345").says("IMAGE_FACTORY_HOME");
    assert_eq!(names(&factory.home()), [""; 0]);
}

/// A tree with a clouds.yaml of its own, and a listener at the address in it that keeps what it is sent.
#[test]
fn a_clouds_yaml_of_the_tree_is_told_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let trap = format!("http://{}/v3", listener.local_addr().unwrap());
    let heard = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut text = [0; 4096];
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let length = stream.read(&mut text).unwrap_or(0);
        let _ = stream.write_all(b"HTTP/1.1 401 no\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        String::from_utf8_lossy(&text[..length]).into_owned()
    });
    let entry = |url: &str| format!("clouds:\n  mine:\n    auth: {{auth_url: '{url}', username: u, project_name: p}}\n");
    let factory = slow().file("clouds.yaml", &entry(&trap)).file("images/clouds.yaml", &entry(&trap));
    std::fs::write(factory.tree().join("../clouds.yaml"), entry(&trap)).unwrap();
    let config = factory.tree().join("../config");
    std::fs::create_dir_all(config.join("openstack")).unwrap();
    std::fs::write(config.join("openstack/clouds.yaml"), entry("http://127.0.0.1:9/v3")).unwrap();
    std::fs::write(config.join("openstack/secure.yaml"), "clouds: {mine: {auth: {password: s3cr3t}}}\n").unwrap();
    let run = |dir: &str, args: &[&str]| {
        let mut command = factory.command(args);
        command.env_remove("OS_CLIENT_CONFIG_FILE").env("OS_CLOUD", "mine").env("XDG_CONFIG_HOME", &config);
        Ran::of(command.current_dir(factory.tree().join(dir)).output().unwrap())
    };
    for (dir, args) in
        [(".", &["plan", "os/slow"][..]), ("images", &["plan", "os/slow"]), ("os/slow", &["sweep"]), ("..", &["--tree", "tree", "sweep"])]
    {
        let ran = run(dir, args).exits(20).says("127.0.0.1:9 is not reached");
        assert_eq!(ran.err.contains("clouds.yaml is not read: it lies "), dir != "os/slow", "{}", ran.err);
    }
    // The listener was not asked until now: it hears of the one that was meant, and that without the secret of the other file.
    assert!(!heard.is_finished());
    run(".", &["--clouds-file", "clouds.yaml", "plan", "os/slow"]).exits(20).says("password");
    let mut asked = factory.command(&["--clouds-file", "clouds.yaml", "plan", "os/slow"]);
    Ran::of(asked.env("OS_CLOUD", "mine").env("OS_PASSWORD", "asked-for").output().unwrap()).exits(20);
    let heard = heard.join().unwrap();
    assert!(heard.contains("/v3/auth/tokens") && !heard.contains("s3cr3t"), "{heard}");
}
