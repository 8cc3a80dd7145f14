//! The config drive: a FAT image, made in process, from which cloud-init reads who the machine is.
//! Same layout as Nova's.
//!
//! It is a disk and not a CD-ROM: an initramfs for virtio only shows `sr0` too late for
//! cloud-init's generator. Source: docs.openstack.org/nova, "Config drives"; cloud-init's
//! `ConfigDrive` data source.
use std::io::{self, Cursor, Write};
use std::path::Path;

use fatfs::{FileSystem, FormatVolumeOptions, FsOptions};
use serde_json::json;

/// What the machine is told.
pub struct Seed<'a> {
    /// New for every machine: cloud-init takes a known one for a reboot and keeps host keys and the
    /// like.
    pub uuid: &'a str,
    pub name: &'a str,
    pub user_data: &'a str,
}

/// Label by which cloud-init finds the drive. FAT keeps it in upper case or as given; both are
/// looked for.
const LABEL: [u8; 11] = *b"config-2   ";

/// Room beside the user-data: the two FATs, the directories, meta_data.json.
const ROOM: usize = 1 << 20;

impl Seed<'_> {
    /// Writes the image to `path`, readable by the owner alone: user-data carries the host's
    /// private key.
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
