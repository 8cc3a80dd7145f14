//! Renders templates in a process of its own, under kernel limits ([`confined`]).
//!
//! Jinja's steps are limited, but not bytes: doubling a text thirty times takes thirty steps. One
//! process renders templates of many bundles, and is restarted after a bundle that ended it.
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};

use super::templates::{Job, Outcome};
use crate::frontend::build_vars::Doubts;
use crate::model::definition::Definition;
use crate::model::diagnostic::Diagnostic;
use crate::model::image::Image;
use crate::plan::Plan;
use crate::system::cancel::{Cancel, Cancelled};
use crate::system::exec::confined::{self, Answers, Bounds, Confined, End};

/// Limits; CPU time applies per bundle.
const BOUNDS: Bounds = Bounds { memory: 112 << 20, time: Duration::from_secs(1) };
/// For a process that waits instead of working; honest ones also wait on a loaded host.
const DEADLINE: Duration = Duration::from_secs(60);

/// Protocol of the two processes.
#[derive(Serialize, Deserialize)]
struct Question {
    jobs: Vec<Job>,
    want: Want,
}

/// Requested results.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq)]
enum Want {
    /// Findings without texts.
    Findings,
    /// Texts; their warnings were reported before.
    Texts,
    /// Both.
    All,
}

#[derive(Serialize, Deserialize)]
enum Answer {
    /// A template of a job begins.
    Begun(usize, usize),
    /// With warnings.
    Done(usize, Outcome, Vec<Diagnostic>),
}

/// Renders templates within limits.
#[derive(Debug, Clone)]
pub struct Renderer(Confined);

impl Renderer {
    /// `program`, called with `command` and a number, must call [`serve`] with that number.
    pub fn new(program: impl Into<PathBuf>, command: impl Into<String>) -> Self {
        Self(Confined::new(program, command))
    }

    /// Renders all templates with placeholders for build results, and returns the findings per
    /// bundle. For an invalid bundle, only findings that are not consequences of its errors.
    pub async fn check(
        &self,
        bundles: &[(&Definition, &Doubts)],
        cancel: &Cancel,
    ) -> Result<Vec<Vec<Diagnostic>>, Cancelled> {
        let parts = confined::parts(bundles).map(|part| {
            let jobs =
                part.iter().map(|(bundle, doubts)| Job::to_check_rest(bundle, doubts)).collect();
            self.all(jobs, Want::Findings, cancel)
        });
        let done = try_join_all(parts).await?;
        Ok(done
            .into_iter()
            .flatten()
            .map(|(outcome, odd)| outcome.err().into_iter().flatten().chain(odd).collect())
            .collect())
    }

    /// Renders all templates with the values of a plan; returns what is wrong with them.
    pub async fn check_plan(
        &self,
        bundle: &Definition,
        plan: &Plan,
        cancel: &Cancel,
    ) -> Result<Vec<Diagnostic>, Cancelled> {
        let done = self.all(vec![Job::to_build(bundle, plan)], Want::Texts, cancel).await?;
        Ok(done.into_iter().filter_map(|(outcome, _)| outcome.err()).flatten().collect())
    }

    /// Renders all templates for an image that is published already; returns all errors together.
    pub async fn of_published(
        &self,
        bundle: &Definition,
        image: &Image,
        cancel: &Cancel,
    ) -> Result<Outcome, Cancelled> {
        let done = self.all(vec![Job::of_published(bundle, image)], Want::Texts, cancel).await?;
        Ok(done.into_iter().next().map_or(Ok(Vec::new()), |(outcome, _)| outcome))
    }

    /// Renders all templates for `image`; returns all errors together.
    pub async fn render(
        &self,
        bundle: &Definition,
        plan: &Plan,
        image: &Image,
        cancel: &Cancel,
    ) -> Result<Outcome, Cancelled> {
        let done = self.all(vec![Job::for_image(bundle, plan, image)], Want::Texts, cancel).await?;
        Ok(done.into_iter().next().map_or(Ok(Vec::new()), |(outcome, _)| outcome))
    }

    /// Renders all templates with placeholders, for authors; `image` replaces the placeholder ID.
    /// Also returns warnings.
    pub async fn preview(
        &self,
        bundle: &Definition,
        image: Option<&str>,
        cancel: &Cancel,
    ) -> Result<(Outcome, Vec<Diagnostic>), Cancelled> {
        let done = self.all(vec![Job::to_preview(bundle, image)], Want::All, cancel).await?;
        Ok(done.into_iter().next().unwrap_or((Ok(Vec::new()), Vec::new())))
    }

    async fn all(
        &self,
        jobs: Vec<Job>,
        want: Want,
        cancel: &Cancel,
    ) -> Result<Vec<(Outcome, Vec<Diagnostic>)>, Cancelled> {
        let nothing = || (Ok(Vec::new()), Vec::new());
        let mut outcomes: Vec<Option<(Outcome, Vec<Diagnostic>)>> =
            jobs.iter().map(|job| job.is_empty().then(nothing)).collect();
        while outcomes.iter().any(Option::is_none) {
            let open: Vec<usize> = (0..jobs.len()).filter(|at| outcomes[*at].is_none()).collect();
            let asked = Question { jobs: open.iter().map(|at| jobs[*at].clone()).collect(), want };
            let (end, answers) = self.0.ask(&asked, DEADLINE, cancel).await?;
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
            // Each round ends with one bundle less at least: the one that was being rendered when
            // the process ended.
            let without = |at: &usize| outcomes[*at].is_none();
            let stuck = open
                .get(last.0)
                .copied()
                .filter(without)
                .or_else(|| open.iter().copied().find(without));
            if let Some(at) = stuck {
                let found = jobs[at].finding(last.1, why(&end)).hint(HINT);
                outcomes[at] = Some((Err(vec![found]), Vec::new()));
            }
        }
        Ok(outcomes.into_iter().flatten().collect())
    }
}

const HINT: &str =
    "look at loops in loops, at texts that double, and at what includes or calls itself";

/// The reason in terms of the template's author.
fn why(end: &End) -> String {
    match end {
        End::Time => {
            format!("rendering takes more than {} s of processor time", BOUNDS.time.as_secs())
        }
        End::Memory => format!("rendering takes more than {} MiB of memory", BOUNDS.memory >> 20),
        End::Well => "rendering ended without a result".into(),
        End::Failed(why) => format!("rendering ended without a result: {why}"),
    }
}

/// The child process: reads the question from the open file `number`, and appends the answers.
/// `Err` is the reason why it cannot.
pub fn serve(number: i32) -> Result<(), String> {
    confined::serve(number, BOUNDS, answer)
}

fn answer(question: Question, answers: &Answers) -> io::Result<()> {
    for (number, job) in question.jobs.iter().enumerate() {
        answers.begin()?;
        let mut written_all = Ok(());
        let mut outcome = job.render(|template| {
            let written = answers.say(&Answer::Begun(number, template));
            written_all = std::mem::replace(&mut written_all, Ok(())).and(written);
        });
        written_all?;
        let mut odd = match &outcome {
            Ok(rendered) if question.want != Want::Texts => job.warnings(rendered),
            _ => Vec::new(),
        };
        if question.want == Want::Findings && outcome.is_ok() {
            odd.extend(job.without_commit());
        }
        if question.want == Want::Findings {
            outcome = outcome.map(|_| Vec::new());
        }
        answers.say(&Answer::Done(number, outcome, odd))?;
    }
    Ok(())
}
