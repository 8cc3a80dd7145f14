//! What a command works with: options, environment and a way to be stopped.
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use super::{Common, Failure, err, places, show};
use crate::app;
use crate::engine::Goal;
use crate::engine::run_dir::Home;
use crate::frontend;

use crate::jobs::{Factory, RunOptions, Show};
use crate::model::diagnostic::Diagnostic;
use crate::provider::Provider;
use crate::report;
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
    pub(super) wall: OnceLock<Arc<Wall>>,
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
    pub fn show(&self) -> Show {
        let (mode, verbosity) = (self.common.progress, self.verbosity());
        let terminal = self.terminal.clone();
        Arc::new(move |label: &str| show::sink(label, mode, verbosity, &terminal))
    }

    pub fn factory(&self, provider: Arc<dyn Provider>) -> Result<Arc<Factory>, Failure> {
        let shared = app::Shared {
            wall: self.wall()?.clone(),
            proxies: self.proxies.clone(),
            home: self.home.clone(),
            templates: self.templates.clone(),
        };
        Ok(app::factory(provider, shared))
    }

    /// Options of a build that publishes, with all checks.
    pub fn options(&self) -> RunOptions {
        RunOptions {
            goal: Goal::Published,
            keep_on_failure: false,
            range: Default::default(),
            smoke: true,
            force: false,
            check_templates: true,
            show: self.show(),
            cancel: self.cancel.clone(),
        }
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
