//! A render: statements, one after the other, with the scopes that Jinja's have.
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::ast::{BlockNode, Body, Call, Expr, For, MacroNode, Node, Target};
use super::error::{Error, Kind, Result};
use super::iterate;
use super::out::Out;
use super::parse;
use super::source::{self, Source, Syntax};
use super::value::{Dict, Function, Module, Value};

/// Steps of one render: a list of ten thousand entries takes a tenth of it.
pub const FUEL: u64 = 2_000_000;
/// Macros, includes and values of variables inside of each other.
const DEPTH: usize = 150;

/// Names that are set. Inner ones hide outer ones.
pub struct Scope {
    vars: RefCell<HashMap<Rc<str>, Value>>,
    /// Names that are set later on: until then they hide outer ones, too, from what is in the same
    /// template.
    unset: RefCell<HashSet<Rc<str>>>,
    parent: Option<Rc<Scope>>,
    /// A template or a block begins here.
    begins: bool,
    /// At its end the variables of the bundle come.
    sees_variables: bool,
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

    fn unset(&self, names: &[Rc<str>]) {
        self.unset.borrow_mut().extend(names.iter().cloned());
    }

    pub fn set(&self, name: &Rc<str>, value: Value) {
        self.vars.borrow_mut().insert(name.clone(), value);
    }

    /// What was set here itself.
    pub fn own(&self, name: &str) -> Option<Value> {
        self.vars.borrow().get(name).cloned()
    }

    fn find(&self, name: &str) -> Found {
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
}

/// What a name stands for in a scope.
enum Found {
    Value(Value),
    Unset,
    Nowhere,
}

/// The `loop` of a `{% for %}`.
pub struct Loop {
    pub items: Vec<Value>,
    at: Cell<usize>,
    pub depth: usize,
    pub changed: RefCell<Option<Vec<Value>>>,
    /// Of a recursive one: what it runs for other items, and where.
    recursion: Option<(Rc<For>, Rc<Scope>, Rc<Chain>)>,
}

impl Loop {
    pub fn index(&self) -> usize {
        self.at.get()
    }
}

#[derive(Clone)]
pub struct Macro {
    pub what: Rc<MacroNode>,
    scope: Rc<Scope>,
    chain: Rc<Chain>,
    template: Rc<str>,
}

/// A block of a template, and the template.
#[derive(Clone)]
pub struct Block {
    node: Rc<BlockNode>,
    template: Rc<str>,
}

/// The templates that extend each other: for each block its definitions, the one that counts first.
#[derive(Default)]
pub struct Chain {
    blocks: RefCell<HashMap<Rc<str>, Vec<Rc<Block>>>>,
    parent: RefCell<Option<Value>>,
    root: RefCell<Option<Rc<Scope>>>,
}

pub struct Parsed {
    pub name: Rc<str>,
    pub body: Body,
}

/// Finds the text of a template to include; `None`: there is none of that name.
pub type Load<'a> = dyn Fn(&str) -> std::result::Result<Option<String>, String> + 'a;

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
    /// Of the template that is being run: its blocks.
    chain: RefCell<Rc<Chain>>,
    /// Of the outermost template; those it includes are read by it, too.
    syntax: RefCell<Syntax>,
}

/// So many findings in one template are enough.
const MOST: usize = 100;
/// So many values of build-vars.yml may be worked out for one template: ten that name each other
/// ten times each would be ten billion.
const EXPANSIONS: usize = 10_000;
/// Name of the template that the text of a variable is: this, then the variable's path.
pub const EXPANDED: &str = "build-vars.yml:";

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

    /// The text, if nothing was found wrong; that stands in `findings`.
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

    pub fn place<T>(&self, at: usize, result: Result<T>) -> Result<T> {
        result.map_err(|why| why.at(&self.template.borrow(), at))
    }

    /// Takes `steps` of what a render has.
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

    /// Runs `inner` with `name` as the template that places are in.
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

    /// A template and those that it extends.
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

    fn collect(&self, body: &Body, template: &Rc<str>, chain: &Chain) {
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

    fn node(&self, node: &Node, scope: &Rc<Scope>, chain: &Rc<Chain>, out: &mut Out) -> Result<()> {
        match node {
            Node::Text(text) => out.push(self, Value::Str(text.clone())),
            Node::Output(expr) => match self.eval(expr, scope) {
                Err(why) if why.can_wait() => out.push(self, Value::Missing(why)),
                value => self.place(expr.at, value.and_then(|v| out.push_from(self, expr.at, v))),
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
            Node::Set(target, expr, at) => {
                let value = self.eval(expr, scope)?;
                self.place(*at, self.assign(target, value, scope))
            }
            Node::SetBlock(target, filters, body, at) => {
                let value = self.captured(body, &Scope::inner(scope), chain)?;
                let value = self.filtered(value, filters, scope)?;
                self.place(*at, self.assign(target, value, scope))
            }
            Node::With(values, body, at) => {
                let inner = Scope::inner(scope);
                for (target, expr) in values {
                    let value = self.eval(expr, scope)?;
                    self.place(*at, self.assign(target, value, &inner))?;
                }
                self.body(body, &inner, chain, out)
            }
            Node::Filter(filters, body) => {
                let value = self.captured(body, &Scope::inner(scope), chain)?;
                out.push(self, self.filtered(value, filters, scope)?)
            }
            Node::Autoescape(on, body) => {
                if self.eval(on, scope)?.truth()? {
                    let why = "`{% autoescape true %}` escapes nothing in Ansible; leave it out, \
                        or use the filter `e`";
                    return self.place(on.at, Err(Error::refused(why)));
                }
                self.body(body, &Scope::inner(scope), chain, out)
            }
            Node::Macro(what) => {
                scope.set(&what.name, self.closure(what, scope, chain));
                Ok(())
            }
            Node::CallBlock(call, what, at) => {
                let caller = self.closure(what, scope, chain);
                let value = self.call_with(call, scope, Some(caller));
                out.push(self, self.place(*at, value)?)
            }
            Node::Block(block) => self.block_here(block, scope, chain, out),
            Node::Unset(names) => {
                scope.unset(names);
                Ok(())
            }
            Node::Extends(what, at) => {
                let what = self.eval(what, scope)?;
                if chain.parent.replace(Some(what)).is_some() {
                    return self.place(*at, Err(Error::raised("extended multiple times")));
                }
                Ok(())
            }
            Node::Include { what, missing_is_fine, context, at } => {
                let name = self.eval(what, scope)?;
                let found = match self.place(*at, self.find(&name)) {
                    Err(why) if why.kind == Kind::NotFound && *missing_is_fine => return Ok(()),
                    found => found?,
                };
                let scope =
                    Scope::root(context.then(|| scope.clone()), *context && scope.sees_variables);
                self.place(*at, self.whole(&found, &scope, out))
            }
            Node::Import { what, name, context, at } => {
                let module = self.place(*at, self.import(what, scope, *context))?;
                scope.set(name, Value::Module(module));
                Ok(())
            }
            Node::From { what, names, context, at } => {
                let module = self.place(*at, self.import(what, scope, *context))?;
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
        }
    }

    fn closure(&self, what: &Rc<MacroNode>, scope: &Rc<Scope>, chain: &Rc<Chain>) -> Value {
        let template = self.template.borrow().clone();
        let one =
            Macro { what: what.clone(), scope: scope.clone(), chain: chain.clone(), template };
        Value::function(Function::Macro(one))
    }

    /// A condition that cannot be told is on record, and taken for true.
    fn condition(&self, condition: &Expr, scope: &Rc<Scope>, out: &Out) -> Result<bool> {
        let found =
            self.eval(condition, scope).and_then(|value| self.place(condition.at, value.truth()));
        match found {
            Err(why) if out.is_file() && !why.is_final() => {
                self.found(why);
                Ok(true)
            }
            other => other,
        }
    }

    fn captured(&self, body: &Body, scope: &Rc<Scope>, chain: &Rc<Chain>) -> Result<Value> {
        let mut out = Out::value();
        self.body(body, scope, chain, &mut out)?;
        out.value_of(self)
    }

    fn filtered(&self, mut value: Value, filters: &[Call], scope: &Rc<Scope>) -> Result<Value> {
        for filter in filters {
            value = self.place(filter.at, self.filter_call(value, filter, scope))?;
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

    fn repeat(
        &self,
        f: &Rc<For>,
        scope: &Rc<Scope>,
        chain: &Rc<Chain>,
        out: &mut Out,
    ) -> Result<()> {
        let over = self
            .eval(&f.over, scope)
            .and_then(|value| self.place(f.over.at, iterate::items_even_missing(&value)));
        let items = match over {
            Err(why) if out.is_file() && !why.is_final() => {
                self.found(why);
                vec![Value::Guess]
            }
            other => other?,
        };
        self.turns(f, items, (scope, chain), 0, out)
    }

    /// The turns of a loop over `items`.
    fn turns(
        &self,
        f: &Rc<For>,
        items: Vec<Value>,
        (scope, chain): (&Rc<Scope>, &Rc<Chain>),
        depth: usize,
        out: &mut Out,
    ) -> Result<()> {
        let items = match &f.only_if {
            None => items,
            Some(condition) => self.chosen(f, items, condition, scope)?,
        };
        if items.is_empty() {
            return self.body(&f.otherwise, &Scope::inner(scope), chain, out);
        }
        let recursion = f.recursive.then(|| (f.clone(), scope.clone(), chain.clone()));
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
            self.place(f.at, self.assign(&f.target, state.items[at].clone(), &inner))?;
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
            self.place(f.at, self.assign(&f.target, item.clone(), &inner))?;
            let value = self.eval(condition, &inner)?;
            if self.place(condition.at, value.truth())? {
                chosen.push(taken(&f.target, item, &inner));
            }
        }
        Ok(chosen)
    }

    /// `loop(items)` in a recursive loop.
    pub fn recurse(&self, state: &Rc<Loop>, items: &Value) -> Result<Value> {
        let Some((f, scope, chain)) = &state.recursion else {
            return Err(Error::raised(
                "the loop must have the 'recursive' marker to be called recursively",
            ));
        };
        let mut out = Out::value();
        let name = self.template.borrow().clone();
        let items = iterate::items(items)?;
        self.within(&name, || self.turns(f, items, (scope, chain), state.depth + 1, &mut out))?;
        out.value_of(self)
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
        let [uses_varargs, uses_kwargs, uses_caller] = what.uses;
        let more = positional.split_off(what.parameters.len().min(positional.len()));
        let mut given = positional.into_iter();
        let mut take =
            |name: &str| named.iter().position(|(n, _)| **n == *name).map(|at| named.remove(at).1);
        let caller = if what.parameters.iter().any(|(n, _)| **n == *"caller") {
            None
        } else {
            take("caller")
        };
        let mut open = Vec::new();
        for (name, default) in &what.parameters {
            match (given.next(), take(name)) {
                (Some(_), Some(_)) => {
                    return Err(Error::raised(format!(
                        "macro `{}` got two values for `{name}`",
                        what.name
                    )));
                }
                (Some(value), None) | (None, Some(value)) => scope.set(name, value),
                (None, None) => {
                    scope.unset(std::slice::from_ref(name));
                    open.push((name, default));
                }
            }
        }
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
        if uses_varargs {
            scope.set(&"varargs".into(), Value::tuple(more));
        } else if !more.is_empty() {
            return Err(Error::raised(format!(
                "macro `{}` takes not more than {} argument(s)",
                what.name,
                what.parameters.len()
            )));
        }
        if uses_kwargs {
            let mut dict = Dict::new();
            named.into_iter().for_each(|(name, value)| dict.put(&name, value));
            scope.set(&"kwargs".into(), Value::dict(dict));
        } else if let Some((name, _)) = named.first() {
            return Err(Error::raised(format!(
                "macro `{}` takes no keyword argument `{name}`",
                what.name
            )));
        }
        self.within(&m.template, || self.captured(&what.body, &scope, &m.chain))
    }

    fn block_here(
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
            return self.place(
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

    /// `self.name()`: the block of this name, of the template that is being run.
    pub fn named_block(&self, name: &str, scope: &Rc<Scope>) -> Result<Value> {
        let chain = self.chain.borrow().clone();
        let all = chain.blocks.borrow().get(name).cloned();
        let all = all.ok_or_else(|| {
            Error::undefined(format!("self.{name}"), format!("there is no block `{name}`"))
        })?;
        self.call_block(&Rc::new(all), 0, scope)
    }

    fn import(&self, what: &Expr, scope: &Rc<Scope>, context: bool) -> Result<Rc<Module>> {
        let name = self.eval(what, scope)?;
        let found = self.find(&name)?;
        let inner = Scope::root(context.then(|| scope.clone()), context && scope.sees_variables);
        let mut out = Out::value();
        self.whole(&found, &inner, &mut out)?;
        let text = out.text(self)?;
        Ok(Rc::new(Module { name: found.name.clone(), scope: inner, text }))
    }

    /// The template of this name, or of the first name in a list that is there.
    fn find(&self, name: &Value) -> Result<Rc<Parsed>> {
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

    /// Looks a name up.
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

    /// Works out a text of build-vars.yml.
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

impl Scope {
    /// The outermost scope of the template that this one is in.
    fn top(self: &Rc<Self>) -> Rc<Self> {
        let mut scope = self;
        while let Some(parent) = &scope.parent {
            scope = parent;
        }
        scope.clone()
    }
}

/// What a loop with a condition goes through: of several names a tuple, whatever it was.
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

/// What could not be worked out stands for anything.
fn guess(target: &Target, scope: &Rc<Scope>) {
    match target {
        Target::Name(name) => scope.set(name, Value::Guess),
        Target::Member(..) => {}
        Target::Several(all) => all.iter().for_each(|target| guess(target, scope)),
    }
}
