//! The first minutes with a factory: an ordinary user whose machine lacks something, odd
//! surroundings, and what is said of them.
use std::path::Path;
use std::process::Command;

use super::ordinary::{Means, Ordinary};
use super::support::{Factory, Ran};

const PLAYBOOK: &str = "- hosts: local\n  tasks: []\n";
/// Planned without a network: nobody listens there.
const ELSEWHERE: &str = "bundle: {name: d}\nsource: {url: 'https://127.0.0.1:1/d.qcow2', sha256: \
     ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad}\n";

fn ran(mut command: Command) -> Ran {
    Ran::of(command.output().unwrap())
}

/// `os/debian-12` as it is shipped, planned by an ordinary user. `None`: these tests are not run by
/// root.
fn planned(dir: &Path, means: &Means<'_>) -> Option<Ran> {
    planned_in(dir, means, None)
}

/// The same with IMAGE_FACTORY_HOME.
fn planned_in(dir: &Path, means: &Means<'_>, home: Option<&str>) -> Option<Ran> {
    let root = dir.join("with blanks and ümläute");
    let user = Ordinary::with(&root, means)?;
    let tree = root.join("a/tree");
    std::fs::create_dir_all(tree.join("os")).unwrap();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("os/debian-12");
    assert!(
        Command::new("cp").arg("-R").arg(shipped).arg(tree.join("os")).status().unwrap().success()
    );
    let mut command =
        user.command(&tree, &["--cloud", "local", "--accel", "tcg", "plan", "os/debian-12"]);
    home.iter().for_each(|home| _ = command.env("IMAGE_FACTORY_HOME", home));
    Some(ran(command))
}

#[test]
fn what_an_ordinary_user_lacks_is_said_before_anything_starts() {
    let dir = tempfile::tempdir().unwrap();
    let all = Means { subordinate_ids: true, mounts: "" };
    let Some(well) = planned(dir.path(), &all) else {
        return println!("not root: nothing can be taken away");
    };
    well.exits(0).says("script build.sh");
    let closed = planned_in(dir.path(), &all, Some("/usr/share/no such/factory")).unwrap();
    closed
        .exits(20)
        .says("cannot be written: /usr/share: Permission denied")
        .says("set IMAGE_FACTORY_HOME to a directory of yours");
    let data = dir.path().join("with blanks and ümläute/user/.local/share/image-factory");
    std::fs::create_dir_all(&data).unwrap();
    assert!(
        Command::new("chown")
            .args(["-R", "54321:54321"])
            .arg(data.ancestors().nth(2).unwrap())
            .status()
            .unwrap()
            .success()
    );
    // What an NFS server says to all but root.
    let chown = dir.path().join("chown");
    std::fs::write(
        &chown,
        "#!/bin/sh\necho \"chown: changing ownership of '$2': Operation not \
        permitted\" >&2\nexit 1\n",
    )
    .unwrap();
    std::fs::set_permissions(&chown, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let refusing = format!("mount --bind '{}' /usr/bin/chown\n", chown.display());
    let mount = |options: &str| {
        format!("mount -t tmpfs -o uid=54321,mode=700,{options} none '{}'\n", data.display())
    };
    for (means, said, hint) in [
        (
            Means { subordinate_ids: false, ..all },
            "has no subordinate IDs in /etc/subuid and /etc/subgid",
            "sudo usermod --add-subuids ",
        ),
        (
            Means { mounts: &mount("noexec,size=4g"), ..all },
            "is on a file system mounted with `noexec`",
            "sudo mount -o remount,exec",
        ),
        (
            Means { mounts: &mount("size=2g"), ..all },
            "MiB are free for builds where images are kept",
            "IMAGE_FACTORY_HOME",
        ),
        (
            Means { mounts: "mount --bind /dev/null /usr/bin/newuidmap\n", ..all },
            "newuidmap",
            "sudo apt-get install uidmap",
        ),
        (
            Means { mounts: &refusing, ..all },
            "keeps no files of other users",
            "set IMAGE_FACTORY_HOME to a directory of yours on a disk",
        ),
    ] {
        planned(dir.path(), &means).unwrap().exits(20).says(said).says(hint);
    }
}

#[test]
fn neither_language_nor_home_matters() {
    let vars = format!("{ELSEWHERE}steps: [{{ansible: ansible/bootstrap.yml}}]\n");
    let factory = Factory::new().bundle("os/d", &vars).file("os/d/ansible/bootstrap.yml", PLAYBOOK);
    for (name, value) in
        [("LC_ALL", "C"), ("LC_ALL", "de_DE.ISO-8859-1"), ("LANG", "xx_XX"), ("LC_CTYPE", "POSIX")]
    {
        let mut command = factory.command(&["--cloud", "local", "--accel", "tcg", "plan", "os/d"]);
        command.env_remove("LC_ALL").env(name, value).env_remove("HOME").env("TERM", "dumb");
        ran(command).exits(0).says("1. ansible: ansible/bootstrap.yml");
    }
    let mut homeless = factory.command(&["--cloud", "local", "image", "list", "no-such-family"]);
    homeless.env_remove("HOME").env_remove("IMAGE_FACTORY_HOME").env_remove("XDG_DATA_HOME");
    ran(homeless).exits(0);
}

#[test]
fn a_program_that_fails_is_not_called_missing_nor_its_error_a_version() {
    let vars = format!("{ELSEWHERE}steps: [{{ansible: ansible/bootstrap.yml}}]\n");
    let factory =
        Factory::new().bundle("os/d", &vars).file("os/d/ansible/bootstrap.yml", PLAYBOOK).script(
            "bin/ansible-playbook",
            "#!/bin/sh\necho 'ERROR: no module named ansible' >&2\nexit 3\n",
        );
    let path =
        format!("{}:{}", factory.tree().join("bin").display(), std::env::var("PATH").unwrap());
    for args in [&["plan", "os/d"][..], &["doctor"]] {
        let mut command =
            factory.command(&[&["--cloud", "local", "--accel", "tcg"], args].concat());
        command.env("PATH", &path);
        let ran = ran(command)
            .exits(20)
            .says("ansible-playbook does not run: exit code 3: ERROR: no module named ansible");
        assert!(!format!("{}{}", ran.out, ran.err).contains("ansible-playbook is not installed"));
        assert!(
            !ran.out.lines().any(|line| line.starts_with("ok") && line.contains("no module")),
            "{}",
            ran.out
        );
    }
}

/// It missed QEMU and mmdebstrap on a host that builds on a cloud, where nothing needs them.
#[test]
fn doctor_asks_for_what_the_cloud_needs() {
    let factory = Factory::new().script("bin/sh", "#!/bin/sh\nexec /bin/sh \"$@\"\n");
    let path = factory.tree().join("bin");
    let cloud = [
        ("OS_AUTH_URL", "http://127.0.0.1:2/v3"),
        ("OS_USERNAME", "u"),
        ("OS_PASSWORD", "p"),
        ("OS_PROJECT_NAME", "p"),
    ];
    let asked = |args: &[&str], env: &[(&str, &str)]| {
        let mut command = factory.command(args);
        command.env("PATH", &path).envs(env.iter().copied());
        ran(command)
    };
    let lines = |told: &str, word: &str| -> Vec<String> {
        let of = told.lines().filter(|line| line.starts_with(word));
        of.filter_map(|line| line.split_whitespace().nth(1)).map(str::to_owned).collect()
    };
    // Nobody listens there, which is the cloud's line.
    let away = asked(&["doctor"], &cloud).exits(20).out;
    let only = ["qemu-system-x86_64", "qemu-img", "passt", "mmdebstrap", "git"];
    let (absent, missing) = (lines(&away, "absent"), lines(&away, "MISSING"));
    for program in only {
        assert!(absent.iter().any(|name| name == program), "{program}: {away}");
    }
    for program in ["ansible-playbook", "ssh", "bwrap"] {
        assert!(missing.iter().any(|name| name == program), "{program}: {away}");
    }
    assert!(!missing.iter().any(|name| name == "os/debian-12"), "{away}");
    assert!(away.contains("it is only for machines of the local cloud"), "{away}");
    let here = asked(&["--cloud", "local", "doctor"], &[]).exits(20).out;
    let missing = lines(&here, "MISSING");
    for program in ["qemu-system-x86_64", "qemu-img", "passt", "mmdebstrap", "ssh"] {
        assert!(missing.iter().any(|name| name == program), "{program}: {here}");
    }
    let optional: Vec<_> = lines(&here, "absent").into_iter().filter(|n| *n != "mitogen").collect();
    assert_eq!(optional, ["git"], "builds go on without it");
}

#[test]
fn the_first_line_that_tells_the_cause_is_repeated_at_the_end() {
    let script = "#!/bin/sh\necho I: begin\necho 'E: Unable to locate package nosuch' >&2\necho \
        'E: setup failed' >&2\n\
                  for n in 1 2 3 4 5 6 7 8 9; do echo \"I: removing $n\"; done\nexit 25\n";
    let factory = Factory::new()
        .bundle("os/x", "bundle: {name: x}\nsource: {script: build.sh}\n")
        .script("os/x/build.sh", script);
    let ran = factory.run(&["--cloud", "local", "--accel", "tcg", "build", "os/x"]).exits(30);
    let end: Vec<&str> = ran.err.lines().rev().take(3).collect();
    assert!(end[2].contains("exit code 25: E: Unable to locate package nosuch"), "{}", ran.err);
    assert_eq!(end[1], "report: os/target/x/report.html");
    assert!(factory.tree().join("os/target/x/report.html").exists());
    assert!(
        end[0].starts_with("log: os/target/x/runs/") && end[0].ends_with("build.log"),
        "{}",
        ran.err
    );
}

#[test]
fn a_plan_on_a_fresh_tree_begins_with_the_base() {
    let factory = Factory::new()
        .bundle("os/d", ELSEWHERE)
        .bundle("images/x", "bundle: {name: x, img_base: os/d}\nsteps: [{shell: \"true\"}]\n");
    let before = factory.listing();
    let told = factory.run(&["--cloud", "local", "--accel", "tcg", "plan", "images/x"]).exits(0);
    let place = |text: &str| {
        told.out.find(text).unwrap_or_else(|| panic!("`{text}` is not in {}", told.out))
    };
    assert!(
        place("os/d is missing, and is built first") < place("bundle     os/d")
            && place("bundle     os/d") < place("bundle     images/x")
    );
    assert!(told.out.contains("(not built yet)"), "{}", told.out);
    let json =
        factory.run(&["--cloud", "local", "--accel", "tcg", "plan", "images/x", "--json"]).exits(0);
    let plan: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(
        (plan["bundle"].as_str(), plan["bases_first"][0]["bundle"].as_str()),
        (Some("images/x"), Some("os/d"))
    );
    let made: Vec<_> = factory
        .listing()
        .into_iter()
        .filter(|entry| !before.contains(entry) && !entry.0.starts_with("home/cache"))
        .collect();
    assert!(
        made.iter()
            .all(|(path, _)| Path::new("home").starts_with(path) || path.starts_with("home")),
        "{made:?}"
    );
}

#[test]
fn what_a_shell_finds_beside_bundles_is_passed_over_in_one_line() {
    let factory = Factory::new()
        .bundle("os/d", ELSEWHERE)
        .file("os/README.md", "x")
        .file("os/families/debian/ansible/x.yml", PLAYBOOK)
        .file("images/notes.txt", "x")
        .file("images/target/x/log", "x")
        .file("images/unset/ansible/bootstrap.yml", PLAYBOOK);
    let names = ["os/README.md", "os/d", "os/families", "images/notes.txt", "images/target"];
    let ran = factory
        .run(&[&["validate"], &names[..]].concat())
        .exits(0)
        .says("1 bundle checked: 0 errors");
    let line =
        "passed over, no bundles: os/README.md, os/families, images/notes.txt, images/target";
    assert_eq!(ran.err.lines().filter(|l| *l == line).count(), 1, "{}", ran.err);
    factory
        .run(&["validate", "os/d", "os/nosuch"])
        .exits(10)
        .says("there is no bundle `os/nosuch`");
    factory.run(&["validate", "os/d", "images/unset"]).exits(10).says("build-vars.yml");
    factory.run(&["validate", "os/README.md"]).exits(10);
}

#[test]
fn an_image_that_is_not_there_is_not_built() {
    let ran = Factory::new()
        .run(&["--cloud", "local", "test", "nosuch"])
        .exits(20)
        .says("no image `nosuch`");
    assert!(!ran.err.contains("building"), "{}", ran.err);
}

#[test]
fn a_key_of_a_step_that_stands_in_its_ansible_map_is_sent_where_it_belongs() {
    let vars = "bundle: {name: x, img_base: b}\nsteps:\n  - ansible: \
        {playbook: ansible/bootstrap.yml, tags: [a]}\n";
    let factory =
        Factory::new().bundle("images/x", vars).file("images/x/ansible/bootstrap.yml", PLAYBOOK);
    factory
        .run(&["validate"])
        .exits(10)
        .says("`tags` belongs beside `ansible`, in `steps[1]` itself");
}

/// Cargo as `setup/compile` calls it, without a terminal.
#[test]
fn what_compiles_says_so() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let cargo = |body: &str| {
        let path = dir.path().join("cargo");
        std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let compile = Path::new(env!("CARGO_MANIFEST_DIR")).join("setup/compile");
        let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap());
        ran({
            let mut command = Command::new(compile);
            command.env("PATH", path).env("FACTORY_COMPILE_LINE", "3");
            command.env("CARGO_TARGET_DIR", dir.path());
            command
        })
    };
    let slow = cargo("sleep 8; echo 'error: no' >&2; exit 101").exits(101).says("error: no");
    assert!(
        slow.err.contains("compiling the factory: this takes minutes")
            && slow.err.contains("compiling the factory, 0m"),
        "{}",
        slow.err
    );
    assert_eq!(cargo("exit 0").exits(0).err, "", "nothing to compile, nothing to say");
}

/// On a terminal cargo shows its own progress; elsewhere it says nothing but what is wrong.
#[test]
fn cargo_shows_its_progress_on_a_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let path = format!(
        "{}:{}",
        only(&dir.path().join("bin"), &[], &[("cargo", "echo \"cargo $*\" >&2")]),
        std::env::var("PATH").unwrap()
    );
    let compile = Path::new(env!("CARGO_MANIFEST_DIR")).join("setup/compile");
    let mut on_terminal = Command::new("script");
    on_terminal
        .args(["-qec", &format!("'{}'", compile.display()), "/dev/null"])
        .stdin(std::process::Stdio::null());
    let shown = ran({
        on_terminal.env("PATH", &path).env("TERM", "dumb").env("SHELL", "/bin/sh");
        on_terminal.env("CARGO_TARGET_DIR", dir.path());
        on_terminal
    });
    let shown = shown.exits(0);
    assert_eq!(shown.out.trim(), "cargo build --release --locked");
    let mut elsewhere = Command::new(compile);
    elsewhere.env("PATH", &path).env("CARGO_TARGET_DIR", dir.path());
    assert_eq!(ran(elsewhere).exits(0).err.trim(), "cargo build --release --locked --quiet");
}

/// Links to programs of this machine, and stand-ins, as all that there is.
fn only(dir: &Path, programs: &[&str], made: &[(&str, &str)]) -> String {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(dir).unwrap();
    for name in programs {
        let at = ["/usr/bin", "/bin"]
            .map(|bin| Path::new(bin).join(name))
            .into_iter()
            .find(|path| path.exists())
            .unwrap();
        std::os::unix::fs::symlink(at, dir.join(name)).unwrap();
    }
    for (name, body) in made {
        std::fs::write(dir.join(name), format!("#!/bin/sh\n{body}\n")).unwrap();
        std::fs::set_permissions(dir.join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    dir.display().to_string()
}

/// rustup was run a moment ago, and this shell does not know of it.
#[test]
fn cargo_is_found_where_rustup_puts_it() {
    let dir = tempfile::tempdir().unwrap();
    only(&dir.path().join(".cargo/bin"), &[], &[("cargo", "echo \"cargo $*\" >&2")]);
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("setup/compile"));
    command
        .env("PATH", only(&dir.path().join("bin"), &["sleep"], &[]))
        .env("HOME", dir.path())
        .env("CARGO_TARGET_DIR", dir.path())
        .env_remove("CARGO_HOME");
    ran(command).exits(0).says("cargo build --release --locked");
}

/// Behind a proxy, in German, with sudo and without.
#[test]
fn what_is_missing_is_installed_as_this_user_can() {
    let dir = tempfile::tempdir().unwrap();
    let programs = ["grep", "uniq", "sort", "ssh", "cat"];
    let candidate =
        "[ \"$LC_ALL\" = C.UTF-8 ] && echo '  Candidate: 1' || echo '  Installationskandidat: 1'";
    let user = [("id", "echo 1000"), ("apt-get", "exit 1"), ("apt-cache", candidate)];
    let sudo = [("sudo", "echo \"sudo $*\" >&2"), user[0], user[1], user[2]];
    let run = |name: &str, made: &[(&str, &str)], proxy: &str| {
        let mut command =
            Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("setup/dependencies"));
        command
            .arg("run")
            .env("PATH", only(&dir.path().join(name), &programs, made))
            .stdin(std::process::Stdio::null());
        command
            .env("LC_ALL", "de_DE.UTF-8")
            .env("LANG", "de_DE.UTF-8")
            .env("IMAGE_FACTORY_INSTALL", "yes")
            .env("http_proxy", proxy);
        for name in ["https_proxy", "ftp_proxy", "no_proxy"] {
            command.env_remove(name);
        }
        ran(command)
    };
    let without =
        run("a", &user, "").says("to install, as root: apt-get install --no-install-recommends ");
    assert!(without.err.contains(" passt") && !without.err.contains("sudo"), "{}", without.err);
    let behind =
        run("b", &sudo, "http://me:secret@proxy:3128").says("sudo --preserve-env=http_proxy -n ");
    assert!(!behind.err.contains("secret"), "{}", behind.err);
    let plain = run("c", &sudo, "");
    assert!(plain.err.contains("sudo -n ") && !plain.err.contains("preserve-env"), "{}", plain.err);
}

/// As root, with another place for it and a stand-in for pip.
#[test]
fn the_accelerator_is_the_wheel_with_the_digest_and_is_installed_once() {
    let dir = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("setup/dependencies");
    let (script, at) = (std::fs::read_to_string(script).unwrap(), dir.path().join("lib/mitogen"));
    let place = "mitogen=/usr/local/lib/image-factory/mitogen";
    let script = script.replacen(place, &format!("mitogen={}", at.display()), 1);
    let lock = "/run/lock/image-factory-dependencies";
    let script = script.replacen(lock, &dir.path().join("lock").display().to_string(), 1);
    std::fs::write(dir.path().join("dependencies"), script).unwrap();
    let programs = ["cat", "chmod", "flock", "mkdir", "mktemp", "mv", "rm", "tail"];
    let run = |name: &str, pip: &str| {
        let mut command = Command::new("/bin/sh");
        let made = [("id", "echo 0"), ("pip3", pip)];
        command
            .arg(dir.path().join("dependencies"))
            .arg("accelerator")
            .env("PATH", only(&dir.path().join(name), &programs, &made))
            .stdin(std::process::Stdio::null());
        ran(command)
    };
    run("a", "echo no such wheel >&2; exit 1").exits(1).says("no such wheel").says("pip failed");
    assert!(!at.exists() && !dir.path().join("lib/mitogen.new").exists());
    let pip = "echo \"pip $*\" >>\"${0%/*}/said\"; to= list=; while [ $# -gt 0 ]; do case $1 in \
        --target) to=$2 ;; -r) list=$2 ;; esac; shift; done; cat \"$list\" >>\"${0%/*}/said\"; \
        mkdir -p \"$to/mitogen-0.3.54.dist-info\"";
    run("b", pip).exits(0).says("mitogen-0.3.54.dist-info (mitogen)").says("done");
    let said = std::fs::read_to_string(dir.path().join("b/said")).unwrap();
    for part in ["--require-hashes", "--only-binary :all:", "--no-deps", "mitogen==0.3.54 --hash="]
    {
        assert!(said.contains(part), "{said}");
    }
    assert!(!said.contains("://"), "the index is pip's own: {said}");
    assert!(at.join("mitogen-0.3.54.dist-info").is_dir());
    assert_eq!(run("c", "exit 1").exits(0).err, "", "it is there");
}

#[test]
fn a_target_directory_may_have_blanks_in_its_name() {
    let mut command = Command::new("make");
    command
        .args(["--no-print-directory", "-n", "validate"])
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    ran(command)
        .exits(0)
        .says("exec \"${CARGO_TARGET_DIR:-target}/release/image-factory\" validate");
}
