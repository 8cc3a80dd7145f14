//! The ledger of a run: every create is written down before it is sent, so that undo is data and not code.
//!
//! One JSON record a line, each synced to disk before the call goes on. `own` writes an intent, runs one create, writes
//! the ID. A create whose reply was lost keeps its entry with the name alone; deletion finds the thing by name and owner.
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::future::Future;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

/// What kinds of things a run may own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A directory with all that is in it (overlay, config drive, sockets); the name is its path.
    Directory,
    /// A process of this machine.
    Process,
    /// A machine of the cloud.
    Machine,
    /// A disk that a machine boots from.
    Volume,
    /// A floating IP.
    Address,
    SecurityGroup,
    /// A staged image.
    Image,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Directory => "directory",
            Kind::Process => "process",
            Kind::Machine => "machine",
            Kind::Volume => "volume",
            Kind::Address => "floating IP",
            Kind::SecurityGroup => "security group",
            Kind::Image => "image",
        }
    }
}

/// A thing owned: made, or about to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub seq: u64,
    pub kind: Kind,
    pub name: String,
    /// Absent until the create was answered.
    pub id: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "lowercase")]
enum Record {
    Intent { seq: u64, kind: Kind, name: String, at: String },
    Made { seq: u64, id: String },
    Gone { seq: u64 },
    Kept { seq: u64 },
}

#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("ledger {path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("ledger {path}:{line}: {reason}")]
    Broken { path: PathBuf, line: usize, reason: String },
}

/// What a create gives back: the cloud's ID for the ledger, and a value for the caller.
pub struct Made<T> {
    pub id: String,
    pub value: T,
}

/// Something that could not be deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leak {
    #[serde(flatten)]
    pub entry: Entry,
    pub reason: String,
}

#[derive(Clone)]
pub struct Ledger(Arc<Mutex<Book>>);

struct Book {
    path: PathBuf,
    file: Option<File>,
    next: u64,
    open: BTreeMap<u64, Entry>,
}

impl Ledger {
    /// Opens the ledger at `path`, made if it is not there. A last line that was cut off by a crash is dropped:
    /// nothing was sent on its strength, because a record is synced before its create is.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let io = |source| LedgerError::Io { path: path.into(), source };
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(io(e)),
        };
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let mut open = BTreeMap::new();
        let mut next = 0;
        for (index, line) in text[..whole].lines().enumerate() {
            let record = serde_json::from_str(line).map_err(|e| LedgerError::Broken {
                path: path.into(),
                line: index + 1,
                reason: e.to_string(),
            })?;
            match record {
                Record::Intent { seq, kind, name, .. } => {
                    next = seq + 1;
                    open.insert(seq, Entry { seq, kind, name, id: None });
                }
                Record::Made { seq, id } => {
                    if let Some(entry) = open.get_mut(&seq) {
                        entry.id = Some(id);
                    }
                }
                Record::Gone { seq } | Record::Kept { seq } => {
                    open.remove(&seq);
                }
            }
        }
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(io)?;
        if whole < text.len() {
            file.set_len(whole as u64).map_err(io)?;
        }
        file.sync_all().map_err(io)?;
        Ok(Self(Arc::new(Mutex::new(Book { path: path.into(), file: Some(file), next, open }))))
    }

    /// A ledger of nothing, for calls that only read; to own with it is an error.
    pub fn none() -> Self {
        Self(Arc::new(Mutex::new(Book { path: "(none)".into(), file: None, next: 0, open: BTreeMap::new() })))
    }

    /// Writes the intent, runs the one create, writes its ID. On an error the entry stays: the thing may be there all the same.
    pub async fn own<T, E, F>(&self, kind: Kind, name: &str, create: impl FnOnce() -> F) -> Result<T, E>
    where
        F: Future<Output = Result<Made<T>, E>>,
        E: From<LedgerError>,
    {
        let seq = {
            let mut book = self.book();
            let seq = book.next;
            book.write(&Record::Intent { seq, kind, name: name.into(), at: jiff::Timestamp::now().to_string() })?;
            book.next += 1;
            book.open.insert(seq, Entry { seq, kind, name: name.into(), id: None });
            seq
        };
        let made = create().await?;
        let mut book = self.book();
        book.write(&Record::Made { seq, id: made.id.clone() })?;
        if let Some(entry) = book.open.get_mut(&seq) {
            entry.id = Some(made.id);
        }
        Ok(made.value)
    }

    /// The thing with this ID is the run's result: it is not deleted on the way home.
    pub fn keep(&self, kind: Kind, id: &str) -> Result<(), LedgerError> {
        self.close(|e| e.kind == kind && e.id.as_deref() == Some(id), |seq| Record::Kept { seq })
    }

    /// The entry's thing is deleted.
    pub fn gone(&self, seq: u64) -> Result<(), LedgerError> {
        self.close(|e| e.seq == seq, |seq| Record::Gone { seq })
    }

    /// The same for the thing of this kind with this ID.
    pub fn gone_by_id(&self, kind: Kind, id: &str) -> Result<(), LedgerError> {
        self.close(|e| e.kind == kind && e.id.as_deref() == Some(id), |seq| Record::Gone { seq })
    }

    fn close(&self, which: impl Fn(&Entry) -> bool, record: impl Fn(u64) -> Record) -> Result<(), LedgerError> {
        let mut book = self.book();
        let found: Vec<u64> = book.open.values().filter(|e| which(e)).map(|e| e.seq).collect();
        for seq in found {
            book.write(&record(seq))?;
            book.open.remove(&seq);
        }
        Ok(())
    }

    /// What is owned and neither deleted nor kept, newest first.
    pub fn entries(&self) -> Vec<Entry> {
        self.book().open.values().rev().cloned().collect()
    }

    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.0.lock().expect("the ledger's lock is held for one write only, which does not panic")
    }
}

impl Book {
    fn write(&mut self, record: &Record) -> Result<(), LedgerError> {
        let mut line = serde_json::to_string(record).expect("a record is plain data");
        line.push('\n');
        let io = |source| LedgerError::Io { path: self.path.clone(), source };
        let mut file = self.file.as_ref().ok_or_else(|| io(std::io::Error::other("this run only reads")))?;
        file.write_all(line.as_bytes()).and_then(|()| file.sync_data()).map_err(io)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Result<T> = std::result::Result<T, LedgerError>;

    async fn own(ledger: &Ledger, name: &str, id: Option<&str>) {
        let create = || async {
            match id {
                Some(id) => Ok(Made { id: id.into(), value: () }),
                None => Err(LedgerError::Io { path: "reply".into(), source: std::io::Error::other("lost") }),
            }
        };
        let _: Result<()> = ledger.own(Kind::Image, name, create).await;
    }

    #[tokio::test]
    async fn what_was_written_is_read_back_newest_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l");
        let ledger = Ledger::open(&path).unwrap();
        own(&ledger, "a", Some("1")).await;
        own(&ledger, "b", None).await;
        own(&ledger, "c", Some("3")).await;
        own(&ledger, "d", Some("4")).await;
        ledger.keep(Kind::Image, "3").unwrap();
        ledger.gone_by_id(Kind::Image, "4").unwrap();
        let expected = vec![
            Entry { seq: 1, kind: Kind::Image, name: "b".into(), id: None },
            Entry { seq: 0, kind: Kind::Image, name: "a".into(), id: Some("1".into()) },
        ];
        assert_eq!(ledger.entries(), expected);
        assert_eq!(Ledger::open(&path).unwrap().entries(), expected);
    }

    /// The intent is on disk while the create runs: a crash there loses nothing.
    #[tokio::test]
    async fn the_intent_is_written_before_the_create_runs() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l");
        let ledger = Ledger::open(&path).unwrap();
        let _: Result<()> = ledger
            .own(Kind::Machine, "m", || async {
                let seen = Ledger::open(&path).unwrap().entries();
                assert_eq!(seen, [Entry { seq: 0, kind: Kind::Machine, name: "m".into(), id: None }]);
                Ok(Made { id: "x".into(), value: () })
            })
            .await;
    }

    /// Wherever a crash cuts the file, what remains is a ledger that owns at least what was answered by then.
    #[tokio::test]
    async fn a_ledger_cut_anywhere_is_readable() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l");
        let ledger = Ledger::open(&path).unwrap();
        own(&ledger, "a", Some("1")).await;
        own(&ledger, "b", Some("2")).await;
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..=whole.len() {
            let path = dir.path().join("cut");
            std::fs::write(&path, &whole[..cut]).unwrap();
            let again = Ledger::open(&path).unwrap();
            let lines = whole[..cut].iter().filter(|b| **b == b'\n').count();
            assert_eq!(again.entries().len(), [0, 1, 1, 2, 2][lines], "cut at {cut}");
            own(&again, "c", Some("3")).await;
            assert!(Ledger::open(&path).unwrap().entries().iter().any(|e| e.name == "c"), "cut at {cut}");
        }
    }

    #[tokio::test]
    async fn a_ledger_of_nothing_owns_nothing() {
        let made: Result<()> = Ledger::none().own(Kind::Image, "x", || async { panic!("nothing may be created") }).await;
        assert!(made.is_err());
    }

    #[test]
    fn a_line_that_is_no_record_is_told_with_its_number() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l");
        std::fs::write(&path, "{\"record\":\"gone\",\"seq\":1}\nnonsense\n").unwrap();
        assert!(Ledger::open(&path).err().unwrap().to_string().contains(":2: "));
    }
}
