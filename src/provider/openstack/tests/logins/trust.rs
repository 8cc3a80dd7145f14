//! Whose files are read: a tree's are passed over, and so are those that others can write.
use super::*;

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
