//! clouds.yaml and what lies beside it: what is laid over what, and what is wrong with it.
use super::*;

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
    let long = format!("# {}\n", "x".repeat(1 << 20));
    let error = of_files(&[("clouds.yaml", &long)], "dev", &[]).unwrap_err();
    assert!(error.to_string().contains("is longer than 1 MiB"), "{error}");
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
