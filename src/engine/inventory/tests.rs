//! What hostile guests would have in the inventory, and what Ansible itself reads out of it.
use std::sync::Arc;

use super::*;
use crate::guest::keys;

fn target(host: &str, user: &str) -> Target {
    let key = Arc::new(keys::generate_key("x"));
    Target {
        host: host.into(),
        port: 2222,
        user: user.into(),
        host_keys: vec![key.public_key().clone()],
        key,
    }
}

#[test]
fn only_a_path_and_a_version_is_an_answer() {
    let python = |path: &str, version| Some(Python { path: path.into(), version });
    assert_eq!(parse("/usr/bin/python3\n3.11").unwrap(), python("/usr/bin/python3", (3, 11)));
    assert_eq!(
        parse("/opt/py-3.12+x/bin/python3\n3.12").unwrap(),
        python("/opt/py-3.12+x/bin/python3", (3, 12))
    );
    assert_eq!(parse("").unwrap(), None);
    for bad in [
        "/usr/bin/python3",
        "/usr/bin/python3\n",
        "python3\n3.11",
        "/usr/bin/python3 ansible_ssh_common_args=-oProxyCommand=evil\n3.11",
        "/usr/bin/python3\n3.11\nlocalhost ansible_connection=local",
        "/usr/bin/python3\nlocalhost ansible_connection=local",
        "/usr/bin/{{lookup('pipe','id')}}\n3.11",
        "/usr/../../tmp/python3\n3.11",
        "/usr/bin/python3\t\n3.11",
        "/usr/bin/python3\n3.11.2",
        "/usr/bin/python3\n+3.11",
        "/usr/bin/python3\n3.99999999999",
        "alias python3='/usr/bin/python3'\n3.11",
        "/\n3.11",
        "/usr/bin/pyth\u{f6}n3\n3.11",
    ] {
        assert!(parse(bad).is_err(), "{bad:?}");
    }
    assert!(parse(&format!("/{}\n3.11", "a".repeat(300))).is_err());
}

#[test]
fn values_that_ansible_would_render_are_refused() {
    let sound = target("10.0.0.5", "debian");
    assert!(
        text("b", &sound, "/usr/bin/python3").is_ok()
            && text("b", &target("fd00::1%eth0", "a_b"), ITSELF).is_ok()
    );
    for (name, host, user, python) in [
        ("b", "10.0.0.5", "{{ lookup('pipe', 'id') }}", "/usr/bin/python3"),
        ("b", "10.0.0.5", "-oProxyCommand=x", "/usr/bin/python3"),
        ("b", "-oProxyCommand=x", "debian", "/usr/bin/python3"),
        ("b{{1}}", "10.0.0.5", "debian", "/usr/bin/python3"),
        ("b", "10.0.0.5", "debian", "/usr/bin/{% raw %}"),
        ("b", "10.0.0.5", "", "/usr/bin/python3"),
    ] {
        assert!(text(name, &target(host, user), python).is_err(), "{name} {host} {user} {python}");
    }
}

#[test]
fn the_version_is_judged_by_the_support_matrix() {
    let core = |minor: u32| format!("ansible-playbook [core 2.{minor}.1]");
    for (ansible, version, fine) in [
        (14, (3, 5), true),
        (14, (3, 4), false),
        (16, (3, 5), false),
        (17, (3, 6), false),
        (20, (3, 8), false),
    ] {
        let told = judge(&core(ansible), version);
        assert_eq!(told == Verdict::Fine, fine, "{told:?}");
        assert_eq!(matches!(told, Verdict::TooOld(_)), !fine, "{told:?}");
    }
    assert!(matches!(judge(&core(14), (3, 13)), Verdict::Warn(_)));
    assert!(matches!(judge(&core(14), (2, 7)), Verdict::TooOld(_)));
    for unknown in ["", "ansible-playbook 2.9.27", "ansible-playbook [core 2.99.0]"] {
        assert_eq!(judge(unknown, (3, 1)), Verdict::Fine, "what is not known is not judged");
    }
}

/// The installed Ansible reads the host, its groups and its variables out of the file.
#[test]
fn ansible_reads_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("inventory.json");
    std::fs::write(
        &file,
        text("factory-r1-builder", &target("10.0.0.5", "debian"), "/usr/bin/python3").unwrap(),
    )
    .unwrap();
    let out = std::process::Command::new("ansible-inventory")
        .arg("-i")
        .arg(&file)
        .arg("--list")
        .current_dir(&dir)
        .output()
        .unwrap();
    let read: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(read["local"]["hosts"], json!(["factory-r1-builder"]), "{read}");
    let vars = &read["_meta"]["hostvars"]["factory-r1-builder"];
    assert_eq!(
        (&vars["ansible_port"], &vars["ansible_python_interpreter"]),
        (&json!(2222), &json!("/usr/bin/python3")),
        "{read}"
    );
    assert_eq!(read["default"]["hosts"], json!(["factory-r1-builder"]), "{read}");
    let children = read["all"]["children"].as_array().unwrap();
    assert!(["local", "default"].iter().all(|group| children.contains(&json!(group))), "{read}");
}
