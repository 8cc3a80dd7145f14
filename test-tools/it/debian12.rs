//! Scripts that `os/debian-12` puts into its image: one process for cloud-init's boot stages, and
//! growpart. Both in a temporary directory, with a package cloud-init and a /sys made for the test.
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/os/debian-12/files");

/// A directory with a package `cloudinit`, whose stages do what their argument says, the package's
/// program, which says that it was run, and its units.
struct Package {
    dir: tempfile::TempDir,
}

/// Each stage tells who runs it. What it does is its last argument.
const STAGE: &str = r#"
import os, signal, sys, time
def main(argv):
    of, who = os.getppid(), os.environ["WHO"]
    print("stage", " ".join(argv[1:]), "of", of, who, os.getcwd(), flush=True)
    if argv[-1] == "three":
        return 3
    if argv[-1] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if argv[-1] == "orphaned":
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(0.5)
    if argv[-1] == "exits":
        sys.exit("a reason")
"#;

impl Package {
    fn new() -> Self {
        let this = Self { dir: tempfile::tempdir().unwrap() };
        this.write("py/cloudinit/__init__.py", "");
        this.write("py/cloudinit/cmd/__init__.py", "");
        this.write("py/cloudinit/cmd/main.py", STAGE);
        this.write("py/cloudinit/version.py", "");
        this.write("py/cloudinit/settings.py", "CLOUD_CONFIG = 'cloud.cfg'\n");
        this.write("py/cloudinit/util.py", "def read_conf(path):\n    return {}\n");
        this.write("cloud-init", "#!/bin/sh\necho its own \"$@\"\nexit 4\n");
        executable(&this.at("cloud-init"));
        this
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        std::fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        std::fs::write(self.at(path), text).unwrap();
    }

    /// Starts the server, and waits until it says that its FIFOs are there.
    fn server(&self) -> Server {
        let address = self.at("notify");
        let _ = std::fs::remove_file(&address);
        let socket = UnixDatagram::bind(&address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let child = Command::new("/usr/bin/python3")
            .arg(format!("{FILES}/usr/local/lib/cloud-init-stages/serve"))
            .arg(self.at("run"))
            .env("PYTHONPATH", self.at("py"))
            .env("NOTIFY_SOCKET", &address)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Server(child);
        let mut word = [0; 16];
        let length = socket.recv(&mut word).expect("the server is not ready");
        assert_eq!(&word[..length], b"READY=1");
        server
    }

    /// What a unit with this command says and ends with.
    fn stage(&self, unit: &str, command: &str) -> (Option<i32>, String) {
        let command = command.replace("DIR", self.dir.path().to_str().unwrap());
        self.write(&format!("units/{unit}"), &format!("[Service]\nExecStart={command}\n"));
        let out = Command::new(format!("{FILES}/usr/local/lib/cloud-init-stages/stage"))
            .arg(unit)
            .args([self.at("run"), self.at("units")])
            .env("WHO", unit)
            .current_dir("/usr")
            .output()
            .unwrap();
        (out.status.code(), said(&out))
    }
}

/// The server; ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn said(out: &Output) -> String {
    String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr)
}

fn executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

/// Whether a process of this user may take the output of another one, as root may in the image.
fn allowed() -> bool {
    // SAFETY: has no arguments and cannot fail.
    let root = unsafe { libc::geteuid() } == 0;
    let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    root || matches!(scope.trim(), "" | "0")
}

/// What a stage says that the package's program runs, and ends with.
fn own(arguments: &str, name: &str) -> (Option<i32>, String) {
    let why =
        format!("cloud-init-stages.service does not serve cloud-{name}, which runs by itself\n");
    (Some(4), format!("its own {arguments}\n{why}"))
}

#[test]
fn stages_of_cloud_init_are_forked_from_one_process_in_the_place_of_their_units() {
    if !allowed() {
        return;
    }
    let package = Package::new();
    let mut server = package.server();
    let parent = server.0.id();
    for (unit, arguments, code) in [
        ("cloud-init-local.service", "init --local", 0),
        ("cloud-init.service", "init three", 3),
        ("cloud-config.service", "modules exits", 1),
        ("cloud-final.service", "modules killed", 137),
    ] {
        let (ended, said) = package.stage(unit, &format!("DIR/cloud-init {arguments}"));
        assert!(said.contains(&format!("stage {arguments} of {parent} {unit} /usr\n")), "{said}");
        assert_eq!(ended, Some(code), "{said}");
        assert_eq!(said.contains("a reason"), arguments == "modules exits");
    }
    // After the last stage it is gone, and whoever asks again is served by the package.
    let begin = Instant::now();
    while server.0.try_wait().unwrap().is_none() {
        assert!(begin.elapsed() < Duration::from_secs(20), "the server is still there");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(
        package.stage("cloud-final.service", "DIR/cloud-init modules"),
        own("modules", "final")
    );
}

#[test]
fn a_stage_that_no_server_takes_is_run_by_the_package() {
    let own = |arguments: &str| own(arguments, "init-local");
    let package = Package::new();
    let local = |package: &Package| {
        package.stage("cloud-init-local.service", "DIR/cloud-init init --local")
    };
    assert_eq!(local(&package), own("init --local"), "no server");

    package.write("py/cloudinit/cmd/main.py", "raise SystemError\n");
    let server = package.server();
    assert_eq!(local(&package), own("init --local"), "a server that cannot import");
    drop(server);
    assert_eq!(local(&package), own("init --local"), "a server that is gone");

    package.write("py/cloudinit/cmd/main.py", STAGE);
    let _server = package.server();
    // Debian 13's, which asks the server of its own cloud-init.
    let (code, said) =
        package.stage("cloud-config.service", "sh -c 'echo \"start\" | DIR/cloud-init \"$0\"' x");
    assert_eq!((code, said.as_str()), (Some(4), "its own x\n"));
    if allowed() {
        assert!(local(&package).1.starts_with("stage init --local"));
    }
    package.write("py/cloudinit/version.py", "# another package\n");
    assert_eq!(local(&package), own("init --local"), "the package was replaced");
}

#[test]
fn a_stage_that_began_is_not_begun_again() {
    if !allowed() {
        return;
    }
    let package = Package::new();
    let _server = package.server();
    let (code, said) = package.stage("cloud-init.service", "DIR/cloud-init orphaned");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("stage orphaned"), "{said}");
    assert!(said.contains("the server of cloud-init's stages ended before cloud-init"), "{said}");
    assert!(!said.contains("its own"), "{said}");
}

#[test]
fn the_units_lead_to_the_scripts() {
    let at = |path: &str| std::fs::read_to_string(format!("{FILES}/{path}")).unwrap();
    let server = at("etc/systemd/system/cloud-init-stages.service");
    let serve = "/usr/local/lib/cloud-init-stages/serve";
    assert!(
        server
            .contains(&format!("\nExecStart=/usr/bin/python3 -I {serve} /run/cloud-init-stages\n"))
    );
    let stage = "/usr/local/lib/cloud-init-stages/stage";
    assert!(at(&stage[1..]).contains("directory=${2:-/run/cloud-init-stages}"));
    for unit in ["cloud-init-local", "cloud-init", "cloud-config", "cloud-final"] {
        let drop_in = at(&format!("etc/systemd/system/{unit}.service.d/stages.conf"));
        assert!(drop_in.ends_with(&format!("\nExecStart=\nExecStart={stage} %n\n")));
        assert!(drop_in.contains("\nSyslogIdentifier=cloud-init\n"));
        assert!(at(&serve[1..]).contains(&format!("\"{unit}\"")));
    }
    let configure = std::fs::read_to_string(format!("{FILES}/../configure.sh")).unwrap();
    assert!(configure.contains("systemd-timesyncd cloud-init-stages\n"));
}

/// A disk of 2 GiB that became one of 6, with this table, of which the kernel knows a partition. A
/// growpart that finds both, and Debian's, which says that it was called.
struct Disk {
    dir: tempfile::TempDir,
}

const SECTORS: u64 = 6 << 21;

impl Disk {
    fn new(table: &str) -> Self {
        let this = Self { dir: tempfile::tempdir().unwrap() };
        this.program("bin/resizepart", "#!/bin/sh\necho resizepart \"$@\"\n");
        // Nothing else: this machine may have an lvm, which the image has not.
        for program in ["od", "sfdisk"] {
            let real = ["/usr/bin", "/usr/sbin", "/sbin"].map(|dir| Path::new(dir).join(program));
            let real = real.iter().find(|path| path.exists()).expect("coreutils and fdisk");
            std::os::unix::fs::symlink(real, this.at("bin").join(program)).unwrap();
        }
        let disk = std::fs::File::create(this.at("vda")).unwrap();
        disk.set_len(2 << 30).unwrap();
        this.sfdisk(&["-q"], table);
        disk.set_len(SECTORS * 512).unwrap();
        for (file, value) in [
            ("queue/logical_block_size", "512"),
            ("size", &SECTORS.to_string()),
            ("vda1/start", "2048"),
            ("vda1/size", "4192256"),
        ] {
            this.write(&format!("sys/vda/{file}"), &format!("{value}\n"));
        }
        let mut text = std::fs::read_to_string(format!("{FILES}/usr/local/bin/growpart")).unwrap();
        for (from, to) in [
            ("=/usr/bin/growpart", format!("={}", this.at("debians").display())),
            ("=/sys/class/block/", format!("={}/", this.at("sys").display())),
            ("[ ! -b ", "[ ! -f ".to_owned()),
        ] {
            assert_eq!(text.matches(from).count(), 1, "{from}");
            text = text.replace(from, &to);
        }
        this.program("growpart", &text);
        this.program("debians", "#!/bin/sh\necho Debian \"$@\"\n");
        this
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        std::fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        std::fs::write(self.at(path), text).unwrap();
    }

    fn program(&self, path: &str, text: &str) {
        self.write(path, text);
        executable(&self.at(path));
    }

    fn sfdisk(&self, args: &[&str], input: &str) -> String {
        use std::io::Write;
        let mut child = Command::new(self.at("bin/sfdisk"))
            .args(args)
            .arg(self.at("vda"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        said(&child.wait_with_output().unwrap())
    }

    /// `DISK` in the words is the disk.
    fn growpart(&self, words: &[&str]) -> (Option<i32>, String) {
        let disk = self.at("vda").display().to_string();
        let out = Command::new(self.at("growpart"))
            .args(words.iter().map(|word| word.replace("DISK", &disk)))
            .env("PATH", self.at("bin"))
            .output()
            .unwrap();
        (out.status.code(), said(&out).replace(&disk, "DISK"))
    }
}

const SIMPLE: &str = "label: dos\nstart=2048, type=83, bootable\n";

#[test]
fn growpart_grows_the_only_partition() {
    let disk = Disk::new(SIMPLE);
    let before = disk.sfdisk(&["-d"], "");
    let change = "partition=1 start=2048 old: size=4192256 end=4194303 new: size=12580831 \
        end=12582878\n";
    assert_eq!(disk.growpart(&["--dry-run", "DISK", "1"]), (Some(0), format!("CHANGE: {change}")));
    assert_eq!(disk.sfdisk(&["-d"], ""), before);
    let grown = format!("resizepart DISK 1 12580831\nCHANGED: {change}");
    assert_eq!(disk.growpart(&["DISK", "1"]), (Some(0), grown));
    // As Debian's leaves it: everything else as it was, 33 sectors for a GPT.
    assert_eq!(disk.sfdisk(&["-d"], ""), before.replace(" 4192256", "12580831"));
    disk.write("sys/vda/vda1/size", "12580831\n");
    let (code, said) = disk.growpart(&["--dry-run", "DISK", "1"]);
    assert_eq!(code, Some(1), "cloud-init takes 1 for: it has its size");
    assert!(said.starts_with("NOCHANGE: "), "{said}");
}

#[test]
fn growpart_restores_the_table_that_the_kernel_refuses() {
    let disk = Disk::new(SIMPLE);
    let before = disk.sfdisk(&["-d"], "");
    disk.program("bin/resizepart", "#!/bin/sh\nexit 1\n");
    assert_eq!(disk.growpart(&["DISK", "1"]), (Some(0), "Debian DISK 1\n".into()));
    assert_eq!(disk.sfdisk(&["-d"], ""), before);
}

#[test]
fn growpart_leaves_to_debians_what_is_not_simple() {
    let debians = |disk: &Disk, words: &[&str]| {
        let expected = format!("Debian {}\n", words.join(" "));
        assert_eq!(disk.growpart(words), (Some(0), expected), "{words:?}");
    };
    let disk = Disk::new(SIMPLE);
    let before = disk.sfdisk(&["-d"], "");
    debians(&disk, &["--help"]);
    debians(&disk, &["DISK", "2"]);
    debians(&disk, &["--free-percent=10", "DISK", "1"]);
    debians(&disk, &["--update", "off", "DISK", "1"]);
    for (file, value) in [
        ("queue/logical_block_size", "4096"),
        ("size", "4294967296"),
        ("vda1/start", "4096"),
        ("vda1/size", "4192255"),
    ] {
        let path = format!("sys/vda/{file}");
        let known = std::fs::read_to_string(disk.at(&path)).unwrap();
        disk.write(&path, &format!("{value}\n"));
        debians(&disk, &["DISK", "1"]);
        disk.write(&path, &known);
    }
    disk.program("bin/lvm", "#!/bin/sh\n");
    debians(&disk, &["DISK", "1"]);
    assert_eq!(disk.sfdisk(&["-d"], ""), before);
    for table in [
        "label: gpt\nstart=2048, size=4190208\n",
        "label: dos\nstart=2048, size=4192256, type=8e\n",
        "label: dos\nstart=2048, size=100000, type=83\nstart=1000000, type=83\n",
        "label: dos\nstart=2048, size=100000, type=83\nstart=1000000, type=5\n",
    ] {
        let disk = Disk::new(table);
        disk.write("sys/vda/vda1/size", "100000\n");
        debians(&disk, &["--dry-run", "DISK", "1"]);
        disk.write("sys/vda/vda1/size", "4192256\n");
        debians(&disk, &["--dry-run", "DISK", "1"]);
    }
}
