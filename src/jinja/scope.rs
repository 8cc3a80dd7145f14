//! Names that are set, and the scopes that hide each other's as Jinja's do.
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::value::Value;

/// Names that are set. Inner ones hide outer ones.
pub struct Scope {
    vars: RefCell<HashMap<Rc<str>, Value>>,
    /// Names that are set later on: until then they hide outer ones, too, from what is in the same
    /// template.
    unset: RefCell<HashSet<Rc<str>>>,
    pub parent: Option<Rc<Scope>>,
    /// A template or a block begins here.
    begins: bool,
    /// At its end the variables of the bundle come.
    pub sees_variables: bool,
}

impl Scope {
    pub fn root(parent: Option<Rc<Scope>>, sees_variables: bool) -> Rc<Self> {
        Rc::new(Self {
            vars: RefCell::default(),
            unset: RefCell::default(),
            parent,
            begins: true,
            sees_variables,
        })
    }

    pub fn inner(outer: &Rc<Self>) -> Rc<Self> {
        let (parent, sees_variables) = (Some(outer.clone()), outer.sees_variables);
        Rc::new(Self {
            vars: RefCell::default(),
            unset: RefCell::default(),
            parent,
            begins: false,
            sees_variables,
        })
    }

    pub fn unset(&self, names: &[Rc<str>]) {
        self.unset.borrow_mut().extend(names.iter().cloned());
    }

    pub fn set(&self, name: &Rc<str>, value: Value) {
        self.vars.borrow_mut().insert(name.clone(), value);
    }

    /// What was set here itself.
    pub fn own(&self, name: &str) -> Option<Value> {
        self.vars.borrow().get(name).cloned()
    }

    pub fn find(&self, name: &str) -> Found {
        let (mut scope, mut same) = (self, true);
        loop {
            if let Some(value) = scope.own(name) {
                return Found::Value(value);
            }
            if same && scope.unset.borrow().contains(name) {
                return Found::Unset;
            }
            same &= !scope.begins;
            match &scope.parent {
                Some(parent) => scope = parent,
                None => return Found::Nowhere,
            }
        }
    }

    /// The outermost scope of the template that this one is in.
    pub fn top(self: &Rc<Self>) -> Rc<Self> {
        let mut scope = self;
        while let Some(parent) = &scope.parent {
            scope = parent;
        }
        scope.clone()
    }
}

/// What a name stands for in a scope.
pub enum Found {
    Value(Value),
    Unset,
    Nowhere,
}
