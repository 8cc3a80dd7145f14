//! Published images: users, lifecycle changes, deletion.
use std::collections::BTreeMap;

use super::backing::backing;
use super::machine::{OVERLAY, RunDirs};
use super::store::Store;
use crate::model::image::{Image, Lifecycle};
use crate::provider::{self, CloudError};

/// Machines whose disks are based on one of these images. Includes machines of dead runs until they
/// are swept, because they may have been kept on purpose.
pub fn uses(layout: &RunDirs, images: &[Image]) -> Result<BTreeMap<String, String>, CloudError> {
    let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for run in layout.0.runs() {
        let Ok(work) = layout.0.work(&run) else { continue };
        for machine in std::fs::read_dir(work).into_iter().flatten().flatten() {
            let overlay = machine.path().join(OVERLAY);
            let below = match backing(&overlay) {
                Ok(below) => below,
                // It may use any of them.
                Err(e) => {
                    let user = format!(
                        "machine {}, whose disk cannot be read ({e}),",
                        machine.file_name().display()
                    );
                    for image in images {
                        users.entry(image.id.clone()).or_default().push(user.clone());
                    }
                    continue;
                }
            };
            let id = below.as_deref().and_then(|disk| disk.parent()?.file_name()?.to_str());
            if let Some(image) = images.iter().find(|i| Some(i.id.as_str()) == id) {
                users
                    .entry(image.id.clone())
                    .or_default()
                    .push(format!("machine {}", machine.file_name().display()));
            }
        }
    }
    Ok(provider::artifacts::describe_users(users))
}

pub fn set(store: &Store, id: &str, to: &Lifecycle) -> Result<Image, CloudError> {
    let mut image = store.need(id)?;
    if let Some(why) = provider::why_immutable(&image) {
        return Err(CloudError::refused(format!("change image {}", image.name), why));
    }
    image.stand(to);
    store.update(&image)
}

pub fn adopt(store: &Store, id: &str) -> Result<Image, CloudError> {
    let mut image = store.need(id)?;
    if let Some(why) = provider::artifacts::unadoptable(&image) {
        return Err(CloudError::refused(format!("adopt image {}", image.name), why));
    }
    if image.is_ours() {
        return Ok(image);
    }
    image.prove(image.created);
    store.update(&image)
}

pub fn discard(store: &Store, layout: &RunDirs, id: &str) -> Result<(), CloudError> {
    let Some(image) = store.get(id)? else { return Ok(()) };
    let why = match provider::why_immutable(&image) {
        Some(why) => Some(why),
        None if image.protected => Some("it is protected".to_owned()),
        None => uses(layout, std::slice::from_ref(&image))?.remove(id),
    };
    match why {
        Some(why) => Err(CloudError::refused(format!("delete image {}", image.name), why)),
        None => store.remove(id),
    }
}
