//! clouds.yaml, with the secrets of secure.yaml and the profiles of clouds-public.yaml beside it.
//! Source: the configuration guide of openstacksdk.
//!
//! A file says to whom a password is sent, so that it is read only where its owner is whom we work for: not in a factory tree
//! (others write there), nor from a directory that another user may write to; and a secret goes with the file it lies
//! beside. What is named explicitly is read in any case.
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_yaml::{Mapping, Value};

use super::login::LoginError;
use crate::durable;

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

/// Where clouds.yaml is looked for, unless OS_CLIENT_CONFIG_FILE names it.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// The current directory, which anybody may have made.
    pub here: Option<PathBuf>,
    /// It holds a factory tree, or is in one repository with it: what lies right in it is not read.
    pub around: bool,
    /// `~/.config/openstack`, `/etc/openstack`
    pub config: Vec<PathBuf>,
    /// Directories that others write to, factory trees above all: nothing is read below them.
    pub distrusted: Vec<PathBuf>,
}

impl Places {
    fn dirs(&self) -> impl Iterator<Item = &PathBuf> {
        self.here.iter().chain(&self.config)
    }

    /// Why the file is not to be read.
    fn distrusts(&self, file: &Path) -> Option<String> {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let dir = file.parent().map(real).unwrap_or_default();
        let trees: Vec<PathBuf> = self.distrusted.iter().map(|tree| real(tree)).collect();
        if let Some(tree) = trees.iter().find(|t| dir.starts_with(t) || real(file).starts_with(t)) {
            return Some(format!("it lies in the factory tree {}", tree.display()));
        }
        let (Ok(meta), Ok(around)) = (std::fs::metadata(file), std::fs::metadata(&dir)) else { return None };
        // SAFETY: plain system call without arguments.
        let me = unsafe { libc::geteuid() };
        let is_here = self.here.as_deref().is_some_and(|here| real(here) == dir);
        if is_here && self.around {
            return Some("it lies beside a factory tree".to_owned());
        }
        if is_here && ![0, me].contains(&meta.uid()) {
            return Some(format!("it belongs to user {}", meta.uid()));
        }
        let sticky = around.mode() & 0o1000 != 0;
        let open = meta.mode() & 0o002 != 0 || around.mode() & 0o002 != 0 && !sticky;
        open.then(|| "anybody may write to it".to_owned())
    }
}

/// What there is of a cloud.
pub struct Found {
    pub entry: Entry,
    /// Those that were read, for people.
    pub files: String,
    /// Of files that were passed over, and have an entry of that name.
    pub warnings: Vec<String>,
}

/// The entry of a cloud.
pub fn find(name: &str, env: &BTreeMap<&str, &str>, places: &Places) -> Result<Found, LoginError> {
    let wrong = |what: String, hint: Option<String>| LoginError { cloud: name.to_owned(), wrong: vec![what], hint };
    let mut warnings = Vec::new();
    let Some(clouds) = clouds_yaml(name, env, places, &mut warnings) else {
        let dirs: Vec<String> = places.dirs().map(|d| d.display().to_string()).collect();
        let looked = format!("it is looked for in {}; --clouds-file or OS_CLIENT_CONFIG_FILE names it", dirs.join(", "));
        let hint = warnings.into_iter().chain([looked]).collect::<Vec<_>>().join("; ");
        return Err(wrong("there is no clouds.yaml".into(), Some(hint)));
    };
    // The other two lie beside it: a secret goes nowhere that another file says.
    let beside = |variable: &str, stem: &str| match env.get(variable) {
        Some(path) => Some(PathBuf::from(path)),
        None => named(clouds.parent().unwrap_or(Path::new(".")), stem),
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
        let hint = std::iter::once(hint).chain(warnings).collect::<Vec<_>>().join("; ");
        return Err(wrong(format!("{files} has no such cloud"), Some(hint)));
    };
    if let Some(secure) = beside("OS_CLIENT_SECURE_FILE", "secure") {
        if let Some(secrets) = read(&secure, "clouds")?.get(name).and_then(Value::as_mapping) {
            merge(&mut entry, secrets);
        }
        files = format!("{files} and {}", secure.display());
    }
    if let Some(profile) = entry.get("profile").or_else(|| entry.get("cloud")).and_then(Value::as_str).map(str::to_owned) {
        let public = beside("OS_CLIENT_VENDOR_FILE", "clouds-public");
        let vendors = public.as_deref().map_or_else(|| Ok(Mapping::new()), |path| read(path, "public-clouds"))?;
        let Some(vendor) = vendors.get(&profile).and_then(Value::as_mapping) else {
            let text = format!("its profile `{profile}` is in no clouds-public.yaml beside {}", clouds.display());
            return Err(wrong(text, Some("OS_CLIENT_VENDOR_FILE names one that lies elsewhere".into())));
        };
        let mut whole = vendor.clone();
        merge(&mut whole, &entry);
        entry = whole;
    }
    Ok(Found { entry: Entry(entry), files, warnings })
}

/// The clouds.yaml that counts. What is passed over on the way is warned of if it has the cloud that is asked for.
fn clouds_yaml(name: &str, env: &BTreeMap<&str, &str>, places: &Places, warnings: &mut Vec<String>) -> Option<PathBuf> {
    if let Some(path) = env.get("OS_CLIENT_CONFIG_FILE") {
        return Some(PathBuf::from(path));
    }
    for file in places.dirs().filter_map(|dir| named(dir, "clouds")) {
        let Some(why) = places.distrusts(&file) else { return Some(file) };
        if has(&file, name) {
            let file = file.display();
            warnings.push(format!("{file} is not read: {why}; `--clouds-file {file}` reads it all the same"));
        }
    }
    None
}

fn named(dir: &Path, stem: &str) -> Option<PathBuf> {
    ["yaml", "yml"].map(|x| dir.join(format!("{stem}.{x}"))).into_iter().find(|p| p.is_file())
}

/// Whether a file that is not trusted has an entry of that name.
fn has(file: &Path, name: &str) -> bool {
    let Ok(text) = durable::read(&file.canonicalize().unwrap_or_default(), 1 << 20) else { return false };
    // Not parsed: a stranger's YAML is not worth its bombs.
    let text = String::from_utf8_lossy(&text);
    text.lines().any(|line| line.trim().trim_matches(['"', '\'', ':', ' ']).starts_with(name))
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
