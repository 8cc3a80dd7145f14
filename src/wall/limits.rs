//! Limits of a step: memory, CPU time, processes.
use super::Wall;
use crate::system::exec::Limits;
use crate::system::exec::joint::{self, Joint};

/// Maximum number of processes and threads of a step.
const PROCESSES: u64 = 4096;

impl Wall {
    pub(super) fn limits(&self) -> Limits {
        let wanted = self.config.settings.limits;
        Limits {
            address_space: wanted.memory_mib.map(|mb| mb.saturating_mul(1 << 20)),
            cpu: wanted.cpu,
            ..Limits::default()
        }
    }

    /// Limits of a step's processes together. The defaults are far above ordinary work, and within
    /// the machine's means.
    pub(super) fn joint(&self) -> Joint {
        let wanted = self.config.settings.limits;
        let most = || joint::machine_memory().map_or(u64::MAX, |all| all / 4 * 3);
        Joint {
            processes: wanted.processes.unwrap_or(PROCESSES),
            memory: wanted.together_mib.map_or_else(most, |mb| mb.saturating_mul(1 << 20)),
        }
    }

    /// The kernel's own limit, for programs that fork faster than the factory counts. It counts all
    /// processes of the user, so it is higher than the factory's limit: a step over that one ends
    /// with a reason, a step over this one fails anywhere. Root has none.
    pub(super) fn hard(&self) -> Limits {
        // SAFETY: plain system call without arguments.
        let me = unsafe { libc::geteuid() };
        Limits {
            processes: Some(
                self.joint().processes.saturating_mul(2).saturating_add(joint::of_user(me) + 1024),
            ),
            ..self.limits()
        }
    }
}
