//! Definitions of strangers, as `validate` and `plan` meet them: they run nothing, read nothing
//! outside, take little, and end.
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::support::{Factory, Ran};

const GOOD: &str = "bundle:\n  name: x\n  img_base: some-image\n";
const PLAYBOOK: &str = "- hosts: all\n  tasks: []\n";

fn good() -> Factory {
    Factory::new().bundle("images/x", GOOD).file("images/x/ansible/bootstrap.yml", PLAYBOOK)
}

/// Ten values that name each other, ten times each; no alias of YAML is in it.
fn nested() -> String {
    let one = |n: usize| format!("  v{n}: \"{}\"\n", format!("{{{{ v{} }}}}", n + 1).repeat(10));
    format!("{GOOD}vars:\n{}  v9: x\n", (0..9).map(one).collect::<String>())
}

fn bombs() -> Vec<(&'static str, String, String)> {
    let t = |name: &'static str, template: &str| (name, GOOD.to_owned(), template.to_owned());
    let doubled = "{% set ns = namespace(x='xxxxxxxx') %}{% for i in range(40) %}{% set ns.x = \
        ns.x ~ ns.x %}{% endfor %}{{ ns.x | length }}";
    let lists = "{% set ns = namespace(x=[1]) %}{% for i in range(40) %}{% set ns.x = ns.x + ns.x \
        %}{% endfor %}{{ ns.x | list | length }}";
    vec![
        t(
            "loops in loops",
            &("{% for a in range(9999) %}".repeat(4) + "." + &"{% endfor %}".repeat(4)),
        ),
        t("a text that doubles", doubled),
        t("a list that doubles", lists),
        t("an indentation", "{{ [[1]] | to_nice_json(indent=9000000000000) }}"),
        t("another one", "{{ 'a\nb' | indent(9000000000000) }}"),
        t("a product", "{{ 'x' * 900000000000 }}"),
        t("a long output", "{% for a in range(9999) %}{{ 'x' | center(1000) }}{% endfor %}"),
        t(
            "a macro that calls itself",
            "{% macro m(n) %}{{ m(n) }}{{ m(n) }}{% endmacro %}{{ m(1) }}",
        ),
        t("a file that includes itself", "{% include 'bomb.txt.j2' %}{% include 'bomb.txt.j2' %}"),
        t(
            "replacements",
            "{% set ns = namespace(x='a') %}{% for i in range(40) %}{% set ns.x = ns.x | \
                replace('a', 'aaaaaaaa') %}{% endfor %}",
        ),
        t(
            "a regular expression",
            "{% set s = 'a' * 3000000 %}{% for i in range(9999) %}{{ s | regex_replace('(a*)*b', \
                'x') | length }}{% endfor %}",
        ),
        t(
            "a sort of much",
            "{% for i in range(9999) %}{{ range(99999) | list | sort(reverse=true) | first \
                }}{% endfor %}",
        ),
        t("braces", &"{{ ((((((((((".repeat(9000)),
        ("values that name each other", nested(), "{{ v0 }}".into()),
    ]
}

/// What a run said, how it ended, and what it and its children took.
struct Cost {
    said: String,
    code: i32,
    /// Peak of memory.
    mib: i64,
    /// Processor time: on a loaded machine a clock tells nothing.
    took: Duration,
}

/// A small process between: a program begins with the peak of memory of the process that starts it,
/// and this one holds what other tests need.
const STARTER: &str = "import os, subprocess, sys
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(child.pid, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_maxrss, usage.ru_utime + usage.ru_stime)";

/// Runs the program.
fn measured(factory: &Factory, args: &[&str]) -> Cost {
    let program = factory.command(args);
    let mut starter = Command::new("python3");
    starter.args(["-c", STARTER]).arg(program.get_program()).args(program.get_args());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => starter.env(name, value),
            None => starter.env_remove(name),
        };
    }
    let ran = starter.current_dir(factory.tree()).output().unwrap();
    let numbers = String::from_utf8(ran.stdout).unwrap();
    let numbers: Vec<f64> = numbers.split_whitespace().map(|n| n.parse().unwrap()).collect();
    let [code, kib, took] = numbers[..] else { panic!("{numbers:?}") };
    Cost {
        said: String::from_utf8_lossy(&ran.stderr).into_owned(),
        code: code as i32,
        mib: kib as i64 >> 10,
        took: Duration::from_secs_f64(took),
    }
}

/// A text of 2.6 GiB passed as sound, ten values ran without end, and an indentation aborted the
/// program.
#[test]
fn template_bombs_are_refused_in_no_time_and_little_memory() {
    for (name, vars, template) in bombs() {
        let factory =
            good().bundle("images/x", &vars).file("images/x/output/bomb.txt.j2", &template);
        let Cost { said, code, mib, took } = measured(&factory, &["validate", "--offline"]);
        println!("{name}: {took:?}, {mib} MiB: {}", said.lines().next().unwrap_or_default());
        assert_eq!(code, 10, "{name}: {said}");
        assert!(
            said.contains("images/x/output/bomb.txt.j2")
                || said.contains("images/x/build-vars.yml"),
            "{name}: {said}"
        );
        // The bound is one second for the templates, and here, without optimisation, five for the
        // rest.
        assert!(took < Duration::from_secs(8) && mib < 200, "{name}: {took:?}, {mib} MiB");
        assert!(!said.contains("panicked") && said.len() < 20_000, "{name}: {said}");
    }
}

/// One that ends the process that renders does not take the others with it.
#[test]
fn bundles_beside_a_bomb_are_checked_all_the_same() {
    let factory = good()
        .file("images/x/output/bomb.txt.j2", &bombs()[1].2)
        .bundle("images/a", &GOOD.replace("name: x", "name: a"))
        .file("images/a/ansible/bootstrap.yml", PLAYBOOK)
        .file("images/a/output/a.txt.j2", "{{ nope_a }}")
        .bundle("images/z", &GOOD.replace("name: x", "name: z"))
        .file("images/z/ansible/bootstrap.yml", PLAYBOOK)
        .file("images/z/output/z.txt.j2", "{{ nope_z }}");
    factory
        .run(&["validate", "--offline"])
        .exits(10)
        .says("`nope_a` is undefined")
        .says("`nope_z` is undefined")
        .says("MiB of memory")
        .says("3 errors");
}

/// A mebibyte each, made to take time or memory by the square: aliases of a long text took 18 GB,
/// colons on the wrong side minutes.
#[test]
fn settings_that_are_made_to_cost_do_not() {
    let filled = |head: &str, part: &str| {
        format!("{head}{}", part.repeat((1_000_000 - head.len()) / part.len()))
    };
    let numbered = |head: &str, part: fn(usize) -> String, end: &str| {
        format!("{head}{}{end}", (0..60_000).map(part).collect::<String>())
    };
    let anchors: String = (0..60).map(|n| format!("&a{n} [")).collect();
    let cases = [
        ("misplaced colons", filled("", "aaa :b\n")),
        ("merges", filled("vars:\n", "  <<: {a: 1}\n")),
        ("different merges", numbered("vars:\n", |n| format!("  <<: {{a{n}: 1}}\n"), "")),
        ("tags", numbered(&format!("{GOOD}tags: ["), |n| format!("t{n},"), "]\n")),
        (
            "skipped checks",
            numbered(&format!("{GOOD}tests: {{skip: ["), |n| format!("t{n},"), "]}\n"),
        ),
        ("unknown keys", numbered("", |n| format!("k{n}: 1\n"), "")),
        ("a long key", format!("{}: 1\n", "k".repeat(1_000_000))),
        ("depth", filled("", "[")),
        ("depth of maps", filled("", "{a: ")),
        ("question marks", filled("", "? ")),
        ("dashes", filled("", "- ")),
        ("aliases of a long text", filled(&format!("a: &a {}\nb: [", "x".repeat(400_000)), "*a,")),
        ("anchors in anchors", filled(&format!("a: {anchors}"), "x,")),
        ("colons in a line", filled("a: ", ": ")),
        ("quotes", filled("a: ", "'")),
    ];
    for (name, text) in cases {
        let factory =
            good().bundle("images/x", &text).file("images/x/ansible/bootstrap.yml", &text);
        let Cost { said, code, mib, took } =
            measured(&factory, &["validate", "--offline", "-q", "images/x"]);
        println!("{name}: {took:?}, {mib} MiB, {} bytes", said.len());
        assert_eq!(code, 10, "{name}");
        assert!(took < Duration::from_secs(20) && mib < 400, "{name}: {took:?}, {mib} MiB");
    }
}

/// Playbooks and roles that are made to cost: 50,000 brackets took libyaml twenty seconds. One
/// budget holds for all that a definition has, whatever it is.
#[test]
fn playbooks_that_are_made_to_cost_do_not() {
    let open = format!("- hosts: all\n  vars: {}", "[".repeat(50_000));
    let behind_an_error = format!("- hosts: all\n\t- x: ]\n- {}", "[".repeat(1_500_000));
    let steps: String = (0..10_000)
        .map(|n| format!("- {{ansible: ansible/bootstrap.yml, extra_vars: {{a: {n}}}}}\n"))
        .collect();
    let steps = format!("{GOOD}steps:\n{steps}");
    let tasks = format!(
        "- hosts: all\n  tasks:\n{}",
        "  - {command: id, when: a, with_file: [a, b, c]}\n".repeat(60_000)
    );
    for (name, vars, playbook) in [
        ("depth", GOOD, &open),
        ("depth behind an error", GOOD, &behind_an_error),
        ("as many steps", &steps, &tasks),
    ] {
        let factory = good()
            .bundle("images/x", vars)
            .file("images/x/ansible/bootstrap.yml", playbook)
            .bundle("images/y", &GOOD.replace("name: x", "name: y"));
        let factory = factory.file("images/y/ansible/bootstrap.yml", "- hosts: localhost\n");
        for args in [&["validate", "--offline"][..], &["plan", "images/x"]] {
            let Cost { said, code, mib, took } = measured(&factory, args);
            println!("{name}: {took:?}, {mib} MiB: {said}");
            assert_eq!(code, 10, "{name}: {said}");
            assert_eq!(
                said.matches("images/x/").count(),
                1,
                "one error with its place: {name}: {said}"
            );
            assert!(
                args[0] == "plan" || said.contains("images/y/ansible/bootstrap.yml:1:10: error: "),
                "the next is checked: {said}"
            );
            // Depth is looked at before any reader that takes time by its square.
            assert!(name != "depth" || said.contains("nested deeper than"), "{said}");
            assert!(took < Duration::from_secs(19) && mib < 400, "{name}: {took:?}, {mib} MiB");
        }
    }
}

/// Nor does trouble of this machine look like one of the definition.
#[test]
fn an_odd_name_or_a_missing_directory_is_no_fault_of_others() {
    use std::os::unix::ffi::OsStrExt;
    let factory = good();
    let odd = factory.tree().join("images").join(std::ffi::OsStr::from_bytes(b"y\xff"));
    std::fs::create_dir(&odd).unwrap();
    std::fs::copy(factory.tree().join("images/x/build-vars.yml"), odd.join("build-vars.yml"))
        .unwrap();
    let mut command = factory.command(&["validate", "images/x"]);
    let out = command.env("TMPDIR", "/nonexistent").output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let all = factory.command(&["validate"]).output().unwrap();
    let said = String::from_utf8_lossy(&all.stderr);
    assert!(
        all.status.code() == Some(10) && said.contains("no UTF-8") && !said.contains("images/x/"),
        "{said}"
    );
}

/// Some hundred files that name each other are no attack.
#[test]
fn a_large_definition_is_sound() {
    let names: String = (0..200).map(|n| format!("- include_tasks: t{n}.yml\n")).collect();
    let task =
        "- name: install\n  apt: {name: [a, b], state: present}\n  register: done\n  until: \
        done is success\n"
            .repeat(20);
    let roles: String = (0..200).map(|n| format!("  - r{n}\n")).collect();
    let mut factory =
        good().file("images/x/ansible/bootstrap.yml", &format!("- hosts: all\n  roles:\n{roles}"));
    for n in 0..200 {
        factory = factory.file(&format!("images/x/ansible/roles/r{n}/tasks/main.yml"), &task);
        factory = factory.file(&format!("images/x/ansible/roles/r0/tasks/t{n}.yml"), &names);
    }
    factory.run(&["validate", "--offline"]).exits(0);
}

fn fifo(path: &Path) {
    let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: plain system call with a string that lives until it returns.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
}

/// Whatever a bundle names: a FIFO is not waited for, and a file of ten gigabytes that takes no
/// room is not read.
#[test]
fn odd_files_hold_nobody_up() {
    let names = [
        "build-vars.yml",
        "ansible/bootstrap.yml",
        "output/a.txt.j2",
        "tests/check",
        "scripts/s",
        "ansible.cfg",
        "roles/r/tasks/main.yml",
    ];
    for name in names {
        for kind in ["fifo", "sparse", "device"] {
            let factory = good().bundle(
                "images/x",
                &format!(
                    "{GOOD}steps: [{{ansible: ansible/bootstrap.yml}}, {{script: scripts/s}}]\n"
                ),
            );
            let factory = factory.script("images/x/scripts/s", "#!/bin/sh\n");
            let path = factory.tree().join("images/x").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let _ = std::fs::remove_file(&path);
            match kind {
                "fifo" => fifo(&path),
                "device" => symlink("/dev/zero", &path).unwrap(),
                _ => std::fs::File::create(&path).unwrap().set_len(10 << 30).unwrap(),
            }
            let begin = Instant::now();
            let ran = factory.run(&["validate", "--offline", "images/x"]);
            assert!(begin.elapsed() < Duration::from_secs(8), "{name} {kind}");
            assert!([0, 10].contains(&ran.code), "{name} {kind}: {} {}", ran.code, ran.err);
        }
    }
}

/// The error quoted a line of the file that the link led to; a template could pick any.
#[test]
fn nothing_outside_of_the_definition_is_read() {
    let secret = "hunter2-of-the-host";
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), format!("{secret}\n: [\n")).unwrap();
    let target = outside.path().join("secret");
    for link in [
        "output/inc",
        "output/a.json.j2",
        "ansible/bootstrap.yml",
        "build-vars.yml",
        "tests/a",
        "roles/r/tasks/main.yml",
        "any",
        "output",
    ] {
        let factory = good()
            .file("images/x/output/x.json.j2", "{% include 'inc' %}\n")
            .file("images/x/output/y.json.j2", "{% include 'secret' %}\n");
        let path = factory.tree().join("images/x").join(link);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let (target, _) =
            (if link == "output" { outside.path() } else { &target }, std::fs::remove_file(&path));
        let _ = std::fs::remove_dir_all(&path);
        symlink(target, &path).unwrap();
        let ran = factory.run(&["validate", "--offline"]).exits(10).says("leads out of the");
        assert!(!ran.err.contains(secret), "{link}: {}", ran.err);
    }
    // The bundle's directory, and what `bundle.path` says.
    let factory = good().bundle(
        "images/y",
        &format!("bundle: {{name: y, img_base: b, path: {}}}\n", outside.path().display()),
    );
    factory
        .run(&["validate", "--offline", "images/y"])
        .exits(10)
        .says("images/y/build-vars.yml:1:")
        .says("leads out of the factory tree");
    std::fs::write(outside.path().join("build-vars.yml"), format!("{secret}\n")).unwrap();
    symlink(outside.path(), factory.tree().join("images/z")).unwrap();
    let ran = factory
        .run(&["validate", "--offline", "images/z"])
        .exits(10)
        .says("a link that leads out of the tree");
    assert!(!ran.err.contains(secret), "{}", ran.err);
}

/// `plan` ran what a bare repository named that lay in a bundle as plain files.
#[test]
fn plan_runs_nothing_that_a_definition_brings() {
    let factory = good();
    let bundle = factory.tree().join("images/x");
    let mark = factory.tree().join("ran");
    for (name, text) in [("HEAD", "ref: refs/heads/main\n".to_owned()), ("config", config(&mark))] {
        std::fs::write(bundle.join(name), text).unwrap();
    }
    for dir in ["objects", "refs"] {
        std::fs::create_dir(bundle.join(dir)).unwrap();
    }
    // Ansible is asked for its version, which reads an ansible.cfg of the current directory: not of
    // a bundle.
    factory.run(&["plan", "images/x"]).says("some-image");
    factory.run(&["validate", "--offline"]).exits(0);
    assert!(!mark.exists());
    let _ = Command::new("git").current_dir(&bundle).args(["status", "-s"]).output();
    assert!(mark.exists(), "the trap of this test does not work");
}

fn config(mark: &Path) -> String {
    format!(
        "[core]\n repositoryformatversion = 0\n bare = false\n worktree = .\n fsmonitor = \"touch \
            {}; false\"\n",
        mark.display()
    )
}

#[test]
fn a_signal_ends_validate_within_a_second() {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // Rendering that lasts a second for each of many bundles.
        let mut factory = good();
        for n in 0..20 {
            let dir = format!("images/b{n}");
            factory =
                factory.bundle(&dir, GOOD).file(&format!("{dir}/output/b.txt.j2"), &bombs()[11].2);
        }
        let mut child = factory
            .command(&["validate", "--offline"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(1500));
        let begin = Instant::now();
        // SAFETY: plain system call; the child is ours and not waited for yet.
        unsafe { libc::kill(child.id() as i32, signal) };
        let status = child.wait().unwrap();
        assert_eq!((status.code(), status.signal()), (Some(130), None));
        assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    }
}

/// Keys, names of files and what a template says, with sequences that clear the screen, set the
/// title and turn text around.
#[test]
fn findings_cannot_steer_the_terminal() {
    let evil = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}txt";
    let factory = good()
        .bundle(
            "images/x",
            &format!("{GOOD}\"{evil}\": 1\nvars: {{\"a\": \"{evil}\"}}\n")
                .replace('\u{1b}', "\\e")
                .replace('\u{7}', "\\a"),
        )
        .bundle(&format!("images/{evil}"), "bundle: {name: [\n")
        .file(
            "images/x/output/a.yml.j2",
            &format!("{evil}: {{{{ nope }}}}\n{{{{ '{evil}' | nofilter }}}}"),
        )
        .file(&format!("images/x/tests/{evil}\n"), "x");
    let safe = |text: &str| {
        text.chars().all(|c| !(c.is_control() && c != '\n' && c != '\t') && c != '\u{202e}')
    };
    for args in [
        &["validate", "--offline"][..],
        &["validate", "--offline", "--json"],
        &["plan", "images/x"],
        &["build", evil],
        &["image", "show", evil],
        &["run", "show", evil],
    ] {
        let Ran { out, err, .. } = factory.run(args);
        assert!(safe(&out) && safe(&err), "{args:?}\n{out:?}\n{err:?}");
        assert!(out.len() + err.len() > 40, "{args:?} says something");
    }
}

#[test]
fn local_plays_need_the_owner() {
    let site = |ansible: &str| {
        good()
            .bundle("images/x", &format!("{GOOD}steps: [{{ansible: {ansible}}}]\n"))
            .file("images/x/a.yml", "- hosts: localhost\n")
    };
    site("a.yml")
        .run(&["validate", "--offline"])
        .exits(10)
        .says("images/x/a.yml:1:10: error: this runs on the factory: `hosts: localhost`")
        .says("hosts: all");
    let asked = site("{playbook: a.yml, local: true}");
    asked
        .run(&["validate", "--offline"])
        .exits(10)
        .says("images/x/build-vars.yml:4:")
        .says("which its owner does not allow");
    asked.run(&["plan", "images/x"]).exits(10).says("its owner does not allow");
    let sound = good().bundle(
        "images/x",
        &format!("{GOOD}steps: [{{ansible: {{playbook: ansible/bootstrap.yml}}}}]\n"),
    );
    sound.run(&["validate", "--offline"]).exits(0);
    let env = good().bundle(
        "images/x",
        &format!(
            "{GOOD}steps:\n- ansible: ansible/bootstrap.yml\n  env: \
            {{ANSIBLE_SSH_ARGS: -F x, MIRROR: y}}\n"
        ),
    );
    env.run(&["validate", "--offline"])
        .exits(10)
        .says("images/x/build-vars.yml:6:9: error: `ANSIBLE_SSH_ARGS` cannot be set")
        .says("1 error,");
}
