//! Lists, ledgers and logins: files of lines that a stranger, a crash or a person made.
use image_factory::testing::fetch::find_sum;
use image_factory::testing::provider::ledger::Ledger;
use image_factory::testing::provider::openstack::login::{self, Places};

/// A checksum that is found stands in the list, word for word; Windows' line ends change nothing.
pub fn checksums(data: &[u8]) {
    let text = String::from_utf8_lossy(data).into_owned();
    let found = super::in_time(|| find_sum(&text, "x.qcow2", "SHA256SUMS"));
    if let Ok(digest) = &found {
        assert!([64, 128].contains(&digest.hex.len()), "{digest}");
        assert!(text.to_ascii_lowercase().contains(&digest.hex), "{digest} is not in the list");
    }
    if !text.contains('\r') {
        assert_eq!(find_sum(&text.replace('\n', "\r\n"), "x.qcow2", "SHA256SUMS"), found);
    }
}

/// What is owned after a crash is owned after the next one too. A ledger that is refused is left as
/// it was.
pub fn ledger(data: &[u8]) {
    let path = super::scratch().join("ledger");
    std::fs::write(&path, data).unwrap();
    match super::in_time(|| Ledger::open(&path)) {
        Ok(ledger) => {
            let owned = ledger.entries();
            drop(ledger);
            assert_eq!(
                Ledger::open(&path)
                    .map_err(|e| e.to_string())
                    .expect("it was read before")
                    .entries(),
                owned
            );
        }
        Err(_) => assert_eq!(
            std::fs::read(&path).unwrap(),
            data,
            "a ledger that cannot be read was changed"
        ),
    }
}

const SECRET: &str = "sesame-8c1f";

/// Whatever stands below it, nothing that is said of a clouds.yaml holds its password. (`data`
/// alone has none.)
pub fn clouds_yaml(data: &[u8]) {
    let path = super::scratch().join("clouds.yaml");
    let head = format!(
        "clouds:\n  x:\n    auth: {{auth_url: 'http://keystone:5000/v3', username: u, password: \
            {SECRET}}}\n"
    );
    for text in [[head.as_bytes(), data].concat(), data.to_vec()] {
        std::fs::write(&path, text).unwrap();
        let env = [("OS_CLIENT_CONFIG_FILE".to_owned(), path.display().to_string())].into();
        let said = match super::in_time(|| login::login(Some("x"), &env, &Places::default())) {
            Ok(login) => login.warnings.join("\n"),
            Err(e) => format!("{e} {e:?}"),
        };
        assert!(!said.contains(SECRET), "the password was told: {said}");
    }
}
