//! `image-factory try`: the steps of a bundle, again and again on a restored builder.
use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{Context, Failure, build, err};
use crate::engine::checkpoints::Range;
use crate::engine::{BuildError, Goal, Interactive, SshAccess};
use crate::frontend;
use crate::jobs::{Factory, RunError, RunOptions, RunRequest};
use crate::model::definition::Definition;
use crate::model::inputs::is_debris;
use crate::system::cancel::Cancel;
use crate::text::{shell, suggest};

pub const EXAMPLES: &str = "\
Examples:
  image-factory try bundle-nginx                     run what is not known yet; Enter runs again
  image-factory try bundle-nginx --watch             run again whenever a file is saved
  image-factory try bundle-nginx --from 2 --until 2  run the second step alone

The exit code is 0 when you leave and the last run went well, and 30 if a step of it failed. No
image is made.";

/// Time without a change after which a change is over: editors write a file in several.
const QUIET: Duration = Duration::from_millis(60);

#[derive(clap::Args)]
pub struct Args {
    /// Bundle: `images/X`, `os/Y`, a bare name, or a path
    bundle: String,
    /// First step to run even if its result is known: its number, from 1, or its name
    #[arg(long, value_name = "STEP")]
    from: Option<String>,
    /// Last step to run: its number, from 1, or its name
    #[arg(long, value_name = "STEP")]
    until: Option<String>,
    /// Run again when a file of the bundle changes
    #[arg(long)]
    watch: bool,
}

pub async fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let (mut next, sender) = Next::new(context.cancel.clone());
    if !std::io::stdin().is_terminal() && !args.watch {
        let failure = Failure::usage("`try` waits for Enter, and standard input is no terminal");
        return Err(failure.hint("`--watch` runs again when a file changes"));
    }
    read_lines(sender.clone(), args.watch && !std::io::stdin().is_terminal());
    let mut watcher = None;
    let (cloud, line) = context.cloud()?;
    err(&line);
    let factory = context.factory(cloud)?;
    let (mut code, mut last) = (None, None);
    loop {
        match definition(context, args).await {
            Err(failure) if code.is_none() => return Err(failure),
            // It is being written, and is right again after the next change.
            Err(failure) => {
                code = Some(failure.code());
                failure.report();
                err(&format!("The definition is not run. {}", how(args.watch)));
                if let (true, Some(bundle)) = (args.watch, &last) {
                    // Its directory may be another than the one that was watched.
                    watcher = Some(watch(bundle, sender.clone())?);
                }
                if next.wait().await == Asked::Leave {
                    break;
                }
            }
            Ok((bundle, range)) => {
                if args.watch {
                    watcher = Some(watch(&bundle, sender.clone())?);
                }
                last = Some(bundle.clone());
                let (next_one, left) = (Mutex::new(next), Mutex::default());
                let open = Arc::new(Trial { next: next_one, left, how: how(args.watch) });
                let goal = Goal::Provisioned(open.clone());
                let options = RunOptions { goal, range, ..context.options() };
                code = Some(tried(&factory, bundle, options).await);
                let trial = Arc::into_inner(open).expect("the run is at its end");
                next = trial.next.into_inner();
                let asked = match trial.left.into_inner() {
                    Some(asked) => asked,
                    None => {
                        err(&format!("No builder is up. {}", how(args.watch)));
                        next.wait().await
                    }
                };
                if asked == Asked::Leave {
                    break;
                }
            }
        }
    }
    drop(watcher);
    Ok(ExitCode::from(code.unwrap_or_default()))
}

/// Runs the steps once, and tells how that ended; its exit code.
async fn tried(factory: &Arc<Factory>, bundle: Definition, options: RunOptions) -> u8 {
    let ended = factory.build(RunRequest { definition: bundle.clone(), options }).await;
    let code = ended.exit_code();
    let was_opened = matches!(
        &ended.result,
        Err(RunError::Build(BuildError::Step { .. } | BuildError::StepRemote { .. }))
    );
    if was_opened {
        build::tell_of(&bundle, ended);
    } else {
        build::tell(&bundle, ended);
    }
    code
}

/// How it goes on from here.
fn how(watch: bool) -> &'static str {
    match (watch, std::io::stdin().is_terminal()) {
        (true, true) => "A change of a file, or Enter, runs again; `q` and Enter leave.",
        (true, false) => "A change of a file runs again; Ctrl-C or a signal leaves.",
        (false, _) => "Enter runs again; `q` and Enter leave.",
    }
}

/// The definition as it is now, and the steps of it that are to be run.
async fn definition(context: &Context, args: &Args) -> Result<(Definition, Range), Failure> {
    let mut bundles = context.load(std::slice::from_ref(&args.bundle)).await?;
    let bundle = bundles.pop().ok_or_else(|| Failure::usage("no bundle is named"))?;
    let names = names(&bundle);
    let step = |given: &Option<String>, option: &str| {
        given.as_deref().map(|given| index(&names, given, option)).transpose()
    };
    let (from, until) = (step(&args.from, "--from")?, step(&args.until, "--until")?);
    if let (Some(from), Some(until)) = (from, until)
        && from > until
    {
        let (from, until) = (from + 1, until + 1);
        let text = format!("step {from} (--from) comes after step {until} (--until)");
        return Err(Failure::usage(text));
    }
    Ok((bundle, Range { fresh: false, from, until }))
}

fn names(bundle: &Definition) -> Vec<String> {
    let name =
        |step: &crate::model::step::Step| step.name.clone().unwrap_or_else(|| step.action.title());
    match bundle.steps.is_empty() && bundle.has_bootstrap {
        true => vec!["ansible/bootstrap.yml".into()],
        false => bundle.steps.iter().map(name).collect(),
    }
}

/// Index of the step that has this number or this name.
fn index(names: &[String], given: &str, option: &str) -> Result<usize, Failure> {
    let number = given.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
    let named = || names.iter().position(|name| name == given);
    if let Some(index) = number.filter(|index| *index < names.len()).or_else(named) {
        return Ok(index);
    }
    let text = format!("{option}: there is no step `{given}`");
    let all: Vec<String> =
        (1..).zip(names).map(|(number, name)| format!("{number} {name}")).collect();
    let hint = match names.iter().find(|name| suggest::is_near(name, given)) {
        Some(near) => format!("did you mean `{near}`?"),
        None if all.is_empty() => "the bundle has no steps".to_owned(),
        None => format!("the steps are: {}", all.join("; ")),
    };
    Err(Failure::usage(text).hint(hint))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Again,
    Leave,
}

/// What the person, the files or a signal ask for next.
struct Next {
    asked: UnboundedReceiver<Asked>,
    cancel: Cancel,
}

impl Next {
    fn new(cancel: Cancel) -> (Self, UnboundedSender<Asked>) {
        let (sender, asked) = unbounded_channel();
        (Self { asked, cancel }, sender)
    }

    async fn wait(&mut self) -> Asked {
        let first = tokio::select! {
            biased;
            () = self.cancel.stopped() => return Asked::Leave,
            asked = self.asked.recv() => asked.unwrap_or(Asked::Leave),
        };
        if first == Asked::Leave {
            return first;
        }
        // What belongs to the same change.
        while let Ok(Some(more)) = tokio::time::timeout(QUIET, self.asked.recv()).await {
            if more == Asked::Leave {
                return more;
            }
        }
        first
    }
}

/// Lines of standard input: `q` leaves, any other runs again. `idle`: its end is no wish to leave.
fn read_lines(sender: UnboundedSender<Asked>, idle: bool) {
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let asked = if line.trim() == "q" { Asked::Leave } else { Asked::Again };
            if sender.send(asked).is_err() {
                return;
            }
        }
        if !idle {
            let _ = sender.send(Asked::Leave);
        }
    });
}

/// Tells of each change of a file of the bundle.
fn watch(
    bundle: &Definition,
    sender: UnboundedSender<Asked>,
) -> Result<RecommendedWatcher, Failure> {
    let failed = |e: notify::Error| Failure::host(format!("the bundle cannot be watched: {e}"));
    let (dir, places) = (bundle.dir.clone(), frontend::places(bundle));
    let changed = move |event: notify::Result<notify::Event>| {
        let counts = match event {
            Ok(event) => counts(&dir, &event),
            Err(_) => false,
        };
        if counts {
            let _ = sender.send(Asked::Again);
        }
    };
    let mut watcher = notify::recommended_watcher(changed).map_err(failed)?;
    let mut places: Vec<PathBuf> = places.into_iter().filter(|place| place.exists()).collect();
    places.dedup();
    for place in places {
        watcher.watch(&place, RecursiveMode::Recursive).map_err(failed)?;
    }
    // A change of branches takes the directory away, and brings another.
    if let Some(above) = bundle.dir.parent().filter(|above| above.exists()) {
        watcher.watch(above, RecursiveMode::NonRecursive).map_err(failed)?;
    }
    Ok(watcher)
}

/// Whether a file of a bundle in `dir` has other content, or another name.
fn counts(dir: &Path, event: &notify::Event) -> bool {
    let is_own = |path: &PathBuf| {
        // What lies beside it, is another's.
        if path != dir && path.parent() == dir.parent() {
            return false;
        }
        let path = path.strip_prefix(dir).unwrap_or(path);
        let first = path.components().next().map(|first| first.as_os_str().to_owned());
        let is_output = first.is_some_and(|first| first == "target" || first == ".git");
        !is_output && !is_debris(path)
    };
    let changes =
        matches!(event.kind, EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_));
    changes && event.paths.iter().any(is_own)
}

/// Holds the machine until it is to be left.
struct Trial {
    next: Mutex<Next>,
    left: Mutex<Option<Asked>>,
    how: &'static str,
}

#[async_trait]
impl Interactive for Trial {
    async fn open(&self, builder: &SshAccess, failed: Option<&BuildError>) {
        if let Some(e) = failed {
            err(&e.to_string());
        }
        err(&format!("The builder is up:    {}", shell::line(&builder.ssh)));
        err(self.how);
        let asked = self.next.lock().await.wait().await;
        *self.left.lock().await = Some(asked);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_named_by_number_or_name() {
        let names = ["web server".to_owned(), "check".to_owned()];
        assert_eq!(index(&names, "1", "--from").unwrap(), 0);
        assert_eq!(index(&names, "check", "--from").unwrap(), 1);
        for wrong in ["0", "3", "chek", ""] {
            let error = index(&names, wrong, "--from").unwrap_err().to_string();
            assert!(error.contains("there is no step"), "{error}");
        }
    }

    #[tokio::test]
    async fn changes_that_belong_together_are_one() {
        let (mut next, sender) = Next::new(Cancel::default());
        for _ in 0..5 {
            sender.send(Asked::Again).unwrap();
        }
        assert_eq!(next.wait().await, Asked::Again);
        assert!(next.asked.try_recv().is_err(), "all five were one change");
        sender.send(Asked::Again).unwrap();
        sender.send(Asked::Leave).unwrap();
        assert_eq!(next.wait().await, Asked::Leave);
        next.cancel.signal();
        assert_eq!(next.wait().await, Asked::Leave, "a signal leaves");
    }

    #[test]
    fn what_a_build_writes_is_no_change() {
        use notify::event::{AccessKind, CreateKind, ModifyKind};
        let dir = Path::new("/t/images/x");
        let of = |kind, path: &str| counts(dir, &notify::Event::new(kind).add_path(dir.join(path)));
        let modified = EventKind::Modify(ModifyKind::Any);
        assert!(of(modified, "ansible/bootstrap.yml"));
        assert!(of(EventKind::Create(CreateKind::File), "files/new"));
        assert!(!of(modified, "target/build.log") && !of(modified, ".git/index"));
        assert!(!of(modified, "ansible/.bootstrap.yml.swp"));
        assert!(!of(EventKind::Access(AccessKind::Any), "ansible/bootstrap.yml"));
        assert!(of(EventKind::Create(CreateKind::Folder), ""), "it is there again");
        let beside = notify::Event::new(modified).add_path(dir.with_file_name("y"));
        assert!(!counts(dir, &beside), "another bundle's");
    }
}
