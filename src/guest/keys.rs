//! SSH keys of a run: generated in memory, in the text formats of cloud-init, `ssh` and Ansible.
use rand_core::OsRng;
use ssh_key::private::Ed25519Keypair;
use ssh_key::{LineEnding, PrivateKey, PublicKey};
use zeroize::Zeroizing;

/// A new ed25519 key. `authorized_keys` and `ssh-add -l` show the comment.
pub fn generate_key(comment: &str) -> PrivateKey {
    let mut key = PrivateKey::from(Ed25519Keypair::random(&mut OsRng));
    key.set_comment(comment);
    key
}

/// The private key in the format of `ssh -i` and cloud-init's `ssh_keys`. Wiped on drop.
pub fn private_text(key: &PrivateKey) -> Result<Zeroizing<String>, ssh_key::Error> {
    key.to_openssh(LineEnding::LF)
}

/// A line for `known_hosts`, without newline. The port appears only if it is not 22, as in OpenSSH.
pub fn known_hosts_line(host: &str, port: u16, key: &PublicKey) -> Result<String, ssh_key::Error> {
    let place = if port == 22 { host.to_owned() } else { format!("[{host}]:{port}") };
    // A comment is not part of the format there, and ours may hold spaces.
    let bare = PublicKey::new(key.key_data().clone(), "");
    Ok(format!("{place} {}", bare.to_openssh()?.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_read_back() {
        let key = generate_key("run 7");
        let back = PrivateKey::from_openssh(private_text(&key).unwrap().as_bytes()).unwrap();
        assert_eq!(back.public_key(), key.public_key());
        let line = key.public_key().to_openssh().unwrap();
        assert!(line.starts_with("ssh-ed25519 ") && line.ends_with(" run 7"), "{line}");
    }

    #[test]
    fn known_hosts_names_only_odd_ports() {
        let key = generate_key("x");
        let line = |port| known_hosts_line("10.0.0.5", port, key.public_key()).unwrap();
        assert!(line(22).starts_with("10.0.0.5 ssh-ed25519 AAAA"));
        assert!(line(2222).starts_with("[10.0.0.5]:2222 ssh-ed25519 AAAA"));
        let six = |port| known_hosts_line("2001:db8::4", port, key.public_key()).unwrap();
        assert!(six(22).starts_with("2001:db8::4 ssh-ed25519 AAAA"), "{}", six(22));
        assert!(six(2222).starts_with("[2001:db8::4]:2222 ssh-ed25519 AAAA"), "{}", six(2222));
        assert!(!line(22).ends_with('x') || line(22).split(' ').count() == 3);
    }
}
