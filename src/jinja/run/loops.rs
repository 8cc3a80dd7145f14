//! `{% for %}`: iterations, condition and recursion.
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::{Chain, Run};
use crate::jinja::ast::{Expr, For, Target};
use crate::jinja::error::{Error, Result};
use crate::jinja::iterate;
use crate::jinja::out::Out;
use crate::jinja::scope::Scope;
use crate::jinja::value::Value;

/// The `loop` of a `{% for %}`.
pub struct Loop {
    pub items: Vec<Value>,
    at: Cell<usize>,
    pub depth: usize,
    pub changed: RefCell<Option<Vec<Value>>>,
    /// Of a recursive loop: the statement that `loop(items)` repeats.
    recursion: Option<Repetition>,
}

/// A `{% for %}` statement, its scope and its chain of templates.
#[derive(Clone)]
struct Repetition {
    statement: Rc<For>,
    scope: Rc<Scope>,
    chain: Rc<Chain>,
}

impl Loop {
    pub fn index(&self) -> usize {
        self.at.get()
    }
}

impl Run<'_> {
    pub(super) fn repeat(
        &self,
        f: &Rc<For>,
        scope: &Rc<Scope>,
        chain: &Rc<Chain>,
        out: &mut Out,
    ) -> Result<()> {
        let over = self
            .eval(&f.over, scope)
            .and_then(|value| self.locate(f.over.at, iterate::items_even_missing(&value)));
        let items = match over {
            Err(why) if out.is_file() && !why.is_final() => {
                self.found(why);
                vec![Value::Guess]
            }
            other => other?,
        };
        let repetition =
            Repetition { statement: f.clone(), scope: scope.clone(), chain: chain.clone() };
        self.turns(&repetition, items, 0, out)
    }

    /// Runs the loop over `items`.
    fn turns(
        &self,
        repetition: &Repetition,
        items: Vec<Value>,
        depth: usize,
        out: &mut Out,
    ) -> Result<()> {
        let Repetition { statement: f, scope, chain } = repetition;
        let items = match &f.only_if {
            None => items,
            Some(condition) => self.chosen(f, items, condition, scope)?,
        };
        if items.is_empty() {
            return self.body(&f.otherwise, &Scope::inner(scope), chain, out);
        }
        let recursion = f.recursive.then(|| repetition.clone());
        let state = Rc::new(Loop {
            items,
            at: Cell::new(0),
            depth,
            changed: RefCell::default(),
            recursion,
        });
        let name: Rc<str> = "loop".into();
        for at in 0..state.items.len() {
            self.step(1)?;
            state.at.set(at);
            let inner = Scope::inner(scope);
            self.locate(f.at, self.assign(&f.target, state.items[at].clone(), &inner))?;
            inner.set(&name, Value::Loop(state.clone()));
            self.body(&f.body, &inner, chain, out)?;
        }
        Ok(())
    }

    fn chosen(
        &self,
        f: &For,
        items: Vec<Value>,
        condition: &Expr,
        scope: &Rc<Scope>,
    ) -> Result<Vec<Value>> {
        let mut chosen = Vec::new();
        for item in items {
            self.step(1)?;
            let inner = Scope::inner(scope);
            self.locate(f.at, self.assign(&f.target, item.clone(), &inner))?;
            let value = self.eval(condition, &inner)?;
            if self.locate(condition.at, value.truth())? {
                chosen.push(taken(&f.target, item, &inner));
            }
        }
        Ok(chosen)
    }

    /// `loop(items)` in a recursive loop.
    pub fn recurse(&self, state: &Rc<Loop>, items: &Value) -> Result<Value> {
        let Some(repetition) = &state.recursion else {
            return Err(Error::raised(
                "the loop must have the 'recursive' marker to be called recursively",
            ));
        };
        let mut out = Out::value();
        let name = self.template.borrow().clone();
        let items = iterate::items(items)?;
        self.within(&name, || self.turns(repetition, items, state.depth + 1, &mut out))?;
        out.value_of(self)
    }
}

/// The item that a loop with a condition keeps. With several targets it becomes a tuple.
fn taken(target: &Target, item: Value, scope: &Scope) -> Value {
    match target {
        Target::Several(all) => {
            match Value::tuple(all.iter().map(|target| taken(target, Value::None, scope)).collect())
            {
                group if group.is_group() => group.plain_pair(),
                other => other,
            }
        }
        Target::Name(name) => scope.own(name).unwrap_or(item),
        Target::Member(..) => item,
    }
}
