//! The ledger of a run: every create is written down before it is sent, so that undo is data and
//! not code.
//!
//! One JSON record a line, each synced to disk before the call goes on. `own` writes an intent,
//! runs one create, writes the ID. A create whose reply was lost keeps its entry with the name
//! alone; deletion finds the thing by name and owner.
//!
//! What a full disk or a power cut left of a record is told of (`damage`) and passed over: what the
//! other lines own is owned all the same.
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::system::durable;

mod book;
mod entry;
mod record;
#[cfg(test)]
mod tests;
mod told;

use book::Book;
pub use entry::{Entry, Kind, Leak};
use record::Record;
pub use told::Told;

/// Of the directory in the factory's home that holds a directory for each run, and of the ledger in
/// that.
pub const RUNS: &str = "runs";
pub const FILE: &str = "ledger.jsonl";
#[derive(Debug, thiserror::Error)]
#[error("ledger {path}: {source}")]
pub struct LedgerError {
    pub path: PathBuf,
    pub source: std::io::Error,
}

/// What a create gives back: the cloud's ID for the ledger, and a value for the caller.
pub struct Made<T> {
    pub id: String,
    pub value: T,
}

#[derive(Clone)]
pub struct Ledger(Arc<Mutex<Book>>);

impl Ledger {
    /// Opens the ledger at `path`, made if it is not there. A last line that was cut off by a crash
    /// is dropped: nothing was sent on its strength, because a record is synced before its create
    /// is.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let open = || {
            let (told, length) = Told::begin(path)?;
            let file = durable::open_to_append(path)?;
            let length = length.min(file.metadata()?.len());
            let mut book = Book { path: path.into(), file: None, length, ragged: false, told };
            book.cut(&file);
            file.sync_all()?;
            book.file = Some(file);
            Ok(Self(Arc::new(Mutex::new(book))))
        };
        open().map_err(|source| LedgerError { path: path.into(), source })
    }

    /// The first record of a run's ledger.
    pub fn begin(&self, run: &str, cloud: &str, runtime: &Path) -> Result<(), LedgerError> {
        let mut book = self.book();
        book.write(&Record::Run {
            run: run.into(),
            cloud: cloud.into(),
            runtime: Some(runtime.into()),
        })?;
        (book.told.cloud, book.told.runtime) = (Some(cloud.into()), Some(runtime.into()));
        Ok(())
    }

    /// A ledger of nothing, for calls that only read; to own with it is an error.
    pub fn none() -> Self {
        Self(Arc::new(Mutex::new(Book {
            path: "(none)".into(),
            file: None,
            length: 0,
            ragged: false,
            told: Told::default(),
        })))
    }

    /// Writes the intent, runs the one create, writes its ID. On an error the entry stays: the
    /// thing may be there all the same.
    pub async fn own<T, E, F>(
        &self,
        kind: Kind,
        name: &str,
        create: impl FnOnce() -> F,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<Made<T>, E>>,
        E: From<LedgerError>,
    {
        let seq = self.intend(kind, name)?;
        let made = create().await?;
        self.made(seq, &made.id)?;
        Ok(made.value)
    }

    /// The first half of [`Ledger::own`], for who can tell more of a create that failed: it was not
    /// done ([`Ledger::gone`]), or nobody knows ([`Ledger::unanswered`]).
    pub fn intend(&self, kind: Kind, name: &str) -> Result<u64, LedgerError> {
        let mut book = self.book();
        let seq = book.told.next;
        book.write(&Record::Intent {
            seq,
            kind,
            name: name.into(),
            at: jiff::Timestamp::now().to_string(),
        })?;
        book.told.next = seq.saturating_add(1);
        book.told
            .open
            .insert(seq, Entry { seq, kind, name: name.into(), id: None, unanswered: None });
        Ok(seq)
    }

    /// The other half.
    pub fn made(&self, seq: u64, id: &str) -> Result<(), LedgerError> {
        let mut book = self.book();
        book.write(&Record::Made { seq, id: id.into() })?;
        if let Some(entry) = book.told.open.get_mut(&seq) {
            (entry.id, entry.unanswered) = (Some(id.into()), None);
        }
        Ok(())
    }

    /// The create of `seq`, begun at `at`, was not answered, and the thing was not seen since.
    pub fn unanswered(&self, seq: u64, at: jiff::Timestamp) -> Result<(), LedgerError> {
        let mut book = self.book();
        book.write(&Record::Unanswered { seq, at })?;
        if let Some(entry) = book.told.open.get_mut(&seq) {
            entry.unanswered = Some(at);
        }
        Ok(())
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

    fn close(
        &self,
        which: impl Fn(&Entry) -> bool,
        record: impl Fn(u64) -> Record,
    ) -> Result<(), LedgerError> {
        let mut book = self.book();
        let found: Vec<u64> = book.told.open.values().filter(|e| which(e)).map(|e| e.seq).collect();
        for seq in found {
            book.write(&record(seq))?;
            book.told.open.remove(&seq);
        }
        Ok(())
    }

    /// What is owned and neither deleted nor kept, newest first.
    pub fn entries(&self) -> Vec<Entry> {
        self.book().told.entries()
    }

    /// As on a disk that is full from now on.
    #[cfg(test)]
    pub fn fill(&self) {
        self.book().file = None;
    }

    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.0.lock().expect("the ledger's lock is held for one write only, which does not panic")
    }
}
