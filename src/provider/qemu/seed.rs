//! The config drive: a FAT image from which cloud-init reads the machine's metadata, in Nova's
//! layout.
//!
//! A disk, not a CD-ROM: a virtio-only initramfs shows `sr0` too late for cloud-init's generator.
//! Sources: docs.openstack.org/nova, "Config drives"; cloud-init's `ConfigDrive` data source.
use std::io::{self, Cursor, Write};
use std::path::Path;

use fatfs::{FileSystem, FormatVolumeOptions, FsOptions};
use serde_json::json;

/// Metadata of a machine.
pub struct Seed<'a> {
    /// Unique per machine: cloud-init treats a known one as a reboot and keeps host keys and other
    /// state.
    pub uuid: &'a str,
    pub name: &'a str,
    pub user_data: &'a str,
}

/// Label by which cloud-init finds the drive, in upper or lower case.
const LABEL: [u8; 11] = *b"config-2   ";

/// Bytes for the FATs, directories and meta_data.json, besides the user-data.
const ROOM: usize = 1 << 20;

impl Seed<'_> {
    /// Writes the image to `path`, readable only by the owner: user-data contains the machine's
    /// private host key.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        use std::os::unix::fs::OpenOptionsExt;
        let image = self.image()?;
        std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?
            .write_all(&image)
    }

    fn image(&self) -> io::Result<Vec<u8>> {
        let size = (self.user_data.len() + ROOM).next_multiple_of(1 << 20);
        let mut disk = Cursor::new(vec![0; size]);
        fatfs::format_volume(&mut disk, FormatVolumeOptions::new().volume_label(LABEL))?;
        {
            let fs = FileSystem::new(&mut disk, FsOptions::new())?;
            let latest = fs.root_dir().create_dir("openstack")?.create_dir("latest")?;
            let meta = json!({
                "uuid": self.uuid,
                "name": self.name,
                "hostname": self.name,
                "launch_index": 0,
                "availability_zone": "local",
                "meta": {},
            });
            // No network_data.json: without one cloud-init asks DHCP on the first interface, which
            // is what QEMU offers.
            for (name, text) in
                [("meta_data.json", meta.to_string().as_str()), ("user_data", self.user_data)]
            {
                let mut file = latest.create_file(name)?;
                file.write_all(text.as_bytes())?;
                file.flush()?;
            }
        }
        Ok(disk.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn read(image: Vec<u8>, path: &str) -> String {
        let fs = FileSystem::new(Cursor::new(image), FsOptions::new()).unwrap();
        let mut text = String::new();
        fs.root_dir().open_file(path).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn reads_back() {
        let long = format!("#cloud-config\n# {}\n", "x".repeat(3 << 20));
        for user_data in ["#cloud-config\n{}\n", "", &long] {
            let image =
                Seed { uuid: "u-1", name: "factory-r1-builder", user_data }.image().unwrap();
            let fs = FileSystem::new(Cursor::new(image.clone()), FsOptions::new()).unwrap();
            assert_eq!(fs.read_volume_label_from_root_dir().unwrap().as_deref(), Some("config-2"));
            assert_eq!(fs.volume_label(), "config-2");
            assert_eq!(read(image.clone(), "openstack/latest/user_data"), user_data);
            let meta: serde_json::Value =
                serde_json::from_str(&read(image, "openstack/latest/meta_data.json")).unwrap();
            assert_eq!(
                (meta["uuid"].as_str(), meta["hostname"].as_str()),
                (Some("u-1"), Some("factory-r1-builder"))
            );
        }
    }

    #[test]
    fn is_the_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seed.img");
        let seed = Seed { uuid: "u", name: "n", user_data: "" };
        seed.write(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(seed.write(&path).is_err(), "never over another machine's");
    }
}
