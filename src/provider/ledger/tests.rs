//! The ledger read back: after faults, cuts, damage, and on a full disk.
use std::fs::File;
use std::path::{Path, PathBuf};

use super::told::{LONGEST, TOLD};
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
    let (one, two) =
        (ledger.intend(Kind::Machine, "one").unwrap(), ledger.intend(Kind::Volume, "two").unwrap());
    let at: jiff::Timestamp = "2026-11-20T10:00:00Z".parse().unwrap();
    for seq in [one, two] {
        ledger.unanswered(seq, at).unwrap();
    }
    ledger.made(two, "id-2").unwrap();
    let told = Told::read(&path).unwrap();
    assert!(told.damage.is_empty(), "{:?}", told.damage);
    assert_eq!(told.entries(), ledger.entries());
    let seen: Vec<_> = told.entries().into_iter().map(|e| (e.name, e.id, e.unanswered)).collect();
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
    let made: Result<()> =
        Ledger::none().own(Kind::Image, "x", || async { panic!("nothing may be created") }).await;
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
            let whole = [lines[..3].join("\n"), torn + &lines[4..].join("\n")].join("\n") + "\n";
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
    let inner = "provider::ledger::tests::in_little_room";
    let test = std::env::current_exe().unwrap();
    let script = r#"trap '' XFSZ; ulimit -S -f 1 && exec "$0" --exact "$1" --ignored"#;
    let ran = std::process::Command::new("sh")
        .args(["-c", script])
        .args([test.as_os_str(), inner.as_ref()])
        .env("LEDGER_ROOM", dir.path())
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
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
