//! Every key: wrong type, unknown, duplicate, missing, out of bounds.
use super::{MINIMAL, Tree, render, said, said_more};
use crate::bundle::keys;

/// Settings, and the first line of everything said of them.
fn check(cases: &[(&str, &str)], said: impl Fn(&str) -> String) {
    let mut wrong = String::new();
    for (settings, expected) in cases {
        let got: Vec<String> = said(settings)
            .lines()
            .filter(|l| !l.starts_with("    hint"))
            .map(str::to_owned)
            .collect();
        let got = got.join(" | ");
        if got != *expected {
            wrong.push_str(&format!("{settings:?}\n  expected {expected}\n  got      {got}\n"));
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// Each was taken without a word.
#[test]
fn what_breaks_the_connection_or_is_hidden_is_told() {
    let cases = [
        (
            "vars: {run_id: 1}\n",
            "2:8: warning: in templates `{{ run_id }}` is what the build found out",
        ),
        (
            "tags: [a]\nvars: {tags: b}\n",
            "3:8: warning: in templates `{{ tags }}` is the key `tags`",
        ),
        ("vars: {bundle: b}\n", "warning: in templates `{{ bundle }}` is the key"),
        ("vars: {ansible_host: h}\n", "2:8: error: `ansible_host` cannot be set"),
        ("vars: {ansible_port: 22}\n", "error: `ansible_port` cannot be set"),
        (
            "vars: {ansible_ssh_private_key_file: k}\n",
            "error: `ansible_ssh_private_key_file` cannot be set",
        ),
        ("vars: {ansible_user: root}\n", "2:8: warning: `ansible_user` takes the place"),
        (
            "ssh_user: debian\nvars: {ansible_user: root}\n",
            "3:8: error: `ansible_user` takes the place",
        ),
        ("vars: {groups: [a]}\n", "warning: playbooks never see this `groups`"),
        ("ssh_user: root\n", "2:1: warning: the check `root-ssh` fails"),
    ];
    for (lines, wanted) in cases {
        assert!(said_more(lines).contains(wanted), "{lines}: {}", said_more(lines));
    }
    for lines in [
        "vars: {tags: b, port: 80, ansible_python_interpreter: /usr/bin/python3, \
            ansible_become_user: root}\n",
        "ssh_user: debian\nvars: {ansible_user: debian}\n",
        "ssh_user: root\ntests: {skip: [root-ssh]}\n",
    ] {
        assert_eq!(said_more(lines), "", "{lines}");
    }
}

/// `ram: 2` was 2 MiB, and taken.
#[test]
fn quantities_that_nobody_means_are_errors() {
    let cases = [
        (
            "machine: {ram: 2}\n",
            "2:16: error: `machine.ram` is 2 MiB, and at least 64 MiB can be meant\n    hint: did \
                you mean `2G`?",
        ),
        ("machine: {ram: 2M}\n", "`machine.ram` is 2 MiB"),
        ("machine: {disk: 10240}\n", "hint: did you mean `10G`?"),
        ("machine: {cpus: 2000}\n", "`machine.cpus` is 2000, and at most 256"),
        ("volume: {size: 20480}\n", "hint: did you mean `20G`?"),
        ("timeouts: {boot: 5}\n", "hint: did you mean `5m`? `5s` says that seconds are meant"),
        ("steps: [{shell: a, timeout: 600000}]\n", "hint: did you mean `600s`?"),
        ("steps: [{shell: a, retries: 1000}]\n", "at most 100 can be meant"),
        ("final_glance_options: --min-ram 2\n", "`--min-ram` is 2 MiB"),
        ("final_glance_options: --min-disk 20480\n", "`--min-disk` is 20480 GiB"),
    ];
    for (lines, wanted) in cases {
        assert!(said_more(lines).contains(wanted), "{lines}: {}", said_more(lines));
    }
    assert_eq!(
        said_more("machine: {ram: 64M, disk: 1, cpus: 1}\ntimeouts: {boot: 5s, ssh: 10}\n"),
        ""
    );
}

#[test]
fn wrong_types_and_values() {
    check(
        &[
            ("bundle: x\n", "1:9: error: `bundle` must be a map, not `x`"),
            ("bundle:\n", "1:1: error: `bundle` has no value"),
            (
                "bundle: {name: [a], img_base: y}\n",
                "1:16: error: `bundle.name` must be text, not a list",
            ),
            ("bundle: {name: , img_base: y}\n", "1:10: error: `bundle.name` has no value"),
            (
                "bundle: {name: ~, img_base: ''}\n",
                "1:16: error: `bundle.name` has no value | 1:29: error: `bundle.img_base` is empty",
            ),
            ("bundle: {name: 'a b', img_base: y}\n", "1:16: error: `bundle.name` cannot be `a b`"),
            (
                "bundle: {name: x, img_base: {a: b}}\n",
                "1:29: error: `bundle.img_base` must be text, not a map",
            ),
            ("bundle: {name: x, img_base: os/}\n", "1:29: error: `os/` names no directory of os/"),
            (
                "bundle: {name: x, img_base: os/../y}\n",
                "1:29: error: `os/../y` names no directory of os/",
            ),
            (
                "bundle: {name: x, img_base: y, path: nowhere}\n",
                "1:38: error: `bundle.path`: there is no directory `nowhere`",
            ),
            (
                "bundle: {name: x, img_base: y, path: [a]}\n",
                "1:38: error: `bundle.path` must be text, not a list",
            ),
            (
                "bundle: {name: x, img_base: y, properties: [a]}\n",
                "1:44: error: `bundle.properties` must be a map, not a list",
            ),
            (
                "bundle: {name: x, img_base: y, properties: {a: [b], c: , d: {e: f}}}\n",
                "1:48: error: `bundle.properties.a` must be text, not a list | 1:53: error: \
                    `bundle.properties.c` has no value | 1:61: error: `bundle.properties.d` must \
                    be text, not a map",
            ),
            (
                "bundle: {name: x, img_base: y, properties: {os_glance_a: b, name: c, '': d}}\n",
                "1:45: error: `os_glance_a` is reserved by Glance | 1:61: error: `name` is an \
                    attribute of every image and cannot be a property | 1:70: error: a property \
                    needs a key of one line",
            ),
        ],
        said,
    );
    check(
        &[
            (
                "bundle_target_name: [a]",
                "2:21: error: `bundle_target_name` must be text, not a list",
            ),
            (
                "bundle_target_name: a/b",
                "2:21: error: `bundle_target_name` cannot be `a/b`: it becomes part of a file name",
            ),
            (
                "bundle_target_name: \"a\\nb\"",
                "2:21: error: `bundle_target_name` must be one line without control characters",
            ),
            ("vm_flavor: {a: b}", "2:12: error: `vm_flavor` must be text, not a map"),
            ("test_flavor:", "2:1: error: `test_flavor` has no value"),
            (
                "final_glance_options: [a]",
                "2:23: error: `final_glance_options` must be text, not a list",
            ),
            (
                "final_glance_options: --min-dsk 20 --min-ram x",
                "2:23: error: `final_glance_options`: `--min-ram` must be a whole number of MB, \
                    not `x` | 2:23: error: `final_glance_options`: unknown option `--min-dsk`",
            ),
            (
                "packer_file: a.json",
                "2:1: error: `packer_file` is not supported yet by this version",
            ),
            (
                "source: {script: a.sh}",
                "1:19: error: `bundle.img_base` and `source` exclude each other | 2:1: error: \
                    `source` is for definitions in os/ only | 2:18: error: `a.sh` does not exist",
            ),
            ("steps: {shell: a}", "2:8: error: `steps` must be a list, not a map"),
            (
                "steps: [a, ~]",
                "2:9: error: `steps[1]` must be a map, not `a` | 2:12: error: `steps[2]` has no \
                    value",
            ),
            ("steps: [{}]", "2:9: error: this step does nothing"),
            ("steps:\n- name: a\n", "3:3: error: this step does nothing"),
            (
                "steps:\n- {shell: a, reboot: true}\n",
                "3:14: error: a step does one thing: `reboot` beside `shell`",
            ),
            (
                "steps:\n- shell: {a: b}\n- shell:\n- shell: []\n- shell: ['']\n- shell: ' '\n",
                "3:10: error: `steps[1].shell` must be text, not a map | 4:3: error: \
                    `steps[2].shell` has no value | 5:10: error: `steps[3].shell` is empty | 6:11: \
                    error: `steps[4].shell[1]` is empty | 7:10: error: `steps[5].shell` is empty",
            ),
            (
                "steps:\n- reboot: false\n- reboot: 1\n",
                "3:11: error: `reboot: false` does nothing | 4:11: error: `steps[2].reboot` must \
                    be true or false, not `1`",
            ),
            (
                "steps:\n- {shell: a, extra_vars: {a: b}, tags: [c]}\n",
                "3:14: error: `extra_vars` goes with `ansible` only | 3:34: error: `tags` goes \
                    with `ansible` only",
            ),
            (
                "steps:\n- {shell: a, timeout: soon, retries: -1, env: [a], sudo: 1, name: [b]}\n",
                "3:23: error: `steps[1].timeout` must be a duration, not `soon` | 3:38: error: \
                    `steps[1].retries` must be a whole number, not `-1` | 3:47: error: \
                    `steps[1].env` must be a map, not a list | 3:58: error: `steps[1].sudo` must \
                    be true or false, not `1` | 3:67: error: `steps[1].name` must be text, not a \
                    list",
            ),
            (
                "steps:\n- {shell: a, timeout: 0, retries: '3', env: {1a: b, c: [d]}, sudo: \
                    'yes'}\n",
                "3:23: error: `steps[1].timeout` must be a duration, not `0` | 3:35: error: \
                    `steps[1].retries` must be a whole number, not the text \"3\" | 3:46: error: \
                    `1a` is no name of an environment variable | 3:56: error: `steps[1].env.c` \
                    must be text, not a list | 3:68: error: `steps[1].sudo` must be true or false, \
                    not the text \"yes\"",
            ),
            (
                "steps:\n- ansible: [a]\n- script: {a: b}\n- upload: a\n- upload: {src: a}\n- \
                    upload: {dest: a}\n",
                "3:12: error: `steps[1].ansible` must be text, not a list | 4:11: error: \
                    `steps[2].script` must be text, not a map | 5:11: error: `steps[3].upload` \
                    must be a map, not `a` | 6:3: error: `steps[4].upload.dest` is missing | 6:17: \
                    error: `a` does not exist | 7:3: error: `steps[5].upload.src` is missing",
            ),
            (
                "steps:\n- {ansible: no.yml, extra_vars: [a], tags: {b: c}}\n",
                "3:13: error: `no.yml` does not exist | 3:33: error: `steps[1].extra_vars` must be \
                    a map, not a list | 3:44: error: `steps[1].tags` must be text or a list, not a \
                    map",
            ),
            ("ssh_user: a b", "2:11: error: `ssh_user` cannot be `a b`"),
            ("ssh_user: -l", "2:11: error: `ssh_user` cannot be `-l`"),
            ("tests: [a]", "2:8: error: `tests` must be a map, not a list"),
            (
                "tests: {skip: a, timeout: 1d}",
                "2:15: error: `tests.skip` must be a list, not `a` | 2:27: error: `tests.timeout` \
                    must be a duration, not `1d`",
            ),
            (
                "tests: {skip: [dsn], add: [rescue, dns], only: [ssh, dns]}",
                "2:16: error: there is no check `dsn` | 2:22: error: `tests.add` adds to what is \
                    on by default, and `tests.only` says all there is",
            ),
            ("tests: {package: -y}", "2:18: error: `tests.package` cannot be `-y`"),
            ("network: {a: b}", "2:10: error: `network` must be text or a list, not a map"),
            (
                "network: [a, a, [b]]",
                "2:14: error: `a` is twice in `network` | 2:17: error: `network[3]` must be text, \
                    not a list",
            ),
            ("security_groups: ", "2:1: error: `security_groups` has no value"),
            ("floating_network: [a]", "2:19: error: `floating_network` must be text, not a list"),
            ("availability_zone: [a]", "2:20: error: `availability_zone` must be text, not a list"),
            ("volume: 10", "2:9: error: `volume` must be a map, not `10`"),
            (
                "volume: {size: big, type: [a]}",
                "2:16: error: `volume.size` must be a size, not `big` | 2:27: error: `volume.type` \
                    must be text, not a list",
            ),
            ("machine: 4", "2:10: error: `machine` must be a map, not `4`"),
            (
                "machine: {cpus: 0, ram: 1.5G, disk: 512M}",
                "2:17: error: `machine.cpus` must be a whole number from 1 up, not `0` | 2:25: \
                    error: `machine.ram` must be a size, not `1.5G` | 2:37: error: `machine.disk` \
                    must be a size, not `512M`",
            ),
            (
                "machine: {cpus: '2', ram: [1], disk: 010}",
                "2:17: error: `machine.cpus` must be a whole number from 1 up, not the text \"2\" \
                    | 2:27: error: `machine.ram` must be a size, not a list",
            ),
            ("timeouts: 10m", "2:11: error: `timeouts` must be a map, not `10m`"),
            (
                "timeouts: {boot: 1:30, ssh: , step: [1], capture: 5 m, upload: -1}",
                "2:18: error: `timeouts.boot` must be a duration, not `1:30` | 2:24: error: \
                    `timeouts.ssh` has no value | 2:37: error: `timeouts.step` must be a duration, \
                    not a list | 2:51: error: `timeouts.capture` must be a duration, not `5 m` | \
                    2:64: error: `timeouts.upload` must be a duration, not `-1`",
            ),
            ("tags: a", "2:7: error: `tags` must be a list, not `a`"),
            (
                "tags: [a, [b], a, '']",
                "2:11: error: `tags[2]` must be text, not a list | 2:16: error: `a` is twice in \
                    `tags` | 2:19: error: `tags[4]` is empty",
            ),
            (
                "visibility: publik",
                "2:13: error: `visibility` must be one of private, shared, community, public, not \
                    `publik`",
            ),
            ("visibility: [public]", "2:13: error: `visibility` must be text, not a list"),
            (
                "visibility: public\nfinal_glance_options: --private",
                "2:13: error: `visibility` is public, but `final_glance_options` says private",
            ),
            ("members: a", "2:10: error: `members` must be a list, not `a`"),
            (
                "visibility: private\nmembers: [a]",
                "3:1: error: only shared images have members; this one is private",
            ),
            (
                "members: [a]\nfinal_glance_options: --private",
                "2:1: error: only shared images have members; this one is private",
            ),
            (
                "final_glance_options: --public\nmembers: [a]",
                "3:1: error: only shared images have members; this one is public",
            ),
            (
                "final_glance_options: --community\nmembers: [a]",
                "3:1: error: only shared images have members; this one is community",
            ),
            ("keep: 0", "2:7: error: `keep` must be a whole number from 1 up, not `0`"),
            ("keep: few", "2:7: error: `keep` must be a whole number from 1 up, not `few`"),
            (
                "keep: 9999999999",
                "2:7: error: `keep` must be a whole number from 1 up, not `9999999999`",
            ),
            ("tidy: false", "2:7: error: `tidy` must be a map, not `false`"),
            (
                "tidy: {logs: 0, build-key: false, lugs: false, machine_id: true, machine-id: \
                    false}",
                "2:14: error: `tidy.logs` must be true or false, not `0` | 2:28: error: \
                    `tidy.build-key` cannot be switched off | 2:35: error: unknown key `lugs` in \
                    `tidy` | 2:66: error: `machine-id` is given twice",
            ),
            ("vars: [a]", "2:7: error: `vars` must be a map, not a list"),
            ("vars: {a: .inf}", "2:11: error: `.inf` is not a finite number"),
        ],
        said_more,
    );
}

#[test]
fn unknown_keys() {
    check(
        &[
            (
                "bundle: {name: x, img_base: y, img_bsae: z}",
                "1:32: error: unknown key `img_bsae` in `bundle`",
            ),
            (
                "bundle: {name: x, img_base: y, vm_flavor: z}",
                "1:32: error: unknown key `vm_flavor` in `bundle`",
            ),
        ],
        said,
    );
    check(
        &[
            ("vm_flavour: x", "2:1: error: unknown key `vm_flavour`"),
            (
                "source: {scirpt: a}",
                "1:19: error: `bundle.img_base` and `source` exclude each other | 2:1: error: \
                    `source` is for definitions in os/ only | 2:10: error: unknown key `scirpt` in \
                    `source`",
            ),
            (
                "steps:\n- {shell: a, timeuot: 5}",
                "3:14: error: unknown key `timeuot` in `steps[1]`",
            ),
            (
                "steps:\n- upload: {src: a, dset: b}",
                "3:17: error: `a` does not exist | 3:20: error: unknown key `dset` in \
                    `steps[1].upload`",
            ),
            ("tests: {skp: []}", "2:9: error: unknown key `skp` in `tests`"),
            ("volume: {sise: 1}", "2:10: error: unknown key `sise` in `volume`"),
            ("machine: {cpu: 1}", "2:11: error: unknown key `cpu` in `machine`"),
            ("timeouts: {reboot: 1}", "2:12: error: unknown key `reboot` in `timeouts`"),
            ("tidy: {log: true}", "2:8: error: unknown key `log` in `tidy`"),
        ],
        said_more,
    );
}

#[test]
fn advice_on_unknown_keys() {
    insta::assert_snapshot!(said_more("vm_flavour: x\nimg_base: z\nnginx_port: 80\nvolume: \
        {zzz: 1}\n"), @r"
        2:1: error: unknown key `vm_flavour`
            hint: did you mean `vm_flavor`?
        3:1: error: unknown key `img_base`
            hint: `img_base` belongs under `bundle:`
        4:1: error: unknown key `nginx_port`
            hint: free variables for templates go under `vars:`
        5:10: error: unknown key `zzz` in `volume`
            hint: known here: size, type, availability_zone
    ");
}

#[test]
fn advice_on_words_of_others_in_a_step() {
    for (key, wanted) in [
        ("retry", "did you mean `retries`?"),
        ("retrys", "did you mean `retries`?"),
        ("become", "`sudo: true` runs a step as root"),
        ("environment", "did you mean `env`?"),
        ("vars", "did you mean `extra_vars`"),
        ("when", "every step runs"),
        ("timout", "did you mean `timeout`?"),
    ] {
        let said = said_more(&format!("steps: [{{shell: 'true', {key}: 1}}]\n"));
        assert!(
            said.contains(&format!("unknown key `{key}` in `steps[1]`\n")) && said.contains(wanted),
            "{said}"
        );
    }
}

/// Who followed them got an error.
#[test]
fn hints_on_checks_contradict_nothing_that_is_said() {
    let cases = [
        ("{dns_name: a.b, skip: [dns]}", "hint: `dns` out of `tests.skip` switches it on"),
        ("{dns_name: a.b, only: [ssh]}", "hint: `dns` in `tests.only` switches it on"),
        (
            "{dns_name: a.b, only: [ssh], skip: [dns]}",
            "hint: `dns` in `tests.only`, and not in `tests.skip`, switches it on",
        ),
        ("{package: htop}", "hint: `tests: {add: [cloud-init-package]}` switches it on"),
        (
            "{package: htop, add: [rescue]}",
            "hint: `cloud-init-package` in `tests.add` switches it on",
        ),
    ];
    for (tests, wanted) in cases {
        let said = said_more(&format!("tests: {tests}\n"));
        assert!(said.contains(wanted), "{tests}: {said}");
    }
    let off = [
        ("", "`tests: {skip: [machine-id-unique]}`, if"),
        (
            "tests: {only: [ssh, machine-id-unique]}\n",
            "`machine-id-unique` out of `tests.only`, if",
        ),
        (
            "tests: {add: [machine-id-unique]}\n",
            "`machine-id-unique` out of `tests.add` and into `tests.skip`, if",
        ),
        ("tests: {skip: [dns]}\n", "`machine-id-unique` in `tests.skip`, if"),
    ];
    for (tests, wanted) in off {
        let said = said_more(&format!("{tests}tidy: {{machine-id: false}}\n"));
        assert!(said.contains(wanted), "{tests}: {said}");
    }
    let root = said_more("ssh_user: root\ntests: {only: [ssh, root-ssh]}\n");
    assert!(
        root.contains("another user, or `root-ssh` out of `tests.only` if root has to log in"),
        "{root}"
    );
}

#[test]
fn a_check_that_is_no_sound_one_is_there_all_the_same() {
    let tree = Tree::new();
    tree.write("images/x/build-vars.yml", &format!("{MINIMAL}tests: {{only: [tests/page.sh]}}\n"))
        .write("images/x/tests/page.sh", "ls");
    let said = super::said_in(&tree, "images/x");
    assert!(
        said.contains("`tests/page.sh` is not executable") && !said.contains("there is no check"),
        "{said}"
    );
}

#[test]
fn every_key_given_twice() {
    for key in keys::TOP.iter().filter(|key| **key != "bundle") {
        let said = said_more(&format!("{key}: a\n{key}: b\n"));
        assert!(
            said.contains(&format!(
                "3:1: error: `{key}` is given twice\n    hint: first given in line 2"
            )),
            "{said}"
        );
    }
    let twice = |prefix: &str, keys: &[&str]| {
        for key in keys {
            let said = said_more(&format!("{prefix}\n    {key}: a\n    {key}: b\n"));
            assert!(
                said.contains(&format!(
                    "4:5: error: `{key}` is given twice\n    hint: first given in line 3"
                )),
                "{said}"
            );
        }
    };
    twice("source:", keys::SOURCE);
    twice("tests:", keys::TESTS);
    twice("volume:", keys::VOLUME);
    twice("machine:", keys::MACHINE);
    twice("timeouts:", keys::TIMEOUTS);
    twice("tidy:", crate::bundle::TIDY_PARTS);
    twice("tidy:", crate::bundle::TIDY_ASKED);
    twice("vars:", &["free"]);
    for key in keys::STEP {
        let said = said_more(&format!("steps:\n  - {key}: a\n    {key}: b\n"));
        assert!(said.contains(&format!("4:5: error: `{key}` is given twice")), "{said}");
    }
    for key in keys::UPLOAD {
        let said = said_more(&format!("steps:\n  - upload:\n      {key}: a\n      {key}: b\n"));
        assert!(said.contains(&format!("5:7: error: `{key}` is given twice")), "{said}");
    }
    for key in ["name", "img_base", "path", "properties"] {
        let said = said(&format!("bundle:\n  {key}: a\n  {key}: b\n"));
        assert!(said.contains(&format!("3:3: error: `{key}` is given twice")), "{said}");
    }
    assert!(said(&format!("{MINIMAL}{MINIMAL}")).contains("2:1: error: `bundle` is given twice"));
}

#[test]
fn missing_keys() {
    insta::assert_snapshot!(said(""), @r"
        error: `bundle` is missing
           hint: `bundle: {name: my-image, img_base: os/debian-12}`
    ");
    insta::assert_snapshot!(said("# nothing\n---\n"), @r"
        error: `bundle` is missing
           hint: `bundle: {name: my-image, img_base: os/debian-12}`
    ");
    insta::assert_snapshot!(said("bundle: {}\n"), @r"
        1:1: error: `bundle.img_base` is missing
            hint: the ID, exact name or family of an image, or os/<name> of this tree
        1:1: error: `bundle.name` is missing
            hint: the prefix of the image's name
    ");
    insta::assert_snapshot!(said("vm_flavor: a\nbundle:\n  properties: {a: b}\n"), @r"
        2:1: error: `bundle.img_base` is missing
            hint: the ID, exact name or family of an image, or os/<name> of this tree
        2:1: error: `bundle.name` is missing
            hint: the prefix of the image's name
    ");
}

#[test]
fn limits_of_names() {
    let long = "x".repeat(256);
    check(
        &[
            (
                &format!("bundle: {{name: {long}, img_base: y}}"),
                "1:16: error: `bundle.name` has 256 characters; at most 255 are possible",
            ),
            (
                &format!("bundle: {{name: {}, img_base: y}}", &long[..240]),
                "1:16: error: `bundle.name` has 240 characters; at most 239 are possible",
            ),
            (&format!("bundle: {{name: {}, img_base: y}}", &long[..239]), ""),
            (
                &format!("bundle: {{name: x, img_base: y, properties: {{{long}: a}}}}"),
                "1:45: error: the key of a property has at most 255 characters",
            ),
            ("bundle: {name: .x, img_base: y}", "1:16: error: `bundle.name` cannot be `.x`"),
            (
                "bundle: {name: \"h\u{e9}\", img_base: y}",
                "1:16: error: `bundle.name` cannot be `h\u{e9}`",
            ),
        ],
        said,
    );
    check(
        &[
            (
                &format!("bundle_target_name: {long}"),
                "2:21: error: `bundle_target_name` has 256 characters; at most 255 are possible",
            ),
            (&format!("bundle_target_name: {}", "\u{e9}".repeat(255)), ""),
            (
                &format!("tags: [{long}]"),
                "2:8: error: `tags[1]` has 256 characters; at most 255 are possible",
            ),
        ],
        said_more,
    );
}

/// `validate` called all of these sound.
#[test]
fn settings_that_contradict_each_other_are_told() {
    let base = "bundle: {name: x, img_base: b, properties: {a: '1', b: '2'}}\n";
    let steps = "steps:\n- ansible: {playbook: p.yml}\n  sudo: true\n- reboot: true\n  sudo: \
        true\n  env: {A: b}\n- upload: {src: p.yml, dest: /x}\n  env: {A: b}\n";
    let cases = [
        (
            "final_glance_options: --property a=2 --property b=2",
            "error: the property `a` is `1` in `bundle.properties`, and `2` in \
                `final_glance_options`",
        ),
        (
            "tests: {skip: [rescue], add: [rescue]}",
            "error: `rescue` is both in `tests.skip` and in `tests.add`",
        ),
        (
            "tests: {skip: [dns], only: [dns, ssh]}",
            "error: `dns` is both in `tests.skip` and in `tests.only`",
        ),
        ("tests: {only: []}", "warning: no check is left: the image is published untested"),
        (
            "tests: {package: jq}",
            "warning: `tests.package` does nothing: the check `cloud-init-package` is not made",
        ),
        (
            "tests: {volume_size: 2G, add: [snapshot]}",
            "warning: `tests.volume_size` does nothing: the check `volume` is not made",
        ),
        (
            "tests: {dns_name: a.b, skip: [dns]}",
            "warning: `tests.dns_name` does nothing: the check `dns` is not made",
        ),
        ("tidy: {machine_id: false}", "warning: without it the check `machine-id-unique` fails"),
        ("keep: 2\nfinal_glance_options: --protected", "warning: `keep` removes nothing"),
        ("security_groups: [none, web]", "error: `security_groups` names some, and says `none`"),
        (steps, "warning: `sudo` does nothing for a playbook"),
        (steps, "warning: `sudo` does nothing for a restart"),
        (steps, "warning: `env` does nothing for a restart"),
        (steps, "warning: `env` does nothing for an upload"),
    ];
    let told = |more: &str| {
        let tree = Tree::new();
        tree.write("images/x/build-vars.yml", &format!("{base}{more}\n"))
            .write("images/x/p.yml", "- hosts: all\n");
        match tree.load("images/x") {
            Ok(loaded) => render(&loaded.warnings),
            Err(findings) => render(&findings),
        }
    };
    for (more, expected) in cases {
        let found = told(more);
        let places = found
            .lines()
            .filter(|line| line.contains(expected))
            .all(|line| line.starts_with("images/x/build-vars.yml:"));
        assert!(found.contains(expected) && places, "{more}\n{found}");
    }
    let sound = [
        "final_glance_options: --property a=1 --property c=3",
        "tests: {skip: [dns], add: [rescue]}",
        "tests: {package: jq, add: [cloud-init-package]}",
        "tests: {skip: [machine-id-unique]}\ntidy: {machine-id: false}",
        "keep: 2\nfinal_glance_options: --unprotected",
        "security_groups: none",
        "steps:\n- shell: id\n  sudo: true\n  env: {A: b}\n- upload: {src: p.yml, dest: /x}\n  \
            sudo: true\n- ansible: p.yml\n  env: {A: b}",
    ];
    for more in sound {
        assert_eq!(told(more), "", "{more}");
    }
}

#[test]
fn scripts_of_python_2_are_told() {
    let tree = Tree::new();
    tree.write(
        "images/x/build-vars.yml",
        "bundle: {name: x, img_base: b}\nsteps:\n- script: a.py\n- script: b.py\n- script: c.py\n- \
            script: d.sh\n",
    );
    tree.write("images/x/a.py", "#!/usr/bin/python\nimport os\nprint 'x'\n")
        .write("images/x/b.py", "#!/usr/bin/env python\nprint('x')\n");
    tree.write("images/x/c.py", "#!/usr/bin/python3\nprint('x')\n")
        .write("images/x/d.sh", "\n#!/bin/bash\nid\n");
    let found = render(&tree.load("images/x").unwrap().warnings);
    assert!(found.contains("images/x/a.py:3:1: warning: this line is of Python 2"), "{found}");
    assert!(
        found.contains("images/x/b.py:1:1: warning: `python` is Python 2, or not there at all"),
        "{found}"
    );
    assert!(
        found.contains("images/x/d.sh:2:1: warning: the `#!` of this script is not its first line")
            && !found.contains("c.py"),
        "{found}"
    );
}

#[test]
fn tags_that_no_task_has_are_told() {
    let told = |tags: &str, playbook: &str| {
        let tree = Tree::new();
        tree.write(
            "images/x/build-vars.yml",
            &format!(
                "bundle: {{name: x, img_base: b}}\nsteps:\n- ansible: p.yml\n  tags: {tags}\n"
            ),
        );
        tree.write("images/x/p.yml", playbook).write("images/x/t.yml", "- {ping: , tags: inner}\n");
        render(&tree.load("images/x").unwrap().warnings)
    };
    let playbook = "- hosts: all\n  tags: [play]\n  tasks:\n  - {ping: , tags: 'a, b'}\n  - \
        {block: [{ping: , tags: [c]}]}\n  - include_tasks: t.yml\n";
    assert!(
        told("[a, nope]", playbook).starts_with(
            "images/x/build-vars.yml:4:3: warning: no task of p.yml has the tag `nope`"
        )
    );
    assert_eq!(told("[a, b, c, play, inner, untagged]", playbook), "");
    assert_eq!(
        told("nope", "- hosts: all\n  tasks: [{include_tasks: '{{ x }}.yml'}]\n"),
        "",
        "what is not there to be read may have it"
    );
}
