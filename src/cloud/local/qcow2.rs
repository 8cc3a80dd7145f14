//! What a disk image file says it is, read by ourselves before any tool opens it: a qcow2 may name other files of this
//! host as its backing or data file, and a tool that guesses formats would follow. Source: docs/interop/qcow2.txt of QEMU.
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `plain`: may be taken as it is; otherwise it has internal snapshots, which an image must not carry.
    Qcow2 { virtual_size: u64, plain: bool },
    /// A disk as a machine sees it, size in bytes.
    Raw { virtual_size: u64 },
}

const DIRTY: u64 = 1;
const CORRUPT: u64 = 1 << 1;
const EXTERNAL_DATA: u64 = 1 << 2;

/// Tells the format from the content, never from the name. An error says why the file cannot be an image, and what to do.
pub fn inspect(path: &Path) -> Result<Format, String> {
    let read = |e: std::io::Error| format!("cannot be read: {e}");
    let mut file = File::open(path).map_err(read)?;
    let size = file.metadata().map_err(read)?.len();
    let mut head = Vec::new();
    file.by_ref().take(512).read_to_end(&mut head).map_err(read)?;
    if head.starts_with(b"QFI\xfb") {
        return qcow2(&head);
    }
    let mut end = Vec::new();
    file.seek(SeekFrom::Start(size.saturating_sub(512))).and_then(|_| file.read_to_end(&mut end)).map_err(read)?;
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
    for (name, magic) in [("xz", &b"\xfd7zXZ\0"[..]), ("gzip", b"\x1f\x8b"), ("zstd", b"\x28\xb5\x2f\xfd"), ("bzip2", b"BZh")] {
        if head.starts_with(magic) {
            return Err(format!("is compressed with {name}: unpack it first"));
        }
    }
    // A master or protective boot record ends so. Without it the file is anything, a web page with an error for one.
    if head.get(510..512) != Some(&[0x55, 0xaa]) {
        return Err("is neither a qcow2 image nor a disk with a boot sector".into());
    }
    Ok(Format::Raw { virtual_size: size.next_multiple_of(512) })
}

fn qcow2(head: &[u8]) -> Result<Format, String> {
    let u32_at = |at: usize| head.get(at..at + 4).map(|b| u32::from_be_bytes(b.try_into().expect("four bytes")));
    let u64_at = |at: usize| head.get(at..at + 8).map(|b| u64::from_be_bytes(b.try_into().expect("eight bytes")));
    let fields = || Some((u32_at(4)?, u64_at(8)?, u64_at(24)?, u32_at(32)?, u32_at(60)?));
    let (version, backing, virtual_size, crypt, snapshots) = fields().ok_or("is a qcow2 image cut off in its header")?;
    let incompatible = match version {
        2 => 0,
        3 => u64_at(72).ok_or("is a qcow2 image cut off in its header")?,
        _ => return Err(format!("is a qcow2 image of version {version}: 2 and 3 are known")),
    };
    if backing != 0 {
        return Err("has a backing file: make it standalone with `qemu-img convert -O qcow2`".into());
    }
    if incompatible & EXTERNAL_DATA != 0 {
        return Err("keeps its data in another file: make it standalone with `qemu-img convert -O qcow2`".into());
    }
    if crypt != 0 {
        return Err("is encrypted".into());
    }
    if incompatible & (DIRTY | CORRUPT) != 0 {
        return Err("was not closed or is corrupt: try `qemu-img check -r all`".into());
    }
    Ok(Format::Qcow2 { virtual_size, plain: snapshots == 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(version: u32, change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
        let mut h = vec![0u8; 512];
        h[..4].copy_from_slice(b"QFI\xfb");
        h[4..8].copy_from_slice(&version.to_be_bytes());
        h[24..32].copy_from_slice(&(3u64 << 30).to_be_bytes());
        change(&mut h);
        h
    }

    fn say(content: &[u8]) -> Result<Format, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        inspect(file.path())
    }

    #[test]
    fn good_ones() {
        let good = Format::Qcow2 { virtual_size: 3 << 30, plain: true };
        assert_eq!(say(&header(2, |_| ())).unwrap(), good);
        assert_eq!(say(&header(3, |_| ())).unwrap(), good);
        assert!(matches!(say(&header(3, |h| h[63] = 1)).unwrap(), Format::Qcow2 { plain: false, .. }));
        let mut raw = vec![0; 1000];
        raw[510..512].copy_from_slice(&[0x55, 0xaa]);
        assert_eq!(say(&raw).unwrap(), Format::Raw { virtual_size: 1024 });
    }

    #[test]
    fn bad_ones_say_why() {
        for (content, why) in [
            (header(3, |h| h[15] = 1), "backing file"),
            (header(3, |h| h[79] = 4), "in another file"),
            (header(3, |h| h[79] = 1), "not closed"),
            (header(2, |h| h[35] = 1), "encrypted"),
            (header(9, |_| ()), "version 9"),
            (header(3, |_| ())[..50].to_vec(), "cut off"),
            (b"<html>404</html>".to_vec(), "neither"),
            (b"\xfd7zXZ\0....".to_vec(), "xz"),
            (b"KDMV....".to_vec(), "VMDK"),
            (Vec::new(), "neither"),
        ] {
            let said = say(&content).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }
}
