//! Keys that nobody knows, and advice on them.
use super::*;

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
