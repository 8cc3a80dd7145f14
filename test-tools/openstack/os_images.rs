//! [`os_job`](super::os_job) on devcloud, whose Nova has no screens; before and after, its administrator sees the same but for the image.
use super::devcloud;
use super::factory::Factory;
use super::os_job;

#[test]
#[ignore = "wants devcloud, boots machines for minutes: `make test-os-openstack`"]
fn debian_12_passes_every_check_and_broken_ones_do_not() {
    let clouds = devcloud::clouds_yaml().display().to_string();
    let factory = Factory::new("os-openstack").whole().apart().env("OS_CLIENT_CONFIG_FILE", clouds).env("OS_CLOUD", "devcloud");
    let before = devcloud::listing();
    os_job::passes_every_check(&factory, &["screen"]);
    let id = factory.images("debian-12")[0]["id"].as_str().unwrap().to_owned();
    let but_for_it = || devcloud::changes(&before).into_iter().filter(|c| !c.starts_with(&format!("+ image {id} "))).collect::<Vec<_>>();
    assert_eq!(but_for_it(), [""; 0]);
    os_job::an_image_that_is_there_is_tested(&factory);
    os_job::broken_images_are_refused(factory);
    assert_eq!(but_for_it(), [""; 0]);
    devcloud::openstack("devcloud", &["image", "delete", &id]);
}
