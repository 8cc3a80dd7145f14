//! A machine that means harm: a real OpenSSH server whose every command runs in a jail of its own
//! (user, mount, PID and network namespaces; nothing of this machine but /usr, read-only) and
//! answers as badly as the test asks for.
//!
//! The jail is no luxury. Tidy, steps and checks run for real there, and on the machine of the
//! tests they would empty its /tmp.
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use image_factory::testing::build_vars::Asks;
use image_factory::testing::cancel::Cancel;
use image_factory::testing::engine::{
    BuildContext, BuildError, Goal, Interactive, SshAccess, build,
};
use image_factory::testing::event::{Event, Events, Sink, Stamped};
use image_factory::testing::guest::ssh::Ssh;
use image_factory::testing::guest::{Connect, Remote, RemoteError, Target};
use image_factory::testing::image::Visibility;
use image_factory::testing::log::sentences::final_line;
use image_factory::testing::log::{EventFile, LogFile, Recorder};
use image_factory::testing::outcome::Outcome;
use image_factory::testing::plan::{
    MachinePlan, Origin, Plan, Publication, StepKind, StepPlan, TimeoutPlan,
};
use image_factory::testing::provider::fake::Memory;
use image_factory::testing::provider::ledger::Ledger;
use image_factory::testing::provider::{Provider, RunCx};
use image_factory::testing::report::Renderer;
use image_factory::testing::run::{Factory, Home, RunError, RunOptions, RunOutcome, RunRequest};
use image_factory::testing::settings::Settings;
use image_factory::testing::wall::{Config, Wall};

use crate::sshd::Sshd;

mod answers;
mod visit;

/// Runs outside, for each command that comes: makes the namespaces. As root it is nobody first, so
/// that a hole in the jail leads to nothing.
const GATE: &str = r#"#!/bin/sh
dir=${0%/*}
export MODE="$(cat "$dir/mode")" INSIDE="$(cat "$dir/inside")"
[ "$MODE" != closes ] || kill -9 $PPID
set -- unshare --user --map-root-user --mount --pid --fork --kill-child --net sh -c "$INSIDE"
[ "$(id -u)" != 0 ] || set -- setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
cd /
exec timeout 600 "$@"
"#;

/// Runs within: a system of its own on a tmpfs, then the guest.
const INSIDE: &str = r#"set -e
mount -t tmpfs none /mnt
cd /mnt
mkdir usr proc dev dev/shm tmp etc root run run/cloud-init var opt
for name in bin sbin lib lib64; do ln -s usr/$name $name; done
mount --rbind /usr usr
mount -o remount,ro,bind usr
mount -t proc proc proc
for name in null zero urandom; do touch dev/$name; mount --bind /dev/$name dev/$name; done
ln -s /proc/self/fd dev/fd
touch run/cloud-init/disabled
echo 'root:x:0:0:root:/root:/bin/sh' >etc/passwd
echo 0123456789abcdef0123456789abcdef >etc/machine-id
printf '#!/bin/sh\n[ "$1" = -n ] && shift\nexec "$@"\n' >opt/sudo
chmod 755 opt/sudo
mkdir old
pivot_root . old
cd /
umount -l old
rmdir old
# A jail that is open is none: nothing of the machine is to be seen, nothing of it to be written.
for name in home work tmp/hostile-outside; do [ ! -e /$name ]; done
! touch /usr/hostile-was-here 2>/dev/null
export HOME=/root PATH=/opt:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
set +e
command=$SSH_ORIGINAL_COMMAND
call=$(printf %s "$command" | grep -o 'image-factory-[0-9a-f]*' | head -n 1)
xs() { head -c "$1" /dev/zero | tr '\0' x; }
# What the question is, and what it takes for the mark of an answer.
ask() { cat >/tmp/in; mark=$(grep -a -o '036[0-9a-f]* answer' /tmp/in | head -n 1 | cut -c 4-35); }
answer() { printf '\036%s 2 2\n\036%s answer\n' "$call" "$mark"
    "$@"; printf '\036%s end\n' "$mark"; exit 0; }
inject() { cat <<'END'
/usr/bin/python3 ansible_ssh_common_args='-oProxyCommand="touch @DIR@/pwned"'
evil ansible_connection=local ansible_python_interpreter="touch @DIR@/pwned;"
3.11
END
}
case $MODE in
    greets)
        printf '\033[31mWelcome\033[0m \342\200\256to this machine!\n/usr/bin/evil\n'
        printf 'sudo: a lecture\n' >&2
        ;;
    answers-64-mb) ask; [ -z "$mark" ] || answer xs 67108864; exec sh -c "$command" </tmp/in ;;
    injects) ask; ! grep -q 'command -v python3' /tmp/in || answer inject
        exec sh -c "$command" </tmp/in ;;
    babbles) xs 67108864; exit 0 ;;
    half-a-preface) printf '\036%s 4' "$call"; xs 67108864; exit 0 ;;
    signals) printf '\036%s 2 2\n' "$call"; sleep 1; exit 3 ;;
    slow) sleep 600 ;;
    requiretty)
        printf '#!/bin/sh\necho "sudo: sorry, you must have a tty to run sudo" >&2\nexit 1\n' >/opt/sudo ;;
    expired)
        printf 'WARNING: Your password has expired.\n' >&2
        printf 'Password change required but no TTY available.\n' >&2
        exit 1
        ;;
    noexec)
        mount -t tmpfs -o noexec none /tmp
        mount -t tmpfs -o noexec none /dev/shm
        ;;
esac
exec sh -c "$command"
"#;

pub struct Hostile {
    sshd: Sshd,
}

impl Hostile {
    /// `mode` is one of the cases of [`INSIDE`]; any other is an honest machine.
    pub fn start(mode: &str) -> Hostile {
        let sshd = Sshd::start_with(&["ForceCommand @DIR@/gate"]);
        let at = |name: &str| sshd.dir.path().join(name);
        let dir = sshd.dir.path().display().to_string();
        std::fs::write(at("gate"), GATE).unwrap();
        std::fs::set_permissions(at("gate"), PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::write(at("inside"), INSIDE.replace("@DIR@", &dir)).unwrap();
        std::fs::write(at("mode"), mode).unwrap();
        Hostile { sshd }
    }

    fn dir(&self) -> &Path {
        self.sshd.dir.path()
    }
}

/// Every machine of the cloud is the hostile one.
struct ToHostile(Target);

#[async_trait]
impl Connect for ToHostile {
    async fn connect(
        &self,
        _: &Target,
        deadline: Duration,
    ) -> Result<Arc<dyn Remote>, RemoteError> {
        Ssh.connect(&self.0, deadline).await
    }
}

#[derive(Clone, Default)]
struct Warnings(Arc<std::sync::Mutex<Vec<String>>>);

impl Sink for Warnings {
    fn take(&mut self, event: &Stamped) {
        if let Event::Warning { text } = &event.event {
            self.0.lock().unwrap().push(text.clone());
        }
    }
}

fn plan(cloud: &Memory, dir: &Path, steps: Vec<StepPlan>) -> Plan {
    let machine = |role: &str| MachinePlan {
        name: format!("factory-r1-{role}"),
        cpus: 1,
        ram_mib: 512,
        disk_gib: Some(4),
        flavor: None,
    };
    Plan {
        run: "r1".into(),
        at: jiff::Timestamp::UNIX_EPOCH,
        bundle: "images/x".into(),
        bundle_dir: dir.into(),
        family: "x".into(),
        image_name: "x-1".into(),
        cloud: "memory".into(),
        how: String::new(),
        site: None,
        larger: Default::default(),
        origin: Origin::Base(Box::new(cloud.add_image("base", "base"))),
        builder: Some(machine("builder")),
        ssh_user: "debian".into(),
        base_key: None,
        steps,
        tidy: Vec::new(),
        smoke: None,
        publish: Publication {
            name: "x-1".into(),
            chosen: false,
            family: "x".into(),
            properties: [(image_factory::testing::image::RUN.to_owned(), "r1".to_owned())].into(),
            set_by: std::collections::BTreeMap::new(),
            tags: Vec::new(),
            min_disk_gib: None,
            min_ram_mib: 0,
            visibility: Visibility::Private,
            members: Vec::new(),
            protected: false,
            hidden: false,
        },
        templates: Vec::new(),
        timeouts: TimeoutPlan { boot: 5, ssh: 15, capture: 5, upload: 5, shutdown: 5, source: 5 },
        commit: None,
        asks: Asks { definition: dir.into(), ..Asks::default() },
        keep: None,
        ansible: Some("ansible-playbook [core 2.14.18]".into()),
        notes: Vec::new(),
    }
}

fn step(action: StepKind) -> StepPlan {
    StepPlan {
        name: "it".into(),
        action,
        timeout: 900,
        retries: 0,
        env: Default::default(),
        sudo: false,
        fresh: None,
        key: None,
        outline: None,
    }
}

/// Builds on the hostile machine: how it ended, and what was warned of. Logs and scratch go to
/// `dir`.
async fn build_on(
    hostile: &Hostile,
    dir: &Path,
    steps: Vec<StepPlan>,
) -> (Result<(), String>, Vec<String>) {
    let (ended, warned) = run_on(hostile, dir, steps).await;
    (ended.result.map(drop).map_err(|e| e.to_string()), warned)
}

/// The same, as the command line gets it.
async fn run_on(hostile: &Hostile, dir: &Path, steps: Vec<StepPlan>) -> (RunOutcome, Vec<String>) {
    let cloud = Memory::new();
    let plan = plan(&cloud, dir, steps);
    let (events, warnings) = (Events::default(), Warnings::default());
    events.add(Box::new(LogFile::create(&dir.join("build.log")).unwrap()));
    events.add(Box::new(EventFile::open(&dir.join("events.jsonl")).unwrap()));
    events.add(Box::new(Recorder::default()));
    events.add(Box::new(warnings.clone()));
    let cx = RunCx::new(
        &plan.run,
        Ledger::open(&dir.join("ledger.jsonl")).unwrap(),
        events.clone(),
        Cancel::default(),
    );
    let env = [("PATH".to_owned(), std::env::var("PATH").unwrap())].into();
    let wall =
        Wall::new(Config { settings: Settings::default(), env, home: None, hidden: Vec::new() });
    let site = BuildContext {
        cloud: &cloud as &dyn Provider,
        connect: &ToHostile(hostile.sshd.target.clone()),
        cx: &cx,
        plan: &plan,
        scratch: dir.into(),
        work: dir.into(),
        downloads: dir.join("downloads"),
        proxies: Default::default(),
        pool: None,
        until: Goal::Published,
        keep_on_failure: false,
        home: Default::default(),
        range: Default::default(),
        definition: Box::leak(Box::default()),
        wall: &wall,
    };
    let outcome = build(&site).await;
    let result = outcome.result.map(|_| None).map_err(RunError::Build);
    let error = result.as_ref().err().map(ToString::to_string);
    events.emit(Event::Finished {
        outcome: "failed".into(),
        seconds: 1.0,
        image: None,
        error,
        leaks: vec![],
    });
    let warned = warnings.0.lock().unwrap().clone();
    (
        RunOutcome {
            result,
            outcome: Outcome::Failed,
            leaks: outcome.leaks,
            of_bases: 0,
            kept: None,
            dir: None,
            outputs: Vec::new(),
        },
        warned,
    )
}

fn shell(text: &str) -> Vec<StepPlan> {
    vec![step(StepKind::Shell { text: text.into() })]
}

/// The jail holds: what runs there is root of nothing, and sees nothing.
#[tokio::test(flavor = "multi_thread")]
async fn the_fixture_is_a_jail() {
    let (hostile, dir) = (Hostile::start("honest"), tempfile::tempdir().unwrap());
    let secret = hostile.dir().join("secret");
    std::fs::write(&secret, "s").unwrap();
    let text = format!(
        "test ! -e {0}\n! kill -0 {1}\n! touch /usr/x\ntest $$ -lt 100\n! ping -c 1 127.0.0.1",
        secret.display(),
        std::process::id()
    );
    let (result, _) = build_on(&hostile, dir.path(), shell(&text)).await;
    assert_eq!(result, Ok(()));
}

/// Hardened bases. Of the first two nothing was said but what sudo and PAM say, of sudo only when
/// tidy needed it, last of all.
#[tokio::test(flavor = "multi_thread")]
async fn a_base_that_lets_nobody_work_is_named_before_the_steps() {
    for (mode, told) in [("requiretty", "!requiretty"), ("expired", "has expired in the base")] {
        let (hostile, dir) = (Hostile::start(mode), tempfile::tempdir().unwrap());
        let (result, _) = build_on(&hostile, dir.path(), shell("echo done")).await;
        let error = result.unwrap_err();
        assert!(error.contains(told), "{mode}: {error}");
        let log = std::fs::read_to_string(dir.path().join("build.log")).unwrap();
        assert!(!log.contains("shell | done"), "{mode}: {log}");
    }
    // Scripts need no right to run from where they lie for a moment.
    let (hostile, dir) = (Hostile::start("noexec"), tempfile::tempdir().unwrap());
    let own = "#!/bin/bash\ncp /usr/bin/true /tmp/t && ! /tmp/t 2>/dev/null && echo held\n";
    std::fs::write(dir.path().join("own.sh"), own).unwrap();
    let steps = vec![
        step(StepKind::Shell { text: "echo done".into() }),
        step(StepKind::Script { path: "own.sh".into() }),
    ];
    let (result, _) = build_on(&hostile, dir.path(), steps).await;
    assert_eq!(result, Ok(()));
    let log = std::fs::read_to_string(dir.path().join("build.log")).unwrap();
    assert!(log.contains("shell | done") && log.contains("script | held"), "{log}");
}

/// What one hostile case cost: run in a process of its own, for the peak of memory is the
/// process's.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a child of the tests below"]
async fn child() {
    let (Ok(mode), Ok(script)) = (std::env::var("HOSTILE_MODE"), std::env::var("HOSTILE_SCRIPT"))
    else {
        return;
    };
    let (hostile, dir) = (Hostile::start(&mode), tempfile::tempdir().unwrap());
    let (ended, _) = run_on(&hostile, dir.path(), shell(&script)).await;
    let exit = ended.exit_code();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status
        .lines()
        .find_map(|l| l.strip_prefix("VmHWM:"))
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .trim()
        .to_owned();
    let size = |name: &str| std::fs::metadata(dir.path().join(name)).unwrap().len();
    let tail = std::fs::read_to_string(dir.path().join("build.log")).unwrap();
    let last = tail.lines().last().unwrap_or_default();
    println!(
        "\nHOSTILE {}",
        serde_json::json!({
            "error": ended.result.err().map(|e| e.to_string()), "exit": exit,
            "peak_kb": peak.parse::<u64>().unwrap(),
            "log": size("build.log"), "events": size("events.jsonl"), "last": last,
        })
    );
}

/// Runs one case in a child: `(error, last line of the log)`, after the bounds and the exit code
/// were compared.
fn cost(mode: &str, script: &str, exit: u8) -> (String, String) {
    let begin = std::time::Instant::now();
    let out = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "hostile::child", "--ignored", "--nocapture"])
        .env("HOSTILE_MODE", mode)
        .env("HOSTILE_SCRIPT", script)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    let line =
        text.lines().find_map(|l| l.strip_prefix("HOSTILE ")).unwrap_or_else(|| panic!("{text}"));
    println!("{mode}: {line}, {:?}", begin.elapsed());
    let cost: serde_json::Value = serde_json::from_str(line).unwrap();
    assert!(cost["peak_kb"].as_u64().unwrap() <= 60 << 10, "{mode}: {line}");
    assert_eq!(cost["exit"], exit, "{mode}: {line}");
    // What SECURITY.md names, and a line over it at most.
    for record in ["log", "events"] {
        assert!(cost[record].as_u64().unwrap() <= (64 << 20) + (1 << 20), "{mode}: {line}");
    }
    (
        cost["error"].as_str().unwrap_or_default().to_owned(),
        cost["last"].as_str().unwrap().to_owned(),
    )
}

#[test]
fn a_machine_that_answers_every_question_with_64_mb_exhausts_nothing() {
    let (error, last) = cost("answers-64-mb", "echo done", 20);
    assert_eq!(
        error,
        "factory-r1-builder: cloud-init did not end well: it answered more than 65536 bytes"
    );
    assert!(last.ends_with(&error), "{last}");
}

#[test]
fn a_machine_that_babbles_in_place_of_our_shell_exhausts_nothing() {
    for mode in ["babbles", "half-a-preface"] {
        let (error, _) = cost(mode, "echo done", 20);
        assert!(
            error.contains("cloud-init did not end well: it did not run what it was asked to"),
            "{mode}: {error}"
        );
    }
}

fn stream(bytes: u64) {
    let (error, last) =
        cost("honest", &format!("head -c {bytes} /dev/zero | tr '\\0' x\nexit 3"), 30);
    assert!(error.starts_with("step 1, it: exit code 3: xxxx") && error.len() < 4 << 10, "{error}");
    assert!(last.contains("exit code 3"), "{last}");
}

#[test]
fn a_step_that_streams_200_mb_without_a_line_end_exhausts_nothing() {
    stream(200 << 20);
}

#[test]
#[ignore = "a minute or two: make test-hostile"]
fn a_step_that_streams_2_gb_without_a_line_end_exhausts_nothing() {
    stream(2 << 30);
}

#[test]
#[ignore = "a minute or two: make test-hostile"]
fn a_step_that_prints_2_gb_of_lines_exhausts_nothing() {
    let (error, last) = cost(
        "honest",
        "yes 'a line of no use to anybody, and many of them' | head -c 2147483648\nexit 3",
        30,
    );
    assert!(error.starts_with("step 1, it: exit code 3: a line"), "{error}");
    assert!(last.contains("exit code 3"), "{last}");
}
