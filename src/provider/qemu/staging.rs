//! Creates an image in a directory of the run, from a machine's disk or a file, and moves it into
//! the store with one rename. A crash before that leaves only a directory that the run owns.
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::machine::{RunDirs, convert_error};
use super::store::{self, Store};
use crate::model::digest::Algorithm;
use crate::model::format::Format;
use crate::model::image::{self, Image, State, Visibility};
use crate::model::units::GIB;
use crate::provider::ledger::{Kind, Made};
use crate::provider::{CloudError, RunCx};
use crate::system::cancel::{Cancel, Cancelled};
use crate::system::digest::Hasher;
use crate::system::disk::{self, Conversion, Disk};
use crate::system::exec;
use crate::system::wait::Deadline;

/// Options of `qemu-img`: zstd compression, two parallel writes, in any order.
///
/// Debian 12 of 447 MiB: seconds of CPU to write, MiB, seconds of CPU to read. Uncompressed 2.3,
/// 447, 0.1; zlib 23.9, 152, 2.3; zstd 6.2, 148, 1.3. So zstd is as small as zlib at a quarter of
/// the cost. QEMU before 5.1 cannot read it; there `qemu-img convert -c -O qcow2` makes a zlib
/// image.
const CONVERT: &[&str] = &["-O", "qcow2", "-o", "compression_type=zstd", "-c", "-m", "2", "-W"];

/// An image being created. Its name and ID are known from the start.
pub struct Staging<'a> {
    cx: &'a RunCx,
    name: &'a str,
    id: String,
    dir: PathBuf,
    deadline: Deadline,
}

impl<'a> Staging<'a> {
    pub async fn begin(cx: &'a RunCx, layout: &RunDirs, name: &'a str) -> Result<Self, CloudError> {
        let id = uuid::Uuid::new_v4().to_string();
        let dir = layout.0.work(&cx.run)?.join(format!("image-{id}"));
        layout.0.make(cx, &dir).await?;
        Ok(Self { cx, name, id, dir, deadline: cx.deadline() })
    }

    fn disk(&self) -> PathBuf {
        self.dir.join("disk.qcow2")
    }

    /// Writes `source`, including backing files, as one standalone disk.
    pub async fn convert(&self, source: &Path, format: Format) -> Result<(), CloudError> {
        let conversion = Conversion { from: source, format, to: &self.disk() };
        let cmd = disk::convert(&conversion, CONVERT, self.deadline.left()).mark(&self.cx.run);
        exec::output(&cmd, &self.cx.cancel)
            .await
            .map(drop)
            .map_err(convert_error(format!("convert {}", source.display())))
    }

    /// Copies a file unchanged, after checking its tables.
    pub async fn copy(&self, source: &Path) -> Result<(), CloudError> {
        let check = disk::check(source, self.deadline.left()).mark(&self.cx.run);
        exec::output(&check, &self.cx.cancel)
            .await
            .map_err(convert_error(format!("check {}", source.display())))?;
        let (from, to, stop) = (source.to_path_buf(), self.disk(), self.stop());
        stop.clone()
            .blocking(format!("copy {}", source.display()), move || {
                let mut new = File::create_new(&to)?;
                stop.pump(&from, |chunk| new.write_all(chunk))
            })
            .await
    }

    /// Writes a disk as it is.
    #[cfg(test)]
    pub fn put(&self, disk: &[u8]) -> io::Result<()> {
        std::fs::write(self.disk(), disk)
    }

    /// Writes the description, syncs everything, and moves it into the store as a staged image.
    pub async fn finish(self, store: &Store) -> Result<Image, CloudError> {
        let disk = self.disk();
        let Disk { virtual_size, .. } = disk::inspect_as(&disk, Some(Format::Qcow2))
            .map_err(|why| CloudError::refused(disk.display().to_string(), why))?;
        self.cx.events.doing("syncing the image and taking its checksum");
        let (size, checksum) = self.digest().await?;
        let image = Image {
            id: self.id.clone(),
            name: self.name.into(),
            family: String::new(),
            state: State::Staged,
            created: jiff::Timestamp::now(),
            size,
            virtual_size,
            checksum,
            properties: [
                (image::RUN.into(), self.cx.run.clone()),
                (image::IMAGE_ID.into(), self.id.clone()),
            ]
            .into(),
            tags: Vec::new(),
            min_disk_gib: virtual_size.div_ceil(GIB),
            min_ram_mib: 0,
            visibility: Visibility::Private,
            protected: false,
            hidden: false,
            stranger: None,
            unusable: None,
        };
        store::write_description(&self.dir, &image)
            .map_err(CloudError::io(format!("describe image {}", self.id)))?;
        self.cx.cancel.check()?;
        let taken = || async {
            let what = format!("take image {} in", self.id);
            match store.take(&self.dir, &self.id) {
                // It fails after the rename as well, and the image is the run's then.
                Err(e) if store.get(&self.id).is_ok_and(|image| image.is_some()) => {
                    let text = format!("{what}: it is there, and may be lost by a crash: {e}");
                    self.cx.events.warn(text);
                }
                taken => taken.map_err(CloudError::io(what))?,
            }
            Ok::<_, CloudError>(Made { id: self.id.clone(), value: () })
        };
        self.cx.ledger.own(Kind::Image, self.name, taken).await?;
        store.need(&self.id)
    }

    async fn digest(&self) -> Result<(u64, String), CloudError> {
        let (disk, stop) = (self.disk(), self.stop());
        stop.clone()
            .blocking(format!("checksum of {}", disk.display()), move || {
                // qemu-img and the machine before it wrote without syncing: here is where it must
                // be on the disk.
                File::open(&disk)?.sync_all()?;
                let (mut sum, mut size) = (Hasher::new(Algorithm::Sha512), 0);
                stop.pump(&disk, |chunk| {
                    sum.update(chunk);
                    size += chunk.len() as u64;
                    Ok(())
                })?;
                Ok((size, sum.finish().hex))
            })
            .await
    }

    fn stop(&self) -> Stop {
        Stop { cancel: self.cx.cancel.clone(), deadline: self.deadline }
    }
}

/// Conditions that interrupt file work.
#[derive(Clone)]
struct Stop {
    cancel: Cancel,
    deadline: Deadline,
}

impl Stop {
    /// Runs file work on a thread of its own.
    async fn blocking<T, W>(self, what: String, work: W) -> Result<T, CloudError>
    where
        T: Send + 'static,
        W: FnOnce() -> io::Result<T> + Send + 'static,
    {
        let done =
            tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(io::Error::other(e)));
        done.map_err(|e| match e.kind() {
            io::ErrorKind::Interrupted => CloudError::Cancelled(Cancelled),
            io::ErrorKind::TimedOut => CloudError::Deadline { what, after: self.deadline.total() },
            _ => CloudError::io(what)(e),
        })
    }

    /// Reads a whole file. Fails with `Interrupted` on cancellation and `TimedOut` at the deadline.
    fn pump(&self, from: &Path, mut to: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut file = File::open(from)?;
        let mut chunk = vec![0; 1 << 20];
        loop {
            self.cancel.check().map_err(|e| io::Error::new(io::ErrorKind::Interrupted, e))?;
            if self.deadline.has_passed() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            match file.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(n) => to(&chunk[..n])?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
}
