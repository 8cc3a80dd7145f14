//! Normalises the environment of this process before it starts others, which inherit it.
use std::ffi::OsString;
use std::path::PathBuf;

use crate::ready::user;
use crate::system::exec::env;

/// Built into every recent glibc. Ansible requires UTF-8, and output of tools is parsed in English.
const LANGUAGE: &str = "C.UTF-8";

/// Whether an empty variable should be removed: programs and libraries would take the empty text
/// for a file name or an invalid value.
fn says_nothing(name: &str, value: &OsString) -> bool {
    value.is_empty()
        && (name.starts_with("IMAGE_FACTORY_")
            || name == "TMPDIR"
            || env::CERTIFICATES.contains(&name))
}

/// Changes for `environment`: sets a variable, or removes it (`None`).
fn changes(
    environment: impl Iterator<Item = (OsString, OsString)>,
    home: Option<PathBuf>,
) -> Vec<(OsString, Option<OsString>)> {
    let mut changes = vec![("LANG".into(), Some(LANGUAGE.into()))];
    let mut homeless = true;
    for (name, value) in environment {
        homeless &= name != "HOME" || value.is_empty();
        // Each would count for more than LANG, and names a language or a locale that may not be
        // there.
        let text = name.to_string_lossy();
        if text == "LANGUAGE" || text.starts_with("LC_") || says_nothing(&text, &value) {
            changes.push((name, None));
        }
    }
    // As services and containers start programs. Tools look for their settings there, and we for
    // the store.
    if let (true, Some(home)) = (homeless, home) {
        changes.push(("HOME".into(), Some(home.into())));
    }
    changes
}

/// Call while the process has one thread.
pub fn settle() {
    let home = user::entry(user::id()).map(|entry| entry.home);
    for (name, value) in changes(std::env::vars_os(), home) {
        // SAFETY: no other thread reads the environment: there is none yet.
        unsafe {
            match value {
                Some(value) => std::env::set_var(name, value),
                None => std::env::remove_var(name),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(environment: &[(&str, &str)]) -> Vec<String> {
        let environment = environment.iter().map(|(n, v)| (OsString::from(n), OsString::from(v)));
        let text = |value: Option<OsString>| value.map_or("-".into(), |v| v.into_string().unwrap());
        changes(environment, Some("/home/x".into()))
            .into_iter()
            .map(|(n, v)| format!("{}={}", n.to_string_lossy(), text(v)))
            .collect()
    }

    #[test]
    fn a_language_that_is_not_utf_8_goes_and_a_home_comes() {
        assert_eq!(
            of(&[("LC_ALL", "C"), ("HOME", "/h"), ("LANG", "de_DE.ISO-8859-1")]),
            ["LANG=C.UTF-8", "LC_ALL=-"]
        );
        assert_eq!(
            of(&[("LC_CTYPE", "xx_XX.UTF-8"), ("LANGUAGE", "de"), ("HOME", "")]),
            ["LANG=C.UTF-8", "LC_CTYPE=-", "LANGUAGE=-", "HOME=/home/x"]
        );
        assert_eq!(of(&[("LCX", "1"), ("HOME", "/h")]), ["LANG=C.UTF-8"]);
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        let empty = ["IMAGE_FACTORY_ACCEL", "IMAGE_FACTORY_HOME", "TMPDIR", "SSL_CERT_FILE"];
        let said =
            of(&[&[("HOME", "/h"), ("OTHER", "")], &empty.map(|name| (name, ""))[..]].concat());
        assert_eq!(
            said,
            [
                "LANG=C.UTF-8",
                "IMAGE_FACTORY_ACCEL=-",
                "IMAGE_FACTORY_HOME=-",
                "TMPDIR=-",
                "SSL_CERT_FILE=-"
            ]
        );
        assert_eq!(
            of(&[("HOME", "/h"), ("IMAGE_FACTORY_ACCEL", "tcg"), ("TMPDIR", "/t")]),
            ["LANG=C.UTF-8"]
        );
    }
}
