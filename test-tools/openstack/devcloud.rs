//! The cloud that `test-tools/devcloud/up` made, and what its administrator sees there.
use std::path::{Path, PathBuf};
use std::process::Command;

pub const IP: &str = "172.24.4.1";

fn state() -> PathBuf {
    std::env::var("DEVCLOUD").map_or_else(|_| PathBuf::from("/var/lib/devcloud"), PathBuf::from)
}

/// With a user and the administrator in it: `devcloud`, `devcloud-admin`.
pub fn clouds_yaml() -> PathBuf {
    let path = state().join("clouds.yaml");
    assert!(path.exists(), "devcloud is not up: run `FACTORY_DEVCLOUD=yes test-tools/devcloud/up`");
    path
}

/// All that users made, of all projects, one line each. Floating IPs, ports and the rest come and
/// go here alone.
pub fn listing() -> Vec<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("test-tools/devcloud/listing");
    ran(&mut Command::new(script)).unwrap().lines().map(str::to_owned).collect()
}

/// What came, and what went, since `before`.
pub fn changes(before: &[String]) -> Vec<String> {
    let after = listing();
    let came = after.iter().filter(|l| !before.contains(l)).map(|l| format!("+ {l}"));
    let went = before.iter().filter(|l| !after.contains(l)).map(|l| format!("- {l}"));
    came.chain(went).collect()
}

/// Debian's client, as another program than ours. Its output, without the newline at its end.
#[track_caller]
pub fn openstack(cloud: &str, args: &[&str]) -> String {
    try_openstack(cloud, args).unwrap_or_else(|e| panic!("{e}"))
}

fn try_openstack(cloud: &str, args: &[&str]) -> Result<String, String> {
    let mut command = Command::new("/usr/bin/openstack");
    command
        .env("OS_CLIENT_CONFIG_FILE", clouds_yaml())
        .env("OS_CLOUD", cloud)
        .env_remove("PYTHONDONTWRITEBYTECODE")
        .args(args);
    ran(&mut command)
}

pub fn json(cloud: &str, args: &[&str]) -> serde_json::Value {
    serde_json::from_str(&openstack(cloud, &[args, &["-f", "json"]].concat())).unwrap()
}

/// A copy as a person makes one: its content, its name and each of its properties; `dir` takes the
/// file. The new ID.
pub fn copy_of_image(dir: &Path, id: &str) -> String {
    let file = dir.join(format!("{id}.qcow2")).display().to_string();
    let shown = json("devcloud", &["image", "show", id]);
    openstack("devcloud", &["image", "save", "--file", &file, id]);
    let properties = shown["properties"].as_object().unwrap().iter();
    let own = properties.filter(|(key, _)| {
        !key.starts_with("os_hash") && *key != "os_hidden" && !key.starts_with("stores")
    });
    let own: Vec<String> =
        own.filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?))).collect();
    let mut args = vec!["image", "create", "--private", "--disk-format", "qcow2", "--file", &file];
    own.iter().for_each(|property| args.extend(["--property", property]));
    args.push(shown["name"].as_str().unwrap());
    json("devcloud", &args)["id"].as_str().unwrap().to_owned()
}

/// A call of Debian's client that sets things right again, whatever comes between: the cloud's
/// name, and the words.
pub struct Undo<'a>(pub &'a str, pub &'a [&'a str]);

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        match try_openstack(self.0, self.1) {
            Err(e) if std::thread::panicking() => eprintln!("not undone: {e}"),
            undone => drop(undone.unwrap()),
        }
    }
}

fn ran(command: &mut Command) -> Result<String, String> {
    let out = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    match out.status.success() {
        true => Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned()),
        false => {
            Err(format!("{command:?}: {}\n{}", out.status, String::from_utf8_lossy(&out.stderr)))
        }
    }
}
