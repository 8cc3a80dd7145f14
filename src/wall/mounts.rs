//! The file system behind the wall, as bubblewrap options: the system and a definition read-only, a
//! writable scratch directory, and nothing else. Later options cover earlier ones.
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Separate namespaces except for the network, no capabilities, no terminal; ends with the factory.
const APART: &[&str] = &[
    "--unshare-user",
    "--unshare-ipc",
    "--unshare-pid",
    "--unshare-uts",
    "--unshare-cgroup-try",
    "--die-with-parent",
    "--new-session",
    "--cap-drop",
    "ALL",
    "--clearenv",
];

/// Directories of the root directory, or links into /usr, where they exist.
const SYSTEM: &[&str] = &["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// Entries of /etc for resolving names, users, time, certificates and libraries. Other entries may
/// be secret.
const ETC: &[&str] = &[
    "alternatives",
    "ansible",
    "bash.bashrc",
    "ca-certificates",
    "ca-certificates.conf",
    "crypto-policies",
    "debian_version",
    "ethertypes",
    "fedora-release",
    "gai.conf",
    "gnutls",
    "group",
    "host.conf",
    "hostname",
    "hosts",
    "inputrc",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "locale.alias",
    "locale.conf",
    "localtime",
    "login.defs",
    "lsb-release",
    "magic",
    "magic.mime",
    "mime.types",
    "mke2fs.conf",
    "networks",
    "nsswitch.conf",
    "os-release",
    "passwd",
    "perl",
    "pki",
    "protocols",
    "python3",
    "redhat-release",
    "resolv.conf",
    "rpc",
    "services",
    "ssl",
    "subgid",
    "subuid",
    "terminfo",
    "timezone",
    "xattr.conf",
];

/// Size of the in-memory /run, in bytes.
const RUN_BYTES: &str = "16777216";
/// Size of the in-memory /dev/shm, in bytes.
const SHARED_BYTES: &str = "67108864";
/// Maximum number of entries examined per directory of /etc.
const MANY: usize = 10_000;

/// bubblewrap options, in order.
#[derive(Default)]
pub(super) struct Mounts {
    words: Vec<OsString>,
    /// Whether bubblewrap supports `--size` (0.8 does).
    sizes: bool,
}

impl Mounts {
    /// Namespaces and the system directories.
    pub(super) fn system(nested: bool) -> Self {
        let mut mounts = Self { sizes: !nested, ..Self::default() };
        mounts.words.extend(APART.iter().map(OsString::from));
        if !nested {
            mounts.words.push("--disable-userns".into());
        }
        mounts.read_only(Path::new("/usr"));
        for name in SYSTEM {
            let path = Path::new("/").join(name);
            match fs::read_link(&path) {
                Ok(target) => mounts.add("--symlink", [target.as_os_str(), path.as_os_str()]),
                Err(_) if path.is_dir() => mounts.read_only(&path),
                Err(_) => {}
            }
        }
        for name in ETC {
            mounts.etc(&Path::new("/etc").join(name));
        }
        mounts.add("--proc", ["/proc"]);
        mounts.cover_kernel();
        // Of the wall's own first process: with its memory open for writing, a program could keep
        // it from ending.
        mounts.hide(Path::new("/proc/1"));
        mounts.add("--dev", ["/dev"]);
        mounts.size(SHARED_BYTES);
        mounts.add("--tmpfs", ["/dev/shm"]);
        mounts.add("--remount-ro", ["/dev"]);
        mounts.size(RUN_BYTES);
        mounts.add("--tmpfs", ["/run"]);
        mounts
    }

    /// Isolates the network: only a private loopback.
    pub(super) fn without_network(&mut self) {
        self.words.push("--unshare-net".into());
    }

    /// Covers everything in /proc except processes. The kernel lets UID 0 write its settings
    /// regardless of capabilities, and root keeps UID 0 behind the wall. bubblewrap 0.8 covers only
    /// directories that access(2) reports as writable, which /proc/sys is not.
    fn cover_kernel(&mut self) {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        for entry in
            entries.filter(|e| !e.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit))
        {
            let Ok(meta) = fs::symlink_metadata(entry.path()) else { continue };
            let writable = meta.is_file() && meta.permissions().mode() & 0o222 != 0;
            if meta.is_dir() || writable {
                self.read_only(&entry.path());
            }
        }
    }

    /// Binds the target of a link in /etc in its place; resolv.conf often lies in /run.
    fn etc(&mut self, path: &Path) {
        let Ok(real) = path.canonicalize() else { return };
        if !readable_by_all(&real) {
            return;
        }
        self.add("--ro-bind", [real.as_os_str(), path.as_os_str()]);
        if real.is_dir() {
            self.mask_private(&real, path);
        }
    }

    /// Hides files that are not world-readable. Matters for root, who owns them behind the wall
    /// too, and for members of groups.
    fn mask_private(&mut self, real: &Path, shown: &Path) {
        let walk = walkdir::WalkDir::new(real).min_depth(1).into_iter();
        let mut masked: Vec<PathBuf> = Vec::new();
        for entry in walk.filter_map(Result::ok).take(MANY) {
            let kind = entry.file_type();
            let inside = masked.iter().any(|dir| entry.path().starts_with(dir));
            if kind.is_symlink() || inside || readable_by_all(entry.path()) {
                continue;
            }
            let at = shown.join(entry.path().strip_prefix(real).unwrap_or(entry.path()));
            masked.push(entry.path().to_owned());
            self.cover(&at);
        }
    }

    pub(super) fn read_only(&mut self, path: &Path) {
        self.add("--ro-bind", [path.as_os_str(), path.as_os_str()]);
    }

    pub(super) fn read_only_at(&mut self, path: &Path, shown: &Path) {
        self.add("--ro-bind", [path.as_os_str(), shown.as_os_str()]);
    }

    pub(super) fn writable(&mut self, path: &Path) {
        self.add("--bind", [path.as_os_str(), path.as_os_str()]);
    }

    pub(super) fn writable_at(&mut self, path: &Path, shown: &Path) {
        self.add("--bind", [path.as_os_str(), shown.as_os_str()]);
    }

    /// Replaces a directory by an empty one.
    pub(super) fn hide(&mut self, path: &Path) {
        self.size("65536");
        self.add("--tmpfs", [path.as_os_str()]);
    }

    /// A writable in-memory directory of at most `bytes`.
    pub(super) fn tmpfs(&mut self, path: &Path, bytes: &str) {
        self.size(bytes);
        self.add("--tmpfs", [path.as_os_str()]);
    }

    pub(super) fn directory(&mut self, path: &Path) {
        self.add("--dir", [path.as_os_str()]);
    }

    /// Covers a directory or a file with nothing.
    pub(super) fn cover(&mut self, path: &Path) {
        match path.is_dir() {
            true => self.hide(path),
            false => self.add("--ro-bind", [OsStr::new("/dev/null"), path.as_os_str()]),
        }
    }

    /// Size of the next in-memory directory, in bytes.
    fn size(&mut self, bytes: &str) {
        if self.sizes {
            self.add("--size", [bytes]);
        }
    }

    pub(super) fn set_env(&mut self, name: &str, value: &str) {
        self.add("--setenv", [name, value]);
    }

    pub(super) fn start_in(&mut self, dir: &Path) {
        self.add("--chdir", [dir.as_os_str()]);
    }

    /// The options as bubblewrap reads them from a file. Finally makes the in-memory root directory
    /// read-only.
    pub(super) fn text(mut self) -> Vec<u8> {
        use std::os::unix::ffi::OsStrExt;
        self.add("--remount-ro", ["/"]);
        self.words.iter().flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect()
    }

    fn add<W: AsRef<OsStr>>(&mut self, option: &str, words: impl IntoIterator<Item = W>) {
        self.words.push(option.into());
        self.words.extend(words.into_iter().map(|word| word.as_ref().to_owned()));
    }
}

fn readable_by_all(path: &Path) -> bool {
    let needed = if path.is_dir() { 0o005 } else { 0o004 };
    fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & needed == needed)
}
