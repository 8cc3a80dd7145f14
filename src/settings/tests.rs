//! Files of settings, sound and unsound, and where they may lie.
use std::os::unix::fs::PermissionsExt;

use super::*;

fn me() -> u32 {
    // SAFETY: plain system call without arguments.
    unsafe { libc::getuid() }
}

fn file(dir: &Path, name: &str, text: &str) -> PathBuf {
    let file = dir.join(name);
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    file
}

fn findings(text: &str) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let file = file(dir.path(), "config.yml", text);
    let found = load(&[file], None, me()).unwrap_err();
    found.iter().map(|d| d.to_string().replace(&format!("{}/", dir.path().display()), "")).collect()
}

#[test]
fn a_later_file_wins_key_by_key() {
    let dir = tempfile::tempdir().unwrap();
    let all = "wall: required\nread_only: [/srv/tools]\nlimits: {memory: 4G, cpu: 1h, processes: \
        50, memory_together: 2G}\n\
               allow:\n- {definition: 'images/*', local: true}\n- {definition: os/x, tree: /t, \
               unwalled: true, env: [OS_CLOUD]}\n";
    let (first, second) =
        (file(dir.path(), "a", all), file(dir.path(), "b", "wall: auto\nansible: {roles: [/r]}\n"));
    let settings =
        load(&[first.clone(), dir.path().join("none"), second.clone()], None, me()).unwrap();
    assert_eq!(settings.wall, Mode::Auto);
    assert_eq!(settings.read_only, [PathBuf::from("/srv/tools")]);
    assert_eq!(settings.ansible.roles, [PathBuf::from("/r")]);
    let limits = settings.limits;
    assert_eq!(
        (limits.memory_mib, limits.processes, limits.together_mib),
        (Some(4096), Some(50), Some(2048))
    );
    assert_eq!((&settings.from["wall"], &settings.from["allow"]), (&second, &first));
    let here = Asks { tree: "/t".into(), ..Asks::default() };
    let there = Asks { tree: "/u".into(), ..Asks::default() };
    assert!(settings.allows_local("images/x", &there) && !settings.allows_local("os/x", &there));
    assert!(settings.allows_unwalled("os/x", &here) && !settings.allows_unwalled("os/x", &there));
    assert!(
        settings.allows_env("os/x", &here, "OS_CLOUD")
            && !settings.allows_env("os/x", &here, "OS_PASSWORD")
    );
}

#[test]
fn everything_wrong_is_said_with_its_place() {
    let found = findings(
        "wal: off\nwall: on\nread_only: tools\nallow:\n- {local: true}\n- {definition: x, unwaled: \
            true}\nread_only: [tools]\n",
    );
    let text = found.join("\n");
    for part in [
        "config.yml:1:1: error: unknown key `wal`\n    hint: did you mean `wall`?",
        "config.yml:2:7: error: `wall` must be one of auto, required, off",
        "config.yml:3:12: error: `read_only` must be a list",
        "`allow[1]` has no `definition`",
        "did you mean `unwalled`?",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(findings("read_only: [tools]").join("").contains("must be an absolute path"));
    let told = findings("wall: on\nread_only: yes\nallow: [{definition: '{{ x }}'}, {local: 7}]\n")
        .join("\n");
    assert!(told.contains("`wall` must be one of") && !told.contains("warning"), "{told}");
    assert!(findings("- x").join("").contains("must be a map"));
    assert!(load(&[], None, me()).unwrap() == Settings::default());
    assert!(findings("limits: {processes: 4}").join("").contains("a whole number from 16 up"));
}

#[test]
fn an_accelerator_is_chosen_left_out_or_named() {
    let dir = tempfile::tempdir().unwrap();
    let of = |text: &str| {
        let text = format!("ansible: {{accelerator: {text}}}\n");
        load(&[file(dir.path(), "config.yml", &text)], None, me()).unwrap()
    };
    assert_eq!(Settings::default().ansible.accelerator, Accelerator::Auto);
    assert_eq!(of("auto").ansible.accelerator, Accelerator::Auto);
    assert_eq!(of("off").ansible.accelerator, Accelerator::Off);
    let named = of("/opt/none");
    assert_eq!(named.ansible.accelerator, Accelerator::At("/opt/none".into()));
    assert_eq!(named.missing(), [("ansible.accelerator", Path::new("/opt/none"))]);
    let told = findings("ansible: {accelerator: mitogen}\n").join("\n");
    assert!(told.contains("must be auto, off or an absolute path, not `mitogen`"), "{told}");
}

/// A tree is the same by the name of a link that leads to it.
#[test]
fn a_tree_is_known_by_each_of_its_names() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, link) = (dir.path().join("tree"), dir.path().join("link"));
    fs::create_dir(&tree).unwrap();
    std::os::unix::fs::symlink("tree", &link).unwrap();
    for (named, used) in [(&link, &tree), (&tree, &link), (&link, &link)] {
        let text =
            format!("allow: [{{definition: images/x, local: true, tree: {}}}]\n", named.display());
        let settings = load(&[file(dir.path(), "config.yml", &text)], None, me()).unwrap();
        let asks = |tree: &Path| Asks { tree: tree.into(), ..Asks::default() };
        assert!(
            settings.allows_local("images/x", &asks(used)),
            "{} {}",
            named.display(),
            used.display()
        );
        assert!(
            !settings.allows_local("images/x", &asks(dir.path()))
                && !settings.allow[0].is_for_nothing()
        );
    }
    let gone = Rule { tree: Some(dir.path().join("gone")), ..Rule::default() };
    assert!(gone.is_for_nothing());
}

/// What is to be written is one line of YAML that is in force as it stands.
#[test]
fn what_to_write_is_believed_as_it_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("a.yml"), dir.path().join("b.yml"));
    let none = load(&[first.clone(), second.clone()], None, me()).unwrap();
    let how = none.how_to_add("allow", "{definition: images/x, local: true, env: [A]}");
    assert!(how.ends_with(&format!("into {} or {}", first.display(), second.display())), "{how}");
    let text = how.split('`').nth(1).unwrap();
    let written = load(&[file(dir.path(), "a.yml", text), second], None, me()).unwrap();
    assert!(
        written.allows_env("images/x", &Asks::default(), "A")
            && written.allows_local("images/x", &Asks::default())
    );
    assert_eq!(
        written.how_to_add("allow", "{}"),
        format!("add `{{}}` to the list `allow` in {}", first.display())
    );
}

#[test]
fn nothing_in_a_tree_and_nothing_that_others_can_write_is_believed() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    fs::create_dir(&tree).unwrap();
    let inside = file(&tree, "config.yml", "wall: off\n");
    let link = dir.path().join("link.yml");
    std::os::unix::fs::symlink(&inside, &link).unwrap();
    for file in [&inside, &link] {
        let found = load(std::slice::from_ref(file), Some(&tree), me()).unwrap_err();
        assert!(found[0].message.contains("lie in the factory tree"), "{found:?}");
    }
    let open = file(dir.path(), "open.yml", "wall: off\n");
    fs::set_permissions(&open, PermissionsExt::from_mode(0o666)).unwrap();
    assert!(load(&[open], None, me()).unwrap_err()[0].message.contains("anybody can write to"));
    let shared = dir.path().join("shared");
    fs::create_dir(&shared).unwrap();
    let within = file(&shared, "config.yml", "wall: off\n");
    fs::set_permissions(&shared, PermissionsExt::from_mode(0o777)).unwrap();
    assert!(
        load(std::slice::from_ref(&within), None, me()).unwrap_err()[0]
            .message
            .contains("anybody can write to")
    );
    // Above the file's own directory, and where a link on the way lies.
    let deep = shared.join("a/b");
    fs::create_dir_all(&deep).unwrap();
    let deep = file(&deep, "config.yml", "wall: off\n");
    let hop = dir.path().join("hop.yml");
    std::os::unix::fs::symlink(shared.join("a/b/../b/config.yml"), &hop).unwrap();
    for file in [&deep, &hop] {
        let found = load(std::slice::from_ref(file), None, me()).unwrap_err();
        assert!(
            found[0].message.contains("anybody can write to")
                && found[0].message.contains("shared"),
            "{found:?}"
        );
        assert!(found[0].hint.as_ref().unwrap().contains("chmod go-w"), "{found:?}");
    }
    // As /tmp: nobody can replace what is ours there.
    fs::set_permissions(&shared, PermissionsExt::from_mode(0o1777)).unwrap();
    for file in [&within, &deep, &hop] {
        assert_eq!(load(std::slice::from_ref(file), None, me()).unwrap().wall, Mode::Off);
    }
    let another = file(dir.path(), "another.yml", "wall: off\n");
    // Whoever is neither root nor the owner.
    if me() != 0 {
        assert!(load(&[another], None, me() + 1).is_err());
    }
}

#[test]
fn a_star_stays_in_its_directory() {
    for (pattern, text, fits) in [
        ("images/*", "images/x", true),
        ("images/*", "images/x/y", false),
        ("*", "images/x", false),
        ("images/a*c", "images/abc", true),
        ("images/a*c", "images/abd", false),
        ("images/x", "images/xy", false),
        ("*/*", "os/é", true),
    ] {
        assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
    }
}

/// `doctor` said `ok` to each of these.
#[test]
fn what_does_nothing_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let there = dir.path().join("there");
    fs::create_dir(&there).unwrap();
    let (there, gone) = (there.display(), dir.path().join("gone").display().to_string());
    let text = format!(
        "allow: [{{definition: images/a}}, {{definition: images/b, local: true, tree: {gone}}}, \
            {{definition: images/c, env: [A]}}]\n\
         read_only: [{there}, {gone}]\nansible: {{vault_password_file: {gone}, roles: [{there}], \
         collections: [{gone}]}}\n"
    );
    let settings = load(&[file(dir.path(), "config.yml", &text)], None, me()).unwrap();
    let idle: Vec<bool> = settings.allow.iter().map(|rule| rule.idle().is_some()).collect();
    assert_eq!(idle, [true, true, false]);
    let missing: Vec<&str> = settings.missing().into_iter().map(|(key, _)| key).collect();
    assert_eq!(missing, ["ansible.vault_password_file", "ansible.collections", "read_only"]);
}

/// `validate` refused `local: true` without a word on what to write.
#[test]
fn how_to_allow_plays_on_the_factory_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let none = load(&[dir.path().join("a.yml")], None, me()).unwrap();
    let how = none.how_to_allow_local("images/my bundle", &Asks::default()).unwrap();
    assert!(
        how.contains("{definition: 'images/my bundle', local: true}") && how.contains("a.yml"),
        "{how}"
    );
    let allowed =
        load(&[file(dir.path(), "a.yml", how.split('`').nth(1).unwrap())], None, me()).unwrap();
    assert_eq!(allowed.how_to_allow_local("images/my bundle", &Asks::default()), None);
}

#[test]
fn what_checkpoints_may_take_is_a_size_or_off() {
    let dir = tempfile::tempdir().unwrap();
    let of = |text: &str| {
        let file = file(dir.path(), "c", text);
        load(&[file], None, me()).unwrap().cache_mib
    };
    assert_eq!(
        (of("cache: 5G\n"), of("cache: off\n"), of("wall: auto\n")),
        (Some(5120), Some(0), None)
    );
    for wrong in ["cache: 0\n", "cache: many\n", "cache: [1G]\n"] {
        assert!(findings(wrong)[0].contains("cache"), "{wrong}");
    }
}
