//! What a member of the project makes of a published image, with every property of it: a snapshot
//! of a server that runs it, and a copy. Both are listed as foreign, are never current, and nothing
//! changes them.
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::devcloud::{self, Undo};
use super::factory::Factory;
use super::tiny_disk::tiny_disk;

const FAMILY: &str = "foreign-os";
const OS: &str = "bundle: {name: foreign-os}\nsource: {script: build.sh}\nkeep: 1\n";
const CHILD: &str = "bundle: {name: foreign-child, img_base: os/foreign-os}\nsteps: \
    [{shell: 'true'}]\nnetwork: private\n";

fn factory() -> Factory {
    let factory = Factory::new("foreign")
        .apart()
        .env("OS_CLIENT_CONFIG_FILE", devcloud::clouds_yaml().display().to_string())
        .env("OS_CLOUD", "devcloud")
        .file("os/foreign-os/build-vars.yml", OS)
        .file("os/foreign-os/build.sh", "#!/bin/sh\nset -e\ncp disk \"$OUT\"\n")
        .file("images/foreign-child/build-vars.yml", CHILD);
    let dir = factory.tree().join("os/foreign-os");
    std::fs::rename(tiny_disk(&dir), dir.join("disk")).unwrap();
    std::fs::set_permissions(dir.join("build.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
    factory
}

#[track_caller]
fn runs(factory: &Factory, code: i32, args: &[&str]) -> String {
    let (ended, said) = factory.run(args);
    assert_eq!(ended, code, "{args:?}");
    said
}

/// The one image of the family that is of the factory and active.
fn published(factory: &Factory) -> String {
    let images = factory.images(FAMILY);
    let ours: Vec<&Value> = images
        .iter()
        .filter(|i| i["provenance"] == "ours" && i["state"] == "active" && i["hidden"] == false)
        .collect();
    assert_eq!(ours.len(), 1, "{images:?}");
    ours[0]["id"].as_str().unwrap().to_owned()
}

/// As the administrator sees it, whole.
fn seen(id: &str) -> Value {
    devcloud::json("devcloud-admin", &["image", "show", id])
}

/// IDs that the query finds which README names for other clients.
fn queried() -> Vec<String> {
    let property = format!("factory_family={FAMILY}");
    let found = devcloud::json(
        "devcloud",
        &["image", "list", "--tag", "factory-published", "--property", &property],
    );
    found.as_array().unwrap().iter().map(|i| i["ID"].as_str().unwrap().to_owned()).collect()
}

#[test]
#[ignore = "wants devcloud: `make test-openstack`"]
fn a_members_snapshot_and_copy_are_let_alone() {
    let before = devcloud::listing();
    let factory = factory();
    runs(&factory, 0, &["build", "--no-smoke", "--force", "os/foreign-os"]);
    let first = published(&factory);
    assert_eq!(queried(), std::slice::from_ref(&first));

    let create = [
        "server",
        "create",
        "--image",
        &first,
        "--flavor",
        "m1.nano",
        "--network",
        "private",
        "--wait",
        "foreign-server",
    ];
    devcloud::openstack("devcloud", &create);
    let server = Undo("devcloud", &["server", "delete", "--wait", "foreign-server"]);
    let made = devcloud::json(
        "devcloud",
        &["server", "image", "create", "--wait", "--name", "private backup", "foreign-server"],
    );
    let snapshot = made["id"].as_str().unwrap().to_owned();
    let dir = tempfile::tempdir().unwrap();
    let copy = devcloud::copy_of_image(dir.path(), &first);
    let then = [seen(&snapshot), seen(&copy)];
    println!("as administrator, the snapshot: {:#}", then[0]);
    for image in &then {
        assert_eq!(
            image["properties"]["factory_family"], FAMILY,
            "it does not carry what is to be tested"
        );
        assert_eq!(image["properties"]["factory_image_id"], first.as_str());
        assert!(
            !image["tags"].to_string().contains("factory-published"),
            "the tag is copied: {}",
            image["tags"]
        );
    }

    let listed = runs(&factory, 0, &["image", "list"]);
    for id in [&snapshot, &copy] {
        assert!(
            listed.lines().any(|l| l.starts_with(id.as_str()) && l.contains("  foreign ")),
            "{id} is not listed as foreign"
        );
        for args in [&["image", "deprecate", id][..], &["image", "adopt", id]] {
            runs(&factory, 20, args);
        }
    }
    assert_eq!((published(&factory), queried()), (first.clone(), vec![first.clone()]));
    let planned = runs(&factory, 0, &["plan", "images/foreign-child"]);
    assert!(planned.contains(&first) && !planned.contains(&snapshot) && !planned.contains(&copy));

    // With `keep: 1` each of these hides or deletes what it may.
    for _ in 0..2 {
        runs(&factory, 0, &["build", "--no-smoke", "--force", "os/foreign-os"]);
        runs(&factory, 0, &["image", "prune", FAMILY, "--keep", "1", "--now"]);
    }
    let newest = published(&factory);
    assert_eq!(queried(), std::slice::from_ref(&newest));
    drop(server);
    for _ in 0..2 {
        runs(&factory, 0, &["image", "prune", FAMILY, "--keep", "1", "--now"]);
        runs(&factory, 0, &["sweep"]);
    }
    assert_eq!([seen(&snapshot), seen(&copy)], then, "what is not ours was changed");
    let mut left: Vec<String> =
        factory.images(FAMILY).iter().map(|i| i["id"].as_str().unwrap().to_owned()).collect();
    let mut wanted = vec![newest.clone(), snapshot.clone(), copy.clone()];
    left.sort();
    wanted.sort();
    assert_eq!(left, wanted);

    // With nothing of its own left, the family is nobody's.
    runs(&factory, 0, &["image", "deprecate", &newest]);
    assert_eq!(queried(), [""; 0]);
    runs(&factory, 20, &["image", "rollback", FAMILY]);
    for id in [&newest, &snapshot, &copy] {
        devcloud::openstack("devcloud", &["image", "delete", id]);
    }
    assert_eq!(devcloud::changes(&before), [""; 0]);
}
