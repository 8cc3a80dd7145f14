//! Assigned names, in Jinja's nested scopes.
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::value::Value;

/// Assigned names. Inner ones hide outer ones.
pub struct Scope {
    vars: RefCell<HashMap<Rc<str>, Value>>,
    /// Names assigned later in the same template. Until then they hide outer names too.
    unset: RefCell<HashSet<Rc<str>>>,
    pub parent: Option<Rc<Scope>>,
    /// A template or a block begins here.
    begins: bool,
    /// Names not found here are looked up in the bundle's variables.
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

    /// Value of a name assigned in this scope itself.
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

    /// The outermost scope of this template.
    pub fn top(self: &Rc<Self>) -> Rc<Self> {
        let mut scope = self;
        while let Some(parent) = &scope.parent {
            scope = parent;
        }
        scope.clone()
    }
}

/// Result of looking a name up.
pub enum Found {
    Value(Value),
    Unset,
    Nowhere,
}
