//! The script of a machine that was restored from a checkpoint, in the same jail.
use super::*;

const SCRIPT: &str = include_str!("../../../templates/guest/restored.sh");
const NEW: &str = "ssh-ed25519 AAAAnew";
const HOST: &str = "ssh-ed25519 AAAAoldhost";

/// In a jail the clock cannot be set, and there is no sshd.
const INSTEAD: &str = "date() { :; }\nkill() { echo \"kill $*\" >>/jail; }\n";

fn tree() -> Tree {
    let files: &[File] = &[
        ("etc/passwd", "root:x:0:0::/root:/bin/sh\nadmin:x:1:1::/home/admin:/bin/sh\n", Kept),
        ("etc/ssh/ssh_host_ed25519_key", "old private\n", Kept),
        ("etc/ssh/ssh_host_ed25519_key.pub", "ssh-ed25519 AAAAoldhost x\n", Kept),
        ("home/admin/.ssh/authorized_keys", "ssh-rsa AAAAmine me\n@KEY@\n", Kept),
        ("home/admin/.ssh/authorized_keys2", "@KEY@\n", Kept),
        ("root/.ssh/authorized_keys", "command=\"echo a, b\" @KEY@\n", Kept),
        ("etc/ssh/authorized_keys/admin", "@KEY@\n", Kept),
        ("etc/ssh/authorized_keys.d/debian", "@KEY@\n", Kept),
        ("etc/ssh/sshd_config", "Port 22\n", Kept),
        ("run/sshd.pid", "4242\n", Kept),
    ];
    Tree::new(&[files])
}

fn restored(tree: &Tree) -> Output {
    let key = tree.key.to_openssh().unwrap();
    let old = key.split(' ').take(2).collect::<Vec<_>>().join(" ");
    let env = [
        ("NOW", "1"),
        ("SEED", "ab"),
        ("OLD_LOGIN", &*old),
        ("LOGIN", NEW),
        ("COMMENT", "of this run"),
        ("OLD_HOST", HOST),
        ("HOST", "ssh-ed25519 AAAAnewhost"),
        ("HOST_PRIVATE", "new private"),
    ];
    tree.run(&format!("{INSTEAD}{SCRIPT}"), &env)
}

/// A copy that tidy would have removed in its own run must not outlive another's.
#[test]
fn the_old_login_key_is_replaced_wherever_tidy_looks_for_it() {
    let tree = tree();
    let done = restored(&tree);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let blob = tree.key.to_openssh().unwrap().split(' ').nth(1).unwrap().to_owned();
    for place in [
        "home/admin/.ssh/authorized_keys",
        "home/admin/.ssh/authorized_keys2",
        "root/.ssh/authorized_keys",
        "etc/ssh/authorized_keys/admin",
        "etc/ssh/authorized_keys.d/debian",
    ] {
        let text = std::fs::read_to_string(tree.at(place)).unwrap();
        assert!(text.contains(NEW) && !text.contains(&blob), "{place}: {text}");
    }
    let own = std::fs::read_to_string(tree.at("home/admin/.ssh/authorized_keys")).unwrap();
    assert!(own.starts_with("ssh-rsa AAAAmine me\n"), "the others stay: {own}");
    let host = std::fs::read_to_string(tree.at("etc/ssh/ssh_host_ed25519_key")).unwrap();
    assert_eq!(host, "new private\n");
    assert!(std::fs::read_to_string(tree.at("jail")).unwrap().contains("kill -HUP 4242"));
}

/// The new key puts it in force, which the steps have not done.
#[test]
fn a_configuration_that_sshd_has_not_read_is_no_state() {
    for file in ["etc/ssh/sshd_config", "etc/ssh/sshd_config.d/50-hard.conf"] {
        let tree = tree();
        tree.write(file, "AllowUsers nobody\n");
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(60);
        std::fs::File::open(tree.at(file)).unwrap().set_modified(later).unwrap();
        let done = restored(&tree);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!done.status.success() && said.contains(file), "{said}");
        let host = std::fs::read_to_string(tree.at("etc/ssh/ssh_host_ed25519_key")).unwrap();
        assert_eq!(host, "old private\n", "nothing was changed before");
    }
}
