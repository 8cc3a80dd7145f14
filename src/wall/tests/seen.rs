//! What is seen behind the wall: Ansible's home is not, links and certificates are.
use super::*;

/// In a virtual environment in a home, and as pip --user puts it: the home is not seen, and Ansible
/// runs.
#[tokio::test]
async fn ansible_runs_from_a_home_that_is_not_seen() {
    use std::process::Command;
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    std::fs::create_dir_all(home.join(".local/bin")).unwrap();
    std::fs::write(home.join("secret"), "s3cret").unwrap();
    let venv = home.join("venv");
    let made = Command::new("/usr/bin/python3")
        .args(["-m", "venv", "--without-pip", "--system-site-packages"])
        .arg(&venv)
        .status();
    assert!(made.unwrap().success());
    let script = std::fs::read_to_string("/usr/bin/ansible-playbook").unwrap();
    let body = script.split_once('\n').unwrap().1;
    let put = |path: PathBuf, python: &str| {
        std::fs::write(&path, format!("#!{python}\n{body}")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        path
    };
    let in_venv =
        put(venv.join("bin/ansible-playbook"), &venv.join("bin/python").display().to_string());
    let of_user = put(home.join(".local/bin/ansible-playbook"), "/usr/bin/python3");
    let plan = plan(dir.path());
    for program in [in_venv, of_user] {
        let path = format!("{}:/usr/bin:/bin", program.parent().unwrap().display());
        let config = Config {
            settings: Settings::default(),
            env: [("PATH".to_owned(), path)].into(),
            home: Some(home.clone()),
            hidden: Vec::new(),
        };
        let wall = Wall::new(config);
        let definition = tempfile::tempdir().unwrap();
        let plan =
            Plan { bundle_dir: definition.path().into(), asks: Asks::default(), ..plan.clone() };
        let room = tempfile::tempdir().unwrap();
        let room = WorkDir { plan: &plan, dir: room.path(), read: Vec::new(), source: false };
        let cmd = Cmd::new(ANSIBLE, Duration::from_secs(60)).arg("--version");
        let told = exec::output(
            &wall.around(cmd, &room, &Cancel::default()).await.unwrap(),
            &Cancel::default(),
        )
        .await
        .unwrap();
        assert!(told.contains("core") && told.contains(&program.display().to_string()), "{told}");
        let look = Cmd::new("/bin/sh", Duration::from_secs(20))
            .args(["-c".to_owned(), format!("cat {}/secret || echo unseen", home.display())]);
        let told = exec::output(
            &wall.around(look, &room, &Cancel::default()).await.unwrap(),
            &Cancel::default(),
        )
        .await
        .unwrap();
        assert_eq!(told, "unseen\n");
    }
}

/// A link in the place of a directory of the room would be followed when the next program's room is
/// made.
#[tokio::test]
async fn a_room_is_empty_for_each_program() {
    let (dir, scratch, away) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let plan = plan(dir.path());
    let wall = wall(Settings::default(), &[]);
    let at = scratch.path().join("room");
    std::fs::write(away.path().join("secret"), "s3cret").unwrap();
    let run = |script: String| {
        let room = WorkDir { plan: &plan, dir: &at, read: Vec::new(), source: false };
        let (wall, cancel) = (&wall, Cancel::default());
        async move {
            let cmd = Cmd::new("/bin/sh", Duration::from_secs(20)).args(["-c", &script]);
            exec::output(&wall.around(cmd, &room, &cancel).await.unwrap(), &cancel).await.unwrap()
        }
    };
    for name in ["tmp", "home"] {
        let away = away.path().display();
        run(format!(
            "cd ${{HOME%/home}} && mv {name} x && ln -s {away} {name} && ln -s {away} other"
        ))
        .await;
        let seen =
            run("cat /tmp/secret ~/secret 2>&1; ls ${HOME%/home}; touch /tmp/was-here ~/was-here"
                .to_owned())
            .await;
        assert!(!seen.contains("s3cret") && !seen.contains("other"), "{seen}");
    }
    assert!(!away.path().join("was-here").exists());
}

/// What a shell says behind the wall, in the definition's directory.
async fn shell(wall: &Wall, plan: &Plan, script: &str) -> String {
    let room = tempfile::tempdir().unwrap();
    let room = WorkDir { plan, dir: room.path(), read: Vec::new(), source: false };
    let cmd =
        Cmd::new("/bin/sh", Duration::from_secs(20)).args(["-c", script]).dir(&plan.bundle_dir);
    let cmd = wall.around(cmd, &room, &Cancel::default()).await.unwrap();
    exec::output(&cmd, &Cancel::default()).await.unwrap()
}

/// `current -> v2` beside a definition that has a link to `current`, or to what is in it.
#[tokio::test]
async fn a_link_that_leads_to_a_link_is_followed_behind_the_wall() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().canonicalize().unwrap();
    for path in ["images/x", "shared/v2/role", "shared/v2/target", "images/target/y"] {
        std::fs::create_dir_all(tree.join(path)).unwrap();
    }
    for path in ["shared/v2/f", "shared/v2/role/f", "images/target/y/secret"] {
        std::fs::write(tree.join(path), "seen\n").unwrap();
    }
    let links = [
        ("whole", "../../shared/current"),
        ("part", "../../shared/current/role"),
        ("half", "../../shared/images"),
    ];
    for (name, target) in links {
        symlink(target, tree.join("images/x").join(name)).unwrap();
    }
    symlink("v2", tree.join("shared/current")).unwrap();
    symlink("../images", tree.join("shared/images")).unwrap();
    let mut plan = plan(&tree.join("images/x"));
    plan.asks.tree = tree.clone();
    let said = shell(
        &wall(Settings::default(), &[]),
        &plan,
        "cat whole/f part/f; cat half/target/y/secret || echo hidden",
    )
    .await;
    assert_eq!(said, "seen\nseen\nhidden\n");
    std::fs::remove_file(tree.join("images/x/whole")).unwrap();
    let said =
        shell(&wall(Settings::default(), &[]), &plan, "cat part/f; ls ../../shared/current").await;
    assert_eq!(said, "seen\nrole\n");
}

#[tokio::test]
async fn certificates_that_the_environment_names_are_seen() {
    let (definition, away) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (file, certs) = (away.path().join("ca.pem"), away.path().join("certs"));
    std::fs::create_dir(&certs).unwrap();
    for path in [&file, &certs.join("a"), &away.path().join("secret")] {
        std::fs::write(path, "seen\n").unwrap();
    }
    let path = |path: &Path| path.display().to_string();
    let dirs = format!("/nonexistent:{}", path(&certs));
    let env = [
        ("SSL_CERT_FILE", path(&file)),
        ("SSL_CERT_DIR", dirs),
        ("CURL_CA_BUNDLE", path(&away.path().join("none"))),
    ];
    let env: Vec<(&str, &str)> = env.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let look = format!(
        "cat $SSL_CERT_FILE ${{SSL_CERT_DIR#*:}}/a; cat {}/secret || echo hidden",
        away.path().display()
    );
    assert_eq!(
        shell(&wall(Settings::default(), &env), &plan(definition.path()), &look).await,
        "seen\nseen\nhidden\n"
    );
    // A directory that holds what is hidden is none of certificates.
    let all = path(away.path());
    let hides = wall(Settings::default(), &[("SSL_CERT_DIR", &all)]);
    let hides = Wall { config: Config { hidden: vec![certs], ..hides.config }, ..hides };
    let look = format!("cat {all}/secret || echo hidden");
    assert_eq!(shell(&hides, &plan(definition.path()), &look).await, "hidden\n");
}

/// Whatever a playbook makes of it counts.
#[tokio::test]
async fn what_playbooks_see_besides_the_definition_is_known() {
    let home = tempfile::tempdir().unwrap();
    let certificate = home.path().join("ca.pem");
    std::fs::write(&certificate, "").unwrap();
    let env = [
        ("TZ", "UTC"),
        ("http_proxy", "http://p"),
        ("SSL_CERT_FILE", certificate.to_str().unwrap()),
        ("TERM", "xterm"),
        ("TOKEN", "s3cret"),
    ];
    let mut settings = Settings { read_only: vec!["/srv/all".into()], ..Settings::default() };
    settings.ansible.roles = vec!["/srv/roles".into()];
    settings.ansible.collections = vec!["/srv/collections".into()];
    let Wall { config, .. } = wall(settings, &env);
    let wall = Wall::new(Config { home: Some(home.path().into()), ..config });
    let seen = wall.seen(&Cancel::default()).await.unwrap();
    let names: Vec<&str> = seen.env.keys().map(String::as_str).collect();
    assert_eq!(names, ["PATH", "SSL_CERT_FILE", "TZ", "http_proxy"]);
    assert!(seen.ansible.0.is_some());
    assert!(seen.ansible.1.iter().any(|name| name.to_lowercase().starts_with("jinja2-")));
    let of_home = |path: &str| home.path().join(path);
    for path in [
        "/srv/all".into(),
        "/srv/roles".into(),
        "/srv/collections".into(),
        "/etc/ansible".into(),
        "/usr/share/ansible".into(),
        of_home(".ansible/roles"),
        of_home(".ansible/collections"),
        certificate,
    ] {
        assert!(seen.paths.contains(&path), "{}", path.display());
    }
}
