//! Machines that greet, lie or say nothing when they are asked.
use super::*;

/// An honest image whose login script greets: the old reader took the greeting for the answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_greets_is_understood() {
    let (hostile, dir) = (Hostile::start("greets"), tempfile::tempdir().unwrap());
    let (result, _) = build_on(&hostile, dir.path(), shell("echo done")).await;
    assert_eq!(result, Ok(()));
    let log = std::fs::read_to_string(dir.path().join("build.log")).unwrap();
    assert!(log.contains("shell | done") && !log.contains(['\x1b', '\u{202e}']), "{log}");
    // Which the cloud in memory lets Ansible do no more with than to read it.
    let (result, warned) = build_on(&hostile, dir.path(), playbook(dir.path())).await;
    // That it is tried without Mitogen as well is told.
    let of_answers = warned.iter().filter(|text| !text.contains("is played again without"));
    assert!(result.is_err() && of_answers.count() == 0, "{warned:?}");
    let python = interpreter(dir.path());
    assert!(
        python.starts_with('/') && python.ends_with("/python3") && !python.contains("evil"),
        "{python}"
    );
}

fn playbook(dir: &Path) -> Vec<StepPlan> {
    std::fs::write(
        dir.join("play.yml"),
        "- hosts: all\n  gather_facts: false\n  tasks: [{raw: echo}]\n",
    )
    .unwrap();
    let action = StepKind::Ansible {
        playbook: "play.yml".into(),
        extra_vars: Default::default(),
        tags: Vec::new(),
        local: false,
        plain: false,
    };
    vec![step(action)]
}

/// Of the one host of the inventory.
fn interpreter(dir: &Path) -> String {
    let inventory: serde_json::Value =
        serde_json::from_slice(&std::fs::read(dir.join("inventory.json")).unwrap()).unwrap();
    let hosts = inventory["all"]["children"]["local"]["hosts"].as_object().unwrap();
    assert_eq!(hosts.keys().collect::<Vec<_>>(), ["factory-r1-builder"]);
    hosts["factory-r1-builder"]["ansible_python_interpreter"].as_str().unwrap().to_owned()
}

/// The old inventory had the answer in it as it came, and the ProxyCommand in it ran here, as us.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_no_line_of_the_inventory() {
    let (hostile, dir) = (Hostile::start("injects"), tempfile::tempdir().unwrap());
    let (result, warned) = build_on(&hostile, dir.path(), playbook(dir.path())).await;
    // The cloud in memory has no address that Ansible could reach; what it would have run on the
    // way there is the question.
    assert!(result.is_err(), "{result:?}");
    assert!(!hostile.dir().join("pwned").exists(), "a command of the guest ran on the factory");
    assert!(warned.iter().any(|w| w.contains("is no path of a python3")), "{warned:?}");
    assert_eq!(interpreter(dir.path()), "auto_silent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_closes_or_says_nothing_is_named() {
    for (mode, told) in [
        ("closes", "cloud-init did not end well: the connection was lost"),
        ("slow", "cloud-init did not end well: not done after"),
    ] {
        let (hostile, dir) = (Hostile::start(mode), tempfile::tempdir().unwrap());
        let (result, _) = build_on(&hostile, dir.path(), shell("echo done")).await;
        let error = result.unwrap_err();
        assert!(error.contains(told), "{mode}: {error}");
    }
}
