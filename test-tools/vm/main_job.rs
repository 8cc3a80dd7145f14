//! The main job: bundle-nginx from nothing to a tested image, and what must hold of it.
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::factory::{Factory, base_turn};

#[test]
#[ignore = "boots machines for minutes: `make test`"]
fn bundle_nginx_becomes_a_tested_image() {
    let turn = base_turn();
    let factory = Factory::ordinary("nginx");
    let fresh = factory.images("debian-12").is_empty();
    let mut build = factory.start(&["build", "images/bundle-nginx"]);
    if fresh {
        build.until("is published", Duration::from_secs(1800));
    }
    drop(turn);
    let (code, said) = (build.end(Duration::from_secs(1800)), build.said());
    assert_eq!(code, 0);
    assert_eq!(
        fresh,
        said.contains("base os/debian-12 of images/bundle-nginx is missing: building it first")
    );
    let image = &factory.images("bundle-nginx")[0];
    let id = image["id"].as_str().unwrap();
    let name = image["name"].as_str().unwrap();
    assert!(
        said.lines().any(|l| l.contains(id) && l.contains(name) && l.contains("is published")),
        "the image is not named at the end"
    );

    let target = factory.tree().join("images/target/bundle-nginx");
    let read = |path: &Path| {
        std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    };
    let heat = read(&target.join("output/bundle-nginx.heat.yml"));
    let heat: serde_yaml::Value = serde_yaml::from_str(&heat).unwrap();
    let server = heat["resources"]
        .as_mapping()
        .unwrap()
        .values()
        .find(|r| r["type"].as_str() == Some("OS::Nova::Server"))
        .unwrap();
    assert_eq!(server["properties"]["image"].as_str(), Some(id));

    let properties = read(&target.join("image.properties"));
    assert!(
        properties.contains(&format!("IMAGE_ID={id}\n"))
            && properties.contains(&format!("IMAGE_NAME={name}\n")),
        "{properties}"
    );
    assert!(read(&target.join("junit.xml")).contains("host-keys-unique"));
    assert!(read(&target.join("report.html")).contains(id));
    let manifest: serde_json::Value =
        serde_json::from_str(&read(&target.join("manifest.json"))).unwrap();
    assert!(manifest.to_string().contains(id));
    let log = read(&target.join(format!("build.{name}.log")));
    for copy in ["build.latest.log", "packer.latest.log"] {
        assert_eq!(read(&factory.tree().join(copy)), log);
    }
    assert!(log.lines().last().unwrap().contains(id), "the log does not end with the image");
    for check in [
        "boots",
        "ssh",
        "host-keys-unique",
        "machine-id-unique",
        "build-key-refused",
        "cloud-init",
        "sudo",
        "root-login",
    ] {
        assert!(log.contains(&format!("check {check}")), "{check} was not run");
    }
    assert!(log.contains("tests/page"));
    assert_eq!(factory.left(), Vec::<String>::new());

    let disk = factory.home().join("images").join(id).join("disk.qcow2");
    let info =
        Command::new("qemu-img").args(["info", "--output=json"]).arg(&disk).output().unwrap();
    let info: serde_json::Value = serde_json::from_slice(&info.stdout).unwrap();
    assert_eq!((info["format"].as_str(), info.get("backing-filename")), (Some("qcow2"), None));
    serves_the_page(&disk);
    begins_where_the_last_build_came_to(&factory);
}

/// One more step: the builder is restored with the others behind it, and is this run's own. The
/// last build's state is minutes old by now.
fn begins_where_the_last_build_came_to(factory: &Factory) {
    let vars = factory.tree().join("images/bundle-nginx/build-vars.yml");
    let text = std::fs::read_to_string(&vars).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let step = format!(
        "  - name: it is this run's\n    env: {{NOW: '{}'}}\n    shell:\n      \
            - test \"$(grep -c 'factory build key' ~/.ssh/authorized_keys)\" = 1\n      \
            - grep \"factory build key $FACTORY_RUN\" ~/.ssh/authorized_keys\n      \
            - test \"$(date +%s)\" -ge \"$NOW\"\n      \
            - test \"$(date +%s)\" -lt $((NOW + 600))\n      \
            - systemctl is-active nginx\n      \
            - test ! -e /run/nologin\n\n",
        now.as_secs()
    );
    let more = text.replacen("# The builder on this machine", &(step + "# The builder"), 1);
    assert_ne!(text, more);
    std::fs::write(&vars, more).unwrap();
    let mut build = factory.start(&["build", "images/bundle-nginx", "--no-smoke"]);
    assert_eq!(build.end(Duration::from_secs(900)), 0, "{}", build.said());
    let runs = std::fs::read_dir(factory.tree().join("images/target/bundle-nginx/runs")).unwrap();
    let latest = runs.map(|run| run.unwrap().path()).max().unwrap();
    let events = std::fs::read_to_string(latest.join("events.jsonl")).unwrap();
    let count = |event: &str| events.matches(&format!("\"event\":\"{event}\"")).count();
    assert_eq!((count("machine_restored"), count("step_restored")), (1, 2), "{events}");
    assert_eq!(count("step_started"), 1, "{events}");
    assert_eq!(factory.left(), Vec::<String>::new());
}

/// Nothing of ours: a plain QEMU with the disk and a network card, no configuration for the
/// machine.
fn serves_the_page(disk: &Path) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut qemu = Command::new("qemu-system-x86_64")
        .args([
            "-accel",
            "tcg,thread=multi",
            "-smp",
            "2",
            "-m",
            "1024",
            "-display",
            "none",
            "-snapshot",
        ])
        .arg("-drive")
        .arg(format!("file={},format=qcow2,if=virtio", disk.display()))
        .args(["-nic", &format!("user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:{port}-:80")])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let begin = Instant::now();
    let page = loop {
        if let Some(page) = fetch(port).filter(|p| p.contains("200 OK")) {
            break Some(page);
        }
        if begin.elapsed() > Duration::from_secs(600) {
            break None;
        }
        std::thread::sleep(Duration::from_millis(500));
    };
    qemu.kill().unwrap();
    qemu.wait().unwrap();
    let page = page.expect("the page was not served within ten minutes");
    println!("served after {:?}:\n{page}", begin.elapsed());
    assert!(page.contains("Built by the image factory"), "{page}");
}

fn fetch(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(
        &format!("127.0.0.1:{port}").parse().unwrap(),
        Duration::from_secs(2),
    )
    .ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut page = String::new();
    stream.read_to_string(&mut page).ok()?;
    Some(page)
}

#[test]
#[ignore = "boots a machine: `make test`"]
fn a_playbook_that_fails_is_named_and_leaves_nothing() {
    let factory = Factory::ordinary("bad-playbook")
        .file(
            "images/bad/build-vars.yml",
            "bundle:\n  name: bad\n  img_base: \
            os/debian-12\nsteps:\n  - ansible: ansible/bad.yml\n",
        )
        .file(
            "images/bad/ansible/bad.yml",
            "- hosts: local\n  gather_facts: false\n  become: true\n  tasks:\n    - name: this one \
                is well\n      command: id -u\n    - name: this one is not\n      command: sh -c \
                'echo no such luck >&2; exit 7'\n",
        )
        .with_base();
    let (code, said) = factory.run(&["build", "images/bad"]);
    assert_eq!(code, 30);
    let last: Vec<&str> = said.lines().rev().take(12).collect();
    assert!(
        last.iter().any(|l| l.contains("this one is not")),
        "the task is not named in the last lines"
    );
    assert!(said.contains("no such luck"));
    assert_eq!(factory.images("bad"), Vec::<serde_json::Value>::new());
    assert_eq!(factory.left(), Vec::<String>::new());
}
