//! The life of images after their builds: two builds, rollback, prune, a stale rebuild of an OS
//! image and two bundles; listings before and after, as administrator.
use serde_json::Value;

use super::base;
use super::devcloud::{self, Undo};
use super::factory::Factory;

const OS: &str = "bundle: {name: life-os, img_base: os/debian-12}\nsteps: [{shell: 'true'}]\n";
const FAMILIES: [&str; 3] = ["life-os", "life-a", "life-b"];

/// `build --stale` of what is this test's.
fn stale<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&["build", "--stale"], args, &["os/life-os", "images/life-a", "images/life-b"]].concat()
}

fn bundle(name: &str) -> String {
    format!("bundle: {{name: {name}, img_base: os/life-os}}\nsteps: [{{shell: 'true'}}]\n")
}

/// As another client shows it to the administrator: state, hidden.
fn seen(id: &str) -> (String, bool) {
    let image = devcloud::json("devcloud-admin", &["image", "show", id]);
    let state = image["properties"]["factory_state"]
        .as_str()
        .or(image["factory_state"].as_str())
        .unwrap_or_default()
        .to_owned();
    let hidden = &image["properties"]["os_hidden"];
    (
        state,
        *hidden == Value::Bool(true)
            || hidden.as_str() == Some("True")
            || image["os_hidden"] == Value::Bool(true),
    )
}

fn ids(factory: &Factory, family: &str) -> Vec<String> {
    factory.images(family).iter().map(|i| i["id"].as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn runs(factory: &Factory, args: &[&str], says: &[&str]) -> String {
    let (code, said) = factory.run(args);
    assert_eq!(code, 0, "{args:?}");
    for words in says {
        assert!(said.contains(words), "`{words}` was not said");
    }
    println!(
        "as administrator:\n{}",
        devcloud::openstack("devcloud-admin", &["image", "list", "--long"])
    );
    said
}

#[test]
#[ignore = "wants devcloud, boots machines for minutes: `make test-lifecycle`"]
fn lifecycle() {
    let factory = Factory::new("lifecycle")
        .apart()
        .env("OS_CLIENT_CONFIG_FILE", devcloud::clouds_yaml().display().to_string())
        .env("OS_CLOUD", "devcloud")
        .file("os/life-os/build-vars.yml", OS)
        .file("images/life-a/build-vars.yml", &bundle("life-a"))
        .file("images/life-b/build-vars.yml", &bundle("life-b"));
    let factory = base::published(factory);
    let before = devcloud::listing();

    // The base that both need is built once, and first.
    let said = runs(
        &factory,
        &["build", "--no-smoke", "--force", "images/life-a", "images/life-b"],
        &["base os/life-os of images/life-a is missing"],
    );
    assert_eq!(said.matches("is missing: building it first").count(), 1);
    assert_eq!(FAMILIES.map(|f| ids(&factory, f).len()), [1, 1, 1]);
    let factory = factory.file("images/life-a/notes", "more");
    runs(
        &factory,
        &stale(&["--no-smoke"]),
        &["images/life-a: stale: its definition changed", "images/life-b: up to date"],
    );
    let [second, first] = &ids(&factory, "life-a")[..] else { panic!("not two images") };

    runs(&factory, &["image", "rollback", "life-a"], &[&format!("({first})")]);
    assert_eq!(
        (seen(second), seen(first)),
        (("deprecated".into(), false), ("active".into(), false))
    );
    runs(&factory, &stale(&["--dry-run"]), &["images/life-a: rolled back"]);
    runs(&factory, &["image", "deprecate", "--undo", second], &["is active now"]);

    let dry =
        runs(&factory, &["image", "prune", "life-a", "--keep", "1", "--dry-run"], &["would hide"]);
    assert!(dry.contains(&factory.images("life-a")[1]["name"].as_str().unwrap().to_owned()));
    assert_eq!(seen(first), ("active".into(), false));
    runs(&factory, &["image", "prune", "life-a", "--keep", "1"], &["hides"]);
    assert_eq!(seen(first), ("deprecated".into(), true));

    // Somebody knows its ID, and uses it.
    let server = [
        "server",
        "create",
        "--image",
        first,
        "--flavor",
        "m1.small",
        "--network",
        "private",
        "--wait",
        "life-server",
    ];
    devcloud::openstack("devcloud", &server);
    let gone = ["server", "delete", "--wait", "life-server"];
    let undo = Undo("devcloud", &gone);
    runs(
        &factory,
        &["image", "prune", "life-a", "--keep", "1"],
        &["spares", "server life-server uses it"],
    );
    assert!(ids(&factory, "life-a").contains(first));
    drop(undo);
    runs(&factory, &["image", "prune", "life-a", "--keep", "1"], &["deletes"]);
    assert_eq!(ids(&factory, "life-a"), std::slice::from_ref(second));

    // The OS image and what stands on it, tested this time.
    let factory = factory.file("os/life-os/notes", "more");
    let why = [
        "os/life-os: stale: its definition changed",
        "images/life-a: stale: its base os/life-os is rebuilt",
        "images/life-b: stale",
    ];
    let said = runs(&factory, &stale(&["--jobs", "2"]), &why);
    for label in ["os/life-os", "images/life-a", "images/life-b"] {
        assert!(
            said.lines().any(|l| l.starts_with(label) && l.contains("  built  ")),
            "{label} is not in the table"
        );
    }
    let os = &ids(&factory, "life-os")[0];
    for family in ["life-a", "life-b"] {
        let image = &factory.images(family)[0];
        assert!(
            image["properties"]["factory_base"].as_str().unwrap().starts_with(os.as_str()),
            "{image}"
        );
        assert!(
            image["properties"]["factory_tests"].as_str().unwrap().contains(" passed"),
            "{image}"
        );
    }
    runs(&factory, &stale(&["--dry-run"]), &["nothing is stale"]);
    assert_eq!(factory.left(), [""; 0]);
    for id in FAMILIES.iter().flat_map(|f| ids(&factory, f)) {
        devcloud::openstack("devcloud", &["image", "delete", &id]);
    }
    assert_eq!(devcloud::changes(&before), [""; 0]);
}
