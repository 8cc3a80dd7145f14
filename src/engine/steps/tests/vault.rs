//! Files that Ansible reads and nobody else can: encrypted ones, with the owner's password, and one
//! that begins with a mark.
use super::required::made;
use super::*;
use crate::system::exec::{self, Cmd};
use crate::wall::WorkDir;

const PASSWORD: &str = "correct-horse";
const PLAY: &str = "- hosts: all\n  gather_facts: false\n  vars_files: [vars.yml]\n  tasks:\n  - \
    raw: echo it ran, {{ word }}\n    \
                    register: said\n  - debug: {var: said.stdout}\n";

/// The password lies where the owner has it, outside of the tree.
fn world(play: &str) -> World {
    let mut world = World::new(&[("play.yml", play), ("vars.yml", "word: in plain\n")]);
    let password = world.dir.path().join("home/vault-password");
    fs::write(&password, format!("{PASSWORD}\n")).unwrap();
    world.vault_password_file = Some(password);
    world
}

fn encrypt(world: &World, name: &str) {
    let password = world.vault_password_file.as_ref().unwrap().to_str().unwrap();
    let bundle = world.dir.path().join("tree/images/x");
    made(&bundle, &["ansible-vault", "encrypt", "--vault-password-file", password, name]);
    assert!(fs::read_to_string(bundle.join(name)).unwrap().starts_with("$ANSIBLE_VAULT;"));
}

#[tokio::test]
async fn an_encrypted_playbook_runs_with_the_owners_password() {
    let world = world(PLAY);
    ["play.yml", "vars.yml"].iter().for_each(|name| encrypt(&world, name));
    let (done, heard) = world.play(BTreeMap::new()).await;
    done.unwrap_or_else(|e| panic!("{e}\n{heard}"));
    assert!(heard.contains("it ran, in plain"), "{heard}");
    let without = World { vault_password_file: None, ..world };
    let (done, heard) = without.play(BTreeMap::new()).await;
    let said = done.unwrap_err().to_string();
    assert!(said.contains("vault"), "{said}\n{heard}");
}

#[tokio::test]
async fn a_playbook_with_a_mark_at_its_begin_runs() {
    let (done, heard) = world(&format!("\u{feff}{PLAY}")).play(BTreeMap::new()).await;
    done.unwrap_or_else(|e| panic!("{e}\n{heard}"));
    assert!(heard.contains("it ran, in plain"), "{heard}");
}

/// What Ansible needs is shown to Ansible: a source script has no use for it.
#[tokio::test]
async fn a_source_script_does_not_see_the_password() {
    let world = world(PLAY);
    let (plan, room) =
        (world.plan(vec![world.step(BTreeMap::new())]), world.dir.path().join("run/room"));
    let look = format!(
        "cat '{}'; env; echo looked",
        world.vault_password_file.as_ref().unwrap().display()
    );
    let cancel = Cancel::default();
    let said = async |world: &World| {
        let room = WorkDir { plan: &plan, dir: &room, read: Vec::new(), source: true };
        let cmd = Cmd::new("/bin/sh", Duration::from_secs(60)).args(["-c", &look]);
        let cmd = world.wall().around(cmd, &room, &cancel).await.unwrap();
        exec::output(&cmd, &cancel).await.unwrap()
    };
    let walled = said(&world).await;
    assert!(
        walled.contains("looked") && !walled.contains(PASSWORD) && !walled.contains("VAULT"),
        "{walled}"
    );
    let open = said(&World { mode: Mode::Off, ..world }).await;
    assert!(open.contains(PASSWORD), "without a wall it would: {open}");
}
