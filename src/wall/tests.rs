//! What a definition is refused before a run, and what a program behind the wall gets;
//! `test-tools/it/wall.rs` has the whole.
use super::*;
use crate::bundle::Asks;
use crate::plan::{Origin, Publication, StepAction, StepPlan, TimeoutPlan};
use crate::settings::{LimitSettings, Rule};

/// Of a definition `images/x` that lies in `dir`, and in no tree.
pub(crate) fn plan(dir: &Path) -> Plan {
    Plan {
        run: format!("test-{}", uuid::Uuid::new_v4()),
        at: jiff::Timestamp::UNIX_EPOCH,
        bundle: "images/x".into(),
        bundle_dir: dir.into(),
        family: "x".into(),
        image_name: "x-1".into(),
        cloud: "memory".into(),
        how: String::new(),
        site: None,
        origin: Origin::Script("build.sh".into()),
        builder: None,
        ssh_user: "debian".into(),
        steps: Vec::new(),
        tidy: Vec::new(),
        smoke: None,
        publish: Publication {
            name: "x-1".into(),
            family: "x".into(),
            properties: BTreeMap::new(),
            set_by: std::collections::BTreeMap::new(),
            tags: Vec::new(),
            min_disk_gib: None,
            min_ram_mib: 0,
            visibility: crate::image::Visibility::Private,
            members: Vec::new(),
            protected: false,
            hidden: false,
        },
        templates: Vec::new(),
        timeouts: TimeoutPlan { boot: 5, ssh: 5, capture: 5, upload: 5, shutdown: 5, source: 5 },
        commit: None,
        ansible: None,
        notes: Vec::new(),
        asks: Asks { definition: dir.into(), ..Asks::default() },
        keep: None,
    }
}

fn wall(settings: Settings, env: &[(&str, &str)]) -> Wall {
    let path = [("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")];
    let env = path.iter().chain(env).map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Wall::new(Config { settings, env, home: None, hidden: Vec::new() })
}

async fn said(wall: &Wall, plan: &Plan) -> (Vec<String>, bool) {
    let unfit = wall.unfit(plan, &Cancel::default()).await.unwrap();
    (unfit.wrong.iter().map(ToString::to_string).collect(), unfit.refuses)
}

#[tokio::test]
async fn a_step_cannot_set_what_protects_the_factory() {
    let dir = tempfile::tempdir().unwrap();
    let step = |name: &str, variable: Option<&str>| StepPlan {
        name: "s".into(),
        action: StepAction::Ansible {
            playbook: "p.yml".into(),
            extra_vars: variable.into_iter().map(|v| (v.to_owned(), "x".into())).collect(),
            tags: Vec::new(),
            local: false,
        },
        timeout: 5,
        retries: 0,
        env: [(name.to_owned(), "x".to_owned())].into(),
        sudo: false,
        key: None,
    };
    let names = [
        "ANSIBLE_SSH_ARGS",
        "ANSIBLE_HOST_KEY_CHECKING",
        "IMAGE_FACTORY_RUN",
        "PATH",
        "LD_PRELOAD",
    ];
    let steps = names
        .iter()
        .map(|name| step(name, None))
        .chain([step("FINE", Some("ansible_ssh_common_args"))])
        .collect();
    let (said_of, refuses) =
        said(&wall(Settings::default(), &[]), &Plan { steps, ..plan(dir.path()) }).await;
    assert_eq!((said_of.len(), refuses), (6, false), "{said_of:#?}");
    let fine = ["ANSIBLE_CONFIG", "PYTHONPATH"].map(|name| step(name, Some("port"))).into();
    assert!(
        said(&wall(Settings::default(), &[]), &Plan { steps: fine, ..plan(dir.path()) })
            .await
            .0
            .is_empty()
    );
}

#[tokio::test]
async fn the_environment_is_asked_for_and_allowed_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut plan = plan(dir.path());
    plan.asks.env = vec!["OS_CLOUD".into()];
    let env =
        [("OS_CLOUD", "mine"), ("OS_PASSWORD", "s3cret"), ("http_proxy", "http://u:s3cret@p")];
    let (refused, refuses) = said(&wall(Settings::default(), &env), &plan).await;
    assert!(
        refuses
            && refused[0].contains("asks for OS_CLOUD")
            && refused[0].contains("env: [OS_CLOUD]"),
        "{refused:?}"
    );
    let rule = Rule {
        definition: "images/*".into(),
        env: vec!["OS_CLOUD".into(), "OS_PASSWORD".into()],
        ..Rule::default()
    };
    let allowed = wall(Settings { allow: vec![rule], ..Settings::default() }, &env);
    assert!(said(&allowed, &plan).await.0.is_empty());
    let room = tempfile::tempdir().unwrap();
    let room = Room { plan: &plan, dir: room.path(), read: Vec::new(), source: false };
    let cmd = Cmd::new("/usr/bin/env", Duration::from_secs(20)).env("OWN", "1");
    let cmd = allowed.around(cmd, &room, &Cancel::default()).await.unwrap();
    assert!(!format!("{cmd:?}").contains("mine"), "values are in no argument: {cmd:?}");
    let told = exec::output(&cmd, &Cancel::default()).await.unwrap();
    assert!(
        told.contains("OS_CLOUD=mine\n") && told.contains("OWN=1\n") && !told.contains("s3cret"),
        "{told}"
    );
    let lines = allowed.lines(&plan, &Cancel::default()).await.unwrap();
    assert!(
        lines
            .iter()
            .any(|(warning, text)| *warning && text.contains("http_proxy holds a password")),
        "{lines:?}"
    );
}

/// A definition of a stranger's would make an image of any file that the factory may read.
#[tokio::test]
async fn a_source_lies_in_the_tree_or_where_the_owner_says() {
    use crate::fetch::{ChecksumSource, Download, SourceUri};
    let (tree, away) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (within, without, link) =
        (tree.path().join("disk"), away.path().join("disk"), tree.path().join("link"));
    for file in [&within, &without] {
        std::fs::write(file, "x").unwrap();
    }
    std::os::unix::fs::symlink(&without, &link).unwrap();
    let of = |from: &Path, list: Option<&Path>| {
        let sum = list.map(|path| ChecksumSource::List(SourceUri::File(path.into())));
        let origin = Origin::Url {
            wish: Download { from: SourceUri::File(from.into()), sum },
            format: None,
        };
        Plan { origin, ..plan(tree.path()) }
    };
    let strict = wall(Settings::default(), &[]);
    assert!(said(&strict, &of(&within, None)).await.0.is_empty());
    for plan in [
        of(&without, None),
        of(&link, None),
        of(&within, Some(&without)),
        of(&within.join("../../").join(&without), None),
    ] {
        let (refused, refuses) = said(&strict, &plan).await;
        assert!(
            refuses && refused.len() == 1 && refused[0].contains("outside the tree"),
            "{refused:?}"
        );
    }
    let open = wall(Settings { read_only: vec![away.path().into()], ..Settings::default() }, &[]);
    assert!(said(&open, &of(&link, Some(&without))).await.0.is_empty());
    let env = strict.config.env.clone();
    let hides = Wall::new(Config {
        settings: Settings::default(),
        env,
        home: None,
        hidden: vec![within.clone()],
    });
    assert_eq!(said(&hides, &of(&within, None)).await.0.len(), 1, "the store may lie in the tree");
}

/// Who builds behind a proxy learns why a machine does not reach its mirror.
#[tokio::test]
async fn a_proxy_that_machines_do_not_get_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let plan = plan(dir.path());
    let told = async |env: &[(&str, &str)], plan: &Plan| {
        let lines = wall(Settings { wall: Mode::Off, ..Settings::default() }, env)
            .lines(plan, &Cancel::default())
            .await
            .unwrap();
        lines
            .into_iter()
            .filter(|(_, text)| text.starts_with("machines are not told of "))
            .map(|(_, text)| text)
            .collect::<Vec<_>>()
    };
    let with_builder = Plan { builder: Some(example_machine()), ..plan.clone() };
    let behind = told(
        &[("http_proxy", "http://p:3128"), ("no_proxy", "a"), ("https_proxy", "")],
        &with_builder,
    )
    .await;
    assert!(behind.len() == 1 && behind[0].contains("of http_proxy: "), "{behind:?}");
    assert!(told(&[("no_proxy", "a")], &with_builder).await.is_empty());
    assert!(
        told(&[("http_proxy", "http://p:3128")], &Plan { builder: None, ..plan }).await.is_empty()
    );
}

fn example_machine() -> crate::plan::MachinePlan {
    crate::plan::MachinePlan {
        name: "builder".into(),
        cpus: 1,
        ram_mib: 1,
        disk_gib: None,
        flavor: None,
    }
}

/// A base that is built first was not validated with what the owner allows: its run asks.
#[tokio::test]
async fn plays_on_the_factory_are_the_owners_to_allow() {
    let dir = tempfile::tempdir().unwrap();
    let action = StepAction::Ansible {
        playbook: "p.yml".into(),
        extra_vars: Default::default(),
        tags: Vec::new(),
        local: true,
    };
    let step = StepPlan {
        name: "s".into(),
        action,
        timeout: 5,
        retries: 0,
        env: BTreeMap::new(),
        sudo: false,
        key: None,
    };
    let plan = Plan { steps: vec![step], ..plan(dir.path()) };
    let (refused, refuses) = said(&wall(Settings::default(), &[]), &plan).await;
    assert!(refuses && refused.len() == 1 && refused[0].contains("local: true"), "{refused:?}");
    let rule = Rule { definition: "images/x".into(), local: true, ..Rule::default() };
    let allowed = wall(Settings { allow: vec![rule], ..Settings::default() }, &[]);
    assert!(said(&allowed, &plan).await.0.is_empty());
}

/// `ANSIBLE_FORKS=50 image-factory build` did as if nothing had been said, without a word.
#[tokio::test]
async fn settings_of_ansible_that_do_not_arrive_are_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let action = StepAction::Ansible {
        playbook: "p.yml".into(),
        extra_vars: Default::default(),
        tags: Vec::new(),
        local: false,
    };
    let step = StepPlan {
        name: "s".into(),
        action,
        timeout: 5,
        retries: 0,
        env: BTreeMap::new(),
        sudo: false,
        key: None,
    };
    let env = [("ANSIBLE_FORKS", "50"), ("ANSIBLE_STDOUT_CALLBACK", "yaml"), ("OTHER", "x")];
    let lines = async |plan: &Plan| {
        wall(Settings { wall: Mode::Off, ..Settings::default() }, &env)
            .lines(plan, &Cancel::default())
            .await
            .unwrap()
    };
    let told = |lines: &[(bool, String)]| {
        lines
            .iter()
            .filter(|(warning, text)| {
                *warning && text.starts_with("ANSIBLE_FORKS, ANSIBLE_STDOUT_CALLBACK of")
            })
            .count()
    };
    let without = plan(dir.path());
    assert_eq!(told(&lines(&without).await), 0, "no playbook, no word");
    assert_eq!(told(&lines(&Plan { steps: vec![step], ..without }).await), 1);
}

#[tokio::test]
async fn a_name_does_not_make_a_definition_the_shipped_one() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("build.sh"), "#!/bin/sh\n").unwrap();
    let mut plan = plan(dir.path());
    plan.bundle = "os/debian-12".into();
    plan.asks.unwalled = true;
    plan.asks.env = vec!["MIRROR".into()];
    let env = [("MIRROR", "http://x")];
    let (refused, refuses) = said(&wall(Settings::default(), &env), &plan).await;
    assert_eq!((refused.len(), refuses), (2, true), "{refused:?}");
    assert!(
        refused[1].contains("build it anew if you changed it")
            && refused[1].contains("unwalled: true"),
        "{refused:?}"
    );
    plan.bundle_dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("os/debian-12");
    plan.asks.definition = plan.bundle_dir.clone();
    assert!(said(&wall(Settings::default(), &env), &plan).await.0.is_empty());
    plan.bundle = "os/another".into();
    assert!(said(&wall(Settings::default(), &env), &plan).await.1);
}

/// Two things refused are granted by one rule, which both findings name: two keys `allow` would be
/// an error.
#[tokio::test]
async fn all_that_is_refused_is_granted_by_one_rule() {
    let dir = tempfile::tempdir().unwrap();
    let action = StepAction::Ansible {
        playbook: "p.yml".into(),
        extra_vars: Default::default(),
        tags: Vec::new(),
        local: true,
    };
    let step = StepPlan {
        name: "s".into(),
        action,
        timeout: 5,
        retries: 0,
        env: BTreeMap::new(),
        sudo: false,
        key: None,
    };
    let mut plan = Plan { steps: vec![step], ..plan(dir.path()) };
    plan.asks.env = vec!["OS_CLOUD".into(), "A_TOKEN".into()];
    let files = vec![
        "/etc/image-factory/config.yml".into(),
        "/home/u/.config/image-factory/config.yml".into(),
    ];
    let settings = Settings { files, ..Settings::default() };
    let env = [("OS_CLOUD", "mine"), ("A_TOKEN", "x")];
    let (refused, _) = said(&wall(settings, &env), &plan).await;
    let rule = "`allow: [{definition: images/x, local: true, env: [OS_CLOUD, A_TOKEN]}]` into \
        /etc/image-factory/config.yml or /home/u/";
    assert!(
        refused.len() == 3 && refused.iter().all(|finding| finding.contains(rule)),
        "{refused:#?}"
    );
}

#[tokio::test]
async fn required_means_required() {
    let dir = tempfile::tempdir().unwrap();
    let required = Settings { wall: Mode::Required, ..Settings::default() };
    let env = BTreeMap::from([("PATH".to_owned(), dir.path().display().to_string())]);
    let without = Wall::new(Config { settings: required, env, home: None, hidden: Vec::new() });
    let (refused, refuses) = said(&without, &plan(dir.path())).await;
    assert!(refuses && refused[0].contains("bubblewrap is not installed"), "{refused:?}");
    assert!(!without.summary(&Cancel::default()).await.unwrap().0);
}

/// In a virtual environment in a home, and as pip --user puts it: the home is not seen, and Ansible
/// runs.
#[tokio::test]
async fn ansible_runs_from_a_home_that_is_not_seen() {
    use std::process::Command;
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    std::fs::create_dir_all(home.join(".local/bin")).unwrap();
    std::fs::write(home.join("secret"), "s3cret").unwrap();
    let venv = home.join("venv");
    let made = Command::new("/usr/bin/python3")
        .args(["-m", "venv", "--without-pip", "--system-site-packages"])
        .arg(&venv)
        .status();
    assert!(made.unwrap().success());
    let script = std::fs::read_to_string("/usr/bin/ansible-playbook").unwrap();
    let body = script.split_once('\n').unwrap().1;
    let put = |path: PathBuf, python: &str| {
        std::fs::write(&path, format!("#!{python}\n{body}")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        path
    };
    let in_venv =
        put(venv.join("bin/ansible-playbook"), &venv.join("bin/python").display().to_string());
    let of_user = put(home.join(".local/bin/ansible-playbook"), "/usr/bin/python3");
    let plan = plan(dir.path());
    for program in [in_venv, of_user] {
        let path = format!("{}:/usr/bin:/bin", program.parent().unwrap().display());
        let config = Config {
            settings: Settings::default(),
            env: [("PATH".to_owned(), path)].into(),
            home: Some(home.clone()),
            hidden: Vec::new(),
        };
        let wall = Wall::new(config);
        let definition = tempfile::tempdir().unwrap();
        let plan =
            Plan { bundle_dir: definition.path().into(), asks: Asks::default(), ..plan.clone() };
        let room = tempfile::tempdir().unwrap();
        let room = Room { plan: &plan, dir: room.path(), read: Vec::new(), source: false };
        let cmd = Cmd::new(ANSIBLE, Duration::from_secs(60)).arg("--version");
        let told = exec::output(
            &wall.around(cmd, &room, &Cancel::default()).await.unwrap(),
            &Cancel::default(),
        )
        .await
        .unwrap();
        assert!(told.contains("core") && told.contains(&program.display().to_string()), "{told}");
        let look = Cmd::new("/bin/sh", Duration::from_secs(20))
            .args(["-c".to_owned(), format!("cat {}/secret || echo unseen", home.display())]);
        let told = exec::output(
            &wall.around(look, &room, &Cancel::default()).await.unwrap(),
            &Cancel::default(),
        )
        .await
        .unwrap();
        assert_eq!(told, "unseen\n");
    }
}

/// A link in the place of a directory of the room would be followed when the next program's room is
/// made.
#[tokio::test]
async fn a_room_is_empty_for_each_program() {
    let (dir, scratch, away) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let plan = plan(dir.path());
    let wall = wall(Settings::default(), &[]);
    let at = scratch.path().join("room");
    std::fs::write(away.path().join("secret"), "s3cret").unwrap();
    let run = |script: String| {
        let room = Room { plan: &plan, dir: &at, read: Vec::new(), source: false };
        let (wall, cancel) = (&wall, Cancel::default());
        async move {
            let cmd = Cmd::new("/bin/sh", Duration::from_secs(20)).args(["-c", &script]);
            exec::output(&wall.around(cmd, &room, &cancel).await.unwrap(), &cancel).await.unwrap()
        }
    };
    for name in ["tmp", "home"] {
        let away = away.path().display();
        run(format!(
            "cd ${{HOME%/home}} && mv {name} x && ln -s {away} {name} && ln -s {away} other"
        ))
        .await;
        let seen =
            run("cat /tmp/secret ~/secret 2>&1; ls ${HOME%/home}; touch /tmp/was-here ~/was-here"
                .to_owned())
            .await;
        assert!(!seen.contains("s3cret") && !seen.contains("other"), "{seen}");
    }
    assert!(!away.path().join("was-here").exists());
}

/// How a script ends behind the wall, under these limits. It has a minute, and what it leaves is
/// gone when this returns.
async fn ends(limits: LimitSettings, program: &str, script: &str) -> String {
    let (dir, room) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (wall, plan) = (wall(Settings { limits, ..Settings::default() }, &[]), plan(dir.path()));
    let room =
        Room { plan: &plan, dir: &room.path().join("room"), read: Vec::new(), source: false };
    let cmd = Cmd::new(program, Duration::from_secs(60)).args(["-c", script]);
    let cmd = wall.around(cmd, &room, &Cancel::default()).await.unwrap();
    match exec::output(&cmd, &Cancel::default()).await {
        Ok(said) => said,
        Err(e) => e.to_string(),
    }
}

/// Each process has little, and all together too much. None of these passes what the machine bears.
#[tokio::test]
async fn what_runs_behind_the_wall_is_bounded_together() {
    let limits =
        LimitSettings { processes: Some(50), together_mib: Some(200), ..LimitSettings::default() };
    let many = "i=0; while [ $i -lt 120 ]; do sleep 50 & i=$((i+1)); done; wait";
    let orphans = "i=0; while [ $i -lt 120 ]; do (setsid sh -c 'sleep 50 & sleep 50' &) ; \
        i=$((i+1)); done; sleep 50";
    let threads = "import threading, time\nfor _ in range(120): \
        threading.Thread(target=time.sleep, args=(50,)).start()";
    for (program, script) in
        [("/bin/sh", many), ("/bin/sh", orphans), ("/usr/bin/python3", threads)]
    {
        let ended = ends(limits, program, script).await;
        assert!(
            ended.contains("processes and threads at once, and 50 are allowed together"),
            "{script}: {ended}"
        );
    }
    let hogs = "import os, time\nfor _ in range(8): os.fork() or (setattr(os, 'x', b'x' * (40 << \
        20)), time.sleep(50))\ntime.sleep(50)";
    let file = "import os, time\nf = os.memfd_create('f')\nfor _ in range(300): os.write(f, b'x' * \
        (1 << 20))\ntime.sleep(50)";
    // Its first thread ends by the system call alone, and the kernel tells of the process no more.
    let exit = libc::SYS_exit;
    let headless = format!(
        "import ctypes, threading, time\ndef hold():\n    time.sleep(1)\n    x = b'x' * (300 << \
            20)\n    time.sleep(50)\n\
         threading.Thread(target=hold).start()\nctypes.CDLL(None).syscall({exit}, 0)"
    );
    for script in [hogs, file, &headless] {
        let ended = ends(limits, "/usr/bin/python3", script).await;
        assert!(
            ended.contains("python3: killed, for its processes took")
                && ended.contains("and 200 are allowed"),
            "{script}: {ended}"
        );
    }
    // What processes share is counted once, and so is what is on disk anyway.
    let shared = "import os, time\nx = b'x' * (60 << 20)\nfor _ in range(8): os.fork() or \
        (time.sleep(2), os._exit(0))\nfor _ in range(8): os.wait()\nprint('done')";
    assert_eq!(ends(limits, "/usr/bin/python3", shared).await, "done\n");
    assert_eq!(ends(LimitSettings::default(), "/bin/sh", "sleep 1; echo done").await, "done\n");
}

/// Memory that is no process's own: files by name, and segments of System V.
#[tokio::test]
async fn memory_by_name_is_small() {
    let script = "for at in /dev /dev/shm /run /proc/1; do head -c 100000000 /dev/zero 2>/dev/null \
        >$at/x; echo $(stat -c %s $at/x); done; rm -f /dev/shm/x; \
                  (ipcmk -M 100000000; ipcmk -S 100; ipcmk -Q) 2>&1 | grep -c 'not implemented'";
    let said = ends(LimitSettings::default(), "/bin/sh", script).await;
    let sizes: Vec<u64> = said.lines().filter_map(|line| line.trim().parse().ok()).collect();
    assert!(
        sizes.iter().all(|size| *size < 70_000_000)
            && sizes.contains(&(64 << 20))
            && said.ends_with("\n3\n"),
        "{said}"
    );
}

/// The wall's own first process ends with the program: a program that stops it, or writes to its
/// memory, would keep it.
#[tokio::test]
async fn nothing_reaches_the_walls_own_process() {
    let script = "import ctypes, os, errno\n\
                  c = ctypes.CDLL(None, use_errno=True)\n\
                  def said(name, got): print(name, errno.errorcode.get(ctypes.get_errno(), 0) if \
                  got == -1 else 'DONE')\n\
                  said('seize', c.ptrace(0x4206, 1, 0, 0))\n\
                  said('attach', c.ptrace(16, 1, 0, 0))\n\
                  b = ctypes.create_string_buffer(64)\n\
                  said('read', c.process_vm_readv(1, b, 1, b, 1, 0))\n\
                  said('write', c.process_vm_writev(1, b, 1, b, 1, 0))\n\
                  print(os.listdir('/proc/1'))\n";
    let said = ends(LimitSettings::default(), "/usr/bin/python3", script).await;
    assert_eq!(said, "seize EPERM\nattach EPERM\nread EPERM\nwrite EPERM\n[]\n");
}

/// What a shell says behind the wall, in the definition's directory.
async fn shell(wall: &Wall, plan: &Plan, script: &str) -> String {
    let room = tempfile::tempdir().unwrap();
    let room = Room { plan, dir: room.path(), read: Vec::new(), source: false };
    let cmd =
        Cmd::new("/bin/sh", Duration::from_secs(20)).args(["-c", script]).dir(&plan.bundle_dir);
    let cmd = wall.around(cmd, &room, &Cancel::default()).await.unwrap();
    exec::output(&cmd, &Cancel::default()).await.unwrap()
}

/// `current -> v2` beside a definition that has a link to `current`, or to what is in it.
#[tokio::test]
async fn a_link_that_leads_to_a_link_is_followed_behind_the_wall() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().canonicalize().unwrap();
    for path in ["images/x", "shared/v2/role", "shared/v2/target", "images/target/y"] {
        std::fs::create_dir_all(tree.join(path)).unwrap();
    }
    for path in ["shared/v2/f", "shared/v2/role/f", "images/target/y/secret"] {
        std::fs::write(tree.join(path), "seen\n").unwrap();
    }
    let links = [
        ("whole", "../../shared/current"),
        ("part", "../../shared/current/role"),
        ("half", "../../shared/images"),
    ];
    for (name, target) in links {
        symlink(target, tree.join("images/x").join(name)).unwrap();
    }
    symlink("v2", tree.join("shared/current")).unwrap();
    symlink("../images", tree.join("shared/images")).unwrap();
    let mut plan = plan(&tree.join("images/x"));
    plan.asks.tree = tree.clone();
    let said = shell(
        &wall(Settings::default(), &[]),
        &plan,
        "cat whole/f part/f; cat half/target/y/secret || echo hidden",
    )
    .await;
    assert_eq!(said, "seen\nseen\nhidden\n");
    std::fs::remove_file(tree.join("images/x/whole")).unwrap();
    let said =
        shell(&wall(Settings::default(), &[]), &plan, "cat part/f; ls ../../shared/current").await;
    assert_eq!(said, "seen\nrole\n");
}

#[tokio::test]
async fn certificates_that_the_environment_names_are_seen() {
    let (definition, away) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (file, certs) = (away.path().join("ca.pem"), away.path().join("certs"));
    std::fs::create_dir(&certs).unwrap();
    for path in [&file, &certs.join("a"), &away.path().join("secret")] {
        std::fs::write(path, "seen\n").unwrap();
    }
    let path = |path: &Path| path.display().to_string();
    let dirs = format!("/nonexistent:{}", path(&certs));
    let env = [
        ("SSL_CERT_FILE", path(&file)),
        ("SSL_CERT_DIR", dirs),
        ("CURL_CA_BUNDLE", path(&away.path().join("none"))),
    ];
    let env: Vec<(&str, &str)> = env.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let look = format!(
        "cat $SSL_CERT_FILE ${{SSL_CERT_DIR#*:}}/a; cat {}/secret || echo hidden",
        away.path().display()
    );
    assert_eq!(
        shell(&wall(Settings::default(), &env), &plan(definition.path()), &look).await,
        "seen\nseen\nhidden\n"
    );
    // A directory that holds what is hidden is none of certificates.
    let all = path(away.path());
    let hides = wall(Settings::default(), &[("SSL_CERT_DIR", &all)]);
    let hides = Wall { config: Config { hidden: vec![certs], ..hides.config }, ..hides };
    let look = format!("cat {all}/secret || echo hidden");
    assert_eq!(shell(&hides, &plan(definition.path()), &look).await, "hidden\n");
}
