//! Expressions: tests that are written as filters, braces where none belong, names of variables
//! where a value is meant.
use crate::model::definition::NeedKind;
use std::borrow::Cow;
use std::collections::HashSet;
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;

use super::{Scope, Walk, is_template, moved, plugins, tail};
use crate::frontend::build_vars::yaml::{Node, Position, Value};
use crate::model::diagnostic::{Diagnostic, Location};
use crate::system::reading;

/// Templates longer than this are not looked through.
const MAX_TEMPLATE: u64 = 1 << 20;

/// Tests of Ansible's that were filters until 2.9, and how they are called today.
const TESTS: &[(&str, &str)] = &[
    ("failed", "failed"),
    ("failure", "failed"),
    ("success", "succeeded"),
    ("succeeded", "succeeded"),
    ("successful", "succeeded"),
    ("changed", "changed"),
    ("change", "changed"),
    ("skipped", "skipped"),
    ("skip", "skipped"),
    ("finished", "finished"),
    ("started", "started"),
    ("version_compare", "version"),
    ("version", "version"),
    ("match", "match"),
    ("search", "search"),
    ("regex", "regex"),
    ("isnan", "nan"),
    ("is_nan", "nan"),
    ("issubset", "subset"),
    ("issuperset", "superset"),
    ("exists", "exists"),
    ("is_dir", "directory"),
    ("is_file", "file"),
    ("is_link", "link"),
    ("is_abs", "abs"),
    ("is_same_file", "same_file"),
    ("is_mount", "mount"),
    ("link_exists", "link_exists"),
    ("directory", "directory"),
    ("link", "link"),
];

static EXPRESSION: LazyLock<Regex> = LazyLock::new(|| fixed(r"(?s)\{\{(.*?)\}\}|\{%(.*?)%\}"));
static FILTER: LazyLock<Regex> = LazyLock::new(|| fixed(r"\|\s*([A-Za-z_][A-Za-z0-9_.]*)"));
static CHOICE: LazyLock<Regex> = LazyLock::new(|| fixed(r"\b(?:if|and|or)\b"));
static QUOTED: LazyLock<Regex> =
    LazyLock::new(|| fixed(r#"(?s)'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*""#));
static LOOKUP: LazyLock<Regex> =
    LazyLock::new(|| fixed(r#"\b(?:lookup|query|q)\s*\(\s*['"]([a-z0-9_.]+)['"]"#));
/// With no more arguments, which may let a missing file pass.
static FILE_LOOKUP: LazyLock<Regex> = LazyLock::new(|| {
    fixed(concat!(
        r#"(?:lookup|query|q)\s*\(\s*['"](?:ansible\.builtin\.)?(file|template|unvault)['"]"#,
        r#"\s*,\s*['"]([^'"]+)['"]\s*\)"#,
    ))
});
/// `packages`, `item.users`, `result.stdout_lines[0]`, and `${packages}` of Ansible 1.
static NAME: LazyLock<Regex> = LazyLock::new(|| {
    fixed(r#"^(\$?)\{?([A-Za-z_][A-Za-z0-9_]*)((?:\.[A-Za-z_0-9]+|\[[^\]]*\])*)\}?$"#)
});

fn fixed(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is fixed")
}

/// Methods of dictionaries, and what is written today.
const PYTHON_2_METHODS: &[(&str, &str)] = &[
    ("iteritems", "`.items()`"),
    ("iterkeys", "`.keys()`"),
    ("itervalues", "`.values()`"),
    ("viewitems", "`.items()`"),
    ("viewkeys", "`.keys()`"),
    ("viewvalues", "`.values()`"),
    ("has_key", "`'key' in dictionary`"),
];
static PYTHON_2: LazyLock<Regex> = LazyLock::new(|| {
    fixed(r"\.(iteritems|iterkeys|itervalues|viewitems|viewkeys|viewvalues|has_key)\s*\(")
});
/// What is no expression: comments, and what is passed on as it stands.
static DEAD: LazyLock<Regex> = LazyLock::new(|| {
    fixed(r"(?s)\{#.*?#\}|\{%[-+]?\s*raw\s*[-+]?%\}.*?\{%[-+]?\s*endraw\s*[-+]?%\}")
});
/// `packages | default([])`, `a + b`
static WORKED_OUT: LazyLock<Regex> = LazyLock::new(|| {
    fixed(r#"^([A-Za-z_][A-Za-z0-9_]*)[\w.\[\]'"]*\s*(?:\|\s*[a-z_]+|\+\s*[A-Za-z_\[])"#)
});

/// A text without what is no expression in it, as long as it was.
fn live(text: &str) -> Cow<'_, str> {
    DEAD.replace_all(text, |dead: &regex::Captures<'_>| {
        dead[0]
            .chars()
            .flat_map(|c| std::iter::repeat_n(if c == '\n' { c } else { ' ' }, c.len_utf8()))
            .collect::<String>()
    })
}

/// Whether it was a filter once.
pub(super) fn is_test(name: &str) -> bool {
    TESTS.iter().any(|(old, _)| *old == name)
}

/// A loop over what may be the bare name of a variable.
pub(super) struct Bare {
    place: Location,
    key: String,
    text: String,
    name: String,
    /// It can be nothing else.
    sure: bool,
    /// It is worth a word only if there is such a variable.
    only_known: bool,
    /// It may not be come to.
    soft: bool,
}

impl Bare {
    pub fn finding(self, variables: &HashSet<String>) -> Option<Diagnostic> {
        let Self { place, key, text, name, sure, only_known, soft } = self;
        if only_known && !variables.contains(&name) {
            return None;
        }
        let bare = text.trim_start_matches("${").trim_start_matches('$').trim_end_matches('}');
        let message =
            format!("`{key}: {text}` is the text `{text}`, not the variable of that name");
        let finding = match !soft && (sure || variables.contains(&name)) {
            true => Diagnostic::error(place, message),
            false => Diagnostic::warning(place, message),
        };
        Some(finding.hint(format!(
            "`{key}: \"{{{{ {bare} }}}}\"`, or a list with one item if the text is meant"
        )))
    }
}

impl Walk<'_> {
    /// Every text below a node.
    pub(super) fn expressions(&mut self, node: &Node, scope: &Scope) {
        match &node.value {
            _ if node.raw => {}
            // `comment_start_string: "{#"` and its kin, of `template`.
            Value::Map(entries) => entries
                .iter()
                .filter(|e| !e.key.ends_with("_string"))
                .for_each(|e| self.expressions(&e.value, scope)),
            Value::List(items) => items.iter().for_each(|item| self.expressions(item, scope)),
            Value::Scalar { text, .. }
                if ["$FILE(", "$PIPE(", "$LOOKUP("].iter().any(|old| text.contains(old)) =>
            {
                let hint = "`{{ lookup('file', …) }}`, `{{ lookup('pipe', …) }}`";
                self.at_run(
                    scope,
                    node.spot,
                    "`$FILE(…)` and its kin are of Ansible 1: this is a text",
                    hint,
                );
            }
            Value::Scalar { text, .. } if is_template(text) || text.contains("{#") => {
                self.rendered_value(text, node.spot, scope);
                let branches = text.contains("{%");
                for inner in inner_of(&live(text)) {
                    self.expression(inner, branches, node.spot, scope);
                }
            }
            _ => {}
        }
    }

    /// One expression, without its braces. `branches`: there are tags around it that may leave it
    /// out.
    fn expression(&mut self, text: &str, branches: bool, spot: Position, scope: &Scope) {
        let open = QUOTED.replace_all(text, "''");
        self.uses_facts(&open, spot, scope);
        // Where a branch is not taken, the filter has to be there all the same.
        let whole = scope;
        // Python works out no more of these than it has to.
        let branches = branches || CHOICE.is_match(&open);
        let lazy = scope.lazy || branches || scope.unused || scope.variable.is_some();
        let scope = &Scope { lazy, ..scope.clone() };
        for lookup in FILE_LOOKUP.captures_iter(text) {
            self.looked_up(&lookup[1], &lookup[2], spot, scope);
        }
        for filter in FILTER.captures_iter(&open) {
            self.filter(&filter[1], spot, (whole, scope));
        }
        for method in PYTHON_2.captures_iter(&open) {
            let (old, new) = PYTHON_2_METHODS
                .iter()
                .find(|(old, _)| *old == &method[1])
                .expect("the pattern is made of them");
            self.at_run(
                whole,
                spot,
                format!("`.{old}()` is of Python 2: no dictionary has it"),
                *new,
            );
        }
        for lookup in LOOKUP.captures_iter(text) {
            self.plugin("lookup", &lookup[1], spot, scope);
        }
    }

    /// `lookup('file', 'key.pub')`
    fn looked_up(&mut self, kind: &str, name: &str, spot: Position, scope: &Scope) {
        let kinds = if kind == "template" { ["templates"] } else { ["files"] };
        match self.paths.find(name, &kinds, scope) {
            _ if is_template(name) => {}
            Some(path) if kind == "template" => self.template(&path, false, scope),
            Some(_) => {}
            None => self.missing(
                &format!("`{name}`, which a lookup reads,"),
                Path::new(name),
                spot,
                scope,
            ),
        }
    }

    /// `whole`: the scope of what the expression stands in.
    fn filter(&mut self, name: &str, spot: Position, (whole, scope): (&Scope, &Scope)) {
        let Some((_, new)) = TESTS.iter().find(|(old, _)| *old == name) else {
            return self.plugin("filter", name, spot, scope);
        };
        let message = format!("`| {name}` is a test, and no filter any more");
        let hint = match *new {
            "version" => "`is version('1.2', '>=')`".to_owned(),
            "search" | "match" | "regex" => format!("`is {new}('…')`"),
            _ => format!("`is {new}`"),
        };
        match self.paths.has_plugins("filter", scope) {
            true => self.warn(
                &scope.file,
                spot,
                message,
                format!("{hint}, unless `filter_plugins` has one of that name"),
            ),
            false => self.at_run(whole, spot, message, hint),
        }
    }

    /// A plugin of a collection, by its full name or by one that left ansible-core.
    pub(super) fn plugin(&mut self, kind: &'static str, name: &str, spot: Position, scope: &Scope) {
        let collection = match super::modules::collection_of(name) {
            Some(collection) => collection.to_owned(),
            None => {
                let Some((collection, new)) = moved::to(&format!("{kind}:{}", tail(name))) else {
                    return self.unknown_plugin(kind, name, spot, scope);
                };
                if self.paths.has_plugins(kind, scope) {
                    return;
                }
                let message = format!(
                    "the {} `{name}` is no longer part of ansible-core",
                    plugins::called(kind)
                );
                self.warn(
                    &scope.file,
                    spot,
                    message,
                    format!("`{collection}.{new}`, of the collection `{collection}`"),
                );
                collection.to_owned()
            }
        };
        let place = self.place(&scope.file, spot);
        let sure = !scope.lazy && (!scope.conditional || scope.template);
        self.need((NeedKind::Collection, &collection), place, sure, &scope.base);
    }

    /// `when` and its kin: expressions without braces.
    pub(super) fn conditions(&mut self, node: &Node, scope: &Scope) {
        match &node.value {
            Value::List(items) => items.iter().for_each(|item| self.conditions(item, scope)),
            _ if node.raw => {}
            Value::Scalar { text, plain } => {
                if is_template(text) {
                    let message = "a condition is an expression already: it needs no braces";
                    self.warn(&scope.file, node.spot, message, "leave `{{` and `}}` out");
                    self.rendered_value(text, node.spot, scope);
                } else {
                    self.worked_out(text, *plain, node.spot, scope);
                    self.expression(text, false, node.spot, scope);
                }
            }
            _ => {}
        }
    }

    pub(super) fn loops(&mut self, key: &str, node: &Node, scope: &Scope) {
        let soft = scope.may_not_run();
        // These take lists of lists, whose names stand in a list themselves.
        let inner =
            ["with_subelements", "with_nested", "with_cartesian", "with_together"].contains(&key);
        match &node.value {
            Value::List(items) if inner => items
                .iter()
                .take(1 + items.len() * usize::from(key != "with_subelements"))
                .for_each(|item| self.looped(key, item, scope)),
            Value::List(items) => {
                items.iter().for_each(|item| self.only_old(key, item, scope));
                // Its list was one of names, once.
                for item in items.iter().filter(|_| key == "with_flattened") {
                    if let Some(name) = super::scalar(item)
                        .filter(|text| NAME.captures(text).is_some_and(|found| found[1].is_empty()))
                    {
                        let (place, text) = (self.place(&scope.file, item.spot), name.to_owned());
                        self.bare.push(Bare {
                            place,
                            key: key.into(),
                            name: text.clone(),
                            text,
                            sure: false,
                            only_known: true,
                            soft,
                        });
                    }
                }
            }
            _ => self.looped(key, node, scope),
        }
    }

    fn looped(&mut self, key: &str, node: &Node, scope: &Scope) {
        let soft = scope.may_not_run();
        let Value::Scalar { text, .. } = &node.value else { return };
        let Some(name) = NAME.captures(text.trim()) else {
            if let Some(found) = WORKED_OUT.captures(text.trim()) {
                let place = self.place(&scope.file, node.spot);
                let name = found[1].to_owned();
                self.bare.push(Bare {
                    place,
                    key: key.into(),
                    text: text.trim().into(),
                    name,
                    sure: false,
                    only_known: false,
                    soft,
                });
            } else if key == "loop" && !is_template(text) {
                let (what, hint) = match text.trim().parse::<u32>() {
                    Ok(count) => (
                        "a number",
                        format!(
                            "`loop: \"{{{{ range({count}) | list }}}}\"`, or a list with one item"
                        ),
                    ),
                    Err(_) => {
                        ("a text", "a list: `loop: [a, b]`, or an expression in braces".to_owned())
                    }
                };
                self.no_list(what, hint, node.spot, scope);
            }
            return;
        };
        let sure = !name[1].is_empty()
            || !name[3].is_empty()
            || key == "loop"
            || matches!(key, "with_dict" | "with_subelements");
        let place = self.place(&scope.file, node.spot);
        self.bare.push(Bare {
            place,
            key: key.into(),
            text: text.trim().into(),
            name: name[2].into(),
            sure,
            only_known: false,
            soft,
        });
    }

    /// In a list each item is a text; `$name` of Ansible 1 was none.
    fn only_old(&mut self, key: &str, node: &Node, scope: &Scope) {
        if let Value::Scalar { text, .. } = &node.value
            && text.starts_with('$')
        {
            self.looped(key, node, scope);
        }
    }

    /// A template of the definition that a task names.
    /// `own_marks`: the task says how its tags look.
    pub(super) fn template(&mut self, path: &Path, own_marks: bool, scope: &Scope) {
        if !self.seen.insert(path.to_owned()) || self.seen.len() > super::MOST_FILES {
            return;
        }
        let Some(full) = self.paths.inside(path) else { return };
        let text = match reading::text(&full, MAX_TEMPLATE) {
            Ok(text) => text,
            Err(e) => return self.no_text(path, &e),
        };
        let scope = Scope {
            file: path.to_owned(),
            conditional: true,
            template: true,
            lazy: scope.lazy || scope.conditional && !scope.template,
            ..scope.clone()
        };
        if !own_marks {
            self.rendered_file(&text, &scope);
        }
        let text = live(&text);
        for found in EXPRESSION.captures_iter(&text).take(10_000) {
            let (at, inner) =
                found.get(1).or(found.get(2)).map_or((0, ""), |m| (m.start(), m.as_str()));
            if ["|", "lookup", "ansible_"].iter().any(|part| inner.contains(part))
                || PYTHON_2.is_match(inner)
            {
                let before = &text[..at];
                let line = before.matches('\n').count() + 1;
                let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
                self.expression(
                    inner,
                    text[..at].contains("{%"),
                    Position { line, column },
                    &scope,
                );
            }
        }
    }
}

/// What stands between braces.
fn inner_of(text: &str) -> Vec<&str> {
    EXPRESSION
        .captures_iter(text)
        .filter_map(|c| c.get(1).or(c.get(2)))
        .map(|m| m.as_str())
        .collect()
}
