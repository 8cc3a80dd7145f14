//! Sources, whose size is known when they are there.
use super::*;

/// A source of 10 GiB, of which nobody knew the size when flavors were chosen.
#[test]
fn flavors_are_chosen_again_when_a_source_is_there() {
    let tree = tempfile::tempdir().unwrap();
    let dir = tree.path().join("os/x");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("build.sh"), "#!/bin/sh\n").unwrap();
    let run = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(dir.join("build.sh"), run).unwrap();
    let plan_of = |more: &str| {
        let vars = format!(
            "bundle: {{name: x}}\nsource: {{script: build.sh}}\nsteps: [{{shell: a}}]\n{more}"
        );
        std::fs::write(dir.join("build-vars.yml"), vars).unwrap();
        let bundle = crate::frontend::load(tree.path(), &dir).unwrap().bundle;
        let mut site = project();
        site.flavors.extend([flavor("middle", 2, 2048, 12), flavor("fat", 8, 4096, 12)]);
        site.volume_types = Some(Vec::new());
        let mut facts = crate::plan::tests::facts();
        facts.cloud.base = BaseLookup::None;
        facts.cloud.site = Some(site);
        plan(&bundle, &facts, &request("r", BUILD)).unwrap()
    };
    let names = |plan: &Plan| {
        let smoke = plan.smoke.as_ref().unwrap();
        let all = [plan.builder.as_ref().unwrap(), &smoke.first, &smoke.second];
        all.map(|machine| machine.flavor.as_ref().unwrap().name.clone())
    };
    let planned = plan_of("");
    assert_eq!(names(&planned), ["small"; 3]);
    let stays = planned.fitted(5 * GIB).unwrap();
    assert_eq!((names(&stays.plan), stays.notes.len()), (["small"; 3].map(str::to_owned), 0));
    let fitted = planned.fitted(5 * GIB + 1).unwrap();
    assert_eq!(names(&fitted.plan), ["middle"; 3], "the smallest that fits");
    assert_eq!(fitted.plan.builder.as_ref().unwrap().disk_gib, Some(12));
    assert!(told(&fitted.notes, "gets flavor middle and not small"), "{:?}", fitted.notes);
    assert_eq!(names(&planned.fitted(30 * GIB).unwrap().plan), ["large"; 3]);
    let none = planned.fitted(41 * GIB).unwrap_err();
    assert!(none.why.contains("needs a disk of 41 GiB, and flavor small"), "{none:?}");
    // One that is named is not replaced, and its machine is refused before anything is sent.
    let named = plan_of("vm_flavor: small\n").fitted(10 * GIB).unwrap_err();
    assert!(named.why.contains("flavor small of factory-r-builder has 5"), "{named:?}");
    // A volume grows with it.
    let on_volume = plan_of("volume: {}\n").fitted(10 * GIB).unwrap();
    let size = on_volume.plan.site.as_ref().unwrap().volume.as_ref().unwrap().size_gib;
    assert_eq!((size, on_volume.plan.builder.unwrap().disk_gib), (10, Some(10)));
    let back: Plan = serde_json::from_str(&serde_json::to_string(&planned).unwrap()).unwrap();
    assert_eq!(back, planned);
}
