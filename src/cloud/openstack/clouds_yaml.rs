//! clouds.yaml, with the secrets of secure.yaml and the profiles of clouds-public.yaml beside it.
//! Source: the configuration guide of openstacksdk.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_yaml::{Mapping, Value};

use super::login::LoginError;

/// One cloud's settings, its `auth` flattened into it.
#[derive(Default)]
pub struct Entry(Mapping);

impl Entry {
    /// A value as text: a password of digits is text all the same. Empty is absent.
    pub fn get(&self, key: &str) -> Option<String> {
        let of = |map: &Mapping| match map.get(key)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(bool) => Some(bool.to_string()),
            _ => None,
        };
        let auth = self.0.get("auth").and_then(Value::as_mapping);
        auth.and_then(of).or_else(|| of(&self.0)).filter(|text| !text.is_empty())
    }
}

/// The entry of a cloud, and the files that were read.
pub fn find(name: &str, env: &BTreeMap<&str, &str>, dirs: &[PathBuf]) -> Result<(Entry, String), LoginError> {
    let wrong = |what: String, hint: Option<String>| LoginError { cloud: name.to_owned(), wrong: vec![what], hint };
    let file = |variable: &str, stem: &str, dirs: &[PathBuf]| match env.get(variable) {
        Some(path) => Some(PathBuf::from(path)),
        None => dirs.iter().flat_map(|d| ["yaml", "yml"].map(|x| d.join(format!("{stem}.{x}")))).find(|p| p.is_file()),
    };
    let Some(clouds) = file("OS_CLIENT_CONFIG_FILE", "clouds", dirs) else {
        let places: Vec<String> = dirs.iter().map(|d| d.display().to_string()).collect();
        return Err(wrong(
            "there is no clouds.yaml".into(),
            Some(format!("it is looked for in {}, or OS_CLIENT_CONFIG_FILE names it", places.join(", "))),
        ));
    };
    let read = |path: &Path, key: &str| -> Result<Mapping, LoginError> {
        let text = std::fs::read_to_string(path).map_err(|e| wrong(format!("cannot read {}: {e}", path.display()), None))?;
        // The parser's words may hold a line of the file, and a secret with it: only the place is told.
        let yaml: Value = serde_yaml::from_str(&text).map_err(|e| {
            let at = e.location().map_or(String::new(), |l| format!(":{}:{}", l.line(), l.column()));
            wrong(format!("{}{at} is not YAML", path.display()), None)
        })?;
        Ok(yaml.get(key).and_then(Value::as_mapping).cloned().unwrap_or_default())
    };
    let all = read(&clouds, "clouds")?;
    let mut files = clouds.display().to_string();
    let Some(mut entry) = all.get(name).and_then(Value::as_mapping).cloned() else {
        let names: Vec<&str> = all.keys().filter_map(Value::as_str).collect();
        let near = names.iter().find(|n| strsim::jaro_winkler(n, name) > 0.8);
        let hint = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are: {}", names.join(", ")),
        };
        return Err(wrong(format!("{files} has no such cloud"), Some(hint)));
    };
    // The other two are looked for beside it first.
    let dirs: Vec<PathBuf> = clouds.parent().map(Path::to_owned).into_iter().chain(dirs.iter().cloned()).collect();
    if let Some(secure) = file("OS_CLIENT_SECURE_FILE", "secure", &dirs) {
        if let Some(secrets) = read(&secure, "clouds")?.get(name).and_then(Value::as_mapping) {
            merge(&mut entry, secrets);
        }
        files = format!("{files} and {}", secure.display());
    }
    if let Some(profile) = entry.get("profile").or_else(|| entry.get("cloud")).and_then(Value::as_str).map(str::to_owned) {
        let public = file("OS_CLIENT_VENDOR_FILE", "clouds-public", &dirs);
        let vendors = public.as_deref().map_or_else(|| Ok(Mapping::new()), |path| read(path, "public-clouds"))?;
        let Some(vendor) = vendors.get(&profile).and_then(Value::as_mapping) else {
            return Err(wrong(format!("its profile `{profile}` is in no clouds-public.yaml"), None));
        };
        let mut whole = vendor.clone();
        merge(&mut whole, &entry);
        entry = whole;
    }
    Ok((Entry(entry), files))
}

/// Lays one map over another, deep down.
fn merge(under: &mut Mapping, over: &Mapping) {
    for (key, value) in over {
        match (under.get_mut(key), value) {
            (Some(Value::Mapping(below)), Value::Mapping(above)) => merge(below, above),
            _ => drop(under.insert(key.clone(), value.clone())),
        }
    }
}
