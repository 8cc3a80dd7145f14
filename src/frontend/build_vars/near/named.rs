//! Finds the file names in a definition's texts. A file named in a playbook, script or template
//! counts as used.
use crate::frontend::build_vars::FILE;
use crate::model::category::CATEGORIES;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::is_aside;
use super::within::Within;
use crate::model::definition::Definition;
use crate::system::reading;

/// Limits: bytes in total and per text, files and directories per bundle and per tree. Beyond them,
/// everything counts as named.
const BYTES: usize = 4 << 20;
const TEXT: u64 = 256 << 10;
const OF_BUNDLE: usize = 4000;
const OF_TREE: usize = 20_000;
/// Extensions of texts that are scanned even beyond [`TEXT`]; other long files are data.
const TEXTS: [&str; 10] = ["yml", "yaml", "j2", "cfg", "ini", "sh", "py", "pl", "rb", "json"];

/// Names found in texts.
#[derive(Debug, Default)]
pub(super) struct Words {
    all: HashSet<String>,
    /// Names beside a slash, or quoted alone, as directories are written.
    parts: HashSet<String>,
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | '@')
}

impl Words {
    /// Reads all lines except comments.
    pub fn read(&mut self, text: &str) {
        text.lines()
            .filter(|line| !line.trim_start().starts_with('#'))
            .for_each(|line| self.read_all(line));
    }

    pub fn read_all(&mut self, line: &str) {
        let mut rest = 0;
        for word in line.split(|c: char| !is_of_word(c)) {
            let (start, end) = (rest, rest + word.len());
            let after = line[end..].chars().next();
            rest = end + after.map_or(0, char::len_utf8);
            let before = line[..start].chars().next_back();
            if word.is_empty() {
                continue;
            }
            let quoted = matches!(before, Some('\'' | '"')) && before == after;
            if before == Some('/') || after == Some('/') || quoted {
                self.parts.insert(word.to_owned());
            }
            self.all.insert(word.to_owned());
        }
    }

    /// Whether a file name occurs. A name with blanks and other separators occurs if all of its
    /// words do.
    pub fn name_file(&self, name: &str) -> bool {
        name.split(|c| !is_of_word(c)).all(|word| word.is_empty() || self.all.contains(word))
    }

    pub fn name_dir(&self, name: &str) -> bool {
        name.split(|c| !is_of_word(c)).all(|word| word.is_empty() || self.parts.contains(word))
    }

    pub fn have(&self, word: &str) -> bool {
        self.all.contains(word)
    }
}

/// Names that occur in the texts of one or several definitions.
#[derive(Debug, Default)]
pub(super) struct Named {
    words: Words,
    /// Targets of links.
    links: Vec<PathBuf>,
    /// A limit was exceeded.
    more: bool,
    bytes: usize,
    entries: usize,
    most: usize,
}

impl Named {
    /// Scans the texts of a bundle except `aside`, and `output/`, whose files name each other.
    pub fn of(bundle: &Definition, aside: &[PathBuf], within: &Within) -> Self {
        let mut named = Self { most: OF_BUNDLE, ..Self::default() };
        let without = |path: &Path| {
            aside.iter().any(|aside| path == bundle.dir.join(aside))
                || path == bundle.dir.join("output")
        };
        named.below(&bundle.dir, within, &without);
        within.leads(&bundle.asks.definition.join(FILE)).iter().for_each(|own| named.file(own));
        named
    }

    /// Scans the texts of all definitions of a tree except the directories `aside`, and their link
    /// targets.
    pub fn of_tree(root: &Path, aside: &[PathBuf], within: &Within) -> Self {
        let mut named = Self { most: OF_TREE, ..Self::default() };
        for half in CATEGORIES.map(|category| root.join(category.dir)) {
            named.below(&half, within, &|path| {
                path == half.join("target") || aside.iter().any(|aside| path == root.join(aside))
            });
        }
        named
    }

    /// Whether a link leads to it or into it.
    pub fn is_linked(&self, path: &Path, within: &Within) -> bool {
        within.leads(path).is_some_and(|real| self.links.iter().any(|link| link.starts_with(&real)))
    }

    pub fn has_file(&self, name: &str) -> bool {
        self.more || self.words.name_file(name)
    }

    pub fn has_dir(&self, name: &str) -> bool {
        self.more || self.words.name_dir(name)
    }

    /// Follows links within the tree; only links are resolved.
    fn below(&mut self, dir: &Path, within: &Within, without: &dyn Fn(&Path) -> bool) {
        let mut left: Vec<(PathBuf, PathBuf)> =
            within.leads(dir).map(|real| (dir.to_owned(), real)).into_iter().collect();
        let mut seen = HashSet::new();
        while let Some((dir, real)) = left.pop() {
            if self.more || !seen.insert(real.clone()) {
                continue;
            }
            for entry in std::fs::read_dir(&real).into_iter().flatten().flatten() {
                self.entries += 1;
                self.more |= self.entries > self.most;
                let (path, Ok(kind)) = (dir.join(entry.file_name()), entry.file_type()) else {
                    continue;
                };
                let real = if kind.is_symlink() {
                    within.leads(&entry.path())
                } else {
                    Some(entry.path())
                };
                let Some(real) = real else { continue };
                if kind.is_symlink() {
                    self.links.push(real.clone());
                }
                let name = entry.file_name();
                if self.more
                    || name == ".git"
                    || is_aside(&name.to_string_lossy())
                    || without(&path)
                {
                    continue;
                }
                match kind.is_dir() || kind.is_symlink() && real.is_dir() {
                    true => left.push((path, real)),
                    false => self.file(&real),
                }
            }
        }
    }

    fn file(&mut self, real: &Path) {
        let Ok(text) = reading::text(real, TEXT) else {
            let may_name =
                real.extension().is_some_and(|end| TEXTS.iter().any(|text| end == *text));
            self.more |= may_name && real.metadata().is_ok_and(|meta| meta.len() > TEXT);
            return;
        };
        self.bytes += text.len();
        self.more |= self.bytes > BYTES;
        if !self.more && !text.contains('\0') {
            self.words.read(&text);
        }
    }
}
