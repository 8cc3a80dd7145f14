//! Macros: definitions by `{% macro %}`, and calls.
use std::rc::Rc;

use super::{Chain, Run};
use crate::jinja::ast::{Expr, MacroNode};
use crate::jinja::error::{Error, Result};
use crate::jinja::scope::Scope;
use crate::jinja::value::{Dict, Function, Value};

#[derive(Clone)]
pub struct Macro {
    pub what: Rc<MacroNode>,
    scope: Rc<Scope>,
    chain: Rc<Chain>,
    template: Rc<str>,
}

impl Run<'_> {
    pub(super) fn closure(
        &self,
        what: &Rc<MacroNode>,
        scope: &Rc<Scope>,
        chain: &Rc<Chain>,
    ) -> Value {
        let template = self.template.borrow().clone();
        let one =
            Macro { what: what.clone(), scope: scope.clone(), chain: chain.clone(), template };
        Value::function(Function::Macro(one))
    }

    /// Calls a macro with these values.
    pub fn call_macro(
        &self,
        m: &Macro,
        mut positional: Vec<Value>,
        mut named: Vec<(Rc<str>, Value)>,
    ) -> Result<Value> {
        let scope = Scope::inner(&m.scope);
        let what = &m.what;
        let [_, uses_kwargs, uses_caller] = what.uses;
        let more = positional.split_off(what.parameters.len().min(positional.len()));
        let mut given = positional.into_iter();
        let mut take =
            |name: &str| named.iter().position(|(n, _)| **n == *name).map(|at| named.remove(at).1);
        let caller = if what.parameters.iter().any(|(n, _)| **n == *"caller") {
            None
        } else {
            take("caller")
        };
        let open = parameters(what, &scope, |name| (given.next(), take(name)))?;
        for (name, default) in open {
            let value = match default {
                Some(default) => self.within(&m.template, || self.eval(default, &scope))?,
                None => {
                    let why = format!("parameter `{name}` was not provided");
                    Value::Missing(Error::undefined(&**name, why).at(&m.template, what.at))
                }
            };
            scope.set(name, value);
        }
        match caller {
            Some(caller) if uses_caller => scope.set(&"caller".into(), caller),
            Some(caller) if uses_kwargs => named.push(("caller".into(), caller)),
            Some(_) => {
                return Err(Error::raised(format!(
                    "macro `{}` was invoked with two values for the special caller argument",
                    what.name
                )));
            }
            None if uses_caller => {
                let why = Error::undefined("caller", "no caller defined").at(&m.template, what.at);
                scope.set(&"caller".into(), Value::Missing(why));
            }
            None => {}
        }
        rest(what, &scope, more, named)?;
        self.within(&m.template, || self.captured(&what.body, &scope, &m.chain))
    }
}

/// Binds a call's arguments to a macro's parameters. Returns the unbound ones with their defaults.
fn parameters<'m>(
    what: &'m MacroNode,
    scope: &Scope,
    mut given: impl FnMut(&str) -> (Option<Value>, Option<Value>),
) -> Result<Vec<(&'m Rc<str>, &'m Option<Expr>)>> {
    let mut open = Vec::new();
    for (name, default) in &what.parameters {
        match given(name) {
            (Some(_), Some(_)) => {
                let why = format!("macro `{}` got two values for `{name}`", what.name);
                return Err(Error::raised(why));
            }
            (Some(value), None) | (None, Some(value)) => scope.set(name, value),
            (None, None) => {
                scope.unset(std::slice::from_ref(name));
                open.push((name, default));
            }
        }
    }
    Ok(open)
}

/// Binds surplus arguments to `varargs` and `kwargs`, if the macro uses them.
fn rest(
    what: &MacroNode,
    scope: &Scope,
    more: Vec<Value>,
    named: Vec<(Rc<str>, Value)>,
) -> Result<()> {
    let [varargs, kwargs, _] = what.uses;
    if varargs {
        scope.set(&"varargs".into(), Value::tuple(more));
    } else if !more.is_empty() {
        return Err(Error::raised(format!(
            "macro `{}` takes not more than {} argument(s)",
            what.name,
            what.parameters.len()
        )));
    }
    if kwargs {
        let mut dict = Dict::new();
        named.into_iter().for_each(|(name, value)| dict.put(&name, value));
        scope.set(&"kwargs".into(), Value::dict(dict));
    } else if let Some((name, _)) = named.first() {
        return Err(Error::raised(format!(
            "macro `{}` takes no keyword argument `{name}`",
            what.name
        )));
    }
    Ok(())
}
