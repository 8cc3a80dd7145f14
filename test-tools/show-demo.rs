//! Replays an invented build of images/bundle-nginx through a sink, to look at it: `cargo run
//! --example show-demo -- [--fail boot|step|check|leak] [--progress bar|plain|json] [--speed N]
//! [--runs N] [-v|-q] [--log FILE]`.
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use image_factory::testing::ansible;
use image_factory::testing::cli::show::{self, Progress, Terminal};
use image_factory::testing::event::{Check, Event, Events, FinishedImage, Stage, Verdict, seconds};
use image_factory::testing::log::LogFile;

#[derive(Parser)]
struct Args {
    #[arg(long)]
    fail: Option<String>,
    #[arg(long, value_enum, default_value = "auto")]
    progress: Progress,
    /// 10 replays a run of two minutes in twelve seconds.
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    #[arg(short, conflicts_with = "quiet")]
    verbose: bool,
    #[arg(short)]
    quiet: bool,
    /// So many runs in a row, through the same sink.
    #[arg(long, default_value_t = 1)]
    runs: usize,
    #[arg(long)]
    log: Option<std::path::PathBuf>,
}

/// The run being replayed.
struct Replay {
    events: Events,
    speed: f64,
    fail: String,
}

type Failed = String;

const RUN: &str = "20261120-233104-3f0b84";

fn main() -> ExitCode {
    let args = Args::parse();
    let events = Events::default();
    let verbosity = i8::from(args.verbose) - i8::from(args.quiet);
    events.add(show::sink(
        "demo",
        args.progress,
        verbosity,
        &Terminal::of_stderr(|key| std::env::var(key).ok()),
    ));
    if let Some(path) = &args.log {
        events.add(Box::new(LogFile::create(path).expect("the log can be written")));
    }
    let replay = Replay { events, speed: args.speed, fail: args.fail.unwrap_or_default() };
    let results: Vec<_> = (0..args.runs).map(|_| replay.whole()).collect();
    if results.iter().all(Result::is_ok) { ExitCode::SUCCESS } else { ExitCode::from(30) }
}

impl Replay {
    /// A run from its first event to its last.
    fn whole(&self) -> Result<(), Failed> {
        let began = Instant::now();
        let name = "bundle-nginx-2026-11-202331".to_owned();
        self.events.emit(Event::Started {
            purpose: "building".into(),
            run: RUN.into(),
            bundle: "images/bundle-nginx".into(),
            image_name: name.clone(),
            cloud: "local".into(),
        });
        let result = self.run();
        let _ = self.stage(Stage::Unwind, |r| {
            r.wait(1.5);
            Ok(())
        });
        let leaks = if self.fail == "leak" {
            vec![format!("port factory-{RUN}-builder: 409 in use")]
        } else {
            Vec::new()
        };
        let image = result
            .is_ok()
            .then(|| FinishedImage { id: "0193c0e1-77aa-7b02-8c11-5d2f9a0e4b6c".into(), name });
        self.events.emit(Event::Finished {
            outcome: if result.is_ok() { "built" } else { "failed" }.into(),
            seconds: seconds(began.elapsed()),
            image,
            error: result.as_ref().err().cloned(),
            leaks,
        });
        result
    }

    fn wait(&self, seconds: f64) {
        std::thread::sleep(Duration::from_secs_f64(seconds / self.speed));
    }

    fn stage(
        &self,
        stage: Stage,
        work: impl FnOnce(&Self) -> Result<(), Failed>,
    ) -> Result<(), Failed> {
        self.events.emit(Event::StageStarted { stage });
        let began = Instant::now();
        let result = work(self);
        let seconds = seconds(began.elapsed());
        self.events.emit(match &result {
            Ok(()) => Event::StageDone { stage, seconds },
            Err(error) => Event::StageFailed { stage, seconds, error: error.clone() },
        });
        result
    }

    fn step(
        &self,
        index: usize,
        name: &str,
        work: impl FnOnce(&Self) -> Result<(), Failed>,
    ) -> Result<(), Failed> {
        self.events.emit(Event::StepStarted { index, of: 2, name: name.into() });
        let began = Instant::now();
        let result = work(self);
        let seconds = seconds(began.elapsed());
        self.events.emit(match &result {
            Ok(()) => Event::StepDone { index, seconds },
            Err(error) => Event::StepFailed { index, seconds, error: error.clone() },
        });
        result.map_err(|error| format!("step {}/2 ({name}): {error}", index + 1))
    }

    fn run(&self) -> Result<(), Failed> {
        let e = &self.events;
        self.stage(Stage::Plan, |r| {
            r.events.note("KVM: a trial machine ran");
            r.wait(0.3);
            Ok(())
        })?;
        self.stage(Stage::Boot, |r| {
            for (what, s) in
                [("booting", 1.0), ("waiting for SSH of", 4.0), ("waiting for cloud-init of", 3.0)]
            {
                e.doing(format!("{what} factory-{RUN}-builder"));
                r.wait(s / 2.0);
                e.output(
                    "console",
                    "\x1b[0;32m[    4.217733]\x1b[0m systemd[1]: Reached target \
                    \u{1b}[0;1;39mcloud-init.target\x1b[0m - Cloud-init target.",
                );
                r.wait(s / 2.0);
            }
            if r.fail == "boot" {
                return Err(
                    "the builder did not answer on SSH in 300 s\nfault: No valid host was \
                    found. There are not enough hosts available.\nhint: try a smaller flavor: \
                    `vm_flavor: m1.small`"
                        .into(),
                );
            }
            Ok(())
        })?;
        self.stage(Stage::Provision, Self::provision)?;
        self.stage(Stage::Tidy, |r| {
            r.wait(1.0);
            Ok(())
        })?;
        self.stage(Stage::Capture, |r| {
            e.doing("converting the disk");
            for n in 0..=60 {
                e.emit(Event::Progress {
                    done: n * 57_000_000,
                    of: 60 * 57_000_000,
                    unit: "bytes".into(),
                });
                r.wait(0.15);
            }
            Ok(())
        })?;
        self.stage(Stage::Smoke, Self::smoke)?;
        self.stage(Stage::Publish, |r| {
            r.wait(0.5);
            Ok(())
        })?;
        self.stage(Stage::Output, |_| Ok(()))
    }

    fn provision(&self) -> Result<(), Failed> {
        self.step(0, "web server", |r| {
            let sample = include_str!("ansible-output/stderr.out");
            for n in 1..12 {
                r.events.output(
                    "ansible",
                    format!(
                        "TASK [nginx : install part {n} of the web server, of which there are \
                        many] {}",
                        "*".repeat(60)
                    ),
                );
                r.wait(0.4);
                r.events.output(
                    "ansible",
                    "\x1b[0;33mchanged: [builder] => \
                    (item=日本語のとても長い名前のパッケージ)\x1b[0m",
                );
                r.events.output("ansible", "");
                r.wait(0.4);
            }
            if r.fail == "step" {
                for line in sample.lines() {
                    r.events.output("ansible", line);
                }
                return Err(ansible::failure(&sample.lines().collect::<Vec<_>>())
                    .expect("it failed")
                    .to_string());
            }
            r.events.warn("[DEPRECATION WARNING]: apt_key is deprecated");
            Ok(())
        })?;
        self.step(1, "configuration is sound", |r| {
            r.events.output("shell", "nginx: the configuration file syntax is ok\r");
            r.wait(1.0);
            r.events.output("shell", "nginx: configuration file test is successful\r");
            r.wait(0.5);
            r.events.output("shell", "enabled");
            r.wait(0.6);
            Ok(())
        })
    }

    fn smoke(&self) -> Result<(), Failed> {
        self.events.doing("booting the captured image");
        self.wait(3.0);
        self.events.doing("running checks");
        let failing = self.fail == "check";
        for (id, verdict, reason) in [
            ("boots", Verdict::Passed, "to cloud-init's end in 9 s"),
            ("host-keys-unique", Verdict::Passed, ""),
            ("disk-size", Verdict::Skipped, "the root file system is on overlay, which is no disk"),
            (
                "tests/page",
                if failing { Verdict::Failed } else { Verdict::Passed },
                if failing { "expected 200, got 404" } else { "" },
            ),
        ] {
            self.wait(0.7);
            let output = if verdict == Verdict::Failed {
                "curl -fsS http://localhost/\ncurl: (22) The requested URL returned error: 404\n"
            } else {
                ""
            };
            let (id, reason, output) = (id.into(), reason.into(), output.into());
            self.events.emit(Event::Check(Check { id, verdict, seconds: 0.7, reason, output }));
        }
        if failing { Err("1 of 4 checks failed: tests/page".into()) } else { Ok(()) }
    }
}
