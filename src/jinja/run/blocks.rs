//! Blocks of templates that extend each other.
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::Run;
use crate::jinja::ast::{BlockNode, Body, Node};
use crate::jinja::error::{Error, Result};
use crate::jinja::out::Out;
use crate::jinja::scope::Scope;
use crate::jinja::value::{Function, Value};

/// A block, and the name of its template.
#[derive(Clone)]
pub struct Block {
    node: Rc<BlockNode>,
    template: Rc<str>,
}

/// Templates that extend each other: the definitions of each block, the effective one first.
#[derive(Default)]
pub struct Chain {
    blocks: RefCell<HashMap<Rc<str>, Vec<Rc<Block>>>>,
    pub(super) parent: RefCell<Option<Value>>,
    pub(super) root: RefCell<Option<Rc<Scope>>>,
}

impl Run<'_> {
    pub(super) fn collect(&self, body: &Body, template: &Rc<str>, chain: &Chain) {
        for node in body {
            let inner: Vec<&Body> = match node {
                Node::Block(block) => {
                    let one = Rc::new(Block { node: block.clone(), template: template.clone() });
                    chain.blocks.borrow_mut().entry(block.name.clone()).or_default().push(one);
                    vec![&block.body]
                }
                Node::If(branches, otherwise) => {
                    branches.iter().map(|(_, b)| b).chain([otherwise]).collect()
                }
                Node::For(f) => vec![&f.body, &f.otherwise],
                Node::With(_, body, _) | Node::Filter(_, body) | Node::Autoescape(_, body) => {
                    vec![body]
                }
                _ => Vec::new(),
            };
            inner.into_iter().for_each(|body| self.collect(body, template, chain));
        }
    }

    pub(super) fn block_here(
        &self,
        block: &Rc<BlockNode>,
        scope: &Rc<Scope>,
        chain: &Rc<Chain>,
        out: &mut Out,
    ) -> Result<()> {
        let all: Rc<Vec<Rc<Block>>> =
            Rc::new(chain.blocks.borrow().get(&block.name).cloned().unwrap_or_default());
        let Some(first) = all.first() else { return Ok(()) };
        if first.node.required {
            return self.locate(
                block.at,
                Err(Error::raised(format!("Required block `{}` not found", block.name))),
            );
        }
        let root = chain.root.borrow().clone().filter(|_| !block.scoped);
        self.block_body(&all, 0, (&root.unwrap_or_else(|| scope.clone()), chain), out)
    }

    fn block_body(
        &self,
        all: &Rc<Vec<Rc<Block>>>,
        at: usize,
        (outer, chain): (&Rc<Scope>, &Rc<Chain>),
        out: &mut Out,
    ) -> Result<()> {
        let scope = Scope::root(Some(outer.clone()), outer.sees_variables);
        let block = &all[at];
        let reference = Function::Block(at + 1, all.clone());
        scope.set(&"super".into(), Value::function(reference));
        self.within(&block.template, || self.body(&block.node.body, &scope, chain, out))
    }

    /// `super()`, `self.name()`.
    pub fn call_block(
        &self,
        all: &Rc<Vec<Rc<Block>>>,
        at: usize,
        scope: &Rc<Scope>,
    ) -> Result<Value> {
        if at >= all.len() {
            return Err(Error::undefined("super", "there is no parent block"));
        }
        let chain = Rc::new(Chain::default());
        let mut out = Out::value();
        self.block_body(all, at, (&scope.top(), &chain), &mut out)?;
        out.value_of(self)
    }

    /// `self.name()`: renders this block of the current template.
    pub fn named_block(&self, name: &str, scope: &Rc<Scope>) -> Result<Value> {
        let chain = self.chain.borrow().clone();
        let all = chain.blocks.borrow().get(name).cloned();
        let all = all.ok_or_else(|| {
            Error::undefined(format!("self.{name}"), format!("there is no block `{name}`"))
        })?;
        self.call_block(&Rc::new(all), 0, scope)
    }
}
