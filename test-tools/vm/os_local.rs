//! [`os_job`](super::os_job) on this machine, which has neither screens nor a rescue mode.
use super::factory::Factory;
use super::os_job;

#[test]
#[ignore = "boots machines for minutes: `make test-os`"]
fn debian_12_passes_every_check_and_broken_ones_do_not() {
    let factory = Factory::new("os").whole().apart();
    os_job::passes_every_check(&factory, &["screen", "rescue"]);
    os_job::an_image_that_is_there_is_tested(&factory);
    os_job::broken_images_are_refused(factory);
}
