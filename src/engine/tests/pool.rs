//! What a warm builder is taken by, and the scripts that put it to rest and wake it.
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::super::pool::Key;
use super::*;
use crate::model::placement::VolumePlan;

fn placed(world: &World) -> Plan {
    let named = |id: &str| Named { id: id.into(), name: id.into() };
    let site = Placement {
        networks: vec![named("n1")],
        floating_network: None,
        security: Security::Groups(vec![named("g1")]),
        zone: None,
        volume: None,
        reached_on: None,
    };
    let mut plan = Plan { site: Some(site), ..world.plan() };
    plan.builder.as_mut().unwrap().flavor = Some(named("f1"));
    plan
}

fn base(plan: &mut Plan) -> &mut crate::model::image::Image {
    let Origin::Base(image) = &mut plan.origin else { panic!("it has a base") };
    image
}

fn site_of(plan: &mut Plan) -> &mut Placement {
    plan.site.as_mut().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_is_all_that_a_builder_is_booted_with() {
    let world = World::new();
    let of = |plan: &Plan| Key::of(plan, Some("p".into()));
    let key = of(&placed(&world)).unwrap();
    type Change = fn(&mut Plan);
    let others: [(&str, Change); 10] = [
        ("cloud", |p| p.cloud = "other".into()),
        ("image", |p| base(p).id = "other".into()),
        ("checksum", |p| base(p).checksum = "other".into()),
        ("flavor", |p| p.builder.as_mut().unwrap().flavor.as_mut().unwrap().id = "f2".into()),
        ("ram", |p| p.builder.as_mut().unwrap().ram_mib += 1),
        ("network", |p| site_of(p).networks[0].id = "n2".into()),
        ("groups", |p| site_of(p).security = Security::None),
        ("zone", |p| site_of(p).zone = Some("z".into())),
        ("floating IP", |p| site_of(p).floating_network = Some(site_of(p).networks[0].clone())),
        ("user", |p| p.ssh_user = "other".into()),
    ];
    for (what, change) in others {
        let mut plan = placed(&world);
        change(&mut plan);
        assert_ne!(of(&plan), Some(key.clone()), "{what}");
    }
    assert_ne!(Key::of(&placed(&world), Some("q".into())), Some(key.clone()), "project");
    let mut unsaid = serde_json::to_value(&key).unwrap();
    unsaid.as_object_mut().unwrap().remove("project").unwrap();
    assert!(serde_json::from_value::<Key>(unsaid).is_err(), "of an older factory");
    // What the build alone is about.
    let same =
        Plan { run: "r2".into(), steps: Vec::new(), image_name: "y".into(), ..placed(&world) };
    assert_eq!(of(&same), Some(key));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_builder_on_a_volume_or_of_a_source_is_no_warm_one() {
    let world = World::new();
    let mut on_volume = placed(&world);
    site_of(&mut on_volume).volume = Some(VolumePlan { size_gib: 5, kind: None, zone: None });
    let mut not_built = placed(&world);
    base(&mut not_built).id = crate::model::image::NOT_BUILT.into();
    let of_source = Plan { origin: Origin::Script("make.sh".into()), ..placed(&world) };
    for plan in [on_volume, not_built, of_source] {
        assert_eq!(Key::of(&plan, None), None);
    }
}

/// Nothing that acts by the clock changes a builder while it waits.
#[test]
fn what_acts_by_the_clock_is_stopped_and_started_again() {
    let dir = tempfile::tempdir().unwrap();
    let said = dir.path().join("said");
    let program = |name: &str, text: &str| {
        let at = dir.path().join(name);
        std::fs::write(&at, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&at, PermissionsExt::from_mode(0o755)).unwrap();
    };
    let units = "fstrim.timer x\\napt-daily.timer x\\ncron.service x\\n";
    let log = said.display();
    program("systemctl", &format!("[ $1 = list-units ] && printf '{units}' || echo $* >>{log}"));
    program("date", &format!("[ $1 = +%s ] && echo 1000 || echo date $* >>{log}"));
    let run = |script: &str| {
        let noted = dir.path().join("noted").display().to_string();
        let script = script.replace("/run/image-factory-warm", &noted);
        let path = format!("{}:/usr/bin:/bin", dir.path().display());
        let done = Command::new("sh").args(["-e", "-c", &script]).env("PATH", path).output();
        let done = done.unwrap();
        assert!(done.status.success(), "{done:?}");
        let text = std::fs::read_to_string(&said).unwrap_or_default();
        let _ = std::fs::remove_file(&said);
        text
    };
    let rest = include_str!("../../../templates/guest/warm-rest.sh");
    let wake = include_str!("../../../templates/guest/warm-wake.sh");
    assert_eq!(run(rest), "--quiet stop fstrim.timer apt-daily.timer cron.service\n");
    // A clock that is right is left alone.
    let started = "--quiet --no-block start fstrim.timer cron.service\n";
    assert_eq!(run(&format!("NOW=1003\n{wake}")), started);
    assert_eq!(run(&format!("NOW=1003\n{wake}")), "", "once");
    assert_eq!(run(&format!("NOW=1500\n{wake}")), "date -s @1500\n");
    assert_eq!(run(&format!("NOW=500\n{wake}")), "date -s @500\n");
}
