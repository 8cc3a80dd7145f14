//! Templates are rendered by a process of their own: this program again, with nothing of the environment.
//!
//! Jinja's steps are counted, not bytes: a text that is doubled thirty times takes thirty steps. The kernel bounds that
//! process in memory and in processor time; whatever it does, this one only sees it end. One process renders the templates of
//! many bundles; it is started anew after a bundle that ended it.
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::templates::{Job, Outcome};
use crate::bundle::Bundle;
use crate::cancel::{Cancel, Cancelled};
use crate::diagnostic::Diagnostic;
use crate::exec::{self, Cmd, ExecError};
use crate::image::Image;
use crate::plan::Plan;

/// Memory of the process, its stack included. What it maps of files (the program) is not in it.
const MEMORY: u64 = 112 << 20;
const STACK: usize = 16 << 20;
/// Processor time for the templates of one bundle.
const TIME: Duration = Duration::from_secs(1);
/// For a process that waits instead of working; on a loaded machine an honest one waits, too.
const DEADLINE: Duration = Duration::from_secs(60);
/// All that one process hands back.
const MAX_RESULTS: u64 = 256 << 20;

/// What the two processes tell each other; one line of JSON each. After the question there are answers, in the same file.
#[derive(Serialize, Deserialize)]
struct Question {
    jobs: Vec<Job>,
    want: Want,
}

/// What is asked of it.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq)]
enum Want {
    /// What is wrong or odd; no texts.
    Findings,
    /// The texts; what is odd about them was told before.
    Texts,
    /// Both.
    All,
}

#[derive(Serialize, Deserialize)]
enum Answer {
    /// Template of a job.
    Begun(usize, usize),
    /// With what is odd.
    Done(usize, Outcome, Vec<Diagnostic>),
}

/// Renders templates, within bounds.
#[derive(Debug, Clone)]
pub struct Renderer {
    program: PathBuf,
    command: String,
}

impl Renderer {
    /// `program` called with `command` and a number calls [`serve`] with that number.
    pub fn new(program: impl Into<PathBuf>, command: impl Into<String>) -> Self {
        Self { program: program.into(), command: command.into() }
    }

    /// Renders every template with stand-ins for what only a build knows, and says what is wrong with them: for each bundle a list.
    pub async fn check(&self, bundles: &[&Bundle], cancel: &Cancel) -> Result<Vec<Vec<Diagnostic>>, Cancelled> {
        let jobs = bundles.iter().map(|bundle| Job::to_check(bundle)).collect();
        let done = self.all(jobs, Want::Findings, cancel).await?;
        Ok(done.into_iter().map(|(outcome, odd)| outcome.err().into_iter().flatten().chain(odd).collect()).collect())
    }

    /// Renders all templates for `image`; what is wrong with any of them comes back all at once.
    pub async fn render(&self, bundle: &Bundle, plan: &Plan, image: &Image, cancel: &Cancel) -> Result<Outcome, Cancelled> {
        let done = self.all(vec![Job::for_image(bundle, plan, image)], Want::Texts, cancel).await?;
        Ok(done.into_iter().next().map_or(Ok(Vec::new()), |(outcome, _)| outcome))
    }

    /// Renders all templates with stand-ins, for people who write them; `image` is an ID to use instead of the stand-in. With the
    /// outcome comes what is odd.
    pub async fn preview(&self, bundle: &Bundle, image: Option<&str>, cancel: &Cancel) -> Result<(Outcome, Vec<Diagnostic>), Cancelled> {
        let done = self.all(vec![Job::to_preview(bundle, image)], Want::All, cancel).await?;
        Ok(done.into_iter().next().unwrap_or((Ok(Vec::new()), Vec::new())))
    }

    async fn all(&self, jobs: Vec<Job>, want: Want, cancel: &Cancel) -> Result<Vec<(Outcome, Vec<Diagnostic>)>, Cancelled> {
        let nothing = || (Ok(Vec::new()), Vec::new());
        let mut outcomes: Vec<Option<(Outcome, Vec<Diagnostic>)>> = jobs.iter().map(|job| job.is_empty().then(nothing)).collect();
        while outcomes.iter().any(Option::is_none) {
            let open: Vec<usize> = (0..jobs.len()).filter(|at| outcomes[*at].is_none()).collect();
            let asked = Question { jobs: open.iter().map(|at| jobs[*at].clone()).collect(), want };
            let (ended, answers) = self.ask(&asked, cancel).await?;
            let mut last = (0, 0);
            for answer in answers {
                match answer {
                    Answer::Begun(job, template) => last = (job, template),
                    Answer::Done(job, outcome, odd) => {
                        if let Some(at) = open.get(job) {
                            outcomes[*at] = Some((outcome, odd));
                        }
                    }
                }
            }
            // Each round ends with one bundle less at least: the one that was being rendered when the process ended.
            let without = |at: &usize| outcomes[*at].is_none();
            let stuck = open.get(last.0).copied().filter(without).or_else(|| open.iter().copied().find(without));
            if let Some(at) = stuck {
                let found = jobs[at].finding(last.1, why(&ended)).hint(HINT);
                outcomes[at] = Some((Err(vec![found]), Vec::new()));
            }
        }
        Ok(outcomes.into_iter().flatten().collect())
    }

    /// One process: how it ended, and what it answered until then.
    async fn ask(&self, question: &Question, cancel: &Cancel) -> Result<(String, Vec<Answer>), Cancelled> {
        let failed = |why: String| Ok((why, Vec::new()));
        let asked = serde_json::to_vec(question).map_err(|e| e.to_string()).and_then(|text| shared(&text).map_err(|e| e.to_string()));
        let (file, length) = match asked {
            Ok(shared) => shared,
            Err(e) => return failed(format!("templates cannot be rendered: {e}")),
        };
        let mut cmd = Cmd::new(&self.program, DEADLINE).arg(&self.command).arg(file.as_raw_fd().to_string());
        cmd.bare = true;
        cmd.handed = Some(file.clone());
        let mut said = String::new();
        let ended = exec::run(&cmd, cancel, |_, line| {
            if said.len() < 1000 {
                said.push_str(line);
            }
        });
        let ended = match ended.await {
            Ok(status) if status.success() => String::new(),
            Ok(status) => format!("{}: {said}", exec::status_text(status)),
            Err(ExecError::Cancelled(stopped)) => return Err(stopped),
            Err(e) => e.to_string(),
        };
        let answers = file.try_clone().map(File::from).and_then(|mut file| {
            file.seek(SeekFrom::Start(length))?;
            Ok(BufReader::new(file.take(MAX_RESULTS)))
        });
        let lines = answers.map(|answers| answers.lines().map_while(Result::ok).collect::<Vec<_>>()).unwrap_or_default();
        Ok((ended, lines.iter().map_while(|line| serde_json::from_str(line).ok()).collect()))
    }
}

const HINT: &str = "look at loops in loops, at texts that double, and at what includes or calls itself";

/// In words for the person whose template it was.
fn why(ended: &str) -> String {
    let time = [libc::SIGPROF, libc::SIGXCPU].iter().any(|signal| ended.starts_with(&format!("killed by signal {signal}:")));
    // Of an allocation that fails and of a stack that is full, Rust aborts.
    let memory = [libc::SIGABRT, libc::SIGSEGV, libc::SIGBUS].iter().any(|s| ended.starts_with(&format!("killed by signal {s}:")));
    match () {
        () if time => format!("rendering takes more than {} s of processor time", TIME.as_secs()),
        () if memory => format!("rendering takes more than {} MiB of memory", MEMORY >> 20),
        () => format!("rendering ended without a result: {ended}"),
    }
}

/// A file without a name that holds the question; the answers are appended to it.
fn shared(question: &[u8]) -> std::io::Result<(Arc<OwnedFd>, u64)> {
    let mut file = tempfile::tempfile()?;
    file.write_all(question)?;
    file.write_all(b"\n")?;
    file.rewind()?;
    Ok((Arc::new(file.into()), question.len() as u64 + 1))
}

/// The process that renders: reads the question from the open file `number` and appends the answers. `Err`: why it cannot.
pub fn serve(number: i32) -> Result<(), String> {
    let text = |e: std::io::Error| e.to_string();
    bound().map_err(text)?;
    std::panic::set_hook(Box::new(|_| ()));
    // SAFETY: the caller handed this file over to this process, and nothing else here has it. A number that is not open is an
    // error at the first read.
    let file = File::from(unsafe { OwnedFd::from_raw_fd(number) });
    let mut question = String::new();
    let mut reader = BufReader::new(file);
    reader.read_line(&mut question).map_err(text)?;
    let question: Question = serde_json::from_str(&question).map_err(|e| e.to_string())?;
    let mut file = reader.into_inner();
    file.seek(SeekFrom::End(0)).map_err(text)?;
    let worker = std::thread::Builder::new().stack_size(STACK).spawn(move || answer(&question, &file));
    worker.map_err(text)?.join().map_err(|_| "a template made it give up; a number in it may be far too large".to_owned())?.map_err(text)
}

fn answer(question: &Question, mut file: &File) -> std::io::Result<()> {
    let line = |answer: &Answer| serde_json::to_string(answer).map(|text| text + "\n").map_err(std::io::Error::from);
    for (number, job) in question.jobs.iter().enumerate() {
        timer(TIME)?;
        let mut told = Ok(());
        let mut outcome = job.render(|template| {
            let written = line(&Answer::Begun(number, template)).and_then(|text| file.write_all(text.as_bytes()));
            told = std::mem::replace(&mut told, Ok(())).and(written);
        });
        told?;
        let odd = match &outcome {
            Ok(rendered) if question.want != Want::Texts => job.warnings(rendered),
            _ => Vec::new(),
        };
        if question.want == Want::Findings {
            outcome = outcome.map(|_| Vec::new());
        }
        file.write_all(line(&Answer::Done(number, outcome, odd))?.as_bytes())?;
    }
    Ok(())
}

/// For all of this process's life.
fn bound() -> std::io::Result<()> {
    for (what, most) in [(libc::RLIMIT_DATA, MEMORY), (libc::RLIMIT_CORE, 0), (libc::RLIMIT_FSIZE, 2 * MAX_RESULTS)] {
        let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
        // SAFETY: plain system call; `limit` lives until it returns.
        if unsafe { libc::setrlimit(what, &limit) } != 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    // SAFETY: plain system call; the default action of this signal ends the process.
    unsafe { libc::signal(libc::SIGPROF, libc::SIG_DFL) };
    Ok(())
}

/// The process is ended when it has worked that long from now on.
fn timer(time: Duration) -> std::io::Result<()> {
    let value = libc::timeval { tv_sec: time.as_secs() as libc::time_t, tv_usec: 0 };
    let timer = libc::itimerval { it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 }, it_value: value };
    // SAFETY: plain system call; `timer` lives until it returns.
    match unsafe { libc::setitimer(libc::ITIMER_PROF, &timer, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}
