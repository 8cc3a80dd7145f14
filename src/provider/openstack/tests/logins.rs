//! clouds.yaml and `OS_*`.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::super::login::{Domain, Login, LoginError, Method, Places, Who, login};

mod files;
mod trust;

fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn at(config: &[&Path]) -> Places {
    Places { config: config.iter().map(PathBuf::from).collect(), ..Places::default() }
}

/// Files of a directory, and the login of a cloud in them.
fn of_files(
    files: &[(&str, &str)],
    cloud: &str,
    variables: &[(&str, &str)],
) -> Result<Login, LoginError> {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    login(Some(cloud), &env(variables), &at(&[Path::new("/nowhere"), dir.path()]))
}

const LEAST: &[(&str, &str)] = &[
    ("OS_AUTH_URL", "https://k:5000"),
    ("OS_USERNAME", "u"),
    ("OS_PASSWORD", "p"),
    ("OS_PROJECT_NAME", "t"),
];

fn of_env(more: &[(&str, &str)]) -> Result<Login, LoginError> {
    login(None, &env(&[LEAST, more].concat()), &Places::default())
}

#[test]
fn the_environment_says_it_all() {
    let login = of_env(&[]).unwrap();
    assert_eq!(
        (login.name.as_str(), login.auth_url.as_str(), login.interface.join(" ").as_str()),
        ("https://k:5000/v3", "https://k:5000/v3", "public")
    );
    assert_eq!(
        login.project,
        Some(Who::Name { name: "t".into(), domain: Domain::Id("default".into()) })
    );
    assert!(login.warnings.is_empty());

    let more = [
        ("OS_USER_DOMAIN_ID", "d1"),
        ("OS_ENDPOINT_TYPE", "internalURL"),
        ("OS_INSECURE", "true"),
        ("OS_REGION_NAME", ""),
        ("OS_COMPUTE_ENDPOINT_OVERRIDE", "https://n/v2.1"),
        ("OS_AUTH_TYPE", "v3password"),
    ];
    let login = of_env(&more).unwrap();
    let Method::Password { user, .. } = &login.method else { panic!() };
    assert_eq!(*user, Who::Name { name: "u".into(), domain: Domain::Id("d1".into()) });
    assert_eq!((login.interface.join(" ").as_str(), login.region.as_deref()), ("internal", None));
    assert!(login.tls.insecure && login.warnings[0].contains("not checked"));
    assert_eq!(login.services["compute"].url.as_ref().unwrap().as_str(), "https://n/v2.1");

    let old = env(&[
        ("OS_AUTH_URL", "http://k/identity/v3/"),
        ("OS_USERNAME", "u"),
        ("OS_PASSWORD", "p"),
        ("OS_TENANT_NAME", "t"),
    ]);
    assert_eq!(login_ok(&old).auth_url.as_str(), "http://k/identity/v3");
}

fn login_ok(env: &BTreeMap<String, String>) -> Login {
    login(None, env, &Places::default()).unwrap()
}

#[test]
fn application_credentials_and_tokens_are_inferred() {
    let credential = env(&[
        ("OS_AUTH_URL", "https://k/v3"),
        ("OS_APPLICATION_CREDENTIAL_ID", "c"),
        ("OS_APPLICATION_CREDENTIAL_SECRET", "s"),
    ]);
    let login = login_ok(&credential);
    assert!(
        matches!(&login.method, Method::AppCredential { id: Some(id), .. } if id == "c")
            && login.project.is_none()
    );
    let token = env(&[("OS_AUTH_URL", "https://k/v3"), ("OS_TOKEN", "t"), ("OS_PROJECT_ID", "p")]);
    assert!(matches!(login_ok(&token).method, Method::Token(_)));
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let error = login(
        None,
        &env(&[("OS_AUTH_URL", "http://k/v2.0"), ("OS_INTERFACE", "outside"), ("OS_USERNAME", "")]),
        &Places::default(),
    )
    .unwrap_err();
    let told = error.to_string();
    for text in [
        "Identity v2.0",
        "`outside`",
        "`username` (OS_USERNAME) is missing",
        "`password` (OS_PASSWORD)",
        "`project_name`",
    ] {
        assert!(told.contains(text), "{text}: {told}");
    }
    assert!(
        of_env(&[("OS_SYSTEM_SCOPE", "all")]).unwrap_err().to_string().contains("system_scope")
    );
    assert!(
        of_env(&[("OS_AUTH_TYPE", "v3oidcpassword")])
            .unwrap_err()
            .to_string()
            .contains("`oidcpassword` is not supported")
    );
    assert!(of_env(&[("OS_AUTH_URL", "not a url")]).unwrap_err().to_string().contains("no URL"));
    let told = of_env(&[("OS_AUTH_URL", "https://me:hush@k")]).unwrap_err().to_string();
    assert!(told.contains("has a login in it") && !told.contains("hush"), "{told}");
}

/// One round of mending was needed for each, and `user` led to `user_id`.
#[test]
fn everything_that_is_wrong_with_an_entry_is_told_at_once() {
    let auth = "{auth_url: 'https://k', user: u, Passwort: hush, project: p, extra: x}";
    let files = format!(
        "clouds:\n  mine:\n    auth: {auth}\n    regions: r1\n    interface: outside\n    \
            auth_plugin: x\n"
    );
    let error = of_files(&[("clouds.yaml", &files)], "mine", &[]).unwrap_err().to_string();
    for told in [
        "`auth` has `user`, which is no part of a login: did you mean `username`?",
        "`auth` has `Passwort`, which is no part of a login: did you mean `password`?",
        "did you mean `project_name`?",
        "`auth` has `extra`, which is no part of a login: it belongs beside `auth`",
        "`regions` is no list",
        "`outside` is not one of",
        "`auth_plugin` is passed over",
    ] {
        assert!(error.contains(told), "{told}: {error}");
    }
    assert!(!error.contains("missing") && !error.contains("hush"), "{error}");
    let no_map = of_files(
        &[("clouds.yaml", "clouds: {mine: {auth: [x], interface: outside}}")],
        "mine",
        &[],
    )
    .unwrap_err()
    .to_string();
    assert!(
        no_map.contains("`auth` is no map")
            && no_map.contains("`outside`")
            && !no_map.contains("missing"),
        "{no_map}"
    );
    let texts = "clouds: {mine: {auth: {auth_url: 'https://{k', username: u, password: [x], \
        project_name: ~, domain_id: ~}}}";
    let texts = of_files(&[("clouds.yaml", texts)], "mine", &[]).unwrap_err().to_string();
    for told in [
        "`auth_url`: a brace",
        "`password` is no text",
        "`project_name` has no value",
        "`domain_id` has no value",
    ] {
        assert!(texts.contains(told), "{told}: {texts}");
    }
    assert!(!texts.contains("missing"), "{texts}");
}

/// The words led to variables that are not taken for an entry.
#[test]
fn what_an_entry_lacks_is_not_looked_for_in_the_environment() {
    let set = [("OS_AUTH_URL", "https://k"), ("OS_PROJECT_NAME", "t"), ("OS_USERNAME", "u")];
    let error =
        of_files(&[("clouds.yaml", "clouds: {mine: {auth: {}, auth_type: odd}}")], "mine", &set)
            .unwrap_err();
    assert_eq!(error.wrong[0], "`auth_url` is missing");
    assert!(error.wrong[1].starts_with("`auth_type`: `odd` is not supported"), "{error}");
    assert!(error.hint.as_ref().unwrap().contains("other OS_* are not taken for it"), "{error:?}");
    let error = of_files(
        &[("clouds.yaml", "clouds: {mine: {auth: {auth_url: 'https://u:p@k'}}}")],
        "mine",
        &set,
    )
    .unwrap_err();
    assert!(
        error.wrong[0]
            .starts_with("`auth_url` has a login in it; `username` and `password` are the places"),
        "{error}"
    );
    assert_eq!(
        error.wrong[1..],
        [
            "`username` is missing",
            "`password` (OS_PASSWORD) is missing",
            "`project_name` is missing"
        ]
    );
}

/// openstacksdk passes `region_name` over beside an empty list, and takes whichever is the first of
/// the catalog.
#[test]
fn an_empty_list_of_regions_is_none() {
    let entry = |rest: &str| {
        format!(
            "clouds:\n  mine:\n    auth: {{username: u, password: p, project_id: i}}\n    profile: \
                v\n    {rest}\n"
        )
    };
    let of = |regions: &str, rest: &str| {
        let public = format!(
            "public-clouds: {{v: {{auth: {{auth_url: 'https://k'}}, regions: {regions}, \
                region_name: r0}}}}"
        );
        of_files(&[("clouds.yaml", &entry(rest)), ("clouds-public.yaml", &public)], "mine", &[])
            .unwrap()
            .region
    };
    assert_eq!(of("[r9]", "regions: []\n    region_name: r1").as_deref(), Some("r1"));
    assert_eq!(of("[]", "verify: true").as_deref(), Some("r0"));
    assert_eq!(of("[r9]", "regions: []"), None);
}
