//! Tests once whether this machine can build the wall.
use std::time::Duration;

use super::handed::with_options;
use super::mounts::Mounts;
use super::{BWRAP, Wall, find, say};
use crate::settings::Mode;
use crate::system::cancel::{Cancel, Cancelled};
use crate::system::exec::{self, Cmd};

/// Whether there is a wall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Availability {
    /// `nested`: programs behind the wall can make namespaces too, because bubblewrap is older than
    /// 0.8.
    Up { version: String, nested: bool },
    /// The owner's settings switch it off.
    Off,
    /// This machine lacks a prerequisite.
    Lacking { reason: String, hint: String },
}

impl Wall {
    /// Builds the wall once per process, because an installed bubblewrap does not prove that
    /// namespaces work.
    pub async fn availability(&self, cancel: &Cancel) -> Result<&Availability, Cancelled> {
        self.availability
            .get_or_try_init(|| async {
                match self.config.settings.wall {
                    Mode::Off => Ok(Availability::Off),
                    Mode::Auto | Mode::Required => self.tried(cancel).await,
                }
            })
            .await
    }

    pub(super) async fn tried(&self, cancel: &Cancel) -> Result<Availability, Cancelled> {
        let lacking =
            |reason: String, hint: &str| Availability::Lacking { reason, hint: hint.into() };
        let Some(bwrap) = find(BWRAP, self.path()) else {
            return Ok(lacking(
                "bubblewrap is not installed".into(),
                "`make deps`, or apt-get install bubblewrap",
            ));
        };
        let mut why = String::new();
        for nested in [false, true] {
            let mut mounts = Mounts::system(nested);
            mounts.set_env("PATH", "/usr/bin:/bin");
            let cmd = Cmd::new(&bwrap, Duration::from_secs(20));
            let cmd = match with_options(cmd, mounts) {
                Ok(cmd) => cmd.args(["--", "/usr/bin/true"]),
                Err(e) => {
                    return Ok(lacking(format!("its options cannot be handed over: {e}"), ""));
                }
            };
            match exec::output(&Cmd { bare: true, ..cmd }, cancel).await {
                Ok(_) => {
                    let asked = Cmd::new(&bwrap, Duration::from_secs(20)).arg("--version");
                    let version =
                        exec::output(&asked, cancel).await.unwrap_or_default().trim().to_owned();
                    return Ok(Availability::Up { version, nested });
                }
                Err(exec::ExecError::Cancelled(c)) => return Err(c),
                Err(e) => why = e.to_string(),
            }
        }
        Ok(lacking(format!("no namespaces: {why}"), say::NO_NAMESPACES))
    }
}
