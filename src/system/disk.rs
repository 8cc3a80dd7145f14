//! Disk image files: inspects headers before any tool opens them, and builds the commands of the
//! tools.
//!
//! A qcow2 can name other files of this host as its backing or data file, and a tool that guesses
//! formats would follow. A header can also request tables of any size. Sources:
//! docs/interop/qcow2.rst of QEMU; the limits are those of its `block/qcow2.h`.
use crate::model::format::Format;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use crate::system::exec::{Cmd, Limits};

#[cfg(test)]
pub mod tests;

/// Result of inspecting a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    pub format: Format,
    /// Size of the virtual disk, in bytes.
    pub virtual_size: u64,
    /// Usable as it is. Otherwise it has internal snapshots, which an image must not carry.
    pub plain: bool,
}

/// Largest accepted disk, in bytes.
pub const LARGEST: u64 = 2 << 40;

const DIRTY: u64 = 1;
const CORRUPT: u64 = 1 << 1;
const EXTERNAL_DATA: u64 = 1 << 2;
const COMPRESSION: u64 = 1 << 3;
const EXTENDED_L2: u64 = 1 << 4;

/// Detects the format from the content, never from the name. The error says why the file cannot be
/// an image, and what to do.
pub fn inspect(path: &Path) -> Result<Disk, String> {
    let read = |e: std::io::Error| format!("cannot be read: {e}");
    let mut file = File::open(path).map_err(read)?;
    let size = file.metadata().map_err(read)?.len();
    let mut head = Vec::new();
    file.by_ref().take(512).read_to_end(&mut head).map_err(read)?;
    if head.starts_with(b"QFI\xfb") {
        return qcow2(&head, size);
    }
    let mut end = Vec::new();
    file.seek(SeekFrom::Start(size.saturating_sub(512)))
        .and_then(|_| file.read_to_end(&mut end))
        .map_err(read)?;
    for (name, found) in [
        ("VMDK", head.starts_with(b"KDMV") || head.starts_with(b"# Disk DescriptorFile")),
        ("VHD", head.starts_with(b"conectix") || end.starts_with(b"conectix")),
        ("VHDX", head.starts_with(b"vhdxfile")),
        ("VDI", head.get(0x40..0x44) == Some(&[0x7f, 0x10, 0xda, 0xbe])),
    ] {
        if found {
            return Err(format!("is a {name} image: convert it with `qemu-img convert -O qcow2`"));
        }
    }
    for (name, magic) in [
        ("xz", &b"\xfd7zXZ\0"[..]),
        ("gzip", b"\x1f\x8b"),
        ("zstd", b"\x28\xb5\x2f\xfd"),
        ("bzip2", b"BZh"),
    ] {
        if head.starts_with(magic) {
            return Err(format!("is compressed with {name}: unpack it first"));
        }
    }
    // A master or protective boot record ends so. Without it the file is anything, a web page with
    // an error for one.
    if head.get(510..512) != Some(&[0x55, 0xaa]) {
        return Err("is neither a qcow2 image nor a disk with a boot sector".into());
    }
    let virtual_size = fitting(size.next_multiple_of(512))?;
    Ok(Disk { format: Format::Raw, virtual_size, plain: true })
}

/// [`inspect`], and checks the format against the declared one.
pub fn inspect_as(path: &Path, declared: Option<Format>) -> Result<Disk, String> {
    let disk = inspect(path)?;
    match declared.filter(|format| *format != disk.format) {
        Some(format) => Err(format!(
            "is {}, and not {} as `source.format` says",
            disk.format.name(),
            format.name()
        )),
        None => Ok(disk),
    }
}

fn fitting(virtual_size: u64) -> Result<u64, String> {
    match virtual_size {
        0 => Err("is a disk of no size".into()),
        1..=LARGEST => Ok(virtual_size),
        _ => Err(format!(
            "is a disk of {} GiB: at most {} are taken",
            virtual_size >> 30,
            LARGEST >> 30
        )),
    }
}

/// The qcow2 header fields that QEMU uses before it reads data.
struct Header<'a>(&'a [u8]);

impl Header<'_> {
    fn u32(&self, at: usize) -> Result<u32, String> {
        let bytes = self.0.get(at..at + 4).ok_or("is a qcow2 image cut off in its header")?;
        Ok(u32::from_be_bytes(bytes.try_into().expect("four bytes")))
    }

    fn u64(&self, at: usize) -> Result<u64, String> {
        Ok(u64::from(self.u32(at)?) << 32 | u64::from(self.u32(at + 4)?))
    }
}

fn hostile<T>(what: String) -> Result<T, String> {
    Err(format!("is a qcow2 image with a header that makes no sense: {what}"))
}

/// Judges the header of a qcow2 image in a file of `size` bytes.
fn qcow2(head: &[u8], size: u64) -> Result<Disk, String> {
    let header = Header(head);
    let version = header.u32(4)?;
    if !(2..=3).contains(&version) {
        return Err(format!("is a qcow2 image of version {version}: 2 and 3 are known"));
    }
    let (incompatible, refcount_order, length) = match version {
        2 => (0, 4, 72),
        _ => (header.u64(72)?, header.u32(96)?, header.u32(100)?),
    };
    standalone(&header, incompatible)?;
    let cluster_bits = header.u32(20)?;
    if !(9..=21).contains(&cluster_bits) {
        return hostile(format!("clusters of 2^{cluster_bits} bytes"));
    }
    let cluster = 1u64 << cluster_bits;
    if version == 3 && (length < 104 || !length.is_multiple_of(8) || u64::from(length) > cluster) {
        return hostile(format!("a header of {length} bytes"));
    }
    if incompatible & COMPRESSION != 0
        && (length < 112 || header.0.get(104).is_none_or(|kind| *kind > 1))
    {
        return Err("is a qcow2 image compressed in a way that is not known here".into());
    }
    if refcount_order > 6 {
        return hostile(format!("reference counts of 2^{refcount_order} bits"));
    }
    let virtual_size = fitting(header.u64(24)?)?;
    // A table of the second level is one cluster, of entries of 8 bytes (16 with subclusters), one
    // for each cluster of the disk.
    let entry = if incompatible & EXTENDED_L2 != 0 { 16 } else { 8 };
    let needed = virtual_size.div_ceil(cluster * (cluster / entry));
    tables(&header, size, cluster, needed)?;
    let snapshots = header.u32(60)?;
    if snapshots > 65536 {
        return hostile(format!("{snapshots} snapshots"));
    }
    Ok(Disk { format: Format::Qcow2, virtual_size, plain: snapshots == 0 })
}

/// Whether the image is whole in itself, and its features are known.
fn standalone(header: &Header<'_>, incompatible: u64) -> Result<(), String> {
    if header.u64(8)? != 0 {
        return Err(
            "has a backing file: make it standalone with `qemu-img convert -O qcow2`".into()
        );
    }
    if incompatible & EXTERNAL_DATA != 0 {
        return Err(
            "keeps its data in another file: make it standalone with `qemu-img convert -O qcow2`"
                .into(),
        );
    }
    if header.u32(32)? != 0 {
        return Err("is encrypted".into());
    }
    if incompatible & (DIRTY | CORRUPT) != 0 {
        return Err("was not closed or is corrupt: try `qemu-img check -r all`".into());
    }
    if incompatible & !(COMPRESSION | EXTENDED_L2) != 0 {
        return Err("is a qcow2 image with features that are not known here".into());
    }
    Ok(())
}

/// Whether the tables lie in the file, and the first has the `needed` entries.
fn tables(header: &Header<'_>, size: u64, cluster: u64, needed: u64) -> Result<(), String> {
    let l1 = u64::from(header.u32(36)?);
    if l1 < needed || l1 * 8 > 32 << 20 {
        return hostile(format!("a table of {l1} entries for a disk that needs {needed}"));
    }
    let refcounts = u64::from(header.u32(56)?) * cluster;
    if refcounts == 0 || refcounts > 8 << 20 {
        return hostile(format!("a table of reference counts of {refcounts} bytes"));
    }
    for (what, at, bytes) in [
        ("its first table", header.u64(40)?, l1 * 8),
        ("its reference counts", header.u64(48)?, refcounts),
    ] {
        if at == 0 || !at.is_multiple_of(cluster) {
            return hostile(format!("{what} is at {at}"));
        }
        if at.checked_add(bytes).is_none_or(|end| end > size) {
            return Err(format!(
                "is a qcow2 image cut off: {what} should be at {at}, and the file has {size} bytes"
            ));
        }
    }
    Ok(())
}

/// Address-space limit of tools that read untrusted images.
const ADDRESS_SPACE: u64 = 4 << 30;
/// CPU limit for reading an image's tables; the largest accepted one needs a few seconds.
const CHECK_CPU: Duration = Duration::from_secs(300);

/// Command that checks the tables of a qcow2, which may be truncated. Paths must be absolute here
/// and below, because `qemu-img` treats `nbd:` and the like as protocols.
pub fn check(file: &Path, deadline: Duration) -> Cmd {
    let limits = Limits {
        address_space: Some(ADDRESS_SPACE),
        cpu: Some(CHECK_CPU),
        file_size: Some(0),
        ..Limits::default()
    };
    Cmd::new("qemu-img", deadline).args(["check", "-q", "-f", "qcow2"]).arg(file).limits(limits)
}

/// An image to be rewritten, and where to.
pub struct Conversion<'a> {
    pub from: &'a Path,
    /// Format of `from`, because `qemu-img` must not guess.
    pub format: Format,
    pub to: &'a Path,
}

/// Command that rewrites an image, with the options `how`.
/// Compression takes long, so only the deadline limits it. A small image may expand to a large one,
/// so output stops at the disk's floor.
pub fn convert(conversion: &Conversion<'_>, how: &[&str], deadline: Duration) -> Cmd {
    let Conversion { from, format, to } = *conversion;
    let limits =
        Limits { address_space: Some(ADDRESS_SPACE), file_size: room(to), ..Limits::default() };
    let cmd = Cmd::new("qemu-img", deadline)
        .args(["convert", "-f", format.name()])
        .args(how.iter().copied());
    cmd.arg(from).arg(to).limits(limits)
}

/// Capacity of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes available to this user.
    pub free: u64,
    pub total: u64,
}

const MIB: u64 = 1 << 20;

/// Bytes of a file system of `total` bytes that untrusted data must leave free for the factory's
/// own records: 2 %, at least 1 GiB and at most 4 GiB; 10 % of a file system below 10 GiB.
pub fn floor(total: u64) -> u64 {
    (total / 50).clamp(1024 * MIB, 4096 * MIB).min(total / 10)
}

/// Bytes that can be written at `path` before the floor is reached; `path` need not exist yet.
/// `None` if the file system cannot be queried.
pub fn room(path: &Path) -> Option<u64> {
    space(path).map(|space| space.free.saturating_sub(floor(space.total)))
}

/// Capacity of the file system that holds `path`, or will hold it.
pub fn space(path: &Path) -> Option<Space> {
    let there = path.ancestors().find(|p| p.exists())?;
    let name = std::ffi::CString::new(there.as_os_str().as_bytes()).ok()?;
    let mut stat = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: `name` ends with a zero byte, `stat` has room for the answer and is read only if the
    // call filled it.
    let stat = unsafe {
        if libc::statvfs(name.as_ptr(), stat.as_mut_ptr()) != 0 {
            return None;
        }
        stat.assume_init()
    };
    Some(Space { free: stat.f_bavail * stat.f_frsize, total: stat.f_blocks * stat.f_frsize })
}
