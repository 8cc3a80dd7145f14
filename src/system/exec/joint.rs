//! Limits on all processes of a program together. Kernel limits apply per process, and many small
//! processes evade them, so this module measures a running program every 200 ms. Sources: proc(5),
//! proc_pid_smaps(5).
use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use super::process::{self, Stat};

/// Minimum pause between two measurements. Longer after a slow one, so that measuring takes at most
/// a fifth of a processor.
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Limits of a program (bubblewrap) and all its descendants together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Joint {
    /// Processes and threads; the kernel counts both alike.
    pub processes: u64,
    /// Bytes: private memory, plus the proportional share of shared memory. Memory backed by files
    /// on disk does not count.
    pub memory: u64,
}

/// Why a program was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Passed {
    #[error(
        "it had {found} processes and threads at once, and {most} are allowed together (`limits: \
            {{processes: …}}` in the owner's settings)"
    )]
    Processes { found: u64, most: u64 },
    #[error(
        "its processes took {} MiB of memory together, and {} are allowed (`limits: \
            {{memory_together: …}}` in the owner's settings)",
        found >> 20,
        most >> 20
    )]
    Memory { found: u64, most: u64 },
    #[error(
        "the first process of its namespace was stopped, which only what runs in there can have \
            done (ptrace)"
    )]
    Stopped,
}

/// Resolves when `root` and its descendants exceed the limit; never without one.
pub(super) async fn passed(root: Option<u32>, joint: Option<Joint>) -> Passed {
    let (Some(root), Some(joint)) = (root, joint) else { return std::future::pending().await };
    let (mut watch, mut pause) =
        (Watch { root: root as i32, joint, before: Machine::now(), stopped: 0 }, PAUSE);
    loop {
        tokio::time::sleep(pause).await;
        let begin = Instant::now();
        let looked = tokio::task::spawn_blocking(move || (watch.look(), watch)).await;
        let Ok((found, again)) = looked else { return std::future::pending().await };
        if let Some(passed) = found {
            return passed;
        }
        watch = again;
        pause = (begin.elapsed() * 4).clamp(PAUSE, LONGEST_PAUSE);
    }
}

/// Runs between fork and exec: makes the kernel's OOM killer choose this program first. Source:
/// proc_pid_oom_score_adj(5).
pub(super) fn goes_first() -> io::Result<()> {
    // SAFETY: plain system calls on constants. A kernel that refuses leaves the order as it is.
    unsafe {
        let file =
            libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if file >= 0 {
            libc::write(file, c"1000".as_ptr().cast(), 4);
            libc::close(file);
        }
    }
    Ok(())
}

/// Number of processes and threads of user `user`.
pub fn of_user(user: u32) -> u64 {
    let theirs =
        process::pids().filter(|(_, entry)| entry.metadata().is_ok_and(|m| m.uid() == user));
    theirs.filter_map(|(pid, _)| Some(Stat::of(pid)?.threads.max(1))).sum()
}

/// Memory of this machine, in bytes.
pub fn machine_memory() -> Option<u64> {
    fields("/proc/meminfo", &["MemTotal:"]).map(|[total]| total)
}

/// Maximum number of open files examined per measurement, which takes some tenths of a second.
const MOST_FILES: usize = 20_000;

struct Watch {
    root: i32,
    joint: Joint,
    before: Machine,
    /// Consecutive measurements that found the namespace's first process stopped.
    stopped: u32,
}

/// Machine-wide memory. Reveals memory that processes hold without mapping it.
#[derive(Clone, Copy, Default)]
struct Machine {
    shared: u64,
    swapped: u64,
}

impl Machine {
    fn now() -> Self {
        let read = fields("/proc/meminfo", &["Shmem:", "SwapTotal:", "SwapFree:"]);
        read.map(|[shared, total, free]| Self { shared, swapped: total.saturating_sub(free) })
            .unwrap_or_default()
    }
}

impl Watch {
    fn look(&mut self) -> Option<Passed> {
        let all = below(self.root);
        let first = all.iter().find(|(_, stat)| stat.parent == self.root);
        self.stopped = if first.is_some_and(|(_, stat)| ['t', 'T'].contains(&stat.state)) {
            self.stopped + 1
        } else {
            0
        };
        if self.stopped > 1 {
            return Some(Passed::Stopped);
        }
        let found = all.iter().map(|(_, stat)| stat.threads.max(1)).sum();
        if found > self.joint.processes {
            return Some(Passed::Processes { found, most: self.joint.processes });
        }
        let (now, most) = (Machine::now(), self.joint.memory);
        let grown = now.shared.saturating_sub(self.before.shared)
            + now.swapped.saturating_sub(self.before.swapped);
        // Cheap, and never too little.
        let at_most = all.iter().map(|(pid, stat)| pages(*pid, stat) * page()).sum::<u64>() + grown;
        if at_most <= most {
            return None;
        }
        // Memory that takes too long to measure counts as the maximum; otherwise a program could
        // evade the limit.
        let found = memory(all.iter().map(|(pid, stat)| (*pid, stat))).unwrap_or(at_most);
        (found > most).then_some(Passed::Memory { found, most })
    }
}

/// Descendants of `root`. Orphans count too: their parent is then the first process of the
/// namespace.
fn below(root: i32) -> Vec<(i32, Stat)> {
    let mut all: HashMap<i32, Stat> =
        process::pids().filter_map(|(pid, _)| Some((pid, Stat::of(pid)?))).collect();
    for _ in 0..3 {
        // A parent ended while the list was read: its children have another by now.
        let orphans: Vec<i32> = all
            .iter()
            .filter(|(_, s)| s.parent > 0 && !all.contains_key(&s.parent))
            .map(|(pid, _)| *pid)
            .collect();
        for pid in orphans {
            match Stat::of(pid) {
                Some(stat) => all.insert(pid, stat),
                None => all.remove(&pid),
            };
        }
    }
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    all.iter().for_each(|(pid, stat)| children.entry(stat.parent).or_default().push(*pid));
    let (mut found, mut next) = (Vec::new(), vec![root]);
    while let Some(pid) = next.pop() {
        let inner = children.remove(&pid).unwrap_or_default();
        found.extend(inner.iter().filter_map(|pid| Some((*pid, *all.get(pid)?))));
        next.extend(inner);
    }
    found
}

/// The threads of a process whose first thread has ended. For such a process the kernel reports
/// nothing, but for its threads everything.
fn left_of(pid: i32, stat: &Stat) -> Option<Vec<i32>> {
    let tasks = || fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    (stat.state == 'Z' && stat.threads > 0)
        .then(|| tasks().filter_map(|t| t.file_name().to_str()?.parse().ok()).collect())
}

/// Pages of memory, as the kernel counts them per process.
fn pages(pid: i32, stat: &Stat) -> u64 {
    let left = left_of(pid, stat).into_iter().flatten();
    left.filter_map(Stat::of).map(|task| task.pages).fold(stat.pages, u64::max)
}

/// Memory of these processes, in bytes. `None` if they have too many open files to examine.
fn memory<'s>(all: impl Iterator<Item = (i32, &'s Stat)>) -> Option<u64> {
    let (mut own, mut shared, mut files, mut looks) = (0, 0, HashMap::new(), MOST_FILES);
    for (process, stat) in all {
        let pid = left_of(process, stat)
            .and_then(|left| left.into_iter().find(|task| *task != process))
            .unwrap_or(process);
        let exact =
            fields(&format!("/proc/{pid}/smaps_rollup"), &["Pss_Anon:", "Pss_Shmem:", "SwapPss:"]);
        // A process that cannot be measured counts in full.
        let told = exact.or_else(|| {
            fields(&format!("/proc/{pid}/status"), &["RssAnon:", "RssShmem:", "VmSwap:"])
        });
        let [anonymous, mapped, swapped] = told.unwrap_or_default();
        own += anonymous + swapped;
        shared += mapped;
        in_memory(pid, &mut files, &mut looks)?;
    }
    Some(own + shared.max(files.values().sum()))
}

/// In-memory files, which may be mapped nowhere, each once: (device, inode) and bytes.
fn in_memory(pid: i32, files: &mut HashMap<(u64, u64), u64>, looks: &mut usize) -> Option<()> {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    for file in open {
        *looks = looks.checked_sub(1)?;
        let in_memory = fs::read_link(file.path()).is_ok_and(|name| is_memfd(&name));
        if let (true, Ok(meta)) = (in_memory, fs::metadata(file.path())) {
            files.insert((meta.dev(), meta.ino()), meta.blocks() * 512);
        }
    }
    Some(())
}

/// Matches `/memfd:name (deleted)`, which is one component.
fn is_memfd(name: &std::path::Path) -> bool {
    name.as_os_str().as_encoded_bytes().starts_with(b"/memfd:")
}

/// Values, in bytes, of lines such as `MemTotal:  1024 kB`. `None` if one is missing, as on older
/// kernels.
fn fields<const N: usize>(file: &str, names: &[&str; N]) -> Option<[u64; N]> {
    let text = fs::read_to_string(file).ok()?;
    let mut values = [0; N];
    let mut found = 0;
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some(at) = words.next().and_then(|word| names.iter().position(|name| *name == word))
        else {
            continue;
        };
        values[at] = words.next()?.parse::<u64>().ok()? << 10;
        found += 1;
    }
    (found == N).then_some(values)
}

fn page() -> u64 {
    // SAFETY: plain system call without effect.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}
