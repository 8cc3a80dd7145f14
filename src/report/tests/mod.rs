//! Tests of the outputs; `bundle()` and `plan()` are what they all start from.
use crate::model::step::StepKind;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::model::check::Tests;
use crate::model::definition::{Asks, Definition, GlanceOptions, MachineRequest, Timeouts};
use crate::model::event::{Check, Event, Stage, Stamped, Verdict};
use crate::model::field::Locations;
use crate::model::image::{Image, Visibility};
use crate::model::kind::Kind;
use crate::model::publication::Publication;
use crate::plan::{MachinePlan, Origin, Plan, SmokePlan, StepPlan, TimeoutPlan};

mod compare;
mod corpus;
mod critical_path;
mod files;
mod history;
mod page;
mod templates;

/// A bundle in `tree` with these templates under `output/`.
pub fn bundle(tree: &Path, templates: &[(&str, &str)]) -> Definition {
    let dir = tree.join("images/demo");
    for (name, text) in templates {
        let file = dir.join("output").join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    let as_written = serde_json::json!({
        "bundle": {"name": "demo", "img_base": "os/debian-12", "properties": {"cw_os": "Debian",
        "version": "1.10"}},
        "vars": {"port": 8080, "zones": ["a", "b"], "none": null, "url": "http://{{ bundle.name \
            }}.example", "crlf": "x"},
        "vm_flavor": "m1.small",
    });
    Definition {
        tree: tree.into(),
        dir,
        label: "images/demo".into(),
        kind: Kind::Image,
        name: "demo".into(),
        base_family: None,
        base_maker: None,
        base: None,
        source: None,
        properties: BTreeMap::new(),
        target_name: None,
        flavor: None,
        test_flavor: None,
        glance: GlanceOptions::default(),
        steps: Vec::new(),
        has_bootstrap: true,
        ssh_user: None,

        tests: Tests::default(),
        network: Vec::new(),
        security_groups: Vec::new(),
        floating_network: None,
        availability_zone: None,
        volume: None,
        machine: MachineRequest::default(),
        timeouts: Timeouts::default(),
        tags: Vec::new(),
        visibility: None,
        members: Vec::new(),
        keep: None,
        warm: 0,
        checkpoints: false,
        tidy_off: Vec::new(),
        tidy_on: Vec::new(),
        asks: Asks::default(),
        vars: as_written["vars"].as_object().unwrap().clone(),
        templates: templates.iter().map(|(name, _)| PathBuf::from("output").join(name)).collect(),
        as_written,
        locations: Locations::default(),
        needs: Vec::new(),
    }
}

pub fn image() -> Image {
    let properties = [
        ("cw_os", "Debian"),
        (
            "factory_base",
            "6f1c2a7e-0b1d-4c55-9a38-2d7f0c9e1b44@sha512:\
             9b71d224bd62f3785d96d46ad3ea3d73319bfbc2890caadae2dff72519673ca72323c3d99ba5c11d\
             7c7acc6e14b8c5da0c4663475c2e5c3adef46f73bcdec043",
        ),
        ("factory_commit", "52da0ba1c7e94e6d8f0a"),
        ("factory_family", "bundle-nginx"),
        ("factory_run", "20261120-231501-a1b2c3"),
        ("factory_state", "active"),
        ("hw_rng_model", "virtio"),
    ];
    Image {
        created: "2026-11-20T23:18:01Z".parse().unwrap(),
        size: 612 << 20,
        virtual_size: 4 << 30,
        checksum: "ab".repeat(64),
        properties: properties.map(|(k, v)| (k.to_string(), v.to_string())).into(),
        min_disk_gib: 4,
        min_ram_mib: 512,
        ..Image::of_test(
            "0c8e1f7a-3d52-4a7e-9f64-5a2b8d1c6e90",
            "bundle-nginx-2026-11-20-2315",
            "bundle-nginx",
        )
    }
}

pub fn plan() -> Plan {
    let machine = |name: &str| MachinePlan {
        name: name.into(),
        cpus: 2,
        ram_mib: 1024,
        disk_gib: Some(4),
        flavor: None,
    };
    let step = |name: &str| StepPlan {
        name: name.into(),
        action: StepKind::Reboot,
        timeout: 60,
        retries: 0,
        env: BTreeMap::new(),
        sudo: false,
        fresh: None,
        key: None,
        outline: None,
    };
    let mut base = image();
    base.name = "debian-12-2026-11-01-0400".into();
    base.id = "6f1c2a7e-0b1d-4c55-9a38-2d7f0c9e1b44".into();
    Plan {
        run: "20261120-231501-a1b2c3".into(),
        at: "2026-11-20T23:15:01Z".parse().unwrap(),
        bundle: "images/bundle-nginx".into(),
        bundle_dir: "/f/images/bundle-nginx".into(),
        family: "bundle-nginx".into(),
        image_name: "bundle-nginx-2026-11-20-2315".into(),
        cloud: "local".into(),
        how: "QEMU 7.2, hardware acceleration (KVM)".into(),
        site: None,
        larger: Default::default(),
        origin: Origin::Base(Box::new(base)),
        builder: Some(machine("builder")),
        ssh_user: "debian".into(),
        base_key: None,
        steps: vec![
            step("ansible/bootstrap.yml"),
            step("apt-get install -y nginx-extras"),
            step("reboot"),
        ],
        tidy: vec![],
        smoke: Some(SmokePlan::of_test(machine("a"), machine("b"))),
        publish: Publication {
            name: "nginx".into(),
            chosen: false,
            family: "nginx".into(),
            properties: BTreeMap::new(),
            set_by: BTreeMap::new(),
            tags: vec![],
            min_disk_gib: None,
            min_ram_mib: 0,
            visibility: Visibility::Private,
            members: vec![],
            protected: false,
            hidden: false,
        },
        templates: vec![],
        timeouts: TimeoutPlan { boot: 1, ssh: 1, capture: 1, upload: 1, shutdown: 1, source: 1 },
        commit: Some("52da0ba1c7e94e6d8f0a".into()),
        asks: Asks::default(),
        keep: None,
        ansible: None,
        notes: Vec::new(),
    }
}

/// Log lines no page, XML or terminal should trust.
pub const HOSTILE: &str = "</pre><script>alert('x')</script> ]]> &amp; \u{1b}[31mred\u{1b}[0m \
    \u{1b}]0;title\u{7} \u{0}nul \u{202e}evil {{ 7 * 7 }}";

/// A run of 184.6 s, to its end; `fail`: the smoke test fails.
pub fn events(fail: bool) -> Vec<Stamped> {
    let start: jiff::Timestamp = "2026-11-20T23:15:01Z".parse().unwrap();
    let mut at = 0.0;
    let mut out = Vec::new();
    let mut emit = |seconds: f64, event: Event| {
        at += seconds;
        let at = start + jiff::SignedDuration::from_millis((at * 1000.0) as i64);
        out.push(Stamped { at, event });
    };
    let stage = |stage| Event::StageStarted { stage };
    let done = |stage, seconds| Event::StageDone { stage, seconds };
    let line =
        |source: &str, line: &str| Event::Output { source: source.into(), line: line.into() };
    let check = |id: &str, verdict, seconds, reason: &str, output: &str| {
        Event::Check(Check {
            id: id.into(),
            verdict,
            seconds,
            reason: reason.into(),
            output: output.into(),
        })
    };
    emit(
        0.0,
        Event::Started {
            run: "r".into(),
            bundle: "images/bundle-nginx".into(),
            purpose: "building".into(),
            image_name: "n".into(),
            cloud: "local".into(),
        },
    );
    emit(0.0, stage(Stage::Plan));
    emit(0.4, done(Stage::Plan, 0.4));
    emit(
        0.0,
        Event::Note {
            text: "cloud: local, because neither OS_CLOUD nor OS_AUTH_URL is set".into(),
        },
    );
    emit(0.0, stage(Stage::Boot));
    emit(21.3, done(Stage::Boot, 21.3));
    emit(0.0, stage(Stage::Provision));
    emit(0.0, Event::StepStarted { index: 0, of: 3, name: "ansible/bootstrap.yml".into() });
    for task in ["Install packages", "Write nginx.conf", "Enable the service", "Open the firewall"]
    {
        emit(9.0, line("ansible", &format!("TASK [nginx : {task}] {}", "*".repeat(60))));
        emit(2.0, line("ansible", "changed: [builder]"));
    }
    emit(0.1, line("ansible", HOSTILE));
    emit(0.0, Event::StepDone { index: 0, seconds: 44.1 });
    emit(
        0.0,
        Event::Warning { text: "step 2 failed, trying again (1 of 2): exit status 100".into() },
    );
    emit(0.0, Event::StepStarted { index: 1, of: 3, name: "apt-get install".into() });
    emit(12.0, line("shell", "Setting up nginx-extras (1.22.1-9+deb12u2) ..."));
    emit(0.5, Event::StepDone { index: 1, seconds: 12.5 });
    emit(0.0, Event::StepStarted { index: 2, of: 3, name: "reboot".into() });
    emit(11.0, Event::StepDone { index: 2, seconds: 11.0 });
    emit(0.0, done(Stage::Provision, 67.6));
    emit(0.0, stage(Stage::Tidy));
    emit(2.1, done(Stage::Tidy, 2.1));
    emit(0.0, stage(Stage::Capture));
    emit(38.2, done(Stage::Capture, 38.2));
    emit(0.0, stage(Stage::Smoke));
    emit(30.0, line("console", "[    2.911204] EXT4-fs (vda1): resized filesystem to 1310459"));
    emit(0.2, check("ssh-answers", Verdict::Passed, 18.2, "after 18.2 s", ""));
    emit(0.2, check("host-keys-unique", Verdict::Passed, 0.3, "3 keys, none shared", ""));
    emit(0.2, check("disk-grows", Verdict::Passed, 0.2, "4.0 GiB, was 3.0 GiB", ""));
    emit(0.2, check("ipv6", Verdict::Skipped, 0.0, "switched off in tests.skip", ""));
    if fail {
        emit(
            9.0,
            check(
                "tests/page",
                Verdict::Failed,
                9.0,
                "exit status 22",
                &format!(
                    "curl: (22) The requested URL returned error: 502\n{HOSTILE}\nhttp://{}\n",
                    "long".repeat(80)
                ),
            ),
        );
        let error = "smoke check tests/page failed: exit status 22\ncurl: (22) The requested URL \
            returned error: 502";
        emit(0.5, Event::StageFailed { stage: Stage::Smoke, seconds: 40.3, error: error.into() });
        emit(0.0, stage(Stage::Unwind));
        emit(1.4, done(Stage::Unwind, 1.4));
        emit(
            0.3,
            Event::Finished {
                outcome: "failed".into(),
                seconds: 171.6,
                image: None,
                error: Some(error.into()),
                leaks: vec!["machine factory-20261120-231501-a1b2c3-smoke-b (pid 4711)".into()],
            },
        );
        return out;
    }
    emit(
        0.6,
        check("tests/page", Verdict::Passed, 0.6, "200 OK", "HTTP/1.1 200 OK\nServer: nginx\n"),
    );
    emit(20.0, done(Stage::Smoke, 51.4));
    emit(0.0, stage(Stage::Publish));
    emit(0.3, done(Stage::Publish, 0.3));
    emit(0.0, stage(Stage::Output));
    emit(0.1, done(Stage::Output, 0.1));
    emit(0.0, stage(Stage::Unwind));
    emit(1.2, done(Stage::Unwind, 1.2));
    emit(
        0.3,
        Event::Finished {
            outcome: "built".into(),
            seconds: 183.0,
            image: None,
            error: None,
            leaks: vec![],
        },
    );
    out
}
