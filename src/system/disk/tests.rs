//! Headers made by hand, sound and hostile, and images made by `qemu-img`.
use super::*;

/// A header as `qemu-img create` writes it for 3 GiB, with its tables behind it.
fn header(version: u32, change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut h = vec![0u8; 4 << 16];
    let mut put = |at: usize, bytes: &[u8]| h[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"QFI\xfb");
    put(4, &version.to_be_bytes());
    put(20, &16u32.to_be_bytes());
    put(24, &(3u64 << 30).to_be_bytes());
    put(36, &6u32.to_be_bytes());
    put(40, &(3u64 << 16).to_be_bytes());
    put(48, &(1u64 << 16).to_be_bytes());
    put(56, &1u32.to_be_bytes());
    if version == 3 {
        put(96, &4u32.to_be_bytes());
        put(100, &112u32.to_be_bytes());
    }
    change(&mut h);
    h
}

fn say(content: &[u8]) -> Result<Disk, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), content).unwrap();
    inspect(file.path())
}

fn raw() -> Vec<u8> {
    let mut raw = vec![0; 1000];
    raw[510..512].copy_from_slice(&[0x55, 0xaa]);
    raw
}

#[test]
fn good_ones() {
    let good = Disk { format: Format::Qcow2, virtual_size: 3 << 30, plain: true };
    assert_eq!(say(&header(2, |_| ())).unwrap(), good);
    assert_eq!(say(&header(3, |_| ())).unwrap(), good);
    assert_eq!(
        say(&header(3, |h| (h[79], h[104]) = (8, 1))).unwrap(),
        good,
        "compressed with zstd"
    );
    assert!(!say(&header(3, |h| h[63] = 1)).unwrap().plain);
    assert_eq!(say(&raw()).unwrap(), Disk { format: Format::Raw, virtual_size: 1024, plain: true });
}

#[test]
fn bad_ones_say_why() {
    for (content, why) in [
        (header(3, |h| h[15] = 1), "backing file"),
        (header(3, |h| h[79] = 4), "in another file"),
        (header(3, |h| h[79] = 1), "not closed"),
        (header(3, |h| h[79] = 32), "features"),
        (header(3, |h| (h[79], h[104]) = (8, 2)), "compressed in a way"),
        (header(2, |h| h[35] = 1), "encrypted"),
        (header(9, |_| ()), "version 9"),
        (header(3, |_| ())[..50].to_vec(), "cut off"),
        (header(3, |_| ())[..99].to_vec(), "cut off"),
        (header(3, |_| ())[..196_620].to_vec(), "cut off"),
        (b"<html>404</html>".to_vec(), "neither"),
        (b"\xfd7zXZ\0....".to_vec(), "xz"),
        (b"KDMV....".to_vec(), "VMDK"),
        (Vec::new(), "neither"),
    ] {
        let said = say(&content).unwrap_err();
        assert!(said.contains(why), "{said}");
    }
}

/// What would have QEMU allocate without measure, or read where there is nothing.
#[test]
fn hostile_headers_are_refused() {
    let put = |at: usize, value: &[u8]| {
        let value = value.to_vec();
        header(3, move |h| h[at..at + value.len()].copy_from_slice(&value))
    };
    for (content, why) in [
        (put(20, &8u32.to_be_bytes()), "2^8"),
        (put(20, &22u32.to_be_bytes()), "2^22"),
        (put(20, &u32::MAX.to_be_bytes()), "clusters"),
        (put(24, &0u64.to_be_bytes()), "no size"),
        (put(24, &(LARGEST + 512).to_be_bytes()), "2048 are taken"),
        (put(24, &u64::MAX.to_be_bytes()), "2048 are taken"),
        // Two TiB in clusters of 512 bytes: more entries than QEMU reads.
        (
            header(3, |h| {
                h[20..24].copy_from_slice(&9u32.to_be_bytes());
                h[24..32].copy_from_slice(&LARGEST.to_be_bytes());
            }),
            "that needs 67108864",
        ),
        (put(36, &5u32.to_be_bytes()), "5 entries for a disk that needs 6"),
        (put(36, &u32::MAX.to_be_bytes()), "4294967295 entries"),
        (put(40, &((3u64 << 16) + 1).to_be_bytes()), "is at 196609"),
        (put(40, &(u64::MAX << 16).to_be_bytes()), "cut off"),
        (put(48, &0u64.to_be_bytes()), "is at 0"),
        (put(56, &0u32.to_be_bytes()), "reference counts"),
        (put(56, &u32::MAX.to_be_bytes()), "reference counts"),
        (put(60, &u32::MAX.to_be_bytes()), "4294967295 snapshots"),
        (put(96, &7u32.to_be_bytes()), "2^7 bits"),
        (put(100, &96u32.to_be_bytes()), "header of 96"),
        (put(100, &u32::MAX.to_be_bytes()), "header of 4294967295"),
    ] {
        let said = say(&content).unwrap_err();
        assert!(said.contains(why), "{why}: {said}");
    }
}

#[test]
fn every_cut_of_a_header_is_an_error_and_no_panic() {
    let whole = header(3, |_| ());
    for length in 0..512 {
        assert!(say(&whole[..length]).is_err(), "{length}");
    }
}

#[test]
fn what_was_declared_counts() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), raw()).unwrap();
    assert!(
        inspect_as(file.path(), None).is_ok() && inspect_as(file.path(), Some(Format::Raw)).is_ok()
    );
    assert_eq!(
        inspect_as(file.path(), Some(Format::Qcow2)).unwrap_err(),
        "is raw, and not qcow2 as `source.format` says"
    );
    // A raw disk whose first bytes are a qcow2 header would be followed by whoever guesses:
    // declared raw, it is refused.
    std::fs::write(file.path(), header(3, |_| ())).unwrap();
    assert_eq!(
        inspect_as(file.path(), Some(Format::Raw)).unwrap_err(),
        "is qcow2, and not raw as `source.format` says"
    );
}

/// All that `qemu-img` makes is understood, whatever the size of its clusters.
#[test]
fn images_of_qemu_img_pass() {
    let dir = tempfile::tempdir().unwrap();
    for options in [
        "compat=0.10",
        "compat=1.1",
        "cluster_size=512",
        "cluster_size=2M",
        "extended_l2=on,cluster_size=128k",
        "compression_type=zstd",
    ] {
        for size in [1u64 << 20, 5 << 30] {
            let path = dir.path().join(format!("{options}-{size}"));
            let mut make = std::process::Command::new("qemu-img");
            let made = make
                .args(["create", "-q", "-f", "qcow2", "-o", options])
                .arg(&path)
                .arg(size.to_string())
                .status();
            assert!(
                made.expect("qemu-img is not installed: run `setup/dependencies run`").success(),
                "{options}"
            );
            assert_eq!(
                inspect(&path).unwrap(),
                Disk { format: Format::Qcow2, virtual_size: size, plain: true },
                "{options}"
            );
        }
    }
}

#[test]
fn this_machine_has_room() {
    assert!(space(Path::new("/tmp/not/there/yet")).unwrap().free > 0);
}

#[path = "../../../test-tools/small_disk.rs"]
pub mod small_disk;

#[test]
fn a_floor_is_kept_of_every_disk() {
    const GIB: u64 = 1 << 30;
    assert_eq!(floor(GIB), GIB / 10);
    assert_eq!(floor(20 * GIB), GIB);
    assert_eq!(floor(100 * GIB), 2 * GIB);
    assert_eq!(floor(10_000 * GIB), 4 * GIB);
    small_disk::on_small_disk(64, |dir| {
        let before = space(dir).unwrap();
        assert_eq!(before.total, 64 << 20);
        std::fs::write(dir.join("x"), vec![1; 60 << 20]).unwrap();
        assert!(room(dir) == Some(0) && space(dir).unwrap().free < floor(before.total));
    });
}

/// Ones that do not compress, said to be 60 MiB, to a disk of 64 of which 6.4 are the factory's
/// own.
#[test]
fn an_image_is_not_written_beyond_the_floor() {
    small_disk::on_small_disk(64, |dir| {
        let from = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(from.path(), vec![7; 62 << 20]).unwrap();
        let conversion = Conversion { from: from.path(), format: Format::Raw, to: &dir.join("to") };
        let cmd = convert(&conversion, &["-O", "raw"], Duration::from_secs(60));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let said = runtime
            .block_on(crate::system::exec::output(&cmd, &crate::system::cancel::Cancel::default()))
            .unwrap_err()
            .to_string();
        assert!(said.contains("killed by signal 25") || said.contains("File too large"), "{said}");
        assert!(space(dir).unwrap().free >= floor(64 << 20) - (1 << 20));
    });
}
