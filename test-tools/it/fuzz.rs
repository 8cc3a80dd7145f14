//! The parsers that read what strangers write, fed with what nobody would write: `fuzz/corpus`,
//! changed at random.
//!
//! No nightly toolchain is needed: `make fuzz SECONDS=60` gives the targets a minute together, a
//! plain `cargo test` a second each. `make fuzz-guided` is cargo-fuzz on the same targets and the
//! same corpus, which finds what chance does not.
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

#[path = "../../fuzz/src/lib.rs"]
mod targets;

mod mutate;

/// An input that takes longer never ends.
const HANG: Duration = Duration::from_secs(60);
/// Bytes of an input.
const MOST: usize = 4096;

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(&dir).unwrap().flatten().map(|e| e.path()).collect();
    files.sort();
    let read: Vec<Vec<u8>> = files.iter().map(|f| std::fs::read(f).unwrap()).collect();
    assert!(!read.is_empty(), "{} is empty", dir.display());
    read
}

/// All of the corpus, then changes of it until the time is over. An input that fails is kept, and
/// its file named.
fn fuzz(name: &'static str) {
    let all = std::env::var("FACTORY_FUZZ_SECONDS")
        .map_or(Ok(0.0), |s| s.parse())
        .expect("FACTORY_FUZZ_SECONDS is a number");
    let limit = Duration::from_secs_f64((all / targets::TARGETS.len() as f64).max(1.0));
    let seed = std::env::var("FACTORY_FUZZ_SEED")
        .map_or_else(|_| new_seed(), |s| s.parse().expect("FACTORY_FUZZ_SEED is a number"));
    let _ = targets::PROGRAM.set(env!("CARGO_BIN_EXE_image-factory").into());
    let (corpus, begin) = (corpus(name), Instant::now());
    let mut change = mutate::Mutator::new(seed);
    let mut tried = 0u64;
    for input in corpus.iter() {
        tries(name, input.clone());
    }
    // On a slow machine the corpus alone may take the time.
    while begin.elapsed() < limit || tried == 0 {
        tries(name, change.of(&corpus, MOST));
        tried += 1;
    }
    println!(
        "{name}: {} files, {tried} changes of them in {:.0} s, seed {seed}",
        corpus.len(),
        begin.elapsed().as_secs_f64()
    );
}

fn new_seed() -> u64 {
    uuid::Uuid::new_v4().as_u128() as u64
}

fn tries(name: &'static str, input: Vec<u8>) {
    let kept = input.clone();
    let (done, wait) = channel();
    let thread = std::thread::spawn(move || {
        let ended = catch_unwind(AssertUnwindSafe(|| targets::target(name, &input)));
        let _ = done.send(());
        ended
    });
    let hangs = wait.recv_timeout(HANG) == Err(RecvTimeoutError::Timeout);
    if hangs || thread.join().is_ok_and(|ended| ended.is_err()) {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz").join(name);
        let file = dir.join(uuid::Uuid::new_v4().simple().to_string());
        std::fs::create_dir_all(&dir).and_then(|()| std::fs::write(&file, &kept)).unwrap();
        panic!(
            "{name} {} on {}:\n{}",
            if hangs { "hangs" } else { "fails" },
            file.display(),
            String::from_utf8_lossy(&kept)
        );
    }
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            fuzz(stringify!($name));
        })*

        #[test]
        fn no_target_is_forgotten() {
            assert_eq!(targets::TARGETS.map(|(name, _)| name), [$(stringify!($name)),*]);
        }
    };
}

targets! { build_vars template qcow2 console answers checksums ledger clouds_yaml }
