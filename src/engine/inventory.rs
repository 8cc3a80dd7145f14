//! Ansible's inventory of one host, as JSON for its `yaml` plugin: no value can start another
//! variable or host. Ansible renders inventory values as templates on the factory, so every value
//! has a grammar without braces.
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use super::answer::{self, NoAnswer, strange};
use super::machine::{self, Running};
use super::{BuildContext, BuildError};
use crate::guest::Target;

/// Ansible's own interpreter discovery, for a builder without a known Python.
const ITSELF: &str = "auto_silent";

/// Prints path and version of the Python that Ansible would choose. Ansible's discovery costs two
/// logins and a Python start per playbook; this uses the open session, and the name of the program
/// where that has the version.
const SCRIPT: &str = r#"p=$(command -v python3) || exit 0
printf '%s\n' "$p"
named=$(readlink -f "$p" 2>/dev/null)
named=${named##*/python}
case $named in
    3.[0-9] | 3.[0-9][0-9]) printf '%s\n' "$named" ;;
    *) exec "$p" -c 'import sys; print("%d.%d" % sys.version_info[:2])' ;;
esac"#;

/// Python on the builder.
#[derive(Debug, PartialEq)]
struct Python {
    path: String,
    version: (u32, u32),
}

/// What the inventory says of the builder.
#[derive(Debug)]
pub(super) struct Inventory {
    pub path: PathBuf,
    /// Version of the builder's Python; `None` if Ansible looks for it itself.
    pub python: Option<(u32, u32)>,
}

/// Writes the inventory. The inner error is why the step cannot run: the builder's Python is too
/// old for this Ansible.
pub(super) async fn write(
    site: &BuildContext<'_>,
    builder: &Running,
) -> Result<Result<Inventory, String>, BuildError> {
    let (python, version) = match site.cx.cancel.or(python(builder)).await? {
        Ok(Some(python)) => {
            let ansible = site.plan.ansible.as_deref().unwrap_or_default();
            match judge(ansible, python.version) {
                Verdict::Fine => {}
                Verdict::Warn(text) => site.cx.events.warn(text),
                Verdict::TooOld(text) => return Ok(Err(text)),
            }
            (python.path, Some(python.version))
        }
        // No python3 by that name; some systems have one elsewhere.
        Ok(None) => (ITSELF.to_owned(), None),
        Err(e) => {
            site.cx.events.warn(format!(
                "asked for its python3, {}: {e}; Ansible looks for it itself",
                builder.machine.name
            ));
            (ITSELF.to_owned(), None)
        }
    };
    let text = match text(&builder.machine.name, &builder.target, &python) {
        Ok(text) => text,
        Err(why) => return Ok(Err(why)),
    };
    let path = site.scratch.join("inventory.json");
    machine::write_private(&path, text.as_bytes())?;
    Ok(Ok(Inventory { path, python: version }))
}

/// The host is in the groups `local` (older playbooks), `default` (Packer) and `all`.
fn text(name: &str, target: &Target, python: &str) -> Result<String, String> {
    let sound = |what: &str, value: &str, extra: &[u8]| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || extra.contains(&b);
        let bad = value.is_empty() || value.starts_with('-') || !value.bytes().all(allowed);
        if bad { Err(strange_value(what, value)) } else { Ok(()) }
    };
    sound("machine's name", name, b"._-")?;
    sound("address", &target.host, b".:%_-")?;
    sound("user", &target.user, b"._-")?;
    sound("python3", python, b"/._+-")?;
    let host = json!({
        "ansible_host": target.host,
        "ansible_port": target.port,
        "ansible_user": target.user,
        "ansible_python_interpreter": python,
    });
    let groups =
        json!({ "local": { "hosts": { name: host } }, "default": { "hosts": { name: {} } } });
    Ok(json!({ "all": { "children": groups } }).to_string())
}

fn strange_value(what: &str, value: &str) -> String {
    format!(
        "the {what} `{}` cannot be told to Ansible",
        crate::system::lines::cut(&crate::log::sentences::clean(value), 100)
    )
}

async fn python(builder: &Running) -> Result<Option<Python>, NoAnswer> {
    parse(&answer::word(&*builder.remote, SCRIPT, Duration::from_secs(60)).await?)
}

/// Parses path and version, a line each; empty without `python3`.
fn parse(text: &str) -> Result<Option<Python>, NoAnswer> {
    if text.is_empty() {
        return Ok(None);
    }
    let refused = || strange("path of a python3 with its version", text);
    let (path, version) = text.split_once('\n').ok_or_else(refused)?;
    // Digits alone: `parse` would take a sign.
    let number = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| text.parse::<u8>().ok().map(u32::from))
            .flatten()
    };
    let version =
        version.split_once('.').and_then(|(major, minor)| Some((number(major)?, number(minor)?)));
    match version {
        Some(version) if is_path(path) => Ok(Some(Python { path: path.to_owned(), version })),
        _ => Err(refused()),
    }
}

/// `^/[A-Za-z0-9._/+-]+$`, at most 255 bytes, no `..`.
fn is_path(path: &str) -> bool {
    let letters = path.bytes().all(|b| b.is_ascii_alphanumeric() || b"._/+-".contains(&b));
    path.starts_with('/')
        && (2..256).contains(&path.len())
        && letters
        && path.split('/').all(|part| part != "..")
}

#[derive(Debug, PartialEq)]
enum Verdict {
    Fine,
    Warn(String),
    TooOld(String),
}

/// Target Pythons supported by each ansible-core, from its support matrix: (core, oldest 3.x,
/// newest 3.x at its release).
const TARGETS: [(u32, u32, u32); 9] = [
    (13, 5, 10),
    (14, 5, 11),
    (15, 5, 11),
    (16, 6, 12),
    (17, 7, 12),
    (18, 8, 13),
    (19, 8, 13),
    (20, 9, 14),
    (21, 9, 14),
];

/// `ansible` is the first line of `ansible-playbook --version`: `ansible-playbook [core 2.14.18]`.
fn judge(ansible: &str, (major, minor): (u32, u32)) -> Verdict {
    let Some((core, oldest, newest)) =
        core(ansible).and_then(|core| TARGETS.into_iter().find(|t| t.0 == core))
    else {
        return Verdict::Fine;
    };
    if (major, minor) < (3, oldest) {
        return Verdict::TooOld(format!(
            "the builder has Python {major}.{minor}, and ansible-core 2.{core} of this machine \
                needs 3.{oldest} or newer there \
             (install a newer Python in a shell step before, or use an older ansible-core)"
        ));
    }
    if (major, minor) > (3, newest) {
        return Verdict::Warn(format!(
            "the builder has Python {major}.{minor}, which is newer than ansible-core 2.{core} of \
                this machine knows (3.{newest})"
        ));
    }
    Verdict::Fine
}

/// 14 of `ansible-playbook [core 2.14.18]`.
fn core(ansible: &str) -> Option<u32> {
    let (_, version) = ansible.split_once("[core 2.")?;
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
#[path = "inventory/tests.rs"]
mod tests;
