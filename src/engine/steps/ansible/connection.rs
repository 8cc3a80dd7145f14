//! Ansible's own `ssh`: as strict as the factory's sessions, and gone with the playbook.
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Duration;

use super::ROOM;
use crate::engine::BuildContext;
use crate::engine::machine::SshFiles;
use crate::system::exec::{self, Cmd};

/// In the room.
const CONTROL_SOCKET: &str = "cm";

/// For all of Ansible's connections.
pub(super) fn ssh_options(files: &SshFiles, room: &Path) -> String {
    let mut options = files.options();
    // A name this short, because a socket's path has at most 108 bytes; in a directory of the run,
    // because `sweep` knows a master by it (OpenSSH writes its title over the environment, and the
    // run's mark is lost).
    let control = format!("ControlPath={}", room.join(CONTROL_SOCKET).display());
    for option in ["ControlMaster=auto", "ControlPersist=60s", &control] {
        options.extend(["-o".into(), option.into()]);
    }
    options.join(" ")
}

/// What no variable of a playbook, inventory or role may change: how the machine's key is checked.
pub(super) fn pins(options: &str) -> serde_json::Value {
    serde_json::json!({
        "ansible_ssh_args": options,
        "ansible_ssh_common_args": "",
        "ansible_ssh_extra_args": "",
        "ansible_sftp_extra_args": "",
        "ansible_scp_extra_args": "",
        "ansible_ssh_executable": "ssh",
        "ansible_host_key_checking": true,
        "ansible_ssh_host_key_checking": true,
        "ansible_paramiko_host_key_checking": true,
        "ansible_paramiko_host_key_auto_add": false,
        // Mitogen would tell the machine the factory's user and name, and sudo would log them.
        "mitogen_mask_remote_name": true,
    })
}

/// Ansible leaves an SSH master behind for a minute; the builder is about to be tidied.
pub(in crate::engine::steps) async fn stop_ssh_master(site: &BuildContext<'_>) {
    let socket = site.scratch.join(ROOM).join(CONTROL_SOCKET);
    // Of the room, where a playbook may have put a link to another's.
    let own = std::fs::symlink_metadata(&socket).is_ok_and(|meta| meta.file_type().is_socket());
    if own {
        let cmd = Cmd::new("ssh", Duration::from_secs(5))
            .mark(&site.plan.run)
            .args(["-F", "none", "-O", "exit", "-o"])
            .arg(format!("ControlPath={}", socket.display()))
            .arg("builder");
        // A master that is gone already is what we want.
        let _ = exec::output(&cmd, &site.cx.cancel.for_unwind()).await;
    }
}
