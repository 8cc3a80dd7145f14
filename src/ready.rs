//! Prerequisites of a plan on this machine, checked before anything is created. `doctor` uses the
//! same checks.
use crate::model::step::StepKind;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use crate::model::facts::Lack;
use crate::plan::{Origin, Plan};
use crate::system::cancel::{Cancel, Cancelled};
use crate::system::exec::probe;
use crate::system::exec::{self, Cmd, ExecError};
use crate::system::{disk, durable, lines};

mod namespace;
pub mod user;

/// The definition that builds a root file system on this machine, and the programs that it needs:
/// (name, package). Some lie outside of an ordinary user's PATH.
const ROOT_FILE_SYSTEM: &str = "os/debian-12";
pub const PROGRAMS: [(&str, &str); 5] = [
    ("mmdebstrap", "mmdebstrap"),
    ("mke2fs", "e2fsprogs"),
    ("sfdisk", "fdisk"),
    ("qemu-img", "qemu-utils"),
    ("unshare", "util-linux"),
];
/// Bytes of a source script that are examined.
const SCRIPT_LOOK: u64 = 64 << 10;
/// Bytes that root file system, disk and image take together at most.
const SCRIPT_ROOM: u64 = 2 << 30;

/// Missing prerequisites of `plan`. `home` is the factory's home, where it works.
pub async fn lacks(plan: &Plan, home: &Path, cancel: &Cancel) -> Result<Vec<Lack>, Cancelled> {
    let mut lacks = Vec::new();
    if plan.steps.iter().any(|step| matches!(step.action, StepKind::Ansible { .. })) {
        lacks.extend(for_ansible(cancel).await?);
    }
    if let Origin::Script(script) = &plan.origin {
        lacks.extend(noexec(&plan.bundle_dir.join(script), "a source script is started there"));
        if plan.bundle == ROOT_FILE_SYSTEM || makes_root_file_system(&plan.bundle_dir.join(script))
        {
            lacks.extend(for_root_file_systems(home, cancel).await?);
        }
    }
    Ok(lacks)
}

/// Whether the script is a copy of [`ROOT_FILE_SYSTEM`]'s, or works the same way.
fn makes_root_file_system(script: &Path) -> bool {
    let text = durable::read_begin(script, SCRIPT_LOOK).map(|(text, _)| text).unwrap_or_default();
    lines::find(&text, b"mmdebstrap ").is_some() && lines::find(&text, b"unshare ").is_some()
}

/// Prerequisites of Ansible besides Ansible itself.
async fn for_ansible(cancel: &Cancel) -> Result<Vec<Lack>, Cancelled> {
    let mut lacks: Vec<Lack> =
        probe::version("ssh", "-V", "openssh-client", cancel).await?.err().into_iter().collect();
    let id = user::id();
    if user::entry(id).is_none() {
        let hint = "as root: `useradd -u UID NAME`; in a container start it as a user that its \
            /etc/passwd has";
        lacks.push((
            format!("user {id} has no entry in /etc/passwd, and `ssh` refuses to work for it"),
            hint.into(),
        ));
    }
    Ok(lacks)
}

/// Prerequisites of `os/debian-12`: programs, disk space, a file system that allows execution, and
/// for an ordinary user a user namespace.
pub async fn for_root_file_systems(home: &Path, cancel: &Cancel) -> Result<Vec<Lack>, Cancelled> {
    let mut lacks = Vec::new();
    let names: Vec<&str> = PROGRAMS.iter().map(|(name, _)| *name).collect();
    let look = format!(
        "PATH=$PATH:/usr/sbin:/sbin; for p in {}; do command -v $p >/dev/null || echo $p; done",
        names.join(" ")
    );
    let said =
        match exec::output(&Cmd::new("sh", Duration::from_secs(60)).arg("-c").arg(look), cancel)
            .await
        {
            Ok(said) => said,
            Err(ExecError::Cancelled(stopped)) => return Err(stopped),
            Err(e) => {
                return Ok(vec![(
                    format!("programs cannot be looked for: {e}"),
                    "`sh` has to work for this user".into(),
                )]);
            }
        };
    for (name, package) in
        PROGRAMS.iter().filter(|(name, _)| said.lines().any(|line| line == *name))
    {
        lacks.push((
            format!("{name} is not installed"),
            format!("run `make deps`, or apt-get install {package}"),
        ));
    }
    lacks.extend(closed(home));
    lacks.extend(noexec(home, "programs of the new system are run there"));
    lacks.extend(short(home));
    if user::id() != 0 && !said.lines().any(|line| line == "unshare") {
        lacks.extend(namespace::lacks(home, cancel).await?);
    }
    Ok(lacks)
}

/// Fails if `home` neither exists nor can be created.
fn closed(home: &Path) -> Option<Lack> {
    let there = home.ancestors().find(|p| p.symlink_metadata().is_ok())?;
    let name = std::ffi::CString::new(there.as_os_str().as_bytes()).ok()?;
    // SAFETY: `name` ends with a zero byte and outlives the call, which only asks.
    let answer = unsafe {
        libc::faccessat(libc::AT_FDCWD, name.as_ptr(), libc::W_OK | libc::X_OK, libc::AT_EACCESS)
    };
    let error = (answer != 0).then(std::io::Error::last_os_error)?;
    let text = format!(
        "images have no place: {} cannot be written: {}: {error}",
        home.display(),
        there.display()
    );
    Some((text, "set IMAGE_FACTORY_HOME to a directory of yours".into()))
}

fn short(home: &Path) -> Option<Lack> {
    let space = disk::space(home)?;
    let floor = disk::floor(space.total);
    let room = space.free.saturating_sub(floor);
    let text = format!(
        "{} has {} MiB free, of which {} are kept for the factory's own records: \
            {ROOT_FILE_SYSTEM} needs {} besides",
        home.display(),
        space.free >> 20,
        floor >> 20,
        SCRIPT_ROOM >> 20
    );
    (room < SCRIPT_ROOM)
        .then(|| (text, "free some space, or set IMAGE_FACTORY_HOME to a larger disk".into()))
}

/// Fails if `path` is, or will be, on a file system mounted `noexec`.
fn noexec(path: &Path, why: &str) -> Option<Lack> {
    let there = path.ancestors().find(|p| p.exists())?;
    let name = std::ffi::CString::new(there.as_os_str().as_bytes()).ok()?;
    let mut stat = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: `name` ends with a zero byte, `stat` has room for the answer and is read only if the
    // call filled it.
    let flags = unsafe {
        if libc::statvfs(name.as_ptr(), stat.as_mut_ptr()) != 0 {
            return None;
        }
        stat.assume_init().f_flag
    };
    let text = format!("{} is on a file system mounted with `noexec`: {why}", path.display());
    let hint = format!(
        "sudo mount -o remount,exec \"$(stat -c %m '{}')\", or use another disk \
            (IMAGE_FACTORY_HOME, --tree)",
        there.display()
    );
    is_noexec(flags).then_some((text, hint))
}

fn is_noexec(flags: libc::c_ulong) -> bool {
    flags & libc::ST_NOEXEC != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_that_starts_no_programs_is_known() {
        assert_eq!(noexec(Path::new(env!("CARGO_MANIFEST_DIR")), "x"), None);
        assert!(
            is_noexec(libc::ST_NOSUID | libc::ST_NOEXEC)
                && !is_noexec(libc::ST_NOSUID | libc::ST_NODEV)
        );
        // With a real one: `what_an_ordinary_user_lacks_is_said_before_anything_starts`.
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        let options = |line: &str| {
            line.split(' ').nth(3).is_some_and(|o| o.split(',').any(|o| o == "noexec"))
        };
        for place in
            mounts.lines().filter(|line| options(line)).filter_map(|line| line.split(' ').nth(1))
        {
            let Some((what, hint)) = noexec(Path::new(place), "x") else { continue };
            assert!(
                what.contains("is on a file system mounted with `noexec`")
                    && hint.starts_with("sudo mount -o remount,exec"),
                "{what}"
            );
        }
    }

    #[test]
    fn a_copy_of_the_definition_needs_what_it_needs() {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("os/debian-12/build.sh");
        assert!(makes_root_file_system(&shipped));
        assert!(
            !makes_root_file_system(&shipped.with_file_name("configure.sh"))
                && !makes_root_file_system(Path::new("/nosuch"))
        );
    }

    #[tokio::test]
    async fn no_room_is_told_with_what_is_kept() {
        assert_eq!(
            short(Path::new("/proc")).map(|(_, hint)| hint.contains("IMAGE_FACTORY_HOME")),
            Some(true)
        );
        let all = for_root_file_systems(Path::new("/proc"), &Cancel::default()).await.unwrap();
        assert!(all.iter().any(|(what, _)| what.contains("/proc has 0 MiB free")), "{all:?}");
    }
}
