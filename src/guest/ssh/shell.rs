//! Shell scripts that run on the machine: POSIX sh, with few processes (each costs milliseconds on
//! an emulated guest) and no secrets on command lines.
//!
//! Every script first prints a *preface* on standard output: a mark known only to this call, and
//! its process groups, so that a second channel can kill them. sshd starts each command as a
//! session leader; below sudo the script uses `setsid` for that.
use std::collections::BTreeMap;
use std::ffi::CString;

use crate::guest::orphan::KILL;
use crate::guest::{Command, RemoteError};
use crate::text::shell::quoted;

/// First byte of the preface: ASCII "record separator", which login scripts do not print.
pub(super) const MARK: u8 = 0x1e;

/// A command line for sshd, and its standard input.
pub(super) struct Call {
    pub(super) line: CString,
    pub(super) input: Vec<u8>,
}

const PREFACE: &str = r#"read -r a b c d g e </proc/$$/stat || g=$$
printf "\036@ID@ %s %s\n" $g $$
"#;

/// Reads exports and the script from standard input, and executes the script.
///
/// Keeps the script in an unlinked file: nothing remains in the captured image (in memory if
/// /dev/shm exists), and standard input is free. Runs it only if complete, because a connection
/// lost during the upload also ends the input.
const EXEC: &str = r#"[ "$g" = $$ ] || set -- setsid "$@"
IFS= read -r e || exit 126
u=$(umask); umask 077; set -C
d=/dev/shm; [ -w $d ] || d=${TMPDIR:-/tmp}
f=$d/.@ID@
exec 4>"$f" 3<"$f" || exit 126
rm -f "$f"
cat >&4
[ "$(wc -c <&3)" -eq @SIZE@ ] || { echo "the script did not arrive whole" >&2; exit 126; }
umask "$u"; set +C
exec 4>&- </dev/null
eval "$e"
exec "$@""#;

/// Traps PIPE, because after a lost connection an error message would kill the shell before its
/// clean-up.
///
/// $1 the file, $2 its directory ("" for none), $3 the temporary name beside it.
const FILE: &str = r#"if [ -d "$1" ]; then echo "is a directory" >&2; exit 1; fi
if [ "$2" ]; then mkdir -p "$2" || exit; fi
trap 'rm -f "$3"' EXIT
trap 'exit 1' HUP INT PIPE TERM
umask 077
cat >"$3" || exit
[ "$(wc -c <"$3")" -eq @SIZE@ ] || { echo "did not arrive whole" >&2; exit 1; }
chmod @MODE@ "$3" && mv -f "$3" "$1""#;

/// $1 the directory, $2 its parent ("" for none), $3 the temporary name beside it. The last entry
/// of the archive is named by the id, because tar accepts an archive that ends early between two
/// files. `head` detects a full disk, which tar reports only as "wrote only 4608 of 10240 bytes".
const TREE: &str = r#"if [ -d "$1" ]; then o=$1
else
if [ "$2" ]; then mkdir -p "$2" || exit; fi
o=$3
trap 'rm -rf "$3"' EXIT
trap 'exit 1' HUP INT PIPE TERM
mkdir "$o" || exit
fi
tar -xpomf - -C "$o" || { head -c 65536 /dev/zero >"$o/.@ID@"; rm -f "$o/.@ID@"; exit 1; }
[ -e "$o/.@ID@" ] || { echo "did not arrive whole" >&2; exit 1; }
rm -f "$o/.@ID@"
[ "$o" = "$1" ] || { chmod @MODE@ "$o" && mv "$o" "$1"; }"#;

pub(super) fn exec(command: &Command, id: &str) -> Result<Call, RemoteError> {
    let mut input = exports(&command.env)?.into_bytes();
    input.push(b'\n');
    input.extend_from_slice(&command.script);
    let text = [PREFACE, EXEC]
        .concat()
        .replace("@ID@", id)
        .replace("@SIZE@", &command.script.len().to_string());
    let mut args = interpreter(&command.script);
    args.push("/dev/fd/3");
    args.extend(command.args.iter().map(String::as_str));
    Ok(Call { line: line(command.sudo, &text, &args)?, input })
}

/// Where a transfer goes on the machine.
pub(super) struct Destination<'a> {
    pub path: &'a str,
    pub mode: u32,
    pub sudo: bool,
}

pub(super) fn put_file(to: &Destination<'_>, size: u64, id: &str) -> Result<CString, RemoteError> {
    let text = [PREFACE, FILE].concat().replace("@SIZE@", &size.to_string());
    put(&text, to, id)
}

pub(super) fn put_tree(to: &Destination<'_>, id: &str) -> Result<CString, RemoteError> {
    put(&[PREFACE, TREE].concat(), to, id)
}

fn put(text: &str, to: &Destination<'_>, id: &str) -> Result<CString, RemoteError> {
    let Destination { path: dest, mode, sudo } = *to;
    let trimmed = dest.trim_end_matches('/');
    let dest = match trimmed {
        "" if dest.starts_with('/') => "/.".into(),
        "" => ".".into(),
        // No option, whatever program it is given to.
        name if name.starts_with('-') => format!("./{name}"),
        name => name.to_owned(),
    };
    let (parent, prefix) = match dest.rfind('/') {
        Some(0) => ("/", "/"),
        Some(at) => (&dest[..at], &dest[..=at]),
        None => ("", ""),
    };
    let text = text.replace("@ID@", id).replace("@MODE@", &format!("{:04o}", mode & 0o7777));
    line(sudo, &text, &[&dest, parent, &format!("{prefix}.{id}")])
}

pub(super) fn kill(groups: &[i32], sudo: bool) -> Result<CString, RemoteError> {
    let groups: Vec<String> = groups.iter().map(i32::to_string).collect();
    line(sudo, KILL, &groups.iter().map(String::as_str).collect::<Vec<_>>())
}

/// `exec` replaces the login shell, so that the script's shell is the session leader.
fn line(sudo: bool, text: &str, args: &[&str]) -> Result<CString, RemoteError> {
    let mut line = String::from(if sudo { "exec sudo -n sh -c " } else { "exec sh -c " });
    line.push_str(&quoted(text));
    line.push_str(" sh");
    for arg in args {
        line.push(' ');
        line.push_str(&quoted(arg));
    }
    CString::new(line)
        .map_err(|_| RemoteError::Command("an argument or a path contains a NUL byte".into()))
}

/// One shell line that sets the environment; the machine reads it with `read`, before the script.
fn exports(env: &BTreeMap<String, String>) -> Result<String, RemoteError> {
    let mut line = String::new();
    if env.values().any(|value| value.contains('\n')) {
        line.push_str(r#"__n=$(printf "\n."); __n=${__n%.}; "#);
    }
    for (name, value) in env {
        let valid = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !name.starts_with(|c: char| c.is_ascii_digit());
        if !valid || name.is_empty() {
            return Err(RemoteError::Command(format!(
                "`{name}` is no name for an environment variable"
            )));
        }
        if value.contains('\0') {
            return Err(RemoteError::Command(format!("the value of `{name}` contains a NUL byte")));
        }
        let value: Vec<String> = value.split('\n').map(quoted).collect();
        line.push_str(&format!("export {name}={}; ", value.join(r#""$__n""#)));
    }
    Ok(line)
}

/// Parses a `#!` line like the kernel: a program and at most one argument. The kernel itself cannot
/// run it, because /tmp and /dev/shm are often mounted noexec.
fn interpreter(script: &[u8]) -> Vec<&str> {
    let first = script.split(|b| *b == b'\n').next().unwrap_or_default();
    let first = std::str::from_utf8(first).unwrap_or_default();
    let Some(rest) = first.strip_prefix("#!").map(str::trim).filter(|rest| !rest.is_empty()) else {
        return vec!["sh", "-e"];
    };
    match rest.split_once([' ', '\t']) {
        Some((program, argument)) => vec![program, argument.trim_start()],
        None => vec![rest],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put_line(dest: &str) -> String {
        let to = Destination { path: dest, mode: 0o100644, sudo: false };
        put("T", &to, "ID").unwrap().into_string().unwrap()
    }

    #[test]
    fn destinations_are_never_options() {
        assert_eq!(put_line("/etc/x"), "exec sh -c 'T' sh '/etc/x' '/etc' '/etc/.ID'");
        assert_eq!(put_line("/x"), "exec sh -c 'T' sh '/x' '/' '/.ID'");
        assert_eq!(put_line("x"), "exec sh -c 'T' sh 'x' '' '.ID'");
        assert_eq!(put_line("-rf"), "exec sh -c 'T' sh './-rf' '.' './.ID'");
        assert_eq!(put_line("it's/"), r"exec sh -c 'T' sh 'it'\''s' '' '.ID'");
        assert_eq!(put_line("/"), "exec sh -c 'T' sh '/.' '/' '/.ID'");
    }

    #[test]
    fn interpreter_is_read_as_the_kernel_does() {
        assert_eq!(interpreter(b"echo hi"), ["sh", "-e"]);
        assert_eq!(interpreter(b"#!\necho"), ["sh", "-e"]);
        assert_eq!(interpreter(b"#! /bin/bash\r\necho"), ["/bin/bash"]);
        assert_eq!(
            interpreter(b"#!/usr/bin/env -S python3 -u\n"),
            ["/usr/bin/env", "-S python3 -u"]
        );
    }

    #[test]
    fn exports_are_one_line() {
        let env = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
        assert_eq!(exports(&env("A", "it's")).unwrap(), r"export A='it'\''s'; ");
        assert!(!exports(&env("A", "two\nlines")).unwrap().contains('\n'));
        for bad in ["", "1A", "A-B", "A;rm", "É"] {
            assert!(exports(&env(bad, "")).is_err(), "{bad}");
        }
    }
}
