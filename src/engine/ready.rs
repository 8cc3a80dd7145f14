//! Prepares a builder for its first step: waits for the package manager, and reports early what
//! would make tidy fail at the end.
use std::time::{Duration, Instant};

use super::answer::{NoAnswer, say_as_root};
use super::machine::{self, Running};
use super::{BuildContext, BuildError};
use crate::system::lines;

/// What a builder runs before its first step.
pub(super) const SCRIPT: &str = include_str!("../../templates/guest/ready.sh");

/// Time limit for a freshly booted base's package manager.
const LIMIT: Duration = Duration::from_secs(600);
/// Additional time for the script itself.
const REST: Duration = Duration::from_secs(60);

/// Waits until no package installation runs. Fails if the login user cannot become root.
pub(super) async fn builder(
    site: &BuildContext<'_>,
    running: &Running,
    deadline: Instant,
) -> Result<(), BuildError> {
    site.cx.events.doing(format!("waiting for the package manager of {}", running.machine.name));
    let (script, limit) = script(deadline);
    let said = match site.cx.cancel.or(say_as_root(&*running.remote, &script, limit + REST)).await?
    {
        Ok(said) => said,
        Err(error) => {
            let reason = match riddle(&error, &running.target.user) {
                Some(answer) => answer,
                None => format!("{} does not become root with sudo: {error}", running.target.user),
            };
            return Err(machine::not_ready(site, &running.machine, reason).await);
        }
    };
    tell(site, &said);
    Ok(())
}

/// The script, and the longest time that it waits.
pub(super) fn script(deadline: Instant) -> (String, Duration) {
    let limit = deadline.saturating_duration_since(Instant::now()).clamp(REST, LIMIT);
    (format!("LIMIT={}\n{SCRIPT}", limit.as_secs()), limit)
}

/// Tells of what the script waited for.
pub(super) fn tell(site: &BuildContext<'_>, said: &str) {
    match told(said) {
        Some((false, seconds, who)) => site
            .cx
            .events
            .note(format!("waited {seconds} s for what the base installs at its boot: {who}")),
        Some((true, seconds, who)) => {
            site.cx.events.warn(format!(
                "the package manager is still held after {seconds} s, and \
                the steps begin all the same: {who}"
            ));
        }
        None => {}
    }
}

/// `waited 12 /usr/bin/apt-get update`: whether it is still locked, for how long, and by whom.
fn told(said: &str) -> Option<(bool, u64, String)> {
    let mut words = said.lines().next_back()?.splitn(3, ' ');
    let held = match words.next()? {
        "held" => true,
        "waited" => false,
        _ => return None,
    };
    Some((held, words.next()?.parse().ok()?, lines::cut(words.next()?.trim(), 200)))
}

/// Explains terse errors of sudo and PAM, with a remedy.
pub(super) fn riddle(error: &NoAnswer, user: &str) -> Option<String> {
    let said = error.to_string();
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if has(&["must have a tty to run sudo"]) {
        let out = format!("`Defaults:{user} !requiretty` in a file of /etc/sudoers.d");
        return Some(format!(
            "sudo of the base wants a terminal (`Defaults requiretty`), and nothing here has one; \
                the base needs {out}"
        ));
    }
    if has(&[
        "password has expired",
        "Password change required",
        "password is expired",
        "change your password immediately",
    ]) {
        let out = format!(
            "`chage -E -1 -M -1 {user}`, or `passwd -l {user}` and `chage -d \"$(date +%F)\" \
                {user}`"
        );
        return Some(format!(
            "the password of {user} has expired in the base, so that no command runs; the base \
                needs {out}"
        ));
    }
    if has(&["account has expired", "account is expired", "Account or password is expired"]) {
        return Some(format!(
            "the account of {user} has expired in the base; it needs `chage -E -1 {user}`"
        ));
    }
    if has(&[
        "a password is required",
        "is not in the sudoers",
        "may not run sudo",
        "not allowed to execute",
    ]) {
        let out = format!(
            "`{user} ALL=(ALL) NOPASSWD:ALL` in a file of /etc/sudoers.d, or another `ssh_user`"
        );
        return Some(format!(
            "{user} has no sudo without a password in the base, which steps and tidy need: {out}"
        ));
    }
    if has(&["sudo: not found", "sudo: command not found"]) {
        return Some("the base has no sudo, which steps and tidy need".into());
    }
    None
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::guest::Exit;

    #[test]
    fn what_the_script_says_is_understood() {
        assert_eq!(
            told("waited 12 /usr/bin/apt-get -qq update \n"),
            Some((false, 12, "/usr/bin/apt-get -qq update".into()))
        );
        assert_eq!(told("x\nheld 600 dpkg\n"), Some((true, 600, "dpkg".into())));
        for none in ["", "waited", "waited x y", "all is well"] {
            assert_eq!(told(none), None, "{none}");
        }
    }

    #[test]
    fn riddles_of_sudo_and_pam() {
        let riddle = |said: &str| {
            riddle(&NoAnswer::Exit { exit: Exit::Code(1), said: said.into() }, "debian")
                .unwrap_or_default()
        };
        assert!(riddle("sudo: sorry, you must have a tty to run sudo").contains("!requiretty"));
        assert!(
            riddle(
                "WARNING: Your password has expired.; Password change required but no TTY \
            available."
            )
            .contains("chage")
        );
        assert!(
            riddle("sudo: Account or password is expired, reset your password and try again")
                .contains("chage -E")
        );
        // sudo of today says both of a missing password.
        let both = "sudo: a terminal is required to read the password; either use the -S option; \
            sudo: a password is required";
        assert!(riddle(both).contains("NOPASSWD"));
        assert!(riddle("sh: 1: sudo: not found").contains("no sudo"));
        assert_eq!(riddle("exit code 3"), "");
    }

    /// As it is sent, but for the paths: of apt's places one lock lies in a directory of the test.
    fn script(lock: &Path, limit: u64) -> String {
        let own =
            format!("systemctl() {{ [ \"$1\" != is-active ] || echo $UNITS; }}\nLIMIT={limit}\n");
        (own + include_str!("../../templates/guest/ready.sh"))
            .replace("/var/lib/dpkg/lock-frontend", &lock.display().to_string())
            .replace("/var/lib/dpkg/lock ", "/nonexistent ")
            .replace("/var/lib/apt/lists/lock", "/nonexistent")
            .replace("/var/cache/apt/archives/lock", "/nonexistent")
            .replace("-d /var/lib/apt ", "-d /usr ")
    }

    fn run_while(script: &str, units: &str) -> String {
        let out = std::process::Command::new("sh")
            .args(["-c", script])
            .env("UNITS", units)
            .output()
            .unwrap();
        String::from_utf8(out.stdout).unwrap()
    }

    /// A lock of the kind that apt takes, over the whole file, or none any longer.
    fn lock(file: &std::fs::File, kind: libc::c_int) {
        // SAFETY: all zero, but for its kind, is a lock of the whole file; the descriptor is open.
        let done = unsafe {
            let mut whole: libc::flock = std::mem::zeroed();
            whole.l_type = kind as libc::c_short;
            libc::fcntl(std::os::fd::AsRawFd::as_raw_fd(file), libc::F_SETLK, &raw const whole)
        };
        assert_eq!(done, 0);
    }

    /// The lock is seen, with who holds it; and the wait for it has an end.
    #[test]
    fn a_lock_that_is_held_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let file = std::fs::File::create(&path).unwrap();
        let script = script(&path, 0);
        let run = || run_while(&script, "inactive inactive");
        assert_eq!(run(), "");
        // It has not come to its lock yet.
        let about_to = told(&run_while(&script, "inactive activating")).unwrap();
        assert!(about_to.0 && about_to.2.contains("daily service"), "{about_to:?}");
        lock(&file, libc::F_WRLCK);
        let said = run();
        assert!(
            matches!(told(&said), Some((true, _, who)) if who.contains("image_factory")),
            "{said}"
        );
    }

    /// The script ends when the lock is let go of, long before its limit, and names whom it waited
    /// for.
    #[test]
    fn a_lock_that_is_let_go_of_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let (path, waits) = (dir.path().join("lock"), dir.path().join("waits"));
        let file = std::fs::File::create(&path).unwrap();
        lock(&file, libc::F_WRLCK);
        // Before each pause it leaves a sign.
        let script = script(&path, 600).replace(
            "    sleep 2\n",
            &format!("    echo >>'{}'\n    sleep 0.2\n", waits.display()),
        );
        let (tell, end) = std::sync::mpsc::channel();
        std::thread::spawn(move || tell.send(run_while(&script, "inactive inactive")));
        let begin = Instant::now();
        while std::fs::read(&waits).map_or(0, |signs| signs.len()) < 3 {
            assert!(begin.elapsed() < Duration::from_secs(120), "it does not wait");
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(end.try_recv().is_err(), "it ended while the lock was held");
        lock(&file, libc::F_UNLCK);
        let said = end.recv_timeout(Duration::from_secs(120)).unwrap();
        let Some((false, seconds, who)) = told(&said) else { panic!("{said}") };
        assert!(seconds < 600 && who.contains("image_factory"), "{said}");
    }
}
