//! Words in playbooks, variables and settings of a definition, and of the roles and collections
//! that it may play. What is worked out at the run is not seen: these are signs, and no proof.
use std::fs;
use std::path::{Path, PathBuf};

use crate::system::reading;

/// Limits of what is read: files that are seen, files that are read, and bytes of one. What is
/// beyond is not searched, and counts as if it had any word.
const MOST_SEEN: usize = 100_000;
const MOST_FILES: usize = 2000;
const MOST_BYTES: u64 = 1 << 20;

/// A key, and the values with which it does not count.
pub(super) type Word = (&'static str, &'static [&'static str]);

/// Texts that say how playbooks run, by their names.
#[derive(Default)]
pub(super) struct Texts(Vec<(PathBuf, String)>);

impl Texts {
    /// Adds the files below `dir`, with names that begin below `root`. The error is why they were
    /// not all read.
    pub fn read(&mut self, dir: &Path, root: &Path) -> Result<(), String> {
        let entries = walkdir::WalkDir::new(dir).follow_links(true).into_iter();
        let inner = |entry: &walkdir::DirEntry| {
            entry.depth() == 0 || ![".git", "target"].iter().any(|n| entry.file_name() == *n)
        };
        for (seen, entry) in entries.filter_entry(inner).filter_map(Result::ok).enumerate() {
            let is_read = entry.file_type().is_file() && may_have_words(entry.path());
            if seen == MOST_SEEN || is_read && self.0.len() == MOST_FILES {
                return Err(format!("{} holds too many files to look for it", dir.display()));
            }
            if !is_read {
                continue;
            }
            let name = entry.path().strip_prefix(root).unwrap_or(entry.path()).to_owned();
            let text = reading::bytes(entry.path(), MOST_BYTES)
                .map_err(|e| format!("{}: {e}", name.display()))?;
            self.0.push((name, String::from_utf8_lossy(&text).into_owned()));
        }
        Ok(())
    }

    /// Adds what collections in these places have that plays, of each that a text names.
    /// Collections of Ansible's own package are many, and no play uses most of them.
    pub fn read_named(&mut self, places: &[PathBuf]) -> Result<(), String> {
        let mut all: Vec<(String, PathBuf)> =
            places.iter().flat_map(|at| collections(at)).collect();
        while let Some(at) = all.iter().position(|(name, _)| self.mentions(name)) {
            let (_, dir) = all.swap_remove(at);
            for part in ["roles", "playbooks"] {
                self.read(&dir.join(part), Path::new(""))?;
            }
        }
        Ok(())
    }

    fn mentions(&self, collection: &str) -> bool {
        self.0.iter().any(|(_, text)| text.contains(collection))
    }

    pub fn add(&mut self, name: &str, text: String) {
        self.0.push((name.into(), text));
    }

    /// The first of `words` that a text has as a key, said with the file.
    pub fn first(&self, words: &[Word]) -> Option<String> {
        self.0.iter().find_map(|(name, text)| {
            let word = words.iter().find(|word| has(text, word))?;
            Some(format!("`{}` in {}", word.0, name.display()))
        })
    }
}

/// Names and directories of the collections in a place where Ansible looks for them.
fn collections(place: &Path) -> Vec<(String, PathBuf)> {
    let inner = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten();
    let mut all = Vec::new();
    for namespace in inner(&place.join("ansible_collections")) {
        for one in inner(&namespace.path()) {
            let (of, name) = (namespace.file_name(), one.file_name());
            all.push((format!("{}.{}", of.display(), name.display()), one.path()));
        }
    }
    all
}

/// Playbooks, variables (some without an ending), and settings.
fn may_have_words(path: &Path) -> bool {
    match path.extension() {
        None => path.parent().and_then(Path::parent).is_some_and(|dir| {
            ["group_vars", "host_vars"].iter().any(|n| path.parent() == Some(&dir.join(n)))
        }),
        Some(end) => ["yml", "yaml", "json", "cfg"].iter().any(|one| end == *one),
    }
}

/// Whether `text` has the key: `word: value`, `"word": value`, `word=value`. One that ends with `_`
/// is the beginning of a key.
fn has(text: &str, (word, fine): &Word) -> bool {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines.into_iter().any(|line| {
        line.match_indices(word).any(|(at, _)| {
            let inside = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let rest = &line[at + word.len()..];
            if line[..at].ends_with(inside) {
                return false;
            }
            if word.ends_with('_') {
                return true;
            }
            let rest = rest.trim_start_matches(['"', '\'']).trim_start();
            let Some(value) = rest.strip_prefix([':', '=']) else { return false };
            let end = |c: char| c.is_whitespace() || [',', '}', '"', '\''].contains(&c);
            let value = value.trim_start().trim_start_matches(['"', '\'']);
            !fine.contains(&value.split(end).next().unwrap_or_default())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: &[Word] = &[("async", &["0"]), ("become_method", &["sudo"]), ("mitogen_", &[])];

    fn read(dir: &Path) -> Result<Texts, String> {
        let mut texts = Texts::default();
        texts.read(dir, dir).map(|()| texts)
    }

    #[test]
    fn keys_are_found_in_every_spelling_and_values_that_are_fine_do_not_count() {
        for text in [
            "  - async: 5",
            "{async: 5}",
            "{\"become_method\": \"su\"}",
            "become_method = su",
            "become_method: '{{ how }}'",
            "become_method: sudo\n- become_method: su",
            "mitogen_via: x",
            "x: {mitogen_kind: 1}",
        ] {
            assert!(WORDS.iter().any(|word| has(text, word)), "{text}");
        }
        for text in [
            "# async: 5",
            "become_method: sudo",
            "become_method=sudo",
            "{\"become_method\":\"sudo\"}",
            "- async: 0",
            "- name: async tasks",
            "my_async: 5",
            "use_mitogen: x",
        ] {
            assert!(!WORDS.iter().any(|word| has(text, word)), "{text}");
        }
    }

    #[test]
    fn playbooks_variables_and_settings_are_searched_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        for (name, found) in [
            ("a/play.yml", true),
            ("group_vars/all", true),
            ("ansible.cfg", true),
            ("templates/x.j2", false),
            ("files/data", false),
            ("target/old.yml", false),
        ] {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "async: 5\n").unwrap();
            let said = read(dir.path()).unwrap().first(WORDS);
            assert_eq!(said, found.then(|| format!("`async` in {name}")));
            std::fs::remove_file(path).unwrap();
        }
        std::fs::write(dir.path().join("big.yml"), vec![b' '; 2 << 20]).unwrap();
        assert!(read(dir.path()).is_err(), "it may have any word");
    }

    /// A task in the background of a role that the owner had ended with the connection.
    #[test]
    fn roles_and_playbooks_of_collections_that_are_named_are_searched() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let at = "place/ansible_collections/ours";
        write(&format!("{at}/web/roles/r/tasks/main.yml"), "- include_role: {name: ours.deep.r}\n");
        write(&format!("{at}/web/tests/x.yml"), "async: 5\n");
        write(&format!("{at}/other/roles/r/tasks/main.yml"), "async: 5\n");
        let said = || {
            let mut texts = read(&dir.path().join("bundle")).unwrap();
            texts.read_named(&[dir.path().join("nowhere"), dir.path().join("place")]).unwrap();
            texts.first(WORDS)
        };
        write("bundle/play.yml", "roles: [ours.web.r]\n");
        assert_eq!(said(), None);
        let deep = format!("{at}/deep/roles/r/tasks/main.yml");
        write(&deep, "async: 5\n");
        assert_eq!(said(), Some(format!("`async` in {}", dir.path().join(deep).display())));
    }
}
