//! Values of a wrong type, or out of bounds.
use super::*;

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
        ("warm: 4\n", "`warm` is 4, and at most 3"),
        ("machine: {cpus: 2000}\n", "`machine.cpus` is 2000, and at most 255"),
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

/// It was skipped, booted all the same, and was reported twice.
#[test]
fn the_boot_cannot_be_left_out() {
    let told = said_more("tests: {skip: [dns, boots]}\n");
    assert!(told.contains("error: `tests.skip` cannot have `boots`"), "{told}");
    assert_eq!(said_more("tests: {skip: [dns]}\n"), "");
}

#[test]
fn a_mode_is_of_three_octal_digits() {
    let step = |mode: &str| {
        let upload = format!("{{src: build-vars.yml, dest: /x, mode: {mode}}}");
        said_more(&format!("steps: [{{upload: {upload}}}]\n"))
    };
    for good in ["0640", "640", "'0600'", "\"755\""] {
        assert_eq!(step(good), "", "{good}");
    }
    for bad in ["0", "64", "0o640", "6400", "04755", "0880", "rw-r--r--", "-640", "[6]"] {
        assert!(step(bad).contains("is no mode of a file"), "{bad}: {}", step(bad));
    }
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
                "tests: {skip: a, timeout: 1w}",
                "2:15: error: `tests.skip` must be a list, not `a` | 2:27: error: `tests.timeout` \
                    must be a duration, not `1w`",
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
fn limits_of_names() {
    let long = "x".repeat(256);
    check(
        &[
            (
                &format!("bundle: {{name: {long}, img_base: y}}"),
                "1:16: error: `bundle.name` has 256 characters; at most 255 are possible",
            ),
            (
                &format!("bundle: {{name: {}, img_base: y}}", &long[..223]),
                "1:16: error: `bundle.name` has 223 bytes; at most 222 are possible",
            ),
            (&format!("bundle: {{name: {}, img_base: y}}", &long[..222]), ""),
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
            (
                &format!("bundle_target_name: {}", "\u{e9}".repeat(120)),
                "2:21: error: `bundle_target_name` has 240 bytes; at most 238 are possible",
            ),
            (&format!("bundle_target_name: {}", "\u{e9}".repeat(119)), ""),
            (
                &format!("tags: [{long}]"),
                "2:8: error: `tags[1]` has 256 characters; at most 255 are possible",
            ),
        ],
        said_more,
    );
}
