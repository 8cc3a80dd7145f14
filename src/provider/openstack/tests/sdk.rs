//! clouds.yaml and `OS_*` as openstacksdk reads them: what `test-tools/sdk-corpus` made of each
//! case is compared with what we make of it. `make sdk-corpus` makes it anew.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use reqwest::Url;
use serde_json::{Value, json};

use super::super::login::{Domain, Login, LoginError, Method, Places, Who, login};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/test-tools/sdk-corpus/golden.jsonl");

fn who(who: &Who) -> Value {
    match who {
        Who::Id(id) => json!({ "id": id }),
        Who::Name { name, domain: Domain::Id(id) } => {
            json!({ "name": name, "domain": { "id": id } })
        }
        Who::Name { name, domain: Domain::Name(domain) } => {
            json!({ "name": name, "domain": { "name": domain } })
        }
    }
}

/// What counts of a login, as the corpus writes it.
fn effective(login: &Login) -> Value {
    let mut out = match &login.method {
        Method::Password { user, password } => {
            json!({ "kind": "password", "user": who(user), "secret": password.expose() })
        }
        Method::Token(token) => json!({ "kind": "token", "secret": token.expose() }),
        Method::AppCredential { id, name, secret } => {
            let mut out =
                json!({ "kind": "applicationcredential", "id": id, "secret": secret.expose() });
            if let Some((name, user)) = name {
                (out["name"], out["user"]) = (json!(name), who(user));
            }
            out
        }
    };
    if out["kind"] != "applicationcredential" {
        out["project"] = login.project.as_ref().map_or(Value::Null, who);
    }
    out["auth_url"] = json!(login.auth_url);
    out["region"] = json!(login.region);
    out["interface"] = json!(login.interface);
    out["verify"] = match (&login.tls.cacert, login.tls.insecure) {
        (_, true) => json!(false),
        (Some(file), false) => json!(file),
        (None, false) => json!(true),
    };
    if let Some((cert, key)) = &login.tls.client {
        out["cert"] = json!([cert, key]);
    }
    for (service, special) in &login.services {
        for (key, value) in [
            ("url", json!(special.url)),
            ("region", json!(special.region)),
            ("interface", json!(special.interface)),
        ] {
            if !value.is_null() {
                out["services"][service][key] = value;
            }
        }
    }
    out
}

/// URLs are compared as URLs, Keystone's with its version; a service that is as all others is no
/// special one.
fn normal(mut of_sdk: Value) -> Value {
    let url = |text: &str| Url::parse(text).map_or_else(|_| text.to_owned(), Url::into);
    if let Some(text) = of_sdk["auth_url"].as_str() {
        let text = text.trim_end_matches('/');
        let whole = if text.ends_with("/v3") { text.to_owned() } else { format!("{text}/v3") };
        of_sdk["auth_url"] = json!(url(&whole));
    }
    let (region, interface) = (of_sdk["region"].clone(), of_sdk["interface"].clone());
    if let Some(services) = of_sdk.get_mut("services").and_then(Value::as_object_mut) {
        for special in services.values_mut() {
            if let Some(text) = special["url"].as_str() {
                special["url"] = json!(url(text));
            }
            let same = |key: &str, value: &Value| {
                value.is_null()
                    || key == "region" && *value == region
                    || key == "interface" && *value == interface
            };
            special.as_object_mut().unwrap().retain(|key, value| !same(key, value));
        }
        services.retain(|_, special| special.as_object().is_some_and(|s| !s.is_empty()));
        if services.is_empty() {
            of_sdk.as_object_mut().unwrap().remove("services");
        }
    }
    of_sdk
}

fn ours(case: &Value) -> (Result<Login, LoginError>, String) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in case["files"].as_object().unwrap() {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text.as_str().unwrap()).unwrap();
    }
    let root = dir.path().display().to_string();
    let env: BTreeMap<String, String> = case["env"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(k, v)| (k.clone(), v.as_str().unwrap().replace('@', &root)))
        .collect();
    let places = Places {
        here: Some(dir.path().join("here")),
        config: ["config", "etc"].map(|d| dir.path().join(d)).into(),
        home: Some(PathBuf::from("/home/somebody")),
        ..Places::default()
    };
    (login(case["cloud"].as_str(), &env, &places), root)
}

/// What became of a case, or what is wrong with it.
fn compared(case: &Value) -> Result<&'static str, String> {
    let (made, root) = ours(case);
    let (of_sdk, expected) = (&case["sdk"], &case["ours"]);
    let refused = |e: &LoginError| e.to_string().replace(&root, "@");
    if let Some(words) = expected["refuses"].as_str() {
        return match &made {
            Err(e) if refused(e).contains(words) && of_sdk.get("refuses").is_some() => {
                Ok("refused by both")
            }
            Err(e) if refused(e).contains(words) => {
                Ok("refused by us, with the reason in the corpus")
            }
            Err(e) => Err(format!("refused, but not because of `{words}`: {}", refused(e))),
            Ok(login) => Err(format!("is to be refused ({words}), and is {}", effective(login))),
        };
    }
    if of_sdk.get("refuses").is_some() {
        return Ok(if made.is_err() { "refused by both" } else { "refused by the SDK alone" });
    }
    let login = made.map_err(|e| format!("refused: {}\n  sdk  {of_sdk}", refused(&e)))?;
    let mut wanted = of_sdk.clone();
    if let Some(changes) = expected["as"].as_object() {
        changes.iter().for_each(|(key, value)| wanted[key] = value.clone());
    }
    let (is, wanted): (Value, Value) = (
        serde_json::from_str(&normal(effective(&login)).to_string().replace(&root, "@")).unwrap(),
        normal(wanted),
    );
    if is != wanted {
        return Err(format!("differs\n  ours {is}\n  sdk  {wanted}"));
    }
    Ok(if expected.is_null() { "equal" } else { "as written, where YAML 1.1 changes text" })
}

#[test]
fn settings_are_read_as_openstacksdk_reads_them() {
    let golden = std::fs::read_to_string(Path::new(GOLDEN)).unwrap();
    let (mut counts, mut differing) = (BTreeMap::<&str, usize>::new(), Vec::new());
    for line in golden.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        match compared(&case) {
            Ok(what) => *counts.entry(what).or_default() += 1,
            Err(what) => differing.push(format!("{}: {what}", case["id"].as_str().unwrap())),
        }
    }
    let of = |what: &str| counts.get(what).copied().unwrap_or_default();
    let all: usize = counts.values().sum::<usize>() + differing.len();
    println!("{all} compared: {counts:#?}, differing: {}", differing.len());
    assert!(differing.is_empty(), "{} differ:\n{}", differing.len(), differing.join("\n"));
    let (equal, as_written) = (of("equal"), of("as written, where YAML 1.1 changes text"));
    let accepted = equal + as_written + of("refused by us, with the reason in the corpus");
    assert!(
        all >= 200 && (equal + as_written) * 100 >= 95 * accepted,
        "{equal} equal and {as_written} as written of {accepted}"
    );
}
