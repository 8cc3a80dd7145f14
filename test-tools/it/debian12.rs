//! Scripts that `os/debian-12` puts into its image: one process for cloud-init's boot stages. In
//! a temporary directory, with a package cloud-init made for the test.
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
