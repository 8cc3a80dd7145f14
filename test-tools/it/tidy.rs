//! Tidy and the check `leftovers` on the files of machines of both families, in a jail whose root
//! is a tree made for the test. No system boots here: of the Red Hat family this is all that was
//! tried.
//!
//! The jail (bubblewrap) is no luxury: tidy empties /tmp, and removes the host keys of whatever
//! machine it runs on.
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use image_factory::testing::build_vars::{TIDY_ASKED, TIDY_PARTS};
use image_factory::testing::engine::{checks, tidy};
use image_factory::testing::guest::keys;
use ssh_key::PublicKey;

mod debian;
mod redhat;
mod restored;

/// The builder's, wherever a tree keeps it.
const ID: &str = "0d1e5a2f7c3b4e6f8a9b0c1d2e3f4a5b";
const NEW_ID: &str = "c0ffee00c0ffee00c0ffee00c0ffee00";
const NOBODY: &str = "Factory0000000000000000000000000";

/// What is to become of a file.
#[derive(Debug)]
pub enum To {
    Gone,
    Empty,
    /// As it was.
    Kept,
    Text(&'static str),
    /// The same under another path.
    Moved(&'static str),
}
use To::{Empty, Gone, Kept, Moved, Text};

/// Path (`@ID@` is the builder's machine-id), content, and what tidy makes of it.
pub type File = (&'static str, &'static str, To);

struct Tree {
    dir: tempfile::TempDir,
    key: PublicKey,
    /// Directories of the tree, and where in the jail they are mounted too.
    mounts: Vec<[&'static str; 2]>,
}

impl Tree {
    fn new(files: &[&[File]]) -> Tree {
        assert!(
            Path::new("/usr/bin/bwrap").exists(),
            "bubblewrap is missing: run setup, or `apt-get install bubblewrap`"
        );
        let tree = Tree {
            dir: tempfile::tempdir().unwrap(),
            key: keys::generate_key("build").public_key().clone(),
            mounts: Vec::new(),
        };
        for dir in [
            "usr",
            "proc",
            "dev",
            "run/cloud-init",
            "tmp",
            "var/tmp",
            "var/log",
            "root",
            "home/admin",
            "sys",
        ] {
            std::fs::create_dir_all(tree.at(dir)).unwrap();
        }
        for name in ["bin", "sbin", "lib", "lib64"] {
            std::os::unix::fs::symlink(format!("usr/{name}"), tree.at(name)).unwrap();
        }
        // Every file of the tree is older than the machine that is looked at; see leftovers.sh.
        tree.write("jail", "");
        tree.write("run/cloud-init/.ds-identify.result", "");
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(3600);
        std::fs::File::open(tree.at("run/cloud-init/.ds-identify.result"))
            .unwrap()
            .set_modified(later)
            .unwrap();
        for (path, text, _) in files.iter().copied().flatten() {
            tree.write(path, text);
        }
        tree
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path.replace("@ID@", ID))
    }

    fn write(&self, path: &str, text: &str) {
        let key = self.key.to_openssh().unwrap();
        let path = self.at(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text.replace("@ID@", ID).replace("@KEY@", &key)).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    }

    /// Runs `script` with the tree as its root, as what is root there and nobody here.
    fn run(&self, script: &str, env: &[(&str, &str)]) -> Output {
        let mut jail = Command::new("bwrap");
        jail.args([
            "--unshare-all",
            "--unshare-user",
            "--uid",
            "0",
            "--gid",
            "0",
            "--die-with-parent",
            "--new-session",
            "--bind",
        ]);
        jail.arg(self.dir.path()).args([
            "/",
            "--ro-bind",
            "/usr",
            "/usr",
            "--proc",
            "/proc",
            "--dev",
            "/dev",
            "--clearenv",
        ]);
        for [from, to] in &self.mounts {
            jail.arg("--bind").arg(self.at(from)).arg(to);
        }
        for (name, value) in [("PATH", "/usr/bin:/bin"), ("HOME", "/root")].iter().chain(env) {
            jail.args(["--setenv", name, value]);
        }
        // What would talk to a running system says what it was asked; what is removed for good is
        // asked for a last time.
        let script = format!(
            "[ -e /jail ] && [ ! -e /usr/../work ] || exit 99\n\
             systemctl() {{ echo \"systemctl $*\" >>/jail; }}\njournalctl() {{ return 0; \
             }}\nfstrim() {{ echo trimmed; }}\n{script}"
        );
        let mut child = jail
            .args(["sh", "-s"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), script.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// Runs tidy with these parts on; what it said.
    fn tidy(&self, parts: &[&str]) -> String {
        let parts: Vec<String> = parts.iter().map(|p| (*p).to_owned()).collect();
        let out = self.run(&tidy::script(&parts, &self.key), &[]);
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(
            out.status.success(),
            "{:?} {said} {}",
            out.status,
            String::from_utf8_lossy(&out.stderr)
        );
        assert_eq!(String::from_utf8_lossy(&out.stderr), "", "{said}");
        assert_eq!(said.lines().count(), parts.len(), "{said}");
        said
    }

    /// What the check finds, line by line, when another machine of the image is up.
    fn leftovers(&self) -> Vec<String> {
        let check = checks::SCRIPTS.iter().find(|c| c.id == "leftovers").unwrap();
        std::fs::write(self.at("etc/machine-id"), format!("{NEW_ID}\n")).unwrap();
        let key = self.key.to_openssh().unwrap();
        let parts = [TIDY_PARTS, TIDY_ASKED].concat().join(" ");
        let env = [
            ("FACTORY_BUILD_KEY", &*key),
            ("FACTORY_RUN_BUILDER", "factory-r1-builder factory-r2-builder"),
            ("FACTORY_BUILDER_ID", ID),
        ];
        let out = self.run(check.script, &[&env[..], &[("FACTORY_TIDY", &*parts)]].concat());
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        let left: Vec<String> =
            said.lines().filter(|l| l.starts_with("left: ")).map(str::to_owned).collect();
        assert_eq!(
            out.status.code(),
            Some(i32::from(!left.is_empty())),
            "{said} {}",
            String::from_utf8_lossy(&out.stderr)
        );
        left
    }

    /// Compares the tree with what is to become of `files`.
    fn assert(&self, files: &[&[File]]) {
        let mut wrong = Vec::new();
        for (path, before, to) in files.iter().copied().flatten() {
            let wanted = match to {
                Gone => None,
                Empty => Some(String::new()),
                Kept | Moved(_) => Some(
                    before.replace("@ID@", ID).replace("@KEY@", &self.key.to_openssh().unwrap()),
                ),
                Text(text) => Some((*text).to_owned()),
            };
            let place = if let Moved(place) = to { place } else { path };
            let is = std::fs::read_to_string(self.at(place)).ok();
            if is != wanted || matches!(to, Moved(_)) && self.at(path).exists() {
                wrong.push(format!("{place}: {is:?} and not {wanted:?}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

/// Both families keep these.
const BOTH: &[File] = &[
    (
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\nadmin:x:1000:1000::/home/admin:/bin/bash\n",
        Kept,
    ),
    ("etc/shadow-", "root:$6$once:1::::::\n", Gone),
    ("etc/machine-id", "@ID@\n", Empty),
    ("etc/ssh/ssh_host_ed25519_key", "k", Gone),
    ("etc/ssh/sshd_config", "UsePAM yes\n", Kept),
    (
        "root/.ssh/authorized_keys",
        "@KEY@\nssh-rsa AAAA admin@office\n",
        Text("ssh-rsa AAAA admin@office\n"),
    ),
    ("home/admin/.ssh/authorized_keys", "@KEY@\n", Gone),
    ("home/admin/.bash_history", "secret\n", Gone),
    ("home/admin/notes", "n\n", Kept),
    // Names are whatever somebody called them.
    ("root/anaconda-ks (copy).cfg", "rootpw x\n", Gone),
    ("root/anaconda- *", "x", Gone),
    ("root/(copy).cfg", "x", Kept),
    ("root/precious", "x", Kept),
    ("var/cache/gdm/a b", "x", Gone),
    ("var/lib/AccountsService/icons/My Face.png", "x", Gone),
    ("var/lib/AccountsService/icons/-rf", "x", Gone),
    (
        "etc/cloud/cloud.cfg.d/99-installer.cfg",
        "datasource:\n  None:\n    userdata_raw: |\n      #cloud-config\n",
        Gone,
    ),
    ("etc/cloud/cloud.cfg.d/90-own.cfg", "datasource:\n  None:\n    userdata_raw: x\n", Kept),
    (
        "etc/cloud/cloud.cfg.d/curtin-preserve-sources.cfg",
        "apt:\n  preserve_sources_list: true\n",
        Kept,
    ),
    ("var/log/installer/autoinstall-user-data", "password: $6$x\n", Gone),
    ("var/log/installer/cdebconf/questions.dat", "q", Gone),
    ("var/log/curtin/install.log", "c", Gone),
    ("var/log/anaconda/journal.log", "a", Gone),
    ("root/curtin-install-cfg.yaml", "reporting: {}\n", Gone),
    ("root/autoinst.xml", "<profile/>\n", Gone),
    ("var/adm/autoinstall/cache/installedSystem.xml", "<profile/>\n", Gone),
    ("var/adm/autoinstall/scripts/own.sh", "#!/bin/sh\n", Gone),
    ("tmp/x", "x", Gone),
    ("var/tmp/x", "x", Gone),
    ("var/log/wtmp", "w", Empty),
    ("var/log/messages-20260101.gz", "m", Gone),
    ("var/mail/root", "From cron\n", Empty),
    ("var/spool/postfix/maildrop/A1", "m", Gone),
    ("var/crash/dump", "c", Gone),
    ("core.4711", "c", Gone),
    ("var/lib/systemd/pstore/1/dmesg.txt", "p", Gone),
    ("var/lib/systemd/random-seed", "s", Gone),
    ("var/lib/systemd/network/lease", "l", Gone),
    ("var/lib/cloud/instances/i-1/user-data.txt", "u", Gone),
    ("var/lib/cloud/scripts/per-boot/own.sh", "#!/bin/sh\n", Kept),
    (
        "run/cloud-init/instance-data.json",
        "{\n \"local_hostname\": \"factory-r1-builder\"\n}\n",
        Kept,
    ),
    ("etc/hostname", "factory-r1-builder\n", Text("localhost\n")),
    (
        "etc/hosts",
        "127.0.0.1 localhost\n127.0.1.1 factory-r1-builder.novalocal factory-r1-builder\n",
        Text("127.0.0.1 localhost\n"),
    ),
    ("sys/class/net/eth0/address", "fa:16:3e:ab:cd:ef\n", Kept),
    (
        "etc/lvm/devices/system.devices",
        "IDTYPE=sys_wwid IDNAME=virtio DEVNAME=/dev/vda2 PVID=1\n",
        Gone,
    ),
    ("etc/lvm/lvm.conf", "devices {}\n", Kept),
    ("etc/multipath/wwids", "/360/\n", Gone),
    ("etc/multipath.conf", "defaults {}\n", Kept),
    ("etc/nvme/hostnqn", "nqn.2014-08.org.nvmexpress:uuid:1\n", Gone),
    ("etc/puppetlabs/puppet/ssl/private_keys/builder.pem", "k", Gone),
    ("etc/puppetlabs/puppet/puppet.conf", "[main]\nserver = p\n", Kept),
    ("etc/salt/pki/minion/minion.pem", "k", Gone),
    ("etc/salt/pki/minion/minion_master.pub", "m", Kept),
    ("etc/salt/minion_id", "factory-r1-builder", Gone),
    ("etc/chef/client.pem", "k", Gone),
    ("etc/chef/validation.pem", "v", Kept),
    ("etc/krb5.keytab", "k", Gone),
    ("etc/krb5.conf", "[libdefaults]\n", Kept),
    ("var/lib/docker/engine-id", "e", Gone),
    ("etc/docker/daemon.json", "{}\n", Kept),
    ("etc/pki/tls/certs/own-ca.crt", "c", Kept),
];

#[test]
fn what_a_bundle_did_not_ask_for_stays_and_goes_when_it_does() {
    let files: &[File] = &[
        ("var/spool/cron/root", "* * * * * job\n", Kept),
        ("var/spool/cron/crontabs/admin", "* * * * * job\n", Kept),
        ("var/spool/at/a0001", "job\n", Kept),
        ("etc/cron.d/own", "* * * * * root job\n", Kept),
        ("root/.ssh/id_ed25519", "k", Kept),
        ("root/.ssh/known_hosts", "git", Kept),
    ];
    let tree = Tree::new(&[&BOTH[..1], files]);
    tree.tidy(TIDY_PARTS);
    tree.assert(&[files]);
    let left = tree.leftovers();
    assert!(
        ["cron/root", "crontabs/admin", "at/a0001"]
            .iter()
            .all(|job| left.iter().any(|l| l.contains(job))),
        "{left:?}"
    );
    assert_eq!(tree.tidy(TIDY_ASKED), "schedules: 3 removed\nuser-ssh: 1 removed\n");
    for (path, ..) in files {
        assert_eq!(tree.at(path).exists(), *path == "etc/cron.d/own", "{path}");
    }
    assert_eq!(tree.leftovers(), [""; 0]);
}

/// What a step mounted below a temporary directory is not the image's to clean, and no reason to
/// lose a build at its end.
#[test]
fn what_is_mounted_among_temporary_files_is_left_out() {
    let files: &[File] = &[
        ("srv/share/data", "d", Kept),
        ("srv/share/deep/data", "d", Kept),
        ("tmp/x/y/z", "z", Gone),
        ("tmp/deep/beside", "b", Gone),
        ("var/tmp/a b*/beside", "b", Gone),
        ("tmp/systemd-private-1/own", "o", Kept),
        ("home/admin/.cache/pip/wheel", "w", Gone),
        ("root/.ansible/tmp/t", "t", Gone),
    ];
    let mut tree = Tree::new(&[&BOTH[..1], files]);
    for to in ["/tmp/plain", "/tmp/deep/er/mnt", "/var/tmp/a b*/mnt", "/root/.cache/pip"] {
        std::fs::create_dir_all(tree.at(&to[1..])).unwrap();
        tree.mounts.push(["srv/share", to]);
    }
    let said = tree.tidy(&["temp"]);
    tree.assert(&[files]);
    for told in ["/tmp/plain", "/tmp/deep/er/mnt", "/var/tmp/a b*/mnt", "/root/.cache/pip"] {
        assert!(said.contains(told), "{told} is not in {said}");
    }
    let left = |dir: &str| {
        std::fs::read_dir(tree.at(dir))
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (left("tmp").contains(&"x".to_owned()), left("tmp/deep"), left("var/tmp/a b*")),
        (false, vec!["er".into()], vec!["mnt".into()])
    );
    // The next machine has nothing mounted there; the rest is gone.
    tree.mounts.clear();
    std::fs::remove_dir_all(tree.at("tmp/systemd-private-1")).unwrap();
    assert_eq!(tree.leftovers(), [""; 0]);
}

/// Switched off, a part does nothing of its own; and no other part does it by the way.
#[test]
fn what_is_switched_off_stays() {
    for part in ["hardware", "subscription", "agents"] {
        let tree = Tree::new(&[BOTH, redhat::FILES]);
        let on: Vec<&str> = TIDY_PARTS.iter().copied().filter(|p| *p != part).collect();
        tree.tidy(&on);
        let one = match part {
            "hardware" => "etc/lvm/devices/system.devices",
            "subscription" => "etc/pki/consumer/cert.pem",
            _ => "etc/krb5.keytab",
        };
        assert!(tree.at(one).exists(), "{part}");
    }
}
