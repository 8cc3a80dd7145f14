//! Finds the line of a tool's output that gives the cause of a failure. The first error counts,
//! because later ones are usually consequences.

/// Certainty of a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Declares an error: `E:`, `error:`, `ValueError:`.
    Error,
    /// Reads like an error: `No such file or directory`.
    Complaint,
}

/// Beginnings of error lines, in lower case.
const BEGINS: &[&str] =
    &["e: ", "err: ", "error", "fatal", "panic: ", "fail:", "failed:", "make: ***"];
/// Parts of error lines, in lower case: `x.c:3:1: error: …`, `ModuleNotFoundError: …`, `npm ERR!
/// …`.
const HOLDS: &[&str] =
    &[": error:", ": fatal error:", " error: ", "error: ", "exception: ", " err! ", ": *** "];
const COMPLAINTS: &[&str] = &[
    ": no such file or directory",
    ": permission denied",
    "permission denied",
    "command not found",
    ": not found",
    "no space left on device",
    "could not ",
    "cannot ",
    "can't ",
    "unable to ",
    "failed to ",
    "not permitted",
    "connection refused",
    "timed out",
    "unbound variable",
    "syntax error",
];
/// Never a cause, in any line: messages in a chroot, about an unresolvable host name, or without a
/// locale.
const IDLE: &[&str] = &[
    "could not determine current runlevel",
    "unable to resolve host",
    "cannot be preloaded",
    "can't set locale",
    "cannot set lc_",
    "running in chroot",
    "unable to initialize frontend",
];
/// Reads like an error, but is harmless.
const HARMLESS: &[&str] = &[
    "w: ",
    "warning",
    "i: ",
    "info",
    "debug",
    "debconf: ",
    "dpkg-preconfigure: ",
    "note: ",
    "perl: warning",
];

/// Maximum number of bytes of a line examined.
const LOOK: usize = 400;

pub(super) fn kind(line: &str) -> Option<Kind> {
    let line: String = line.trim_start().chars().take(LOOK).collect::<String>().to_lowercase();
    let idle = || IDLE.iter().any(|part| line.contains(part));
    if HARMLESS.iter().any(|begin| line.starts_with(begin)) || line.contains("warning: ") || idle()
    {
        return None;
    }
    if BEGINS.iter().any(|begin| line.starts_with(begin))
        || HOLDS.iter().any(|part| line.contains(part))
    {
        return Some(Kind::Error);
    }
    COMPLAINTS.iter().any(|part| line.contains(part)).then_some(Kind::Complaint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_say_it_in_many_ways() {
        for error in [
            "E: Unable to locate package nosuch",
            "error: linking failed",
            "x.c:3:1: error: expected ';'",
            "ModuleNotFoundError: No module named 'x'",
            "fatal: repository not found",
            "npm ERR! code E404",
            "make[1]: *** [Makefile:3: all] Error 1",
            "os/debian-12: Error: no mirror",
        ] {
            assert_eq!(kind(error), Some(Kind::Error), "{error}");
        }
        for complaint in [
            "cp: cannot stat 'a': No such file or directory",
            "build.sh: line 3: frobnicate: command not found",
            "build.sh: line 7: OUT: unbound variable",
            "curl: (7) Failed to connect to localhost port 1 after 0 ms: Connection refused",
        ] {
            assert_eq!(kind(complaint), Some(Kind::Complaint), "{complaint}");
        }
        for well in [
            "W: Download is performed unsandboxed",
            "dpkg-preconfigure: unable to re-open stdin: No such file or directory",
            "warning: unused variable",
            "perl: warning: Setting locale failed.",
            "Setting up liberror-perl (0.17029-2) ...",
            "0 errors",
            "sudo: unable to resolve host builder: Name or service not known",
            "invoke-rc.d: could not determine current runlevel",
            "ERROR: ld.so: object 'libeatmydata.so' from LD_PRELOAD cannot be preloaded (cannot \
                open shared object file): ignored.",
            "locale: Cannot set LC_ALL to default locale: No such file or directory",
            "",
        ] {
            assert_eq!(kind(well), None, "{well}");
        }
    }
}
