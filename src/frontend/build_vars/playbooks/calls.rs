//! Calls of modules, and their arguments.
use super::{is_template, modules, scalar, tail, texts};
use crate::frontend::build_vars::yaml::{Entry, Node, Position, Value};

/// A call of a module.
pub(super) struct Call<'n> {
    pub module: &'n str,
    pub spot: Position,
    pub value: &'n Node,
    /// `args` beside it.
    pub args: Option<&'n Node>,
}

impl Call<'_> {
    fn maps(&self) -> impl Iterator<Item = &[Entry]> {
        let nodes = [Some(self.value), self.args];
        nodes.into_iter().flatten().filter_map(|node| match &node.value {
            Value::Map(entries) => Some(entries.as_slice()),
            _ => None,
        })
    }

    pub(super) fn value_of(&self, key: &str) -> Option<&Node> {
        self.maps().flatten().find(|e| e.key == key).map(|e| &e.value)
    }

    /// An argument that is a text, from a map or from `key=value`.
    pub(super) fn argument(&self, key: &str) -> Option<(String, Position)> {
        if let Some(node) = self.value_of(key) {
            return texts(node).first().map(|(text, spot)| ((*text).to_owned(), *spot));
        }
        let text = scalar(self.value)?;
        modules::pairs(text)
            .into_iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| (value, self.value.spot))
    }

    /// All arguments that have a name.
    pub(super) fn keys(&self) -> Vec<(String, Position)> {
        let written = self.maps().flatten().map(|e| (e.key.clone(), e.spot));
        let text = scalar(self.value).map(modules::pairs).unwrap_or_default();
        written.chain(text.into_iter().map(|(key, _)| (key, self.value.spot))).collect()
    }

    /// Where an argument of this name is given.
    pub(super) fn names(&self, key: &str) -> Option<Position> {
        let written = self.maps().flatten().find(|e| e.key == key).map(|e| e.spot);
        written.or_else(|| self.argument(key).map(|(_, spot)| spot))
    }

    /// `include_tasks: x.yml`, or an argument.
    pub(super) fn free_or(&self, key: &str) -> Option<(String, Position)> {
        self.argument(key).or_else(|| {
            let text = scalar(self.value)?.trim();
            // All of it names the file; of a script the first word, and what follows it are its
            // arguments.
            let words = modules::free(text);
            let name = match tail(self.module) {
                _ if is_template(text) => text.to_owned(),
                "script" => words.first().filter(|word| !word.ends_with('\\')).cloned()?,
                _ => words.join(" "),
            };
            Some((name.trim_matches(['"', '\'']).to_owned(), self.value.spot))
        })
    }
}
