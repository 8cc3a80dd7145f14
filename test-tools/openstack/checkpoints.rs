//! A builder that boots from the disk of another run: what is published shows nothing of that run,
//! and the state is no image that anybody sees.
use super::base;
use super::devcloud;
use super::factory::Factory;

/// The first step is worth a state.
const BUNDLE: &str = "\
bundle: {name: life-kept, img_base: os/debian-12}
checkpoints: true
steps:
- name: long
  sudo: true
  shell: [sleep 61, hostname >/etc/built-by, date +%s%N >/etc/long]
- name: last
  sudo: true
  shell: [echo WORD >/etc/last]
";

/// Runs on the published image's first machine.
const TEST: &str = "\
#!/bin/sh
set -e
grep -q WORD /etc/last
grep -q \"$FACTORY_RUN\" /etc/built-by
if sudo grep -rs 'factory build key' /root /home /etc/ssh; then exit 1; fi
[ \"$(sudo ls /var/lib/cloud/instances | wc -l)\" -eq 1 ]
[ \"$(sudo ls /etc/ssh/ssh_host_ed25519_key | wc -l)\" -eq 1 ]
";

fn write(factory: Factory, word: &str) -> Factory {
    use std::os::unix::fs::PermissionsExt;
    let factory = factory
        .file("images/life-kept/build-vars.yml", &BUNDLE.replace("WORD", word))
        .file("images/life-kept/tests/clean", &TEST.replace("WORD", word));
    let test = factory.tree().join("images/life-kept/tests/clean");
    std::fs::set_permissions(test, std::fs::Permissions::from_mode(0o755)).unwrap();
    factory
}

#[test]
#[ignore = "wants devcloud, boots machines for minutes: `make test-lifecycle`"]
fn lifecycle_of_a_checkpoint() {
    let factory = Factory::new("checkpoints")
        .apart()
        .env("OS_CLIENT_CONFIG_FILE", devcloud::clouds_yaml().display().to_string())
        .env("OS_CLOUD", "devcloud");
    let factory = write(base::published(factory), "one");
    let before = devcloud::listing();
    let build = |factory: &Factory, args: &[&str]| {
        let (code, said) = factory.run(&[&["build", "images/life-kept"], args].concat());
        assert_eq!(code, 0);
        said
    };
    let said = build(&factory, &["--no-smoke"]);
    assert!(said.contains("images/life-kept, step 1 of 2: long is kept as image"));
    assert_eq!(factory.left(), [""; 0]);

    let factory = write(factory, "two");
    let said = build(&factory, &[]);
    assert!(said.contains("1/2: long: restored"), "the first step was run again");
    assert_eq!(factory.left(), [""; 0]);

    // All that is there by now: the two images, and the one that nobody sees.
    let families: Vec<String> = factory
        .images("life-kept")
        .iter()
        .map(|image| image["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(families.len(), 2);
    let hidden = devcloud::openstack("devcloud", &["image", "list", "--hidden", "-f", "value"]);
    let state = hidden.lines().find(|line| line.contains("-checkpoint")).expect("the state");
    let state = state.split(' ').next().unwrap();
    let (code, _) = factory.run(&["image", "prune", "life-kept", "--keep", "9"]);
    assert_eq!(code, 0);

    // Somebody deletes it: the next build begins with the base.
    devcloud::openstack("devcloud", &["image", "delete", state]);
    let factory = write(factory, "three");
    let said = build(&factory, &["--no-smoke"]);
    assert!(!said.contains("restored") && said.contains("is kept as image"));
    let all = devcloud::openstack("devcloud", &["image", "list", "--hidden", "-f", "value"]);
    for line in all.lines().filter(|line| line.contains("-checkpoint")) {
        devcloud::openstack("devcloud", &["image", "delete", line.split(' ').next().unwrap()]);
    }
    for image in factory.images("life-kept") {
        devcloud::openstack("devcloud", &["image", "delete", image["id"].as_str().unwrap()]);
    }
    assert_eq!(devcloud::changes(&before), [""; 0]);
}
