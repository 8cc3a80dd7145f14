//! The provider that options and environment name, opened.
use std::sync::Arc;

use super::arguments::AccelArg;
use super::{Context, Failure, clouds, err};
use crate::app::{self, OpenError, Selection};
use crate::provider::Provider;
use crate::provider::qemu::Accel;
use crate::settings;

impl Context {
    /// The provider, and a line that says which and why. Whatever is done there may be written down
    /// below our directories.
    pub fn cloud(&self) -> Result<(Arc<dyn Provider>, String), Failure> {
        let mut warn = |text: &str| {
            if !self.common.quiet {
                err(&format!("warning: {text}"));
            }
        };
        self.home.check()?.iter().for_each(|one| warn(one));
        let (selection, why) = self.selection()?;
        let line = format!("cloud: {} ({why})", selection.name);
        Ok((app::open(selection, &self.home, &self.proxies, &mut warn)?, line))
    }

    /// The selected provider, and why.
    fn selection(&self) -> Result<(Selection, String), Failure> {
        let set = |name: &'static str| {
            std::env::var(name).ok().filter(|v| !v.is_empty()).map(|v| (name, v))
        };
        let named = self.common.cloud.clone().or_else(|| set("OS_CLOUD").map(|(_, value)| value));
        let (name, why) = match (&self.common.cloud, set("OS_CLOUD").or_else(|| set("OS_AUTH_URL")))
        {
            (Some(name), _) => (name.clone(), "--cloud".to_owned()),
            (None, Some((variable, value))) => (value, format!("{variable} is set")),
            (None, None) => (app::LOCAL.to_owned(), "no --cloud, OS_CLOUD or OS_AUTH_URL".into()),
        };
        if let (Some(file), None) = (&self.common.clouds_file, &named) {
            let failure = Failure::usage(format!(
                "--clouds-file {}: no cloud of it is named",
                file.display()
            ));
            return Err(failure.hint(
                "--cloud NAME or OS_CLOUD names one; without --clouds-file \
                this machine is the cloud",
            ));
        }
        if name != app::LOCAL {
            clouds::check_text()?;
        }
        let selection = Selection {
            name,
            named: named.is_some(),
            // A URL is no name in clouds.yaml: then the environment says it all.
            entry: named,
            variables: clouds::variables(&self.common)?,
            places: clouds::places(&self.common),
            accel: match self.common.accel {
                AccelArg::Auto => Accel::Auto,
                AccelArg::Tcg => Accel::Tcg,
                AccelArg::Kvm => Accel::Kvm,
            },
            program: std::env::current_exe().ok(),
            checkpoints: self.wall()?.settings().cache_mib.unwrap_or(settings::CACHE) << 20,
            host: std::fs::read_to_string("/proc/sys/kernel/hostname")
                .unwrap_or_default()
                .trim()
                .to_owned(),
        };
        Ok((selection, why))
    }
}

impl From<OpenError> for Failure {
    fn from(e: OpenError) -> Self {
        match e {
            OpenError::Login(e) => {
                let failure = Failure::cloud(e.to_string());
                if let Some(hint) = e.hint { failure.hint(hint) } else { failure }
            }
            OpenError::Proxy(e) => e.into(),
            OpenError::Provider(e) => e.into(),
        }
    }
}
