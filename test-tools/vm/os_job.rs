//! The second job: an operating system's image, published only after every check passed; and images
//! that must not be. The same on the local cloud and on OpenStack.
use super::factory::Factory;

/// Every check that is on for an operating system, and whether it ran or was left out because the
/// cloud cannot do it.
pub fn passes_every_check(factory: &Factory, cannot: &[&str]) {
    let (code, said) = factory.run(&["-v", "build", "--force", "os/debian-12"]);
    assert_eq!(code, 0);
    for check in image_factory::testing::build_vars::CHECKS.iter() {
        let word = if cannot.contains(&check.id) { "skipped" } else { "passed" };
        // A base has no builder before it, so there is no key that must be refused.
        let none = check.id == "build-key-refused";
        assert_eq!(
            said.contains(&format!("check {} {word}", check.id)),
            !none,
            "{} was not {word}",
            check.id
        );
    }
    assert!(factory.images("debian-12").iter().any(|i| i["state"] == "active"));
    let junit =
        std::fs::read_to_string(factory.tree().join("os/target/debian-12/junit.xml")).unwrap();
    assert!(junit.contains("reboot-hard"));
    assert_eq!(factory.left(), Vec::<String>::new());
}

/// What is wrong with the image, what breaks it, and the check that has to say so.
const BROKEN: &[(&str, &str, &str)] = &[
    (
        "no-sshd",
        "steps:\n  - {name: break it, sudo: true, shell: systemctl disable ssh.service}\ntimeouts: \
            {ssh: 6m}\n",
        "boots",
    ),
    (
        "bad-unit",
        "steps:\n  - name: break it\n    sudo: true\n    shell:\n      - printf \
            '[Service]\\nType=oneshot\\nExecStart=/bin/false\\n\
             [Install]\\nWantedBy=multi-user.target\\n' \
             > /etc/systemd/system/broken.service\n      \
             - systemctl enable broken.service\n",
        "failed-units",
    ),
    (
        "same-id",
        "steps:\n  - {name: break it, shell: 'true'}\ntidy: {machine-id: false}\n",
        "machine-id-unique",
    ),
];

/// Exit code 40, the check named, nothing published, nothing left. The base has to be there.
pub fn broken_images_are_refused(mut factory: Factory) {
    for (name, breaks, check) in BROKEN {
        let vars = format!("bundle:\n  name: {name}\n  img_base: debian-12\n{breaks}");
        factory = factory.file(
            &format!("os/{name}/build-vars.yml"),
            &format!("{vars}tests: {{only: [{}]}}\n", only(check)),
        );
        let (code, said) = factory.run(&["-v", "build", "--force", &format!("os/{name}")]);
        assert_eq!(code, 40, "{name}");
        assert!(said.contains(&format!("check {check} failed")), "{name}: {check} was not named");
        assert_eq!(factory.images(name), Vec::<serde_json::Value>::new(), "{name} was published");
        assert_eq!(factory.left(), Vec::<String>::new());
    }
}

/// A few checks besides the one that counts.
fn only(check: &str) -> String {
    let mut all = vec!["boots", "ssh", "sudo", "failed-units"];
    if !all.contains(&check) {
        all.push(check);
    }
    all.join(", ")
}

/// `test` of an image that is there: told how it did, and left as it was.
pub fn an_image_that_is_there_is_tested(factory: &Factory) {
    let before = factory.images("debian-12");
    let (code, said) =
        factory.run(&["-v", "test", "debian-12", "--set", "tests.only=[boots, ssh, sudo, dns]"]);
    assert_eq!(code, 0);
    assert!(said.contains("the image passed all its checks") && said.contains("check dns passed"));
    assert_eq!(factory.images("debian-12"), before);
    assert_eq!(factory.left(), Vec::<String>::new());
}
