//! Hosts and connections that are worked out of a variable: sound where all that the bundle gives
//! the variable is.
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value as Json;

use super::super::ansible_cfg::Config;
use super::super::yaml::Position;
use super::names::Meaning;
use super::sets::Set;

/// `{{ name }}`, `{{ name | default('all') }}`
static SIMPLE: LazyLock<Regex> = LazyLock::new(|| {
    let default = concat!(
        r#"\|\s*(?:default|d)\s*\(\s*(?:'([^'{]*)'|"([^"{]*)"|(inventory_hostname))"#,
        r"\s*(?:,\s*(?i:true)\s*)?\)",
    );
    Regex::new(&format!(r"^\s*\{{\{{-?\s*([A-Za-z_]\w*)\s*(?:{default})?\s*-?\}}\}}\s*$"))
        .expect("the pattern is fixed")
});

/// What is known at the run only, as far as one file tells.
#[derive(Debug, Clone)]
pub struct Open {
    pub spot: Position,
    /// `hosts: {{ where }}`
    pub written: String,
    /// The template.
    pub text: String,
    pub judge: fn(&str) -> Meaning,
}

/// A variable, and what it is where nothing sets it.
pub struct Variable {
    pub name: String,
    default: Option<String>,
}

/// Names that Ansible itself gives. Source: ansible-core, "Special Variables".
const OWN: [&str; 17] = [
    "environment",
    "group_names",
    "groups",
    "hostvars",
    "inventory_dir",
    "inventory_file",
    "inventory_hostname",
    "inventory_hostname_short",
    "item",
    "omit",
    "play_hosts",
    "playbook_dir",
    "role_name",
    "role_names",
    "role_path",
    "undef",
    "vars",
];
/// What begins as facts do and is none: nothing sets it but who says so.
const NO_FACTS: [&str; 5] =
    ["ansible_limit", "ansible_target", "ansible_targets", "ansible_hosts", "ansible_group"];

impl Open {
    /// `None`: it is no plain variable, or one of Ansible's own.
    pub fn variable(&self) -> Option<Variable> {
        let found = SIMPLE.captures(&self.text)?;
        let name = found[1].to_owned();
        let default = [2, 3, 4]
            .into_iter()
            .find_map(|group| found.get(group))
            .map(|text| text.as_str().to_owned());
        let fact = name.starts_with("ansible_") && !NO_FACTS.contains(&name.as_str());
        (!fact && !OWN.contains(&name.as_str())).then_some(Variable { name, default })
    }
}

/// What is known of a variable: nothing sets it, all that does is the builder, or the first that is
/// not.
#[derive(Debug, Clone)]
enum Known {
    Unset,
    Sound,
    Bad(String),
}

/// Variables, each worked out of the next.
const MOST_CHAINED: usize = 4;

/// Why a variable is none of the builder's names, by what is known of it.
fn concluded(known: Known, variable: &Variable, judge: fn(&str) -> Meaning) -> Option<String> {
    let sound = |text: &str| text == "inventory_hostname" || judge(text) == Meaning::Builder;
    match (known, &variable.default) {
        (Known::Bad(why), _) => Some(why),
        (Known::Unset, None) => Some(format!("; nothing in the bundle sets `{}`", variable.name)),
        (_, Some(default)) if !sound(default) => Some(String::new()),
        _ => None,
    }
}

/// All that the files of a bundle and its step set, by name.
pub struct Index<'a> {
    named: BTreeMap<&'a str, Vec<(&'a Path, &'a Set)>>,
    /// Their names are worked out at the run.
    open: Vec<(&'a Path, &'a Set)>,
    given: &'a Given,
    /// Each variable is judged once for each judge.
    known: BTreeMap<(String, usize), Known>,
}

impl<'a> Index<'a> {
    pub fn new(given: &'a Given, sets: impl Iterator<Item = (&'a Path, &'a Set)>) -> Self {
        let mut index =
            Self { named: BTreeMap::new(), open: Vec::new(), given, known: BTreeMap::new() };
        for (path, set) in sets {
            match set.is_open() {
                true => index.open.push((path, set)),
                false => index.named.entry(&set.name).or_default().push((path, set)),
            }
        }
        index
    }

    /// `None`: every value that it may have is one of the builder. Else why not, as far as that can
    /// be told.
    pub fn trouble(&mut self, open: &Open, shown: &Path) -> Option<String> {
        let Some(variable) = open.variable() else { return Some(String::new()) };
        let key = (variable.name.clone(), open.judge as usize);
        let known = match self.known.get(&key) {
            Some(known) => known.clone(),
            None => {
                self.judged(&variable.name, open.judge, shown, &mut vec![variable.name.clone()])
            }
        };
        self.known.insert(key, known.clone());
        concluded(known, &variable, open.judge)
    }

    /// Whether a value may be another than the builder. It may be worked out of the next variable;
    /// `chain` are those before.
    fn is_bad(
        &self,
        value: Option<&str>,
        judge: fn(&str) -> Meaning,
        shown: &Path,
        chain: &mut Vec<String>,
    ) -> bool {
        let Some(text) = value else { return true };
        match judge(text) {
            Meaning::Builder => return false,
            Meaning::Factory => return true,
            Meaning::Unknown => {}
        }
        let open = Open {
            spot: Position { line: 0, column: 0 },
            written: String::new(),
            text: text.to_owned(),
            judge,
        };
        let Some(next) = open
            .variable()
            .filter(|next| chain.len() < MOST_CHAINED && !chain.contains(&next.name))
        else {
            return true;
        };
        chain.push(next.name.clone());
        let known = self.judged(&next.name, judge, shown, chain);
        chain.pop();
        concluded(known, &next, judge).is_some()
    }

    fn judged(
        &self,
        name: &str,
        judge: fn(&str) -> Meaning,
        shown: &Path,
        chain: &mut Vec<String>,
    ) -> Known {
        let mut bad = |value: Option<&str>| self.is_bad(value, judge, shown, chain);
        let given = self.given.variables.get(name);
        let each = |value: &Json| match value {
            Json::Array(items) => items.is_empty() || items.iter().any(|item| bad(item.as_str())),
            one => bad(one.as_str()),
        };
        if given.is_some_and(each) {
            return Known::Bad(format!("; the step or `vars` of the definition sets `{name}`"));
        }
        let named = self.named.get(name).map(Vec::as_slice).unwrap_or_default();
        let open = self.open.iter().filter(|(_, set)| set.may_be(name));
        if let Some((path, set)) =
            named.iter().chain(open).find(|(_, set)| bad(set.value.as_deref()))
        {
            let place = set.spot.place(&shown.join(path));
            return Known::Bad(match set.is_open() {
                true => format!("; {place} may set `{name}`"),
                false => format!("; {place} sets `{name}`"),
            });
        }
        if given.is_none() && named.is_empty() { Known::Unset } else { Known::Sound }
    }
}

/// What a step gives its playbook.
#[derive(Debug, Default, Clone)]
pub struct Given {
    pub variables: serde_json::Map<String, Json>,
    pub env: Vec<String>,
    /// Of the step.
    pub config: Config,
}

impl Given {
    /// Of two that are equal the second needs no look.
    pub fn key(&self) -> String {
        let env: BTreeMap<&str, ()> = self.env.iter().map(|name| (name.as_str(), ())).collect();
        format!("{}{env:?}{}", Json::Object(self.variables.clone()), self.config.identity())
    }
}
