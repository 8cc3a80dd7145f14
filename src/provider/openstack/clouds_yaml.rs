//! Reads clouds.yaml, with secure.yaml and clouds-public.yaml. Source: the configuration guide of
//! openstacksdk. `resolve` interprets the values.
//!
//! These files decide where passwords are sent. So they are not read from a factory tree or from a
//! directory that another user can write, and a secret applies only to the clouds.yaml beside it.
//! An explicitly named file is always read.
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::login::LoginError;
use super::settings::{Map, Origin, Setting};
use super::vendors::{self, Known};
use crate::frontend::build_vars::yaml;
use crate::model::diagnostic::there_are;
use crate::system::durable;
use crate::system::reading;
use crate::text::suggest;

/// Size limit of a clouds.yaml.
const LONGEST: u64 = 1 << 20;
/// Time limit for reading a pipe.
const PATIENCE: Duration = Duration::from_secs(5);

/// Search path of clouds.yaml, unless OS_CLIENT_CONFIG_FILE names it.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// The current directory, which may be anybody's.
    pub here: Option<PathBuf>,
    /// The current directory contains a factory tree, or shares a repository with it; files
    /// directly in it are not read.
    pub around: bool,
    /// `~/.config/openstack`, `/etc/openstack`
    pub config: Vec<PathBuf>,
    /// Value of `~` in file names.
    pub home: Option<PathBuf>,
    /// Directories that others write to, such as factory trees; nothing below them is read.
    pub distrusted: Vec<PathBuf>,
}

impl Places {
    fn dirs(&self) -> impl Iterator<Item = &PathBuf> {
        self.here.iter().chain(&self.config)
    }

    /// Why the file must not be read.
    fn distrusts(&self, file: &Path) -> Option<String> {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let dir = file.parent().map(real).unwrap_or_default();
        let trees: Vec<PathBuf> = self.distrusted.iter().map(|tree| real(tree)).collect();
        if let Some(tree) = trees.iter().find(|t| dir.starts_with(t) || real(file).starts_with(t)) {
            return Some(format!("it lies in the factory tree {}", tree.display()));
        }
        let (Ok(meta), Ok(around)) = (std::fs::metadata(file), std::fs::metadata(&dir)) else {
            return None;
        };
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

/// Entry of a cloud.
pub struct Found {
    pub entry: Map,
    /// Its profile, which the entry overrides.
    pub vendor: Map,
    /// Names of the files read, for people.
    pub files: String,
    /// Warnings about skipped files that have an entry of that name.
    pub warnings: Vec<String>,
}

/// Searches the files for one cloud.
struct Search<'a> {
    name: &'a str,
    env: &'a BTreeMap<&'a str, &'a str>,
    places: &'a Places,
    warnings: Vec<String>,
}

/// Finds the entry of a cloud.
pub fn find(name: &str, env: &BTreeMap<&str, &str>, places: &Places) -> Result<Found, LoginError> {
    let mut search = Search { name, env, places, warnings: Vec::new() };
    let clouds = search.needed()?;
    let all = search.read(&clouds, "clouds")?;
    let mut files = clouds.display().to_string();
    let mut entry = all.get(name).cloned();
    if let Some(secure) = search.secure(&clouds) {
        let secrets = search.read(&secure, "clouds")?;
        if let Some(secrets) = secrets.get(name) {
            entry = Some(laid_over(entry, secrets));
        }
        files = format!("{files} and {}", secure.display());
    }
    let Some(entry) = entry else { return Err(search.no_such_cloud(&files, &all)) };
    let Some(entry) = entry.as_map().cloned() else {
        return Err(search.wrong(format!("its entry is no map ({})", entry.origin), None));
    };
    let vendor = search.vendor(&entry, Some(&clouds))?;
    Ok(Found { entry, vendor, files, warnings: search.warnings })
}

/// Reads the cloud from the environment alone. `all` includes empty variables, which may override
/// others.
pub fn of_environment(
    all: &BTreeMap<&str, &str>,
    env: &BTreeMap<&str, &str>,
    places: &Places,
) -> Result<Found, LoginError> {
    let name = env.get("OS_CLOUD_NAME").copied().unwrap_or("envvars");
    let mut search = Search { name, env, places, warnings: Vec::new() };
    if let Some(file) = search.clouds_yaml().filter(|file| file.is_file())
        && search.read(&file, "clouds").is_ok_and(|all| all.has(name))
    {
        let what = format!(
            "{} has an entry `{name}`, which is the name of what OS_* say: rename it",
            file.display()
        );
        return Err(search.wrong(what, Some("OS_CLOUD_NAME gives the other another name".into())));
    }
    let mut entry = Map::default();
    for (variable, value) in all {
        // The first choose between clouds; tests of others use the rest.
        let selects = SELECTORS.contains(variable)
            || ["OS_TEST", "OS_STD", "OS_LOG"].iter().any(|p| variable.starts_with(p));
        if let Some(key) = variable.strip_prefix("OS_").filter(|_| !selects) {
            entry.set(
                &key.to_lowercase(),
                Setting::text(*value, Origin::Variable((*variable).into())),
            );
        }
    }
    let vendor = search.vendor(&entry, None)?;
    Ok(Found { entry, vendor, files: String::new(), warnings: search.warnings })
}

const SELECTORS: &[&str] = &[
    "OS_CLOUD",
    "OS_CLOUD_NAME",
    "OS_CLIENT_CONFIG_FILE",
    "OS_CLIENT_SECURE_FILE",
    "OS_CLIENT_VENDOR_FILE",
];

/// The clouds.yaml with an entry of this name.
pub fn with_entry(name: &str, env: &BTreeMap<&str, &str>, places: &Places) -> Option<PathBuf> {
    let mut search = Search { name, env, places, warnings: Vec::new() };
    let file = search.clouds_yaml().filter(|file| file.is_file())?;
    search.read(&file, "clouds").ok()?.has(name).then_some(file)
}

fn laid_over(entry: Option<Setting>, secrets: &Setting) -> Setting {
    match (entry.and_then(|e| e.as_map().cloned().map(|map| (map, e.origin))), secrets.as_map()) {
        (Some((mut map, origin)), Some(over)) => {
            map.merge(over);
            Setting { value: super::settings::Value::Map(map), origin }
        }
        _ => secrets.clone(),
    }
}

impl Search<'_> {
    fn wrong(&self, what: String, hint: Option<String>) -> LoginError {
        LoginError { cloud: self.name.to_owned(), wrong: vec![what], hint }
    }

    /// The effective clouds.yaml. Warns of skipped files that contain the requested cloud.
    fn clouds_yaml(&mut self) -> Option<PathBuf> {
        if let Some(path) = self.env.get("OS_CLIENT_CONFIG_FILE") {
            return Some(PathBuf::from(path));
        }
        for file in self.places.dirs().filter_map(|dir| named(dir, "clouds")) {
            let Some(why) = self.places.distrusts(&file) else { return Some(file) };
            if has(&file, self.name) {
                let file = file.display();
                self.warnings.push(format!(
                    "{file} is not read: {why}; `--clouds-file {file}` reads it all the same"
                ));
            }
        }
        None
    }

    fn needed(&mut self) -> Result<PathBuf, LoginError> {
        if let Some(file) = self.clouds_yaml() {
            return Ok(file);
        }
        let dirs: Vec<String> = self.places.dirs().map(|d| d.display().to_string()).collect();
        let looked = format!(
            "it is looked for in {}; --clouds-file or OS_CLIENT_CONFIG_FILE names it",
            dirs.join(", ")
        );
        let hint = std::mem::take(&mut self.warnings)
            .into_iter()
            .chain([looked])
            .collect::<Vec<_>>()
            .join("; ");
        Err(self.wrong("there is no clouds.yaml".into(), Some(hint)))
    }

    fn no_such_cloud(&self, files: &str, all: &Map) -> LoginError {
        let names: Vec<&str> = all.keys().collect();
        let hint = match names.iter().find(|n| suggest::similarity(n, self.name) > 0.8) {
            Some(near) => format!("did you mean `{near}`?"),
            None if names.is_empty() => "it has none: entries stand below `clouds:`".into(),
            None => there_are(&names),
        };
        let hint =
            std::iter::once(hint).chain(self.warnings.clone()).collect::<Vec<_>>().join("; ");
        self.wrong(format!("{files} has no such cloud"), Some(hint))
    }

    /// The secure.yaml beside `clouds`, or the one that is named. Other files must not receive its
    /// secrets.
    fn secure(&mut self, clouds: &Path) -> Option<PathBuf> {
        if let Some(path) = self.env.get("OS_CLIENT_SECURE_FILE") {
            return Some(PathBuf::from(path));
        }
        let beside = named(clouds.parent().unwrap_or(Path::new(".")), "secure");
        if beside.is_none() {
            let elsewhere = self.places.dirs().filter_map(|dir| named(dir, "secure"));
            let warning = |file: PathBuf| {
                let (file, clouds) = (file.display(), clouds.display());
                format!(
                    "{file} is not used: a secret goes with the clouds.yaml beside it, and \
                        {clouds} counts; OS_CLIENT_SECURE_FILE names it"
                )
            };
            self.warnings.extend(elsewhere.filter(|file| has(file, self.name)).map(warning));
        }
        beside
    }

    /// Content of a file below one key.
    fn read(&self, path: &Path, key: &str) -> Result<Map, LoginError> {
        let cannot =
            |e: std::io::Error| self.wrong(format!("cannot read {}: {e}", path.display()), None);
        let bytes = reading::stream(path, LONGEST, PATIENCE).map_err(|e| match e.kind() {
            std::io::ErrorKind::FileTooLarge => {
                self.wrong(format!("{} is longer than 1 MiB", path.display()), None)
            }
            _ => cannot(e),
        })?;
        let text = String::from_utf8(bytes)
            .map_err(|_| self.wrong(format!("{} is not UTF-8", path.display()), None))?;
        // The parser's message may quote a secret from the file, so only the location is shown.
        let root = yaml::parse_settings(text.strip_prefix('\u{feff}').unwrap_or(&text)).map_err(
            |bad| {
                let at = format!("{}:{}:{}", path.display(), bad.spot.line, bad.spot.column);
                self.wrong(
                    format!("{at} is not YAML as openstacksdk reads it"),
                    Some(likely(&text, bad.spot.line).into()),
                )
            },
        )?;
        let file: Rc<str> = path.display().to_string().into();
        let root = Setting::from_yaml(root, &file);
        // Nothing but comments, say.
        if root.is_null() {
            return Ok(Map::default());
        }
        let Some(root) = root.as_map() else {
            return Err(self.wrong(format!("{file} is no map"), None));
        };
        match root.get(key) {
            None => Ok(Map::default()),
            Some(below) if below.is_null() => Ok(Map::default()),
            Some(below) => below
                .as_map()
                .cloned()
                .ok_or_else(|| self.wrong(format!("`{key}` is no map ({})", below.origin), None)),
        }
    }

    /// The profile of an entry; `clouds` is the entry's file.
    fn vendor(&mut self, entry: &Map, clouds: Option<&Path>) -> Result<Map, LoginError> {
        let Some(profile) =
            entry.get("profile").or_else(|| entry.get("cloud")).filter(|p| !p.is_nothing())
        else {
            return Ok(Map::default());
        };
        let Some(name) = profile.as_text().map(str::to_owned) else {
            return Err(self.wrong(format!("`profile` is no name ({})", profile.origin), None));
        };
        let file = self.vendor_file(clouds);
        if let Some(file) = &file {
            let all = self.read(file, "public-clouds")?;
            if let Some(found) = all.get(&name) {
                let map = found.as_map().cloned();
                return map.ok_or_else(|| {
                    self.wrong(format!("the profile `{name}` is no map ({})", found.origin), None)
                });
            }
        }
        match vendors::known(&name) {
            Some(Known::Profile { map, warning }) => {
                self.warnings.extend(warning);
                Ok(map)
            }
            Some(Known::Refused(why)) => {
                Err(self.wrong(format!("{why} ({})", profile.origin), None))
            }
            None => {
                let beside = clouds
                    .map_or_else(String::new, |clouds| format!(" beside {}", clouds.display()));
                let text = format!(
                    "its profile `{name}` is in no clouds-public.yaml{beside}, and no vendor that \
                        we know ({})",
                    profile.origin
                );
                Err(self.wrong(
                    text,
                    Some("OS_CLIENT_VENDOR_FILE names one that lies elsewhere".into()),
                ))
            }
        }
    }

    /// The profile file, which decides where passwords go. Not taken from the current directory
    /// unless beside the clouds.yaml in use.
    fn vendor_file(&self, clouds: Option<&Path>) -> Option<PathBuf> {
        if let Some(path) = self.env.get("OS_CLIENT_VENDOR_FILE") {
            return Some(PathBuf::from(path));
        }
        let beside = clouds.map(|clouds| clouds.parent().unwrap_or(Path::new(".")).to_owned());
        let here = beside.iter().filter(|dir| !self.places.config.contains(dir));
        let trusted = |file: &PathBuf| self.places.distrusts(file).is_none();
        let of_places =
            self.places.config.iter().filter_map(|dir| named(dir, "clouds-public")).filter(trusted);
        here.filter_map(|dir| named(dir, "clouds-public")).chain(of_places).next()
    }
}

/// The probable mistake near the line where parsing stopped. Quotes nothing of the file.
fn likely(text: &str, line: usize) -> &'static str {
    let lines =
        text.lines().take(line + 1).filter(|line| !line.trim().is_empty()).collect::<Vec<_>>();
    for line in lines.iter().rev().take(3) {
        let indent = &line[..line.len() - line.trim_start().len()];
        if indent.contains('\t') {
            return "a tab indents this line: YAML takes blanks";
        }
        let Some((_, value)) = line.split_once(": ") else { continue };
        let value = value.trim();
        if value.starts_with(['@', '`', '%', '!', '&', '*', '{', '}', '[', ']', '|', '>', '?', ','])
        {
            return "a value that begins with such a character stands in quotes: `password: \"@x\"`";
        }
        if !value.starts_with(['"', '\'']) && (value.contains(": ") || value.ends_with(':')) {
            return "a value that has `: ` in it stands in quotes: `password: \"a: b\"`";
        }
    }
    "keys of one map begin in the same column; tags, keys that are no text, and a second document \
        are not understood"
}

fn named(dir: &Path, stem: &str) -> Option<PathBuf> {
    ["yaml", "yml", "json"]
        .map(|x| dir.join(format!("{stem}.{x}")))
        .into_iter()
        .find(|p| p.is_file())
}

/// Whether an untrusted file has an entry of that name.
fn has(file: &Path, name: &str) -> bool {
    let Ok(text) = durable::read(&file.canonicalize().unwrap_or_default(), 1 << 20) else {
        return false;
    };
    // Not parsed: a stranger's YAML is not worth its bombs.
    let text = String::from_utf8_lossy(&text);
    text.lines().any(|line| line.trim().trim_matches(['"', '\'', ':', ' ']).starts_with(name))
}
