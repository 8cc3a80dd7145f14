//! Reads the backing file of a machine's disk from its header. Source: docs/interop/qcow2.txt of
//! QEMU.
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// How many disks may lie over one another.
pub const DEEPEST: usize = 64;

/// Backing file of a disk. `None` if it has none, or the disk does not exist (yet).
pub fn backing(path: &Path) -> std::io::Result<Option<PathBuf>> {
    let mut file = match File::open(path) {
        Err(e)
            if matches!(
                e.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(None);
        }
        opened => opened?,
    };
    let mut head = [0; 20];
    if file.metadata()?.len() == 0 {
        return Ok(None);
    }
    file.read_exact(&mut head)?;
    if !head.starts_with(b"QFI\xfb") {
        return Err(std::io::Error::other("not a qcow2 image"));
    }
    let offset = u64::from_be_bytes(head[8..16].try_into().expect("eight bytes"));
    let length = u32::from_be_bytes(head[16..20].try_into().expect("four bytes"));
    if offset == 0 {
        return Ok(None);
    }
    // At most 1023 bytes, says the format.
    let mut name = vec![0; length.min(1023) as usize];
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(&mut name)?;
    Ok(Some(PathBuf::from(std::ffi::OsString::from_vec(name))))
}

/// Size of the disk that a qcow2 image holds, in bytes.
pub fn virtual_size(path: &Path) -> std::io::Result<u64> {
    let mut head = [0; 32];
    File::open(path)?.read_exact(&mut head)?;
    if !head.starts_with(b"QFI\xfb") {
        return Err(std::io::Error::other("not a qcow2 image"));
    }
    Ok(u64::from_be_bytes(head[24..32].try_into().expect("eight bytes")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(change: impl FnOnce(&mut [u8])) -> Vec<u8> {
        let mut h = vec![0u8; 512];
        h[..4].copy_from_slice(b"QFI\xfb");
        h[4..8].copy_from_slice(&3u32.to_be_bytes());
        change(&mut h);
        h
    }

    #[test]
    fn the_file_below_is_read_from_the_header() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("overlay.qcow2");
        assert_eq!(backing(&path).unwrap(), None);
        std::fs::write(&path, "").unwrap();
        assert_eq!(backing(&path).unwrap(), None);
        assert_eq!(backing(&path.join("below a file")).unwrap(), None);
        std::fs::write(&path, header(|_| ())).unwrap();
        assert_eq!(backing(&path).unwrap(), None);
        let named = header(|h| {
            h[8..16].copy_from_slice(&256u64.to_be_bytes());
            h[16..20].copy_from_slice(&5u32.to_be_bytes());
            h[256..261].copy_from_slice(b"/a/b\xff");
        });
        std::fs::write(&path, &named).unwrap();
        assert_eq!(backing(&path).unwrap().unwrap().as_os_str().as_encoded_bytes(), b"/a/b\xff");
        for bad in [&named[..10], b"something else, and longer than a header"] {
            std::fs::write(&path, bad).unwrap();
            assert!(backing(&path).is_err());
        }
    }
}
