//! Rendering: executes statements in order, with Jinja's scopes.
use crate::jinja::run::statements::guess;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use super::ast::{Body, Node};
use super::error::{Error, Kind, Result};
use super::out::Out;
use super::parse;
use super::scope::{Found, Scope};
use super::source::{Source, Syntax};
use super::value::{Dict, Function, Value};

mod blocks;
mod loops;
mod macros;
mod statements;
mod templates;

pub use blocks::{Block, Chain};
pub use loops::Loop;
pub use macros::Macro;
pub use templates::{EXPANDED, Load, Parsed};

/// Maximum number of steps of a render. A list of ten thousand entries takes a tenth of it.
pub const FUEL: u64 = 2_000_000;
/// Maximum nesting of macros, includes and values of variables.
const DEPTH: usize = 150;

/// One render of one template.
pub struct Run<'a> {
    pub variables: &'a Dict,
    load: &'a Load<'a>,
    fuel: Cell<u64>,
    depth: Cell<usize>,
    expansions: Cell<usize>,
    pub findings: RefCell<Vec<Rc<Error>>>,
    pub template: RefCell<Rc<str>>,
    parsed: RefCell<HashMap<Rc<str>, Rc<Parsed>>>,
    /// Blocks of the current template.
    chain: RefCell<Rc<Chain>>,
    /// Syntax of the outermost template, which applies to included ones too.
    syntax: RefCell<Syntax>,
}

/// Maximum number of findings in a template.
const MOST: usize = 100;

impl<'a> Run<'a> {
    pub fn new(variables: &'a Dict, load: &'a Load<'a>) -> Self {
        Self {
            variables,
            load,
            fuel: Cell::new(FUEL),
            depth: Cell::new(0),
            expansions: Cell::new(0),
            findings: RefCell::default(),
            template: RefCell::new("".into()),
            parsed: RefCell::default(),
            chain: RefCell::default(),
            syntax: RefCell::default(),
        }
    }

    /// The rendered text. Not valid if there are `findings`.
    pub fn template(&self, name: &str, source: &Source, most: usize) -> String {
        let name: Rc<str> = name.into();
        *self.template.borrow_mut() = name.clone();
        *self.syntax.borrow_mut() = source.syntax.clone();
        let mut out = Out::file(most);
        let done = parse::template(&name, &source.text, &source.syntax).and_then(|body| {
            let parsed = Parsed { name, body };
            self.whole(&parsed, &Scope::root(None, true), &mut out)
        });
        let text = done.and_then(|()| out.written(self, &source.written));
        text.unwrap_or_else(|why| {
            self.found(why);
            String::new()
        })
    }

    pub fn found(&self, why: Rc<Error>) {
        let why = why.at(&self.template.borrow(), 0);
        let mut findings = self.findings.borrow_mut();
        if findings.len() < MOST && !findings.contains(&why) {
            findings.push(why);
        }
    }

    pub fn locate<T>(&self, at: usize, result: Result<T>) -> Result<T> {
        result.map_err(|why| why.at(&self.template.borrow(), at))
    }

    /// Counts `steps` against the limit of a render.
    pub fn step(&self, steps: u64) -> Result<()> {
        match self.fuel.get().checked_sub(steps) {
            Some(left) => {
                self.fuel.set(left);
                Ok(())
            }
            None => Err(Error::new(
                Kind::Endless,
                format!("does not come to an end: more than {FUEL} steps of rendering"),
            )),
        }
    }

    /// Runs `inner` with `name` as the template of locations.
    fn within<T>(&self, name: &Rc<str>, inner: impl FnOnce() -> Result<T>) -> Result<T> {
        if self.depth.get() >= DEPTH {
            return Err(Error::refused(format!(
                "goes more than {DEPTH} levels deep: a macro or template that calls itself"
            )));
        }
        self.depth.set(self.depth.get() + 1);
        let outer = self.template.replace(name.clone());
        let done = inner();
        *self.template.borrow_mut() = outer;
        self.depth.set(self.depth.get() - 1);
        done
    }

    /// Renders a template and those that it extends.
    fn whole(&self, parsed: &Parsed, scope: &Rc<Scope>, out: &mut Out) -> Result<()> {
        let chain = Rc::new(Chain::default());
        *chain.root.borrow_mut() = Some(scope.clone());
        let outer = self.chain.replace(chain.clone());
        let done = self.chained(parsed, scope, &chain, out);
        *self.chain.borrow_mut() = outer;
        done
    }

    fn chained(
        &self,
        parsed: &Parsed,
        scope: &Rc<Scope>,
        chain: &Rc<Chain>,
        out: &mut Out,
    ) -> Result<()> {
        let mut current = None::<Rc<Parsed>>;
        loop {
            let (name, body) =
                current.as_ref().map_or((&parsed.name, &parsed.body), |p| (&p.name, &p.body));
            self.collect(body, name, chain);
            self.within(name, || self.body(body, scope, chain, out))?;
            let Some(next) = chain.parent.take() else { return Ok(()) };
            self.step(100)?;
            current = Some(self.find(&next)?);
        }
    }

    pub fn body(
        &self,
        body: &Body,
        scope: &Rc<Scope>,
        chain: &Rc<Chain>,
        out: &mut Out,
    ) -> Result<()> {
        for node in body {
            // What comes after `{% extends %}` is not written.
            let silent = chain.parent.borrow().is_some();
            if silent && matches!(node, Node::Text(_) | Node::Output(_) | Node::Block(_)) {
                continue;
            }
            let done = self.step(1).and_then(|()| self.node(node, scope, chain, out));
            match done {
                Err(why) if out.is_file() && !why.is_final() => {
                    self.found(why);
                    if let Node::Set(target, ..) | Node::SetBlock(target, ..) = node {
                        guess(target, scope);
                    }
                }
                other => other?,
            }
        }
        Ok(())
    }

    /// Value of a name.
    pub fn name(&self, name: &Rc<str>, scope: &Rc<Scope>) -> Option<Value> {
        match scope.find(name) {
            Found::Value(value) => return Some(value),
            Found::Unset => return None,
            Found::Nowhere => {}
        }
        if **name == *"self" {
            return Some(Value::function(Function::Global("self")));
        }
        let variable = scope.sees_variables.then(|| self.variables.text(name).cloned()).flatten();
        variable.or_else(|| super::globals::find(name))
    }
}
