//! Scripts: what the kernel, shells and other interpreters stumble over.
use std::path::Path;

use super::files::{self, Trouble};
use crate::reading;

/// Longer ones are not looked into.
pub(super) const MAX: u64 = 4 << 20;
const SHELLS: [&str; 8] = ["sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "rbash"];

/// What is to be said of a script.
pub(super) struct Told {
    pub trouble: Trouble,
    /// From 1; 0: the file as a whole.
    pub line: usize,
    pub error: bool,
}

impl Told {
    fn new(error: bool, line: usize, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { trouble: Trouble { message: message.into(), hint: hint.into() }, line, error }
    }
}

/// A script that is sent to a machine as a text; `program`: the hint where it is none.
pub(super) fn sent(path: &Path, program: &str) -> Vec<Told> {
    let Ok(mut bytes) = reading::bytes(path, MAX) else { return Vec::new() };
    bytes.truncate(read_by_shell(&bytes));
    if is_program(&bytes) {
        return vec![Told::new(true, 0, "this is a program, not a script", program)];
    }
    let told = of_text(path, &bytes);
    match bytes.iter().position(|b| *b == 0).filter(|_| !told.iter().any(|one| one.error)) {
        Some(at) => vec![Told::new(true, line_at(&bytes, at), "this is no text: there is a NUL in it", program)],
        None => told,
    }
}

/// A file that is run by its `#!` line, and may be a program.
pub(super) fn run(path: &Path) -> Vec<Told> {
    match reading::bytes(path, MAX) {
        Ok(bytes) if !is_program(&bytes) => of_text(path, &bytes[..read_by_shell(&bytes)]),
        _ => Vec::new(),
    }
}

fn of_text(path: &Path, bytes: &[u8]) -> Vec<Told> {
    if let Err((trouble, line)) = runs_by_its_first_line(path) {
        return vec![Told { trouble, line, error: true }];
    }
    let late = late_interpreter(bytes).filter(|(_, shell)| *shell).map(|(line, _)| {
        let message = "the `#!` of this script is not its first line: the shell that starts it runs it";
        Told::new(false, line, message, "nothing stands before `#!`")
    });
    let old = of_python_2(path).map(|(trouble, line)| Told { trouble, line, error: false });
    [late, old, odd_bytes(bytes), carriage_return(bytes)].into_iter().flatten().collect()
}

/// ELF.
fn is_program(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x7fELF")
}

fn line_at(bytes: &[u8], at: usize) -> usize {
    1 + bytes[..at].iter().filter(|b| **b == b'\n').count()
}

/// By the `#!` line, without its directory; without one it is `sh`.
fn interpreter(bytes: &[u8]) -> String {
    let first = String::from_utf8_lossy(bytes.split(|b| *b == b'\n').next().unwrap_or_default()).into_owned();
    let Some(line) = first.strip_prefix("#!") else { return "sh".into() };
    let mut words = line.split_whitespace().map(|word| word.rsplit('/').next().unwrap_or_default());
    match words.next() {
        Some("env") => words.find(|word| !word.starts_with('-') && !word.contains('=')).unwrap_or("sh").into(),
        Some(program) => program.into(),
        None => "sh".into(),
    }
}

/// What is no UTF-8. Shells and most others take bytes as they come; Python wants to be told.
fn odd_bytes(bytes: &[u8]) -> Option<Told> {
    let (trouble, line) = files::is_text(bytes).err()?;
    let interpreter = interpreter(bytes);
    if !interpreter.starts_with("python") {
        let message = format!("{}: `{interpreter}` takes its bytes as they are", trouble.message);
        return Some(Told::new(false, line, message, trouble.hint));
    }
    let said = bytes.split(|b| *b == b'\n').take(2).any(|line| line.starts_with(b"#") && line.windows(6).any(|word| word == b"coding"));
    (!said).then(|| Told::new(true, line, trouble.message, trouble.hint))
}

/// Some lines, or parts of them, end otherwise than a shell reads.
fn carriage_return(bytes: &[u8]) -> Option<Told> {
    let at = bytes.iter().position(|b| *b == b'\r').filter(|_| SHELLS.contains(&interpreter(bytes).as_str()))?;
    let message = match bytes.get(at + 1) {
        Some(b'\n') => "this line ends as Windows writes it (CR LF): the shell takes the CR for a part of the last word",
        _ => "there is a lone carriage return in this line: no shell ends a line there",
    };
    Some(Told::new(false, line_at(bytes, at), message, "sed -i 's/\\r$//' FILE; `printf '\\r'` writes one where it is meant"))
}

/// Whether a file that is run by its `#!` line runs: what the kernel and shells stumble over, and the line of it (0: the file
/// as a whole). The file exists.
pub(super) fn runs_by_its_first_line(path: &Path) -> Result<(), (Trouble, usize)> {
    let no = |line: usize, message: &str, hint: &str| Err((Trouble { message: message.into(), hint: hint.into() }, line));
    let Ok(mut bytes) = reading::bytes(path, MAX) else { return Ok(()) };
    bytes.truncate(read_by_shell(&bytes));
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return no(1, "this script is UTF-16, which no shell reads", "save it as UTF-8");
    }
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return no(1, "this script begins with a byte order mark, which hides its `#!`", "save it as UTF-8 without BOM");
    }
    let first = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    if let Some((line, false)) = late_interpreter(&bytes) {
        return no(line, "the `#!` of this script is not its first line, so that `sh` runs it", "nothing stands before `#!`");
    }
    let lines = || bytes.split_inclusive(|b| *b == b'\n');
    let (all, with_cr) = (lines().count(), lines().filter(|line| line.ends_with(b"\r\n")).count());
    // A few lines may be data of a here-document.
    if first.ends_with(b"\r") || with_cr * 2 > all {
        let line = 1 + lines().position(|line| line.ends_with(b"\r\n")).unwrap_or_default();
        return no(
            line,
            "lines of this script end as Windows writes them (CR LF)",
            "sed -i 's/\\r$//' FILE, and `* text eol=lf` in .gitattributes",
        );
    }
    Ok(())
}

/// A line of a script that only Python 2 reads, or that asks for it by the name that systems no longer have.
pub(super) fn of_python_2(path: &Path) -> Option<(Trouble, usize)> {
    let text = reading::text(path, MAX).ok()?;
    let interpreter = text.lines().next()?.strip_prefix("#!")?.trim();
    let program = interpreter.rsplit(['/', ' ', '\t']).next()?;
    if !["python", "python2", "python2.6", "python2.7"].contains(&program) {
        return None;
    }
    let old = |line: &str| line.strip_prefix("print ").is_some_and(|rest| !rest.trim_start().starts_with(['(', '=']));
    // Of a text of several lines, as a description of the program is.
    let mut quoted = false;
    let line = text.lines().position(|line| {
        let within = quoted;
        quoted ^= (line.matches("\"\"\"").count() + line.matches("'''").count()) % 2 == 1;
        !within && old(line.trim_start())
    });
    let message = match line {
        Some(_) => "this line is of Python 2, which no system has any more".to_owned(),
        None => format!("`{program}` is Python 2, or not there at all, on systems since Debian 11 and Red Hat 8"),
    };
    Some((Trouble { message, hint: "`#!/usr/bin/env python3`, and what that reads: `print(…)`".into() }, line.map_or(1, |at| at + 1)))
}

/// The line of a `#!` that only empty ones, or blanks, stand before, and whether it names a shell.
fn late_interpreter(bytes: &[u8]) -> Option<(usize, bool)> {
    let start = bytes.iter().position(|b| !b.is_ascii_whitespace())?;
    let is_one = start > 0 && bytes[start..].starts_with(b"#!/");
    let shell = || SHELLS.contains(&interpreter(&bytes[start..]).as_str());
    is_one.then(|| (1 + bytes[..start].iter().filter(|b| **b == b'\n').count(), shell()))
}

/// The bytes that a shell reads: of an archive that unpacks itself the script before it, which ends with `exit`.
fn read_by_shell(bytes: &[u8]) -> usize {
    let Some(nul) = bytes.iter().position(|b| *b == 0).filter(|_| SHELLS.contains(&interpreter(bytes).as_str())) else {
        return bytes.len();
    };
    let (mut at, mut end) = (0, None);
    for line in bytes[..nul].split_inclusive(|b| *b == b'\n').filter(|line| line.ends_with(b"\n")) {
        at += line.len();
        let word = line.split(|b| b.is_ascii_whitespace() || *b == b';').next();
        end = if matches!(word, Some(b"exit" | b"exec")) { Some(at) } else { end };
    }
    end.unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(bytes: &[u8]) -> Vec<String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let word = |one: &Told| if one.error { "error" } else { "warning" };
        sent(file.path(), "").iter().map(|one| format!("{} {} {}", word(one), one.line, one.trouble.message)).collect()
    }

    /// Bash runs such a script; all of it was an error.
    #[test]
    fn bytes_are_told_by_who_reads_them() {
        for first in [
            "#!/bin/sh",
            "#!/usr/bin/env bash",
            "#!/usr/bin/env -S LC_ALL=C bash",
            "#! /bin/bash -e",
            "# no interpreter",
            "#!/usr/bin/perl",
        ] {
            let found = told(&[first.as_bytes(), b"\n# M\xfcller\necho\n"].concat());
            assert!(matches!(&found[..], [one] if one.starts_with("warning 2 this line is not UTF-8")), "{first}: {found:?}");
        }
        let python = b"#!/usr/bin/env python3\n# M\xfcller\n";
        assert_eq!(told(python), ["error 2 this line is not UTF-8"]);
        assert_eq!(told(b"#!/usr/bin/env python3\n# -*- coding: latin-1 -*-\n# M\xfcller\n"), [""; 0]);
        assert_eq!(told("#!/bin/sh\n# Müller\n".as_bytes()), [""; 0]);
    }

    /// Nothing was said of less than half of the lines.
    #[test]
    fn a_carriage_return_is_told() {
        let some = told(b"#!/bin/sh\nset -e\ncd /srv\r\nls\n");
        assert!(matches!(&some[..], [one] if one.starts_with("warning 3 this line ends as Windows")), "{some:?}");
        let lone = told(b"#!/bin/sh\necho a\recho b\n");
        assert!(matches!(&lone[..], [one] if one.starts_with("warning 2 there is a lone")), "{lone:?}");
        let most = told(b"#!/bin/sh\ncd /srv\r\nls\r\nls\r\n");
        assert!(matches!(&most[..], [one] if one.starts_with("error 2 lines of this script")), "{most:?}");
        assert_eq!(told(b"#!/usr/bin/python3\nprint()\nprint()\r\n"), [""; 0], "Python reads it");
    }

    /// Bash runs the first two; of the third it was said that its line is of Python 2.
    #[test]
    fn what_runs_is_not_refused() {
        let late = told(b"\n#!/bin/bash\necho\n");
        assert!(matches!(&late[..], [one] if one.starts_with("warning 2 the `#!`")), "{late:?}");
        assert!(told(b"\n#!/usr/bin/python3\nprint()\n")[0].starts_with("error 2 the `#!`"));
        assert_eq!(told(b"#!/bin/sh\ntail -n +4 \"$0\" | tar xz\nexit 0\n\x1f\x8b\0\xff\r\n\0"), [""; 0]);
        assert!(told(b"#!/bin/sh\necho\n\x1f\0\n")[0].starts_with("error 3"), "nothing ends it before");
        let python = told(b"#!/usr/bin/env python\n\"\"\"Was:\nprint \"old\"\n\"\"\"\nprint(1)\n");
        assert!(matches!(&python[..], [one] if one.starts_with("warning 1 `python` is")), "{python:?}");
    }

    #[test]
    fn what_is_no_text_is_told() {
        // A program of these bytes is UTF-8.
        assert_eq!(told(b"\x7fELF\x02\x01\x01\0\0\0"), ["error 0 this is a program, not a script"]);
        assert_eq!(told(b"#!/bin/sh\necho \0\n"), ["error 2 this is no text: there is a NUL in it"]);
    }
}
