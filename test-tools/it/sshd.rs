//! A real OpenSSH server of our own on the loopback: private keys, private port, gone with its
//! guard.
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use image_factory::testing::guest::{Target, keys};

const SSHD: &str = "/usr/sbin/sshd";

/// What the tests know of sudo: `-n`, and that the command is a child of it and no group leader.
/// The machine that runs the tests need not have sudo, nor let this user use it.
const SUDO: &str = "#!/bin/sh\n[ \"$1\" = -n ] || exit 1\nshift\nFAKE_SUDO=yes \"$@\"\nexit $?\n";

pub struct Sshd {
    child: Child,
    pub dir: tempfile::TempDir,
    pub target: Target,
}

impl Sshd {
    /// # Panics
    /// Without OpenSSH's server: a suite that skips in silence proves nothing.
    pub fn start() -> Sshd {
        Sshd::start_with(&[])
    }

    /// With more lines of configuration; `@DIR@` in them is the server's directory.
    pub fn start_with(lines: &[&str]) -> Sshd {
        Sshd::start_at("127.0.0.1", lines)
    }

    /// At another address of the loopback.
    pub fn start_at(host: &str, lines: &[&str]) -> Sshd {
        assert!(
            Path::new(SSHD).exists(),
            "{SSHD} is missing: run setup, or `apt-get install openssh-server`"
        );
        let dir = tempfile::Builder::new().prefix("sshd-").tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let (own, user) = (keys::generate_key("host"), keys::generate_key("user"));
        std::fs::write(at("host"), keys::private_text(&own).unwrap().as_bytes()).unwrap();
        std::fs::write(at("user"), keys::private_text(&user).unwrap().as_bytes()).unwrap();
        std::fs::write(at("authorized"), user.public_key().to_openssh().unwrap()).unwrap();
        for name in ["host", "user"] {
            std::fs::set_permissions(at(name), PermissionsExt::from_mode(0o600)).unwrap();
        }
        std::fs::create_dir(at("bin")).unwrap();
        std::fs::write(at("bin/sudo"), SUDO).unwrap();
        std::fs::set_permissions(at("bin/sudo"), PermissionsExt::from_mode(0o755)).unwrap();

        let free = TcpListener::bind((host, 0)).unwrap_or_else(|e| {
            panic!("this machine has no address {host}, which tests need: {e}")
        });
        let port = free.local_addr().unwrap().port();
        drop(free);
        let known = keys::known_hosts_line(host, port, own.public_key()).unwrap();
        std::fs::write(at("known_hosts"), known + "\n").unwrap();
        // A home without a .bashrc: what the user who runs this has there is neither to be tested
        // nor to be measured.
        let config = format!(
            "Port {port}\nListenAddress {host}\nHostKey {d}/host\nAuthorizedKeysFile \
                {d}/authorized\nPidFile none\n\
             UsePAM no\nStrictModes no\nPasswordAuthentication no\nPermitRootLogin \
             yes\nMaxStartups 100\nPrintMotd no\n\
             Subsystem sftp /usr/lib/openssh/sftp-server\n\
             SetEnv HOME={d} \
             PATH={d}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n",
            d = dir.path().display()
        );
        let lines = lines.join("\n").replace("@DIR@", &dir.path().display().to_string());
        std::fs::write(at("config"), config + &lines + "\n").unwrap();
        // SAFETY: no preconditions.
        if unsafe { libc::geteuid() } == 0 {
            // Privilege separation wants it; an init would have made it.
            std::fs::create_dir_all("/run/sshd").unwrap();
        }
        let log = std::fs::File::create(at("log")).unwrap();
        let child = Command::new(SSHD)
            .args(["-D", "-e", "-f"])
            .arg(at("config"))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let target = Target {
            host: host.into(),
            port,
            user: user_name(),
            key: Arc::new(user),
            host_keys: vec![own.public_key().clone()],
        };
        let mut sshd = Sshd { child, dir, target };
        sshd.wait();
        sshd
    }

    fn wait(&mut self) {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            if let Ok(mut socket) =
                TcpStream::connect((self.target.host.as_str(), self.target.port))
            {
                let mut banner = [0; 4];
                if socket.read_exact(&mut banner).is_ok() && &banner == b"SSH-" {
                    return;
                }
            }
            let log = || std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            assert!(self.child.try_wait().unwrap().is_none(), "sshd ended: {}", log());
            assert!(Instant::now() < end, "sshd does not answer: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            eprintln!("what sshd said:\n{log}");
        }
    }
}

fn user_name() -> String {
    let out = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}
