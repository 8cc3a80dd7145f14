//! The factory that is killed: a whole run on the local cloud in a process of its own, its machines
//! of one boot sector each.
//!
//! QEMU, ledger, store and run directories are the real ones. What is not there is a guest to talk
//! to: [`Guest`] answers as an obedient one would, and runs nothing anywhere.
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use image_factory::testing::engine::{Goal, checks::played};
use image_factory::testing::event::{Event, Sink, Stamped};
use image_factory::testing::guest::{
    Command, Connect, Exit, OnOutput, OnProgress, Remote, RemoteError, Stream, Target, Transfer,
};
use image_factory::testing::provider::qemu::{Accel, Local, LocalConfig};
use image_factory::testing::report::Renderer;
use image_factory::testing::run::{Factory, Home, RunOptions, RunRequest};
use image_factory::testing::settings::Settings;
use image_factory::testing::wall::{Config, Wall};
use image_factory::testing::{build_vars, cancel::Cancel};

use super::Moment;

/// In the environment of a victim: the directory of its [`Place`](super::Place).
pub const DIR: &str = "FACTORY_CRASH_DIR";
/// What the run starts itself as.
const PROGRAM: &str = env!("CARGO_BIN_EXE_image-factory");
/// The moment of its death, as [`Moment`] writes it.
pub const MOMENT: &str = "FACTORY_CRASH_MOMENT";

/// Builds `os/tiny` of the tree in `dir`, and dies by SIGKILL at `moment`. What it came to, if it
/// lives that long.
pub async fn live(dir: &Path, moment: Moment) -> Result<(), String> {
    let home = Home { data: dir.join("home"), runtime: dir.join("run/image-factory") };
    let config = LocalConfig {
        home: home.data.clone(),
        runtime: home.runtime.clone(),
        accel: Accel::Tcg,
        program: Some(PROGRAM.into()),
        checkpoints: 0,
    };
    let (cloud, cancel) = (Local::new(config), Cancel::default());
    if let Moment::Record(number) = moment {
        let (dir, others) = (dir.to_owned(), ledgers(dir));
        std::thread::spawn(move || die_at_record(&dir, &others, number));
    }
    let show = move |_: &str| Box::new(Tell { moment, seen: 0 }) as Box<dyn Sink>;
    let env = [("PATH".to_owned(), std::env::var("PATH").map_err(|e| e.to_string())?)].into();
    let wall =
        Wall::new(Config { settings: Settings::default(), env, home: None, hidden: Vec::new() });
    let factory = Arc::new(Factory {
        provider: Arc::new(cloud),
        connect: Arc::new(Guest),
        wall: Arc::new(wall),
        proxies: Default::default(),
        home,
        templates: Renderer::new(PROGRAM, "render-templates"),
    });
    let options = RunOptions {
        goal: Goal::Published,
        keep_on_failure: false,
        range: Default::default(),
        smoke: true,
        force: true,
        check_templates: false,
        show: Arc::new(show),
        cancel,
    };
    let tree = dir.join("tree");
    let loaded =
        build_vars::load(&tree, &tree.join("os/tiny")).map_err(|found| format!("{found:?}"))?;
    let ended = factory.build(RunRequest { definition: loaded.bundle, options }).await;
    match (ended.result, &ended.leaks[..]) {
        (Ok(_), []) => Ok(()),
        (Ok(_), leaks) => Err(format!("{leaks:?}")),
        (Err(e), _) => Err(e.to_string()),
    }
}

/// Nothing runs after this, no destructor either: the same as `kill -9` from outside.
fn die() -> ! {
    // SAFETY: plain system calls on this process.
    unsafe {
        libc::kill(libc::getpid(), libc::SIGKILL);
    }
    loop {
        std::thread::park();
    }
}

/// Says each event on a line of standard output, and dies at its moment.
struct Tell {
    moment: Moment,
    seen: usize,
}

impl Sink for Tell {
    fn take(&mut self, event: &Stamped) {
        // As many as there are bytes to copy and minutes to wait: no moments to count by.
        if matches!(event.event, Event::Progress { .. } | Event::Output { .. }) {
            return;
        }
        self.seen += 1;
        println!("event {}: {:?}", self.seen, event.event);
        if self.moment == Moment::Event(self.seen) {
            die();
        }
    }
}

/// Dies as soon as the run's ledger has `number` records. A record is written before the create
/// that it tells of begins, and after it ended: the deaths fall in the creates, and in between.
/// `others` are ledgers that were there before.
fn die_at_record(dir: &Path, others: &[PathBuf], number: usize) {
    loop {
        let records = |path: &PathBuf| {
            std::fs::read(path).unwrap_or_default().iter().filter(|b| **b == b'\n').count()
        };
        let own = ledgers(dir).into_iter().filter(|path| !others.contains(path));
        if own.map(|path| records(&path)).max().unwrap_or(0) >= number {
            die();
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

fn ledgers(dir: &Path) -> Vec<PathBuf> {
    let files = walkdir::WalkDir::new(dir).into_iter().flatten();
    files.filter(|e| e.file_name() == "ledger.jsonl").map(walkdir::DirEntry::into_path).collect()
}

/// A guest that says yes to everything; every machine has its own machine-id.
struct Guest;

#[async_trait]
impl Connect for Guest {
    async fn connect(&self, target: &Target, _: Duration) -> Result<Arc<dyn Remote>, RemoteError> {
        Ok(Arc::new(Session(target.port)))
    }
}

struct Session(u16);

/// What a machine prints that runs `script`: of a question that has marks, the answer between them.
fn answer(script: &str, text: &str) -> String {
    let marks =
        script.split_once("trap 'printf \"\\036").and_then(|(_, rest)| rest.split_once(' '));
    marks.map_or(text.to_owned(), |(id, _)| format!("\x1e{id} answer\n{text}\x1e{id} end\n"))
}

#[async_trait]
impl Remote for Session {
    async fn exec(&self, command: Command, mut output: OnOutput) -> Result<Exit, RemoteError> {
        let script = String::from_utf8_lossy(&command.script);
        let checks = played(&script, &command.args, |_| (0, "all is well".into()));
        let text = match checks {
            Some(text) => text,
            None if script.contains("/etc/machine-id") => format!("{:032x}\n", self.0),
            None => String::new(),
        };
        output(Stream::Stdout, answer(&script, &text).as_bytes());
        Ok(Exit::Code(0))
    }

    async fn put(&self, _: &Transfer<'_>, _: OnProgress) -> Result<(), RemoteError> {
        Ok(())
    }

    async fn ping(&self, _: Duration) -> Result<(), RemoteError> {
        Ok(())
    }
}
