//! Mitogen, which plays Ansible's tasks in one process on the machine: where it is installed, and
//! whether it fits the Ansible of this machine. Nothing of it runs here.
use std::path::{Path, PathBuf};

use super::{Wall, WallError};
use crate::settings::Accelerator;
use crate::system::cancel::Cancel;
use crate::system::reading;

/// Where `setup/dependencies` installs it, apart from Python's own packages.
const DIR: &str = "/usr/local/lib/image-factory/mitogen";
/// Versions of Mitogen from this one on are used: older ones are untried here.
const OLDEST: [u32; 3] = [0, 3, 54];
/// Versions of ansible-core, 2.x, with which that one is used: from the first that Mitogen supports
/// to the last that was tried.
const CORES: std::ops::RangeInclusive<u32> = 10..=21;
/// Size limit of the file that has its version.
const MAX_BYTES: u64 = 1 << 20;

/// An installed Mitogen that fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mitogen {
    /// Holds its Python packages. No link.
    pub dir: PathBuf,
    /// As in `0.3.54`.
    pub version: String,
}

impl Wall {
    /// The Mitogen for playbooks; `None` if the owner has none or wants none. The inner error is
    /// why it is not used.
    pub async fn mitogen(
        &self,
        cancel: &Cancel,
    ) -> Result<Option<Result<Mitogen, String>>, WallError> {
        let dir = match &self.settings().ansible.accelerator {
            Accelerator::Off => return Ok(None),
            Accelerator::Auto if !Path::new(DIR).is_dir() => return Ok(None),
            Accelerator::Auto => Path::new(DIR),
            Accelerator::At(dir) => dir,
        };
        let ansible = self.ansible(cancel).await?.version.as_deref().unwrap_or("unknown");
        Ok(Some(fitting(dir, ansible)))
    }
}

impl Mitogen {
    /// Directory of the strategies by which Ansible uses it.
    pub fn strategies(&self) -> PathBuf {
        self.dir.join("ansible_mitogen/plugins/strategy")
    }
}

fn fitting(dir: &Path, ansible: &str) -> Result<Mitogen, String> {
    let absent = |what: std::fmt::Arguments<'_>| format!("there is no Mitogen in {what}");
    let dir = dir.canonicalize().map_err(|e| absent(format_args!("{}: {e}", dir.display())))?;
    let text = reading::text(&dir.join("mitogen/__init__.py"), MAX_BYTES)
        .map_err(|e| absent(format_args!("{}: {e}", dir.display())))?;
    let Some(numbers) = version(&text) else {
        return Err(format!("the Mitogen in {} does not say its version", dir.display()));
    };
    let version = numbers.map(|n| n.to_string()).join(".");
    if numbers < OLDEST {
        let oldest = OLDEST.map(|n| n.to_string()).join(".");
        return Err(format!("Mitogen {version} is older than {oldest}"));
    }
    let core = ansible.strip_prefix("2.").and_then(|rest| rest.split('.').next()?.parse().ok());
    if !core.is_some_and(|core| CORES.contains(&core)) {
        return Err(format!(
            "Mitogen {version} is used with ansible-core 2.{} to 2.{}, and this is {ansible}",
            CORES.start(),
            CORES.end()
        ));
    }
    Ok(Mitogen { dir, version })
}

/// Of a line `__version__ = (0, 3, 54)`.
fn version(text: &str) -> Option<[u32; 3]> {
    let line = text.lines().find_map(|line| line.strip_prefix("__version__ = ("))?;
    let numbers = line.split(')').next()?.split(',').map(|n| n.trim().parse().ok());
    numbers.collect::<Option<Vec<_>>>()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mitogen_is_used_with_the_versions_that_were_tried() {
        let dir = tempfile::tempdir().unwrap();
        let said = |version: &str, ansible: &str| {
            std::fs::create_dir_all(dir.path().join("mitogen")).unwrap();
            let text = format!("#: Library version as a tuple.\n__version__ = {version}\n");
            std::fs::write(dir.path().join("mitogen/__init__.py"), text).unwrap();
            fitting(dir.path(), ansible).map(|mitogen| mitogen.version)
        };
        for (version, ansible) in [("(0, 3, 54)", "2.14.18"), ("(0, 4, 0)", "2.21.0")] {
            assert!(said(version, ansible).is_ok(), "{version} {ansible}");
        }
        for (version, ansible, why) in [
            ("(0, 3, 3)", "2.14.18", "Mitogen 0.3.3 is older than 0.3.54"),
            ("(0, 3, 54)", "2.9.1", "is used with ansible-core 2.10 to 2.21, and this is 2.9.1"),
            ("(0, 3, 54)", "2.22.0", "and this is 2.22.0"),
            ("(0, 3, 54)", "unknown", "and this is unknown"),
            ("'0.3.54'", "2.14.18", "does not say its version"),
        ] {
            let said = said(version, ansible).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
        let setup =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/setup/dependencies"));
        let installed = format!("\nmitogen={DIR}\n");
        let setup = setup.unwrap();
        assert!(setup.contains(&installed) && setup.contains("\nversion=0.3.54\n"));
        let said = fitting(&dir.path().join("none"), "2.14.18").unwrap_err();
        assert!(said.starts_with("there is no Mitogen in "), "{said}");
    }
}
