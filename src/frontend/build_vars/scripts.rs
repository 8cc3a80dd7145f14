//! Scripts: what the kernel, shells and other interpreters stumble over.
use std::path::Path;

use super::files::{self, Trouble};
use crate::system::reading;

/// Longer ones are not looked into.
pub(super) const MAX: u64 = 4 << 20;
const SHELLS: [&str; 8] = ["sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "rbash"];
/// Ends of names that no shell's script has.
const OTHERS: [&str; 18] = [
    "yml", "yaml", "json", "toml", "ini", "cfg", "conf", "j2", "tf", "py", "pl", "rb", "js", "php",
    "lua", "ps1", "bat", "md",
];
/// Beginnings of lines that bash reads, and `sh` of Debian does not.
const OF_BASH: [&str; 6] =
    ["[[ ", "if [[ ", "while [[ ", "set -o pipefail", "set -euo pipefail", "shopt "];

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
    let Ok(bytes) = reading::bytes(path, MAX) else { return Vec::new() };
    if is_program(&bytes) {
        return vec![Told::new(true, 0, "this is a program, not a script", program)];
    }
    let bytes = &bytes[..of_script(&bytes)];
    let mut told = of_text(path, bytes, false);
    if told.iter().any(|one| one.error) {
        return told;
    }
    told.extend(no_interpreter(path, bytes));
    match bytes.iter().position(|b| *b == 0).map(|at| nul(bytes, at, program)) {
        Some(nul) if nul.error => vec![nul],
        nul => told.into_iter().chain(nul).collect(),
    }
}

/// What is no text. Shells pass a NUL over, Python does not take one, and of others it is not
/// known; a program has one in its first line, as has what is packed.
fn nul(bytes: &[u8], at: usize, program: &str) -> Told {
    let (line, interpreter) = (line_at(bytes, at), interpreter(bytes));
    if line == 1 || interpreter.starts_with("python") {
        return Told::new(true, line, "this is no text: there is a NUL in it", program);
    }
    Told::new(
        false,
        line,
        format!("there is a NUL in this line, which `{interpreter}` passes over at best"),
        program,
    )
}

/// A script without `#!` that is hardly meant for `sh`, which runs it.
fn no_interpreter(path: &Path, bytes: &[u8]) -> Option<Told> {
    if bytes.starts_with(b"#!") || late_interpreter(bytes).is_some() {
        return None;
    }
    let end = path.extension().map(|end| end.to_string_lossy().to_lowercase());
    if let Some(end) = end.filter(|end| OTHERS.contains(&end.as_str())) {
        let message = format!("there is no `#!` in it, so that `sh` runs this `.{end}`");
        return Some(Told::new(
            false,
            0,
            message,
            "its first line names what reads it, like `#!/usr/bin/env python3`",
        ));
    }
    let lines = bytes.split(|b| *b == b'\n').map(|line| line.trim_ascii_start());
    let (at, word) = lines.enumerate().find_map(|(at, line)| {
        Some((at, OF_BASH.iter().find(|word| line.starts_with(word.as_bytes()))?))
    })?;
    let message = format!(
        "there is no `#!` in this script, so that `sh` runs it, and `{}` is bash's: Debian's `sh` \
            has none",
        word.trim()
    );
    Some(Told::new(false, at + 1, message, "`#!/bin/bash` as the first line"))
}

/// A file that is run by its `#!` line, and may be a program.
pub(super) fn run(path: &Path) -> Vec<Told> {
    match reading::bytes(path, MAX) {
        Ok(bytes) if !is_program(&bytes) => of_text(path, &bytes[..of_script(&bytes)], true),
        _ => Vec::new(),
    }
}

/// `by_kernel`: the kernel reads its first line, else the factory.
fn of_text(path: &Path, bytes: &[u8], by_kernel: bool) -> Vec<Told> {
    if let Err((trouble, line)) = runs(bytes, by_kernel) {
        return vec![Told { trouble, line, error: true }];
    }
    let late = late_interpreter(bytes).filter(|(_, shell)| *shell).map(|(line, _)| {
        let message =
            "the `#!` of this script is not its first line: the shell that starts it runs it";
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
    let first = String::from_utf8_lossy(bytes.split(|b| *b == b'\n').next().unwrap_or_default())
        .into_owned();
    let Some(line) = first.strip_prefix("#!") else { return "sh".into() };
    let mut words = line.split_whitespace().map(|word| word.rsplit('/').next().unwrap_or_default());
    match words.next() {
        Some("env") => {
            words.find(|word| !word.starts_with('-') && !word.contains('=')).unwrap_or("sh").into()
        }
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
    let said = bytes
        .split(|b| *b == b'\n')
        .take(2)
        .any(|line| line.starts_with(b"#") && line.windows(6).any(|word| word == b"coding"));
    (!said).then(|| Told::new(true, line, trouble.message, trouble.hint))
}

/// Some lines, or parts of them, end otherwise than a shell reads.
fn carriage_return(bytes: &[u8]) -> Option<Told> {
    let at = bytes
        .iter()
        .position(|b| *b == b'\r')
        .filter(|_| SHELLS.contains(&interpreter(bytes).as_str()))?;
    let message = match bytes.get(at + 1) {
        Some(b'\n') => {
            "this line ends as Windows writes it (CR LF): the shell takes the CR for a part of the \
                last word"
        }
        _ => "there is a lone carriage return in this line: no shell ends a line there",
    };
    Some(Told::new(
        false,
        line_at(bytes, at),
        message,
        "sed -i 's/\\r$//' FILE; `printf '\\r'` writes one where it is meant",
    ))
}

/// Whether a file that is run by its `#!` line runs: what the kernel and shells stumble over, and
/// the line of it (0: the file as a whole). The file exists.
pub(super) fn runs_by_its_first_line(path: &Path) -> Result<(), (Trouble, usize)> {
    let Ok(bytes) = reading::bytes(path, MAX) else { return Ok(()) };
    runs(&bytes[..of_script(&bytes)], true)
}

fn runs(bytes: &[u8], by_kernel: bool) -> Result<(), (Trouble, usize)> {
    let no = |line: usize, message: &str, hint: &str| {
        Err((Trouble { message: message.into(), hint: hint.into() }, line))
    };
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return no(1, "this script is UTF-16, which no shell reads", "save it as UTF-8");
    }
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return no(
            1,
            "this script begins with a byte order mark, which hides its `#!`",
            "save it as UTF-8 without BOM",
        );
    }
    let first = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    if let Some((line, false)) = late_interpreter(bytes) {
        return no(
            line,
            "the `#!` of this script is not its first line, so that `sh` runs it",
            "nothing stands before `#!`",
        );
    }
    let lines = || bytes.split_inclusive(|b| *b == b'\n');
    let (all, with_cr) = (lines().count(), lines().filter(|line| line.ends_with(b"\r\n")).count());
    // A few lines may be data of a here-document, and other interpreters than shells read them. The
    // kernel takes the CR for a part of the interpreter's name; the factory does not.
    let of_shell = SHELLS.contains(&interpreter(bytes).as_str());
    if by_kernel && first.starts_with(b"#!") && first.ends_with(b"\r")
        || of_shell && with_cr * 2 > all
    {
        let line = 1 + lines().position(|line| line.ends_with(b"\r\n")).unwrap_or_default();
        return no(
            line,
            "lines of this script end as Windows writes them (CR LF)",
            "sed -i 's/\\r$//' FILE, and `* text eol=lf` in .gitattributes",
        );
    }
    Ok(())
}

/// A line of a script that only Python 2 reads, or that asks for it by the name that systems no
/// longer have.
pub(super) fn of_python_2(path: &Path) -> Option<(Trouble, usize)> {
    let text = reading::text(path, MAX).ok()?;
    let interpreter = text.lines().next()?.strip_prefix("#!")?.trim();
    let program = interpreter.rsplit(['/', ' ', '\t']).next()?;
    if !["python", "python2", "python2.6", "python2.7"].contains(&program) {
        return None;
    }
    let old = |line: &str| {
        line.strip_prefix("print ").is_some_and(|rest| !rest.trim_start().starts_with(['(', '=']))
    };
    // Of a text of several lines, as a description of the program is.
    let mut quoted = false;
    let line = text.lines().position(|line| {
        let within = quoted;
        quoted ^= (line.matches("\"\"\"").count() + line.matches("'''").count()) % 2 == 1;
        !within && old(line.trim_start())
    });
    let message = match line {
        Some(_) => "this line is of Python 2, which no system has any more".to_owned(),
        None => format!(
            "`{program}` is Python 2, or not there at all, on systems since Debian 11 and Red Hat 8"
        ),
    };
    Some((
        Trouble {
            message,
            hint: "`#!/usr/bin/env python3`, and what that reads: `print(…)`".into(),
        },
        line.map_or(1, |at| at + 1),
    ))
}

/// The line of a `#!` that only empty ones, or blanks, stand before, and whether it names a shell.
fn late_interpreter(bytes: &[u8]) -> Option<(usize, bool)> {
    let start = bytes.iter().position(|b| !b.is_ascii_whitespace())?;
    let is_one = start > 0 && bytes[start..].starts_with(b"#!/");
    let shell = || SHELLS.contains(&interpreter(&bytes[start..]).as_str());
    is_one.then(|| (1 + bytes[..start].iter().filter(|b| **b == b'\n').count(), shell()))
}

/// The bytes that an interpreter reads: of an archive that unpacks itself the script before it,
/// which ends with `exit` or with the interpreter's own word for its end.
fn of_script(bytes: &[u8]) -> usize {
    let Some(nul) = bytes.iter().position(|b| *b == 0) else { return bytes.len() };
    let interpreter = interpreter(bytes);
    let shell = SHELLS.contains(&interpreter.as_str());
    if interpreter.starts_with("python") {
        // A packed application: Python looks for the archive at its end.
        let start = bytes.iter().position(|b| *b == b'\n').map_or(0, |at| at + 1);
        return if bytes[start..].starts_with(b"PK\x03\x04") { start } else { bytes.len() };
    }
    let (mut at, mut end, mut text) = (0, None, 0);
    for line in bytes[..nul].split_inclusive(|b| *b == b'\n').filter(|line| line.ends_with(b"\n")) {
        let is_text = text == at
            && std::str::from_utf8(line).is_ok_and(|line| {
                !line.contains(|c: char| c.is_control() && !"\t\r\n".contains(c))
            });
        at += line.len();
        text = if is_text { at } else { text };
        let last = match shell {
            true => is_text && may_end(line) || first_word(line).is_some_and(ends),
            false => matches!(line.trim_ascii_end(), b"__END__" | b"__DATA__"),
        };
        end = if last { Some(at) } else { end };
    }
    // What is read behind a line that may end it is told by what is text: a mark, the `fi` and the
    // `}` that close it.
    end.map_or(bytes.len(), |end| end.max(if shell { text } else { 0 }))
}

fn first_word(line: &[u8]) -> Option<&[u8]> {
    line.split(|b| b.is_ascii_whitespace() || *b == b';').next()
}

fn ends(word: &[u8]) -> bool {
    matches!(word, b"exit" | b"exec")
}

/// `exit` or `exec` as a word anywhere in it: `main "$@"; exit $?`, `eval "$finish; exit $res"`.
fn may_end(line: &[u8]) -> bool {
    line.split(|b| !b.is_ascii_alphanumeric() && *b != b'_').any(ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(bytes: &[u8]) -> Vec<String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let word = |one: &Told| if one.error { "error" } else { "warning" };
        sent(file.path(), "")
            .iter()
            .map(|one| format!("{} {} {}", word(one), one.line, one.trouble.message))
            .collect()
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
            assert!(
                matches!(&found[..], [one] if one.starts_with("warning 2 this line is not UTF-8")),
                "{first}: {found:?}"
            );
        }
        let python = b"#!/usr/bin/env python3\n# M\xfcller\n";
        assert_eq!(told(python), ["error 2 this line is not UTF-8"]);
        assert_eq!(
            told(b"#!/usr/bin/env python3\n# -*- coding: latin-1 -*-\n# M\xfcller\n"),
            [""; 0]
        );
        assert_eq!(told("#!/bin/sh\n# Müller\n".as_bytes()), [""; 0]);
    }

    /// Nothing was said of less than half of the lines.
    #[test]
    fn a_carriage_return_is_told() {
        let some = told(b"#!/bin/sh\nset -e\ncd /srv\r\nls\n");
        assert!(
            matches!(&some[..], [one] if one.starts_with("warning 3 this line ends as Windows")),
            "{some:?}"
        );
        let lone = told(b"#!/bin/sh\necho a\recho b\n");
        assert!(
            matches!(&lone[..], [one] if one.starts_with("warning 2 there is a lone")),
            "{lone:?}"
        );
        let most = told(b"#!/bin/sh\ncd /srv\r\nls\r\nls\r\n");
        assert!(
            matches!(&most[..], [one] if one.starts_with("error 2 lines of this script")),
            "{most:?}"
        );
        assert_eq!(told(b"#!/usr/bin/python3\nprint()\nprint()\r\n"), [""; 0], "Python reads it");
    }

    /// Bash runs the first two; of the third it was said that its line is of Python 2.
    #[test]
    fn what_runs_is_not_refused() {
        let late = told(b"\n#!/bin/bash\necho\n");
        assert!(matches!(&late[..], [one] if one.starts_with("warning 2 the `#!`")), "{late:?}");
        assert!(told(b"\n#!/usr/bin/python3\nprint()\n")[0].starts_with("error 2 the `#!`"));
        assert_eq!(
            told(b"#!/bin/sh\ntail -n +4 \"$0\" | tar xz\nexit 0\n\x1f\x8b\0\xff\r\n\0"),
            [""; 0]
        );
        assert!(
            told(b"#!/bin/sh\necho\n\x1f\0\n")[0].starts_with("warning 3"),
            "nothing ends it before"
        );
        let python = told(b"#!/usr/bin/env python\n\"\"\"Was:\nprint \"old\"\n\"\"\"\nprint(1)\n");
        assert!(
            matches!(&python[..], [one] if one.starts_with("warning 1 `python` is")),
            "{python:?}"
        );
    }

    #[test]
    fn what_is_no_text_is_told() {
        // A program of these bytes is UTF-8.
        assert_eq!(told(b"\x7fELF\x02\x01\x01\0\0\0"), ["error 0 this is a program, not a script"]);
        assert_eq!(
            told(b"#!/usr/bin/python3\nprint('\0')\n"),
            ["error 2 this is no text: there is a NUL in it"]
        );
        assert_eq!(told(b"PK\x03\x04\0\0\0"), ["error 1 this is no text: there is a NUL in it"]);
        // Shells drop it, and go on.
        assert_eq!(
            told(b"#!/bin/sh\necho \0\n"),
            ["warning 2 there is a NUL in this line, which `sh` passes over at best"]
        );
    }

    /// As makeself ends its own, and others theirs; it was told that there is a NUL.
    #[test]
    fn an_archive_that_unpacks_itself_is_a_script() {
        let ends = [
            "eval $finish; exit $res\n",
            "eval \"$finish; exit $res\"\n",
            "main \"$@\"; exit $?\n",
            "if true; then\n  exit 0\nfi\n",
            "  exit 0\n__ARCHIVE__\n",
            "exec tail -n +4 \"$0\"\n",
            "unpack && exit 0 || exit 1\n#EOF#\n",
            "exit\r\n",
        ];
        for end in ends {
            for payload in [
                &b"\x1f\x8b\x08\0\r\n\0"[..],
                b"BZh91AY\xff\xfe\n\r\n\xffexit\n\0",
                b"x.txt\0\0\0",
                b"\xfd7zXZ\0\0",
            ] {
                let found = told(&[b"#!/bin/sh\necho\n", end.as_bytes(), payload].concat());
                assert!(
                    !found.iter().any(|one| one.contains("NUL") || one.starts_with("error")),
                    "{end} {payload:?}: {found:?}"
                );
            }
        }
        assert_eq!(
            told(b"#!/usr/bin/env python3\nPK\x03\x04\x14\0\0"),
            [""; 0],
            "python -m zipapp"
        );
        assert_eq!(told(b"#!/usr/bin/perl\nprint <DATA>;\n__DATA__\n\0\xff\r\n"), [""; 0]);
    }

    /// Python reads all of it; it was an error.
    #[test]
    fn lines_of_windows_are_no_errors_of_those_that_read_them() {
        for first in [
            "#!/usr/bin/env python3",
            "#!/usr/bin/perl",
            "#!/usr/bin/env python3\r",
            "#!/usr/bin/ruby\r",
        ] {
            assert_eq!(
                told(format!("{first}\nprint()\r\nprint()\r\n").as_bytes()),
                [""; 0],
                "{first}"
            );
        }
        let of = |text: &str| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), text).unwrap();
            run(file.path()).len()
        };
        assert_eq!(
            (
                of("#!/usr/bin/python3\nprint()\r\nprint()\r\n"),
                of("#!/usr/bin/python3\r\nprint()\r\n")
            ),
            (0, 1)
        );
        assert!(told(b"#!/bin/bash\r\nls\r\n")[0].starts_with("error 1"));
    }

    /// Nothing was said.
    #[test]
    fn what_sh_is_hardly_meant_to_run_is_told() {
        let of = |name: &str, text: &str| {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join(name), text).unwrap();
            sent(&dir.path().join(name), "")
                .into_iter()
                .map(|one| format!("{} {}", one.line, one.trouble.message))
                .collect::<Vec<_>>()
                .join("|")
        };
        assert_eq!(
            of("site.yml", "- hosts: all\n"),
            "0 there is no `#!` in it, so that `sh` runs this `.yml`"
        );
        assert!(of("x.py", "print(1)\n").contains("`sh` runs this `.py`"));
        assert!(
            of("x.sh", "set -e\n  if [[ -f x ]]; then\n")
                .starts_with("2 there is no `#!` in this script")
        );
        for (name, text) in [
            ("x", "echo\n"),
            ("x.sh", "set -e\n# [[ \n"),
            ("x.py", "#!/usr/bin/python3\n"),
            ("x.d.10", "ls\n"),
        ] {
            assert_eq!(of(name, text), "", "{name}");
        }
    }
}
