//! `remote::ssh` against a real OpenSSH server: that what it says about a command is what happened,
//! on good days and bad.
use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use image_factory::testing::guest::ssh::Ssh;
use image_factory::testing::guest::{
    Command, Connect, Exit, OnOutput, Remote, RemoteError, Stream, Target, Transfer, keys,
};

use crate::sshd::Sshd;

mod modes;

const SOON: Duration = Duration::from_secs(20);

async fn connect(sshd: &Sshd) -> Arc<dyn Remote> {
    Ssh.connect(&sshd.target, SOON).await.unwrap()
}

fn sh(script: &str) -> Command {
    Command {
        script: script.into(),
        args: vec![],
        env: BTreeMap::new(),
        sudo: false,
        deadline: SOON,
    }
}

#[derive(Clone, Default)]
struct Heard(Arc<Mutex<(Vec<u8>, Vec<u8>)>>);

impl Heard {
    fn ear(&self) -> OnOutput {
        let heard = self.0.clone();
        Box::new(move |stream, data| {
            let mut heard = heard.lock().unwrap();
            match stream {
                Stream::Stdout => heard.0.extend_from_slice(data),
                Stream::Stderr => heard.1.extend_from_slice(data),
            }
        })
    }
    fn out(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap().0).into_owned()
    }
    fn err(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap().1).into_owned()
    }
}

async fn run(remote: &dyn Remote, command: Command) -> (Result<Exit, RemoteError>, String, String) {
    let heard = Heard::default();
    let exit = remote.exec(command, heard.ear()).await;
    (exit, heard.out(), heard.err())
}

async fn put(remote: &dyn Remote, src: &Path, dest: &str) -> Result<(), RemoteError> {
    remote.put(&soon(src, dest, false), Box::new(|_, _| {})).await
}

fn soon<'t>(src: &'t Path, dest: &'t str, sudo: bool) -> Transfer<'t> {
    Transfer { src, dest, mode: None, sudo, deadline: SOON }
}

/// Waits until none of the processes named in `pids` lives. (One that nobody reaps is dead enough.)
async fn assert_gone(pids: &str) {
    let pids: Vec<&str> = pids.split_whitespace().collect();
    assert!(!pids.is_empty(), "the script did not tell its processes");
    let alive = |pid: &&&str| {
        std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| !stat.contains(") Z "))
    };
    let end = Instant::now() + Duration::from_secs(5);
    while pids.iter().any(|pid| alive(&pid)) {
        assert!(
            Instant::now() < end,
            "still alive: {:?}",
            pids.iter().filter(alive).collect::<Vec<_>>()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn files_in(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn exits_are_told_as_they_were() {
    let sshd = Sshd::start();
    let remote = connect(&sshd).await;
    let (exit, out, err) = run(&*remote, sh("echo out; echo err >&2")).await;
    assert_eq!((exit.unwrap(), &*out, &*err), (Exit::Code(0), "out\n", "err\n"));
    assert_eq!(run(&*remote, sh("exit 7")).await.0.unwrap(), Exit::Code(7));
    assert_eq!(run(&*remote, sh("exit 143")).await.0.unwrap(), Exit::Code(143));
    assert_eq!(run(&*remote, sh("kill -TERM $$")).await.0.unwrap(), Exit::Signal("TERM".into()));
    assert_eq!(run(&*remote, sh("kill -KILL $$")).await.0.unwrap(), Exit::Signal("KILL".into()));
    // `sh -e`, and a script without a last newline.
    assert_eq!(run(&*remote, sh("false\necho not here")).await.0.unwrap(), Exit::Code(1));
    assert_eq!(run(&*remote, sh("")).await.0.unwrap(), Exit::Code(0));
}

#[tokio::test]
async fn both_streams_are_drained() {
    let sshd = Sshd::start();
    let remote = connect(&sshd).await;
    let (exit, out, err) = run(&*remote, sh("head -c 8000000 /dev/zero >&2; echo done")).await;
    assert_eq!((exit.unwrap(), &*out, err.len()), (Exit::Code(0), "done\n", 8_000_000));
    let (exit, out, _) = run(&*remote, sh("head -c 67108864 /dev/zero")).await;
    assert_eq!((exit.unwrap(), out.len()), (Exit::Code(0), 67_108_864));
}

#[tokio::test]
async fn commands_run_side_by_side() {
    let sshd = Sshd::start();
    let remote = connect(&sshd).await;
    let start = Instant::now();
    // More than sshd's MaxSessions: the rest waits its turn.
    let many: Vec<_> = (0..25)
        .map(|n| {
            let remote = remote.clone();
            tokio::spawn(async move {
                run(&*remote, sh(&format!("sleep 1; exit {n}"))).await.0.unwrap()
            })
        })
        .collect();
    remote.ping(SOON).await.unwrap();
    for (n, task) in many.into_iter().enumerate() {
        assert_eq!(task.await.unwrap(), Exit::Code(n as i32));
    }
    // One after the other they would take 25 s; the rest is room for a busy machine.
    assert!(start.elapsed() < Duration::from_secs(16), "{:?}", start.elapsed());

    let slow = remote.clone();
    let slow = tokio::spawn(async move { run(&*slow, sh("sleep 3; exit 3")).await.0.unwrap() });
    assert_eq!(run(&*remote, sh("echo quick")).await.1, "quick\n");
    assert!(!slow.is_finished(), "the quick one waited for the slow one");
    // Nothing is said for three seconds, and that is nobody's failure.
    assert_eq!(slow.await.unwrap(), Exit::Code(3));
}

#[tokio::test]
async fn scripts_have_their_input_arguments_and_environment() {
    let sshd = Sshd::start();
    let remote = connect(&sshd).await;
    let (_, out, _) = run(&*remote, sh("cat; echo after cat")).await;
    assert_eq!(out, "after cat\n", "the script's own text must not be its input");

    let mut command = sh(
        "#!/usr/bin/env -S perl -w\nprint \"perl: @ARGV $ENV{A}\\n\"; while (<STDIN>) { print }",
    );
    command.args = vec!["a b".into(), "it's".into(), "-x".into(), "".into(), "$HOME".into()];
    command.env = BTreeMap::from([("A".into(), "1".into())]);
    let (exit, out, err) = run(&*remote, command.clone()).await;
    assert_eq!((exit.unwrap(), &*out, &*err), (Exit::Code(0), "perl: a b it's -x  $HOME 1\n", ""));

    let odd = "it's \"two\"\nlines \\n $HOME `x` \u{e9}\n";
    command.script =
        "printf '%s|' \"$@\"; printf '%s' \"$A\"; umask; tr '\\0' ' ' </proc/$$/cmdline".into();
    command.env = BTreeMap::from([("A".into(), odd.into()), ("s".into(), "secret".into())]);
    command.sudo = true;
    let (exit, out, err) = run(&*remote, command.clone()).await;
    assert_eq!(exit.unwrap(), Exit::Code(0), "{err}");
    let (args, rest) = out.split_at(out.find("|it's \"two").unwrap() + 1);
    assert_eq!(args, "a b|it's|-x||$HOME|");
    let rest = rest.strip_prefix(odd).unwrap();
    assert!(
        rest.starts_with("00") && !rest.starts_with("0077"),
        "the umask is the machine's own: {rest}"
    );
    assert!(!rest.contains("printf") && !rest.contains("secret"), "on the command line: {rest}");

    command.env = BTreeMap::from([("A-B".into(), "x".into())]);
    assert!(matches!(run(&*remote, command).await.0, Err(RemoteError::Command(_))));
    let big = format!("{}\necho whole", "# filler\n".repeat(200_000));
    assert_eq!(run(&*remote, sh(&big)).await.1, "whole\n");
}

const FAMILY: &str = "trap '' HUP; sh -c 'trap \"\" TERM; echo $$; while :; do sleep 0.1; done' & \
    sleep 300 & echo $$ $!; wait";

#[tokio::test]
async fn a_deadline_kills_the_whole_group() {
    let sshd = Sshd::start();
    let remote = connect(&sshd).await;
    for sudo in [false, true] {
        let command = Command { deadline: Duration::from_secs(2), sudo, ..sh(FAMILY) };
        let (exit, pids, _) = run(&*remote, command).await;
        assert!(
            matches!(exit, Err(RemoteError::Deadline(d)) if d == Duration::from_secs(2)),
            "{exit:?}"
        );
        assert_gone(&pids).await;
    }
    assert_eq!(run(&*remote, sh("exit 4")).await.0.unwrap(), Exit::Code(4), "the session lives on");
}

#[tokio::test]
async fn a_dropped_call_kills_the_whole_group() {
    let sshd = Sshd::start();
    let mut session = Some(connect(&sshd).await);
    // The second time even the session is let go in the same breath.
    for let_go in [false, true] {
        let (heard, remote) = (Heard::default(), session.clone().unwrap());
        let family = async {
            while heard.out().split_whitespace().count() < 3 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            exit = remote.exec(sh(FAMILY), heard.ear()) => panic!("{exit:?}"),
            () = family => {}
        }
        if let_go {
            session = None;
        }
        drop(remote);
        assert_gone(&heard.out()).await;
    }
}

#[tokio::test]
async fn a_lost_connection_is_never_an_exit() {
    let sshd = Sshd::start();
    let remote = connect(&sshd).await;
    let other = remote.clone();
    let other = tokio::spawn(async move { run(&*other, sh("sleep 2")).await.0 });
    let (exit, out, _) =
        run(&*remote, sh("echo before; sleep 0.3; kill -9 $PPID; sleep 1; exit 0")).await;
    assert!(matches!(exit, Err(RemoteError::Lost(_))), "{exit:?}");
    assert_eq!(out, "before\n");
    assert!(matches!(other.await.unwrap(), Err(RemoteError::Lost(_))));
    assert!(matches!(run(&*remote, sh("true")).await.0, Err(RemoteError::Lost(_))));
    assert!(matches!(remote.ping(SOON).await, Err(RemoteError::Lost(_))));
}

#[tokio::test]
async fn a_frozen_peer_does_not_answer_a_ping() {
    let sshd = Sshd::start();
    let remote = connect(&sshd).await;
    let pid: i32 = run(&*remote, sh("echo $PPID")).await.1.trim().parse().unwrap();
    // SAFETY: a process of our own sshd.
    let signal = |signal| assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    remote.ping(SOON).await.unwrap();
    signal(libc::SIGSTOP);
    let start = Instant::now();
    let answer = remote.ping(Duration::from_secs(1)).await;
    assert!(matches!(answer, Err(RemoteError::Lost(_))), "{answer:?}");
    assert!(start.elapsed() < Duration::from_secs(4));
    signal(libc::SIGCONT);
    remote.ping(SOON).await.unwrap();
    assert_eq!(run(&*remote, sh("exit 4")).await.0.unwrap(), Exit::Code(4));
}

#[tokio::test]
async fn only_the_pinned_machine_and_the_right_key_will_do() {
    let sshd = Sshd::start();
    let with = |change: fn(&mut Target)| {
        let mut target = sshd.target.clone();
        change(&mut target);
        async move { Ssh.connect(&target, Duration::from_secs(5)).await.err().unwrap() }
    };
    let error =
        with(|t| t.host_keys = vec![keys::generate_key("other").public_key().clone()]).await;
    let RemoteError::HostKey { shown, .. } = &error else { panic!("{error:?}") };
    let fingerprint = sshd.target.host_keys[0].fingerprint(ssh_key::HashAlg::Sha256).to_string();
    assert!(shown.contains("ssh-ed25519") && shown.contains(&fingerprint), "{shown}");
    assert!(matches!(with(|t| t.host_keys.clear()).await, RemoteError::HostKey { .. }));
    let error = with(|t| t.key = Arc::new(keys::generate_key("other"))).await;
    assert!(matches!(error, RemoteError::Refused { .. }), "{error:?}");
    let error = with(|t| t.port = 1).await;
    assert!(
        matches!(&error, RemoteError::Unreachable { reason, .. } if reason.contains("refused")),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_port_that_is_open_but_deaf_is_unreachable() {
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let key = keys::generate_key("x");
    let target = Target {
        host: "127.0.0.1".into(),
        port: deaf.local_addr().unwrap().port(),
        user: "x".into(),
        host_keys: vec![key.public_key().clone()],
        key: Arc::new(key),
    };
    let start = Instant::now();
    let error = Ssh.connect(&target, Duration::from_secs(1)).await.err().unwrap();
    assert!(matches!(error, RemoteError::Unreachable { .. }), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_file_arrives_whole_or_not_at_all() {
    let sshd = Sshd::start();
    let remote = connect(&sshd).await;
    let (here, there) = (sshd.dir.path().join("here"), sshd.dir.path().join("there"));
    let content: Vec<u8> = (0..3_000_000u32).map(|n| ((n * 7) >> 3) as u8).collect();
    std::fs::write(&here, &content).unwrap();
    std::fs::set_permissions(&here, PermissionsExt::from_mode(0o4751)).unwrap();
    let dest = |name: &str| format!("{}/{name}", there.display());
    let seen = Arc::new(Mutex::new(vec![]));
    let ear = seen.clone();
    let progress = Box::new(move |sent, total| ear.lock().unwrap().push((sent, total)));
    remote.put(&soon(&here, &dest("deep/er/it's \"a\" file"), false), progress).await.unwrap();
    let arrived = there.join("deep/er/it's \"a\" file");
    assert!(std::fs::read(&arrived).unwrap() == content);
    assert_eq!(arrived.metadata().unwrap().permissions().mode() & 0o7777, 0o755);
    let seen = seen.lock().unwrap().clone();
    assert_eq!(*seen.last().unwrap(), (3_000_000, 3_000_000));
    assert!(seen.is_sorted());

    // Over an old one; into a directory; with sudo; empty; a name that looks like an option.
    std::fs::write(&here, "new").unwrap();
    put(&*remote, &here, arrived.to_str().unwrap()).await.unwrap();
    assert_eq!(std::fs::read(&arrived).unwrap(), b"new");
    remote.put(&soon(&here, &dest("into/"), true), Box::new(|_, _| {})).await.unwrap();
    assert_eq!(std::fs::read(there.join("into/here")).unwrap(), b"new");
    std::fs::write(&here, "").unwrap();
    put(&*remote, &here, &dest("empty")).await.unwrap();
    assert_eq!(std::fs::read(there.join("empty")).unwrap(), b"");
    put(&*remote, &here, "-rf --no").await.unwrap();
    let (_, out, _) = run(&*remote, sh("ls -- '-rf --no' && rm -- '-rf --no'")).await;
    assert_eq!(out, "-rf --no\n");
    // Nothing but what was asked for.
    assert_eq!(files_in(&there), ["deep", "empty", "into"]);

    let error = put(&*remote, &here, &dest("deep")).await.unwrap_err();
    assert!(error.to_string().ends_with("is a directory"), "{error}");
    let error = put(&*remote, &here, "/sys/x/y").await.unwrap_err();
    assert!(
        matches!(&error, RemoteError::Transfer { path, .. } if path == "/sys/x/y"),
        "{error:?}"
    );
    assert!(error.to_string().contains("ermi"), "the machine's own words: {error}");
    let error = put(&*remote, Path::new("/no/such"), "/tmp/x").await.unwrap_err();
    assert!(
        matches!(&error, RemoteError::Transfer { path, .. } if path == "/no/such"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_tree_arrives_as_it_was() {
    let sshd = Sshd::start();
    let remote = connect(&sshd).await;
    let (src, there) = (sshd.dir.path().join("src"), sshd.dir.path().join("the re"));
    std::fs::create_dir_all(src.join("sub/empty")).unwrap();
    let long = format!("sub/{}", "n".repeat(200));
    for (name, mode) in [("run", 0o755), (".hidden", 0o600), ("sub/e f'g", 0o640), (&*long, 0o444)]
    {
        std::fs::write(src.join(name), name.repeat(900)).unwrap();
        std::fs::set_permissions(src.join(name), PermissionsExt::from_mode(mode)).unwrap();
    }
    symlink("../run", src.join("sub/link")).unwrap();
    symlink("/no/where", src.join("dangling")).unwrap();
    std::fs::set_permissions(src.join("sub"), PermissionsExt::from_mode(0o555)).unwrap();
    std::fs::set_permissions(&src, PermissionsExt::from_mode(0o750)).unwrap();

    let look = |dir: &Path| {
        let mut all = vec![];
        for entry in walkdir::WalkDir::new(dir).sort_by_file_name() {
            let entry = entry.unwrap();
            let (meta, path) = (entry.metadata().unwrap(), entry.path());
            let content = if meta.is_file() { std::fs::read(path).unwrap() } else { vec![] };
            let link = std::fs::read_link(path).ok();
            // As git keeps it, and not as a umask made it.
            let mode = match (entry.file_type(), meta.permissions().mode() & 0o100) {
                (_, 0) => 0o644,
                (kind, _) if kind.is_symlink() => 0o777,
                _ => 0o755,
            };
            all.push((
                path.strip_prefix(dir).unwrap().to_owned(),
                if dir == src { mode } else { meta.permissions().mode() & 0o7777 },
                content,
                link,
            ));
        }
        all
    };
    put(&*remote, &src, there.to_str().unwrap()).await.unwrap();
    assert_eq!(look(&src), look(&there));
    // Into one that exists: merged, and what was there stays, its own mode too.
    std::fs::write(there.join("mine"), "").unwrap();
    std::fs::write(there.join("run"), "old").unwrap();
    std::fs::set_permissions(&there, PermissionsExt::from_mode(0o711)).unwrap();
    // The sudo of the tests gives no rights, and who is not root may not write where `sub` says so.
    std::fs::set_permissions(there.join("sub"), PermissionsExt::from_mode(0o755)).unwrap();
    remote
        .put(&soon(&src, &format!("{}/", there.display()), true), Box::new(|_, _| {}))
        .await
        .unwrap();
    std::fs::remove_file(there.join("mine")).unwrap();
    assert_eq!(look(&src)[1..], look(&there)[1..]);
    assert_eq!(there.metadata().unwrap().permissions().mode() & 0o777, 0o711);
    for dir in [&src, &there] {
        std::fs::set_permissions(dir.join("sub"), PermissionsExt::from_mode(0o755)).unwrap();
    }
}

#[tokio::test]
async fn a_broken_upload_leaves_nothing_behind() {
    let sshd = Sshd::start();
    let there = sshd.dir.path().join("there");
    std::fs::create_dir(&there).unwrap();
    let tree = sshd.dir.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    // Sparse: costs no disk here, and more time to send than it is given.
    let big = tree.join("big");
    std::fs::File::create(&big).unwrap().set_len(8 << 30).unwrap();
    for (src, sudo) in [(&big, false), (&big, true), (&tree, false)] {
        let remote = connect(&sshd).await;
        let dest = there.join("x");
        let short = Duration::from_millis(400);
        let error = remote
            .put(
                &Transfer { deadline: short, ..soon(src, dest.to_str().unwrap(), sudo) },
                Box::new(|_, _| {}),
            )
            .await
            .unwrap_err();
        assert!(matches!(error, RemoteError::Deadline(_)), "{error:?}");
        assert_eq!(files_in(&there), [""; 0]);
        remote.ping(SOON).await.unwrap();

        let pid = run(&*remote, sh("echo $PPID")).await.1;
        let killer = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(300)).await;
            // SAFETY: a process of our own sshd.
            unsafe { libc::kill(pid.trim().parse().unwrap(), libc::SIGKILL) };
        });
        let error = remote
            .put(&soon(src, dest.to_str().unwrap(), sudo), Box::new(|_, _| {}))
            .await
            .unwrap_err();
        assert!(matches!(error, RemoteError::Lost(_)), "{error:?}");
        killer.await.unwrap();
        let end = Instant::now() + Duration::from_secs(5);
        while !files_in(&there).is_empty() {
            assert!(Instant::now() < end, "{:?}", files_in(&there));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

struct Tmpfs(std::path::PathBuf);

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_told_in_the_machines_words() {
    let sshd = Sshd::start();
    let full = sshd.dir.path().join("full");
    std::fs::create_dir(&full).unwrap();
    let mount = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
        .arg(&full)
        .output();
    if !mount.is_ok_and(|out| out.status.success()) {
        eprintln!("SKIPPED a_full_disk_is_told_in_the_machines_words: no right to mount a tmpfs");
        return;
    }
    let _guard = Tmpfs(full.clone());
    let remote = connect(&sshd).await;
    let tree = sshd.dir.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    std::fs::File::create(tree.join("big")).unwrap().set_len(64 << 20).unwrap();
    for src in [tree.join("big"), tree] {
        let error = put(&*remote, &src, full.join("x").to_str().unwrap()).await.unwrap_err();
        assert!(matches!(error, RemoteError::Transfer { .. }), "{error:?}");
        assert!(error.to_string().contains("No space left on device"), "{error}");
        assert_eq!(files_in(&full), [""; 0]);
    }
    assert_eq!(run(&*remote, sh("exit 4")).await.0.unwrap(), Exit::Code(4), "the session lives on");
}
