//! What the kernel holds a program to.
use std::time::Duration;

/// What the kernel holds a program and its children to, each process by itself; for tools that read
/// what strangers made. Beyond the one an allocation fails, beyond the other the process is killed
/// (`killed by signal 24`). Source: setrlimit(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Bytes of memory that it may map.
    pub address_space: Option<u64>,
    /// Time of the processor, not of the clock.
    pub cpu: Option<Duration>,
    /// Bytes of the longest file that it may write; beyond that it is killed (`killed by signal
    /// 25`).
    pub file_size: Option<u64>,
    /// Processes and threads that its user may have. The kernel holds root to none, unless root is
    /// one of a namespace.
    pub processes: Option<u64>,
}

impl Limits {
    /// Called between fork and exec, where only plain system calls are allowed.
    pub(super) fn set(self) -> std::io::Result<()> {
        let cpu = self.cpu.map(|d| d.as_secs().max(1));
        let limits = [
            (libc::RLIMIT_AS, self.address_space),
            (libc::RLIMIT_CPU, cpu),
            (libc::RLIMIT_FSIZE, self.file_size),
            (libc::RLIMIT_NPROC, self.processes),
        ];
        for (what, most) in limits.into_iter().filter_map(|(what, most)| Some((what, most?))) {
            let mut now = libc::rlimit { rlim_cur: most, rlim_max: most };
            // What the factory itself is held to may be less, and is not to be raised.
            // SAFETY: plain system calls; the limits live until they return.
            let done = unsafe {
                libc::getrlimit(what, &mut now) == 0 && {
                    let most = most.min(now.rlim_max);
                    libc::setrlimit(what, &libc::rlimit { rlim_cur: most, rlim_max: most }) == 0
                }
            };
            if !done {
                return Err(std::io::Error::last_os_error());
            }
        }
        Ok(())
    }
}
