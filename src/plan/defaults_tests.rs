//! Figures and words that BUNDLES.md gives as defaults.
use super::tests::{bundle, facts, request};
use super::*;
use crate::model::image::Visibility;

#[test]
fn what_no_key_says_has_the_documented_default() {
    let definition = bundle("bundle: {name: x, img_base: debian-12}\n");
    let request = request("20261120-233145-abcdef", Purpose::Build { smoke: true });
    let plan = plan(&definition, &facts(), &request).unwrap();

    let minutes = |of: u64| of * 60;
    let all = &plan.timeouts;
    assert_eq!(
        [all.source, all.boot, all.ssh, all.capture, all.upload],
        [60, 5, 15, 30, 60].map(minutes)
    );
    let step = &plan.steps[0];
    assert_eq!((step.timeout, step.retries, step.sudo), (minutes(60), 0, false));

    let smoke = plan.smoke.unwrap();
    assert_eq!((smoke.package.as_str(), smoke.volume_gib), ("tree", 1));
    assert_eq!((smoke.check_timeout, smoke.dns_name), (None, None), "each has its own");

    let publish = &plan.publish;
    assert_eq!((&publish.tags, &publish.members), (&Vec::new(), &Vec::new()));
    assert_eq!((publish.visibility, plan.keep), (Visibility::Private, None));
    assert!(!publish.protected && !publish.hidden && publish.min_disk_gib.is_none());
}
