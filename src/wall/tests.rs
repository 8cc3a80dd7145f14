//! What a definition is refused before a run, and what a program behind the wall gets;
//! `test-tools/it/wall.rs` has the whole.
use crate::model::step::StepKind;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::ansible::ANSIBLE;
use super::*;
use crate::model::definition::Asks;
use crate::model::publication::Publication;
use crate::plan::{Origin, StepPlan, TimeoutPlan};
use crate::settings::{LimitSettings, Mode, Rule};

mod bounds;
mod said;
mod seen;

/// Of a definition `images/x` that lies in `dir`, and in no tree.
pub(crate) fn plan(dir: &Path) -> Plan {
    Plan {
        run: format!("test-{}", uuid::Uuid::new_v4()),
        at: jiff::Timestamp::UNIX_EPOCH,
        bundle: "images/x".into(),
        bundle_dir: dir.into(),
        family: "x".into(),
        image_name: "x-1".into(),
        cloud: "memory".into(),
        how: String::new(),
        site: None,
        larger: Default::default(),
        origin: Origin::Script("build.sh".into()),
        builder: None,
        ssh_user: "debian".into(),
        base_key: None,
        steps: Vec::new(),
        tidy: Vec::new(),
        smoke: None,
        publish: Publication {
            name: "x-1".into(),
            chosen: false,
            family: "x".into(),
            properties: BTreeMap::new(),
            set_by: std::collections::BTreeMap::new(),
            tags: Vec::new(),
            min_disk_gib: None,
            min_ram_mib: 0,
            visibility: crate::model::image::Visibility::Private,
            members: Vec::new(),
            protected: false,
            hidden: false,
        },
        templates: Vec::new(),
        timeouts: TimeoutPlan { boot: 5, ssh: 5, capture: 5, upload: 5, shutdown: 5, source: 5 },
        commit: None,
        ansible: None,
        notes: Vec::new(),
        asks: Asks { definition: dir.into(), ..Asks::default() },
        keep: None,
    }
}

fn wall(settings: Settings, env: &[(&str, &str)]) -> Wall {
    let path = [("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")];
    let env = path.iter().chain(env).map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Wall::new(Config { settings, env, home: None, hidden: Vec::new() })
}

async fn said(wall: &Wall, plan: &Plan) -> (Vec<String>, bool) {
    let unfit = wall.unfit(plan, &Cancel::default()).await.unwrap();
    (unfit.errors.iter().map(ToString::to_string).collect(), unfit.refuses)
}

#[tokio::test]
async fn the_environment_is_asked_for_and_allowed_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut plan = plan(dir.path());
    plan.asks.env = vec!["OS_CLOUD".into()];
    let env =
        [("OS_CLOUD", "mine"), ("OS_PASSWORD", "s3cret"), ("http_proxy", "http://u:s3cret@p")];
    let (refused, refuses) = said(&wall(Settings::default(), &env), &plan).await;
    assert!(
        refuses
            && refused[0].contains("asks for OS_CLOUD")
            && refused[0].contains("env: [OS_CLOUD]"),
        "{refused:?}"
    );
    let rule = Rule {
        definition: "images/*".into(),
        env: vec!["OS_CLOUD".into(), "OS_PASSWORD".into()],
        ..Rule::default()
    };
    let allowed = wall(Settings { allow: vec![rule], ..Settings::default() }, &env);
    assert!(said(&allowed, &plan).await.0.is_empty());
    let room = tempfile::tempdir().unwrap();
    let room = WorkDir { plan: &plan, dir: room.path(), read: Vec::new(), source: false };
    let cmd = Cmd::new("/usr/bin/env", Duration::from_secs(20)).env("OWN", "1");
    let cmd = allowed.around(cmd, &room, &Cancel::default()).await.unwrap();
    assert!(!format!("{cmd:?}").contains("mine"), "values are in no argument: {cmd:?}");
    let told = exec::output(&cmd, &Cancel::default()).await.unwrap();
    assert!(
        told.contains("OS_CLOUD=mine\n") && told.contains("OWN=1\n") && !told.contains("s3cret"),
        "{told}"
    );
    let lines = allowed.lines(&plan, &Cancel::default()).await.unwrap();
    assert!(
        lines
            .iter()
            .any(|(warning, text)| *warning && text.contains("http_proxy holds a password")),
        "{lines:?}"
    );
}
