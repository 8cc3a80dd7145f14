//! What goes wrong with machines and with the factory itself, done to real ones: what a boot sector
//! cannot play. Crashes, and a sweep beside a live run, are in `test-tools/it/crash`, with machines
//! that boot in no time.
use std::process::Command;
use std::time::{Duration, Instant};

use super::factory::{Factory, Running};

const BOOT: Duration = Duration::from_secs(600);

/// A bundle with one shell step.
fn shell(name: &str, step: &str) -> Factory {
    let vars = format!(
        "bundle:\n  name: {name}\n  img_base: os/debian-12\nsteps:\n  - name: the step\n    sudo: \
            true\n    shell: |\n      {step}\n"
    );
    Factory::ordinary(name).file(&format!("images/{name}/build-vars.yml"), &vars).with_base()
}

/// PID of the machine that the build said it boots.
fn qemu(build: &Running, role: &str) -> String {
    let (said, role) = (build.said(), format!("-{role}"));
    let is_name = |word: &&str| word.starts_with("factory-") && word.ends_with(&role);
    let name = said.split_whitespace().find(is_name).expect("no machine is named");
    let is_it = |pid: &String| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut words = line.split(|b| *b == 0);
        words.next().is_some_and(|program| program.ends_with(b"qemu-system-x86_64"))
            && words.any(|word| word == name.as_bytes())
    };
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|e| e.file_name().into_string().ok())
        .find(is_it)
        .expect("the machine's QEMU is not there")
}

fn signal(pid: &str, name: &str) {
    assert!(Command::new("kill").args([name, pid]).status().unwrap().success());
}

fn leaves_nothing(factory: &Factory, family: &str) {
    assert_eq!(factory.images(family), Vec::<serde_json::Value>::new(), "something was published");
    assert_eq!(factory.left(), Vec::<String>::new());
}

#[test]
#[ignore = "boots machines: `make test-failures`"]
fn an_image_with_a_failed_unit_is_not_published() {
    let unit = "printf '[Service]\\nType=oneshot\\nExecStart=/bin/false\\n\
                [Install]\\nWantedBy=multi-user.target\\n' \
                > /etc/systemd/system/broken.service && systemctl enable broken.service";
    let factory = shell("broken", unit);
    let (code, said) = factory.run(&["build", "images/broken"]);
    assert_eq!(code, 40);
    assert!(said.contains("failed-units") && said.contains("broken.service"));
    leaves_nothing(&factory, "broken");
}

/// During an Ansible step, which by itself would wait for ever.
#[test]
#[ignore = "boots a machine: `make test-failures`"]
fn a_builder_that_freezes_is_named_within_a_minute() {
    let factory = Factory::ordinary("frozen")
        .file(
            "images/frozen/build-vars.yml",
            "bundle:\n  name: frozen\n  img_base: \
            os/debian-12\nsteps:\n  - ansible: ansible/wait.yml\n",
        )
        .file(
            "images/frozen/ansible/wait.yml",
            "- hosts: local\n  gather_facts: false\n  tasks:\n    - name: wait long\n      \
                command: sleep 3000\n",
        )
        .with_base();
    let mut build = factory.start(&["-v", "build", "images/frozen"]);
    build.until("TASK [wait long]", BOOT);
    let pid = qemu(&build, "builder");
    signal(&pid, "-STOP");
    named_within_a_minute(&mut build);
    leaves_nothing(&factory, "frozen");
}

#[test]
#[ignore = "boots a machine: `make test-failures`"]
fn a_builder_that_loses_its_network_is_named_within_a_minute_of_the_steps_end() {
    // The machine itself cuts the line, and nothing outside shows it: it has the 90 s that a
    // session may be silent.
    let factory = shell("cut", "ip link set eth0 down; sleep 3000");
    let mut build = factory.start(&["-v", "build", "images/cut"]);
    build.until("the step", BOOT);
    named_within(&mut build, Duration::from_secs(90 + 60));
    leaves_nothing(&factory, "cut");
}

/// Case 30: what is meant is no loss. A network that is away for longer than the watch calls
/// silence, then Ansible's `reboot`; the step after it, which runs over the session that both took
/// away, is run.
#[test]
#[ignore = "boots a machine: `make test-failures`"]
fn a_playbook_may_restart_the_machine_and_its_network() {
    let play = "- hosts: local
  become: true
  gather_facts: false
  tasks:
    - name: the network goes
      command: systemd-run --on-active=2 sh -c 'ip link set eth0 down; sleep 60; ip link set eth0 \
      up'
    - name: wait for it
      wait_for_connection: {delay: 20, timeout: 300}
    - name: restart
      reboot: {reboot_timeout: 900}
";
    let vars = "bundle:\n  name: outage\n  img_base: os/debian-12\nsteps:\n  - ansible: \
        ansible/outage.yml\n  - name: after\n    shell: echo reached; exit 3\n";
    let factory = Factory::new("outage")
        .file("images/outage/build-vars.yml", vars)
        .file("images/outage/ansible/outage.yml", play)
        .with_base();
    let (code, said) = factory.run(&["-v", "build", "images/outage"]);
    assert_eq!(code, 30);
    assert!(
        said.contains("the builder answers again"),
        "the network was not away for long enough to be noticed"
    );
    assert!(
        said.contains("step 2, after: exit code 3: reached"),
        "the step after the restart was not run"
    );
    leaves_nothing(&factory, "outage");
}

fn named_within_a_minute(build: &mut Running) {
    named_within(build, Duration::from_secs(60));
}

fn named_within(build: &mut Running, limit: Duration) {
    let begin = Instant::now();
    build.until("the builder was lost", limit);
    println!("named after {:?}", begin.elapsed());
    assert_eq!(build.end(Duration::from_secs(60)), 30);
}

#[test]
#[ignore = "boots a machine: `make test-failures`"]
fn a_signal_unwinds_in_order() {
    let factory = shell("stopped", "sleep 3000");
    let mut build = factory.start(&["build", "images/stopped"]);
    build.until("the step", BOOT);
    build.signal("-TERM");
    assert_eq!(build.end(Duration::from_secs(60)), 130);
    leaves_nothing(&factory, "stopped");
}

#[test]
#[ignore = "boots a machine: `make test-failures`"]
fn a_kept_machine_can_be_opened_and_swept_by_name() {
    let factory = shell("kept", "exit 3");
    let (code, said) = factory.run(&["build", "images/kept", "--keep-on-failure"]);
    assert_eq!(code, 30);
    let open = said
        .lines()
        .find_map(|l| l.split("Open it:").nth(1))
        .expect("no command to open it")
        .trim()
        .to_owned();
    let words: Vec<&str> = open.split(' ').collect();
    let opened = Command::new(words[0]).args(&words[1..]).arg("id -un").output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&opened.stdout).trim(),
        "debian",
        "{}",
        String::from_utf8_lossy(&opened.stderr)
    );
    assert!(factory.run(&["sweep"]).1.contains("left up on purpose"));
    let remove = said
        .lines()
        .find_map(|l| l.split("Remove it when done:").nth(1))
        .expect("no command to remove it");
    let words: Vec<&str> = remove.split_whitespace().collect();
    assert_eq!((words[0], factory.run(&words[1..]).0), ("image-factory", 0));
    leaves_nothing(&factory, "kept");
}
