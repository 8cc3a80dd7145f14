//! The main job on OpenStack, by an application credential: bundle-nginx from nothing to a tested
//! image, and a stack of its own.
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::base;
use super::devcloud::{self, IP, Undo};
use super::factory::Factory;

#[test]
#[ignore = "wants devcloud, boots machines for minutes: `make test-openstack`"]
fn bundle_nginx_becomes_a_tested_image_and_a_stack() {
    let login = Login::new();
    let factory = login.of(Factory::new("openstack").apart());
    let before = devcloud::listing();
    let factory = base::published(factory);
    let watch = PsWatch::start(login.secret.clone());
    let (code, said) = factory.run(&["-vv", "build", "--force", "images/bundle-nginx"]);
    let seen = watch.end();
    assert_eq!(code, 0);

    let image = &factory.images("bundle-nginx")[0];
    let (id, name) = (image["id"].as_str().unwrap(), image["name"].as_str().unwrap());
    assert!(
        said.lines().any(|l| l.contains(id) && l.contains(name) && l.contains("is published")),
        "the image is not named at the end"
    );
    // The base too, unless it was there.
    let base =
        factory.images("debian-12").into_iter().map(|i| i["id"].as_str().unwrap().to_owned());
    let is_new = |id: &String| !before.iter().any(|l| l.starts_with(&format!("image {id}")));
    let published: Vec<String> = base.chain([id.to_owned()]).filter(is_new).collect();
    let changes = devcloud::changes(&before);
    let others: Vec<&String> = changes
        .iter()
        .filter(|c| !published.iter().any(|id| c.starts_with(&format!("+ image {id} "))))
        .collect();
    assert!(others.is_empty() && !changes.is_empty(), "beside the images: {others:?}");
    assert_eq!(factory.left(), [""; 0]);
    as_asked(id, name);
    secrets_are_kept(&login, &factory, &said);
    assert_eq!(seen, [""; 0], "a secret was seen in a command line");

    serves(&factory.tree().join("images/target/bundle-nginx/output/bundle-nginx.heat.yml"), id);
    for id in &published {
        devcloud::openstack("devcloud", &["image", "delete", id]);
    }
    assert_eq!(devcloud::changes(&before), [""; 0]);
}

/// An application credential, whose secret no other word of a log resembles.
struct Login {
    name: String,
    id: String,
    secret: String,
}

impl Login {
    fn new() -> Self {
        let name = format!("factory-{}", uuid::Uuid::new_v4().simple());
        let secret = format!("sesame{}", uuid::Uuid::new_v4().simple());
        let made = devcloud::json(
            "devcloud",
            &["application", "credential", "create", "--secret", &secret, &name],
        );
        Self { id: made["id"].as_str().unwrap().to_owned(), name, secret }
    }

    fn of(&self, factory: Factory) -> Factory {
        let clouds = format!(
            "clouds:\n  by-credential:\n    auth_type: v3applicationcredential\n    auth: \
                {{auth_url: 'http://{IP}:5000/v3', application_credential_id: {}}}\n",
            self.id
        );
        let secure = format!(
            "clouds:\n  by-credential:\n    auth: {{application_credential_secret: {}}}\n",
            self.secret
        );
        let clouds_yaml = factory.tree().join("login/clouds.yaml").display().to_string();
        let factory = factory.file("login/clouds.yaml", &clouds).file("login/secure.yaml", &secure);
        factory.env("OS_CLIENT_CONFIG_FILE", clouds_yaml).env("OS_CLOUD", "by-credential")
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        devcloud::openstack("devcloud", &["application", "credential", "delete", &self.name]);
    }
}

/// The properties of Glance, read by another client.
fn as_asked(id: &str, name: &str) {
    let image = devcloud::json("devcloud", &["image", "show", id]);
    println!("{image:#}");
    let text = |key: &str| image[key].as_str().unwrap_or_default();
    assert_eq!(
        (text("name"), text("status"), text("visibility"), text("disk_format")),
        (name, "active", "private", "qcow2")
    );
    assert_eq!((image["min_disk"].as_i64(), image["min_ram"].as_i64()), (Some(5), Some(512)));
    let properties = image["properties"].as_object().unwrap();
    let asked = [
        ("os_distro", "debian"),
        ("os_version", "12"),
        ("hw_rng_model", "virtio"),
        ("app_name", "nginx"),
        ("factory_state", "active"),
        ("factory_family", "bundle-nginx"),
    ];
    for (key, value) in asked {
        assert_eq!(properties.get(key).and_then(|v| v.as_str()), Some(value), "{key}");
    }
    // What Nova writes on a snapshot, and what is true of the builder alone.
    for key in [
        "instance_uuid",
        "user_id",
        "base_image_ref",
        "boot_roles",
        "owner_project_name",
        "owner_user_name",
        "image_type",
        "image_location",
        "image_state",
        "owner_id",
        "clean_attempts",
    ] {
        assert_eq!(properties.get(key), None, "inherited");
    }
    assert!(properties.keys().all(|k| !k.starts_with("owner_specified.")), "{properties:?}");
}

/// Neither the secret, nor a token of Keystone's, nor a private key, in what was said, in the tree,
/// or in the home.
fn secrets_are_kept(login: &Login, factory: &Factory, said: &str) {
    let mut places = vec![("what was said".to_owned(), said.to_owned())];
    for file in
        [factory.tree().join("images/target"), factory.tree().join("os/target"), factory.home()]
    {
        for entry in
            walkdir::WalkDir::new(file).into_iter().flatten().filter(|e| e.file_type().is_file())
        {
            if entry.metadata().is_ok_and(|m| m.len() < 64 << 20) {
                let bytes = std::fs::read(entry.path()).unwrap();
                places.push((
                    entry.path().display().to_string(),
                    String::from_utf8_lossy(&bytes).into_owned(),
                ));
            }
        }
    }
    assert!(
        places.iter().any(|(place, _)| place.ends_with("build.latest.log")
            || place.contains("build.bundle-nginx")),
        "{}",
        places.len()
    );
    for (place, text) in &places {
        for secret in [login.secret.as_str(), "gAAAAA", "PRIVATE KEY"] {
            assert!(!text.contains(secret), "`{secret}` in {place}");
        }
    }
    println!("{} places searched for secrets", places.len());
}

/// Looks at all command lines of this machine, while a build runs.
struct PsWatch {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Vec<String>>,
}

impl PsWatch {
    fn start(secret: String) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = stop.clone();
        let look = move || {
            let mut seen = Vec::new();
            while !flag.load(Relaxed) {
                for process in std::fs::read_dir("/proc").unwrap().flatten() {
                    let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
                    let line = String::from_utf8_lossy(&line).replace('\0', " ");
                    if line.contains(&secret) || line.contains("gAAAAA") {
                        seen.push(line);
                    }
                }
                std::thread::sleep(Duration::from_millis(200));
            }
            seen
        };
        Self { stop, thread: std::thread::spawn(look) }
    }

    fn end(self) -> Vec<String> {
        self.stop.store(true, Relaxed);
        self.thread.join().unwrap()
    }
}

/// A stack of the rendered template comes up, and its server serves the page.
fn serves(template: &Path, image: &str) {
    let stack = format!("stack-{}", uuid::Uuid::new_v4().simple());
    devcloud::openstack("devcloud", &["keypair", "create", &stack]);
    let _key = Undo("devcloud", &["keypair", "delete", &stack]);
    let parameters = [format!("keypair_name={stack}"), "flavor_name=m1.small".into()];
    let create = [
        "stack",
        "create",
        "--wait",
        "-t",
        template.to_str().unwrap(),
        "--parameter",
        &parameters[0],
        "--parameter",
        &parameters[1],
        &stack,
    ];
    let delete = ["stack", "delete", "--yes", "--wait", &stack];
    let _stack = Undo("devcloud", &delete);
    devcloud::openstack("devcloud", &create);
    let shown = devcloud::json("devcloud", &["stack", "show", &stack]);
    assert_eq!(shown["stack_status"].as_str(), Some("CREATE_COMPLETE"));
    let outputs = shown["outputs"].as_array().unwrap();
    let url = outputs.iter().find(|o| o["output_key"] == "url").unwrap()["output_value"]
        .as_str()
        .unwrap();
    let begin = Instant::now();
    let page = loop {
        let got =
            Command::new("curl").args(["-s", "-m", "5", "--noproxy", "*", url]).output().unwrap();
        if got.status.success() {
            break String::from_utf8(got.stdout).unwrap();
        }
        assert!(
            begin.elapsed() < Duration::from_secs(600),
            "{url} of a server from {image} was not served within ten minutes"
        );
        std::thread::sleep(Duration::from_millis(500));
    };
    println!("{url} served after {:?}:\n{page}", begin.elapsed());
    assert!(page.contains("Built by the image factory"));
}
