//! What a project cannot give is told before anything is made: one clear error each, and exit code
//! 20.
use std::time::Instant;

use super::devcloud::{self, IP, Undo};
use super::factory::Factory;
use super::tiny_disk::tiny_disk;

const BASE: &str = "refusals-base";
const ROOMY: &str =
    "bundle:\n  name: refused\n  img_base: refusals-base\nsteps: [{shell: 'true'}]\n";

/// A cloud of clouds.yaml with one thing changed.
fn cloud(url: &str, password: &str) -> String {
    format!(
        "clouds:\n  mine:\n    auth: {{auth_url: '{url}', username: demo, password: {password}, \
            project_name: demo, user_domain_name: Default, project_domain_name: Default}}\n"
    )
}

fn refused(factory: &Factory, bundle: &str, words: &[&str]) -> String {
    let begin = Instant::now();
    let (code, said) = factory.run(&["build", bundle]);
    println!("took {:.1} s", begin.elapsed().as_secs_f64());
    assert_eq!(code, 20, "exit code");
    for word in words {
        assert!(said.contains(word), "`{word}` was not said");
    }
    assert!(said.contains("hint: "), "no hint");
    said
}

#[test]
#[ignore = "wants devcloud: `make test-openstack`"]
fn are_clear_and_create_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let disk = tiny_disk(dir.path());
    let base = [
        "image",
        "create",
        "--private",
        "--disk-format",
        "raw",
        "--min-disk",
        "3",
        "--min-ram",
        "512",
        "--file",
    ];
    devcloud::openstack("devcloud", &[&base[..], &[&disk.display().to_string(), BASE]].concat());
    let _base = Undo("devcloud", &["image", "delete", BASE]);
    let mine = devcloud::clouds_yaml();
    let mine = mine.to_str().unwrap();
    let [lost, tight] = ["lost", "tight"]
        .map(|name| ROOMY.replace("name: refused", &format!("name: refused-{name}")));
    let factory = Factory::new("refusals")
        .apart()
        .file("images/roomy/build-vars.yml", ROOMY)
        .file(
            "images/lost/build-vars.yml",
            &format!("{lost}network: nowhere\nsecurity_groups: [nobody]\nvm_flavor: m1.smal\n"),
        )
        .file("images/tight/build-vars.yml", &format!("{tight}vm_flavor: m1.nano\n"))
        .file("password.yml", &cloud(&format!("http://{IP}:5000/v3"), "not-the-password"))
        .file("closed.yml", &cloud(&format!("http://{IP}:1/v3"), "x"))
        .file("nobody.yml", &cloud("http://172.24.4.99:5000/v3", "x"));
    let tree = factory.tree();
    let before = devcloud::listing();
    let mut factory = factory.env("OS_CLOUD", "mine");
    for (file, words) in [
        ("password.yml", ["log in", "401"]),
        ("closed.yml", ["log in", "is not reached"]),
        ("nobody.yml", ["log in", "is not reached"]),
    ] {
        factory = factory.env("OS_CLIENT_CONFIG_FILE", tree.join(file).display().to_string());
        let said = refused(&factory, "images/roomy", &words);
        assert!(!said.contains("not-the-password"));
    }
    let factory = factory.env("OS_CLIENT_CONFIG_FILE", mine).env("OS_CLOUD", "devcloud");
    refused(
        &factory,
        "images/lost",
        &[
            "build-vars.yml:5:1: error: network `nowhere` does not exist",
            "security group `nobody` does not exist",
            "flavor `m1.smal` does not exist",
            "did you mean `m1.small`?",
            "3 errors; nothing was created",
        ],
    );
    refused(
        &factory,
        "images/tight",
        &[
            "build-vars.yml:5:1: error: flavor `m1.nano`",
            "is too small",
            "smallest that fits is `m1.tiny`",
        ],
    );
    devcloud::openstack("devcloud-admin", &["quota", "set", "--floating-ips", "0", "demo"]);
    let quota = Undo("devcloud-admin", &["quota", "set", "--floating-ips", "50", "demo"]);
    refused(&factory, "images/roomy", &["quota leaves 0 floating IPs, and 2 are needed"]);
    drop(quota);
    assert_eq!(devcloud::changes(&before), [""; 0]);
    assert_eq!(factory.left(), [""; 0]);
}
