//! What stands a factory up: the Heat template and the jobs hang together, `setup/create` keeps its
//! secret, and the definitions that come with the factory are sound. Nothing here needs a cloud.
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use assert_cmd::cargo::CommandCargoExt;
use serde_yaml::Value;

fn tree() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn template() -> Value {
    serde_yaml::from_str::<Value>(
        &fs::read_to_string(tree().join("setup/factory.heat.yml")).unwrap(),
    )
    .unwrap()
}

fn keys(map: &Value) -> BTreeSet<String> {
    map.as_mapping().unwrap().keys().map(|k| k.as_str().unwrap().to_owned()).collect()
}

/// Every `(function, first word of its argument)` in a template: `("get_param", "flavor")`.
fn calls(value: &Value, found: &mut Vec<(String, String)>) {
    match value {
        Value::Mapping(map) => {
            for (key, value) in map {
                let key = key.as_str().unwrap_or_default();
                let words: Vec<&str> = match value {
                    Value::String(word) => vec![word],
                    Value::Sequence(words) if key == "depends_on" => {
                        words.iter().filter_map(Value::as_str).collect()
                    }
                    Value::Sequence(words) => {
                        words.first().and_then(Value::as_str).into_iter().collect()
                    }
                    _ => Vec::new(),
                };
                if ["get_param", "get_resource", "get_attr", "depends_on", "if"].contains(&key) {
                    found.extend(words.iter().map(|word| (key.to_owned(), (*word).to_owned())));
                }
                calls(value, found);
            }
        }
        Value::Sequence(items) => items.iter().for_each(|item| calls(item, found)),
        _ => {}
    }
}

#[test]
fn what_the_template_refers_to_is_there_and_all_of_it_is_used() {
    let template = template();
    let mut found = Vec::new();
    calls(&template, &mut found);
    let (parameters, resources) = (keys(&template["parameters"]), keys(&template["resources"]));
    for (function, word) in &found {
        let there = match function.as_str() {
            "get_param" => parameters.contains(word),
            "if" => keys(&template["conditions"]).contains(word),
            _ => resources.contains(word),
        };
        assert!(there, "{function}: {word}");
    }
    let used: BTreeSet<_> = found
        .iter()
        .filter(|(function, _)| function == "get_param")
        .map(|(_, word)| word.clone())
        .collect();
    assert_eq!(parameters, used);
}

#[test]
fn the_server_admits_ssh_only_and_the_secret_is_hidden() {
    let template = template();
    for group in ["security_group", "machines_security_group"] {
        let rules = template["resources"][group]["properties"]["rules"].as_sequence().unwrap();
        assert_eq!(rules.len(), 1);
        assert_eq!(
            (&rules[0]["port_range_min"], &rules[0]["port_range_max"]),
            (&Value::from(22), &Value::from(22))
        );
        assert_eq!(rules[0]["protocol"], Value::from("tcp"));
    }
    assert_eq!(
        template["parameters"]["application_credential_secret"]["hidden"],
        Value::from(true)
    );
    let config = &template["resources"]["server_config"]["properties"]["cloud_config"];
    let files = config["write_files"].as_sequence().unwrap();
    let credential = files.iter().find(|f| f["path"] == "/etc/image-factory/clouds.yaml").unwrap();
    assert_eq!(
        (&credential["owner"], &credential["permissions"]),
        (&Value::from("root:root"), &Value::from("0600"))
    );
    assert!(!serde_yaml::to_string(config).unwrap().to_lowercase().contains("password"));
}

#[test]
fn the_jobs_are_xml_and_hand_their_parameters_to_the_script() {
    for (job, kind, parameter) in [("build-images", "images", "bundle"), ("build-os", "os", "os")] {
        let text = fs::read_to_string(tree().join(format!("setup/jenkins/{job}.xml"))).unwrap();
        let mut reader = quick_xml::Reader::from_str(&text);
        let (mut names, mut words, mut depth) = (Vec::new(), String::new(), 0);
        loop {
            use quick_xml::events::Event;
            match reader.read_event().unwrap() {
                Event::Start(e) => {
                    depth += 1;
                    names.push(String::from_utf8(e.name().as_ref().to_vec()).unwrap());
                }
                Event::End(_) => depth -= 1,
                Event::Text(e) => words.push_str(std::str::from_utf8(&e).unwrap()),
                Event::Eof => break,
                _ => {}
            }
        }
        assert_eq!((depth, names[0].as_str()), (0, "project"));
        for class in [
            "hudson.tasks.Shell",
            "hudson.tasks.ArtifactArchiver",
            "hudson.tasks.junit.JUnitResultArchiver",
        ] {
            assert!(names.iter().any(|n| n == class), "{job}: {class}");
        }
        assert!(
            words.contains(&format!("exec setup/jenkins/build {kind} \"${parameter}\" \"$ARGS\"")),
            "{words}"
        );
        // A base that is missing is built by the job of the bundle on it.
        let halves: &[&str] = if kind == "images" { &["images", "os"] } else { &["os"] };
        for half in halves {
            for file in
                ["output/**", "image.properties", "manifest.json", "report.html", "junit.xml"]
            {
                let artifact = format!("{half}/target/*/{file}");
                assert!(
                    words.split([',', '\n']).any(|word| word.trim() == artifact),
                    "{job}: {artifact}"
                );
            }
        }
        assert!(words.contains("build.latest.log,packer.latest.log"));
    }
}

/// An executable that stands in for a program.
fn program(dir: &Path, name: &str, text: &str) {
    fs::create_dir_all(dir).unwrap();
    fs::write(dir.join(name), text).unwrap();
    fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o755)).unwrap();
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn a_job_refuses_parameters_that_are_more_than_words() {
    let dir = tempfile::tempdir().unwrap();
    let build = dir.path().join("tree/setup/jenkins/build");
    fs::create_dir_all(build.parent().unwrap()).unwrap();
    fs::copy(tree().join("setup/jenkins/build"), &build).unwrap();
    program(
        &dir.path().join("bin"),
        "make",
        "#!/bin/sh\nfor word; do printf '<%s>' \"$word\"; done\n",
    );
    let run = |arguments: [&str; 3]| {
        let path =
            format!("{}:{}", dir.path().join("bin").display(), std::env::var("PATH").unwrap());
        Command::new(&build).args(arguments).env("PATH", path).output().unwrap()
    };
    let old = ["images", "os"].map(|half| dir.path().join("tree").join(half).join("target/a"));
    for old in &old {
        fs::create_dir_all(old.join("output")).unwrap();
        fs::create_dir_all(old.join("runs/r")).unwrap();
        fs::write(old.join("image.properties"), "").unwrap();
    }
    assert_eq!(said(&run(["images", "bundle-nginx b", "-v --set vm_flavor=m1.small"])), {
        "<build-images><bundle=bundle-nginx b><ARGS=-v --set vm_flavor=m1.small>"
    });
    for old in &old {
        assert!(
            !old.join("output").exists()
                && !old.join("image.properties").exists()
                && old.join("runs/r").exists(),
            "outputs of earlier builds go, of bases too; runs stay for sweep"
        );
    }
    assert_eq!(said(&run(["os", "debian-12", ""])), "<build-os><os=debian-12><ARGS=>");
    let bad = [
        "", " ", "a;b", "$(id)", "`id`", "a|b", "a\nb", "../x", "a/../b", "-x", "a -x", ".", "a'b",
        "a\"b", "a&b", "a>b", "a\\b", "ä",
    ];
    for name in bad {
        let output = run(["images", name, ""]);
        assert_eq!(output.status.code(), Some(2), "{name:?}: {}", said(&output));
    }
    for arguments in ["$x", "a;b", "`id`", "a\nb", "$(id)", "a|b", "a&", "'", "\"", "*", "~"] {
        assert_eq!(run(["images", "a", arguments]).status.code(), Some(2), "{arguments:?}");
    }
}

/// Answers as a project with one key pair and one external network would, and writes down what it
/// was asked.
const OPENSTACK: &str = r#"#!/bin/sh
printf '%s\n' "$*" >>"$FAKE/asked"
case $* in
    "token issue"*) echo 0123 ;;
    "stack list"*) [ ! -e "$FAKE/down" ] || exit 1
        echo image-factory-2; [ ! -e "$FAKE/stack" ] || echo image-factory ;;
    "application credential list"*) [ ! -e "$FAKE/down" ] || exit 1
        [ ! -e "$FAKE/credential" ] || echo image-factory ;;
    "keypair list"*) echo me ;;
    "network list --external"*) echo public ;;
    "image list"*"--tag factory-published --property factory_family=debian-13 "*)
        [ -e "$FAKE/no-family" ] || printf 'a1\nb2\nc3\nd4\n' ;;
    "image list"*"--name debian-12 "*) echo e5 ;;
    "image list"*) ;;
    "image show d4 -f value -c owner") echo others ;;
    "image show "*"-c owner") echo 0123 ;;
    "image show a1 "*"-c properties") echo "{'factory_image_id': 'a1'," \
        "'factory_published_at': '2026-11-20T10:00:00Z'}" ;;
    "image show b2 "*"-c properties") echo "factory_image_id='b2'," \
        "factory_published_at='2026-11-21T10:00:00Z'" ;;
    "image show c3 "*"-c properties") echo "{'factory_image_id': 'b2'," \
        "'factory_published_at': '2026-11-22T10:00:00Z'}" ;;
    "image show d4 "*"-c properties") echo "{'factory_image_id': 'd4'," \
        "'factory_published_at': '2026-11-23T10:00:00Z'}" ;;
    "image show e5 "*"-c properties") echo "{'os_hidden': 'False'}" ;;
    "image show "*"-c name") echo debian-13-2026-11-21-1000-abcdef ;;
    "flavor show"*) echo f1 ;;
    "configuration show -f value -c auth.auth_url") echo http://192.0.2.1:5000 ;;
    "configuration show"*) echo RegionOne ;;
    "orchestration template validate"*) ;;
    "application credential create"*) : >"$FAKE/credential"
        printf 'ac_id="abc123"\nac_secret="TOP-secret_1"\n' ;;
    "application credential delete"*) rm "$FAKE/credential" ;;
    "stack create"*)
        for word; do case $word in
            */environment.json) echo "$word" >"$FAKE/path"; cp -p "$word" "$FAKE/" ;; esac; done
        [ ! -e "$FAKE/refuse" ] || exit 1
        : >"$FAKE/stack" ;;
    "stack delete"*) rm "$FAKE/stack" ;;
    "stack output show"*) echo "ssh for $5" ;;
    *) echo "not understood: $*" >&2; exit 9 ;;
esac
"#;

struct Cloud {
    dir: tempfile::TempDir,
}

impl Cloud {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        program(&dir.path().join("bin"), "openstack", OPENSTACK);
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn create(&self, arguments: &[&str], env: &[(&str, &str)]) -> Output {
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(tree().join("setup/create"));
        command
            .args(arguments)
            .env("PATH", path)
            .env("FAKE", self.dir.path())
            .env("OS_CLOUD", "mine");
        for name in [
            "IMAGE",
            "FLAVOR",
            "KEYPAIR",
            "EXTERNAL_NETWORK",
            "STACK",
            "YES",
            "GIT_URL",
            "GIT_BRANCH",
            "AUTH_URL",
            "CACERT",
            "OS_CACERT",
            "ROLE",
            "DNS_SERVERS",
        ] {
            command.env_remove(name);
        }
        command
            .env("GIT_URL", "https://git.example.org/f.git")
            .env("GIT_BRANCH", "main")
            .envs(env.iter().copied());
        command.stdin(std::process::Stdio::null()).output().unwrap()
    }
}

#[test]
fn create_asks_first_and_keeps_the_secret_out_of_arguments_and_files() {
    let cloud = Cloud::new();
    let unasked = cloud.create(&[], &[]);
    assert_eq!(unasked.status.code(), Some(1), "{}", said(&unasked));
    assert!(said(&unasked).contains("YES=1") && !cloud.path("credential").exists());

    let created = cloud.create(&[], &[("YES", "1"), ("DNS_SERVERS", "192.0.2.53,2001:db8::53")]);
    assert!(created.status.success(), "{}", said(&created));
    assert!(said(&created).contains("ssh for tunnel"), "{}", said(&created));
    let asked = fs::read_to_string(cloud.path("asked")).unwrap();
    assert!(!asked.contains("TOP-secret_1") && !said(&created).contains("TOP-secret_1"), "{asked}");
    assert!(asked.contains("application credential create --role member"));

    let environment = cloud.path("environment.json");
    assert_eq!(fs::metadata(&environment).unwrap().permissions().mode() & 0o777, 0o600);
    let given: Value = serde_yaml::from_str(&fs::read_to_string(&environment).unwrap()).unwrap();
    let given = &given["parameters"];
    assert_eq!(given["application_credential_secret"], Value::from("TOP-secret_1"));
    // Not the last by its name, nor a copy, nor another project's.
    assert_eq!(given["image"], Value::from("b2"));
    assert!(said(&created).contains("server of debian-13-2026-11-21-1000-abcdef, b2"));
    assert_eq!(given["auth_url"], Value::from("http://192.0.2.1:5000/v3"));
    assert_eq!(given["dns_servers"], Value::from("192.0.2.53,2001:db8::53"));
    assert!(keys(given).is_subset(&keys(&template()["parameters"])));
    let whole = template();
    let needed = whole["parameters"]
        .as_mapping()
        .unwrap()
        .iter()
        .filter(|(_, p)| p.get("default").is_none());
    for (name, _) in needed {
        assert!(given.get(name).is_some(), "{name:?} is not given");
    }
    let work = PathBuf::from(fs::read_to_string(cloud.path("path")).unwrap().trim());
    assert!(!work.exists() && !work.parent().unwrap().exists(), "the file with the secret is gone");

    let again = cloud.create(&[], &[("YES", "1")]);
    assert!(
        !again.status.success() && said(&again).contains("make create-undo"),
        "{}",
        said(&again)
    );
    let undone = cloud.create(&["undo"], &[("YES", "1")]);
    assert!(undone.status.success(), "{}", said(&undone));
    assert!(!cloud.path("stack").exists() && !cloud.path("credential").exists());
    assert!(said(&cloud.create(&["undo"], &[])).contains("nothing to delete"));
}

/// Where the factory has published none, an image of that name is the publisher's.
#[test]
fn create_takes_an_image_from_elsewhere_by_its_name_alone() {
    let cloud = Cloud::new();
    fs::write(cloud.path("no-family"), "").unwrap();
    let created = cloud.create(&[], &[("YES", "1")]);
    assert!(created.status.success(), "{}", said(&created));
    let given = fs::read_to_string(cloud.path("environment.json")).unwrap();
    let given: Value = serde_yaml::from_str(&given).unwrap();
    assert_eq!(given["parameters"]["image"], Value::from("e5"));
}

/// It threw every error away, and said that there was nothing to delete.
#[test]
fn a_cloud_that_does_not_answer_is_not_one_that_has_nothing() {
    let cloud = Cloud::new();
    for name in ["stack", "credential", "down"] {
        fs::write(cloud.path(name), "").unwrap();
    }
    for arguments in [&["undo"][..], &[]] {
        let unknown = cloud.create(arguments, &[("YES", "1")]);
        assert_eq!(unknown.status.code(), Some(1), "{}", said(&unknown));
        assert!(
            said(&unknown).contains("cannot look for the stack image-factory")
                && !said(&unknown).contains("nothing to delete"),
            "{}",
            said(&unknown)
        );
    }
    assert!(cloud.path("stack").exists() && cloud.path("credential").exists());
}

#[test]
fn create_leaves_no_credential_where_there_is_no_stack() {
    let cloud = Cloud::new();
    fs::write(cloud.path("refuse"), "").unwrap();
    let refused = cloud.create(&[], &[("YES", "1")]);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(!cloud.path("credential").exists(), "{}", said(&refused));
    for (setting, bad) in [
        ("GIT_URL", "https://me:secret@git.example.org/f.git"),
        ("GIT_URL", "/srv/f.git"),
        ("DNS_SERVERS", "192.0.2.53\", \"x\": \""),
    ] {
        let refused = cloud.create(&[], &[("YES", "1"), (setting, bad)]);
        assert!(
            said(&refused).contains(setting) && !cloud.path("credential").exists(),
            "{bad}: {}",
            said(&refused)
        );
    }
}

/// `make validate`, on the tree itself.
#[test]
fn the_definitions_that_come_with_the_factory_are_sound() {
    let mut command = Command::cargo_bin("image-factory").unwrap();
    let output = command.current_dir(tree()).args(["validate", "--offline"]).output().unwrap();
    assert!(
        output.status.success() && said(&output).contains("bundles checked: 0 errors, 0 warnings"),
        "{}",
        said(&output)
    );
}

/// `upgrade`, `packages` and `default_user`, which docs/operating-systems.md gives a meaning.
#[test]
fn vars_of_a_definition_steer_the_playbook_of_its_family() {
    for family in ["debian", "redhat"] {
        let path = tree().join(format!("os/families/{family}/ansible/bootstrap.yml"));
        let plays: Value = serde_yaml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let vars = &plays[0]["vars"];
        assert_eq!((&vars["upgrade"], &vars["default_user"]), (&true.into(), &"".into()));
        assert!(vars["packages"].as_sequence().is_some_and(|all| all.len() > 3), "{family}");
        let text = |value: &Value| serde_yaml::to_string(value).unwrap();
        let tasks: Vec<&Value> = plays[0]["tasks"].as_sequence().unwrap().iter().collect();
        let called = |name: &str| {
            let task = tasks.iter().copied().find(|task| task["name"].as_str() == Some(name));
            task.unwrap_or_else(|| panic!("{family}: {name}"))
        };
        let upgrade = called("Upgrade all packages");
        assert_eq!(upgrade["when"].as_str(), Some("upgrade | bool"), "{}", text(upgrade));
        let install = called("Base packages");
        assert!(text(install).contains("packages }}"), "{}", text(install));
        let named = "default_user | length > 0";
        let user = tasks.iter().find(|task| task["when"].as_str() == Some(named)).unwrap();
        assert!(text(user).contains("name: {{ default_user }}"), "{}", text(user));
    }
}
