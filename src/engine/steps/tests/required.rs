//! The real `ansible-galaxy` with what lies in the definition: a role and a collection come without
//! a network.
use std::process::Command;

use std::path::Path;

use super::*;

const ROLE_LIST: &str = "roles:\n- {name: web, src: @SRC@}\n";

/// Runs a program that makes what a definition has, with no configuration but its own.
pub(super) fn made(dir: &Path, words: &[&str]) {
    let mut command = Command::new(words[0]);
    command
        .args(&words[1..])
        .current_dir(dir)
        .env("HOME", dir)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("LANG", "C.UTF-8");
    for role in ["AUTHOR", "COMMITTER"] {
        command
            .env(format!("GIT_{role}_NAME"), "a")
            .env(format!("GIT_{role}_EMAIL"), "a@example.org");
    }
    let done = command.output().unwrap();
    assert!(
        done.status.success(),
        "{words:?}: {}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
}

fn play_with(role: &str) -> String {
    format!("- hosts: all\n  gather_facts: false\n  roles: [{role}]\n")
}

/// A role that shows where it runs from; `meta/main.yml` is what ansible-galaxy knows a role by.
fn role(at: &str) -> [(String, &'static str); 2] {
    let tasks = "- raw: echo the role speaks\n  register: said\n- debug: {msg: \"{{ said.stdout | \
        trim }} from {{ role_path }}\"}\n";
    [
        (format!("{at}/meta/main.yml"), "galaxy_info: {author: a, description: b}\n"),
        (format!("{at}/tasks/main.yml"), tasks),
    ]
}

fn world(list: &str, play: &str, role: &[(String, &str)]) -> World {
    let own = [("requirements.yml", list), ("play.yml", play)];
    World::new(
        &role.iter().map(|(name, text)| (name.as_str(), *text)).chain(own).collect::<Vec<_>>(),
    )
}

fn bundle_of(world: &World) -> PathBuf {
    world.dir.path().join("tree/images/x")
}

#[tokio::test]
async fn a_role_of_a_tar_ball_is_installed_and_used() {
    let list = ROLE_LIST.replace("@SRC@", "vendor/web.tar.gz");
    let world = world(&list, &play_with("web"), &role("vendor/web"));
    let vendor = bundle_of(&world).join("vendor");
    made(&vendor, &["tar", "czf", "web.tar.gz", "web"]);
    fs::remove_dir_all(vendor.join("web")).unwrap();
    let (done, heard) = world.play(BTreeMap::new()).await;
    done.unwrap_or_else(|e| panic!("{e}\n{heard}"));
    let from = world.dir.path().join("run");
    assert!(heard.contains(&format!("the role speaks from {}", from.display())), "{heard}");
    assert!(!bundle_of(&world).join("roles").exists(), "the definition is left as it is");
}

#[tokio::test]
async fn a_role_of_a_git_repository_is_installed_in_the_version_that_is_named() {
    let list = "- {name: web, src: 'git+file://@DIR@/tree/images/x/vendor/web', version: v1}\n";
    let world = world(list, &play_with("web"), &role("vendor/web"));
    let repository = bundle_of(&world).join("vendor/web");
    made(&repository, &["git", "init", "-q"]);
    made(&repository, &["git", "add", "."]);
    made(&repository, &["git", "commit", "-q", "-m", "one"]);
    made(&repository, &["git", "tag", "v1"]);
    fs::write(repository.join("tasks/main.yml"), "- fail: {msg: of a later version}\n").unwrap();
    made(&repository, &["git", "commit", "-q", "-a", "-m", "two"]);
    // A repository of its own inside the definition; `.git` is shown to nobody, a bare one is a
    // directory as any other.
    made(repository.parent().unwrap(), &["git", "clone", "-q", "--bare", "web", "web.git"]);
    let list = list
        .replace("@DIR@", &world.dir.path().display().to_string())
        .replace("vendor/web", "vendor/web.git");
    fs::write(bundle_of(&world).join("requirements.yml"), list).unwrap();
    let (done, heard) = world.play(BTreeMap::new()).await;
    done.unwrap_or_else(|e| panic!("{e}\n{heard}"));
    assert!(heard.contains("the role speaks from"), "{heard}");
}

#[tokio::test]
async fn a_collection_of_a_tar_ball_is_installed_and_used() {
    let galaxy = "namespace: acme\nname: web\nversion: 1.0.0\nreadme: README.md\nauthors: [a]\n";
    let list = "collections:\n- {name: vendor/acme-web-1.0.0.tar.gz, type: file}\n";
    let mut files = role("vendor/src/roles/page").to_vec();
    files.extend([
        ("vendor/src/galaxy.yml".to_owned(), galaxy),
        ("vendor/src/README.md".to_owned(), "a\n"),
    ]);
    let world = world(list, &play_with("acme.web.page"), &files);
    let vendor = bundle_of(&world).join("vendor");
    made(&vendor, &["ansible-galaxy", "collection", "build", "src"]);
    fs::remove_dir_all(vendor.join("src")).unwrap();
    let (done, heard) = world.play(BTreeMap::new()).await;
    done.unwrap_or_else(|e| panic!("{e}\n{heard}"));
    assert!(heard.contains("the role speaks from"), "{heard}");
}

/// The step fails before the playbook begins, and says why and what to do.
#[tokio::test]
async fn a_galaxy_that_is_not_reached_is_named_with_the_way_out() {
    for list in ["roles: [acme.web]\n", "collections: [acme.web]\n"] {
        // Held and not listened at: it refuses whoever comes, for as long as the test runs.
        let closed = tokio::net::TcpSocket::new_v4().unwrap();
        closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let server = format!("http://{}", closed.local_addr().unwrap());
        let mut world = world(
            list,
            "- hosts: all\n  gather_facts: false\n  tasks: [{debug: {msg: the play ran}}]\n",
            &[],
        );
        fs::write(bundle_of(&world).join("ansible.cfg"), format!("[galaxy]\nserver = {server}\n"))
            .unwrap();
        // A proxy of the machine that tests must not go by.
        world.env.insert("no_proxy".into(), "127.0.0.1".into());
        let (done, heard) = world.play(BTreeMap::new()).await;
        let said = done.unwrap_err().to_string();
        for part in [
            "requirements.yml",
            "ansible-galaxy, exit code 1",
            &server,
            "does not reach the server",
            "beside the playbook",
        ] {
            assert!(said.contains(part), "`{part}` is not in {said}\n{heard}");
        }
        assert!(!heard.contains("the play ran"), "{heard}");
    }
}

/// What `ansible-galaxy` runs is a stranger's: a link that it leaves in the place of roles is not
/// followed out of the wall.
#[tokio::test]
async fn a_link_in_the_place_of_roles_leads_nowhere() {
    let swap = "import os, sys\n\
        if 'galaxy' in ' '.join(sys.argv + [open('/proc/self/cmdline').read()]) and '-p' in \
        open('/proc/self/cmdline').read().split('\\0'):\n    \
            words = open('/proc/self/cmdline').read().split('\\0')\n    to = \
            words[words.index('-p') + 1]\n    \
            os.symlink(os.path.abspath('../../../outside'), to)\n    os._exit(0)\n";
    let play = "- hosts: all\n  gather_facts: false\n  tasks:\n  - debug: {msg: \"{{ \
        lookup('pipe', 'cat ${ANSIBLE_ROLES_PATH%%:*}/secret') }}\"}\n";
    let world = world(
        "- {name: web, src: vendor/web.tar.gz}\n",
        play,
        &[("py/sitecustomize.py".to_owned(), swap)],
    );
    let outside = world.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "s3cret\n").unwrap();
    let path = bundle_of(&world).join("py").display().to_string();
    let (done, heard) = world.play(BTreeMap::from([("PYTHONPATH".to_owned(), path)])).await;
    let error = done.unwrap_err().to_string();
    assert!(
        !heard.contains("s3cret")
            && error.contains("ansible-galaxy left no directory for its roles"),
        "{error}\n{heard}"
    );
}
