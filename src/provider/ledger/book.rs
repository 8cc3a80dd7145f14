//! The file of a ledger that is open, and what was written to it.
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use super::LedgerError;
use super::record::Record;
use super::told::Told;

pub(super) struct Book {
    pub path: PathBuf,
    pub file: Option<File>,
    /// Of what is written and synced, in bytes.
    pub length: u64,
    /// What lies behind that could not be taken off: the next record begins on a new line.
    pub ragged: bool,
    pub told: Told,
}

impl Book {
    pub fn write(&mut self, record: &Record) -> Result<(), LedgerError> {
        let mut line = serde_json::to_string(record).expect("a record is plain data");
        line.push('\n');
        if self.ragged {
            line.insert(0, '\n');
        }
        let io = |source| LedgerError { path: self.path.clone(), source };
        let Some(mut file) = self.file.take() else {
            return Err(io(std::io::Error::other("this run only reads")));
        };
        let written = file.write_all(line.as_bytes()).and_then(|()| file.sync_data()).map_err(io);
        match &written {
            Ok(()) => (self.length, self.ragged) = (self.length + line.len() as u64, false),
            // A disk that is full, say. What there is of the record must not be in the way of the
            // next.
            Err(_) => self.cut(&file),
        }
        self.file = Some(file);
        written
    }

    /// Takes off what is not a whole record.
    pub fn cut(&mut self, file: &File) {
        match file.metadata().map(|m| m.len()) {
            Ok(length) if length == self.length => self.ragged = false,
            _ => self.ragged = file.set_len(self.length).is_err(),
        }
        if self.ragged {
            self.length = file.metadata().map_or(self.length, |m| m.len());
        }
    }
}
