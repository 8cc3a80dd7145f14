//! What takes another pace than that of every day, against a private OpenSSH server. All else is in `test-tools/it/remote.rs`.
use std::collections::BTreeMap;

use super::*;
use crate::remote::sshd;

/// A server that closes what is silent, and a session on which nothing is said for long: it is used while another one carries
/// a playbook. (Old servers close one with a running command too; those of today ask, and are answered.)
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_session_is_kept_alive() {
    let sshd = sshd::Sshd::start_with(&["ClientAliveInterval 2", "ClientAliveCountMax 3"]);
    let remote = open(&sshd.target, Duration::from_secs(30), Duration::from_secs(2)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(11)).await;
    let command =
        Command { script: "exit 3".into(), args: Vec::new(), env: BTreeMap::new(), sudo: false, deadline: Duration::from_secs(60) };
    assert_eq!(remote.exec(command, Box::new(|_, _| {})).await.unwrap(), Exit::Code(3));
}
