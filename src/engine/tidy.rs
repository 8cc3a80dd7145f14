//! The script that cleans a builder before its disk is captured.
use std::time::Duration;

use ssh_key::PublicKey;

use super::answer::exit_text;
use super::heard::{LastLines, lines_to};
use super::machine::Running;
use super::{BuildContext, BuildError};
use crate::guest::{Command, Exit};

const SCRIPT: &str = concat!(
    include_str!("../../templates/guest/tidy-places.sh"),
    include_str!("../../templates/guest/tidy.sh")
);

/// Run after the other, on a machine that is to be captured.
const POWER_OFF: &str = include_str!("../../templates/guest/power-off.sh");

/// Asks for the power-off that [`run`] prepared. The word is last: what comes after it is lost.
pub(super) const ASK_OFF: &str = r#"[ -p /run/image-factory-off ] || exit 1
echo going
echo off >/run/image-factory-off"#;

/// What tidy leaves alone and yet tells.
const WARNING: &str = "warning: ";

/// The tidy script for `sh`, to be run as root. Performs the named parts (of
/// `TIDY_PARTS` and `TIDY_ASKED` of the model) in a fixed order, and prints
/// one line for each. Exits with 0, or with 1 after a line on stderr that names the failed part.
///
/// `build_key` is the factory's login key. Only its line is removed from every `authorized_keys`.
///
/// Afterwards nobody can log in, and the default user has no `sudo`. The current session continues.
///
/// The environment variable `FACTORY_KEEP` may name one entry of `/tmp` to keep until the session
/// ends.
pub fn script(parts: &[String], build_key: &PublicKey) -> String {
    let line = build_key.to_openssh().expect("an ed25519 key can be written");
    let blob = line.split(' ').nth(1).expect("algorithm, then base64");
    // Names of parts and base64 have nothing in them that a quoted string could end at.
    format!("PARTS='{}'\nBUILD_KEY='{blob}'\n{SCRIPT}", parts.join(" "))
}

/// Runs the tidy script: the last thing that is done on a builder, but for its power-off.
pub(super) async fn run(site: &BuildContext<'_>, builder: &Running) -> Result<(), BuildError> {
    let script = script(&site.plan.tidy, builder.target.key.public_key());
    let script = [script.as_str(), POWER_OFF].concat().into();
    let command = Command {
        script,
        args: Vec::new(),
        env: Default::default(),
        sudo: true,
        deadline: Duration::from_secs(600),
    };
    let last = LastLines::default();
    let exit = site
        .cx
        .cancel
        .or(builder.remote.exec(command, lines_to(site.cx.events.clone(), "tidy", last.clone())))
        .await?;
    match exit {
        Ok(Exit::Code(0)) => {
            last.all()
                .iter()
                .filter_map(|line| line.strip_prefix(WARNING))
                .for_each(|text| site.cx.events.warn(format!("tidy: {text}")));
            Ok(())
        }
        Ok(exit) => Err(BuildError::Tidy(last.reason(exit_text(&exit)))),
        Err(e) => Err(BuildError::Tidy(e.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::definition::{TIDY_ASKED, TIDY_PARTS};

    const KEY: &str = "ssh-ed25519 \
        AAAAC3NzaC1lZDI1NTE5AAAAIEVtJ2/PtdEMhsU1MMDHUAu0Z/fw1uvPO2YroQhaRgtC it's-mine";

    #[test]
    fn every_part_is_there() {
        for part in TIDY_PARTS.iter().chain(TIDY_ASKED) {
            assert!(
                SCRIPT.contains(&format!("\non {part} && {{ ")),
                "tidy.sh does not know `{part}`"
            );
        }
        assert_eq!(
            SCRIPT.matches("\non ").count(),
            TIDY_PARTS.len() + TIDY_ASKED.len(),
            "tidy.sh has parts that the lists lack"
        );
    }

    #[test]
    fn parts_and_key_are_told_and_the_keys_comment_is_not() {
        let key = PublicKey::from_openssh(KEY).unwrap();
        let script = script(&["logs".into(), "trim".into()], &key);
        assert!(script.starts_with(
            "PARTS='logs \
                trim'\n\
                BUILD_KEY='AAAAC3NzaC1lZDI1NTE5AAAAIEVtJ2/PtdEMhsU1MMDHUAu0Z/fw1uvPO2YroQhaRgtC'\n"
        ));
        assert!(!script.contains("it's-mine"));
    }

    /// Runs for real with nothing switched on: the frame of the script is sound, and does nothing
    /// by itself.
    #[test]
    fn no_parts_do_nothing() {
        let key = PublicKey::from_openssh(KEY).unwrap();
        let out = std::process::Command::new("sh")
            .args(["-e", "-c", &script(&[], &key)])
            .output()
            .unwrap();
        assert!(out.status.success(), "{out:?}");
        assert_eq!(out.stdout, b"");
        assert_eq!(out.stderr, b"");
    }
}
