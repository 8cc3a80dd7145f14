//! Ansible's own check in `validate`: what it finds is told with its place, what runs for it is
//! held by the wall, what was found sound is not asked for again; and an old tree, whose idioms are
//! named.
use crate::support::Factory;

const VARS: &str = "bundle:\n  name: x\n  img_base: some-image\n";

fn with(playbook: &str) -> Factory {
    Factory::new().bundle("images/x", VARS).file("images/x/ansible/bootstrap.yml", playbook)
}

#[test]
fn what_ansible_refuses_is_found_before_a_build() {
    let factory = with("- hosts: all\n  tasks:\n  - {ping: , no_such_word: 1}\n");
    let at = "images/x/ansible/bootstrap.yml:3:";
    factory
        .run(&["validate"])
        .exits(10)
        .says(at)
        .says("conflicting action statements")
        .says("checks the syntax of 1 playbook");
    let ran = factory.run(&["validate", "--offline"]).exits(0);
    assert!(!ran.err.contains("ansible-playbook"), "{}", ran.err);
}

/// What the check ran would see, say and reach, if it could: a lookup in the name of a playbook
/// runs as soon as that is read.
#[test]
fn what_runs_for_the_check_is_held() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let script = format!(
        "#!/bin/bash\nsays=ran\n[ -n \"$OS_PASSWORD\" ] && says=$says-password\n(: \
            >/dev/tcp/127.0.0.1/{port}) 2>/dev/null && says=$says-network\n\
         (echo x >\"$1/new\") 2>/dev/null && says=$says-wrote\ncat \"$1/../../../home/key\" \
         >/dev/null 2>&1 && says=$says-home\n\
         sleep 1 && echo $says\n"
    );
    let playbook =
        "- hosts: all\n- import_playbook: \"{{ lookup('pipe', 'bash ../steal.sh ..') }}.yml\"\n";
    let factory = with(playbook).file("images/x/steal.sh", &script).file("../home/key", "s3cret");
    let output = factory.command(&["validate"]).env("OS_PASSWORD", "s3cret").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("ran.yml"), "the lookup ran, and said no more: {said}");
    assert!(!factory.tree().join("images/x/new").exists(), "{said}");
    let output = factory.command(&["validate", "--offline"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stderr).contains("ran"), "nothing runs");
}

#[test]
fn what_was_sound_is_remembered_until_it_changes() {
    let factory =
        with("- hosts: all\n  roles: [web]\n").file("shared/roles/web/tasks/main.yml", "- ping:\n");
    std::os::unix::fs::symlink(
        "../../../shared/roles",
        factory.tree().join("images/x/ansible/roles"),
    )
    .unwrap();
    let asked =
        |factory: &Factory| factory.run(&["validate"]).exits(0).err.contains("checks the syntax");
    assert!(asked(&factory));
    assert!(!asked(&factory), "the same content");
    let factory = factory.file("shared/roles/web/tasks/main.yml", "- setup:\n");
    assert!(asked(&factory), "a role behind a link");
    assert!(!asked(&factory));
}

/// A plugin that writes without end fills no disk of the factory's.
#[test]
fn what_a_check_may_write_is_bounded() {
    let plugin = "import glob, os\nfor n in range(40):\n    for d in ('/tmp', \
        os.environ['HOME']):\n        try:\n            \
                  open('%s/f%d' % (d, n), 'wb').write(b'x' * (10 << 20))\n        except OSError \
                  as e:\n            pass\n\
                  total = sum(os.path.getsize(f) for d in ('/tmp', os.environ['HOME']) for f in \
                  glob.glob(d + '/f*'))\n\
                  class FilterModule(object):\n    def filters(self):\n        return \
                  {'total': lambda _: '%d-mib' % (total >> 20)}\n";
    let factory = with("- hosts: all\n- import_playbook: \"{{ 1 | total }}.yml\"\n")
        .file("images/x/ansible/filter_plugins/t.py", plugin);
    let said = factory.run(&["validate"]).exits(10).err;
    let at = said.find("-mib.yml").unwrap_or_else(|| panic!("the plugin did not run: {said}"));
    let mib: u64 =
        said[..at].rsplit(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap();
    assert!(mib > 0 && mib <= 128, "{said}");
}

/// What lies beside the bundle and is read with it: roles of the user's, whose content counts.
#[test]
fn a_role_of_the_users_counts_with_its_content() {
    let factory = with("- hosts: all\n  roles: [ours]\n")
        .file("../user/.ansible/roles/ours/tasks/main.yml", "- ping:\n");
    let validate = |code| {
        let output = factory
            .command(&["validate"])
            .env("HOME", factory.tree().parent().unwrap().join("user"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        said
    };
    validate(0);
    std::fs::write(
        factory.tree().join("../user/.ansible/roles/ours/tasks/main.yml"),
        "- no_such_module_x:\n",
    )
    .unwrap();
    let said = validate(10);
    assert!(
        said.contains("no_such_module_x")
            && said.contains("~/.ansible/roles/ours/tasks/main.yml:1:"),
        "{said}"
    );
}

/// No digest of a definition counts them, so nothing of a definition sees them.
#[test]
fn what_builds_and_git_leave_is_not_seen() {
    for place in ["target", "ansible/.git"] {
        let playbook = format!("- hosts: all\n  tasks:\n  - import_tasks: ../{place}/t.yml\n");
        let factory = with(&playbook).file(&format!("images/x/{place}/t.yml"), "- ping:\n");
        factory.run(&["validate"]).exits(10).says(&format!("{place}/t.yml"));
    }
}

/// What another could have written into.
#[test]
fn an_open_memory_is_not_believed() {
    use std::os::unix::fs::PermissionsExt;
    let factory = with("- hosts: all\n");
    let asked = || factory.run(&["validate"]).exits(0).err.contains("checks the syntax");
    assert!(asked() && !asked());
    let memory = factory.home().join("checked");
    assert_eq!(std::fs::metadata(&memory).unwrap().permissions().mode() & 0o7777, 0o700);
    std::fs::set_permissions(&memory, PermissionsExt::from_mode(0o777)).unwrap();
    assert!(asked() && !asked());
}

#[test]
fn without_a_wall_it_is_left_out_and_said() {
    let factory = with("- hosts: all\n  no_such_word: 1\n")
        .file("../config/image-factory/config.yml", "wall: off\n");
    let config = factory.home().parent().unwrap().join("config");
    let output = factory.command(&["validate"]).env("XDG_CONFIG_HOME", config).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success()
            && said.contains("not checked by Ansible itself: this machine has no wall"),
        "{said}"
    );
}

/// A tree as the old factory had it, each old idiom once.
#[test]
fn an_old_tree_is_told_what_is_written_today() {
    let playbook = "- hosts: default\n  user: root\n  sudo: yes\n  vars: {ansible_ssh_user: \
        debian, packages: [nginx]}\n  tasks:\n\
        \x20 - include: more.yml\n  - {apt: 'name={{ item }}', with_items: packages, register: r}\n\
        \x20 - {shell: id, when: r|success}\n  - {shell: id, always_run: yes}\n  - \
        {docker: {image: x}, when: \"{{ r }}\"}\n";
    let more = "- {action: 'module=shell id'}\n- {debug: 'msg={{ v|version_compare(1) }}'}\n- \
        {copy: 'src=nope dest=/x'}\n";
    let factory = with(playbook)
        .file("images/x/ansible/more.yml", more)
        .file("images/x/ansible/requirements.yml", "collections: [community.docker]\n");
    let ran = factory.run(&["validate", "--offline"]).exits(10);
    let at = |line: &str| format!("images/x/ansible/{line}");
    for (place, replacement) in [
        ("bootstrap.yml:2:3: warning: `user`", "`remote_user`"),
        ("bootstrap.yml:3:3: error: `sudo`", "`become: true`"),
        ("bootstrap.yml:4:10: warning: `ansible_ssh_user`", "`ansible_user`"),
        ("bootstrap.yml:6:5: warning: `include`", "`include_tasks`"),
        ("bootstrap.yml:7:", "`with_items: \"{{ packages }}\"`"),
        ("bootstrap.yml:8:", "`is succeeded`"),
        ("bootstrap.yml:9:", "`check_mode: false`"),
        ("bootstrap.yml:10:6: warning: the module `docker`", "`community.docker.docker_container`"),
        ("bootstrap.yml:10:", "leave `{{` and `}}` out"),
        ("more.yml:1:", "`shell: …`"),
        ("more.yml:2:", "`is version("),
        ("more.yml:3:", "looked for beside"),
    ] {
        let mut lines = ran.err.lines().skip_while(|line| !line.starts_with(&at(place)));
        let all: Vec<&str> = lines.by_ref().collect();
        let near = all
            .windows(2)
            .any(|two| two[0].starts_with(&at(place)) && two[1].contains(replacement));
        assert!(near, "{place} {replacement}\n{}", ran.err);
    }
    assert!(
        !ran.err.contains("names nobody") && !ran.err.contains("is neither in the definition"),
        "{}",
        ran.err
    );
}

#[test]
fn a_missing_role_or_collection_is_named() {
    let factory =
        with("- hosts: all\n  roles: [no_such_role_x]\n  tasks: [{no.such_y.module: }]\n");
    let ran = factory
        .run(&["validate", "--offline"])
        .exits(10)
        .says("bootstrap.yml:2:11: error: the role `no_such_role_x`");
    ran.says("bootstrap.yml:3:12: error: the collection `no.such_y`").says("requirements.yml");
}

/// An error in a role hid them, and the next round told them.
#[test]
fn an_error_in_a_role_hides_no_missing_role_or_collection() {
    let factory = with("- hosts: all\n  roles: [no_such_role.x, c]\n").file(
        "images/x/ansible/roles/c/tasks/main.yml",
        "- shell: id\n  sudo: yes\n- no.such_y.module: {}\n",
    );
    for args in [&["validate", "--offline"][..], &["plan", "images/x"]] {
        let ran = factory.run(args).exits(10).says("tasks/main.yml:2:3: error: `sudo`");
        ran.says("the role `no_such_role.x` is neither")
            .says("the collection `no.such_y` is neither");
    }
}

/// `requirements.yaml` was said not to be looked at, while a run installs what it names and
/// `validate` counts with that.
#[test]
fn a_list_may_end_in_yaml() {
    for file in
        ["requirements.yaml", "ansible/requirements.yaml", "ansible/roles/requirements.yaml"]
    {
        let factory = with("- hosts: all\n  roles: [no_such_role.x]\n")
            .file(&format!("images/x/{file}"), "roles: [no_such_role.x]\n");
        factory.run(&["validate", "--offline"]).exits(0).says("0 errors, 0 warnings");
    }
}

/// Roles that only a run installs would be errors to Ansible.
#[test]
fn with_a_list_ansible_is_not_asked_and_that_is_said() {
    let factory = with("- hosts: all\n  roles: [no_such_role.x]\n");
    let factory = factory.file("images/x/requirements.yml", "roles: [no_such_role.x]\n");
    let ran = factory.run(&["validate"]).exits(0);
    ran.says(
        "images/x/ansible/bootstrap.yml is not checked by Ansible itself: a run installs what its",
    );
}

/// That Ansible is not asked where other errors come first was not said.
#[test]
fn a_check_that_errors_put_off_is_said_in_one_line() {
    let factory = with("- hosts: all\n  sudo: yes\n  tasks: [{frob: {}}]\n")
        .bundle("images/y", &VARS.replace("name: x", "name: y"));
    let factory = factory.file("images/y/ansible/bootstrap.yml", "- hosts: all\n  sudo: yes\n");
    let said = factory.run(&["validate"]).exits(10).err;
    let note = "note: the playbooks of images/x, images/y are not checked by Ansible itself until \
        the errors there are mended";
    assert_eq!(said.lines().filter(|line| *line == note).count(), 1, "{said}");
    for args in [&["validate", "--offline"][..], &["validate", "-q"]] {
        let said = factory.run(args).exits(10).err;
        assert!(!said.contains("not checked by Ansible"), "{said}");
    }
}

#[test]
fn odd_scripts_are_told_with_their_line() {
    let vars = format!(
        "{VARS}steps:\n- script: crlf.sh\n- script: bom.sh\n- script: latin.sh\n- script: elf\n- \
            script: sound.sh\n"
    );
    let factory = Factory::new()
        .bundle("images/x", &vars)
        .file("images/x/crlf.sh", "#!/bin/sh\r\nid\r\n")
        .file("images/x/sound.sh", "#!/bin/sh\nprintf 'a\\r\\n'\n");
    let factory = factory.file("images/x/bom.sh", "\u{feff}#!/bin/sh\nid\n");
    std::fs::write(factory.tree().join("images/x/latin.sh"), b"#!/bin/sh\n# gr\xfcn\n").unwrap();
    std::fs::write(factory.tree().join("images/x/elf"), b"\x7fELF\x02\x01\x01\0\0\0").unwrap();
    let ran = factory.run(&["validate", "--offline"]).exits(10).says("3 errors, 1 warning");
    let ran = ran
        .says("images/x/crlf.sh:1:1: error: lines of this script end as Windows writes them")
        .says("images/x/bom.sh:1:1: error");
    ran.says("images/x/latin.sh:2:1: warning: this line is not UTF-8")
        .says("images/x/elf: error: this is a program");
}

#[test]
fn a_playbook_with_a_mark_or_in_a_vault_is_taken() {
    with("\u{feff}- hosts: all\n").run(&["validate"]).exits(0).says("0 errors, 0 warnings");
    let vault = "$ANSIBLE_VAULT;1.1;AES256\n61626364\n61626364\n";
    with(vault)
        .run(&["validate"])
        .exits(0)
        .says("bootstrap.yml: warning: this file is encrypted")
        .says("needs the password of a vault");
}

/// Ansible ends at once where the file with a vault's password is not there; it was a note that
/// checks do not get the password.
#[test]
fn a_password_file_that_a_run_does_not_find_is_an_error() {
    let of = |name: &str| {
        with("- hosts: all\n")
            .file("images/x/ansible.cfg", &format!("[defaults]\nvault_password_file = {name}\n"))
    };
    let lacks = of("~/.vault_pass").run(&["validate", "--offline"]).exits(10);
    lacks
        .says("images/x/ansible.cfg:2:1: error: `~/.vault_pass`")
        .says("that of a run is empty")
        .says("vault_password_file: …");
    of(".vault")
        .run(&["validate", "--offline"])
        .says("images/x/ansible.cfg:2:1:")
        .says("`.vault`")
        .says("does not exist");
    of("/srv/vault")
        .run(&["validate", "--offline"])
        .exits(0)
        .says("images/x/ansible.cfg:2:1: warning: `/srv/vault`");
    let there =
        of(".vault").file("images/x/.vault", "s3cret\n").run(&["validate", "--offline"]).exits(0);
    assert!(!there.err.contains("password"), "{}", there.err);
    let named = of("~/.vault_pass").file(
        "../config/image-factory/config.yml",
        "ansible: {vault_password_file: /etc/hostname}\n",
    );
    let config = named.home().parent().unwrap().join("config");
    let output =
        named.command(&["validate", "--offline"]).env("XDG_CONFIG_HOME", config).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && !said.contains(".vault_pass"), "the owner's counts: {said}");
}
