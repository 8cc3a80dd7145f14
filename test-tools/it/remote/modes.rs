//! Permissions of what is sent.
use super::*;

/// One checkout has a umask of 077, the other of 002: the same arrives.
#[tokio::test]
async fn whatever_a_umask_made_of_a_file_it_arrives_as_git_has_it() {
    let sshd = Sshd::start();
    let remote = connect(&sshd).await;
    let at = |name: &str| sshd.dir.path().join(name);
    let mode = |name: &str| at(name).metadata().unwrap().permissions().mode() & 0o7777;
    for (umask, mine) in [("077", 0o600), ("002", 0o664)] {
        let src = at(&format!("src-{umask}"));
        std::fs::create_dir(&src).unwrap();
        for (name, more) in [("plain", 0), ("run", 0o100)] {
            std::fs::write(src.join(name), "x").unwrap();
            std::fs::set_permissions(src.join(name), PermissionsExt::from_mode(mine | more))
                .unwrap();
        }
        std::fs::set_permissions(&src, PermissionsExt::from_mode(mine | 0o100)).unwrap();
        let put = async |src: &Path, dest: &str, mode| {
            let dest = at(dest).display().to_string();
            let transfer = Transfer { mode, ..soon(src, &dest, false) };
            remote.put(&transfer, Box::new(|_, _| {})).await.unwrap();
        };
        put(&src.join("plain"), "file", None).await;
        put(&src.join("run"), "program", None).await;
        put(&src.join("plain"), "secret", Some(0o600)).await;
        put(&src, &format!("tree-{umask}"), None).await;
        put(&src, &format!("secrets-{umask}"), Some(0o640)).await;
        let in_tree = |tree: &str, name: &str| mode(&format!("{tree}-{umask}{name}"));
        assert_eq!(
            [mode("file"), mode("program"), mode("secret")].map(|m| format!("{m:o}")),
            ["644", "755", "600"],
            "umask {umask}"
        );
        assert_eq!(
            ["", "/plain", "/run"].map(|name| format!("{:o}", in_tree("tree", name))),
            ["755", "644", "755"],
            "umask {umask}"
        );
        assert_eq!(
            ["", "/plain", "/run"].map(|name| format!("{:o}", in_tree("secrets", name))),
            ["755", "640", "640"],
            "umask {umask}"
        );
    }
}
