//! Files that are visible to a step behind the wall: its definition and certificates.
use crate::model::category::CATEGORIES;
use std::path::{Path, PathBuf};

use super::mounts::Mounts;
use super::{Wall, WallError, Walled, definition, legible};
use crate::system::exec::env;
use crate::system::paths::real;

impl Wall {
    /// Mounts the definition and the owner's shared paths, without the hidden directories.
    pub(super) fn definition(
        &self,
        mounts: &mut Mounts,
        of: &Walled<'_>,
        work_dir: &Path,
    ) -> Result<(), WallError> {
        let found = definition::places(of.asks, of.dir, self.config.home.as_deref());
        let mut shown = found.map_err(|finding| WallError::Refused(finding.message))?;
        let targets = CATEGORIES.map(|half| of.asks.tree.join(half.dir).join("target"));
        let hidden: Vec<PathBuf> = self
            .config
            .hidden
            .iter()
            .chain(&targets)
            .filter_map(|path| path.canonicalize().ok())
            .collect();
        if let Some(place) =
            shown.iter().find(|place| hidden.iter().any(|hidden| real(place).starts_with(hidden)))
        {
            let what =
                format!("{} leads to {}, which no definition is shown", of.label, place.display());
            return Err(WallError::Refused(what));
        }
        // What no digest of the definition counts, no program of it reads.
        let uncounted = definition::uncounted(&shown, &[of.dir, &of.asks.definition]);
        self.copied(&mut shown, mounts, work_dir)?;
        shown.extend(self.config.settings.read_only.iter().filter(|path| path.exists()).cloned());
        shown.iter().for_each(|path| mounts.read_only(path));
        // By every name: a link that is shown is a place of its own there.
        for (hidden, path) in
            hidden.iter().flat_map(|hidden| shown.iter().map(move |path| (hidden, path)))
        {
            if let Ok(inner) = hidden.strip_prefix(real(path)) {
                mounts.hide(&path.join(inner));
            }
        }
        uncounted.iter().for_each(|path| mounts.cover(path));
        Ok(())
    }

    /// Mounts copies of directories that are unreadable behind the wall, and leaves the others in
    /// `shown`.
    pub(super) fn copied(
        &self,
        shown: &mut Vec<PathBuf>,
        mounts: &mut Mounts,
        work_dir: &Path,
    ) -> Result<(), WallError> {
        // SAFETY: plain system call without arguments.
        let me = unsafe { libc::geteuid() };
        let Some(beside) = work_dir.parent().filter(|_| me == 0) else { return Ok(()) };
        let closed: Vec<PathBuf> = shown
            .iter()
            .filter(|place| place.is_dir() && !legible::is_open(place, me))
            .cloned()
            .collect();
        shown.retain(|place| !closed.contains(place));
        for (number, place) in closed.iter().enumerate() {
            let to = beside.join(format!("shown-{number}"));
            let io = |source| WallError::Io { path: place.clone(), source };
            match std::fs::remove_dir_all(&to) {
                Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                    return Err(io(source));
                }
                _ => legible::copy(place, &to).map_err(io)?,
            }
            mounts.read_only_at(&to, place);
        }
        Ok(())
    }

    /// Files that the factory's environment names, except those of the system and those that would
    /// expose a hidden directory.
    pub(super) fn certificates(&self) -> Vec<PathBuf> {
        let named = env::CERTIFICATES.iter().filter_map(|name| self.config.env.get(*name));
        let closed: Vec<PathBuf> = self
            .config
            .hidden
            .iter()
            .chain(&self.config.home)
            .filter_map(|path| path.canonicalize().ok())
            .collect();
        let fits = |path: &PathBuf| {
            let system = ["/usr", "/etc/ssl", "/etc/pki", "/proc", "/dev"]
                .iter()
                .any(|dir| path.starts_with(dir));
            let wide = |real: PathBuf| {
                real.parent().is_none() || closed.iter().any(|hidden| hidden.starts_with(&real))
            };
            path.is_absolute() && !system && path.canonicalize().is_ok_and(|real| !wide(real))
        };
        named.flat_map(|paths| paths.split(':')).map(PathBuf::from).filter(fits).collect()
    }
}
