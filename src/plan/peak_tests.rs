//! What a run has at the same time, against what a project may still have.
use super::placement_tests::{
    BUILD, UNTESTED, bundle, flavor, project, try_plan, try_plan_for, try_plan_of,
};
use super::tests::request;
use super::*;
use crate::model::definition::{Definition, Source};
use crate::model::facts::Leave;
use crate::model::facts::ProjectFacts;
use crate::model::facts::QuotaHeadroom;
use crate::model::placement::VolumePlan;

const VISIT: Purpose = Purpose::Visit;
const TEST: Purpose = Purpose::Test { smoke: true };
const VOLUME: &str = "tests: {only: [volume], volume_size: 7}\n";
const SNAPSHOT: &str = "tests: {only: [snapshot]}\n";
const NEITHER: &str = "tests: {skip: [volume, snapshot]}\n";

/// The errors of a project that has this much room.
fn lacks(purpose: Purpose, vars: &str, room: QuotaHeadroom) -> Vec<String> {
    let site =
        ProjectFacts { room, volume_types: Some(Vec::new()), encrypts: Some(false), ..project() };
    match try_plan_for(purpose, vars, site) {
        Ok(_) => Vec::new(),
        Err(unfit) => unfit.wrong.iter().map(ToString::to_string).collect(),
    }
}

fn none_left() -> QuotaHeadroom {
    let none = Some(0);
    QuotaHeadroom {
        servers: none,
        cores: none,
        ram_mib: none,
        floating_ips: none,
        security_groups: none,
        volumes: none,
        volume_gib: none,
        images: none,
        image_mib: None,
    }
}

/// What is needed of each thing, in the words of the errors.
fn needs(purpose: Purpose, vars: &str) -> String {
    let told = lacks(purpose, vars, none_left());
    let need = |t: &String| {
        let (_, rest) = t.split_once("leaves 0 ").expect(t);
        let (what, rest) = rest.split_once(", and ").expect(t);
        format!("{} {what}", rest.split(' ').next().unwrap_or_default())
    };
    told.iter().map(need).collect::<Vec<_>>().join(", ")
}

#[test]
fn the_disk_of_the_check_volume_counts_wherever_machines_boot() {
    let two = "2 servers, 2 cores, 2048 MiB of RAM, 2 floating IPs, 1 security groups";
    assert_eq!(needs(BUILD, VOLUME), format!("{two}, 1 volumes, 7 GiB of volumes, 1 images"));
    assert_eq!(needs(BUILD, NEITHER), format!("{two}, 1 images"));
    // Beside the two that the machines boot from.
    let on_volumes = format!("volume: {{size: 5}}\nvm_flavor: small\n{VOLUME}");
    assert_eq!(needs(BUILD, &on_volumes), format!("{two}, 3 volumes, 17 GiB of volumes, 1 images"));
    let told = lacks(BUILD, VOLUME, QuotaHeadroom { volumes: Some(0), ..QuotaHeadroom::default() });
    assert!(told.len() == 1 && told[0].contains("`tests: {skip: [volume]}`"), "{told:?}");
}

#[test]
fn the_third_machine_counts_beside_the_first_and_its_image_beside_the_captured_one() {
    // `large` is the one other flavor that has room for the image: 1 + 4 cores, 1024 + 8192 MiB.
    let needed = "2 servers, 5 cores, 9216 MiB of RAM, 2 floating IPs, 1 security groups, 2 images";
    assert_eq!(needs(BUILD, SNAPSHOT), needed);
    // The second is gone by then, and its volume too: nothing of three machines.
    let on_volumes = format!("volume: {{size: 5}}\nvm_flavor: small\n{SNAPSHOT}");
    let told = needs(BUILD, &on_volumes);
    assert!(
        told.starts_with("2 servers") && told.contains("2 volumes, 10 GiB of volumes, 2 images"),
        "{told}"
    );
    // Without another flavor there is no third machine, and no second image.
    let site = |images| ProjectFacts {
        flavors: vec![flavor("small", 1, 1024, 5)],
        room: QuotaHeadroom { images: Some(images), ..QuotaHeadroom::default() },
        ..project()
    };
    assert!(try_plan(SNAPSHOT, site(1)).is_ok() && try_plan(SNAPSHOT, site(0)).is_err());
}

#[test]
fn a_visit_has_one_machine_and_makes_nothing() {
    assert_eq!(
        needs(VISIT, VOLUME),
        "1 servers, 1 cores, 1024 MiB of RAM, 1 floating IPs, 1 security groups"
    );
    assert_eq!(try_plan_for(VISIT, "", project()).unwrap().smoke, None);
    assert_eq!(
        needs(UNTESTED, VOLUME),
        "1 servers, 1 cores, 1024 MiB of RAM, 1 floating IPs, 1 security groups, 1 images"
    );
    let refused = ProjectFacts { consoles: Leave::Refused("no consoles".into()), ..project() };
    assert!(try_plan_for(VISIT, "", refused).is_ok(), "its consoles are not read");
}

/// The builder of a bundle may be larger than both that are tested; a test has none.
#[test]
fn a_test_of_an_image_has_no_builder_and_captures_nothing() {
    let vars = format!("vm_flavor: large\ntest_flavor: roomy\n{NEITHER}");
    let site = ProjectFacts {
        room: QuotaHeadroom { cores: Some(2), images: Some(0), ..QuotaHeadroom::default() },
        ..project()
    };
    let site = ProjectFacts {
        flavors: vec![flavor("large", 4, 8192, 40), flavor("roomy", 1, 1024, 40)],
        ..site
    };
    assert!(
        try_plan_for(TEST, &vars, site.clone()).is_ok()
            && try_plan_for(BUILD, &vars, site).unwrap_err().wrong.len() == 2
    );
    assert!(needs(TEST, SNAPSHOT).ends_with("1 images"));
}

#[test]
fn the_second_disk_is_of_the_type_and_the_zone_of_the_machines() {
    let site = |zones: &[&str]| ProjectFacts {
        zones: vec!["az1".into()],
        volume_zones: zones.iter().map(|z| (*z).to_owned()).collect(),
        volume_types: Some(vec!["fast".into()]),
        encrypts: Some(false),
        ..project()
    };
    let disk = |vars: &str, zones: &[&str]| {
        let smoke = try_plan(&format!("{vars}{VOLUME}"), site(zones)).unwrap().smoke.unwrap();
        let VolumePlan { size_gib, kind, zone } = smoke.second_disk();
        assert_eq!(size_gib, 7);
        (kind.unwrap_or_default(), zone.unwrap_or_default())
    };
    let is = |kind: &str, zone: &str| (kind.to_owned(), zone.to_owned());
    assert_eq!(disk("volume: {type: fast, availability_zone: v1}\n", &["v1"]), is("fast", "v1"));
    assert_eq!(disk("volume: {type: fast}\navailability_zone: az1\n", &["az1"]), is("fast", "az1"));
    // A machine that boots from an image has a zone all the same.
    assert_eq!(disk("availability_zone: az1\n", &["nova", "az1"]), is("", "az1"));
    // Cinder has no such zone, or does not tell: its default is the best there is.
    assert_eq!(disk("availability_zone: az1\n", &["nova"]), is("", ""));
    assert_eq!(disk("", &["nova"]), is("", ""));
}

/// How many images `definition` needs at once, after `bases` that are built first.
fn images_of(definition: &Definition, purpose: Purpose, bases: u64) -> u64 {
    let request = Request { bases, ..request("r1", purpose) };
    let fits = |images| {
        let room = QuotaHeadroom { images: Some(images), ..QuotaHeadroom::default() };
        try_plan_of(definition, &request, ProjectFacts { room, ..project() }).is_ok()
    };
    (0..9).find(|images| fits(*images)).expect("nothing needs nine images")
}

/// One image was asked for, and after all steps there was no room for the captured one.
#[test]
fn every_image_that_is_there_at_once_counts() {
    let of = |vars: &str| Definition {
        base: None,
        source: Some(Source::Script("build.sh".into())),
        ..bundle(vars)
    };
    // The source and the captured image; then the captured one and that of a smoke machine.
    for (vars, images) in [(NEITHER, 2), (SNAPSHOT, 2)] {
        assert_eq!(images_of(&of(vars), BUILD, 0), images, "{vars}");
    }
    assert_eq!(images_of(&of(NEITHER), UNTESTED, 0), 2);
    assert_eq!(images_of(&of(NEITHER), VISIT, 0), 1);
    let as_it_is = |vars: &str| Definition { has_bootstrap: false, ..of(vars) };
    assert_eq!(images_of(&as_it_is(NEITHER), BUILD, 0), 1);
    assert_eq!(images_of(&as_it_is(SNAPSHOT), BUILD, 0), 2);
    // An image of a base that is built first stays.
    assert_eq!(images_of(&bundle(NEITHER), BUILD, 0), 1);
    assert_eq!(images_of(&bundle(NEITHER), BUILD, 2), 3);
}

/// `vm_flavor` of 16 CPUs, and smoke machines of 1.
#[test]
fn the_builder_counts_where_it_is_the_largest() {
    let site = |cores| ProjectFacts {
        flavors: vec![flavor("large", 16, 8192, 40), flavor("roomy", 1, 1024, 40)],
        room: QuotaHeadroom { cores: Some(cores), ..QuotaHeadroom::default() },
        ..project()
    };
    let vars = format!("vm_flavor: large\ntest_flavor: roomy\n{NEITHER}");
    assert!(try_plan(&vars, site(16)).is_ok());
    let wrong = try_plan(&vars, site(15)).unwrap_err().wrong;
    assert!(wrong[0].to_string().contains("leaves 15 cores, and 16 are needed"), "{wrong:?}");
}
