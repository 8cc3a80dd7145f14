//! The local image store: `images/<id>/{disk.qcow2, image.json}`. Directories appear, and
//! image.json changes, by one rename, so readers never see a partial image or change.
use std::fs::{self, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::model::event::Events;
use crate::model::facts::BaseLookup;
use crate::model::image::{self, Image, State};
use crate::provider::{self, CloudError};
use crate::system::cancel::Cancel;
use crate::system::durable::{self, sync_dir};
use crate::system::lock::Held;
use crate::system::reading;
use crate::system::wait::{Deadline, Wait};
use crate::text::suggest;

/// Size limit of a description; Glance takes no more of properties than a small part of it.
const MAX_DESCRIPTION: u64 = 16 << 20;

/// Time limit for waiting for another change, which takes milliseconds.
const TURN: Duration = Duration::from_secs(60);

/// Time without a change after which a directory without a description is debris: a copy of the
/// store that is put back may bring the disk of an image first.
const AT_REST: Duration = Duration::from_secs(3600);

#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
}

impl Store {
    /// The store in `home`; created with the first image.
    pub fn new(home: &Path) -> Self {
        Self { dir: home.join("images") }
    }

    /// Disk of an image: qcow2 without a backing file.
    pub fn disk(&self, id: &str) -> PathBuf {
        self.dir.join(id).join("disk.qcow2")
    }

    /// All images, newest first, including staged ones. Skips directories without image.json, and
    /// images that cannot be read, which [`unreadable`](Self::unreadable) lists.
    pub fn list(&self) -> Result<Vec<Image>, CloudError> {
        let ids = self.ids()?.into_iter();
        let mut images: Vec<Image> = ids.filter_map(|id| self.get(&id).ok().flatten()).collect();
        images.sort_by(|a, b| (b.created, &b.id).cmp(&(a.created, &a.id)));
        image::tell_copies(&mut images);
        Ok(images)
    }

    /// Why an image cannot be read, for each such image. Of no other one this is a matter.
    pub fn unreadable(&self) -> Result<Vec<CloudError>, CloudError> {
        Ok(self.ids()?.into_iter().filter_map(|id| self.get(&id).err()).collect())
    }

    /// Directories without a description that are [`AT_REST`]: what removals that were cut short
    /// left. A new image appears with its description.
    pub fn debris(&self) -> Result<Vec<String>, CloudError> {
        let debris = |id: &String| self.is_debris(id) && is_at_rest(&self.dir.join(id));
        Ok(self.ids()?.into_iter().filter(debris).collect())
    }

    /// Names of the store's directories.
    fn ids(&self) -> Result<Vec<String>, CloudError> {
        match fs::read_dir(&self.dir) {
            Ok(entries) => {
                Ok(entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect())
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(e) => Err(CloudError::io(format!("read {}", self.dir.display()))(e)),
        }
    }

    /// The image with this ID; `Ok(None)` if absent. An error if its description cannot be read, or
    /// its disk is not all there.
    pub fn get(&self, id: &str) -> Result<Option<Image>, CloudError> {
        let Some(image) = self.described(id)? else { return Ok(None) };
        let disk = self.disk(id);
        let why = match fs::metadata(&disk) {
            Ok(meta) if meta.is_file() && meta.len() == image.size => return Ok(Some(image)),
            Ok(meta) if meta.is_file() => {
                format!("has {} bytes, and its description says {}", meta.len(), image.size)
            }
            Ok(_) => "is no file".to_owned(),
            Err(e) => e.to_string(),
        };
        Err(self.broken(id, &disk, why))
    }

    /// [`get`](Self::get) by the description alone.
    pub fn described(&self, id: &str) -> Result<Option<Image>, CloudError> {
        // The ID becomes a path component, so anything but a UUID is rejected.
        if uuid::Uuid::try_parse(id).is_err() {
            return Ok(None);
        }
        let path = self.dir.join(id).join("image.json");
        let broken = |why: String| self.broken(id, &path, why);
        let text = match reading::bytes(&path, MAX_DESCRIPTION) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(broken(e.to_string())),
        };
        let image: Image = serde_json::from_slice(&text).map_err(|e| broken(e.to_string()))?;
        // What the directory is called is the ID: a copy of a directory has a description that
        // speaks of another.
        let stranger = (image.id != id).then(|| {
            format!("its description is that of image {}: its directory is a copy", image.id)
        });
        Ok(Some(Image { id: id.into(), stranger, ..image }))
    }

    /// Image `id` is not usable for what is wrong with its `file`.
    fn broken(&self, id: &str, file: &Path, why: String) -> CloudError {
        CloudError::refused(format!("image {id}"), format!("{}: {why}", file.display()))
            .hint(format!("remove {} if the image is of no more use", self.dir.join(id).display()))
    }

    /// [`get`](Self::get), with an error if absent.
    pub fn need(&self, id: &str) -> Result<Image, CloudError> {
        self.get(id)?.ok_or_else(|| {
            CloudError::missing(format!("image {id}"))
                .hint("`image-factory image list` shows what there is")
        })
    }

    /// Published images with exactly this name, newest first.
    pub fn named(&self, name: &str) -> Result<Vec<Image>, CloudError> {
        Ok(self
            .list()?
            .into_iter()
            .filter(|i| i.state != State::Staged && i.name == name)
            .collect())
    }

    /// Resolves a bundle's base; `os/<family>` allows only the family. Hidden images are found by
    /// ID and name.
    pub fn find(&self, wanted: &str) -> Result<BaseLookup, CloudError> {
        // One that cannot be read is no missing one.
        self.get(wanted)?;
        let images: Vec<Image> =
            self.list()?.into_iter().filter(|i| i.state != State::Staged).collect();
        let family = wanted.strip_prefix("os/");
        Ok(provider::base_among(&images, family.unwrap_or(wanted), family.is_some(), || {
            near(wanted, &images)
        }))
    }

    /// Moves a finished directory `staged`, with disk.qcow2 and image.json, into the store as image
    /// `id`: one rename.
    pub fn take(&self, staged: &Path, id: &str) -> io::Result<()> {
        fs::create_dir_all(&self.dir)?;
        // It was private to the run. Images are readable by everybody who can enter the store.
        fs::set_permissions(staged, permissions(0o755))?;
        sync_dir(staged)?;
        fs::rename(staged, self.dir.join(id))?;
        sync_dir(&self.dir)
    }

    /// The store's lock, held by one change of a published image at a time, of all processes.
    pub async fn turn(&self, cancel: &Cancel) -> Result<Held, CloudError> {
        let what = format!("change an image in {}", self.dir.display());
        let mut file = fs::File::open(&self.dir).map_err(CloudError::io(what.clone()))?;
        let mut wait = Wait::new(&what, cancel, Deadline::after(TURN), TURN / 1000);
        loop {
            file = match Held::take(file) {
                Ok(held) => return Ok(held),
                Err((file, TryLockError::WouldBlock)) => file,
                Err((_, TryLockError::Error(e))) => return Err(CloudError::io(what)(e)),
            };
            wait.pause().await?;
        }
    }

    /// Replaces the image's description atomically and reads it back.
    ///
    /// [`CloudError::Unknown`]: it may be replaced. Any other error: it is not.
    pub fn update(&self, image: &Image) -> Result<Image, CloudError> {
        self.update_by(image, &Events::default(), write_description)
    }

    /// [`update`](Self::update) that warns `events` of a change that is done and may not last.
    pub fn update_and_warn(&self, image: &Image, events: &Events) -> Result<Image, CloudError> {
        self.update_by(image, events, write_description)
    }

    fn update_by(
        &self,
        image: &Image,
        events: &Events,
        write: impl FnOnce(&Path, &Image) -> io::Result<()>,
    ) -> Result<Image, CloudError> {
        let (id, what) = (&image.id, format!("write image {}", image.id));
        let wanted = Image { stranger: None, ..with_state(image) };
        let before = self.described(id);
        let written = write(&self.dir.join(id), &wanted);
        let unknown = |reason: String| CloudError::Unknown { what: what.clone(), reason };
        match (written, self.described(id)) {
            (Ok(()), Ok(Some(_))) => self.need(id).map_err(|e| unknown(e.to_string())),
            (Ok(()), Ok(None)) => self.need(id),
            (Ok(()), Err(e)) => Err(unknown(e.to_string())),
            // The write fails after the rename as well, and what is read then is what is.
            (Err(e), Ok(Some(now))) if now == wanted => {
                events.warn(format!("{what}: it is written, and may be lost by a crash: {e}"));
                Ok(now)
            }
            (Err(e), Ok(now)) if before.as_ref().is_ok_and(|before| *before == now) => {
                Err(CloudError::io(what)(e))
            }
            (Err(e), _) => Err(unknown(e.to_string())),
        }
    }

    /// Removes an image, its description first, so that a crash leaves no image.
    pub fn remove(&self, id: &str) -> Result<(), CloudError> {
        let dir = self.dir.join(id);
        let gone = |done: io::Result<()>| match done {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        gone(fs::remove_file(dir.join("image.json")))
            .and_then(|()| gone(fs::remove_dir_all(&dir)))
            .map_err(CloudError::io(format!("remove image {id}")))
    }

    /// Whether `images/<id>` exists without a description.
    pub fn is_debris(&self, id: &str) -> bool {
        let absent = |path: PathBuf| {
            path.symlink_metadata().is_err_and(|e| e.kind() == io::ErrorKind::NotFound)
        };
        uuid::Uuid::try_parse(id).is_ok()
            && self.dir.join(id).symlink_metadata().is_ok_and(|meta| meta.is_dir())
            && absent(self.dir.join(id).join("image.json"))
    }
}

/// The run that made an image.
pub fn run_of(image: &Image) -> Option<&str> {
    image.properties.get(image::RUN).map(String::as_str)
}

/// Writes `image.json` into `dir` atomically and syncs it. The state is also a property, as in
/// Glance.
pub fn write_description(dir: &Path, image: &Image) -> io::Result<()> {
    let mut text = serde_json::to_vec_pretty(&with_state(image))?;
    text.push(b'\n');
    replace(&dir.join("image.json"), &text)
}

fn with_state(image: &Image) -> Image {
    let mut image = image.clone();
    image.properties.insert(image::STATE.into(), image.state.name().into());
    image
}

/// Whether neither the directory nor a file in it changed for [`AT_REST`].
fn is_at_rest(dir: &Path) -> bool {
    let rests = |path: &Path| {
        let changed = path.symlink_metadata().and_then(|meta| meta.modified());
        changed.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > AT_REST))
    };
    let Ok(mut inside) = fs::read_dir(dir) else { return false };
    rests(dir) && inside.all(|entry| entry.is_ok_and(|entry| rests(&entry.path())))
}

/// Replaces a file atomically. Other users may read the store's descriptions.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    durable::replace_as(path, content, 0o644)
}

fn permissions(mode: u32) -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(mode)
}

/// Names and families similar to `wanted`, nearest first, at most three.
fn near(wanted: &str, images: &[Image]) -> Vec<String> {
    let mut scored: Vec<(f64, &str)> = images
        .iter()
        .filter(|i| i.state == State::Active && !i.hidden && i.counts())
        .flat_map(|i| [i.family.as_str(), i.name.as_str()])
        .filter(|name| !name.is_empty())
        .map(|name| (suggest::similarity(wanted.strip_prefix("os/").unwrap_or(wanted), name), name))
        .filter(|(score, _)| *score > 0.8)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut names: Vec<String> = Vec::new();
    for (_, name) in scored {
        if !names.iter().any(|n| n == name) && names.len() < 3 {
            names.push(name.into());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn put(store: &Store, name: &str, family: &str, state: State, age: i64) -> Image {
        let image = Image {
            state,
            created: jiff::Timestamp::from_second(1_700_000_000 - age).unwrap(),
            ..Image::of_test(&uuid::Uuid::new_v4().to_string(), name, family)
        };
        let staged = store.dir.parent().unwrap().join("staged");
        fs::create_dir(&staged).unwrap();
        fs::write(staged.join("disk.qcow2"), vec![b'd'; image.size as usize]).unwrap();
        write_description(&staged, &image).unwrap();
        store.take(&staged, &image.id).unwrap();
        store.need(&image.id).unwrap()
    }

    #[test]
    fn finds_by_id_name_and_family() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::new(home.path());
        assert_eq!(store.list().unwrap(), []);
        let old = put(&store, "web-1", "web", State::Active, 30);
        let new = put(&store, "web-2", "web", State::Active, 20);
        put(&store, "web-3", "web", State::Deprecated, 10);
        let staged = put(&store, "web-4", "web", State::Staged, 0);
        put(&store, "twin", "a", State::Active, 5);
        put(&store, "twin", "a", State::Active, 6);
        let found = |wanted: &str| match store.find(wanted).unwrap() {
            BaseLookup::Found(image) => image.id,
            other => format!("{other:?}"),
        };
        assert_eq!(found(&old.id), old.id);
        assert_eq!(found("web-1"), old.id);
        assert_eq!(found("web"), new.id);
        assert_eq!(found("os/web"), new.id);
        assert!(
            matches!(store.find("twin").unwrap(), BaseLookup::Ambiguous(two) if two.len() == 2)
        );
        assert_eq!(store.find("wep").unwrap(), BaseLookup::Missing { near: vec!["web".into()] });
        // Nobody may use a staged image by chance; `os/` never means a name.
        assert!(matches!(store.find(&staged.id).unwrap(), BaseLookup::Missing { .. }));
        assert!(matches!(store.find("os/web-1").unwrap(), BaseLookup::Missing { .. }));
        assert_eq!(store.list().unwrap()[0].id, staged.id);
    }

    #[test]
    fn changes_are_whole_and_removal_repeats() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::new(home.path());
        let mut image = put(&store, "x", "f", State::Staged, 0);
        image.state = State::Active;
        let back = store.update(&image).unwrap();
        assert_eq!(back.properties[image::STATE], "active");
        let files: Vec<_> = fs::read_dir(store.dir.join(&image.id))
            .unwrap()
            .flatten()
            .map(|e| e.file_name())
            .collect();
        assert_eq!(files.len(), 2, "{files:?}");
        assert_eq!(store.get("../staged").unwrap(), None);
        for _ in 0..2 {
            store.remove(&image.id).unwrap();
            assert!(!store.disk(&image.id).exists());
        }
    }

    #[test]
    fn a_broken_description_is_named() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::new(home.path());
        let image = put(&store, "x", "f", State::Active, 0);
        fs::write(store.dir.join(&image.id).join("image.json"), "{").unwrap();
        assert!(store.need(&image.id).unwrap_err().to_string().contains("image.json"));
    }

    /// One image is unreadable, and whatever was asked of the store failed with it.
    #[test]
    fn an_image_that_cannot_be_read_is_told_and_holds_up_no_other() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::new(home.path());
        let sound = put(&store, "sound", "f", State::Active, 9);
        type Break<'b> = (&'b str, &'b dyn Fn(&Path));
        let breaks: [Break<'_>; 4] = [
            ("empty", &|path| fs::write(path, "").unwrap()),
            ("cut", &|path| fs::write(path, "{\"id\":").unwrap()),
            ("a directory", &|path| {
                fs::remove_file(path).unwrap();
                fs::create_dir(path).unwrap();
            }),
            ("a pipe that nobody writes", &|path| {
                fs::remove_file(path).unwrap();
                let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
                assert!(made.success());
            }),
        ];
        for (index, (what, breaks)) in breaks.into_iter().enumerate() {
            let image = put(&store, "broken", "f", State::Active, 0);
            breaks(&store.dir.join(&image.id).join("image.json"));
            assert_eq!(store.list().unwrap(), std::slice::from_ref(&sound), "{what}");
            let told = store.unreadable().unwrap();
            assert_eq!(told.len(), index + 1, "{what}");
            assert!(told.iter().any(|e| e.to_string().contains(&image.id)), "{what}: {told:?}");
            assert!(store.find(&image.id).is_err(), "{what}: it is not missing");
            assert!(!store.is_debris(&image.id), "{what}");
        }
        assert!(
            matches!(store.find("f").unwrap(), BaseLookup::Found(image) if image.id == sound.id)
        );
    }

    /// An image without its disk was active, current and up to date.
    #[test]
    fn an_image_whose_disk_is_not_all_there_is_told_and_is_not_current() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::new(home.path());
        let sound = put(&store, "sound", "f", State::Active, 9);
        type Break<'b> = (&'b str, &'b dyn Fn(&Path));
        let breaks: [Break<'_>; 3] = [
            ("removed", &|_| {}),
            ("cut", &|disk| fs::write(disk, "").unwrap()),
            ("a directory", &|disk| fs::create_dir(disk).unwrap()),
        ];
        for (index, (what, breaks)) in breaks.into_iter().enumerate() {
            let image = put(&store, "broken", "f", State::Active, 0);
            fs::remove_file(store.disk(&image.id)).unwrap();
            breaks(&store.disk(&image.id));
            assert_eq!(store.list().unwrap(), std::slice::from_ref(&sound), "{what}");
            assert_eq!(store.unreadable().unwrap().len(), index + 1, "{what}");
            let told = store.find(&image.id).unwrap_err().to_string();
            assert!(told.contains("disk.qcow2"), "{what}: {told}");
        }
        assert!(
            matches!(store.find("f").unwrap(), BaseLookup::Found(image) if image.id == sound.id)
        );
    }

    /// The directory could not be synced, the image was current, and "nothing is published".
    #[test]
    fn a_failed_write_is_judged_by_what_is_read_then() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::new(home.path());
        let staged = put(&store, "x", "f", State::Staged, 0);
        let wanted = Image { state: State::Active, ..staged.clone() };
        let failed = || io::Error::from_raw_os_error(libc::EIO);
        let quiet = Events::default();
        let before = store.update_by(&wanted, &quiet, |_, _| Err(failed())).unwrap_err();
        assert!(matches!(before, CloudError::Io { .. }), "{before}");
        let half = store.update_by(&wanted, &quiet, |dir, _| {
            fs::write(dir.join("image.json"), "{")?;
            Err(failed())
        });
        assert!(matches!(half, Err(CloudError::Unknown { .. })), "{half:?}");
        write_description(&store.dir.join(&staged.id), &staged).unwrap();
        let after = store.update_by(&wanted, &quiet, |dir, image| {
            write_description(dir, image)?;
            Err(failed())
        });
        assert_eq!(after.unwrap().state, State::Active);
        assert_eq!(store.need(&staged.id).unwrap().state, State::Active);
        let lost = store.update_by(&wanted, &quiet, |dir, image| {
            write_description(dir, image)?;
            fs::write(dir.join("image.json"), "{")
        });
        assert!(matches!(lost, Err(CloudError::Unknown { .. })), "{lost:?}");
    }

    /// The process died between the two steps of a removal.
    #[test]
    fn what_a_removal_left_is_debris_and_nothing_else_is() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::new(home.path());
        assert_eq!(store.debris().unwrap(), [""; 0]);
        let sound = put(&store, "x", "f", State::Active, 0);
        let gone = put(&store, "y", "f", State::Active, 0);
        fs::remove_file(store.dir.join(&gone.id).join("image.json")).unwrap();
        fs::create_dir(store.dir.join("mine")).unwrap();
        // An image that is put back looks the same until its description comes, last.
        let (dir, long_ago) = (store.dir.join(&gone.id), SystemTime::now() - 2 * AT_REST);
        assert_eq!(store.debris().unwrap(), [""; 0], "a new directory");
        fs::File::open(&dir).unwrap().set_modified(long_ago).unwrap();
        assert_eq!(store.debris().unwrap(), [""; 0], "a new file in an old one");
        fs::File::open(store.disk(&gone.id)).unwrap().set_modified(long_ago).unwrap();
        assert_eq!(store.debris().unwrap(), std::slice::from_ref(&gone.id));
        store.remove(&gone.id).unwrap();
        assert_eq!((store.debris().unwrap(), store.list().unwrap()), (vec![], vec![sound]));
    }
}
