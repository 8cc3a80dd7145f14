//! The environment of programs that a definition brings: an allow-list of inherited variables, and
//! names that a definition must not set.

/// Inherited unchanged: program search path, language, time zone.
const PASSED: &[&str] = &["PATH", "LANG", "LANGUAGE", "TERM", "TZ", "USER", "LOGNAME"];

/// Inherited together with the files that they name: trusted certificates. A directory variable may
/// hold several, separated by `:`.
pub const CERTIFICATES: &[&str] =
    &["SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"];

/// Proxy addresses. One with a password is a secret.
const PROXIES: &[&str] = &["http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"];

/// Set by the factory for Ansible. With any of them a definition could redirect `ssh`, or make it
/// trust any host.
const ANSIBLE: &[&str] = &[
    "ANSIBLE_HOST_KEY_CHECKING",
    "ANSIBLE_SSH_HOST_KEY_CHECKING",
    "ANSIBLE_SSH_ARGS",
    "ANSIBLE_SSH_COMMON_ARGS",
    "ANSIBLE_SSH_EXTRA_ARGS",
    "ANSIBLE_SCP_EXTRA_ARGS",
    "ANSIBLE_SFTP_EXTRA_ARGS",
    "ANSIBLE_SSH_EXECUTABLE",
    "ANSIBLE_SCP_EXECUTABLE",
    "ANSIBLE_SFTP_EXECUTABLE",
    "ANSIBLE_SSH_CONTROL_PATH",
    "ANSIBLE_SSH_CONTROL_PATH_DIR",
    "ANSIBLE_SSH_AGENT",
    "ANSIBLE_TRANSPORT",
    "ANSIBLE_PRIVATE_KEY_FILE",
    "ANSIBLE_REMOTE_USER",
    "ANSIBLE_REMOTE_PORT",
    "ANSIBLE_INVENTORY",
    "ANSIBLE_LOCAL_TEMP",
    "ANSIBLE_INVENTORY_ENABLED",
];

/// The same settings as Ansible variables, which a step's `extra_vars` could set. Sources: the
/// options of ansible.builtin.ssh and of ansible.builtin.paramiko_ssh.
const VARIABLES: &[&str] = &[
    "ansible_ssh_args",
    "ansible_ssh_common_args",
    "ansible_ssh_extra_args",
    "ansible_sftp_extra_args",
    "ansible_scp_extra_args",
    "ansible_ssh_executable",
    "ansible_scp_executable",
    "ansible_sftp_executable",
    "ansible_host_key_checking",
    "ansible_ssh_host_key_checking",
    "ansible_paramiko_host_key_checking",
    "ansible_paramiko_host_key_auto_add",
    "ansible_control_path",
    "ansible_control_path_dir",
];

/// Whether programs of a definition inherit `name` from the factory without asking for it.
pub fn passes(name: &str, value: &str) -> bool {
    let known = PASSED.contains(&name) || CERTIFICATES.contains(&name) || name.starts_with("LC_");
    known || (is_proxy(name) && !holds_password(value))
}

/// Whether `name` is a proxy variable, in lower or upper case.
pub fn is_proxy(name: &str) -> bool {
    PROXIES.iter().any(|proxy| proxy.eq_ignore_ascii_case(name))
}

/// Whether a proxy address holds a password: `http://user:password@proxy:3128`.
pub fn holds_password(value: &str) -> bool {
    value.contains('@')
}

/// Why a step that runs on the factory must not set this variable; `None` if it may. For playbook
/// steps only: scripts and commands run in the machine, where the definition may set anything.
pub fn reserved(name: &str) -> Option<&'static str> {
    let upper = name.to_ascii_uppercase();
    if upper.starts_with("IMAGE_FACTORY_") {
        return Some("by it the factory finds its processes");
    }
    if upper.starts_with("LD_") || upper == "GLIBC_TUNABLES" || upper == "GCONV_PATH" {
        return Some("it would change the factory's own tools");
    }
    if upper == "PATH" || upper == "HOME" || upper == "TMPDIR" {
        return Some(
            "the factory sets it, so that its own tools are found and the run's directory is used",
        );
    }
    if upper.starts_with("SSH_") {
        return Some("keys of the factory's user are none of a definition's");
    }
    let pins = ANSIBLE.contains(&upper.as_str())
        || upper.starts_with("ANSIBLE_PARAMIKO_")
        || upper.starts_with("ANSIBLE_LIBSSH_");
    pins.then_some(
        "the factory sets it: host keys are always checked, and with the run's own key only",
    )
}

/// [`reserved`] for an Ansible variable in `extra_vars`.
pub fn reserved_variable(name: &str) -> Option<&'static str> {
    VARIABLES.contains(&name).then_some("the factory sets it: host keys are always checked")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_pass_and_what_programs_need_does() {
        for (name, value) in [
            ("PATH", "/bin"),
            ("LC_ALL", "C"),
            ("https_proxy", "http://p:3128"),
            ("NO_PROXY", "a,b"),
        ] {
            assert!(passes(name, value), "{name}");
        }
        let secrets = [
            "OS_PASSWORD",
            "OS_CLOUD",
            "GITHUB_TOKEN",
            "AWS_SECRET_ACCESS_KEY",
            "SSH_AUTH_SOCK",
            "LD_PRELOAD",
            "HOME",
        ];
        for name in secrets.into_iter().chain([
            "ANSIBLE_VAULT_PASSWORD",
            "IMAGE_FACTORY_HOME",
            "PYTHONPATH",
            "path",
        ]) {
            assert!(!passes(name, "x"), "{name}");
        }
        assert!(!passes("HTTP_PROXY", "http://me:secret@proxy:3128"));
    }

    #[test]
    fn what_protects_the_factory_is_reserved() {
        let names = [
            "ANSIBLE_SSH_ARGS",
            "ansible_ssh_args",
            "ANSIBLE_HOST_KEY_CHECKING",
            "ANSIBLE_PARAMIKO_PROXY_COMMAND",
        ];
        for name in names.into_iter().chain([
            "IMAGE_FACTORY_RUN",
            "PATH",
            "LD_PRELOAD",
            "LD_AUDIT",
            "SSH_AUTH_SOCK",
        ]) {
            assert!(reserved(name).is_some(), "{name}");
        }
        for name in [
            "ANSIBLE_CONFIG",
            "PYTHONPATH",
            "ANSIBLE_FORKS",
            "ANSIBLE_SSH_RETRIES",
            "MIRROR",
            "DEBIAN_FRONTEND",
        ] {
            assert_eq!(reserved(name), None, "{name}");
        }
        assert!(reserved_variable("ansible_ssh_common_args").is_some());
        assert_eq!(reserved_variable("ansible_python_interpreter"), None);
    }
}
