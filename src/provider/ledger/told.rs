//! A ledger, read back: what it owns, and one sentence for each place that is damaged.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::LedgerError;
use super::entry::Entry;
use super::record::Record;
use crate::system::durable;

/// A run writes some dozens of lines; what is longer than this many bytes no run wrote.
pub(super) const LONGEST: u64 = 64 << 20;
/// As many places of damage are told of, and that there are more.
pub(super) const TOLD: usize = 8;
/// Every record begins so.
const BEGIN: &[u8] = b"{\"record\":";

/// What a ledger says.
#[derive(Debug, Default)]
pub struct Told {
    /// Of its first record; absent in ledgers of older versions.
    pub cloud: Option<String>,
    /// As `cloud`: the runtime directory that the run had, which may be another by now.
    pub runtime: Option<PathBuf>,
    /// One sentence for each place that is no record.
    pub damage: Vec<String>,
    pub(super) next: u64,
    pub(super) open: BTreeMap<u64, Entry>,
}

impl Told {
    /// What is owned and neither deleted nor kept, newest first.
    pub fn entries(&self) -> Vec<Entry> {
        self.open.values().rev().cloned().collect()
    }

    /// Reads a ledger and leaves it as it is.
    pub fn read(path: &Path) -> Result<Self, LedgerError> {
        Self::begin(path)
            .map(|(told, _)| told)
            .map_err(|source| LedgerError { path: path.into(), source })
    }

    /// With the length of all whole lines.
    pub(super) fn begin(path: &Path) -> std::io::Result<(Self, u64)> {
        let (text, whole) = match durable::read_begin(path, LONGEST) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Default::default()),
            read => read?,
        };
        let mut told = Self::default();
        let end = text.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
        for (index, line) in text[..end].split_inclusive(|b| *b == b'\n').enumerate() {
            told.line(index + 1, line);
        }
        if !whole {
            told.damaged(format!("what comes after {LONGEST} bytes is not read"));
            return Ok((told, u64::MAX));
        }
        Ok((told, end as u64))
    }

    fn line(&mut self, number: usize, line: &[u8]) {
        if line.trim_ascii().is_empty() {
            return;
        }
        let error = match serde_json::from_slice(line) {
            Ok(record) => return self.take(number, record),
            Err(e) => e,
        };
        self.damaged(format!("line {number} is no record: {error}"));
        // A record that came after a torn one lies on the same line. Within a name, quotes would be
        // escaped.
        let last = line.windows(BEGIN.len()).rposition(|w| w == BEGIN).filter(|at| *at > 0);
        if let Some(record) = last.and_then(|at| serde_json::from_slice(&line[at..]).ok()) {
            self.take(number, record);
        }
    }

    fn take(&mut self, number: usize, record: Record) {
        let (Record::Intent { seq, .. }
        | Record::Made { seq, .. }
        | Record::Unanswered { seq, .. }
        | Record::Gone { seq }
        | Record::Kept { seq }) = &record
        else {
            if let Record::Run { cloud, runtime, .. } = record {
                self.cloud.get_or_insert(cloud);
                self.runtime = self.runtime.take().or(runtime);
            }
            return;
        };
        self.next = self.next.max(seq.saturating_add(1));
        match record {
            Record::Intent { seq, kind, name, .. } => {
                self.open.insert(seq, Entry { seq, kind, name, id: None, unanswered: None });
            }
            Record::Unanswered { seq, at } => {
                if let Some(entry) = self.open.get_mut(&seq) {
                    entry.unanswered = Some(at);
                }
            }
            Record::Made { seq, id } => match self.open.get_mut(&seq) {
                Some(entry) => (entry.id, entry.unanswered) = (Some(id), None),
                None => self.damaged(format!(
                    "line {number} gives an ID, {id}, to what no line before it names"
                )),
            },
            Record::Gone { seq } | Record::Kept { seq } => drop(self.open.remove(&seq)),
            Record::Run { .. } => {}
        }
    }

    fn damaged(&mut self, what: String) {
        match self.damage.len() {
            TOLD => self.damage.push("and more".into()),
            n if n < TOLD => self.damage.push(what.chars().take(300).collect()),
            _ => {}
        }
    }
}
