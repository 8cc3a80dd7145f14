//! Seccomp filter for the wall: refuses system calls that inspect or stop other processes of the
//! same user (such as the wall's own first process), and calls that create memory outside of any
//! process. Hand-written, because the crate for it disables 32-bit programs altogether. Sources:
//! seccomp(2), linux/audit.h, the kernel's system call tables.
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// A system call ABI: its audit mark, and the refused calls with their errors.
struct Calls {
    arch: u32,
    refused: &'static [(u32, i32)],
    /// Calls from this number on belong to an unused ABI (x32).
    end: Option<u32>,
}

// ptrace, process_vm_readv, process_vm_writev, pidfd_getfd, shmget, semget, msgget; of 32 bits also
// `ipc`, which is the last three by another name.
#[cfg(target_arch = "x86_64")]
const KINDS: &[Calls] = &[
    Calls {
        arch: 0xc000_003e,
        refused: &[
            (101, libc::EPERM),
            (310, libc::EPERM),
            (311, libc::EPERM),
            (438, libc::EPERM),
            (29, libc::ENOSYS),
            (64, libc::ENOSYS),
            (68, libc::ENOSYS),
        ],
        end: Some(0x4000_0000),
    },
    Calls {
        arch: 0x4000_0003,
        refused: &[
            (26, libc::EPERM),
            (347, libc::EPERM),
            (348, libc::EPERM),
            (438, libc::EPERM),
            (395, libc::ENOSYS),
            (393, libc::ENOSYS),
            (399, libc::ENOSYS),
            (117, libc::ENOSYS),
        ],
        end: None,
    },
];
#[cfg(target_arch = "aarch64")]
const KINDS: &[Calls] = &[
    Calls {
        arch: 0xc000_00b7,
        refused: &[
            (117, libc::EPERM),
            (270, libc::EPERM),
            (271, libc::EPERM),
            (438, libc::EPERM),
            (194, libc::ENOSYS),
            (190, libc::ENOSYS),
            (186, libc::ENOSYS),
        ],
        end: None,
    },
    Calls {
        arch: 0x4000_0028,
        refused: &[
            (26, libc::EPERM),
            (376, libc::EPERM),
            (377, libc::EPERM),
            (438, libc::EPERM),
            (307, libc::ENOSYS),
            (299, libc::ENOSYS),
            (303, libc::ENOSYS),
            (117, libc::ENOSYS),
        ],
        end: None,
    },
];
/// Other processors have no filter; a stopped program is still detected (`exec::joint`).
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const KINDS: &[Calls] = &[];

const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const IF_NOT_BELOW: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
/// Offset in `struct seccomp_data`.
const NUMBER_AT: u32 = 0;
const ARCH_AT: u32 = 4;

/// The filter in a memory file, for bubblewrap's `--seccomp`; `None` on an unsupported processor.
pub(super) fn filter() -> io::Result<Option<Arc<OwnedFd>>> {
    match KINDS {
        [] => Ok(None),
        kinds => super::handed::in_memory(c"calls", &program(kinds)).map(Some),
    }
}

fn program(kinds: &[Calls]) -> Vec<u8> {
    let step = |code: u32, yes: usize, no: usize, k: u32| {
        let code = u16::try_from(code).expect("codes are small");
        let [yes, no] = [yes, no].map(|jump| u8::try_from(jump).expect("the lists are short"));
        [&code.to_ne_bytes()[..], &[yes, no], &k.to_ne_bytes()].concat()
    };
    let refuse = |error: i32| step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | error.unsigned_abs());
    let mut all = vec![step(LOAD, 0, 0, ARCH_AT)];
    for kind in kinds {
        let mut block = vec![step(LOAD, 0, 0, NUMBER_AT)];
        for (number, error) in kind.refused {
            block.extend([step(IF_EQUAL, 0, 1, *number), refuse(*error)]);
        }
        if let Some(end) = kind.end {
            block.extend([step(IF_NOT_BELOW, 0, 1, end), refuse(libc::ENOSYS)]);
        }
        block.push(step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW));
        all.push(step(IF_EQUAL, 0, block.len(), kind.arch));
        all.append(&mut block);
    }
    all.push(refuse(libc::ENOSYS));
    all.concat()
}
