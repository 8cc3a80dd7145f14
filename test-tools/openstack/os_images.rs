//! [`os_job`](super::os_job) on devcloud, whose Nova has no screens; before and after, its
//! administrator sees the same but for the image.
use super::base;
use super::devcloud;
use super::factory::Factory;
use super::os_job;

/// A home of its own: the tests run in turns.
fn factory(name: &str) -> Factory {
    let clouds = devcloud::clouds_yaml().display().to_string();
    Factory::new(name).apart().env("OS_CLIENT_CONFIG_FILE", clouds).env("OS_CLOUD", "devcloud")
}

#[test]
#[ignore = "wants devcloud, boots machines for minutes: `make test-os-openstack`"]
fn debian_12_passes_every_check() {
    let factory = factory("os-openstack").whole();
    let before = devcloud::listing();
    os_job::passes_every_check(&factory, &["screen"]);
    let id = factory.images("debian-12")[0]["id"].as_str().unwrap().to_owned();
    let but_for_it: Vec<String> = devcloud::changes(&before)
        .into_iter()
        .filter(|c| !c.starts_with(&format!("+ image {id} ")))
        .collect();
    assert_eq!(but_for_it, [""; 0]);
    devcloud::openstack("devcloud", &["image", "delete", &id]);
}

#[test]
#[ignore = "wants devcloud, boots machines for minutes: `make test-os-openstack`"]
fn an_image_that_is_there_is_tested() {
    let factory = base::published(factory("test-openstack"));
    let before = devcloud::listing();
    os_job::an_image_that_is_there_is_tested(&factory);
    assert_eq!(devcloud::changes(&before), [""; 0]);
}

#[test]
#[ignore = "wants devcloud, boots machines for minutes: `make test-os-openstack`"]
fn broken_images_are_refused() {
    let factory = base::published(factory("broken-openstack"));
    let before = devcloud::listing();
    os_job::broken_images_are_refused(factory);
    assert_eq!(devcloud::changes(&before), [""; 0]);
}
