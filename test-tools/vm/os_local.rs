//! [`os_job`](super::os_job) on this machine, which has neither screens nor a rescue mode.
use super::factory::Factory;
use super::os_job;

#[test]
#[ignore = "boots machines for minutes: `make test-os`"]
fn debian_12_passes_every_check() {
    os_job::passes_every_check(&Factory::ordinary("os").whole().apart(), &["screen", "rescue"]);
}

#[test]
#[ignore = "boots machines for minutes: `make test-os`"]
fn an_image_that_is_there_is_tested() {
    os_job::an_image_that_is_there_is_tested(&Factory::ordinary("os-test").with_base());
}

#[test]
#[ignore = "boots machines for minutes: `make test-os`"]
fn broken_images_are_refused() {
    os_job::broken_images_are_refused(Factory::ordinary("os-broken").with_base());
}
