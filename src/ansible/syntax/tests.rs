//! What Ansible says of a playbook, as findings of ours.
use super::*;

fn bundle(tree: &Path) -> Bundle {
    let dir = tree.join("images/x");
    fs::create_dir_all(dir.join("ansible")).unwrap();
    fs::write(dir.join("build-vars.yml"), "bundle: {name: x, img_base: b}\n").unwrap();
    fs::write(dir.join("ansible/bootstrap.yml"), "- hosts: all\n").unwrap();
    bundle::load(tree, &dir).unwrap().bundle
}

fn said(lines: &[&str]) -> String {
    let tree = tempfile::tempdir().unwrap();
    let bundle = bundle(tree.path());
    let dir = real(&bundle.dir).display().to_string();
    let lines: Vec<String> = lines.iter().map(|line| line.replace("DIR", &dir)).collect();
    match verdict(&bundle, Path::new("ansible/bootstrap.yml"), &lines, "exit code 4") {
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
    assert_eq!(said(&old), "images/x/ansible/bootstrap.yml:2:3: error: 'x' is not a valid attribute for a Play");
    let new = ["[WARNING]: x", "[ERROR]: the role 'r' was not found in DIR/ansible/roles:/x", "Origin: DIR/ansible/bootstrap.yml:2:11"];
    assert_eq!(said(&new), "images/x/ansible/bootstrap.yml:2:11: error: the role 'r' was not found in ansible/roles:/x");
    let missing = ["ERROR! Unable to retrieve file contents", "Could not find or access 'DIR/ansible/no.yml' on the Ansible Controller."];
    let expected = "images/x/ansible/bootstrap.yml: error: Could not find or access 'ansible/no.yml' on the Ansible Controller.";
    assert_eq!(said(&missing), expected);
}

#[test]
fn what_is_no_finding_is_told_as_not_known() {
    assert_eq!(said(&["bwrap: loopback: Failed"]), "unknown: behind the wall, without network: bwrap: loopback: Failed");
    assert!(said(&["ERROR! Attempting to decrypt but no vault secrets found"]).starts_with("unknown: it needs the password"));
    assert!(said(&["ERROR! The vault password file /room/.vault_pass was not found"]).starts_with("unknown: it needs the password"));
    assert_eq!(said(&["Traceback", "MemoryError"]), "unknown: exit code 4: MemoryError");
    assert_eq!(said(&[]), "unknown: exit code 4");
}

#[test]
fn what_both_found_is_said_once() {
    let place = |line| Place { file: "a.yml".into(), line, column: 3 };
    let ours = || vec![Diagnostic::warning(place(3), "`include` is gone").hint("h"), Diagnostic::error(place(9), "`sudo` is no word")];
    let merged = |line, message: &str| {
        let mut all = ours();
        merge(&mut all, Diagnostic::error(place(line), message));
        all
    };
    assert_eq!(merged(3, "no.yml could not be found").len(), 3, "another reason on the line of a warning");
    assert_eq!(merged(9, "removed").len(), 2);
    let same_line = merged(3, "include is removed");
    assert!(same_line.len() == 2 && same_line[0].is_error() && same_line[0].hint.is_some());
    assert_eq!(merged(8, "conflicting action statements: shell, sudo").len(), 2, "Ansible names the task's first line");
    assert_eq!(merged(0, "Could not find x").len(), 3);
}
