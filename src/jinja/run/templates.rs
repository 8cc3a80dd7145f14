//! Finds templates by name, includes and imports them, and expands texts of build-vars.yml.
use std::rc::Rc;

use super::Run;
use crate::jinja::ast::{Body, Expr};
use crate::jinja::error::{Error, Kind, Result};
use crate::jinja::iterate;
use crate::jinja::out::Out;
use crate::jinja::parse;
use crate::jinja::scope::Scope;
use crate::jinja::source::{self, Syntax};
use crate::jinja::value::{Module, Value};

pub struct Parsed {
    pub name: Rc<str>,
    pub body: Body,
}

/// Loads the text of an included template; `None` if there is none of that name.
pub type Load<'a> = dyn Fn(&str) -> std::result::Result<Option<String>, String> + 'a;

/// Maximum number of values of build-vars.yml expanded for one template. Ten values that name each
/// other ten times would be ten billion.
const EXPANSIONS: usize = 10_000;

/// Prefix of the template name of a variable's text; the variable's path follows.
pub const EXPANDED: &str = "build-vars.yml:";

impl Run<'_> {
    pub(super) fn import(
        &self,
        what: &Expr,
        scope: &Rc<Scope>,
        context: bool,
    ) -> Result<Rc<Module>> {
        let name = self.eval(what, scope)?;
        let found = self.find(&name)?;
        let inner = Scope::root(context.then(|| scope.clone()), context && scope.sees_variables);
        let mut out = Out::value();
        self.whole(&found, &inner, &mut out)?;
        let text = out.text(self)?;
        Ok(Rc::new(Module { name: found.name.clone(), scope: inner, text }))
    }

    /// The template of this name, or of the first existing name in a list.
    pub(super) fn find(&self, name: &Value) -> Result<Rc<Parsed>> {
        let names = match name {
            Value::Missing(why) => return Err(why.clone()),
            Value::Str(_) => vec![name.clone()],
            other => iterate::items(other)?,
        };
        for name in &names {
            let Some(name) = name.as_text() else {
                return Err(Error::raised("the name of a template must be a text"));
            };
            if let Some(known) = self.parsed.borrow().get(name) {
                return Ok(known.clone());
            }
            let Some(text) = (self.load)(name).map_err(Error::refused)? else { continue };
            let syntax = self.syntax.borrow().clone();
            let text = source::with_line_ends(&text, &syntax);
            let body = parse::template(name, &text, &syntax)?;
            let parsed = Rc::new(Parsed { name: name.clone(), body });
            self.parsed.borrow_mut().insert(name.clone(), parsed.clone());
            return Ok(parsed);
        }
        let all = names
            .iter()
            .filter_map(Value::as_text)
            .map(|n| format!("`{n}`"))
            .collect::<Vec<_>>()
            .join(", ");
        Err(Error::new(Kind::NotFound, format!("there is no template {all}")))
    }

    /// Expands a text of build-vars.yml.
    pub fn expand(&self, path: &str, text: &Rc<str>) -> Result<Value> {
        if self.expansions.get() >= EXPANSIONS {
            let why = format!(
                "values of build-vars.yml name each other more than {EXPANSIONS} times, `{path}` \
                    among them"
            );
            return Err(Error::new(Kind::Endless, why));
        }
        self.expansions.set(self.expansions.get() + 1);
        let name: Rc<str> = format!("{EXPANDED}{path}").into();
        if self.depth.get() > 20 {
            return Err(
                Error::refused(format!("the value of `{path}` refers to itself")).at(&name, 0)
            );
        }
        let known = self.parsed.borrow().get(&name).cloned();
        let parsed = match known {
            Some(parsed) => parsed,
            None => {
                let syntax = Syntax { literal_backslashes: true, ..Syntax::default() };
                let body = parse::template(&name, &source::with_line_ends(text, &syntax), &syntax)?;
                let parsed = Rc::new(Parsed { name: name.clone(), body });
                self.parsed.borrow_mut().insert(name.clone(), parsed.clone());
                parsed
            }
        };
        let mut out = Out::value();
        self.whole(&parsed, &Scope::root(None, true), &mut out)?;
        let value = out.value_of(self)?;
        Ok(match value.as_text() {
            Some(done) => Value::from(source::with_ends_of(done, text)),
            None => value,
        })
    }
}
