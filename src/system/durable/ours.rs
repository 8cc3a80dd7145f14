//! Checks that only root and this user can change or replace a file: by its own mode and owner, and
//! by those of every directory and link on its path.
use std::collections::VecDeque;
use std::ffi::{CStr, CString, OsString};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use crate::text::shell;

/// Maximum number of links followed, as in the kernel.
const LINKS: usize = 40;

/// Who can change which file.
#[derive(Debug)]
pub struct Open {
    path: PathBuf,
    who: Who,
}

#[derive(Debug)]
enum Who {
    Owner(u32),
    Anybody,
    Group(String),
    /// A user or group of an access list. With a list, the group bits are the maximum of all its
    /// entries.
    Listed,
    Unknown(io::Error),
}

/// `anybody can write to /srv`
impl std::fmt::Display for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} can write to {}", self.who, self.path.display())
    }
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Owner(uid) => write!(f, "user {uid}"),
            Self::Anybody => f.write_str("anybody"),
            Self::Group(name) => write!(f, "group {name}"),
            Self::Listed => f.write_str("whoever its access list names"),
            Self::Unknown(e) => write!(f, "an unknown user ({e})"),
        }
    }
}

impl Open {
    /// The command that fixes it.
    pub fn hint(&self) -> String {
        let path = shell::path(&self.path);
        match self.who {
            Who::Owner(_) => format!("`chown` {} to yourself or root", self.path.display()),
            Who::Anybody | Who::Group(_) | Who::Unknown(_) => format!("`chmod go-w {path}`"),
            Who::Listed => format!("`setfacl -b {path} && chmod go-w {path}`"),
        }
    }

    /// As an I/O error.
    pub fn refused(&self) -> io::Error {
        io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "may be replaced by {}, who can write to {}; {}",
                self.who,
                self.path.display(),
                self.hint()
            ),
        )
    }
}

/// Checks that nobody but root and `me` can change or replace `file`.
pub fn only_ours(file: &Path, me: u32) -> Result<(), Open> {
    let last = way(file, me)?;
    let meta = looked_at(&last)?;
    // A namespace shows root and unknown users alike, so the owner is reported.
    if ![0, me].contains(&meta.uid()) {
        return Err(Open { path: last, who: Who::Owner(meta.uid()) });
    }
    check(&last, &meta, me)
}

/// Checks only the name: whether others can replace `path`. The caller checks the mode of `path`
/// itself.
pub fn only_ours_to_replace(path: &Path, me: u32) -> Result<(), Open> {
    way(path, me).map(drop)
}

/// Follows `path` as the kernel does, checking each directory on the way. Returns the target.
fn way(path: &Path, me: u32) -> Result<PathBuf, Open> {
    let unknown = |path: &Path, e: io::Error| Open { path: path.into(), who: Who::Unknown(e) };
    let path = std::path::absolute(path).map_err(|e| unknown(path, e))?;
    let mut rest: VecDeque<OsString> = names(&path);
    let (mut at, mut links) = (PathBuf::from("/"), 0);
    while let Some(name) = rest.pop_front() {
        if name == ".." {
            at.pop();
            continue;
        }
        // The root directory is the machine's own; a container may have it as it likes.
        if at.parent().is_some() {
            check(&at, &looked_at(&at)?, me)?;
        }
        let entry = at.join(&name);
        let meta = looked_at(&entry)?;
        if !owned(&meta, me) {
            return Err(Open { path: entry, who: Who::Owner(meta.uid()) });
        }
        if !meta.is_symlink() {
            at = entry;
            continue;
        }
        links += 1;
        let target = fs::read_link(&entry).map_err(|e| unknown(&entry, e))?;
        if links > LINKS {
            return Err(unknown(&entry, io::Error::other("too many links")));
        }
        if target.is_absolute() {
            at = "/".into();
        }
        names(&target).into_iter().rev().for_each(|name| rest.push_front(name));
    }
    Ok(at)
}

fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        })
        .collect()
}

fn looked_at(path: &Path) -> Result<Metadata, Open> {
    fs::symlink_metadata(path).map_err(|e| Open { path: path.into(), who: Who::Unknown(e) })
}

/// In a sticky directory only the owner can replace an entry, and each entry's owner is checked
/// too.
fn check(path: &Path, meta: &Metadata, me: u32) -> Result<(), Open> {
    let open = |who| Err(Open { path: path.into(), who });
    let mode = meta.mode();
    match () {
        () if !owned(meta, me) => open(Who::Owner(meta.uid())),
        () if meta.is_dir() && mode & 0o1000 != 0 => Ok(()),
        () if mode & 0o002 != 0 => open(Who::Anybody),
        () if mode & 0o020 == 0 => Ok(()),
        () if has_list(path) => open(Who::Listed),
        () if meta.gid() == 0 || private(meta.gid(), me) => Ok(()),
        () => {
            open(Who::Group(group(meta.gid()).map_or_else(|| meta.gid().to_string(), |g| g.name)))
        }
    }
}

fn owned(meta: &Metadata, me: u32) -> bool {
    [0, me].contains(&meta.uid()) || nobody(meta.uid())
}

/// The owner that a user namespace shows for every unmapped user, including the machine's root.
fn nobody(uid: u32) -> bool {
    let whole = fs::read_to_string("/proc/self/uid_map")
        .is_ok_and(|map| map.split_whitespace().eq(["0", "0", "4294967295"]));
    !whole
        && fs::read_to_string("/proc/sys/kernel/overflowuid")
            .is_ok_and(|n| n.trim() == uid.to_string())
}

fn has_list(path: &Path) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return true };
    // SAFETY: plain system call on strings with their NUL; it only asks for the length.
    unsafe {
        libc::lgetxattr(path.as_ptr(), c"system.posix_acl_access".as_ptr(), std::ptr::null_mut(), 0)
            >= 0
    }
}

struct Group {
    name: String,
    members: Vec<String>,
}

/// Whether the group is the user's private group: named like the user, without other members.
fn private(gid: u32, me: u32) -> bool {
    let Some((user, primary)) = user(me) else { return false };
    // Names there are bytes; a list that cannot be read may have anybody.
    let Ok(all) = fs::read("/etc/passwd") else { return false };
    let others = all.split(|byte| *byte == b'\n').any(|line| {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
        fields.get(3) == Some(&gid.to_string().as_bytes())
            && fields.first() != Some(&user.as_bytes())
    });
    let own = |group: Group| {
        group.name == user && group.members.iter().all(|member| *member == user || member == "root")
    };
    primary == gid && !others && group(gid).is_some_and(own)
}

/// Name and group of a user.
fn user(uid: u32) -> Option<(String, u32)> {
    let mut buffer = vec![0; 64 << 10];
    let (mut entry, mut found) =
        (std::mem::MaybeUninit::<libc::passwd>::uninit(), std::ptr::null_mut());
    // SAFETY: the buffers live until the call returns, and longer than what `entry` points to is
    // used.
    let failed = unsafe {
        libc::getpwuid_r(uid, entry.as_mut_ptr(), buffer.as_mut_ptr(), buffer.len(), &mut found)
    };
    if failed != 0 || found.is_null() {
        return None;
    }
    // SAFETY: the call filled `entry`; its strings lie in `buffer`.
    unsafe { Some((text((*found).pw_name), (*found).pw_gid)) }
}

fn group(gid: u32) -> Option<Group> {
    let mut buffer = vec![0; 1 << 20];
    let (mut entry, mut found) =
        (std::mem::MaybeUninit::<libc::group>::uninit(), std::ptr::null_mut());
    // SAFETY: as above.
    let failed = unsafe {
        libc::getgrgid_r(gid, entry.as_mut_ptr(), buffer.as_mut_ptr(), buffer.len(), &mut found)
    };
    if failed != 0 || found.is_null() {
        return None;
    }
    let mut members = Vec::new();
    // SAFETY: the call filled `entry`; the list ends with a null.
    unsafe {
        let mut next = (*found).gr_mem;
        while !(*next).is_null() {
            members.push(text(*next));
            next = next.add(1);
        }
        Some(Group { name: text((*found).gr_name), members })
    }
}

/// # Safety
/// `chars` is a string with its NUL.
unsafe fn text(chars: *const libc::c_char) -> String {
    // SAFETY: as the caller says.
    unsafe { CStr::from_ptr(chars) }.to_string_lossy().into_owned()
}
