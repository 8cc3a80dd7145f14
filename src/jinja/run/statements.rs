//! Executes statements, by kind of node.
use crate::jinja::run::Body;
use std::rc::Rc;

use super::{Chain, Run};
use crate::jinja::ast::{Call, Expr, Node, Target};
use crate::jinja::error::{Error, Kind, Result};
use crate::jinja::iterate;
use crate::jinja::out::Out;
use crate::jinja::scope::{Found, Scope};
use crate::jinja::value::Value;

impl Run<'_> {
    pub(super) fn node(
        &self,
        node: &Node,
        scope: &Rc<Scope>,
        chain: &Rc<Chain>,
        out: &mut Out,
    ) -> Result<()> {
        match node {
            Node::Text(text) => out.push(self, Value::Str(text.clone())),
            Node::Output(expr) => match self.eval(expr, scope) {
                Err(why) if why.can_wait() => out.push(self, Value::Missing(why)),
                value => self.locate(expr.at, value.and_then(|v| out.push_from(self, expr.at, v))),
            },
            Node::If(branches, otherwise) => {
                for (condition, body) in branches {
                    if self.condition(condition, scope, out)? {
                        return self.body(body, scope, chain, out);
                    }
                }
                self.body(otherwise, scope, chain, out)
            }
            Node::For(f) => self.repeat(f, scope, chain, out),
            Node::Set(..) | Node::SetBlock(..) | Node::Macro(_) | Node::Unset(_) => {
                self.sets_names(node, scope, chain)
            }
            Node::With(values, body, at) => {
                let inner = Scope::inner(scope);
                for (target, expr) in values {
                    let value = self.eval(expr, scope)?;
                    self.locate(*at, self.assign(target, value, &inner))?;
                }
                self.body(body, &inner, chain, out)
            }
            Node::Filter(filters, body) => {
                let value = self.captured(body, &Scope::inner(scope), chain)?;
                out.push(self, self.filtered(value, filters, scope)?)
            }
            Node::Autoescape(on, body) => {
                self.refuse_autoescape(on, scope)?;
                self.body(body, &Scope::inner(scope), chain, out)
            }
            Node::CallBlock(call, what, at) => {
                let caller = self.closure(what, scope, chain);
                let value = self.call_with(call, scope, Some(caller));
                out.push(self, self.locate(*at, value)?)
            }
            Node::Block(block) => self.block_here(block, scope, chain, out),
            Node::Extends(what, at) => {
                let what = self.eval(what, scope)?;
                if chain.parent.replace(Some(what)).is_some() {
                    return self.locate(*at, Err(Error::raised("extended multiple times")));
                }
                Ok(())
            }
            Node::Include { .. } | Node::Import { .. } | Node::From { .. } => {
                self.other_template(node, scope, out)
            }
        }
    }

    /// `{% set %}`, `{% macro %}`, and names that are set later on.
    fn sets_names(&self, node: &Node, scope: &Rc<Scope>, chain: &Rc<Chain>) -> Result<()> {
        match node {
            Node::Set(target, expr, at) => {
                let value = self.eval(expr, scope)?;
                self.locate(*at, self.assign(target, value, scope))
            }
            Node::SetBlock(target, filters, body, at) => {
                let value = self.captured(body, &Scope::inner(scope), chain)?;
                let value = self.filtered(value, filters, scope)?;
                self.locate(*at, self.assign(target, value, scope))
            }
            Node::Macro(what) => {
                scope.set(&what.name, self.closure(what, scope, chain));
                Ok(())
            }
            Node::Unset(names) => {
                scope.unset(names);
                Ok(())
            }
            _ => unreachable!("no other node sets names only"),
        }
    }

    fn refuse_autoescape(&self, on: &Expr, scope: &Rc<Scope>) -> Result<()> {
        if !self.eval(on, scope)?.truth()? {
            return Ok(());
        }
        let why = "`{% autoescape true %}` escapes nothing in Ansible; leave it out, or use the \
            filter `e`";
        self.locate(on.at, Err(Error::refused(why)))
    }

    /// `{% include %}`, `{% import %}` and `{% from %}`.
    fn other_template(&self, node: &Node, scope: &Rc<Scope>, out: &mut Out) -> Result<()> {
        match node {
            Node::Include { what, missing_is_fine, context, at } => {
                let name = self.eval(what, scope)?;
                let found = match self.locate(*at, self.find(&name)) {
                    Err(why) if why.kind == Kind::NotFound && *missing_is_fine => return Ok(()),
                    found => found?,
                };
                let scope =
                    Scope::root(context.then(|| scope.clone()), *context && scope.sees_variables);
                self.locate(*at, self.whole(&found, &scope, out))
            }
            Node::Import { what, name, context, at } => {
                let module = self.locate(*at, self.import(what, scope, *context))?;
                scope.set(name, Value::Module(module));
                Ok(())
            }
            Node::From { what, names, context, at } => {
                let module = self.locate(*at, self.import(what, scope, *context))?;
                for (name, alias) in names {
                    let value = module.scope.own(name).unwrap_or_else(|| {
                        let why = format!("the template {} does not export `{name}`", module.name);
                        Value::Missing(
                            Error::undefined(&**name, why).at(&self.template.borrow(), *at),
                        )
                    });
                    scope.set(alias, value);
                }
                Ok(())
            }
            _ => unreachable!("no other node names a template"),
        }
    }

    /// Value of a condition. If its evaluation fails, records the error and returns true.
    fn condition(&self, condition: &Expr, scope: &Rc<Scope>, out: &Out) -> Result<bool> {
        let found =
            self.eval(condition, scope).and_then(|value| self.locate(condition.at, value.truth()));
        match found {
            Err(why) if out.is_file() && !why.is_final() => {
                self.found(why);
                Ok(true)
            }
            other => other,
        }
    }

    pub(super) fn captured(
        &self,
        body: &Body,
        scope: &Rc<Scope>,
        chain: &Rc<Chain>,
    ) -> Result<Value> {
        let mut out = Out::value();
        self.body(body, scope, chain, &mut out)?;
        out.value_of(self)
    }

    fn filtered(&self, mut value: Value, filters: &[Call], scope: &Rc<Scope>) -> Result<Value> {
        for filter in filters {
            value = self.locate(filter.at, self.filter_call(value, filter, scope))?;
        }
        Ok(value)
    }

    pub fn assign(&self, target: &Target, value: Value, scope: &Rc<Scope>) -> Result<()> {
        match target {
            Target::Name(name) => scope.set(name, value),
            Target::Member(name, member) => match scope.find(name) {
                Found::Value(Value::Namespace(members)) => members.borrow_mut().put(member, value),
                Found::Value(Value::Guess) => {}
                _ => return Err(Error::raised("cannot assign attribute on non-namespace object")),
            },
            Target::Several(targets) => {
                if matches!(value, Value::Guess) {
                    guess(target, scope);
                    return Ok(());
                }
                let items = iterate::items_even_missing(&value)?;
                if items.len() != targets.len() {
                    let (wanted, got) = (targets.len(), items.len());
                    return Err(Error::raised(format!(
                        "wrong number of values to unpack: {got} instead of {wanted}"
                    )));
                }
                for (target, item) in targets.iter().zip(items) {
                    self.assign(target, item, scope)?;
                }
            }
        }
        Ok(())
    }
}

/// Assigns an unknown value, which stands for any.
pub(super) fn guess(target: &Target, scope: &Rc<Scope>) {
    match target {
        Target::Name(name) => scope.set(name, Value::Guess),
        Target::Member(..) => {}
        Target::Several(all) => all.iter().for_each(|target| guess(target, scope)),
    }
}
