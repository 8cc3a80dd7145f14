//! What Ansible says of a playbook, as findings of ours.
use super::*;

fn bundle(tree: &Path) -> Definition {
    let dir = tree.join("images/x");
    fs::create_dir_all(dir.join("ansible")).unwrap();
    fs::write(dir.join("build-vars.yml"), "bundle: {name: x, img_base: b}\n").unwrap();
    fs::write(dir.join("ansible/bootstrap.yml"), "- hosts: all\n").unwrap();
    crate::frontend::load(tree, &dir).unwrap().bundle
}

fn said(lines: &[&str]) -> String {
    said_of("", lines)
}

/// `cfg`: the definition's ansible.cfg.
fn said_of(cfg: &str, lines: &[&str]) -> String {
    let tree = tempfile::tempdir().unwrap();
    let bundle = bundle(tree.path());
    fs::write(bundle.dir.join("ansible.cfg"), cfg).unwrap();
    let dir = real(&bundle.dir).display().to_string();
    let lines: Vec<String> = lines.iter().map(|line| line.replace("DIR", &dir)).collect();
    match verdict((&bundle, &Env::new()), Path::new("ansible/bootstrap.yml"), &lines, "exit code 4")
    {
        Verdict::Wrong(finding) => Diagnostic { hint: None, ..finding }.to_string(),
        Verdict::Unknown(why) => format!("unknown: {why}"),
        other => format!("{other:?}"),
    }
}

#[test]
fn what_ansible_refuses_is_told_with_its_place_in_the_tree() {
    let old = [
        "ERROR! 'x' is not a valid attribute for a Play",
        "",
        "The error appears to be in 'DIR/ansible/bootstrap.yml': line 2, column 3, but may",
    ];
    assert_eq!(
        said(&old),
        "images/x/ansible/bootstrap.yml:2:3: error: 'x' is not a valid attribute for a Play"
    );
    let new = [
        "[WARNING]: x",
        "[ERROR]: the role 'r' was not found in DIR/ansible/roles:/x",
        "Origin: DIR/ansible/bootstrap.yml:2:11",
    ];
    assert_eq!(
        said(&new),
        "images/x/ansible/bootstrap.yml:2:11: error: the role 'r' was not found in ansible/roles:/x"
    );
    let missing = [
        "ERROR! Unable to retrieve file contents",
        "Could not find or access 'DIR/ansible/no.yml' on the Ansible Controller.",
    ];
    let expected = "images/x/ansible/bootstrap.yml: error: Could not find or access \
        'ansible/no.yml' on the Ansible Controller.";
    assert_eq!(said(&missing), expected);
}

#[test]
fn what_ansible_says_of_its_settings_is_told_with_their_file() {
    let says = "ERROR: Invalid type for configuration option setting: DEFAULT_FORKS (from \
        DIR/ansible.cfg): invalid literal 'abc'";
    let expected = "images/x/ansible.cfg: error: Invalid type for configuration option setting: \
        DEFAULT_FORKS (from ansible.cfg): invalid literal 'abc'";
    assert_eq!(said(&[says]), expected);
    assert_eq!(
        said(&["ERROR: Error reading config file (DIR/a b.cfg): no headers."]),
        "images/x/a b.cfg: error: Error reading config file (a b.cfg): no headers."
    );
    assert!(
        said(&["ERROR: Error reading config file (/etc/ansible/ansible.cfg): no headers."])
            .starts_with("unknown: ")
    );
}

/// Of a word that a setting cannot be Ansible names no file: it was a note, and `validate` ended
/// well.
#[test]
fn a_value_is_told_where_it_stands() {
    let cfg = "[defaults]\nforks = 'many'\n# x\ngathering: smrt\n";
    let of = |lines: &[&str]| said_of(cfg, lines);
    let old = "ERROR: Invalid value \"smrt\" for configuration option \"setting: DEFAULT_GATHERING \
        \", valid values are: smart";
    assert_eq!(of(&[old]).split(" error: ").next().unwrap(), "images/x/ansible.cfg:4:1:");
    let trace = [
        "Traceback (most recent call last):",
        "ansible.errors.AnsibleOptionsError: Invalid value 'smrt' for config 'DEFAULT_GATHERING'.",
    ];
    assert_eq!(
        of(&trace),
        "images/x/ansible.cfg:4:1: error: Invalid value 'smrt' for config 'DEFAULT_GATHERING'."
    );
    let old = "ERROR: Invalid type for setting: DEFAULT_FORKS (from DIR/ansible.cfg): invalid \
        literal for int() with base 10: 'many'";
    assert!(of(&[old]).starts_with(
        "images/x/ansible.cfg:2:1: error: Invalid type for setting: \
        DEFAULT_FORKS (from ansible.cfg)"
    ));
    let new = "ansible.errors.AnsibleOptionsError: Config 'DEFAULT_FORKS' from 'DIR/ansible.cfg' \
        has an invalid value: Invalid value provided \
        for 'integer': 'many'";
    assert!(
        of(&[new]).starts_with(
            "images/x/ansible.cfg:2:1: error: Config 'DEFAULT_FORKS' from 'ansible.cfg'"
        )
    );
    let twice = "ERROR: Error reading config file (DIR/ansible.cfg): While reading from '<string>' \
        [line  3]: option 'forks' already exists";
    assert!(
        of(&[twice]).starts_with(
            "images/x/ansible.cfg:3:1: error: Error reading config file (ansible.cfg)"
        )
    );
    let headless = [
        "ERROR: Error reading config file (DIR/ansible.cfg): File contains no section headers.",
        "file: '<string>', line: 1",
    ];
    assert!(of(&headless).starts_with("images/x/ansible.cfg:1:1: error: "));
    // Of /etc/ansible/ansible.cfg, or of the step's environment.
    assert!(
        of(&["ERROR: Invalid value \"other\" for configuration option \"setting: X \", valid \
        values are: a"])
        .starts_with("unknown: ")
    );
}

/// While Ansible read, a file was another for a moment: it is not known what was found sound.
#[test]
fn what_was_written_meanwhile_is_not_remembered() {
    let tree = tempfile::tempdir().unwrap();
    let bundle = bundle(tree.path());
    let memory = tempfile::tempdir().unwrap();
    let config = crate::wall::Config {
        settings: Default::default(),
        env: Default::default(),
        home: None,
        hidden: Vec::new(),
    };
    let wall = Wall::new(config);
    let checks = Checks {
        at_hand: wall.at_hand(),
        wall: &wall,
        version: "1".into(),
        scratch: tree.path(),
        memory: Some(memory.path().into()),
    };
    let jobs = checks.jobs(&bundle);
    let file = bundle.dir.join("ansible/bootstrap.yml");
    let text = fs::read(&file).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    fs::write(&file, "- hosts: local\n").unwrap();
    fs::write(&file, text).unwrap();
    checks.remember(&jobs);
    assert!(!checks.remembers(&jobs[0]));
    let jobs = checks.jobs(&bundle);
    checks.remember(&jobs);
    assert!(checks.remembers(&jobs[0]));
}

#[test]
fn what_is_no_finding_is_told_as_not_known() {
    assert_eq!(
        said(&["bwrap: loopback: Failed"]),
        "unknown: behind the wall, without network: bwrap: loopback: Failed"
    );
    assert!(
        said(&["ERROR! Attempting to decrypt but no vault secrets found"])
            .starts_with("unknown: it needs the password")
    );
    assert!(
        said(&["ERROR! The vault password file /room/.vault_pass was not found"])
            .starts_with("unknown: it needs the password")
    );
    assert_eq!(said(&["Traceback", "MemoryError"]), "unknown: exit code 4: MemoryError");
    assert_eq!(said(&[]), "unknown: exit code 4");
}

#[test]
fn what_both_found_is_said_once() {
    let place = |line| Location { file: "a.yml".into(), line, column: 3 };
    let ours = || {
        vec![
            Diagnostic::warning(place(3), "`include` is gone").hint("h"),
            Diagnostic::error(place(9), "`sudo` is no word"),
        ]
    };
    let merged = |line, message: &str| {
        let mut all = ours();
        merge(&mut all, Diagnostic::error(place(line), message));
        all
    };
    assert_eq!(
        merged(3, "no.yml could not be found").len(),
        3,
        "another reason on the line of a warning"
    );
    assert_eq!(merged(9, "removed").len(), 2);
    let same_line = merged(3, "include is removed");
    assert!(same_line.len() == 2 && same_line[0].is_error() && same_line[0].hint.is_some());
    assert_eq!(
        merged(8, "conflicting action statements: shell, sudo").len(),
        2,
        "Ansible names the task's first line"
    );
    assert_eq!(merged(0, "Could not find x").len(), 3);
}
