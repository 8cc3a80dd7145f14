//! What a run's first lines and refusals say of the wall, and who may allow what.
use super::*;

#[tokio::test]
async fn a_step_cannot_set_what_protects_the_factory() {
    let dir = tempfile::tempdir().unwrap();
    let step = |name: &str, variable: Option<&str>| StepPlan {
        name: "s".into(),
        action: StepKind::Ansible {
            playbook: "p.yml".into(),
            extra_vars: variable.into_iter().map(|v| (v.to_owned(), "x".into())).collect(),
            tags: Vec::new(),
            local: false,
            plain: false,
        },
        timeout: 5,
        retries: 0,
        env: [(name.to_owned(), "x".to_owned())].into(),
        sudo: false,
        fresh: None,
        key: None,
        outline: None,
    };
    let names = [
        "ANSIBLE_SSH_ARGS",
        "ANSIBLE_HOST_KEY_CHECKING",
        "IMAGE_FACTORY_RUN",
        "PATH",
        "LD_PRELOAD",
    ];
    let steps = names
        .iter()
        .map(|name| step(name, None))
        .chain([step("FINE", Some("ansible_ssh_common_args"))])
        .collect();
    let (said_of, refuses) =
        said(&wall(Settings::default(), &[]), &Plan { steps, ..plan(dir.path()) }).await;
    assert_eq!((said_of.len(), refuses), (6, false), "{said_of:#?}");
    let fine = ["ANSIBLE_CONFIG", "PYTHONPATH"].map(|name| step(name, Some("port"))).into();
    assert!(
        said(&wall(Settings::default(), &[]), &Plan { steps: fine, ..plan(dir.path()) })
            .await
            .0
            .is_empty()
    );
}

/// A definition of a stranger's would make an image of any file that the factory may read.
#[tokio::test]
async fn a_source_lies_in_the_tree_or_where_the_owner_says() {
    use crate::model::source::{ChecksumSource, Download};
    use crate::model::source_uri::SourceUri;
    let (tree, away) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (within, without, link) =
        (tree.path().join("disk"), away.path().join("disk"), tree.path().join("link"));
    for file in [&within, &without] {
        std::fs::write(file, "x").unwrap();
    }
    std::os::unix::fs::symlink(&without, &link).unwrap();
    let of = |from: &Path, list: Option<&Path>| {
        let sum = list.map(|path| ChecksumSource::List(SourceUri::File(path.into())));
        let origin = Origin::Url {
            wish: Download { from: SourceUri::File(from.into()), sum },
            format: None,
        };
        Plan { origin, ..plan(tree.path()) }
    };
    let strict = wall(Settings::default(), &[]);
    assert!(said(&strict, &of(&within, None)).await.0.is_empty());
    for plan in [
        of(&without, None),
        of(&link, None),
        of(&within, Some(&without)),
        of(&within.join("../../").join(&without), None),
    ] {
        let (refused, refuses) = said(&strict, &plan).await;
        assert!(
            refuses && refused.len() == 1 && refused[0].contains("outside the tree"),
            "{refused:?}"
        );
    }
    let open = wall(Settings { read_only: vec![away.path().into()], ..Settings::default() }, &[]);
    assert!(said(&open, &of(&link, Some(&without))).await.0.is_empty());
    let env = strict.config.env.clone();
    let hides = Wall::new(Config {
        settings: Settings::default(),
        env,
        home: None,
        hidden: vec![within.clone()],
    });
    assert_eq!(said(&hides, &of(&within, None)).await.0.len(), 1, "the store may lie in the tree");
}

/// Who builds behind a proxy learns why a machine does not reach its mirror.
#[tokio::test]
async fn a_proxy_that_machines_do_not_get_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let plan = plan(dir.path());
    let told = async |env: &[(&str, &str)], plan: &Plan| {
        let lines = wall(Settings { wall: Mode::Off, ..Settings::default() }, env)
            .lines(plan, &Cancel::default())
            .await
            .unwrap();
        lines
            .into_iter()
            .filter(|(_, text)| text.starts_with("machines are not told of "))
            .map(|(_, text)| text)
            .collect::<Vec<_>>()
    };
    let with_builder = Plan { builder: Some(example_machine()), ..plan.clone() };
    let behind = told(
        &[("http_proxy", "http://p:3128"), ("no_proxy", "a"), ("https_proxy", "")],
        &with_builder,
    )
    .await;
    assert!(behind.len() == 1 && behind[0].contains("of http_proxy: "), "{behind:?}");
    assert!(told(&[("no_proxy", "a")], &with_builder).await.is_empty());
    assert!(
        told(&[("http_proxy", "http://p:3128")], &Plan { builder: None, ..plan }).await.is_empty()
    );
}

fn example_machine() -> crate::plan::MachinePlan {
    crate::plan::MachinePlan {
        name: "builder".into(),
        cpus: 1,
        ram_mib: 1,
        disk_gib: None,
        flavor: None,
    }
}

/// A base that is built first was not validated with what the owner allows: its run asks.
#[tokio::test]
async fn plays_on_the_factory_are_the_owners_to_allow() {
    let dir = tempfile::tempdir().unwrap();
    let action = StepKind::Ansible {
        playbook: "p.yml".into(),
        extra_vars: Default::default(),
        tags: Vec::new(),
        local: true,
        plain: false,
    };
    let step = StepPlan {
        name: "s".into(),
        action,
        timeout: 5,
        retries: 0,
        env: BTreeMap::new(),
        sudo: false,
        fresh: None,
        key: None,
        outline: None,
    };
    let plan = Plan { steps: vec![step], ..plan(dir.path()) };
    let (refused, refuses) = said(&wall(Settings::default(), &[]), &plan).await;
    assert!(refuses && refused.len() == 1 && refused[0].contains("local: true"), "{refused:?}");
    let rule = Rule { definition: "images/x".into(), local: true, ..Rule::default() };
    let allowed = wall(Settings { allow: vec![rule], ..Settings::default() }, &[]);
    assert!(said(&allowed, &plan).await.0.is_empty());
}

/// `ANSIBLE_FORKS=50 image-factory build` did as if nothing had been said, without a word.
#[tokio::test]
async fn settings_of_ansible_that_do_not_arrive_are_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let action = StepKind::Ansible {
        playbook: "p.yml".into(),
        extra_vars: Default::default(),
        tags: Vec::new(),
        local: false,
        plain: false,
    };
    let step = StepPlan {
        name: "s".into(),
        action,
        timeout: 5,
        retries: 0,
        env: BTreeMap::new(),
        sudo: false,
        fresh: None,
        key: None,
        outline: None,
    };
    let env = [("ANSIBLE_FORKS", "50"), ("ANSIBLE_STDOUT_CALLBACK", "yaml"), ("OTHER", "x")];
    let lines = async |plan: &Plan| {
        wall(Settings { wall: Mode::Off, ..Settings::default() }, &env)
            .lines(plan, &Cancel::default())
            .await
            .unwrap()
    };
    let told = |lines: &[(bool, String)]| {
        lines
            .iter()
            .filter(|(warning, text)| {
                *warning && text.starts_with("ANSIBLE_FORKS, ANSIBLE_STDOUT_CALLBACK of")
            })
            .count()
    };
    let without = plan(dir.path());
    assert_eq!(told(&lines(&without).await), 0, "no playbook, no word");
    assert_eq!(told(&lines(&Plan { steps: vec![step], ..without }).await), 1);
}

#[tokio::test]
async fn a_name_does_not_make_a_definition_the_shipped_one() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("build.sh"), "#!/bin/sh\n").unwrap();
    let mut plan = plan(dir.path());
    plan.bundle = "os/debian-12".into();
    plan.asks.unwalled = true;
    plan.asks.env = vec!["MIRROR".into()];
    let env = [("MIRROR", "http://x")];
    let (refused, refuses) = said(&wall(Settings::default(), &env), &plan).await;
    assert_eq!((refused.len(), refuses), (2, true), "{refused:?}");
    assert!(
        refused[1].contains("build it anew if you changed it")
            && refused[1].contains("unwalled: true"),
        "{refused:?}"
    );
    plan.bundle_dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("os/debian-12");
    plan.asks.definition = plan.bundle_dir.clone();
    assert!(said(&wall(Settings::default(), &env), &plan).await.0.is_empty());
    plan.bundle = "os/another".into();
    assert!(said(&wall(Settings::default(), &env), &plan).await.1);
}

/// Two things refused are granted by one rule, which both findings name: two keys `allow` would be
/// an error.
#[tokio::test]
async fn all_that_is_refused_is_granted_by_one_rule() {
    let dir = tempfile::tempdir().unwrap();
    let action = StepKind::Ansible {
        playbook: "p.yml".into(),
        extra_vars: Default::default(),
        tags: Vec::new(),
        local: true,
        plain: false,
    };
    let step = StepPlan {
        name: "s".into(),
        action,
        timeout: 5,
        retries: 0,
        env: BTreeMap::new(),
        sudo: false,
        fresh: None,
        key: None,
        outline: None,
    };
    let mut plan = Plan { steps: vec![step], ..plan(dir.path()) };
    plan.asks.env = vec!["OS_CLOUD".into(), "A_TOKEN".into()];
    let files = vec![
        "/etc/image-factory/config.yml".into(),
        "/home/u/.config/image-factory/config.yml".into(),
    ];
    let settings = Settings { files, ..Settings::default() };
    let env = [("OS_CLOUD", "mine"), ("A_TOKEN", "x")];
    let (refused, _) = said(&wall(settings, &env), &plan).await;
    let rule = "`allow: [{definition: images/x, local: true, env: [OS_CLOUD, A_TOKEN]}]` into \
        /etc/image-factory/config.yml or /home/u/";
    assert!(
        refused.len() == 3 && refused.iter().all(|finding| finding.contains(rule)),
        "{refused:#?}"
    );
}

#[tokio::test]
async fn required_means_required() {
    let dir = tempfile::tempdir().unwrap();
    let required = Settings { wall: Mode::Required, ..Settings::default() };
    let env = BTreeMap::from([("PATH".to_owned(), dir.path().display().to_string())]);
    let without = Wall::new(Config { settings: required, env, home: None, hidden: Vec::new() });
    let (refused, refuses) = said(&without, &plan(dir.path())).await;
    assert!(refuses && refused[0].contains("bubblewrap is not installed"), "{refused:?}");
    assert!(!without.summary(&Cancel::default()).await.unwrap().0);
}
