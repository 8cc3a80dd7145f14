//! Checks for unknown filters and tests before rendering, as Jinja does, except inside conditions.
use std::rc::Rc;

use super::ast::{Body, Call, Expr, Node, What};
use super::error::Result;
use super::{filters, tests_of};

/// A filter or test that a template uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    Filter,
    Test,
    Variable,
}

/// Checks a whole template. In branches of `{% if %}` and `a if b else c`, an unknown name is an
/// error only when reached.
pub fn check(name: &Rc<str>, body: &Body) -> Result<()> {
    each(body, &mut |what, used, at, soft| match what {
        Use::Filter if !soft && !filters::known(filters::short(used)) => {
            Err(filters::unknown(used).at(name, at))
        }
        Use::Test if !soft && !tests_of::known(filters::short(used)) => {
            Err(tests_of::unknown(used).at(name, at))
        }
        _ => Ok(()),
    })
}

/// Calls `see` with every name, its position, and whether it may never be reached.
pub fn each(body: &Body, see: See<'_>) -> Result<()> {
    Check { see }.body(body, false)
}

pub type See<'s> = &'s mut dyn FnMut(Use, &Rc<str>, usize, bool) -> Result<()>;

struct Check<'s> {
    see: See<'s>,
}

impl Check<'_> {
    fn body(&mut self, body: &Body, soft: bool) -> Result<()> {
        body.iter().try_for_each(|node| self.node(node, soft))
    }

    fn node(&mut self, node: &Node, soft: bool) -> Result<()> {
        match node {
            Node::Text(_) | Node::Unset(_) => Ok(()),
            Node::Output(e) | Node::Set(_, e, _) | Node::Extends(e, _) => self.expr(e, soft),
            Node::Include { what, .. } | Node::Import { what, .. } | Node::From { what, .. } => {
                self.expr(what, soft)
            }
            Node::If(branches, otherwise) => {
                for (condition, body) in branches {
                    self.expr(condition, true)?;
                    self.body(body, true)?;
                }
                self.body(otherwise, true)
            }
            Node::For(f) => {
                self.expr(&f.over, soft)?;
                f.only_if.iter().try_for_each(|e| self.expr(e, false))?;
                self.body(&f.body, false)?;
                self.body(&f.otherwise, false)
            }
            Node::SetBlock(_, filters, body, _) | Node::Filter(filters, body) => {
                filters.iter().try_for_each(|call| self.filter(call, false))?;
                self.body(body, false)
            }
            Node::With(values, body, _) => {
                values.iter().try_for_each(|(_, e)| self.expr(e, soft))?;
                self.body(body, false)
            }
            Node::Autoescape(e, body) => {
                self.expr(e, soft)?;
                self.body(body, soft)
            }
            Node::Macro(m) => {
                m.parameters
                    .iter()
                    .filter_map(|(_, e)| e.as_ref())
                    .try_for_each(|e| self.expr(e, false))?;
                self.body(&m.body, false)
            }
            Node::CallBlock(e, m, _) => {
                self.expr(e, soft)?;
                self.body(&m.body, false)
            }
            Node::Block(b) => self.body(&b.body, false),
        }
    }

    fn filter(&mut self, call: &Call, soft: bool) -> Result<()> {
        (self.see)(Use::Filter, &call.name, call.at, soft)?;
        self.call(call, soft)
    }

    fn call(&mut self, call: &Call, soft: bool) -> Result<()> {
        let named = call.named.iter().map(|(_, e)| e);
        let all = call.positional.iter().chain(named).chain(&call.star).chain(&call.stars);
        all.into_iter().try_for_each(|e| self.expr(e, soft))
    }

    fn expr(&mut self, expr: &Expr, soft: bool) -> Result<()> {
        match &expr.what {
            What::Const(_) => Ok(()),
            What::Name(name) => (self.see)(Use::Variable, name, expr.at, soft),
            What::Tuple(all) | What::List(all) | What::Concat(all) => {
                all.iter().try_for_each(|e| self.expr(e, soft))
            }
            What::Dict(pairs) => pairs
                .iter()
                .try_for_each(|(k, v)| self.expr(k, soft).and_then(|()| self.expr(v, soft))),
            What::Member(e, _) | What::Not(e) | What::Minus(e) | What::Plus(e) => {
                self.expr(e, soft)
            }
            What::Item(a, b) | What::And(a, b) | What::Or(a, b) | What::Calculate(_, a, b) => {
                self.expr(a, soft)?;
                self.expr(b, soft)
            }
            What::Slice(e, parts) => {
                self.expr(e, soft)?;
                parts.iter().flatten().try_for_each(|e| self.expr(e, soft))
            }
            What::Call(e, call) => {
                self.expr(e, soft)?;
                self.call(call, soft)
            }
            What::Filter(e, call) => {
                self.expr(e, soft)?;
                self.filter(call, soft)
            }
            What::Test(e, call) => {
                self.expr(e, soft)?;
                (self.see)(Use::Test, &call.name, call.at, soft)?;
                self.call(call, soft)
            }
            What::Compare(e, rest) => {
                self.expr(e, soft)?;
                rest.iter().try_for_each(|(_, e)| self.expr(e, soft))
            }
            What::Choice(a, b, c) => {
                self.expr(a, true)?;
                self.expr(b, true)?;
                c.iter().try_for_each(|e| self.expr(e, true))
            }
        }
    }
}
