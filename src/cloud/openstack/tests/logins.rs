//! clouds.yaml and `OS_*`.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::super::login::{Domain, Login, LoginError, Method, Places, Who, login};

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

const CLOUDS: &str = "clouds:\n  dev:\n    profile: vendor\n    auth: {username: u, project_id: \
    p1}\n    verify: false\n    image_endpoint_override: http://g:9292\n  other: {}\n";
const PUBLIC: &str = "public-clouds:\n  vendor:\n    region_name: r1\n    auth: \
    {auth_url: https://vendor/v3, username: nobody, user_domain_name: dom}\n";

#[test]
fn profiles_and_secrets_are_laid_over_one_another() {
    let secure = "clouds:\n  dev:\n    auth: {password: 12345}\n";
    let login = of_files(
        &[("clouds.yaml", CLOUDS), ("clouds-public.yaml", PUBLIC), ("secure.yaml", secure)],
        "dev",
        &[],
    )
    .unwrap();
    assert_eq!(
        (login.name.as_str(), login.auth_url.as_str(), login.region.as_deref()),
        ("dev", "https://vendor/v3", Some("r1"))
    );
    let Method::Password { user, password } = &login.method else { panic!() };
    assert_eq!(*user, Who::Name { name: "u".into(), domain: Domain::Name("dom".into()) });
    assert_eq!(password.expose(), "12345");
    assert!(login.tls.insecure && login.services.contains_key("image"));
}

#[test]
fn secrets_lie_beside_the_file_that_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let clouds = "clouds:\n  dev:\n    auth_type: v3applicationcredential\n    auth: \
        {auth_url: http://k, application_credential_id: c}\n";
    std::fs::write(dir.path().join("clouds.yaml"), clouds).unwrap();
    let named = dir.path().join("clouds.yaml").display().to_string();
    let variables = env(&[("OS_CLIENT_CONFIG_FILE", &named)]);
    let wrong = login(Some("dev"), &variables, &Places::default()).unwrap_err().wrong;
    assert_eq!(
        wrong,
        ["`application_credential_secret` (OS_APPLICATION_CREDENTIAL_SECRET) is missing"]
    );
    std::fs::write(
        dir.path().join("secure.yaml"),
        "clouds:\n  dev:\n    auth: {application_credential_secret: s}\n",
    )
    .unwrap();
    let login = login(Some("dev"), &variables, &Places::default()).unwrap();
    assert!(matches!(login.method, Method::AppCredential { id: Some(id), .. } if id == "c"));
}

#[test]
fn the_environment_fills_in_secrets_and_nothing_of_another_cloud() {
    let files = [("clouds.yml", CLOUDS), ("clouds-public.yaml", PUBLIC)];
    let variables = [
        ("OS_PASSWORD", "from-env"),
        ("OS_USERNAME", "another"),
        ("OS_PROJECT_NAME", "another"),
        ("OS_AUTH_URL", "http://x"),
    ];
    let login = of_files(&files, "dev", &variables).unwrap();
    let Method::Password { user, password } = &login.method else { panic!() };
    assert!(
        matches!(user, Who::Name { name, .. } if name == "u") && password.expose() == "from-env"
    );
    assert_eq!(login.project, Some(Who::Id("p1".into())));
}

#[test]
fn what_is_wrong_with_the_files_is_told_with_a_hint() {
    let missing = login(Some("dev"), &env(&[]), &at(&[Path::new("/nowhere")])).unwrap_err();
    assert!(
        missing.to_string().contains("no clouds.yaml")
            && missing.hint.unwrap().contains("/nowhere")
    );
    let near = of_files(&[("clouds.yaml", CLOUDS)], "devv", &[]).unwrap_err();
    assert_eq!(near.hint.as_deref(), Some("did you mean `dev`?"));
    let broken =
        of_files(&[("clouds.yaml", "clouds: [\n  s3cr3t: {")], "dev", &[]).unwrap_err().to_string();
    assert!(broken.contains("is not YAML") && !broken.contains("s3cr3t"), "{broken}");
    assert!(
        of_files(&[("clouds.yaml", CLOUDS)], "dev", &[])
            .unwrap_err()
            .to_string()
            .contains("profile `vendor`")
    );
}

#[test]
fn what_is_wrong_with_a_value_is_told_with_its_place() {
    let entry = |rest: &str| {
        format!(
            "clouds:\n  dev:\n    auth: {{auth_url: 'https://k', username: u, password: hush, \
                project_id: p}}\n    {rest}\n"
        )
    };
    for (rest, told) in [
        ("interface: outside", "`outside` is not one of public, internal, admin ("),
        ("verify: 'false'", "`verify` is true or false without quotes"),
        (
            "profile: https://v.example/x",
            "fetches this profile from https://v.example/.well-known/openstack/api",
        ),
        ("cacert: ~no-such-user/ca.pem", "whom this machine does not know"),
    ] {
        let error = of_files(&[("clouds.yaml", &entry(rest))], "dev", &[]).unwrap_err().to_string();
        assert!(
            error.contains(told) && error.contains("clouds.yaml:4:") && !error.contains("hush"),
            "{error}"
        );
    }
    // Another cloud's region, and a secret that lies elsewhere.
    let other =
        of_files(&[("clouds.yaml", &entry("regions: [a, b]"))], "dev", &[("OS_REGION_NAME", "c")])
            .unwrap_err()
            .to_string();
    assert!(
        other.contains("OS_REGION_NAME is `c`, which is no region of the entry; there are: a, b"),
        "{other}"
    );
    let said = of_files(&[("clouds.yaml", &entry("insecure: '1'"))], "dev", &[]).unwrap();
    assert!(
        !said.tls.insecure && said.warnings[0].contains("certificates are checked"),
        "{:?}",
        said.warnings
    );
}

#[test]
fn envvars_is_the_environment_and_no_entry() {
    let variables = env(&[LEAST, &[("OS_CLOUD", "envvars"), ("OS_REGION_NAME", "r1")]].concat());
    let login = login(Some("envvars"), &variables, &Places::default()).unwrap();
    assert_eq!((login.name.as_str(), login.region.as_deref()), ("https://k:5000/v3", Some("r1")));
    let both = of_files(&[("clouds.yaml", "clouds:\n  envvars: {}\n")], "envvars", LEAST)
        .unwrap_err()
        .to_string();
    assert!(both.contains("has an entry `envvars`, which is the name of what OS_* say"), "{both}");
}

#[test]
fn a_file_of_aliases_is_no_bomb() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for n in 1..12 {
        bomb += &format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(", "));
    }
    bomb += "clouds: {dev: *a11}\n";
    assert!(
        of_files(&[("clouds.yaml", &bomb)], "dev", &[])
            .unwrap_err()
            .to_string()
            .contains("is not YAML as openstacksdk reads it")
    );
}

#[test]
fn a_file_that_says_nothing_is_no_error() {
    let clouds = (
        "clouds.yaml",
        "clouds: {mine: {verify: false, cacert: /nope, auth: {auth_url: 'https://k', username: u, \
            password: p, project_id: i}}}\n",
    );
    for secure in ["", "# later\n", "---\n"] {
        let login = of_files(&[clouds, ("secure.yaml", secure)], "mine", &[]).unwrap();
        assert!(
            login.tls.insecure && login.tls.cacert.is_none(),
            "a file that is not looked at need not be there"
        );
    }
    let none = of_files(&[("clouds.yaml", "# later\n")], "mine", &[]).unwrap_err();
    assert_eq!(none.hint.as_deref(), Some("it has none: entries stand below `clouds:`"));
    let many: String = (0..50).map(|n| format!("  c{n}: {{}}\n")).collect();
    let hint = of_files(&[("clouds.yaml", &format!("clouds:\n{many}"))], "zzz", &[])
        .unwrap_err()
        .hint
        .unwrap();
    assert!(hint.ends_with("c19 and 30 more"), "{hint}");
}

/// What people get wrong in a clouds.yaml is told without a word of the line, which may hold a
/// password.
#[test]
fn what_is_no_yaml_is_told_with_its_likely_cause() {
    for (auth, cause) in [
        ("\tpassword: hush", "a tab indents"),
        ("      password: @hush", "begins with such a character"),
        ("      password: %hush", "begins with such a character"),
        ("      password: hush: hush", "has `: ` in it"),
        ("      password: 'hush' hush", "keys of one map"),
    ] {
        let error = of_files(
            &[(
                "clouds.yaml",
                &format!("clouds:\n  mine:\n    auth:\n      username: u\n{auth}\n"),
            )],
            "mine",
            &[],
        )
        .unwrap_err();
        let hint = error.hint.clone().unwrap_or_default();
        assert!(
            error.to_string().contains("clouds.yaml:") && hint.contains(cause),
            "{auth}: {error} {hint}"
        );
        assert!(!error.to_string().contains("hush") && !hint.contains("hush"), "{error} {hint}");
    }
    for url in ["u:hush@k/v3", "u:hush@k", "https//u:hush@k"] {
        let entry = format!(
            "clouds: {{mine: {{auth: {{auth_url: '{url}', username: u, password: p, project_id: \
                i}}}}}}\n"
        );
        let error = of_files(&[("clouds.yaml", &entry)], "mine", &[]).unwrap_err().to_string();
        assert!(error.contains("has a login in it") && !error.contains("hush"), "{error}");
    }
}

const TRAP: &str =
    "clouds:\n  mine:\n    auth: {auth_url: 'http://trap', username: u, project_id: p}\n";
const TRUE: &str =
    "clouds:\n  mine:\n    auth: {auth_url: 'https://true', username: u, project_id: p}\n";
const HUSH: &str = "clouds:\n  mine:\n    auth: {password: hush}\n";

/// `here/` and `config/`, as the current directory and the one below the home.
fn two(here: &[(&str, &str)], config: &[(&str, &str)]) -> (tempfile::TempDir, Places) {
    let dir = tempfile::tempdir().unwrap();
    for (name, files) in [("here", here), ("config", config)] {
        std::fs::create_dir(dir.path().join(name)).unwrap();
        for (file, text) in files {
            std::fs::write(dir.path().join(name).join(file), text).unwrap();
        }
    }
    let (here, config) = (dir.path().join("here"), vec![dir.path().join("config")]);
    (dir, Places { here: Some(here), config, ..Places::default() })
}

fn url(places: &Places, variables: &[(&str, &str)]) -> Result<String, LoginError> {
    login(Some("mine"), &env(variables), places).map(|l| l.auth_url.to_string())
}

#[test]
fn a_file_of_a_tree_is_passed_over_unless_it_is_named() {
    let (dir, mut places) =
        two(&[("clouds.yaml", TRAP)], &[("clouds.yaml", TRUE), ("secure.yaml", HUSH)]);
    places.distrusted = vec![dir.path().join("here")];
    let found = login(Some("mine"), &env(&[]), &places).unwrap();
    assert_eq!(found.auth_url.as_str(), "https://true/v3");
    assert!(
        found.warnings[0].contains("is not read") && found.warnings[0].contains("--clouds-file"),
        "{:?}",
        found.warnings
    );
    let file = dir.path().join("here/clouds.yaml").display().to_string();
    let named = [("OS_CLIENT_CONFIG_FILE", file.as_str()), ("OS_PASSWORD", "asked-for")];
    assert_eq!(url(&places, &named).unwrap(), "http://trap/v3");

    // A link in or out of the tree, a tree above, and nothing else there is.
    let config = dir.path().join("config/clouds.yaml");
    std::fs::remove_file(&config).unwrap();
    std::os::unix::fs::symlink(dir.path().join("here/clouds.yaml"), &config).unwrap();
    let none = url(&places, &[("OS_PASSWORD", "p")]).unwrap_err();
    assert!(
        none.to_string().contains("no clouds.yaml") && none.hint.unwrap().contains("is not read")
    );
    places.distrusted = vec![dir.path().to_owned()];
    assert!(url(&places, &[("OS_PASSWORD", "p")]).is_err());

    // A current directory around a tree: not what lies in it, but what lies below, as ~/.config
    // does.
    let (dir, mut places) =
        two(&[("clouds.yaml", TRAP)], &[("clouds.yaml", TRUE), ("secure.yaml", HUSH)]);
    places.around = true;
    std::fs::rename(dir.path().join("config"), dir.path().join("here/config")).unwrap();
    places.config = vec![dir.path().join("here/config")];
    assert_eq!(url(&places, &[]).unwrap(), "https://true/v3");
}

#[test]
fn a_secret_goes_with_the_file_it_lies_beside() {
    let (dir, places) =
        two(&[("clouds.yaml", TRAP)], &[("clouds.yaml", TRUE), ("secure.yaml", HUSH)]);
    let wrong = url(&places, &[]).unwrap_err();
    assert_eq!(wrong.wrong, ["`password` (OS_PASSWORD) is missing"]);
    let secure = dir.path().join("config/secure.yaml").display().to_string();
    assert!(wrong.hint.unwrap().contains("config/secure.yaml is not used"));
    assert_eq!(url(&places, &[("OS_CLIENT_SECURE_FILE", &secure)]).unwrap(), "http://trap/v3");
    // The other way round: a profile, or a secure.yaml with an address, of another directory.
    let profile = "public-clouds:\n  v:\n    auth: {auth_url: 'http://trap'}\n";
    let mine = "clouds:\n  mine:\n    profile: v\n    auth: {username: u, project_id: p, password: \
        hush}\n";
    let (_dir, places) =
        two(&[("clouds-public.yaml", profile), ("secure.yaml", TRAP)], &[("clouds.yaml", mine)]);
    assert!(
        url(&places, &[])
            .unwrap_err()
            .to_string()
            .contains("profile `v` is in no clouds-public.yaml beside")
    );
    let (_dir, places) =
        two(&[("secure.yaml", TRAP)], &[("clouds.yaml", TRUE), ("secure.yaml", HUSH)]);
    assert_eq!(url(&places, &[]).unwrap(), "https://true/v3");
}

#[test]
fn a_file_that_others_can_write_is_passed_over() {
    use std::os::unix::fs::PermissionsExt;
    let open = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap()
    };
    let files = (&[("clouds.yaml", TRAP)][..], &[("clouds.yaml", TRUE), ("secure.yaml", HUSH)][..]);
    let (dir, places) = two(files.0, files.1);
    open(&dir.path().join("here/clouds.yaml"), 0o666);
    assert_eq!(url(&places, &[]).unwrap(), "https://true/v3");
    let (dir, places) = two(files.0, files.1);
    open(&dir.path().join("here"), 0o777);
    assert_eq!(url(&places, &[]).unwrap(), "https://true/v3");
    let (dir, places) = two(files.0, files.1);
    if std::os::unix::fs::chown(dir.path().join("here/clouds.yaml"), Some(12345), None).is_ok() {
        assert_eq!(url(&places, &[]).unwrap(), "https://true/v3");
    }
}
