//! Facts of the builder, gathered once where playbooks follow one another: Ansible's own cache,
//! which the factory keeps from one playbook to the next. Another step between them may change what
//! the facts say, and so may a failed playbook: then they are gathered anew.
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::super::Attempt;
use super::accelerator::environment;
use super::words::{Texts, Word};
use crate::frontend::build_vars::{Named, first_set};
use crate::system::reading;

/// Of the cache in the room, and of what is kept in the run's scratch directory.
const DIR: &str = "facts";
/// Size limit of the facts of a machine.
const MAX_BYTES: u64 = 8 << 20;

/// Settings with which a definition decides about facts itself.
const SETTINGS: &[Named] = &[
    ("defaults", "gathering", "ANSIBLE_GATHERING"),
    ("defaults", "fact_caching", "ANSIBLE_CACHE_PLUGIN"),
    ("defaults", "fact_caching_connection", "ANSIBLE_CACHE_PLUGIN_CONNECTION"),
    ("defaults", "fact_caching_timeout", "ANSIBLE_CACHE_PLUGIN_TIMEOUT"),
    ("defaults", "fact_caching_prefix", "ANSIBLE_CACHE_PLUGIN_PREFIX"),
];

/// With these, facts of one play are not those of the next: a part of them, some of their own, or
/// variables that Ansible would forget.
const OF_THEIR_OWN: &[Word] = &[
    ("gather_subset", &["all"]),
    ("gather_timeout", &[]),
    ("fact_path", &[]),
    ("cacheable", &["false", "no"]),
    ("package_facts", &[]),
    ("ansible.builtin.package_facts", &[]),
    ("service_facts", &[]),
    ("ansible.builtin.service_facts", &[]),
];
/// Facts of whom a play works as, and of files that a play may write.
const OF_ITS_USER: &[&str] = &["env", "user_", "effective_", "real_", "local"];

/// The cache of one playbook.
pub(super) struct Facts {
    name: String,
    kept: PathBuf,
    /// A file's name and content, of the playbook before.
    given: Option<(String, Vec<u8>)>,
}

impl Facts {
    /// `None`: no playbook stands beside this one, or the definition decides itself. What was kept
    /// is taken away in any case.
    pub fn of(attempt: &Attempt<'_>, texts: &Result<Texts, String>) -> io::Result<Option<Self>> {
        let Attempt { site, builder, index, .. } = *attempt;
        let name = builder.machine.name.clone();
        let plays =
            |index: usize| site.plan.steps.get(index).is_some_and(|s| s.action.is_playbook());
        // By the step that left them: one that is played again must not get its own.
        let kept = |index: usize| site.scratch.join(format!("{DIR}-{index}"));
        let before = index.checked_sub(1).filter(|before| plays(*before));
        let given = before.and_then(|before| only_file(&kept(before), &name));
        for dir in before.map(kept).into_iter().chain([kept(index)]) {
            match fs::remove_dir_all(&dir) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        let own = first_set(&site.plan.bundle_dir, &environment(attempt), SETTINGS).is_some()
            || texts.as_ref().map_or(true, |texts| {
                texts.first(OF_THEIR_OWN).is_some() || texts.use_fact(OF_ITS_USER)
            });
        if own || !(before.is_some() || plays(index + 1)) {
            return Ok(None);
        }
        Ok(Some(Self { name, kept: kept(index), given }))
    }

    pub fn set_env(env: &mut BTreeMap<String, String>, room: &Path) {
        let of_room = room.join(DIR).to_string_lossy().into_owned();
        env.insert("ANSIBLE_GATHERING".into(), "smart".into());
        env.insert("ANSIBLE_CACHE_PLUGIN".into(), "jsonfile".into());
        env.insert("ANSIBLE_CACHE_PLUGIN_CONNECTION".into(), of_room);
    }

    /// Puts what was kept into the empty room.
    pub fn give(&mut self, room: &Path) -> io::Result<bool> {
        let dir = room.join(DIR);
        fs::create_dir(&dir)?;
        match self.given.take() {
            Some((name, facts)) => fs::write(dir.join(name), facts).map(|()| true),
            None => Ok(false),
        }
    }

    /// Keeps what the playbook left for the next one.
    pub fn keep(&self, room: &Path) -> io::Result<()> {
        let Some((name, facts)) = only_file(&room.join(DIR), &self.name) else { return Ok(()) };
        fs::create_dir(&self.kept)?;
        fs::write(self.kept.join(name), facts)
    }
}

/// The facts of `machine`, in a directory where a playbook may have put anything. ansible-core 2.19
/// and later have a schema before the name: `s1_builder`.
fn only_file(dir: &Path, machine: &str) -> Option<(String, Vec<u8>)> {
    if !dir.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
        return None;
    }
    let names = fs::read_dir(dir).ok()?.flatten().filter_map(|e| e.file_name().into_string().ok());
    let of_machine = |name: &String| {
        let head = name.strip_suffix(machine);
        head.is_some_and(|head| head.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
    };
    let name = names.into_iter().find(of_machine)?;
    let file = reading::open_itself(&dir.join(&name)).ok()?;
    Some((name, reading::bytes_of(file, MAX_BYTES).ok()?))
}
