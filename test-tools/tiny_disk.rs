//! The smallest machine: what the contract of a cloud is tried with.
use std::path::{Path, PathBuf};

/// Where the text stands in the boot sector, behind the code.
const TEXT: usize = 0x36;

/// A disk whose boot sector writes "READY" to the serial port, waits for the ACPI power button and
/// powers off.
pub fn tiny_disk(dir: &Path) -> PathBuf {
    tiny_disk_saying(dir, "READY\r\n")
}

/// The same with other words, of 450 bytes at most.
pub fn tiny_disk_saying(dir: &Path, text: &str) -> PathBuf {
    #[rustfmt::skip]
    const CODE: &[u8] = &[
        0xfa, 0x31, 0xc0, 0x8e, 0xd8,       // cli; ds = 0
        0xbe, 0x36, 0x7c,                   // si = text
        0xac, 0x84, 0xc0, 0x74, 0x06,       // next: al = [si++]; if it is 0, on to `wait`
        0xba, 0xf8, 0x03, 0xee, 0xeb, 0xf5, // COM1 = al; jmp next
        0xba, 0x02, 0x06, 0xb8, 0x00, 0x01, 0xef, // PM1_EN (0x602): power button
        // wait until PM1_STS (0x600) shows it
        0xba, 0x00, 0x06, 0xed, 0xf6, 0xc4, 0x01, 0x75, 0x02, 0xeb, 0xf5,
        0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef, // PM1_CNT (0x604): sleep, type S5
        0xf4, 0xeb, 0xfd,                   // hlt for ever
    ];
    assert!(text.len() <= 450, "a boot sector has no room for {} bytes of text", text.len());
    let mut disk = vec![0; 1 << 20];
    disk[..CODE.len()].copy_from_slice(CODE);
    disk[TEXT..TEXT + text.len()].copy_from_slice(text.as_bytes());
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    let path = dir.join("tiny.img");
    std::fs::write(&path, disk).unwrap();
    path
}
