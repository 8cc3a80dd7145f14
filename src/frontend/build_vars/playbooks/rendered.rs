//! What Ansible renders with Jinja: values of tasks, conditions, variables, templates. Whether
//! Jinja can read it, and whether there are the filters and tests that it names.
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::rc::Rc;

use super::{Scope, Walk, expressions, moved, plugins};
use crate::frontend::build_vars::ansible_cfg::Config;
use crate::frontend::build_vars::yaml::Position;
use crate::frontend::build_vars::{keys, scalar};
use crate::jinja::{self, Error, Kind, Syntax, Use};
use crate::model::diagnostic::{Diagnostic, Location};

/// Bytes of one playbook's texts that are read so; honest ones have some ten thousand.
const MOST_BYTES: usize = 4 << 20;
/// Characters of a tag that are shown.
const SHOWN: usize = 60;
const HINT: &str = "what is meant for another program stands in `{% raw %}…{% endraw %}`, or the \
    value is tagged `!unsafe`";
const CONDITION: &str =
    "a condition is an expression of Jinja's, without braces: `a == b`, `x is defined`";

pub(super) struct Rendered {
    /// Extensions of Jinja may read what we cannot.
    off: bool,
    bytes: usize,
    /// Values as Ansible reads them.
    syntax: Syntax,
    unknown: Vec<Unknown>,
    /// Values of variables that Jinja cannot read.
    broken: Vec<(Rc<str>, Diagnostic)>,
    /// Variables that something asks for.
    used: HashSet<Rc<str>>,
}

pub(super) struct Unknown {
    pub place: Location,
    /// The directory of its playbook.
    pub base: PathBuf,
    pub kind: &'static str,
    pub name: Rc<str>,
    /// It may never be reached.
    pub soft: bool,
}

impl Rendered {
    pub fn of(config: &Config) -> Self {
        let syntax = Syntax { literal_backslashes: true, ..Syntax::default() };
        let (unknown, broken) = (Vec::new(), Vec::new());
        Self {
            off: config.extends_jinja(),
            bytes: 0,
            syntax,
            unknown,
            broken,
            used: HashSet::new(),
        }
    }

    pub fn lacks(&mut self, unknown: Unknown) {
        self.unknown.push(unknown);
    }

    fn takes(&mut self, text: &str) -> bool {
        self.bytes += text.len();
        !self.off && self.bytes <= MOST_BYTES
    }
}

impl Walk<'_> {
    /// A value with braces.
    pub(super) fn rendered_value(&mut self, text: &str, spot: Position, scope: &Scope) {
        if !self.rendered.takes(text) {
            return;
        }
        match jinja::names(text, &self.rendered.syntax) {
            Ok(names) => self.named(names, scope, |_| spot),
            Err(error) => self.unreadable(&error, (&around(text, &error), HINT), spot, scope),
        }
    }

    /// A condition, which stands without braces. `plain`: without quotes, so that it may be no
    /// text.
    pub(super) fn worked_out(&mut self, text: &str, plain: bool, spot: Position, scope: &Scope) {
        let no_text = plain && scalar::printed(text).is_some();
        if text.trim().is_empty() || no_text || !self.rendered.takes(text) {
            return;
        }
        match jinja::names(&format!("{{{{ {text} }}}}"), &self.rendered.syntax) {
            Ok(names) => self.named(names, scope, |_| spot),
            Err(error) => {
                self.unreadable(&error, (&shortened(text.trim()), CONDITION), spot, scope)
            }
        }
    }

    /// A template of its own. One that says itself how it is to be read is left out.
    pub(super) fn rendered_file(&mut self, text: &str, scope: &Scope) {
        if text.starts_with("#jinja2:") || !self.rendered.takes(text) {
            return;
        }
        let Ok(source) = jinja::prepare(text) else { return };
        if !source.is_template() {
            return;
        }
        let spot = |at: usize| {
            let before = source.text.get(..at).unwrap_or_default();
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            Position { line: before.matches('\n').count() + 1, column }
        };
        let scope = Scope { variable: None, unused: false, ..scope.clone() };
        match jinja::names(&source.text, &source.syntax) {
            Ok(names) => self.named(names, &scope, spot),
            Err(error) => {
                let at = error.spot.as_ref().map_or(0, |(_, at)| *at);
                self.unreadable(&error, (&around(&source.text, &error), HINT), spot(at), &scope);
            }
        }
    }

    fn unreadable(
        &mut self,
        error: &Error,
        (shown, hint): (&str, &str),
        spot: Position,
        scope: &Scope,
    ) {
        // What is more than we read is no fault.
        if error.kind != Kind::Syntax {
            return;
        }
        let (place, message) = (
            self.place(&scope.file, spot),
            format!("Jinja cannot read `{shown}`: {}", error.message),
        );
        match &scope.variable {
            Some(variable) => self
                .rendered
                .broken
                .push((variable.clone(), Diagnostic::error(place, message).hint(hint))),
            None if scope.unused => self.warn(&scope.file, spot, message, hint),
            None => self.at_run(scope, spot, message, hint),
        }
    }

    /// `spot`: of a byte in the template.
    fn named(&mut self, names: Vec<jinja::Name>, scope: &Scope, spot: impl Fn(usize) -> Position) {
        for jinja::Name { what, name, at, soft } in names {
            let (kind, known) = match what {
                Use::Variable => {
                    self.rendered.used.insert(name);
                    continue;
                }
                Use::Filter => ("filter", jinja::FILTERS),
                Use::Test => ("test", jinja::TESTS),
            };
            let short = name
                .strip_prefix("ansible.builtin.")
                .or_else(|| name.strip_prefix("ansible.legacy."))
                .unwrap_or(&name);
            // Those of collections are asked for elsewhere, and so are tests that were filters
            // once.
            let told = what == Use::Filter && expressions::is_test(short)
                || moved::to(&format!("{kind}:{short}")).is_some();
            if known.contains(&short) || short.contains('.') || told {
                continue;
            }
            let soft = soft || scope.unused || scope.variable.is_some() || scope.may_not_run();
            self.rendered.unknown.push(Unknown {
                place: self.place(&scope.file, spot(at)),
                base: scope.base.clone(),
                kind,
                name,
                soft,
            });
        }
    }

    /// What can be told only when all is read.
    pub(super) fn unrendered(&mut self) {
        let Rendered { broken, used, unknown, .. } = &mut self.rendered;
        let (broken, used, unknown) =
            (std::mem::take(broken), std::mem::take(used), std::mem::take(unknown));
        for (variable, finding) in broken {
            self.review.found.push(match (used.contains(&variable), finding.place.clone()) {
                (false, Some(place)) => Diagnostic::warning(place, finding.message).hint(HINT),
                _ => finding,
            });
        }
        let mut looked: HashMap<(&str, PathBuf), bool> = HashMap::new();
        for Unknown { place, base, kind, name, soft } in unknown {
            let own = looked.entry((kind, base)).or_insert_with_key(|(kind, base)| {
                let scope = Scope { base: base.clone(), ..Scope::default() };
                self.paths.has_plugins(kind, &scope)
                    || self.paths.may_have_plugins(kind, self.seen.iter())
            });
            if *own {
                continue;
            }
            let message = format!("there is no {} `{name}`", plugins::called(kind));
            let elsewhere = plugins::known(kind).and_then(|_| self.paths.plugins_elsewhere(kind));
            let finding = match soft || self.open || self.elsewhere || elsewhere.is_some() {
                true => Diagnostic::warning(place, message),
                false => Diagnostic::error(place, message),
            };
            let all = plugins::known(kind).unwrap_or(if kind == "filter" {
                jinja::FILTERS
            } else {
                jinja::TESTS
            });
            self.review.found.push(match (elsewhere, keys::nearest(&name, all.iter().copied())) {
                (_, Some(near)) => finding.hint(format!("did you mean `{near}`?")),
                (Some(dir), None) => finding.hint(format!(
                    "a run sees nothing of {dir}: own ones lie in \
                        `{kind}_plugins` beside the playbook"
                )),
                (None, None) => finding.hint(format!(
                    "one of a collection has its full name; own ones lie in \
                        `{kind}_plugins` beside the playbook"
                )),
            });
        }
    }
}

/// The tag that an error stands in.
fn around(text: &str, error: &Error) -> String {
    let at = error.spot.as_ref().map_or(0, |(_, at)| *at).min(text.len());
    let before = text.get(..(at + 2).min(text.len())).or(text.get(..at)).unwrap_or_default();
    let start = ["{{", "{%", "{#"].iter().filter_map(|mark| before.rfind(mark)).max().unwrap_or(0);
    let tag = &text[start..];
    let end = ["}}", "%}"]
        .iter()
        .filter_map(|mark| tag.find(mark).map(|end| end + 2))
        .min()
        .unwrap_or(tag.len());
    shortened(&tag[..end])
}

fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
