//! What a lost session left running in its machine. sshd does not end the commands of a connection
//! that broke, so a command that is tried again would run beside itself.
use std::time::Duration;

use super::Command;

/// Sends TERM to the process groups in its arguments, waits up to two seconds, sends KILL.
pub(super) const KILL: &str = r#"for g; do kill -s TERM -- "-$g"; done 2>/dev/null
n=0
while [ $n -lt 20 ]; do
l=; for g; do kill -s 0 -- "-$g" && l=1; done 2>/dev/null
[ "$l" ] || exit 0
sleep 0.1; n=$((n+1))
done
for g; do kill -s KILL -- "-$g"; done 2>/dev/null
exit 0"#;

/// A call whose session was lost while it ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// Its process groups.
    pub groups: Vec<i32>,
    /// They are root's.
    pub sudo: bool,
}

impl Orphan {
    /// The command that ends it, over another session. Of use only in the same boot.
    pub fn end(&self, deadline: Duration) -> Command {
        Command {
            // A group that is gone already is no error.
            script: format!("set +e\n{KILL}\n").into(),
            args: self.groups.iter().map(i32::to_string).collect(),
            env: Default::default(),
            sudo: self.sudo,
            deadline,
        }
    }
}
