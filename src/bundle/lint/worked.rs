//! Hosts and connections that are worked out of a variable: sound where all that the bundle gives the variable is.
use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value as Json;

use super::super::yaml::{Node, Spot, Value};
use super::names::Meaning;

/// `{{ name }}`, `{{ name | default('all') }}`
static SIMPLE: LazyLock<Regex> = LazyLock::new(|| {
    let default = r#"\|\s*(?:default|d)\s*\(\s*(?:'([^'{]*)'|"([^"{]*)"|(inventory_hostname))\s*(?:,\s*(?i:true)\s*)?\)"#;
    Regex::new(&format!(r"^\s*\{{\{{-?\s*([A-Za-z_]\w*)\s*(?:{default})?\s*-?\}}\}}\s*$")).expect("the pattern is fixed")
});

/// What is known at the run only, as far as one file tells.
#[derive(Debug, Clone)]
pub struct Open {
    pub spot: Spot,
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

impl Open {
    /// `None`: it is no plain variable, or one of Ansible's own.
    pub fn variable(&self) -> Option<Variable> {
        let found = SIMPLE.captures(&self.text)?;
        let name = found[1].to_owned();
        let default = [2, 3, 4].into_iter().find_map(|group| found.get(group)).map(|text| text.as_str().to_owned());
        let own = ["ansible_", "inventory_", "group", "item", "hostvars", "play_"].iter().any(|begin| name.starts_with(begin));
        (!own).then_some(Variable { name, default })
    }
}

/// Looks for all that sets a variable.
pub struct Search<'a> {
    variable: &'a Variable,
    assigned: Regex,
    judge: fn(&str) -> Meaning,
    /// Something sets it to what may be the factory.
    bad: bool,
    any: bool,
}

impl<'a> Search<'a> {
    pub fn new(open: &Open, variable: &'a Variable) -> Self {
        let assigned = Regex::new(&format!(r"\b{}\s*=[^=]", variable.name)).expect("a name has no signs");
        Self { variable, assigned, judge: open.judge, bad: false, any: false }
    }

    /// Whether every value it may have is one of the builder.
    pub fn is_sound(&self) -> bool {
        let default = self.variable.default.as_deref();
        let sound = |text: &str| text == "inventory_hostname" || (self.judge)(text) == Meaning::Builder;
        !self.bad && default.map_or(self.any, sound)
    }

    fn set(&mut self, value: Option<&str>) {
        self.any = true;
        self.bad |= value.is_none_or(|text| (self.judge)(text) != Meaning::Builder);
    }

    /// `extra_vars` of the step and `vars`.
    pub fn given(&mut self, all: &serde_json::Map<String, Json>) {
        if let Some(value) = all.get(&self.variable.name) {
            self.set(value.as_str());
        }
    }

    /// An inventory, or whatever is no tree.
    pub fn text(&mut self, text: &str) {
        self.bad |= self.assigned.is_match(text);
    }

    pub fn tree(&mut self, node: &Node) {
        match &node.value {
            Value::Map(entries) => {
                for entry in entries {
                    if entry.key == self.variable.name {
                        let value = if let Value::Scalar { text, .. } = &entry.value.value { Some(text.as_str()) } else { None };
                        self.set(value);
                    }
                    self.tree(&entry.value);
                }
            }
            Value::List(items) => items.iter().for_each(|item| self.tree(item)),
            // `register`, `loop_var` and `vars_prompt` name it; `set_fact: name=value` sets it.
            Value::Scalar { text, .. } => self.bad |= *text == self.variable.name || self.assigned.is_match(text),
            Value::Null => {}
        }
    }
}

/// What a step gives its playbook.
#[derive(Debug, Default, Clone)]
pub struct Given {
    pub variables: serde_json::Map<String, Json>,
    pub env: Vec<String>,
}

impl Given {
    /// Of two that are equal the second needs no look.
    pub fn key(&self) -> String {
        let env: BTreeMap<&str, ()> = self.env.iter().map(|name| (name.as_str(), ())).collect();
        format!("{}{env:?}", Json::Object(self.variables.clone()))
    }
}
