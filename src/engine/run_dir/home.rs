//! The factory's home: where it keeps what outlives a run, on this machine, and that nobody else
//! may change it.
use std::path::{Path, PathBuf};

use crate::provider::CloudError;
use crate::provider::ledger;
use crate::system::durable::{self, Others};

/// Below the home: what checks found sound, and need not look at again.
pub const CHECKED: &str = "checked";

/// Where the factory keeps what outlives a run, on this machine.
#[derive(Debug, Clone)]
pub struct Home {
    /// Image store, index of runs, work files.
    pub data: PathBuf,
    /// Short directory for sockets and keys; only this user may look in.
    pub runtime: PathBuf,
}

impl Home {
    pub(super) fn index(&self) -> PathBuf {
        self.data.join(ledger::RUNS)
    }

    /// Looks at what is there, and makes nothing: both directories are of this user alone, so that
    /// nobody else has a hand in what is written below them. What is ours and open to others all
    /// the same is told, for [`Home::secure`] closes it.
    pub fn check(&self) -> Result<Vec<String>, CloudError> {
        let mut open = Vec::new();
        self.look(|dir, others| {
            if !durable::check_private(dir, others)? {
                open.push(format!("{} is open to other users; a build closes it", dir.display()));
            }
            Ok(())
        })?;
        Ok(open)
    }

    /// The same, and makes what is not there.
    pub fn secure(&self) -> Result<(), CloudError> {
        self.look(durable::private_dir)
    }

    fn look(
        &self,
        mut how: impl FnMut(&Path, Others) -> std::io::Result<()>,
    ) -> Result<(), CloudError> {
        // A store on a larger disk may be linked to; where the link leads is what is looked at.
        let real = |dir: PathBuf| dir.canonicalize().unwrap_or(dir);
        let data = real(self.data.clone());
        let store = ["", "images", "cache", "cache/downloads", CHECKED]
            .map(|dir| (real(self.data.join(dir)), Others::Look, "IMAGE_FACTORY_HOME"));
        let runtime = (self.runtime.clone(), Others::Nothing, "XDG_RUNTIME_DIR");
        for (dir, others, variable) in store.into_iter().chain([runtime]) {
            let looked = match how(&dir, others) {
                // What lies in the home is made in it.
                Err(e)
                    if e.kind() == std::io::ErrorKind::NotFound
                        && dir.starts_with(&data)
                        && dir != data =>
                {
                    Ok(())
                }
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => durable::may_be_made(&dir),
                looked => looked,
            };
            looked.map_err(|e| {
                CloudError::refused(format!("use directory {}", dir.display()), e.to_string())
                    .hint(format!("set {variable} to a directory that you alone can change"))
            })?;
        }
        Ok(())
    }
}
