//! The user of this process, and other users known to this machine.
use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// An entry of the user database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub home: PathBuf,
}

pub fn id() -> u32 {
    // SAFETY: plain system call without arguments.
    unsafe { libc::geteuid() }
}

/// `None` if the database has no such user, as in containers started under a bare number.
pub fn entry(id: u32) -> Option<Entry> {
    // SAFETY: `look_up` hands over what lives until the call returns, with its true length.
    look_up(|entry, texts, found| unsafe {
        libc::getpwuid_r(id, entry, texts.as_mut_ptr(), texts.len(), found)
    })
}

/// `None` if the database has no user of this name.
pub fn named(name: &str) -> Option<Entry> {
    let name = CString::new(name).ok()?;
    // SAFETY: as in `entry`; the name ends with a zero and outlives the call.
    look_up(|entry, texts, found| unsafe {
        libc::getpwnam_r(name.as_ptr(), entry, texts.as_mut_ptr(), texts.len(), found)
    })
}

fn look_up(
    ask: impl FnOnce(*mut libc::passwd, &mut [libc::c_char], *mut *mut libc::passwd) -> libc::c_int,
) -> Option<Entry> {
    let mut entry = std::mem::MaybeUninit::<libc::passwd>::uninit();
    let mut texts = vec![0; 16 << 10];
    let mut found = std::ptr::null_mut();
    let code = ask(entry.as_mut_ptr(), &mut texts, &mut found);
    if code != 0 || found.is_null() {
        return None;
    }
    // SAFETY: the call filled `entry`, and its texts lie in `texts`, which is still there.
    let (name, home) = unsafe {
        let entry = entry.assume_init();
        (CStr::from_ptr(entry.pw_name).to_owned(), CStr::from_ptr(entry.pw_dir).to_owned())
    };
    Some(Entry {
        name: name.to_string_lossy().into_owned(),
        home: PathBuf::from(OsStr::from_bytes(home.to_bytes())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_has_an_entry_and_a_made_up_number_has_none() {
        let root = entry(0).unwrap();
        assert_eq!((root.name.as_str(), root.home.is_absolute()), ("root", true));
        assert_eq!(entry(4_000_000_123), None);
        assert_eq!(
            (named("root"), named("nobody of this name"), named("a\0b")),
            (Some(root), None, None)
        );
    }
}
