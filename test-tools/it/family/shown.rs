//! What is shown of a family on this machine is of its current image, and told as it is.
use super::*;

const TEMPLATE: &str = "{{ result_img_id }}\n";

fn shown_file(factory: &Factory, name: &str, path: &str) -> String {
    let path = factory.tree().join("os/target").join(name).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The image that everything shown is of.
fn shown_of(factory: &Factory, name: &str) -> String {
    let properties = shown_file(factory, name, "image.properties");
    let id = properties.lines().find_map(|l| l.strip_prefix("IMAGE_ID=")).unwrap_or("none");
    let manifest: Value =
        serde_json::from_str(&shown_file(factory, name, "manifest.json")).unwrap();
    assert_eq!(manifest["image"]["id"], json!(id), "{properties}");
    id.to_owned()
}

/// Outputs of one image, some of the other, and none of a third that is there: all of the current.
#[test]
fn outputs_are_of_the_current_image_alone() {
    let factory = with_os(Factory::new(), "x", "")
        .file("os/x/output/a.txt.j2", TEMPLATE)
        .file("os/x/output/b.txt.j2", TEMPLATE);
    build(&factory, &["os/x"]).exits(0);
    let first = shown_of(&factory, "x");
    let factory = factory.file("os/x/notes", "more");
    build(&factory, &["os/x"]).exits(0);
    assert_ne!(shown_of(&factory, "x"), first);
    factory.run(&["image", "rollback", "x"]).exits(0);
    std::fs::remove_file(factory.tree().join("os/x/notes")).unwrap();
    let due = |what: &str| {
        let told = build(&factory, &["--stale", "os/x"]).exits(0);
        let told = told.says(&format!("os/x: outputs missing: {what}")).says("is unchanged");
        assert!(told.err.contains(&first), "{}", told.err);
        assert_eq!(shown_of(&factory, "x"), first);
        for path in ["output/a.txt", "output/b.txt"] {
            assert_eq!(shown_file(&factory, "x", path).trim(), first, "{path}");
        }
        build(&factory, &["--stale", "os/x"]).exits(0).says("nothing is stale");
    };
    due("output/a.txt and 2 more");
    std::fs::write(factory.tree().join("os/target/x/output/b.txt"), "").unwrap();
    due("output/b.txt of image");
    std::fs::remove_file(factory.tree().join("os/target/x/image.properties")).unwrap();
    due("output/a.txt and 2 more");
    factory.run(&["run", "list"]).exits(0).says("unchanged");
}

/// What was asked for has results, and what is broken stops nothing else.
#[test]
fn a_stale_build_that_fails_early_is_told_like_any_other() {
    let factory = with_os(with_os(Factory::new(), "a", ""), "b", "");
    build(&factory, &["os/a", "os/b"]).exits(0);
    let factory = factory.file("os/a/notes", "more");
    let sound = std::fs::read_to_string(factory.tree().join("os/b/build-vars.yml")).unwrap();
    let factory = factory.file("os/b/build-vars.yml", &format!("{sound}machin: {{}}\n"));

    let told = build(&factory, &["--stale"]).exits(10).says("machin").says("os/b is left out");
    told.says("os/a: stale").says("os/a    built");
    assert!(shown_file(&factory, "b", "image.properties").starts_with("RESULT=success\n"));

    build(&factory, &["--stale", "os/b"]).exits(10).says("machin");
    let properties = shown_file(&factory, "b", "image.properties");
    assert!(properties.starts_with("RESULT=failed\n"), "{properties}");
    assert!(properties.contains("EXIT_CODE=10\n"), "{properties}");
    factory.run(&["run", "show"]).exits(0).says("machin");
}

/// An editor at work: the image claims no files that it may not have been made from.
#[test]
fn an_image_whose_files_changed_meanwhile_says_so_and_is_stale() {
    let factory = with_os(Factory::new(), "x", "");
    let script = "#!/bin/sh\nset -e\ncp tiny.img \"$OUT\"\nuntil [ -e go ]; do sleep 0.1; done\n";
    let factory = factory.script("os/x/build.sh", script);
    let args = ["--accel", "tcg", "-v", "--progress", "plain", "build", "--no-smoke", "os/x"];
    let child = factory.command(&args).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let runs = factory.tree().join("os/target/x/runs");
    let has_plan = || {
        let runs = std::fs::read_dir(&runs).into_iter().flatten().flatten();
        runs.map(|run| run.path().join("plan.json")).any(|plan| plan.exists())
    };
    for _ in 0..600 {
        if has_plan() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let factory = factory.file("os/x/go", "");
    let told = Ran::of(child.wait_with_output().unwrap()).exits(0);
    told.says("files of os/x changed while it was built");
    assert_eq!(images(&factory, "x")[0]["properties"]["factory_inputs"], json!("changed"));
    factory
        .run(&["build", "--stale", "--dry-run", "os/x"])
        .exits(0)
        .says("os/x: stale: its definition changed");
}
