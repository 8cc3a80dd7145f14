//! The wall, as a definition meets it: a source script that looks for secrets, that leaves
//! processes behind, whose factory is killed. Nothing is booted: a script that fails ends the
//! build.
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Factory, Ran};

const VARS: &str = "bundle: {name: x}\nsource: {script: build.sh}\n";
const SECRET: &str = "s3cret";

/// Looks where secrets are, and says what it did not find only by saying nothing.
const THIEF: &str = r#"
env
cat "$FACTORY_TEST/home/.config/openstack/clouds.yaml" "$FACTORY_TEST/home/.ssh/id" \
    "$FACTORY_TEST/home/images/i/disk" 2>&1
cat ~/.config/openstack/* ~/.ssh/* /etc/shadow /etc/gshadow /etc/ssh/*_key \
    /proc/*/environ 2>&1 | tr '\0' '\n'
ls -a /root /home "$FACTORY_TEST" "$FACTORY_TEST/home" 2>&1
find / -xdev -name clouds.yaml 2>/dev/null
"#;

fn script(body: &str) -> Factory {
    let test = "FACTORY_TEST=$(cd \"$(dirname \"$0\")/../../..\" && pwd)\n";
    let factory = Factory::new()
        .bundle("os/x", VARS)
        .script("os/x/build.sh", &format!("#!/bin/bash\n{test}{body}"));
    factory
        .file("../home/.config/openstack/clouds.yaml", SECRET)
        .file("../home/.ssh/id", SECRET)
        .file("../home/images/i/disk", SECRET)
        .file("../home/building/other/key", SECRET)
        .file("images/target/y/build.log", SECRET)
}

fn settings(factory: Factory, text: &str) -> Factory {
    factory.file("../config/image-factory/config.yml", text)
}

fn command(factory: &Factory) -> std::process::Command {
    let mut command =
        factory.command(&["--cloud", "local", "--accel", "tcg", "-vv", "build", "os/x"]);
    let home = factory.home();
    command.env("HOME", &home).env("XDG_CONFIG_HOME", home.parent().unwrap().join("config"));
    command.env("OS_PASSWORD", SECRET).env("A_TOKEN", SECRET);
    command
}

fn build(factory: &Factory) -> Ran {
    Ran::of(command(factory).output().unwrap())
}

#[test]
fn a_source_script_finds_no_secret_and_changes_nothing() {
    let tries = "
(echo x >\"$(dirname \"$0\")/new\") 2>/dev/null && echo WROTE definition
(echo x >/usr/new) 2>/dev/null && echo WROTE usr
(echo x >/etc/new) 2>/dev/null && echo WROTE etc
(echo x >/new) 2>/dev/null && echo WROTE root
for file in $(find /proc/sys /proc/sysrq-trigger /proc/irq /proc/bus /proc/fs -type f \
2>/dev/null); do
  : 2>/dev/null >>\"$file\" && echo WROTE $file
done
mount -o remount,rw /usr 2>/dev/null && echo REMOUNTED
umount /tmp 2>/dev/null && echo UNMOUNTED
mount -t tmpfs none /mnt 2>/dev/null && echo MOUNTED
unshare -Urm true 2>/dev/null && echo NAMESPACES
for pid in /proc/[0-9]*; do echo \"process $(tr '\\0' ' ' <$pid/cmdline 2>/dev/null)\"; done
echo caps $(grep CapEff /proc/self/status)
echo x >\"$TMPDIR/t\" && echo x >\"$OUT\" && echo x >~/h && echo room to work
exit 3
";
    let factory = script(&format!("{THIEF}{tries}"));
    let ran = build(&factory)
        .exits(30)
        .says("exit code 3")
        .says("room to work")
        .says("caps CapEff: 0000000000000000");
    let all = format!("{}{}", ran.out, ran.err);
    for word in [
        SECRET,
        "WROTE",
        "REMOUNTED",
        "UNMOUNTED",
        "MOUNTED",
        "NAMESPACES",
        "root:",
        "PRIVATE KEY",
        "image-factory --cloud",
    ] {
        assert!(!all.contains(word), "`{word}` in\n{all}");
    }
    assert!(!all.contains("wall: none"), "{all}");
}

/// The same script shows that it would find something: without a wall, at the owner's wish. What is
/// in the environment is not passed on then either.
#[test]
fn without_a_wall_that_is_said_and_the_environment_is_kept_all_the_same() {
    let factory = settings(
        script(&format!(
            "cat \"$FACTORY_TEST/home/.ssh/id\"; echo; env | grep -c {SECRET}; exit 3"
        )),
        "wall: off\n",
    );
    build(&factory)
        .exits(30)
        .says(SECRET)
        .says("wall: off, as the owner's settings say")
        .says("| 0");
}

#[test]
fn a_machine_that_cannot_is_told_of() {
    let fake = |settings_text: &str| {
        let factory = settings(script("exit 3"), settings_text)
            .script("../bin/bwrap", "#!/bin/sh\necho no user namespaces >&2\nexit 1\n");
        let bin = factory.tree().join("../bin").canonicalize().unwrap();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        Ran::of(command(&factory).env("PATH", path).output().unwrap())
    };
    fake("wall: auto\n").exits(30).says("wall: none (no namespaces").says("no user namespaces");
    fake("wall: required\n")
        .exits(20)
        .says("the owner's settings require the wall")
        .says("hint: user namespaces are needed");
}

#[test]
fn a_script_without_the_wall_is_the_owners_to_allow() {
    let asks = |text: &str| {
        let factory =
            script(&format!("cat \"$FACTORY_TEST/home/.ssh/id\"; env | grep -c {SECRET}; exit 3"));
        settings(
            factory.bundle("os/x", "bundle: {name: x}\nsource: {script: build.sh, wall: none}\n"),
            text,
        )
    };
    let refused = build(&asks("wall: auto\n"))
        .exits(20)
        .says("asks to run without the wall")
        .says("definition: os/x, unwalled: true");
    assert!(!refused.err.contains(SECRET));
    build(&asks("allow: [{definition: os/x, unwalled: true}]\n"))
        .exits(30)
        .says(SECRET)
        .says("runs without it, as is allowed");
}

#[test]
fn settings_that_the_tree_could_have_written_are_refused() {
    let factory = script("exit 3").file("config/image-factory/config.yml", "wall: off\n");
    let config = factory.tree().join("config");
    Ran::of(command(&factory).env("XDG_CONFIG_HOME", config).output().unwrap())
        .exits(20)
        .says("lie in the factory tree");
    build(&settings(script("exit 3"), "wal: off\n"))
        .exits(20)
        .says("config.yml:1:1: error: unknown key `wal`");
}

/// Processes whose command line holds `word`.
fn alive(word: &str) -> Vec<i32> {
    let pids = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse().ok());
    let holds = |pid: &i32| {
        std::fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|c| String::from_utf8_lossy(&c).contains(word))
    };
    let lives = |pid: &i32| {
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| !s.contains(") Z "))
    };
    pids.filter(holds).filter(lives).collect()
}

#[track_caller]
fn assert_gone(word: &str) {
    let end = Instant::now() + Duration::from_secs(10);
    while !alive(word).is_empty() {
        assert!(Instant::now() < end, "still alive: {:?}", alive(word));
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A number of seconds that no other test sleeps.
fn nap() -> String {
    format!(
        "{}.{}",
        100_000 + std::process::id(),
        Instant::now().elapsed().subsec_nanos() + uuid::Uuid::new_v4().as_u128() as u32 % 1_000_000
    )
}

#[test]
fn what_a_script_leaves_running_ends_with_it() {
    for wall in ["auto", "off"] {
        let nap = nap();
        let leave = format!(
            "setsid sleep {nap} >/dev/null 2>&1 </dev/null & setsid sleep {nap} & sleep 0.3; exit 3"
        );
        let factory = settings(script(&leave), &format!("wall: {wall}\n"));
        build(&factory).exits(30);
        assert_eq!(alive(&nap), [0; 0], "wall: {wall}");
    }
}

/// A step that has too many processes ends at once and with the reason, and so do they.
#[test]
fn a_script_that_multiplies_is_ended() {
    let nap = nap();
    let many = format!("for i in $(seq 150); do setsid sleep {nap} & done; sleep {nap}");
    let factory = settings(script(&many), "limits: {processes: 60}\n");
    build(&factory)
        .exits(30)
        .says("build.sh: killed, for it had")
        .says("and 60 are allowed together");
    assert_gone(&nap);
}

fn started(factory: &Factory, nap: &str) -> Child {
    let child = command(factory).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    while alive(&format!("sleep\0{nap}")).is_empty() {
        assert!(Instant::now() < end, "the script does not start");
        std::thread::sleep(Duration::from_millis(50));
    }
    child
}

#[test]
fn a_factory_that_is_killed_takes_what_is_behind_the_wall_along() {
    let nap = nap();
    let factory = script(&format!("trap '' TERM INT HUP; setsid sleep {nap} & sleep {nap}"));
    let mut child = started(&factory, &nap);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_gone(&format!("sleep\0{nap}"));
}

/// Its memory holds passwords. What it starts is as it always was.
#[test]
fn the_factory_leaves_no_core() {
    use std::os::unix::process::ExitStatusExt;
    let dumps = |mut child: Child| {
        // SAFETY: plain system call; the child is not reaped yet.
        unsafe { libc::kill(child.id() as i32, libc::SIGABRT) };
        child.wait().unwrap().core_dumped()
    };
    let dir = tempfile::tempdir().unwrap();
    let with_cores = |program: &std::ffi::OsStr| {
        let mut shell = std::process::Command::new("sh");
        shell
            .args(["-c", "ulimit -c unlimited 2>/dev/null; exec \"$@\"", "sh"])
            .arg(program)
            .current_dir(dir.path());
        shell.stdout(Stdio::null()).stderr(Stdio::null());
        shell
    };
    let nap = nap();
    let factory = script(&format!("sleep {nap}"));
    let plain = command(&factory);
    let mut ours = with_cores(plain.get_program());
    ours.args(plain.get_args()).arg("--tree").arg(factory.tree());
    plain.get_envs().for_each(|(name, value)| match value {
        Some(value) => drop(ours.env(name, value)),
        None => drop(ours.env_remove(name)),
    });
    let child = ours.spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    while alive(&format!("sleep\0{nap}")).is_empty() {
        assert!(Instant::now() < end, "the script does not start");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(!dumps(child), "the factory left a core");
    assert_gone(&format!("sleep\0{nap}"));
    let control = with_cores("sleep".as_ref()).arg("60").spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    if !dumps(control) {
        eprintln!("this machine writes no cores at all: nothing was shown");
    }
}

/// What the factory publishes is what the script wrote, and no file that it named.
#[test]
fn a_disk_that_is_a_link_is_none() {
    for made in [
        "ln -s /usr/bin/env \"$OUT\"",
        "echo x >\"$OUT.x\"; ln \"$OUT.x\" \"$OUT\"",
        "mkfifo \"$OUT\"",
        "mkdir \"$OUT\"",
    ] {
        build(&script(&format!("{made}\n"))).exits(30).says("$OUT ");
    }
}

/// It is told of the script, before the image goes anywhere.
#[test]
fn what_is_no_disk_is_told_of_the_script_that_wrote_it() {
    let cut_off = "printf 'QFI\\373' >\"$OUT\"";
    for (made, why) in [
        (
            "echo '<html>404</html>' >\"$OUT\"",
            "is neither a qcow2 image nor a disk with a boot sector",
        ),
        (": >\"$OUT\"", "is neither a qcow2 image"),
        (cut_off, "is a qcow2 image cut off in its header"),
        ("printf '\\037\\213x' >\"$OUT\"", "is compressed with gzip: unpack it first"),
    ] {
        let told = format!("build.sh: source.script wrote no disk image: $OUT {why}");
        let ran = build(&script(&format!("{made}\n"))).exits(30).says(&told);
        assert!(!ran.err.contains("importing"), "{}", ran.err);
    }
}

/// A build-vars.yml that names another file as the script does not run it as the shipped
/// definition's.
#[test]
fn a_shipped_name_runs_no_other_script() {
    use std::process::Command;
    let factory = Factory::new();
    let from = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("os/debian-12");
    let copied =
        Command::new("cp").arg("-R").arg(from).arg(factory.tree().join("os")).status().unwrap();
    assert!(copied.success());
    let vars = "bundle: {name: debian-12}\nsource: {script: tests/evil.sh, wall: none}\n";
    let factory = factory
        .bundle("os/debian-12", vars)
        .script("os/debian-12/tests/evil.sh", "#!/bin/sh\necho RAN\nexit 1\n");
    let ran = factory
        .run(&["--accel", "tcg", "build", "os/debian-12"])
        .exits(20)
        .says("which nobody has allowed");
    assert!(!ran.err.contains("RAN"), "{}", ran.err);
}

/// What is hidden is hidden however deep below it a link leads.
#[test]
fn a_link_below_what_is_hidden_shows_nothing() {
    let factory = script("cat \"$(dirname \"$0\")/peek/\"*; exit 1\n")
        .file("os/target/y/runs/build.log", SECRET);
    let link = factory.tree().join("os/x/peek");
    std::os::unix::fs::symlink("../target/y/runs", link).unwrap();
    let ran = build(&factory);
    assert!(!ran.err.contains(SECRET) && !ran.out.contains(SECRET), "{}", ran.err);
    assert!(ran.err.contains("which no definition is shown"), "{}", ran.err);
}

/// Root behind the wall has no privileges: a tree that only its owner may read is shown as a copy.
#[test]
fn root_builds_in_a_tree_of_another_user() {
    // SAFETY: plain system call without arguments.
    if unsafe { libc::geteuid() } != 0 {
        println!("NOT CHECKED: only root has trees of others to build in");
        return;
    }
    let factory = script("cat \"$(dirname \"$0\")/own\"; exit 1\n").file("os/x/own", "legible");
    let changed = std::process::Command::new("chown")
        .args(["-R", "12345"])
        .arg(factory.tree().join("os"))
        .status()
        .unwrap();
    assert!(changed.success());
    for path in ["os/x/own", "os/x/build.sh", "os"] {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(factory.tree().join(path), std::fs::Permissions::from_mode(0o700))
            .unwrap();
    }
    build(&factory).exits(30).says("legible");
}
