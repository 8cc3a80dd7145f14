//! Files of the room that a step's playbook has on the factory: `/tmp`, which begins empty and ends
//! with the step, and `~/`.
use std::path::{Component, Path as FilePath};

use super::super::yaml::Position;
use super::{Lint, Look, Part, softened};
use crate::model::diagnostic::{Diagnostic, Location};

/// A path in the room, as it is written.
#[derive(Debug, Clone)]
pub struct Path(String);

/// A task or a lookup that reads or writes there.
#[derive(Debug, Clone)]
pub struct Use {
    pub spot: Position,
    pub path: Path,
    pub writes: bool,
}

impl Path {
    /// `None`: it lies elsewhere. `..` leads out of the room.
    pub fn of(text: &str) -> Option<Self> {
        let text = text.trim();
        let path = FilePath::new(text);
        let inner = path.starts_with("/tmp") || path.starts_with("~");
        (inner && !path.components().any(|part| part == Component::ParentDir))
            .then(|| Self(text.trim_end_matches('/').to_owned()))
    }

    /// What is written out of it, up to what is worked out at the run or is a pattern.
    fn literal(&self) -> (&str, bool) {
        let end = self.0.find(['{', '*', '?', '[']);
        (end.map_or(self.0.as_str(), |end| &self.0[..end]), end.is_some())
    }

    /// The finding on one that nothing writes. Whoever names the home means that of a person.
    fn missing(&self, place: Location, part: Part) -> Diagnostic {
        let name = &self.0;
        if name.starts_with('~') {
            let finding = Diagnostic::error(
                place,
                format!("a file outside of the bundle is read on the factory: `{name}`"),
            );
            let finding = finding.hint(
                "what a bundle needs lies in its directory; `~/` is the step's own, and empty",
            );
            return if part == Part::Beside { softened(finding) } else { finding };
        }
        let message = format!(
            "`{name}` is read on the factory, where `/tmp` is the step's own and empty, and no \
                task writes it"
        );
        Diagnostic::warning(place, message)
            .hint("`remote_src: true` reads a file of the builder; `fetch` gets one into `/tmp`")
    }

    /// Whether what is written here may be this file, lie in it or hold it.
    fn may_be(&self, written: &Path) -> bool {
        let ((own, own_open), (other, other_open)) = (self.literal(), written.literal());
        let within = FilePath::new(own).starts_with(other) || FilePath::new(other).starts_with(own);
        within || own_open && other.starts_with(own) || other_open && own.starts_with(other)
    }
}

impl Lint<'_> {
    /// What is read in the room and nothing in the definition writes.
    pub(super) fn rooms(&mut self) {
        let looks = self
            .seen
            .iter()
            .filter_map(|(file, part)| Some((file, *part, self.cache.looks.get(file)?)));
        let mut uses = Vec::new();
        for (file, part, look) in looks {
            if let Look::Read { room, .. } = &**look {
                uses.extend(room.iter().map(|one| (file, part, one)));
            }
        }
        let written: Vec<&Path> =
            uses.iter().filter(|(.., one)| one.writes).map(|(.., one)| &one.path).collect();
        let unwritten = uses
            .iter()
            .filter(|(.., one)| !one.writes && !written.iter().any(|path| one.path.may_be(path)));
        let found: Vec<_> = unwritten
            .map(|(file, part, one)| one.path.missing(self.place(file, one.spot), *part))
            .collect();
        self.found.extend(found);
    }
}
