//! `plan`: what it shows, and what it refuses.
use super::*;

/// Neither looks at the network: nobody listens at that address.
#[test]
fn a_source_from_elsewhere_is_planned_with_its_checksum() {
    let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let with = |more: &str| {
        Factory::new().bundle(
            "os/d",
            &format!(
                "bundle: {{name: d}}\nsource: {{url: 'https://127.0.0.1:1/d.qcow2.xz', {more}}}\n"
            ),
        )
    };
    let factory = with(&format!("sha256: {sum}, format: qcow2"));
    factory.run(&["validate", "--offline"]).exits(0);
    let plan = factory.run(&["plan", "os/d"]).exits(0);
    let plan = plan
        .says("https://127.0.0.1:1/d.qcow2.xz, must be qcow2")
        .says(&format!("sha256 {sum}"))
        .says("none: the source is the image");
    assert!(!plan.out.contains("base "), "{}", plan.out);
    let listed = with("checksum_url: https://127.0.0.1:1/SHA256SUMS");
    listed
        .run(&["plan", "os/d"])
        .exits(0)
        .says("of `d.qcow2.xz` in https://127.0.0.1:1/SHA256SUMS");
    let json = listed.run(&["plan", "os/d", "--json"]).exits(0);
    let plan: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(
        plan["origin"]["url"]["wish"]["sum"]["list"]["url"],
        "https://127.0.0.1:1/SHA256SUMS"
    );
    with("format: raw")
        .run(&["plan", "os/d"])
        .exits(10)
        .says("os/d/build-vars.yml:2:10: error: `source.url` has no checksum");
}

/// What Glance will be told is in the plan, defaults too; the list had none of them, and the ID of
/// a check read like a finding.
#[test]
fn a_plan_shows_all_that_will_be_published() {
    let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let source = format!("source: {{url: 'https://127.0.0.1:1/d.qcow2', sha256: {sum}}}\n");
    let options = "--min-disk 7 --min-ram 512 --protected --property c=d --tag t";
    let name = "bundle_target_name: d-1\n";
    let with = |more: &str| {
        Factory::new().bundle(
            "os/d",
            &format!("bundle: {{name: d, properties: {{a: b}}}}\n{source}{name}{more}"),
        )
    };
    let factory = with(&format!("final_glance_options: '{options}'\n"));
    let told = factory.run(&["plan", "os/d"]).exits(0);
    let lines: Vec<&str> = told.out.lines().map(str::trim_end).collect();
    for line in [
        "name       d-1",
        "family     d",
        "visibility private",
        "members    none",
        "min_disk   at least 7 GiB, or what its disk needs",
        "min_ram    512 MiB",
        "protected  yes",
        "hidden     no",
        "tags       t, factory-published",
        "properties a=b (bundle.properties)",
        "           c=d (final_glance_options)",
        "           factory_family=d (the factory)",
        "           factory_image_id (the factory, once the image is there)",
        "           host-keys-unique   two machines of the image and its builder have host keys of \
            their own",
    ] {
        assert!(lines.contains(&line), "{line}\n{}", told.out);
    }
    assert!(!told.out.contains("build-key-refused"), "nobody logs in to build\n{}", told.out);
    let plain = with("").run(&["plan", "os/d"]).exits(0);
    plain.says("min_disk   what its disk needs").says("min_ram    0 MiB").says("protected  no");
    let json: serde_json::Value =
        serde_json::from_str(&factory.run(&["plan", "os/d", "--json"]).exits(0).out).unwrap();
    let publish = &json["publish"];
    for key in [
        "name",
        "family",
        "visibility",
        "members",
        "min_disk_gb",
        "min_ram_mb",
        "protected",
        "hidden",
        "tags",
    ] {
        assert!(!publish[key].is_null(), "{key}: {publish}");
    }
    assert_eq!((&publish["min_disk_gb"], &publish["min_disk_at_least"]), (&7.into(), &true.into()));
    assert_eq!(publish["set_by"]["c"], "final_glance_options");
    assert_eq!(publish["set_at_the_end"][0], "factory_image_id");
}

/// Members mean a shared image, and Glance refuses them of any other, after the build: told at
/// once, whoever says the other thing.
#[test]
fn members_of_an_image_that_is_not_shared_are_refused() {
    let vars = |more: &str| {
        format!(
            "bundle: {{name: x, img_base: b}}\nmembers: [p7]\nsteps: [{{shell: 'true'}}]\n{more}"
        )
    };
    let factory = Factory::new().bundle("images/x", &vars(""));
    factory.run(&["validate", "images/x"]).exits(0);
    factory.run(&["--set", "visibility=shared", "validate", "images/x"]).exits(0);
    for command in ["validate", "plan"] {
        for word in ["public", "private", "community"] {
            let said = format!("only shared images have members; this one is {word}");
            factory
                .run(&["--set", &format!("visibility={word}"), command, "images/x"])
                .exits(10)
                .says(&said);
            let option = Factory::new()
                .bundle("images/x", &vars(&format!("final_glance_options: --{word}\n")));
            option
                .run(&[command, "images/x"])
                .exits(10)
                .says(&said)
                .says("build-vars.yml:2:1: error");
        }
    }
}

/// JSON cannot express such names: `plan` panicked at one, and `validate` ended without a result.
#[test]
fn names_that_are_not_utf_8_hinder_nothing() {
    use std::os::unix::ffi::OsStrExt;
    let factory = Factory::new().bundle("os/x", "bundle: {name: x}\nsource: {script: make}\n");
    let factory = factory.script("os/x/make", "#!/bin/sh\n");
    let dir = factory.tree().join("os/x");
    std::fs::create_dir(dir.join("output")).unwrap();
    for name in [&b"a\xff"[..], b"output/a\xff.txt"] {
        std::fs::write(dir.join(std::ffi::OsStr::from_bytes(name)), "").unwrap();
    }
    factory.run(&["validate", "--offline"]).exits(0).says("output/a\u{fffd}.txt").says("neither");
    factory.run(&["plan", "os/x", "--json"]).exits(0);
}
