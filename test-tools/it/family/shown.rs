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
    factory
        .run(&["run", "show"])
        .exits(0)
        .says("stage     plan done")
        .says("stage     output done");
    factory.run(&["run", "show", "--json"]).exits(0).says("\"name\": \"output\"");
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

/// `os/<name>`, whose image is a file of it.
fn with_disk(factory: Factory, name: &str, more: &str) -> Factory {
    let dir = factory.tree().join("os").join(name);
    std::fs::create_dir_all(&dir).unwrap();
    tiny_disk(&dir);
    let vars = format!("bundle: {{name: {name}}}\nsource: {{url: tiny.img}}\n{more}");
    factory.bundle(&format!("os/{name}"), &vars)
}

/// It may be another disk each time.
#[test]
fn what_a_script_writes_is_built_again() {
    let factory = tree();
    for _ in 0..2 {
        let build = ["--accel", "tcg", "build", "--no-smoke", "os/tiny"];
        factory.run(&build).exits(0).says("is published");
    }
    assert_eq!(ids(&factory, "tiny").len(), 2);
}

/// What is there already is the result: of the same files, values and base, with its checks.
#[test]
fn what_would_be_built_again_is_not_built() {
    let templates = [("output/a.txt.j2", "{{ result_img_id }}\n")];
    let factory = with_disk(Factory::new(), "other", "vars: {x: 1}\n");
    let factory = templates
        .iter()
        .fold(factory, |factory, (path, text)| factory.file(&format!("os/other/{path}"), text));
    let again = |args: &[&str]| {
        factory.run(&[&["--accel", "tcg", "build", "--no-smoke", "os/other"], args].concat())
    };
    let results = factory.tree().join("os/target/other");
    let property = |key: &str| {
        let text = std::fs::read_to_string(results.join("image.properties")).unwrap();
        text.lines().find_map(|l| l.strip_prefix(&format!("{key}="))).unwrap_or("").to_owned()
    };
    again(&[]).exits(0).says("is published");
    let first = ids(&factory, "other");
    std::fs::remove_dir_all(results.join("output")).unwrap();
    again(&[]).exits(0).says("is unchanged").says("`--force` builds");
    assert_eq!(ids(&factory, "other"), first);
    assert_eq!(
        (property("RESULT"), property("OUTCOME"), property("EXIT_CODE")),
        ("success".into(), "unchanged".into(), "0".into())
    );
    assert_eq!(property("IMAGE_ID"), first[0]);
    let output = std::fs::read_to_string(results.join("output/a.txt")).unwrap();
    assert_eq!(output.trim(), first[0]);
    factory.run(&["run", "list"]).exits(0).says("unchanged");
    let told: Value = serde_json::from_str(&again(&["--json"]).exits(0).out).unwrap();
    assert_eq!(
        (&told[0]["outcome"], &told[0]["image"]["id"], &told[0]["code"]),
        (&json!("unchanged"), &json!(first[0]), &json!(0))
    );

    // Another value, another file, fewer checks than are asked for: each is another image.
    again(&["--set", "vars.x=2"]).exits(0).says("is published");
    again(&["--set", "vars.x=2"]).exits(0).says("is unchanged");
    let why = "os/other: stale: it was built with other values (`--set`)";
    factory.run(&["build", "--stale", "--dry-run", "os/other"]).exits(0).says(why);
    again(&[]).exits(0).says("is published");
    again(&["--force"]).exits(0).says("is published");
    std::fs::write(factory.tree().join("os/other/notes"), "more").unwrap();
    again(&[]).exits(0).says("is published");
    assert_eq!(ids(&factory, "other").len(), 5);
    let current = ids(&factory, "other").pop().unwrap();
    factory.run(&["image", "rollback", "other"]).exits(0);
    again(&[]).exits(0).says("is published");
    assert_eq!(states(&factory, "other").matches("active").count(), 5, "{current} stays");

    // Templates that fail leave the image as it is, and are told as with a build.
    let factory = factory.file("os/other/output/a.txt.j2", "{{ nothing_there }}\n");
    let build = ["--accel", "tcg", "build", "--no-smoke", "os/other"];
    factory.run(&build).exits(10);
    std::fs::write(factory.tree().join("os/other/output/a.txt.j2"), templates[0].1).unwrap();
    factory.run(&build).exits(0).says("is unchanged");
}
