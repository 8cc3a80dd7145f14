//! Words that a definition's playbooks, variables, settings and templates contain. What is worked
//! out at the run is not seen: these are signs, and no proof.
use std::path::{Path, PathBuf};

use crate::system::reading;

/// Limits of what is read: files, and bytes of one. What is beyond is not searched, and counts as
/// if it had any word.
const MOST_FILES: usize = 2000;
const MOST_BYTES: u64 = 1 << 20;

/// A key, and the values with which it does not count.
pub(super) type Word = (&'static str, &'static [&'static str]);

/// Texts of a definition that say how its playbooks run.
pub(super) struct Texts(Vec<(PathBuf, String)>);

impl Texts {
    /// Of the files below `dirs`. The error is why they were not all read.
    pub fn of(dirs: &[&Path]) -> Result<Self, String> {
        let mut texts = Vec::new();
        for dir in dirs {
            let entries = walkdir::WalkDir::new(dir).follow_links(true).into_iter();
            let inner = |entry: &walkdir::DirEntry| {
                entry.depth() == 0 || ![".git", "target"].iter().any(|n| entry.file_name() == *n)
            };
            for entry in entries.filter_entry(inner).filter_map(Result::ok) {
                if !entry.file_type().is_file() || !may_have_words(entry.path()) {
                    continue;
                }
                if texts.len() == MOST_FILES {
                    return Err(format!("{} holds too many files to look for it", dir.display()));
                }
                let name = entry.path().strip_prefix(dir).unwrap_or(entry.path()).to_owned();
                let text = reading::bytes(entry.path(), MOST_BYTES)
                    .map_err(|e| format!("{}: {e}", name.display()))?;
                texts.push((name, String::from_utf8_lossy(&text).into_owned()));
            }
        }
        Ok(Self(texts))
    }

    pub fn add(&mut self, name: &str, text: String) {
        self.0.push((name.into(), text));
    }

    /// Whether a text uses one of these facts, by any of its names; templates count. One that ends
    /// with `_` is the beginning of a fact.
    pub fn use_fact(&self, facts: &[&str]) -> bool {
        self.0.iter().any(|(_, text)| {
            let names = ["ansible_facts.", "ansible_facts['", "ansible_facts[\""];
            let text = names.iter().fold(text.clone(), |text, name| text.replace(name, "ansible_"));
            facts.iter().any(|fact| text.contains(&format!("ansible_{fact}")))
        })
    }

    /// The first of `words` that a text has as a key, said with the file. Templates do not count:
    /// what they make is for other programs.
    pub fn first(&self, words: &[Word]) -> Option<String> {
        let texts = self.0.iter().filter(|(name, _)| !is_template(name));
        texts.into_iter().find_map(|(name, text)| {
            let word = words.iter().find(|word| has(text, word))?;
            Some(format!("`{}` in {}", word.0, name.display()))
        })
    }
}

fn is_template(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "j2")
}

/// Playbooks, variables (some without an ending), and settings.
fn may_have_words(path: &Path) -> bool {
    match path.extension() {
        None => path.parent().and_then(Path::parent).is_some_and(|dir| {
            ["group_vars", "host_vars"].iter().any(|n| path.parent() == Some(&dir.join(n)))
        }),
        Some(end) => ["yml", "yaml", "json", "cfg", "j2"].iter().any(|one| end == *one),
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
    fn facts_are_found_by_each_of_their_names() {
        let uses = |text: &str| {
            let texts = Texts(vec![("x.j2".into(), text.into())]);
            texts.use_fact(&["env", "user_"])
        };
        for text in [
            "{{ ansible_env.HOME }}",
            "{{ ansible_facts.env.HOME }}",
            "{{ ansible_facts['user_id'] }}",
            "{{ ansible_facts[\"user_dir\"] }}",
        ] {
            assert!(uses(text), "{text}");
        }
        assert!(!uses("{{ ansible_user }} {{ ansible_facts.system }} {{ my_env }}"));
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
            let said = Texts::of(&[dir.path()]).unwrap().first(WORDS);
            assert_eq!(said, found.then(|| format!("`async` in {name}")));
            std::fs::remove_file(path).unwrap();
        }
        std::fs::write(dir.path().join("big.yml"), vec![b' '; 2 << 20]).unwrap();
        assert!(Texts::of(&[dir.path()]).is_err(), "it may have any word");
    }
}
