//! How an image comes to be: in a directory of the run, from the disk of a machine or from a file, and with one rename into
//! the store. Until then there is nothing to see; after a crash there is a directory that the run owns.
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha512};

use super::machine::{Layout, convert_error};
use super::qcow2::{self, Format};
use super::store::{self, Store};
use crate::cancel::Cancel;
use crate::cloud::ledger::{Kind, Made};
use crate::cloud::{CloudError, Cx};
use crate::exec::{self, Cmd};
use crate::image::{self, Image, State, Visibility};
use crate::plan::GIB;

/// How `qemu-img` writes an image.
///
/// MEASURED
const CONVERT: &[&str] = &["-O", "qcow2", "-c", "-m", "2", "-W"];

/// An image in the making. What it takes its name and ID from is known before anything of it exists.
pub struct Staging<'a> {
    cx: &'a Cx,
    run: &'a str,
    name: &'a str,
    id: String,
    dir: PathBuf,
    until: Instant,
    deadline: Duration,
}

impl<'a> Staging<'a> {
    pub async fn begin(cx: &'a Cx, layout: &Layout, run: &'a str, name: &'a str, deadline: Duration) -> Result<Self, CloudError> {
        let id = uuid::Uuid::new_v4().to_string();
        let dir = layout.work(run)?.join(format!("image-{id}"));
        layout.make(cx, &dir).await?;
        Ok(Self { cx, run, name, id, dir, until: Instant::now() + deadline, deadline })
    }

    fn disk(&self) -> PathBuf {
        self.dir.join("disk.qcow2")
    }

    /// Writes all of `source`, backing files included, as one standalone disk.
    pub async fn convert(&self, source: &Path, format: &str) -> Result<(), CloudError> {
        let what = format!("convert {}", source.display());
        let cmd = Cmd::new("qemu-img", self.left())
            .args(["convert", "-f", format])
            .args(CONVERT)
            .arg(source)
            .arg(self.disk())
            .mark(self.run);
        exec::output(&cmd, &self.cx.cancel).await.map(drop).map_err(convert_error(what))
    }

    /// Takes a file as it is, after a look at whether its tables are sound: a download may have been cut off.
    pub async fn copy(&self, source: &Path) -> Result<(), CloudError> {
        let check = Cmd::new("qemu-img", self.left()).args(["check", "-q", "-f", "qcow2"]).arg(source).mark(self.run);
        exec::output(&check, &self.cx.cancel).await.map_err(convert_error(format!("check {}", source.display())))?;
        let (from, to, cancel) = (source.to_path_buf(), self.disk(), self.cx.cancel.clone());
        blocking(format!("copy {}", source.display()), move || {
            let mut new = File::create_new(&to)?;
            pump(&from, &cancel, |chunk| new.write_all(chunk))
        })
        .await
    }

    /// Describes the disk, syncs it all and puts it into the store as a staged image.
    pub async fn finish(self, store: &Store) -> Result<Image, CloudError> {
        let disk = self.disk();
        let Format::Qcow2 { virtual_size, .. } = qcow2::inspect(&disk).map_err(|why| CloudError::refused(disk.display().to_string(), why))?
        else {
            return Err(CloudError::refused(disk.display().to_string(), "is not the qcow2 image it was made to be"));
        };
        self.cx.events.doing("syncing the image and taking its checksum");
        let (size, checksum) = self.digest().await?;
        let image = Image {
            id: self.id.clone(),
            name: self.name.into(),
            family: String::new(),
            state: State::Building,
            created: jiff::Timestamp::now(),
            size,
            virtual_size,
            checksum,
            properties: [(image::RUN.into(), self.run.into())].into(),
            tags: Vec::new(),
            min_disk_gb: virtual_size.div_ceil(GIB),
            min_ram_mb: 0,
            visibility: Visibility::Private,
            protected: false,
            hidden: false,
        };
        store::write_description(&self.dir, &image).map_err(CloudError::io(format!("describe image {}", self.id)))?;
        self.cx.cancel.check()?;
        let taken = || async {
            store.take(&self.dir, &self.id).map_err(CloudError::io(format!("take image {} in", self.id)))?;
            Ok::<_, CloudError>(Made { id: self.id.clone(), value: () })
        };
        self.cx.ledger.own(Kind::Image, self.name, taken).await?;
        store.need(&self.id)
    }

    async fn digest(&self) -> Result<(u64, String), CloudError> {
        let (disk, cancel) = (self.disk(), self.cx.cancel.clone());
        blocking(format!("checksum of {}", disk.display()), move || {
            // qemu-img and the machine before it wrote without syncing: here is where it must be on the disk.
            File::open(&disk)?.sync_all()?;
            let (mut sum, mut size) = (Sha512::new(), 0);
            pump(&disk, &cancel, |chunk| {
                sum.update(chunk);
                size += chunk.len() as u64;
                Ok(())
            })?;
            Ok((size, sum.finalize().iter().map(|b| format!("{b:02x}")).collect()))
        })
        .await
    }

    fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now()).min(self.deadline)
    }
}

/// File work on a thread of its own.
async fn blocking<T: Send + 'static>(what: String, work: impl FnOnce() -> std::io::Result<T> + Send + 'static) -> Result<T, CloudError> {
    let done = tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(std::io::Error::other(e)));
    done.map_err(|e| match e.kind() {
        std::io::ErrorKind::Interrupted => CloudError::Cancelled(crate::cancel::Cancelled),
        _ => CloudError::io(what)(e),
    })
}

/// Reads a file through; a stop asked for in between ends it with `Interrupted`.
fn pump(from: &Path, cancel: &Cancel, mut to: impl FnMut(&[u8]) -> std::io::Result<()>) -> std::io::Result<()> {
    let mut file = File::open(from)?;
    let mut chunk = vec![0; 1 << 20];
    loop {
        cancel.check().map_err(|e| std::io::Error::new(std::io::ErrorKind::Interrupted, e))?;
        match file.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(n) => to(&chunk[..n])?,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}
