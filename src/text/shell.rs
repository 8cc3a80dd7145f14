//! Quotes words for a shell. A command that a hint offers for pasting must name the right file,
//! whatever the file is called.
use std::borrow::Cow;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::is_hidden;

/// `text` as one word of POSIX `sh`, byte for byte. Always quoted.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A path as one word of a command to paste: bare if plain, otherwise quoted. Never begins with `-`
/// or `~`. Invisible characters and invalid UTF-8 are written `$'\012'`, as `ls` does; bash, zsh
/// and ksh read that.
pub fn path(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes();
    let bytes = match bytes.first() {
        Some(b'-') => Cow::Owned([b"./", bytes].concat()),
        _ => Cow::Borrowed(bytes),
    };
    written(&bytes)
}

/// Like [`path`], for a word that is not a path: a name, an ID.
pub fn word(text: &str) -> String {
    written(text.as_bytes())
}

/// A whole command line.
pub fn line(words: &[String]) -> String {
    words.iter().map(|word| self::word(word)).collect::<Vec<_>>().join(" ")
}

fn written(bytes: &[u8]) -> String {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"@%+=:,./-_".contains(b);
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.is_empty() && bytes.iter().all(plain) => text.to_owned(),
        Ok(text) if !text.chars().any(|c| c.is_control() || is_hidden(c)) => quoted(text),
        _ => spelled(bytes),
    }
}

fn spelled(bytes: &[u8]) -> String {
    let mut out = String::from("$'");
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\'' | '\\' => out.extend(['\\', c]),
                c if c.is_control() || is_hidden(c) => {
                    c.encode_utf8(&mut [0; 4]).bytes().for_each(|b| octal(b, &mut out))
                }
                c => out.push(c),
            }
        }
        chunk.invalid().iter().for_each(|b| octal(*b, &mut out));
    }
    out + "'"
}

/// Three octal digits. A shell may read more digits after `\x` than intended.
fn octal(byte: u8, out: &mut String) {
    out.push_str(&format!("\\{byte:03o}"));
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::process::Command;

    use super::*;

    const NAMES: [&[u8]; 14] = [
        b"images/a/tests/x.sh",
        b"$(touch pwned)",
        b"a;id #",
        b"`id`",
        b"it's",
        b"a b",
        b"a\nb",
        b"-rf",
        b"~",
        b"*",
        "\u{202e}'\\12".as_bytes(),
        b"\xffa1",
        b"{a,b}",
        b"!x\x1b[2J7",
    ];

    /// Bash parses each word back.
    #[test]
    fn a_shell_reads_the_same_name() {
        for name in NAMES {
            let word = path(Path::new(OsStr::from_bytes(name)));
            assert!(!word.chars().any(|c| c.is_control() || is_hidden(c)), "{word:?}");
            let said = Command::new("bash")
                .args(["-c", &format!("printf '%s|' {word}")])
                .output()
                .unwrap()
                .stdout;
            let given = if name.starts_with(b"-") {
                [b"./", name, b"|"].concat()
            } else {
                [name, b"|"].concat()
            };
            assert_eq!(said, given, "{word}");
        }
    }

    #[test]
    fn plain_names_stay_bare() {
        assert_eq!(
            path(Path::new("images/bundle-nginx/build-vars.yaml")),
            "images/bundle-nginx/build-vars.yaml"
        );
        assert_eq!(
            (word(""), word("-x"), quoted("it's")),
            ("''".into(), "-x".into(), r"'it'\''s'".into())
        );
    }
}
