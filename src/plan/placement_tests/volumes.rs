//! Volumes, their types and zones, and flavors without disks.
use super::*;
use crate::model::facts::ProjectFacts;
use crate::model::placement::VolumePlan;

#[test]
fn a_volume_is_as_large_as_the_base() {
    let mut site = project();
    site.volume_types = Some(vec!["nfs".into()]);
    let plan = try_plan("volume: {type: nfs}\n", site.clone()).unwrap();
    assert_eq!(
        plan.site.unwrap().volume,
        Some(VolumePlan { size_gib: 2, kind: Some("nfs".into()), zone: None })
    );
    let told = errors("volume: {type: fast, size: 1}\n", site);
    assert!(
        told.iter().any(|t| t.contains("volume type `fast`"))
            && told.iter().any(|t| t.contains("too small")),
        "{told:?}"
    );
}

#[test]
fn zones_of_volumes_are_not_those_of_servers() {
    let site = |volumes: &[&str]| ProjectFacts {
        zones: vec!["az1".into()],
        volume_zones: volumes.iter().map(|z| (*z).to_owned()).collect(),
        volume_types: Some(Vec::new()),
        encrypts: Some(false),
        ..project()
    };
    let zones = |vars: &str, known: &[&str]| {
        let (plan, notes) = site_of(vars, site(known));
        (plan.zone, plan.volume.unwrap().zone, told(&notes, "Cinder's default zone"))
    };
    let az1 = || Some("az1".to_owned());
    assert_eq!(zones("volume: {}\navailability_zone: az1\n", &["nova"]), (az1(), None, true));
    assert_eq!(
        zones("volume: {}\navailability_zone: az1\n", &["nova", "az1"]),
        (az1(), az1(), false)
    );
    assert_eq!(
        zones("volume: {}\navailability_zone: az1\n", &[]),
        (az1(), None, false),
        "not told"
    );
    assert_eq!(
        zones("volume: {availability_zone: nova}\n", &["nova"]),
        (None, Some("nova".into()), false)
    );
    let told_all = errors("volume: {availability_zone: nowa}\n", site(&["nova"]));
    assert!(
        told_all[0].contains("availability zone of volumes `nowa` does not exist")
            && told_all[0].contains("did you mean `nova`?")
    );
}

#[test]
fn a_flavor_without_a_disk_draws_a_note_and_is_not_chosen() {
    let mut site = project();
    site.flavors = vec![flavor("bare", 1, 1024, 0)];
    let told_all = errors("", site.clone());
    assert!(told_all[0].contains("`volume: {}`"), "{told_all:?}");
    let notes = try_plan("vm_flavor: bare\n", site.clone()).unwrap().notes;
    assert!(told(&notes, "`bare` has no disk") && told(&notes, "`volume: {}`"), "{notes:?}");
    (site.volume_types, site.encrypts) = (Some(Vec::new()), Some(false));
    let plan = try_plan("volume: {}\n", site).unwrap();
    assert!(
        !told(&plan.notes, "has no disk") && plan.builder.unwrap().flavor.unwrap().name == "bare"
    );
}

#[test]
fn a_type_that_encrypts_is_refused_or_said_to_be_unknown() {
    let site =
        |encrypts| ProjectFacts { volume_types: Some(vec!["luks".into()]), encrypts, ..project() };
    let told_all = errors("volume: {type: luks}\n", site(Some(true)));
    assert!(
        told_all[0].contains("`luks` encrypts") && told_all[0].contains("with its key"),
        "{told_all:?}"
    );
    assert!(errors("volume: {}\n", site(Some(true)))[0].contains("default volume type encrypts"));
    assert!(told(
        &try_plan("volume: {type: luks}\n", site(None)).unwrap().notes,
        "whether volume type `luks` encrypts"
    ));
    assert!(!told(
        &try_plan("volume: {type: luks}\n", site(Some(false))).unwrap().notes,
        "encrypts"
    ));
}
