//! Defaults, what is missing, what is inherited.
use super::*;
use crate::model::facts::BaseLookup;
use crate::model::facts::CloudFacts;
use crate::model::facts::ControllerFacts;
use crate::model::publication::SetBy;
use crate::model::step::StepKind;

use crate::model::definition::Definition;
use crate::model::definition::TIDY_PARTS;

const BUILD: Purpose = Purpose::Build { smoke: true };

fn image() -> Image {
    Image {
        virtual_size: 2 * GIB,
        checksum: "abc".into(),
        properties: [
            ("architecture", "x86_64"),
            ("hw_rng_model", "virtio"),
            ("os_admin_user", "debian"),
            ("factory_commit", "old"),
            ("os_glance_x", "y"),
            ("other", "z"),
        ]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into(),
        min_disk_gib: 2,
        ..Image::of_test("b1", "debian-12", "debian-12")
    }
}

pub(super) fn facts() -> Facts {
    Facts {
        cloud_name: "local".into(),
        cloud: CloudFacts {
            base: BaseLookup::Found(Box::new(image())),
            name_taken_by: Vec::new(),
            how: "tested".into(),
            max_cpus: Some(2),
            max_ram_mib: Some(4096),
            free_bytes: Some(50 * GIB),
            missing_prerequisites: Vec::new(),
            site: None,
            notes: Vec::new(),
        },
        host: ControllerFacts {
            ansible: Ok("ansible-playbook 2.14".into()),
            commit: Some("c0ffee".into()),
            inputs: Some(crate::model::inputs::Inputs { sha256: "d1d1".into(), files: Vec::new() }),
            values: Some("e2e2".into()),
            near_definition: None,
        },
    }
}

pub(super) fn bundle(vars: &str) -> Definition {
    load(vars).1.unwrap()
}

fn load(
    vars: &str,
) -> (tempfile::TempDir, Result<Definition, Vec<crate::model::diagnostic::Diagnostic>>) {
    let tree = tempfile::tempdir().unwrap();
    let dir = tree.path().join("images/x");
    std::fs::create_dir_all(dir.join("ansible")).unwrap();
    std::fs::write(dir.join("build-vars.yml"), vars).unwrap();
    std::fs::write(dir.join("ansible/bootstrap.yml"), "- hosts: local\n").unwrap();
    let loaded = crate::frontend::load(tree.path(), &dir).map(|loaded| loaded.bundle);
    (tree, loaded)
}

pub(super) fn request(run: &str, purpose: Purpose) -> Request<'_> {
    Request { run, now: at(), purpose, bases: 0 }
}

pub(super) fn at() -> Timestamp {
    "2026-11-20T23:31:45Z".parse().unwrap()
}

fn errors(vars: &str, change: impl FnOnce(&mut Facts)) -> Vec<String> {
    let mut facts = facts();
    change(&mut facts);
    plan(&bundle(vars), &facts, &request("20261120-233145-abcdef", BUILD))
        .unwrap_err()
        .wrong
        .iter()
        .map(|d| d.message.clone())
        .collect()
}

const LEAST: &str = "bundle:\n  name: x\n  img_base: debian-12\n";

#[test]
fn the_least_bundle_gets_every_default() {
    let plan = plan(&bundle(LEAST), &facts(), &request("20261120-233145-abcdef", BUILD)).unwrap();
    assert_eq!(plan.image_name, "x-2026-11-202331");
    assert_eq!(plan.ssh_user, "debian");
    assert_eq!(
        plan.steps.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(),
        ["ansible/bootstrap.yml"]
    );
    let builder = plan.builder.as_ref().unwrap();
    assert_eq!(
        (builder.name.as_str(), builder.cpus, builder.ram_mib, builder.disk_gib),
        ("factory-20261120-233145-abcdef-builder", 2, 1024, Some(4))
    );
    assert!(builder.name.len() <= 63);
    assert_eq!(plan.tidy.len(), TIDY_PARTS.len());
    insta::assert_json_snapshot!(plan.publish.properties, @r#"
    {
      "architecture": "x86_64",
      "factory_base": "b1@sha512:abc",
      "factory_commit": "c0ffee",
      "factory_definition": "images/x",
      "factory_family": "x",
      "factory_inputs": "d1d1",
      "factory_run": "20261120-233145-abcdef",
      "factory_state": "active",
      "factory_values": "e2e2",
      "hw_rng_model": "virtio",
      "os_admin_user": "debian"
    }
    "#);
    let back: Plan = serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
    assert_eq!(back, plan);
}

#[test]
fn a_deprecated_base_draws_a_warning() {
    let mut facts = facts();
    assert_eq!(plan(&bundle(LEAST), &facts, &request("r", BUILD)).unwrap().warnings(), [""; 0]);
    facts.cloud.base =
        BaseLookup::Found(Box::new(Image { state: image::State::Deprecated, ..image() }));
    let told = plan(&bundle(LEAST), &facts, &request("r", BUILD)).unwrap().warnings();
    assert!(told[0].contains("debian-12 (b1) is deprecated"), "{told:?}");
}

/// Without one the source would be taken for the image, and be published.
#[test]
fn a_visit_has_a_builder_even_where_nothing_is_provisioned() {
    let tree = tempfile::tempdir().unwrap();
    let dir = tree.path().join("os/x");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("build-vars.yml"), "bundle: {name: x}\nsource: {script: build.sh}\n")
        .unwrap();
    std::fs::write(dir.join("build.sh"), "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(
        dir.join("build.sh"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let bundle = crate::frontend::load(tree.path(), &dir).unwrap().bundle;
    let mut facts = facts();
    facts.cloud.base = BaseLookup::None;
    let builder =
        |purpose| plan(&bundle, &facts, &request("r", purpose)).unwrap().builder.is_some();
    assert!(builder(Purpose::Visit) && !builder(BUILD));
}

/// Of a base that a build makes first nothing is known that could be wrong, and there is nothing to
/// adopt.
#[test]
fn a_base_that_is_not_built_yet_draws_no_warning() {
    let mut facts = facts();
    let expected = plan(&bundle(LEAST), &facts, &request("r", BUILD)).unwrap().expected();
    facts.cloud.base = BaseLookup::Found(Box::new(expected));
    let plan = plan(&bundle(LEAST), &facts, &request("r", BUILD)).unwrap();
    assert_eq!((plan.warnings(), plan.notes), (Vec::new(), Vec::new()));
}

#[test]
fn a_base_without_a_proof_draws_a_warning() {
    let proven = Image { properties: Image::of_test("b1", "x", "debian-12").properties, ..image() };
    let mut legacy = proven.clone();
    legacy.properties.remove(image::IMAGE_ID);
    let mut copy = proven.clone();
    copy.properties.insert(image::IMAGE_ID.into(), "other".into());
    let told = |base: &Image| {
        let mut facts = facts();
        facts.cloud.base = BaseLookup::Found(Box::new(base.clone()));
        plan(&bundle(LEAST), &facts, &request("r", BUILD)).unwrap().warnings().join("\n")
    };
    assert_eq!(told(&proven), "");
    assert!(told(&legacy).contains("image adopt b1"), "{}", told(&legacy));
    assert!(
        told(&copy).contains("is not its image") && told(&copy).contains("other"),
        "{}",
        told(&copy)
    );
}

#[test]
fn what_may_be_meant_and_is_not_ours_is_listed_with_its_ids() {
    let mut facts = facts();
    let mut copy = Image::of_test("b2", "notes", "debian-12");
    copy.properties.insert(image::IMAGE_ID.into(), "b1".into());
    facts.cloud.base = BaseLookup::Doubtful(vec![copy]);
    let wrong = plan(&bundle(LEAST), &facts, &request("r", BUILD)).unwrap_err();
    let told = format!("{wrong:?}");
    assert!(
        told.contains("b2 (notes): its properties are those of image b1")
            && told.contains("write its ID"),
        "{told}"
    );
}

#[test]
fn where_an_image_comes_from_is_not_a_bundles_to_say() {
    for key in ["factory_inputs", "factory_image_id", "FACTORY_RUN", "image_type"] {
        let (_tree, loaded) = load(&format!("{LEAST}  properties: {{{key}: mine}}\n"));
        let wrong = format!("{:?}", loaded.unwrap_err());
        assert!(wrong.contains("is not a bundle's to set"), "{wrong}");
    }
}

#[test]
fn a_bundle_wins_over_its_base() {
    let vars = format!(
        "{LEAST}  properties: {{hw_rng_model: none}}\nmachine: {{disk: 10, ram: 2G, cpus: \
            1}}\nssh_user: admin\ntidy: {{logs: false, schedules: true}}\n"
    );
    let plan = plan(&bundle(&vars), &facts(), &request("r-1", BUILD)).unwrap();
    assert_eq!(
        (plan.publish.properties["hw_rng_model"].as_str(), plan.ssh_user.as_str()),
        ("none", "admin")
    );
    assert_eq!(plan.builder.as_ref().unwrap().disk_gib, Some(10));
    let has = |part: &str| plan.tidy.iter().any(|p| p == part);
    assert!(!has("logs") && has("schedules") && !has("user-ssh"));
}

/// A child of a base that needs a trait, a hypervisor and RAM was published as one that needs none.
#[test]
fn what_a_machine_needs_to_run_is_inherited_and_never_understated() {
    let needs = [
        ("trait:HW_CPU_X86_AVX2", "required"),
        ("img_hv_type", "kvm"),
        ("img_hide_hypervisor_id", "true"),
        ("hw_firmware_type", "uefi"),
        ("vmware_adaptertype", "paraVirtual"),
        ("hypervisor_version_requires", ">=6"),
    ];
    // The base's own file, signature and origin are not the child's.
    let not = [
        ("os_hash_x", "1"),
        ("vmware_disktype", "sparse"),
        ("img_signature", "x"),
        ("img_block_device_mapping", "[]"),
        ("cinder_encryption_key_id", "k"),
        ("owner_specified.x", "y"),
    ];
    let mut facts = facts();
    let properties = needs.into_iter().chain(not).map(|(k, v)| (k.to_owned(), v.to_owned()));
    let base = Image { min_ram_mib: 2048, properties: properties.collect(), ..image() };
    facts.cloud.base = BaseLookup::Found(Box::new(base));
    let plan = |vars: &str| {
        super::plan(&bundle(&format!("{LEAST}{vars}")), &facts, &request("r-1", BUILD)).unwrap()
    };
    let child = plan("");
    assert_eq!(child.publish.min_ram_mib, 2048);
    for (key, value) in needs {
        assert_eq!(child.publish.properties.get(key).map(String::as_str), Some(value), "{key}");
        assert_eq!(child.publish.set_by[key], SetBy::Base, "{key}");
    }
    for (key, _) in not {
        assert!(!child.publish.properties.contains_key(key), "{key}");
    }
    // The bundle may ask for more, and for other properties, but not for less.
    assert_eq!(plan("final_glance_options: '--min-ram 512'\n").publish.min_ram_mib, 2048);
    assert_eq!(plan("final_glance_options: '--min-ram 3072'\n").publish.min_ram_mib, 3072);
    let own = plan("final_glance_options: '--property img_hv_type=qemu'\n");
    assert_eq!(own.publish.properties["img_hv_type"], "qemu");
    // No machine of the build has less than its base asks for.
    let refused = super::plan(
        &bundle(&format!("{LEAST}machine: {{ram: 1G}}\n")),
        &facts,
        &request("r-1", BUILD),
    );
    let told = refused.unwrap_err().wrong;
    assert!(told[0].message.contains("1024 MiB RAM are too little for base"), "{told:?}");
}

/// What an image claims is proven by a machine that has no more, where a cloud makes any size too.
#[test]
fn the_second_smoke_machine_has_what_the_image_claims() {
    let machines = |vars: &str| {
        let bundle = bundle(&format!("{LEAST}machine: {{ram: 2G}}\n{vars}"));
        let plan = super::plan(&bundle, &facts(), &request("r-1", BUILD)).unwrap();
        let smoke = plan.smoke.unwrap();
        (smoke.first.ram_mib, smoke.second.ram_mib, smoke.second.disk_gib)
    };
    assert_eq!(machines(""), (2048, 2048, Some(4)), "it claims nothing");
    let claims = "final_glance_options: '--min-ram 512 --min-disk 6'\n";
    assert_eq!(machines(claims), (2048, 512, Some(6)));
    assert_eq!(machines("final_glance_options: '--min-ram 8192'\n"), (2048, 2048, Some(4)));
}

#[test]
fn more_cpus_than_the_host_has_are_told() {
    let plan = |cpus: u32| {
        let bundle = bundle(&format!("{LEAST}machine: {{cpus: {cpus}}}\n"));
        super::plan(&bundle, &facts(), &request("r-1", BUILD)).unwrap()
    };
    assert_eq!(plan(2).notes, [""; 0]);
    let told = plan(200).notes;
    assert!(told.len() == 1 && told[0].contains("200 CPUs, and this host has 2"), "{told:?}");
}

/// It had the time of a step, an hour, to say that a machine did not come back.
#[test]
fn a_reboot_is_bounded_as_every_boot_is() {
    let timeouts = |vars: &str| {
        let steps = "steps: [{reboot: true}, {reboot: true, timeout: 2m}, {reboot: true, \
            timeout: 2h}, {shell: a}, {upload: {src: ansible, dest: /x}}]\n";
        let plan = super::plan(
            &bundle(&format!("{LEAST}{steps}{vars}")),
            &facts(),
            &request("r-1", BUILD),
        );
        plan.unwrap().steps.iter().map(|step| step.timeout).collect::<Vec<_>>()
    };
    assert_eq!(timeouts(""), [900, 120, 900, 3600, 3600]);
    let given = "timeouts: {ssh: 5m, step: 20m, upload: 30m}\n";
    assert_eq!(timeouts(given), [300, 120, 300, 1200, 1800]);
}

/// A plan says of each property who set it: where two set one, the one that won.
#[test]
fn every_property_says_where_it_comes_from() {
    let vars = format!(
        "{LEAST}  properties: {{hw_rng_model: none, a: b}}\nfinal_glance_options: \"--property \
            c=d\"\n"
    );
    let publish = plan(&bundle(&vars), &facts(), &request("r", BUILD)).unwrap().publish;
    assert!(publish.set_by.keys().eq(publish.properties.keys()), "{publish:?}");
    let by = |key: &str| publish.set_by[key];
    assert_eq!((by("architecture"), by("hw_rng_model")), (SetBy::Base, SetBy::BundleProperties));
    assert_eq!((by("a"), by("c")), (SetBy::BundleProperties, SetBy::FinalGlanceOptions));
    assert_eq!((by("factory_base"), by("factory_family")), (SetBy::Factory, SetBy::Factory));
}

/// It was `b1@sha512:`.
#[test]
fn a_base_without_a_digest_is_named_by_its_id() {
    let mut facts = facts();
    let BaseLookup::Found(base) = &mut facts.cloud.base else { panic!() };
    base.checksum.clear();
    let properties = plan(&bundle(LEAST), &facts, &request("r", BUILD)).unwrap().publish.properties;
    assert_eq!(properties["factory_base"], "b1");
    let made = Image { properties, ..image() };
    assert_eq!(made.base(), Some(("b1", "")));
}

#[test]
fn playbooks_are_given_the_vars_of_the_bundle() {
    let vars = format!(
        "{LEAST}vars: {{a: 1, b: 2}}\nsteps:\n  - ansible: ansible/bootstrap.yml\n    extra_vars: \
            {{b: 3}}\n"
    );
    let plan = plan(&bundle(&vars), &facts(), &request("r", BUILD)).unwrap();
    let StepKind::Ansible { extra_vars, .. } = &plan.steps[0].action else { panic!() };
    assert_eq!(serde_json::to_value(extra_vars).unwrap(), serde_json::json!({"a": 1, "b": 3}));
}

/// The hint led to a list of images that had none of it.
#[test]
fn a_base_that_was_never_built_is_told_with_who_makes_it() {
    let hint = |base: &str, family: &str| {
        let mut bundle = bundle(&format!("bundle: {{name: x, img_base: {base}}}\n"));
        bundle.base_maker = Some(crate::model::definition::Maker {
            label: "images/web".into(),
            family: family.into(),
        });
        let mut facts = facts();
        facts.cloud.base = BaseLookup::Missing { near: Vec::new() };
        let wrong = plan(&bundle, &facts, &request("r", BUILD)).unwrap_err().wrong;
        wrong
            .into_iter()
            .find(|d| d.message.contains("does not exist"))
            .and_then(|d| d.hint)
            .unwrap()
    };
    assert_eq!(
        hint("nginx", "nginx"),
        "images/web of this tree makes it, and no image of it is there: `image-factory build \
            images/web`"
    );
    assert_eq!(
        hint("images/web", "nginx"),
        "images/web of this tree makes the family `nginx`: name that as the base"
    );
}

#[test]
fn all_that_is_missing_is_told_at_once() {
    let told = errors(&format!("{LEAST}machine: {{ram: 64G}}\n"), |f| {
        f.cloud.base = BaseLookup::Missing { near: vec!["debian-13".into()] };
        f.cloud.missing_prerequisites =
            vec![("qemu-img is not installed".into(), "run `make deps`".into())];
        f.cloud.free_bytes = Some(0);
        f.host.ansible =
            Err(("ansible-playbook is not installed".into(), "run `make deps`".into()));
    });
    assert_eq!(told.len(), 5, "{told:#?}");
    for text in [
        "qemu-img is not installed",
        "ansible-playbook is not installed",
        "base image `debian-12` does not exist",
        "65536 MiB RAM",
        "free",
    ] {
        assert!(told.iter().any(|t| t.contains(text)), "{text}: {told:#?}");
    }
}

#[test]
fn an_ambiguous_base_lists_the_candidates() {
    let mut facts = facts();
    facts.cloud.base = BaseLookup::Ambiguous(vec![image(), Image { id: "b2".into(), ..image() }]);
    let told = plan(&bundle(LEAST), &facts, &request("r", BUILD)).unwrap_err().wrong;
    let hint = told[0].hint.clone().unwrap();
    assert!(hint.contains("b1") && hint.contains("b2"), "{hint}");
    assert_eq!(told[0].place.as_ref().unwrap().line, 3);
}

#[test]
fn a_disk_smaller_than_the_base_is_an_error() {
    assert!(errors(&format!("{LEAST}machine: {{disk: 1}}\n"), |_| ())[0].contains("too small"));
}

#[test]
fn a_name_that_is_taken_is_an_error_only_where_it_was_chosen() {
    let taken = |f: &mut Facts| f.cloud.name_taken_by = vec!["i9".into()];
    assert!(
        errors(&format!("bundle_target_name: mine\n{LEAST}"), taken)[0]
            .contains("`mine` is taken by i9")
    );
    let mut facts = facts();
    taken(&mut facts);
    assert_eq!(
        plan(&bundle(LEAST), &facts, &request("20261120-233145-abcdef", BUILD)).unwrap().image_name,
        "x-2026-11-202331-abcdef"
    );
}

/// The user becomes an argument of `ssh` and a line of Ansible's inventory.
#[test]
fn the_user_that_an_image_names_is_a_name() {
    for bad in
        ["-oProxyCommand=id", "a b", "{{ lookup('pipe', 'id') }}", "", "a\nb", "r\u{f6}\u{f6}t"]
    {
        let said = errors(LEAST, |f| {
            let BaseLookup::Found(base) = &mut f.cloud.base else {
                unreachable!("the facts have a base")
            };
            base.properties.insert(image::ADMIN_USER.into(), bad.into());
        });
        assert!(
            said.len() == 1
                && said[0]
                    .ends_with("is no name of a user, but the property `os_admin_user` says it is"),
            "{said:?}"
        );
    }
}
