//! Checks whether a program is installed and works, and reads its version. A failing program is
//! reported with its own message, not as missing.
use crate::model::facts::Lack;
use std::time::Duration;

use super::{Cmd, ExecError, Stream, run, status_text};
use crate::system::cancel::{Cancel, Cancelled};

/// Python and QEMU take seconds to start on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// First line that `program` prints for `flag`. `package` provides the program. Only exit code 0
/// counts.
pub async fn version(
    program: &str,
    flag: &str,
    package: &str,
    cancel: &Cancel,
) -> Result<Result<String, Lack>, Cancelled> {
    // Not in the tree: Ansible reads the ansible.cfg of the directory where it is called.
    let cmd = Cmd::new(program, DEADLINE).arg(flag).dir("/");
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let ended = run(&cmd, cancel, |stream, line| {
        let said = if stream == Stream::Stdout { &mut out } else { &mut err };
        if said.len() < LINES && !line.trim().is_empty() {
            said.push(line.trim().to_owned());
        }
    })
    .await;
    let broken = |why: String| {
        (
            format!("{program} does not run: {why}"),
            format!("`{program} {flag}` has to work for this user"),
        )
    };
    Ok(match ended {
        Err(ExecError::Cancelled(stopped)) => return Err(stopped),
        Err(ExecError::Missing { .. }) => Err((
            format!("{program} is not installed"),
            format!("run `make deps`, or install {package}"),
        )),
        Err(e) => Err(broken(e.to_string())),
        Ok(status) if !status.success() => {
            let said = if err.is_empty() { out } else { err };
            Err(broken([vec![status_text(status)], said].concat().join(": ")))
        }
        Ok(_) => Ok(out.into_iter().chain(err).next().unwrap_or_default()),
    })
}

/// Maximum number of output lines kept.
const LINES: usize = 4;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    async fn said(script: &str) -> Result<String, Lack> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tool");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        version(path.to_str().unwrap(), "--version", "a-package", &Cancel::default()).await.unwrap()
    }

    #[tokio::test]
    async fn an_error_is_no_version_and_no_absence() {
        assert_eq!(said("echo; echo tool 1.2; echo more").await.unwrap(), "tool 1.2");
        assert_eq!(said("echo OpenSSH_9 >&2").await.unwrap(), "OpenSSH_9");
        assert_eq!(
            said("echo odd >&2; echo tool 2").await.unwrap(),
            "tool 2",
            "a warning comes first"
        );
        let (what, hint) = said("echo 'ERROR: the locale is none' >&2; exit 1").await.unwrap_err();
        assert!(
            what.ends_with("tool does not run: exit code 1: ERROR: the locale is none"),
            "{what}"
        );
        assert!(hint.contains("has to work for this user"), "{hint}");
        let absent = version("no-such-program", "-V", "a-package", &Cancel::default())
            .await
            .unwrap()
            .unwrap_err();
        assert_eq!(
            absent,
            (
                "no-such-program is not installed".into(),
                "run `make deps`, or install a-package".into()
            )
        );
    }
}
