//! What a command works with: options, environment and a way to be stopped.
use std::path::PathBuf;
use std::sync::OnceLock;

use super::{Common, Failure, err, places, show};
use crate::frontend;
use crate::guest::ssh::Ssh;
use crate::model::diagnostic::Diagnostic;
use crate::model::event::Sink;
use crate::provider::Cloud;
use crate::report;
use crate::run::{Home, RunOptions, Show};
use crate::system::cancel::Cancel;
use crate::system::http::Proxies;
use crate::wall::Wall;

/// What a command works with: options, environment and a way to be stopped.
pub struct Context {
    pub common: Common,
    pub home: Home,
    pub cancel: Cancel,
    pub terminal: show::Terminal,
    /// Renders templates: this program again, with `render-templates`.
    pub templates: report::Renderer,
    /// Loads definitions: this program again, with `load-definitions`.
    pub(super) definitions: frontend::Loader,
    /// By which the network is reached.
    pub proxies: Proxies,
    pub(super) wall: OnceLock<Wall>,
}

impl Context {
    pub(super) fn new(common: Common) -> Result<Self, Failure> {
        let home = places::home(!common.quiet)?;
        let terminal = show::Terminal::of_stderr(|name| std::env::var(name).ok());
        let templates = report::Renderer::new("/proc/self/exe", "render-templates");
        let definitions = frontend::Loader::new("/proc/self/exe", "load-definitions");
        let proxies = Proxies::read(|name| std::env::var_os(name));
        Ok(Self {
            common,
            home,
            cancel: Cancel::default(),
            terminal,
            templates,
            definitions,
            proxies,
            wall: OnceLock::new(),
        })
    }

    pub fn tree(&self) -> Result<PathBuf, Failure> {
        let start = match &self.common.tree {
            Some(dir) => dir
                .canonicalize()
                .map_err(|e| Failure::usage(format!("--tree {}: {e}", dir.display())))?,
            None => std::env::current_dir()
                .map_err(|e| Failure::host(format!("current directory: {e}")))?,
        };
        frontend::find_tree(&start).ok_or_else(|| {
            Failure::usage(format!("{} is in no factory tree", start.display())).hint(
                "a factory tree holds `images/` or `os/`; go into one, or name it with --tree",
            )
        })
    }

    /// Makes the sink for each run.
    pub fn show(&self) -> impl Fn(&str) -> Box<dyn Sink> + Send + Sync + '_ {
        |_| show::sink(self.common.progress, self.verbosity(), &self.terminal)
    }

    pub fn setup<'a>(
        &'a self,
        cloud: &'a dyn Cloud,
        show: &'a Show<'a>,
    ) -> Result<RunOptions<'a>, Failure> {
        Ok(RunOptions {
            cloud,
            connect: &Ssh,
            wall: self.wall()?,
            proxies: &self.proxies,
            home: &self.home,
            cancel: &self.cancel,
            show,
            keep_on_failure: false,
            smoke: true,
            check_templates: true,
            templates: &self.templates,
            test_only: false,
            person: None,
        })
    }

    /// Does what reads files, on a thread that a signal may leave: a slow disk or a huge definition
    /// holds nobody up.
    pub async fn reading<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        match self.cancel.or(tokio::task::spawn_blocking(work)).await? {
            Ok(done) => Ok(done),
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        }
    }

    pub fn verbosity(&self) -> i8 {
        if self.common.quiet { -1 } else { i8::try_from(self.common.verbose).unwrap_or(i8::MAX) }
    }

    pub fn show_diagnostics(&self, diagnostics: &[Diagnostic]) {
        for diagnostic in diagnostics {
            err(&diagnostic.to_string());
        }
    }
}
