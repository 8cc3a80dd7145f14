//! One file, read and judged by itself.
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::sets::{self, Set};
use super::tasks::Reader;
use super::worked::Open;
use super::{json, names, room};
use crate::frontend::build_vars::files;
use crate::frontend::build_vars::trees::Trees;
use crate::frontend::build_vars::yaml::{self, Position};
use crate::model::diagnostic::Diagnostic;
use crate::system::reading;

/// One file, read.
pub(super) enum Look {
    Read {
        found: Vec<Diagnostic>,
        named: Vec<PathBuf>,
        worked_out: bool,
        open: Vec<Open>,
        of_variables: Vec<PathBuf>,
        looked_up: Vec<(Position, String)>,
        sets: Vec<Set>,
        room: Vec<room::Use>,
    },
    /// Why not. `sure`: Ansible cannot read it either.
    Not { spot: Position, why: String, sure: bool },
}

pub(super) fn look(full: &Path, shown: &Path, beside: &Path, trees: &Trees) -> Look {
    let start = Position { line: 0, column: 0 };
    let text = match reading::text(full, files::MAX_PLAYBOOK) {
        Ok(text) => text,
        Err(e) => {
            // Python's reader of JSON takes what is no UTF-8, too.
            let no_text = e.kind() == ErrorKind::InvalidData;
            let json = no_text
                && reading::bytes(full, files::MAX_PLAYBOOK)
                    .is_ok_and(|bytes| json::may_be(&String::from_utf8_lossy(&bytes)));
            return Look::Not { spot: start, why: e.to_string(), sure: no_text && !json };
        }
    };
    let read = trees.parse(shown, &text);
    let root = match read {
        Ok(root) => root,
        Err(bad) => match json::tree(&text).filter(|_| !bad.limit) {
            Some(root) => Rc::new(root),
            None => {
                let sure = bad.message == yaml::NO_KEY
                    || !bad.limit && !json::may_be(&text) && files::is_no_yaml(&text);
                return Look::Not {
                    spot: if bad.limit { bad.spot } else { start },
                    why: bad.message,
                    sure,
                };
            }
        },
    };
    let mut reader = Reader::new(shown, beside);
    reader.document(&root);
    let Reader { found, named, worked_out, of_variables, mut open, looked_up, room, .. } = reader;
    let sets = sets::of_tree(
        &root,
        sets::is_inventory(&beside.join(full.file_name().unwrap_or_default())),
    );
    open.extend(worked_connections(&sets));
    Look::Read { found, named, worked_out, open, of_variables, looked_up, sets, room }
}

/// `ansible_connection={{ … }}` within texts that set variables; of maps the reader tells.
pub(super) fn worked_connections(sets: &[Set]) -> impl Iterator<Item = Open> {
    sets.iter().filter(|set| set.in_text && set.name == "ansible_connection").filter_map(|set| {
        let text = set.value.clone().unwrap_or_else(|| "{{ }}".into());
        let written = format!("ansible_connection={}", set.value.as_deref().unwrap_or("…"));
        (names::connection(&text) == names::Meaning::Unknown).then_some(Open {
            spot: set.spot,
            written,
            text,
            judge: names::connection,
        })
    })
}
