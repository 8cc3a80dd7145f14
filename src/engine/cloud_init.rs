//! User data of machines: login keys and host keys.
//!
//! JSON is YAML, so `#cloud-config` with a JSON body needs no quoting. Uses only keys that
//! cloud-init has supported for ten years, because the image determines its version.
use serde_json::{Value, json};
use ssh_key::{LineEnding, PrivateKey, PublicKey};

use crate::model::digest::Algorithm;
use crate::system::digest::Hasher;

/// Stops, on a warm builder, what acts by the clock; `warm-wake.sh` starts it again.
const REST: &str = include_str!("../../templates/guest/warm-rest.sh");

/// Settings that speed up package managers on a builder: directory and content. `tidy.sh` removes
/// the files; the check `leftovers` looks for them.
const FASTER: [(&str, &str); 2] = [
    // dpkg does not wait for the disk after each file: a builder that crashes is thrown away, and
    // the disk of one that does not is captured after an orderly shutdown.
    ("/etc/dpkg/dpkg.cfg.d", "force-unsafe-io"),
    // Prefers .gz package lists, which unpack several times faster than .xz. Others are used if a
    // mirror has no .gz; the image's own settings take precedence.
    ("/etc/apt/apt.conf.d", "Acquire::CompressionTypes::Order:: \"gz\";"),
];
const FASTER_FILE: &str = "image-factory-builder";

/// User data of a builder: `login` logs in to the default user, and `host` is the only host key.
///
/// Sets nothing about passwords. Any value of `ssh_pwauth` makes cloud-init write a file in
/// `sshd_config.d`, which would be captured and override the bundle's `sshd_config`. No account
/// gets a password here: cloud-init locks the default user's.
///
/// # Panics If `host` is encrypted; host keys never are.
pub fn builder_user_data(login: &PublicKey, host: &PrivateKey) -> String {
    cloud_config(builder(login, host))
}

/// User data of a builder that waits for its build: that of a builder, and at the end of its boot
/// whatever would change it by the clock is stopped.
///
/// # Panics As [`builder_user_data`].
pub fn warm_user_data(login: &PublicKey, host: &PrivateKey) -> String {
    let mut settings = builder(login, host);
    settings["runcmd"] = json!([REST]);
    cloud_config(settings)
}

/// Digest of what the factory itself says in [`warm_user_data`], whatever the keys.
pub fn warm_edition() -> String {
    let mut settings = builder_of("", "", "");
    settings["runcmd"] = json!([REST]);
    edition(settings)
}

/// Digest of what the factory itself says in [`builder_user_data`], whatever the keys.
pub fn builder_edition() -> String {
    edition(builder_of("", "", ""))
}

fn edition(settings: Value) -> String {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(cloud_config(settings).as_bytes());
    hasher.finish().hex
}

fn builder(login: &PublicKey, host: &PrivateKey) -> Value {
    let private = host.to_openssh(LineEnding::LF).expect("a host key is a plain ed25519 key");
    builder_of(&openssh(login), private.as_str(), &openssh(host.public_key()))
}

fn builder_of(login: &str, host_private: &str, host_public: &str) -> Value {
    json!({
        "ssh_authorized_keys": [login],
        "disable_root": true,
        // With `ssh_keys` cloud-init generates none; with `ssh_deletekeys` those of a base that
        // came with some are gone.
        "ssh_deletekeys": true,
        "ssh_keys": { "ed25519_private": host_private, "ed25519_public": host_public },
        // What gets installed is the bundle's business, and an upgrade at boot holds apt's lock
        // while the first step starts.
        "package_update": false,
        "package_upgrade": false,
        // The host key is known here; to print it takes an emulated machine seconds.
        "ssh": { "emit_keys_to_console": false },
        "no_ssh_fingerprints": true,
        "bootcmd": FASTER.map(|(dir, setting)| format!("if [ -d {dir} ]; then echo '{setting}' \
            >{dir}/{FASTER_FILE}; fi")),
        "growpart": { "mode": "auto", "devices": ["/"] },
        "resize_rootfs": true,
    })
}

/// User data of a machine booted from a captured image: the login key only. It generates its own
/// host keys and prints them on its console, where [`super::console::host_keys`] reads them.
pub fn smoke_user_data(login: &PublicKey) -> String {
    cloud_config(json!({
        "ssh_authorized_keys": [openssh(login)],
        // Host keys that were left in the image shall show, not be replaced by cloud-init before
        // anyone looks.
        "ssh_deletekeys": false,
        // The factory reads the keys from the console, so this overrides images that suppress them.
        "ssh": { "emit_keys_to_console": true },
        "ssh_key_console_blacklist": [],
        // The check `runcmd` looks for it.
        "runcmd": ["touch /run/image-factory-runcmd"],
    }))
}

fn cloud_config(settings: Value) -> String {
    // Pretty: people read it when a machine does not come up.
    format!("#cloud-config\n{settings:#}\n")
}

fn openssh(key: &PublicKey) -> String {
    key.to_openssh().expect("an ed25519 key can be written")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssh_key::Algorithm;
    use ssh_key::rand_core::OsRng;

    fn key(comment: &str) -> PrivateKey {
        let mut key = PrivateKey::random(&mut OsRng, Algorithm::Ed25519).unwrap();
        key.set_comment(comment);
        key
    }

    /// As cloud-init reads it: a marker line, then YAML.
    fn read(user_data: &str) -> serde_yaml::Value {
        let body =
            user_data.strip_prefix("#cloud-config\n").expect("the first line says what it is");
        serde_yaml::from_str(body).unwrap()
    }

    #[test]
    fn a_builder_gets_both_keys_unchanged() {
        let (login, host) = (key("factory \"quoted\" # x"), key("host"));
        let data = read(&builder_user_data(login.public_key(), &host));
        let line = data["ssh_authorized_keys"][0].as_str().unwrap();
        assert_eq!(PublicKey::from_openssh(line).unwrap(), *login.public_key());
        let private =
            PrivateKey::from_openssh(data["ssh_keys"]["ed25519_private"].as_str().unwrap())
                .unwrap();
        assert_eq!(private.key_data(), host.key_data());
        let public = data["ssh_keys"]["ed25519_public"].as_str().unwrap();
        assert_eq!(PublicKey::from_openssh(public).unwrap(), *host.public_key());
        assert_eq!(data["package_upgrade"].as_bool(), Some(false));
        // What is written here and nowhere else has to go, and to be looked for.
        for (index, (dir, _)) in FASTER.iter().enumerate() {
            let file = format!("{dir}/{FASTER_FILE}");
            assert!(data["bootcmd"][index].as_str().unwrap().ends_with(&format!(">{file}; fi")));
            for script in [
                include_str!("../../templates/guest/tidy.sh"),
                include_str!("../../templates/guest/checks/leftovers.sh"),
            ] {
                assert!(script.contains(&file));
            }
        }
    }

    /// A build cannot tell it from one that it booted itself, but for what is stopped.
    #[test]
    fn a_warm_builder_is_a_builder_that_rests() {
        let (login, host) = (key("login"), key("host"));
        let mut warm = read(&warm_user_data(login.public_key(), &host));
        let rest = warm.as_mapping_mut().unwrap().remove("runcmd").unwrap();
        assert_eq!(rest[0].as_str(), Some(REST));
        assert_eq!(warm, read(&builder_user_data(login.public_key(), &host)));
        assert_eq!(warm_edition(), warm_edition());
    }

    #[test]
    fn a_smoke_machine_gets_no_host_key() {
        let login = key("smoke");
        let data = read(&smoke_user_data(login.public_key()));
        assert_eq!(data["ssh_authorized_keys"].as_sequence().unwrap().len(), 1);
        assert!(data.get("ssh_keys").is_none());
        assert_eq!(data["ssh_deletekeys"].as_bool(), Some(false));
    }
}
