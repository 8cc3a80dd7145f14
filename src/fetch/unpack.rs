//! Decompresses xz, gzip and zstd into a file of the run. Detects the format by the first bytes.
//! Limits the output, because a small file may expand without end. Blocks of zeros become holes.
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::task::spawn_blocking;

use super::partial_file::Progress;
use super::{FetchError, TransferContext};
use crate::system::disk;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    Xz,
    Gzip,
    Zstd,
}

/// Maximum unpacked size in bytes, holes included.
pub const LARGEST: u64 = 1 << 40;
/// Memory limit of a decoder, in bytes. xz -9 needs 65 MiB; zstd 128 MiB without `--long`.
const MEMORY: u64 = 256 << 20;
const ZSTD_WINDOW_LOG: u32 = 27;
/// Bytes between two checks of free space; other programs write to the disk too.
const LOOK: u64 = 8 << 20;
const BLOCK: usize = 64 << 10;

/// Compression format; `None` if not compressed, or in an unknown format.
pub fn packing(path: &Path) -> Result<Option<Packing>, FetchError> {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(6).read_to_end(&mut head));
    read.map_err(FetchError::io("read", path))?;
    let known = [
        (Packing::Xz, &b"\xfd7zXZ\0"[..]),
        (Packing::Gzip, b"\x1f\x8b"),
        (Packing::Zstd, b"\x28\xb5\x2f\xfd"),
    ];
    Ok(known.into_iter().find(|(_, magic)| head.starts_with(magic)).map(|(packing, _)| packing))
}

/// Unpacks `from` into the new file `to`. Removes `to` on failure.
pub async fn unpack(
    from: &Path,
    packing: Packing,
    to: &Path,
    job: &TransferContext,
) -> Result<(), FetchError> {
    // If the free space is unknown, the write fails when the disk is full.
    let limit = OutputLimit { virtually: LARGEST, really: disk::room(to).unwrap_or(u64::MAX) };
    unpack_into(&Packed { path: from, packing }, to, limit, job).await
}

/// A compressed file.
struct Packed<'a> {
    path: &'a Path,
    packing: Packing,
}

/// Output limits.
#[derive(Clone, Copy)]
struct OutputLimit {
    virtually: u64,
    /// Bytes without holes.
    really: u64,
}

async fn unpack_into(
    from: &Packed<'_>,
    to: &Path,
    limit: OutputLimit,
    job: &TransferContext,
) -> Result<(), FetchError> {
    let (source, packing, job) = (from.path.to_owned(), from.packing, job.clone());
    let target = to.to_owned();
    let work = move || {
        let new = File::create_new(&target).map_err(FetchError::io("write", &target))?;
        let mut output =
            Output { file: new, path: &target, limit, length: 0, written: 0, looked: 0 };
        let done = output.fill_from(&Packed { path: &source, packing }, &job);
        if done.is_err() {
            // The directory belongs to the run, which deletes it in any case.
            let _ = std::fs::remove_file(&target);
        }
        done
    };
    spawn_blocking(work)
        .await
        .unwrap_or_else(|e| Err(FetchError::io("write", to)(io::Error::other(e))))
}

/// The unpacked file.
struct Output<'a> {
    file: File,
    path: &'a Path,
    limit: OutputLimit,
    /// Bytes so far, holes included.
    length: u64,
    /// Bytes so far, without holes.
    written: u64,
    /// `written` at the last check of free space.
    looked: u64,
}

impl Output<'_> {
    fn fill_from(&mut self, from: &Packed<'_>, job: &TransferContext) -> Result<(), FetchError> {
        let shown = from.path.display().to_string();
        let open = File::open(from.path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (of, file) = open.map_err(FetchError::io("read", from.path))?;
        let taken = Arc::new(AtomicU64::new(0));
        let packed =
            |e: io::Error| FetchError::Packed { what: shown.clone(), reason: e.to_string() };
        let input = BufReader::with_capacity(1 << 20, Counted(file, taken.clone()));
        let mut decoder = decoder(input, from.packing).map_err(packed)?;
        let mut progress = Progress::new(job);
        let mut block = vec![0; BLOCK];
        loop {
            job.check(&shown)?;
            let filled = fill(&mut *decoder, &mut block).map_err(packed)?;
            self.append(&block[..filled]).map_err(|error| match error {
                WriteError::Io(e) => FetchError::io("write", self.path)(e),
                WriteError::TooLarge(bytes, reason) => {
                    FetchError::TooLarge { what: format!("{shown}, unpacked,"), bytes, reason }
                }
            })?;
            progress.tell(taken.load(Relaxed), of);
            if filled < BLOCK {
                break;
            }
        }
        // A hole at the end exists only once the length is set.
        self.file.set_len(self.length).map_err(FetchError::io("write", self.path))
    }

    /// Writes a block, or skips one of zeros.
    fn append(&mut self, data: &[u8]) -> Result<(), WriteError> {
        self.length += data.len() as u64;
        if self.length > self.limit.virtually {
            let reason = format!("at most {} are taken", self.limit.virtually);
            return Err(WriteError::TooLarge(self.length, reason));
        }
        if data.iter().all(|b| *b == 0) {
            self.file.seek(SeekFrom::Current(data.len() as i64)).map_err(WriteError::Io)?;
            return Ok(());
        }
        self.written += data.len() as u64;
        let look = self.written - self.looked >= LOOK;
        if look {
            self.looked = self.written;
        }
        if self.written > self.limit.really || look && disk::room(self.path) == Some(0) {
            let reason = format!("only {} may be written", self.limit.really);
            return Err(WriteError::TooLarge(self.written, reason));
        }
        self.file.write_all(data).map_err(WriteError::Io)
    }
}

/// Why a block was not written.
enum WriteError {
    Io(io::Error),
    /// Bytes, and the limit.
    TooLarge(u64, String),
}

fn decoder<'a>(from: BufReader<Counted>, packing: Packing) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match packing {
        Packing::Xz => {
            let stream =
                liblzma::stream::Stream::new_stream_decoder(MEMORY, liblzma::stream::CONCATENATED)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(from, stream))
        }
        Packing::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(from)),
        Packing::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(from)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
    })
}

/// Fills the block; returns fewer bytes only at the end of the input.
fn fill(from: &mut dyn Read, block: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < block.len() {
        match from.read(&mut block[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

/// Counts the bytes read.
struct Counted(File, Arc<AtomicU64>);

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.0.read(buffer)?;
        self.1.fetch_add(n as u64, Relaxed);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::model::event::Events;
    use crate::system::cancel::Cancel;

    const PLENTY: OutputLimit = OutputLimit { virtually: LARGEST, really: LARGEST };

    fn job() -> TransferContext {
        TransferContext::new(
            &Events::default(),
            &Cancel::default(),
            std::time::Duration::from_secs(60),
        )
    }

    /// Four MiB of nothing between two lines, and an odd length.
    fn content() -> Vec<u8> {
        [b"begin".to_vec(), vec![0; 4 << 20], b"end".to_vec(), vec![0; 1000]].concat()
    }

    fn packed(packing: Packing, content: &[u8]) -> Vec<u8> {
        match packing {
            Packing::Xz => liblzma::encode_all(content, 6).unwrap(),
            Packing::Zstd => zstd::encode_all(content, 3).unwrap(),
            Packing::Gzip => {
                let mut encoder =
                    flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(content).unwrap();
                encoder.finish().unwrap()
            }
        }
    }

    const ALL: [Packing; 3] = [Packing::Xz, Packing::Gzip, Packing::Zstd];

    #[tokio::test]
    async fn what_was_packed_comes_out_with_holes() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        for kind in ALL {
            // Two streams one after another are one file, as each of the programs has it.
            std::fs::write(&from, [packed(kind, &content()), packed(kind, b"more")].concat())
                .unwrap();
            assert_eq!(packing(&from).unwrap(), Some(kind));
            unpack_into(&Packed { path: &from, packing: kind }, &to, PLENTY, &job()).await.unwrap();
            assert!(
                std::fs::read(&to).unwrap() == [content(), b"more".to_vec()].concat(),
                "{kind:?}"
            );
            assert!(to.metadata().unwrap().blocks() * 512 < 1 << 20, "{kind:?} has no holes");
            std::fs::remove_file(&to).unwrap();
        }
        std::fs::write(&from, "plain").unwrap();
        assert_eq!(packing(&from).unwrap(), None);
    }

    #[tokio::test]
    async fn damage_is_told_and_nothing_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        for kind in ALL {
            let noise: Vec<u8> =
                (0..100_000u32).flat_map(|n| n.wrapping_mul(0x9e37_79b9).to_le_bytes()).collect();
            let whole = packed(kind, &noise);
            let mut changed = whole.clone();
            changed[whole.len() / 2] ^= 0x55;
            for (what, bytes) in [("cut", &whole[..whole.len() / 2]), ("changed", &changed[..])] {
                std::fs::write(&from, bytes).unwrap();
                let said =
                    unpack_into(&Packed { path: &from, packing: kind }, &to, PLENTY, &job()).await;
                // zstd's default has no checksum of its content: what is changed there the checksum
                // of the whole file tells.
                assert!(
                    matches!(said, Err(FetchError::Packed { .. }))
                        || (kind, what) == (Packing::Zstd, "changed"),
                    "{kind:?} {what}: {said:?}"
                );
                assert!(said.is_ok() || !to.exists(), "{kind:?} {what}");
                let _ = std::fs::remove_file(&to);
            }
        }
    }

    #[tokio::test]
    async fn bombs_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        for kind in ALL {
            std::fs::write(&from, packed(kind, &content())).unwrap();
            let small = OutputLimit { virtually: 1 << 20, ..PLENTY };
            let said = unpack_into(&Packed { path: &from, packing: kind }, &to, small, &job())
                .await
                .unwrap_err();
            assert!(
                said.to_string().contains("at most 1048576 are taken") && !to.exists(),
                "{said}"
            );
            std::fs::write(&from, packed(kind, &vec![1; 2 << 20])).unwrap();
            let full = OutputLimit { really: 1 << 20, ..PLENTY };
            let said = unpack_into(&Packed { path: &from, packing: kind }, &to, full, &job())
                .await
                .unwrap_err();
            assert!(
                said.to_string().contains("only 1048576 may be written") && !to.exists(),
                "{said}"
            );
        }
    }

    #[tokio::test]
    async fn it_ends_when_the_run_does() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        std::fs::write(&from, packed(Packing::Gzip, &content())).unwrap();
        let job = job();
        job.cancel.signal();
        assert!(matches!(
            unpack_into(&Packed { path: &from, packing: Packing::Gzip }, &to, PLENTY, &job).await,
            Err(FetchError::Cancelled(_))
        ));
        assert!(!to.exists());
    }
}
