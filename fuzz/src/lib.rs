//! What must hold for every input of the parsers that read what strangers write, as one function of
//! bytes each: it panics where that does not hold. cargo-fuzz drives them (`fuzz_targets/`), and so
//! do the tests of the factory (`test-tools/it/fuzz.rs`), which need no nightly toolchain. Beside
//! "no panic": an end in time, output within bounds, and what is said in each function.
mod definition;
mod machine;
mod records;

/// Panics where what must hold of these bytes does not.
pub type Target = fn(&[u8]);

/// A name, and the function. `corpus/<name>` has what it starts from.
pub const TARGETS: [(&str, Target); 8] = [
    ("build_vars", definition::build_vars),
    ("template", definition::template),
    ("qcow2", machine::qcow2),
    ("console", machine::console),
    ("answers", machine::answers),
    ("checksums", records::checksums),
    ("ledger", records::ledger),
    ("clouds_yaml", records::clouds_yaml),
];

/// The longest that one input may take, of 128 KiB at most: generous, for sanitizers and machines
/// that do other things too.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(5);

/// Runs `work`, which must end in time. One that never ends is the driver's to notice.
fn in_time<T>(work: impl FnOnce() -> T) -> T {
    let begin = std::time::Instant::now();
    let done = work();
    assert!(begin.elapsed() <= LIMIT, "took {:?}, and may take {LIMIT:?}", begin.elapsed());
    done
}

/// The factory's program, where it is not the one that `FACTORY_PROGRAM` names.
pub static PROGRAM: std::sync::OnceLock<std::path::PathBuf> = std::sync::OnceLock::new();

fn program() -> std::path::PathBuf {
    let named =
        || std::env::var_os("FACTORY_PROGRAM").expect("FACTORY_PROGRAM names image-factory").into();
    PROGRAM.get_or_init(named).clone()
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(work)
}

/// One directory for each thread, emptied by nobody: what lies in it is written over.
fn scratch() -> std::path::PathBuf {
    thread_local! {
        static DIR: tempfile::TempDir =
            tempfile::Builder::new().prefix("fuzz").tempdir().expect("a temporary directory");
    }
    DIR.with(|dir| dir.path().to_owned())
}

/// Nothing in it that a terminal acts on, and nothing that shows text in another order than it has.
#[track_caller]
fn is_plain(text: &str) {
    let steers = |c: char| {
        c != '\t' && c.is_control()
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(!text.contains(steers), "it steers the terminal: {text:?}");
}

/// The target of this name.
pub fn target(name: &str, data: &[u8]) {
    let (_, check) = TARGETS.iter().find(|(n, _)| *n == name).expect("a target of TARGETS");
    check(data);
}
