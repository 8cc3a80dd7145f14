//! Records of checkpoints that are images, `cache/checkpoint-images/<image>.json`: what an image is
//! found by, and the note of who kept it. A key is of one home, and so is its image.
use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::provider::CloudError;
use crate::provider::checkpoints::Checkpoint;
use crate::provider::local_resources::{builder, component};
use crate::system::durable;

/// Size limit of a record, in bytes.
const LONGEST: u64 = 16 << 20;
const ENDING: &str = ".json";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Name in clouds.yaml, or URL.
    pub cloud: String,
    /// ID.
    pub project: String,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct Record {
    /// ID of the image.
    pub image: String,
    pub place: Place,
    pub key: String,
    /// ID of the builder's flavor.
    pub flavor: String,
    pub about: String,
    pub made: Timestamp,
    pub note: serde_json::Value,
}

impl From<Record> for Checkpoint {
    fn from(Record { image, made, note, .. }: Record) -> Self {
        Self { id: image, made, note }
    }
}

/// The records of a home.
pub struct Records(PathBuf);

impl Records {
    pub fn of(home: &Path) -> Self {
        Self(home.join("cache/checkpoint-images"))
    }

    /// All that can be read, newest first.
    pub fn all(&self) -> Vec<Record> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let read = |name: &str| {
            let id = name.strip_suffix(ENDING)?;
            let text = durable::read(&self.0.join(name), LONGEST).ok()?;
            let record: Record = serde_json::from_slice(&text).ok()?;
            (record.image == id).then_some(record)
        };
        let mut all: Vec<Record> =
            entries.filter_map(|entry| read(entry.file_name().to_str()?)).collect();
        all.sort_by_key(|record| std::cmp::Reverse(record.made));
        all
    }

    pub fn write(&self, record: &Record) -> Result<(), CloudError> {
        let path = self.0.join(format!("{}{ENDING}", component(&record.image)?));
        let text = serde_json::to_vec(record).expect("a record is plain data");
        builder(true)
            .create(&self.0)
            .and_then(|()| durable::replace(&path, &text))
            .map_err(CloudError::io(format!("write {}", path.display())))
    }

    /// Removes the record of an image that is gone.
    pub fn forget(&self, image: &str) {
        if let Ok(name) = component(image) {
            let _ = fs::remove_file(self.0.join(format!("{name}{ENDING}")));
        }
    }
}
