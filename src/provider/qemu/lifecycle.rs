//! Published images: users, lifecycle changes, deletion.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::backing::{DEEPEST, backing};
use super::machine::{OVERLAY, RunDirs};
use super::store::Store;
use crate::model::image::{Image, Lifecycle};
use crate::provider::artifacts::overtaken;
use crate::provider::{self, CloudError};
use crate::system::cancel::Cancel;

/// Machines whose disks are based on one of these images. Includes machines of dead runs until they
/// are swept, because they may have been kept on purpose.
pub fn uses(layout: &RunDirs, images: &[Image]) -> Result<BTreeMap<String, String>, CloudError> {
    let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for run in layout.0.runs() {
        let Ok(work) = layout.0.work(&run) else { continue };
        for machine in std::fs::read_dir(work).into_iter().flatten().flatten() {
            let name = machine.file_name();
            let below = match image_below(&machine.path()) {
                Ok(below) => below,
                // It may use any of them.
                Err(e) => {
                    let name = name.display();
                    let user = format!("machine {name}, whose disk cannot be read ({e}),");
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
                    .push(format!("machine {}", name.display()));
            }
        }
    }
    Ok(provider::artifacts::describe_users(users))
}

/// The disk at the bottom of what a machine's first overlay lies over: an image's.
fn image_below(machine: &Path) -> std::io::Result<Option<PathBuf>> {
    let mut below = backing(&machine.join(OVERLAY))?;
    for _ in 0..DEEPEST {
        match below.as_deref().map(backing).transpose()?.flatten() {
            Some(next) => below = Some(next),
            None => break,
        }
    }
    Ok(below)
}

/// `judged` is as the caller saw it. The store's lock lets nobody in between the last look and the
/// write.
pub async fn set(
    store: &Store,
    cancel: &Cancel,
    judged: &Image,
    to: &Lifecycle,
) -> Result<Image, CloudError> {
    let _turn = store.turn(cancel).await?;
    let mut image = store.need(&judged.id)?;
    let late = || overtaken(judged, &image).filter(|_| image.standing() != *to);
    if let Some(why) = provider::why_immutable(&image).or_else(late) {
        return Err(CloudError::refused(format!("change image {}", image.name), why));
    }
    image.stand(to);
    store.update(&image)
}

pub async fn adopt(store: &Store, cancel: &Cancel, id: &str) -> Result<Image, CloudError> {
    let _turn = store.turn(cancel).await?;
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

/// `judged` is as the caller saw it.
pub async fn discard(
    store: &Store,
    layout: &RunDirs,
    cancel: &Cancel,
    judged: &Image,
) -> Result<(), CloudError> {
    // A store that never had an image has no lock either.
    if store.get(&judged.id)?.is_none() {
        return Ok(());
    }
    let _turn = store.turn(cancel).await?;
    let Some(image) = store.get(&judged.id)? else { return Ok(()) };
    let why = match provider::why_immutable(&image).or_else(|| overtaken(judged, &image)) {
        Some(why) => Some(why),
        None if image.protected => Some("it is protected".to_owned()),
        None => uses(layout, std::slice::from_ref(&image))?.remove(&image.id),
    };
    match why {
        Some(why) => Err(CloudError::refused(format!("delete image {}", image.name), why)),
        None => store.remove(&image.id),
    }
}

#[cfg(test)]
mod tests {
    use super::super::store::write_description;
    use super::*;
    use crate::model::image::State;
    use crate::provider::local_resources::LocalResources;

    /// A person brings an image back while a prune is about to hide or to delete it.
    #[tokio::test]
    async fn a_change_waits_for_its_turn_and_then_looks() {
        let home = tempfile::tempdir().unwrap();
        let (store, cancel) = (Store::new(home.path()), Cancel::default());
        let layout = RunDirs(LocalResources::new(home.path(), home.path()));
        let id = uuid::Uuid::new_v4().to_string();
        let image = Image::of_test(&id, "web-1", "web");
        discard(&store, &layout, &cancel, &image).await.expect("one that was never there");
        let staged = home.path().join("staged");
        std::fs::create_dir(&staged).unwrap();
        std::fs::write(staged.join("disk.qcow2"), vec![0; image.size as usize]).unwrap();
        write_description(&staged, &image).unwrap();
        store.take(&staged, &id).unwrap();

        let judged = store.need(&id).unwrap();
        let now = Some(jiff::Timestamp::from_second(1_800_000_000).unwrap());
        let to =
            Lifecycle { state: State::Deprecated, hidden: true, hidden_at: now, held_at: None };
        let turn = store.turn(&cancel).await.unwrap();
        let hold = async {
            let mut held = judged.clone();
            held.stand(&Lifecycle { held_at: now, ..judged.standing() });
            store.update(&held).unwrap();
            drop(turn);
            held
        };
        let (hidden, held) = tokio::join!(set(&store, &cancel, &judged, &to), hold);
        let error = hidden.unwrap_err().to_string();
        assert!(
            error.contains("it was active when it was looked at, and is active, held"),
            "{error}"
        );
        assert!(discard(&store, &layout, &cancel, &judged).await.is_err());
        assert_eq!(store.need(&id).unwrap().standing(), held.standing());
        assert_eq!(set(&store, &cancel, &held, &to).await.unwrap().standing(), to);
        assert_eq!(set(&store, &cancel, &held, &to).await.expect("again").standing(), to);
        discard(&store, &layout, &cancel, &store.need(&id).unwrap()).await.unwrap();
        assert_eq!(store.get(&id).unwrap(), None);
    }
}
