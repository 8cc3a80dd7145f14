//! The life of images after their builds, and several builds in one go, as a user calls them. The
//! images are real: definitions whose script writes a disk, taken in and published without a
//! machine (`--no-smoke`).
use serde_json::{Value, json};

use super::support::{Factory, Ran};
use super::tiny_disk::tiny_disk;

mod compared;
mod several;
mod shown;
mod store;
mod told;

/// `os/<name>`, whose images need no machine.
fn with_os(factory: Factory, name: &str, more: &str) -> Factory {
    // Beside the script: behind the wall it sees its definition alone.
    let dir = factory.tree().join("os").join(name);
    std::fs::create_dir_all(&dir).unwrap();
    tiny_disk(&dir);
    let vars = format!("bundle: {{name: {name}}}\nsource: {{script: build.sh}}\n{more}");
    let script = format!("#!/bin/sh\nset -e\necho \"made {name}\"\ncp tiny.img \"$OUT\"\n");
    factory.bundle(&format!("os/{name}"), &vars).script(&format!("os/{name}/build.sh"), &script)
}

fn tree() -> Factory {
    with_os(Factory::new(), "tiny", "")
}

fn build(factory: &Factory, args: &[&str]) -> Ran {
    let force: &[&str] = if args.contains(&"--stale") { &[] } else { &["--force"] };
    factory.run(&[&["--accel", "tcg", "build", "--no-smoke"], force, args].concat())
}

/// Of a family, newest first.
fn images(factory: &Factory, family: &str) -> Vec<Value> {
    serde_json::from_str(&factory.run(&["image", "list", family, "--json"]).exits(0).out).unwrap()
}

fn ids(factory: &Factory, family: &str) -> Vec<String> {
    images(factory, family).iter().map(|i| i["id"].as_str().unwrap().to_owned()).collect()
}

/// "active deprecated,hidden"
fn states(factory: &Factory, family: &str) -> String {
    let word = |i: &Value| {
        format!(
            "{}{}",
            i["state"].as_str().unwrap(),
            if i["hidden"] == true { ",hidden" } else { "" }
        )
    };
    images(factory, family).iter().map(word).collect::<Vec<_>>().join(" ")
}

fn shown(factory: &Factory, image: &str) -> Value {
    serde_json::from_str(&factory.run(&["image", "show", image, "--json"]).exits(0).out).unwrap()
}

#[test]
fn a_family_is_rolled_back_and_forth() {
    let factory = tree();
    factory.run(&["image", "rollback", "tiny"]).exits(20).says("no family `tiny`");
    build(&factory, &["os/tiny"]).exits(0);
    let first = ids(&factory, "tiny")[0].clone();
    factory
        .run(&["image", "rollback", "tiny"])
        .exits(20)
        .says("there is nothing to go back to")
        .says(&first);
    build(&factory, &["os/tiny"]).exits(0);
    let second = ids(&factory, "tiny")[0].clone();
    assert_ne!(first, second);

    let before = factory.listing();
    factory
        .run(&["image", "rollback", "tiny", "--dry-run"])
        .exits(0)
        .says(&format!("({second}), which would become deprecated"))
        .says(&first);
    assert_eq!(before, factory.listing());
    assert_eq!(states(&factory, "tiny"), "active active");
    let done: Value =
        serde_json::from_str(&factory.run(&["image", "rollback", "tiny", "--json"]).exits(0).out)
            .unwrap();
    assert_eq!((&done["was"]["id"], &done["now"]["id"]), (&json!(second), &json!(first)));
    assert_eq!(states(&factory, "tiny"), "deprecated active");
    assert_eq!(
        shown(&factory, "tiny")["id"],
        json!(first),
        "the family's name means the one before"
    );
    factory.run(&["image", "rollback", "tiny"]).exits(20).says("nothing to go back to");

    factory
        .run(&["image", "deprecate", "--undo", &second])
        .exits(0)
        .says("is active now")
        .says("tiny: current is")
        .says(&second);
    factory.run(&["image", "deprecate", "--undo", &second]).exits(0).says("is active already");
    factory.run(&["image", "rollback", "tiny"]).exits(0);
    factory
        .run(&["image", "deprecate", "--undo", "tiny"])
        .exits(0)
        .says(&second)
        .says("is active now");
    factory
        .run(&["image", "deprecate", "tiny", "--dry-run"])
        .exits(0)
        .says(&second)
        .says("would become deprecated");
    assert_eq!(states(&factory, "tiny"), "active active");
    factory.run(&["image", "deprecate", &first]).exits(0);
    factory.run(&["image", "deprecate", "tiny"]).exits(0).says("no active image is left");
    assert_eq!(states(&factory, "tiny"), "deprecated deprecated");
    let undo = factory.run(&["image", "deprecate", "--undo", "tiny"]).exits(20);
    undo.says("2 images of family tiny are deprecated").says(&first).says(&second);
    assert_eq!(
        states(&factory, "tiny"),
        "deprecated deprecated",
        "another one than was meant is not made active"
    );
    factory.run(&["image", "rollback", "tiny"]).exits(20).says("has no active image");
    factory.run(&["image", "deprecate", "nothing"]).exits(20).says("no image `nothing`");
}

#[test]
fn what_is_beyond_is_hidden_and_then_deleted() {
    let factory = tree();
    for _ in 0..3 {
        build(&factory, &["os/tiny"]).exits(0);
    }
    let all = ids(&factory, "tiny");
    factory
        .run(&["image", "prune", "tiny"])
        .exits(2)
        .says("how many images of tiny are to be kept is not known")
        .says("--keep 3");
    factory.run(&["image", "prune"]).exits(2).says("`keep`");
    factory
        .run(&["image", "prune", "tin", "--keep", "1"])
        .exits(20)
        .says("no family `tin`")
        .says("tiny");
    factory.run(&["image", "prune", "tiny", "--keep", "0"]).exits(2);
    let before = factory.listing();
    factory
        .run(&["image", "prune", "--keep", "2", "--dry-run"])
        .exits(0)
        .says("would hide")
        .says("(beyond the newest 2)");
    factory
        .run(&["image", "prune", "--keep", "2", "--now", "--dry-run"])
        .exits(0)
        .says("would delete");
    assert_eq!(before, factory.listing());

    factory.run(&["image", "prune", "tiny", "--keep", "2"]).exits(0).says("hides");
    assert_eq!(states(&factory, "tiny"), "active active deprecated,hidden");
    factory.run(&["image", "list"]).exits(0).says("current").says("hidden 20");
    // Brought back before the next one comes.
    factory.run(&["image", "deprecate", "--undo", &all[2]]).exits(0);
    assert_eq!(states(&factory, "tiny"), "active active active");
    assert!(shown(&factory, &all[2])["properties"].get("factory_hidden_at").is_none());
    // And held: no prune takes it back before a person lets go.
    for now in [&[][..], &["--now"]] {
        let prune = [&["image", "prune", "tiny", "--keep", "2"], now].concat();
        factory.run(&prune).exits(0).says("`image deprecate` lets it go").says("nothing to prune");
    }
    factory.run(&["image", "list"]).exits(0).says("held");
    factory.run(&["image", "deprecate", &all[2]]).exits(0).says("is deprecated now");
    factory.run(&["image", "prune", "tiny", "--keep", "2"]).exits(0).says("hides");
    let done: Value = serde_json::from_str(
        &factory.run(&["image", "prune", "tiny", "--keep", "2", "--json"]).exits(0).out,
    )
    .unwrap();
    assert_eq!(
        (&done[2]["id"], &done[2]["fate"], &done[2]["error"]),
        (&json!(all[2]), &json!("delete"), &Value::Null)
    );
    assert_eq!(ids(&factory, "tiny"), all[..2]);
    factory.run(&["image", "prune", "tiny", "--keep", "2"]).exits(0).says("nothing to prune");
    factory.run(&["image", "prune", "tiny", "--keep", "1", "--now"]).exits(0).says("deletes");
    assert_eq!(ids(&factory, "tiny"), all[..1]);
    assert!(!factory.home().join("images").join(&all[1]).exists());
}

#[test]
fn a_build_prunes_its_own_family() {
    let factory = with_os(tree(), "other", "keep: 1\n");
    let factory = with_os(factory, "tiny", "keep: 1\n");
    for _ in 0..2 {
        build(&factory, &["os/other"]).exits(0);
        build(&factory, &["os/tiny"]).exits(0);
    }
    assert_eq!(states(&factory, "tiny"), "active deprecated,hidden");
    let ran = build(&factory, &["os/tiny"])
        .exits(0)
        .says("keep 1: hides tiny-")
        .says("keep 1: deletes tiny-");
    assert!(!ran.err.contains("hides other"), "{}", ran.err);
    assert_eq!(states(&factory, "tiny"), "active deprecated,hidden");
    assert_eq!(states(&factory, "other"), "active deprecated,hidden");
}

/// An image that the factory did not make, or that is protected, outlives every prune.
#[test]
fn what_is_not_ours_stays() {
    let factory = tree();
    for _ in 0..4 {
        build(&factory, &["os/tiny"]).exits(0);
    }
    let all = ids(&factory, "tiny");
    let change = |id: &str, work: &dyn Fn(&mut Value)| {
        let path = factory.home().join("images").join(id).join("image.json");
        let mut image: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        work(&mut image);
        std::fs::write(path, image.to_string()).unwrap();
    };
    change(&all[1], &|i| drop(i["properties"].as_object_mut().unwrap().remove("factory_run")));
    change(&all[2], &|i| i["protected"] = json!(true));
    for _ in 0..3 {
        factory
            .run(&["image", "prune", "tiny", "--keep", "1", "--now"])
            .exits(0)
            .says("it is protected");
    }
    assert_eq!(ids(&factory, "tiny"), all[..3]);
    factory.run(&["image", "deprecate", &all[1]]).exits(20).says("no run of the factory made it");
}

/// A copy of the newest image, as a person makes one by hand: listed as what it is, and never
/// anything else.
#[test]
fn a_copy_is_listed_as_foreign_and_let_alone() {
    let factory = with_os(tree(), "tiny", "keep: 1\n")
        .bundle("images/web", "bundle: {name: web, img_base: os/tiny}\nsteps: [{shell: 'true'}]\n");
    build(&factory, &["os/tiny"]).exits(0);
    let real = ids(&factory, "tiny")[0].clone();
    let copy = "ffffffff-0000-4000-8000-000000000001";
    let (from, to) =
        (factory.home().join("images").join(&real), factory.home().join("images").join(copy));
    std::fs::create_dir(&to).unwrap();
    std::fs::copy(from.join("disk.qcow2"), to.join("disk.qcow2")).unwrap();
    let text = std::fs::read_to_string(from.join("image.json")).unwrap();
    let mut image: Value = serde_json::from_str(&text).unwrap();
    (image["id"], image["name"], image["created"]) =
        (json!(copy), json!("notes"), json!("2031-01-01T00:00:00Z"));
    std::fs::write(to.join("image.json"), image.to_string()).unwrap();

    let listed = factory
        .run(&["image", "list"])
        .exits(0)
        .says("foreign")
        .says(&format!("those of image {real}"))
        .out;
    assert!(listed.lines().any(|l| l.starts_with(copy) && l.contains("  foreign  ")), "{listed}");
    assert!(listed.lines().any(|l| l.starts_with(&real) && l.ends_with("current")), "{listed}");
    let shown = shown(&factory, copy);
    assert_eq!(
        (&shown["provenance"], &shown["lineage"]["current"]),
        (&json!("foreign"), &json!(false))
    );
    factory.run(&["image", "show", copy]).exits(0).says("provenance  foreign: ");
    for args in [
        &["image", "deprecate", copy][..],
        &["image", "adopt", copy],
        &["image", "deprecate", "--undo", copy],
    ] {
        factory.run(args).exits(20).says("it is a copy");
    }
    factory.run(&["image", "deprecate", "notes"]).exits(20).says("it is a copy");
    factory.run(&["plan", "images/web"]).exits(0).says(&real);
    let before = factory.listing();
    for _ in 0..3 {
        factory
            .run(&["image", "prune", "tiny", "--keep", "1", "--now"])
            .exits(0)
            .says("nothing to prune");
    }
    factory.run(&["sweep"]).exits(0).says("nothing to sweep");
    assert_eq!(before, factory.listing());
    // Two more builds with `keep: 1`: the first is hidden, and deleted.
    for _ in 0..2 {
        build(&factory, &["os/tiny"]).exits(0);
    }
    assert_eq!(states(&factory, "tiny"), "active active deprecated,hidden");
    assert!(to.join("disk.qcow2").exists() && !from.exists());
    assert_eq!(
        serde_json::from_slice::<Value>(&std::fs::read(to.join("image.json")).unwrap()).unwrap(),
        image
    );
}

/// Published by a factory from before there was a proof: found and said to be so, let alone by
/// prunes, and mended by `adopt`.
#[test]
fn what_was_published_before_is_adopted() {
    let factory = tree();
    for _ in 0..2 {
        build(&factory, &["os/tiny"]).exits(0);
    }
    let all = ids(&factory, "tiny");
    for id in &all {
        let path = factory.home().join("images").join(id).join("image.json");
        let mut image: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        for key in ["factory_image_id", "factory_published_at"] {
            assert!(image["properties"].as_object_mut().unwrap().remove(key).is_some());
        }
        image["tags"] = json!([]);
        std::fs::write(path, image.to_string()).unwrap();
    }
    factory.run(&["image", "list"]).exits(0).says("legacy, current");
    assert_eq!(shown(&factory, "tiny")["id"], json!(all[0]));
    factory
        .run(&["image", "prune", "tiny", "--keep", "1", "--now"])
        .exits(0)
        .says("`image adopt`")
        .says("nothing to prune");
    factory
        .run(&["image", "deprecate", &all[0]])
        .exits(20)
        .says(&format!("image adopt {}", all[0]));
    factory.run(&["image", "adopt", "tiny"]).exits(2).says("is a family");
    factory
        .run(&["image", "adopt", &all[0], "--dry-run"])
        .exits(0)
        .says("would be adopted")
        .says("definition  os/tiny");
    assert_eq!(shown(&factory, &all[0])["provenance"], json!("legacy"));
    // The older one alone has a proof: it is what the family means, until the other has one as
    // well.
    factory.run(&["image", "adopt", &all[1]]).exits(0).says("is adopted");
    assert_eq!(
        (shown(&factory, "tiny")["id"].clone(), shown(&factory, &all[1])["tags"].clone()),
        (json!(all[1]), json!(["factory-published"]))
    );
    factory.run(&["image", "adopt", &all[0], &all[1]]).exits(0).says("has its proof already");
    assert_eq!(shown(&factory, "tiny")["id"], json!(all[0]));
    factory.run(&["image", "prune", "tiny", "--keep", "1", "--now"]).exits(0).says("deletes");
    assert_eq!(ids(&factory, "tiny"), all[..1]);
}

#[test]
fn what_is_stale_is_told_and_built() {
    let factory = with_os(tree(), "other", "");
    factory
        .run(&["build", "--stale", "--dry-run"])
        .exits(0)
        .says("os/tiny: never built")
        .says("nothing is stale");
    factory
        .run(&["build", "--stale", "--dry-run", "os/tiny"])
        .exits(0)
        .says("os/tiny: stale: it was never built");
    factory.run(&["build", "--dry-run", "os/tiny"]).exits(2);
    let told = factory.run(&["build", "--stale", "--dry-run", "--json", "os/tiny"]).exits(0);
    let row = json!([{"bundle": "os/tiny", "state": "stale", "why": "it was never built"}]);
    assert_eq!(serde_json::from_str::<Value>(&told.out).unwrap(), row);
    build(&factory, &["--stale", "os/tiny"]).exits(0).says("os/tiny  built");
    build(&factory, &["os/other"]).exits(0);
    build(&factory, &["--stale"])
        .exits(0)
        .says("os/tiny: up to date")
        .says("os/other: up to date")
        .says("nothing is stale");
    let told: Value =
        serde_json::from_str(&build(&factory, &["--stale", "--json"]).exits(0).out).unwrap();
    let fresh = |name: &str| json!({"bundle": name, "state": "up to date", "why": ""});
    assert_eq!(told, json!([fresh("os/other"), fresh("os/tiny")]));

    let first = shown(&factory, "tiny");
    assert_eq!(first["lineage"]["stale"], json!([]));
    assert_eq!(
        (&first["lineage"]["definition"], &first["lineage"]["tests"]),
        (&json!("os/tiny"), &json!("untested"))
    );
    assert_eq!(first["lineage"]["inputs"].as_str().unwrap().len(), 64);
    let factory = factory.file("os/tiny/notes", "more");
    assert_eq!(shown(&factory, "tiny")["lineage"]["stale"], json!(["its definition changed"]));
    factory.run(&["image", "list"]).exits(0).says("current, stale");
    factory
        .run(&["image", "show", "tiny"])
        .exits(0)
        .says("stale       yes: its definition changed");
    let ran = build(&factory, &["--stale"])
        .exits(0)
        .says("os/tiny: stale: its definition changed")
        .says("os/other: up to date");
    assert_eq!(ran.err.matches("is published").count(), 1, "{}", ran.err);
    assert_eq!((ids(&factory, "tiny").len(), ids(&factory, "other").len()), (2, 1));

    // None is active: that is not the same as never built.
    let all = ids(&factory, "other");
    factory.run(&["image", "deprecate", &all[0]]).exits(0);
    factory.run(&["build", "--stale", "--dry-run"]).exits(0).says("os/other: rolled back: other-");
    let named = factory.run(&["build", "--stale", "--dry-run", "os/other"]).exits(0);
    named.says("os/other: rolled back: other-").says("nothing is stale");
    let factory = factory.file("os/other/notes", "more");
    factory
        .run(&["build", "--stale", "--dry-run"])
        .exits(0)
        .says("os/other: not in use: all its images are deprecated; name it");
    let named = factory.run(&["build", "--stale", "--dry-run", "os/other"]).exits(0);
    named.says("os/other: stale: all its images are deprecated");

    // The new one is bad: it is not built from the very same again, whatever runs at night.
    factory.run(&["image", "rollback", "tiny"]).exits(0);
    build(&factory, &["--stale"]).exits(0).says("os/tiny: rolled back").says("nothing is stale");
    let factory = factory.file("os/tiny/notes", "mended");
    build(&factory, &["--stale"]).exits(0).says("os/tiny: stale");
    assert_eq!(states(&factory, "tiny"), "active deprecated active");
}

/// An image of a base, in the store by hand: lineage without a machine.
#[test]
fn lineage_names_base_and_children() {
    let factory = tree()
        .bundle("images/web", "bundle: {name: web, img_base: os/tiny}\nsteps: [{shell: 'true'}]\n");
    build(&factory, &["os/tiny"]).exits(0);
    let base = images(&factory, "tiny")[0].clone();
    let child = |id: &str, checksum: &str| {
        let mut child = base.clone();
        (child["id"], child["name"], child["family"]) =
            (json!(id), json!(format!("web-{checksum}")), json!("web"));
        let base = format!("{}@sha512:{checksum}", base["id"].as_str().unwrap());
        child["properties"] = json!({"factory_run": format!("r-{id}"), "factory_state": "active",
            "factory_family": "web", "factory_base": base,
            "factory_commit": "c0ffee", "factory_image_id": id});
        let dir = factory.home().join("images").join(id);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("image.json"), child.to_string()).unwrap();
        let disk = std::fs::File::create(dir.join("disk.qcow2")).unwrap();
        disk.set_len(child["size"].as_u64().unwrap()).unwrap();
    };
    let (good, bad) =
        ("00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002");
    child(good, base["checksum"].as_str().unwrap());
    child(bad, "0");
    factory
        .run(&["image", "show", good])
        .exits(0)
        .says("content as it was")
        .says("commit      c0ffee")
        .says("stale       no");
    factory.run(&["image", "show", bad]).exits(0).says("CONTENT DIFFERS");
    assert_eq!(shown(&factory, "tiny")["lineage"]["children"].as_array().unwrap().len(), 2);

    build(&factory, &["os/tiny"]).exits(0);
    let newer = images(&factory, "tiny")[0]["name"].as_str().unwrap().to_owned();
    factory.run(&["image", "show", good]).exits(0).says(&format!("its base is now {newer}"));
    factory
        .run(&["build", "--stale", "--dry-run"])
        .exits(0)
        .says("images/web: stale: its base is now")
        .says("os/tiny: up to date");
    // The base of a current image is hidden, and not deleted.
    for _ in 0..2 {
        factory
            .run(&["image", "prune", "tiny", "--keep", "1", "--now"])
            .exits(0)
            .says("was built from it, and is current");
    }
    assert_eq!(states(&factory, "tiny"), "active deprecated,hidden");
}
