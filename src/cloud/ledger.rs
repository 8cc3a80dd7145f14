//! The ledger of a run: every create is written down before it is sent, so that undo is data and
//! not code.
//!
//! One JSON record a line, each synced to disk before the call goes on. `own` writes an intent,
//! runs one create, writes the ID. A create whose reply was lost keeps its entry with the name
//! alone; deletion finds the thing by name and owner.
//!
//! What a full disk or a power cut left of a record is told of (`damage`) and passed over: what the
//! other lines own is owned all the same.
use std::collections::BTreeMap;
use std::fs::File;
use std::future::Future;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use crate::durable;

/// A run writes some dozens of lines; what is longer than this many bytes no run wrote.
const LONGEST: u64 = 64 << 20;
/// Of the directory in the factory's home that holds a directory for each run, and of the ledger in
/// that.
pub const RUNS: &str = "runs";
pub const FILE: &str = "ledger.jsonl";
/// As many places of damage are told of, and that there are more.
const TOLD: usize = 8;
/// Every record begins so.
const BEGIN: &[u8] = b"{\"record\":";

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
    /// When a create was begun whose answer was lost: it may be there, or come to be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unanswered: Option<jiff::Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "lowercase")]
enum Record {
    /// The first one: whose ledger it is, at which cloud its things are, and in which directory its
    /// sockets and keys.
    Run {
        run: String,
        cloud: String,
        #[serde(default)]
        runtime: Option<PathBuf>,
    },
    Intent {
        seq: u64,
        kind: Kind,
        name: String,
        at: String,
    },
    Made {
        seq: u64,
        id: String,
    },
    /// The answer to the create was lost, and the thing is not to be seen so far.
    Unanswered {
        seq: u64,
        at: jiff::Timestamp,
    },
    Gone {
        seq: u64,
    },
    Kept {
        seq: u64,
    },
}

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
    /// Of what is written and synced, in bytes.
    length: u64,
    /// What lies behind that could not be taken off: the next record begins on a new line.
    ragged: bool,
    told: Told,
}

/// What a ledger says.
#[derive(Debug, Default)]
pub struct Told {
    /// Of its first record; absent in ledgers of older versions.
    pub cloud: Option<String>,
    /// As `cloud`: the runtime directory that the run had, which may be another by now.
    pub runtime: Option<PathBuf>,
    /// One sentence for each place that is no record.
    pub damage: Vec<String>,
    next: u64,
    open: BTreeMap<u64, Entry>,
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
    fn begin(path: &Path) -> std::io::Result<(Self, u64)> {
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

    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.0.lock().expect("the ledger's lock is held for one write only, which does not panic")
    }
}

impl Book {
    fn write(&mut self, record: &Record) -> Result<(), LedgerError> {
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
    fn cut(&mut self, file: &File) {
        match file.metadata().map(|m| m.len()) {
            Ok(length) if length == self.length => self.ragged = false,
            _ => self.ragged = file.set_len(self.length).is_err(),
        }
        if self.ragged {
            self.length = file.metadata().map_or(self.length, |m| m.len());
        }
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
                None => {
                    Err(LedgerError { path: "reply".into(), source: std::io::Error::other("lost") })
                }
            }
        };
        let _: Result<()> = ledger.own(Kind::Image, name, create).await;
    }

    /// What was not answered stays so for whoever reads the ledger later, until it is there or
    /// given up.
    #[tokio::test]
    async fn a_lost_answer_is_written_down() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.jsonl");
        let ledger = Ledger::open(&path).unwrap();
        let (one, two) = (
            ledger.intend(Kind::Machine, "one").unwrap(),
            ledger.intend(Kind::Volume, "two").unwrap(),
        );
        let at: jiff::Timestamp = "2026-11-20T10:00:00Z".parse().unwrap();
        for seq in [one, two] {
            ledger.unanswered(seq, at).unwrap();
        }
        ledger.made(two, "id-2").unwrap();
        let told = Told::read(&path).unwrap();
        assert!(told.damage.is_empty(), "{:?}", told.damage);
        assert_eq!(told.entries(), ledger.entries());
        let seen: Vec<_> =
            told.entries().into_iter().map(|e| (e.name, e.id, e.unanswered)).collect();
        assert_eq!(
            seen,
            [("two".to_owned(), Some("id-2".to_owned()), None), ("one".to_owned(), None, Some(at))]
        );
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
            Entry { seq: 1, kind: Kind::Image, name: "b".into(), id: None, unanswered: None },
            Entry {
                seq: 0,
                kind: Kind::Image,
                name: "a".into(),
                id: Some("1".into()),
                unanswered: None,
            },
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
                assert_eq!(
                    seen,
                    [Entry {
                        seq: 0,
                        kind: Kind::Machine,
                        name: "m".into(),
                        id: None,
                        unanswered: None
                    }]
                );
                Ok(Made { id: "x".into(), value: () })
            })
            .await;
    }

    /// Wherever a crash cuts the file, what remains is a ledger that owns at least what was
    /// answered by then.
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
            assert!(
                Ledger::open(&path).unwrap().entries().iter().any(|e| e.name == "c"),
                "cut at {cut}"
            );
        }
    }

    #[tokio::test]
    async fn a_ledger_of_nothing_owns_nothing() {
        let made: Result<()> = Ledger::none()
            .own(Kind::Image, "x", || async { panic!("nothing may be created") })
            .await;
        assert!(made.is_err());
    }

    /// What was torn off by a full disk or a power cut is told of, and hides nothing that comes
    /// after it.
    #[tokio::test]
    async fn damage_in_the_middle_hides_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l");
        let ledger = Ledger::open(&path).unwrap();
        ledger.begin("r", "somewhere", Path::new("/run/here")).unwrap();
        for (name, id) in [("a", "1"), ("b", "2"), ("c", "3")] {
            own(&ledger, name, Some(id)).await;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let names = |text: &[u8]| {
            std::fs::write(&path, text).unwrap();
            let told = Told::read(&path).unwrap();
            let names: Vec<String> = told.entries().into_iter().map(|e| e.name).collect();
            (names.join(" "), told)
        };
        // The intent of `b`, cut anywhere, with the next record on its line or on the next.
        for cut in 1..lines[3].len() {
            for glue in ["", "\n"] {
                let torn = format!("{}{glue}", &lines[3][..cut]);
                let whole =
                    [lines[..3].join("\n"), torn + &lines[4..].join("\n")].join("\n") + "\n";
                let (found, told) = names(whole.as_bytes());
                assert_eq!(found, "c a", "{whole}");
                assert!(
                    told.damage.len() >= 2 && told.damage[1].contains("an ID, 2"),
                    "{:?}",
                    told.damage
                );
                assert_eq!(told.cloud.as_deref(), Some("somewhere"));
            }
        }
        for junk in [
            &b"\0\0\0\0\0"[..],
            b"\xff\xfe",
            b"nonsense",
            b"[1]",
            b"{}",
            b"{\"record\":\"odd\"}",
            b"\0\n\n",
        ] {
            let whole = [
                lines[..5].join("\n").as_bytes(),
                b"\n",
                junk,
                lines[5..].join("\n").as_bytes(),
                b"\n",
            ]
            .concat();
            let (found, told) = names(&whole);
            assert_eq!(found, "c b a");
            assert!(told.damage[0].contains("line 6 is no record"), "{:?}", told.damage);
            own(&Ledger::open(&path).unwrap(), "d", Some("4")).await;
            assert_eq!(
                Told::read(&path).unwrap().entries()[0],
                Entry {
                    id: Some("4".into()),
                    name: "d".into(),
                    seq: 3,
                    kind: Kind::Image,
                    unanswered: None
                }
            );
        }
    }

    #[tokio::test]
    async fn damage_is_told_in_few_words_and_no_number_is_given_twice() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l");
        std::fs::write(
            &path,
            "x\n".repeat(100_000) + "{\"record\":\"gone\",\"seq\":18446744073709551615}\n",
        )
        .unwrap();
        assert_eq!(Told::read(&path).unwrap().damage.len(), TOLD + 1);
        own(&Ledger::open(&path).unwrap(), "a", Some("1")).await;
        std::fs::write(&path, "{\"record\":\"made\",\"seq\":7,\"id\":\"i\"}\n").unwrap();
        let ledger = Ledger::open(&path).unwrap();
        own(&ledger, "a", None).await;
        assert_eq!(ledger.entries()[0].seq, 8);
    }

    #[test]
    fn what_is_no_file_or_too_long_is_an_end_and_no_wait() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        assert!(
            Ledger::open(&fifo).is_err()
                && Told::read(&fifo).is_err()
                && Ledger::open(dir.path()).is_err()
        );
        let long = dir.path().join("long");
        File::create(&long).unwrap().set_len(LONGEST * 1000).unwrap();
        assert!(Told::read(&long).unwrap().damage.iter().any(|d| d.contains("is not read")));
    }

    /// The disk has room for a record and a half (a limit on file sizes is a full disk to a
    /// program), and later for more.
    #[tokio::test]
    async fn a_full_disk_lets_nothing_be_made_and_leaves_the_ledger_whole() {
        let dir = tempfile::tempdir().unwrap();
        let inner = "cloud::ledger::tests::in_little_room";
        let test = std::env::current_exe().unwrap();
        let script = r#"trap '' XFSZ; ulimit -S -f 1 && exec "$0" --exact "$1" --ignored"#;
        let ran = std::process::Command::new("sh")
            .args(["-c", script])
            .args([test.as_os_str(), inner.as_ref()])
            .env("LEDGER_ROOM", dir.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stdout).into_owned()
            + &String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success() && said.contains("1 passed"), "{said}");
    }

    #[tokio::test]
    #[ignore = "started by the test above, with a limit on file sizes"]
    async fn in_little_room() {
        let path = PathBuf::from(std::env::var_os("LEDGER_ROOM").unwrap()).join("l");
        let ledger = Ledger::open(&path).unwrap();
        let made = std::sync::atomic::AtomicU32::new(0);
        let own = async |name: &str| -> Result<()> {
            let create = || async {
                made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                Ok(Made { id: "id".into(), value: () })
            };
            ledger.own(Kind::Image, name, create).await
        };
        own("first").await.unwrap();
        // More than the 512 or 1024 bytes there are.
        let long = "x".repeat(900);
        assert!(own(&long).await.is_err());
        own("small").await.unwrap_or(());
        // SAFETY: plain system call on a structure of our own.
        let freed = unsafe {
            let mut limit = std::mem::zeroed::<libc::rlimit>();
            libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut limit);
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit)
        };
        assert_eq!(freed, 0);
        own("last").await.unwrap();
        let told = Told::read(&path).unwrap();
        assert_eq!(told.damage, Vec::<String>::new());
        assert_eq!(told.entries(), ledger.entries());
        assert!(told.entries().iter().all(|e| e.name != long) && made.into_inner() <= 3);
    }
}
