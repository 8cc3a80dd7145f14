//! A small file system of its own for a test, seen by the test alone: a tmpfs in a private mount
//! namespace.
use std::path::Path;

/// Runs `test` on a thread of its own with a tmpfs of `mib` MiB. Only root may mount: for others
/// nothing is checked, and that is said. CI runs as root.
#[track_caller]
pub fn on_small_disk(mib: u64, test: impl FnOnce(&Path) + Send) {
    // SAFETY: plain system call without arguments.
    if unsafe { libc::geteuid() } != 0 {
        eprintln!("NOT CHECKED: only root can mount the small disk of this test");
        return;
    }
    let work = || {
        let dir = tempfile::tempdir().unwrap();
        let point = std::ffi::CString::new(dir.path().to_str().unwrap()).unwrap();
        let options = std::ffi::CString::new(format!("size={mib}m,mode=700")).unwrap();
        // SAFETY: this thread gets its own view of mounts; nothing is shared back. The strings
        // outlive the calls.
        unsafe {
            assert_eq!(libc::unshare(libc::CLONE_NEWNS), 0, "{}", std::io::Error::last_os_error());
            let private = libc::MS_REC | libc::MS_PRIVATE;
            let null = std::ptr::null();
            assert_eq!(
                libc::mount(null, c"/".as_ptr(), null, private, null.cast()),
                0,
                "private mounts"
            );
            let (kind, data) = (c"tmpfs".as_ptr(), options.as_ptr().cast());
            assert_eq!(
                libc::mount(kind, point.as_ptr(), kind, 0, data),
                0,
                "{}",
                std::io::Error::last_os_error()
            );
        }
        test(dir.path());
        // SAFETY: as above.
        unsafe { libc::umount2(point.as_ptr(), libc::MNT_DETACH) };
    };
    std::thread::scope(|scope| {
        if let Err(panic) = scope.spawn(work).join() {
            std::panic::resume_unwind(panic);
        }
    });
}
