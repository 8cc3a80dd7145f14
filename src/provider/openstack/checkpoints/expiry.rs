//! Which checkpoints of a project nobody begins from any more, and their deletion.
use std::time::Duration;

use jiff::Timestamp;

use super::records::Record;
use crate::model::image::{self, Image};
use crate::provider::checkpoints::{Expired, OLDEST};
use crate::provider::openstack::{OpenStack, base, glance, lifecycle};
use crate::provider::{CloudError, RunCx};

/// Deletes the checkpoints of the project that are too old, whoever kept them, and those of this
/// home that a newer one of the same step has replaced. One that a machine uses stays.
pub async fn expire(
    cloud: &OpenStack,
    cx: &RunCx,
    dry_run: bool,
) -> Result<Vec<Expired>, CloudError> {
    let here = cloud.place(cx).await?;
    let of_ours =
        [(image::STATE, image::KEPT_CHECKPOINT.to_owned()), ("owner", here.project.clone())];
    let mut images = base::shown_and_hidden(cloud, &of_ours, &cx.cancel).await?;
    images.retain(|one| one.is_kept_checkpoint(&here.project));
    let images: Vec<Image> = images.iter().map(|one| one.image(&here.project)).collect();
    let mut records = cloud.shelf.records.all();
    records.retain(|record| record.place == here);
    let is_there = |record: &Record| images.iter().any(|image| image.id == record.image);
    let (records, gone): (Vec<Record>, Vec<Record>) = records.into_iter().partition(is_there);
    if !dry_run {
        gone.iter().for_each(|record| cloud.shelf.records.forget(&record.image));
    }
    let (over, whys) = over(images, &records, Timestamp::now());
    let used = lifecycle::uses(cloud, &over).await?;
    let mut expired = Vec::new();
    for (one, why) in over.into_iter().zip(whys).filter(|(one, _)| !used.contains_key(&one.id)) {
        if !dry_run {
            cx.cancel.check()?;
            glance::delete(&cloud.api, &one.id, &cx.cancel).await?;
            cloud.shelf.records.forget(&one.id);
        }
        let known = records.iter().find(|record| record.image == one.id);
        let about = known.map_or(one.name, |record| record.about.clone());
        expired.push(Expired { id: one.id, about, why });
    }
    Ok(expired)
}

/// The images that are over, and why each is. `records` are newest first.
fn over(images: Vec<Image>, records: &[Record], now: Timestamp) -> (Vec<Image>, Vec<String>) {
    let why = |image: &Image| {
        let age = Duration::try_from(now.duration_since(image.created)).unwrap_or_default();
        if age > OLDEST {
            return Some(format!("it is older than {} days", OLDEST.as_secs() / 86_400));
        }
        let of_it = records.iter().find(|record| record.image == image.id)?;
        let newest = records.iter().find(|record| record.about == of_it.about)?;
        (newest.image != of_it.image).then(|| "there is a newer one of its step".to_owned())
    };
    images.into_iter().filter_map(|image| why(&image).map(|why| (image, why))).unzip()
}
