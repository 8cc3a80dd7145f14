//! Names that a scope assigns later. Until then they are undefined in nested scopes, and do not
//! refer to outer variables: this matches the code that Jinja generates.
use std::collections::HashSet;
use std::rc::Rc;

use super::ast::{Body, Call, Expr, For, MacroNode, Node, Target, What};

/// Inserts a [`Node::Unset`] into each body that needs one.
pub fn mark(body: &mut Body) {
    Frames::default().body(&[], &[], body);
}

/// Known names of a scope.
#[derive(Default)]
struct Layer {
    seen: HashSet<Rc<str>>,
    /// Initially undefined names.
    unset: Vec<Rc<str>>,
}

/// The current scope and its parents.
#[derive(Default)]
struct Frames {
    all: Vec<Layer>,
    /// Enclosing branches, in which assignments may not happen.
    branches: usize,
}

impl Frames {
    fn top(&mut self) -> &mut Layer {
        self.all.last_mut().expect("a body is being looked at")
    }

    fn known(&self, name: &str) -> bool {
        self.all.iter().any(|layer| layer.seen.contains(name))
    }

    fn read(&mut self, name: &Rc<str>) {
        if !self.known(name) {
            self.top().seen.insert(name.clone());
        }
    }

    fn write(&mut self, name: &Rc<str>) {
        if !self.known(name) && self.branches == 0 {
            self.top().unset.push(name.clone());
        }
        self.top().seen.insert(name.clone());
    }

    /// Visits the scope of `body`, then nested ones. `names` are its parameters, `first` is read in
    /// it.
    fn body(&mut self, names: &[Rc<str>], first: &[&Expr], body: &mut Body) {
        self.all.push(Layer { seen: names.iter().cloned().collect(), unset: Vec::new() });
        let outer = std::mem::take(&mut self.branches);
        first.iter().for_each(|e| self.expr(e));
        self.nodes(body);
        self.scopes(body);
        self.branches = outer;
        let layer = self.all.pop().expect("just pushed");
        if !layer.unset.is_empty() {
            body.insert(0, Node::Unset(layer.unset));
        }
    }

    fn nodes(&mut self, body: &Body) {
        body.iter().for_each(|node| self.node(node));
    }

    fn node(&mut self, node: &Node) {
        match node {
            Node::Output(e) | Node::Extends(e, _) | Node::Include { what: e, .. } => self.expr(e),
            Node::If(branches, otherwise) => {
                self.branches += 1;
                for (condition, body) in branches {
                    self.expr(condition);
                    self.nodes(body);
                }
                self.nodes(otherwise);
                self.branches -= 1;
            }
            Node::For(f) => self.expr(&f.over),
            Node::Set(target, e, _) => {
                self.expr(e);
                self.target(target);
            }
            Node::SetBlock(target, ..) => self.target(target),
            Node::With(values, ..) => values.iter().for_each(|(_, e)| self.expr(e)),
            Node::Filter(filters, _) => filters.iter().for_each(|call| self.call(call)),
            Node::Macro(m) => self.write(&m.name),
            Node::CallBlock(e, ..) => self.expr(e),
            Node::Import { what, name, .. } => {
                self.expr(what);
                self.write(name);
            }
            Node::From { what, names, .. } => {
                self.expr(what);
                names.iter().for_each(|(_, alias)| self.write(alias));
            }
            Node::Text(_) | Node::Unset(_) | Node::Block(_) | Node::Autoescape(..) => {}
        }
    }

    /// Visits the scopes inside a body.
    fn scopes(&mut self, body: &mut Body) {
        for node in body {
            match node {
                Node::If(branches, otherwise) => {
                    branches.iter_mut().for_each(|(_, body)| self.scopes(body));
                    self.scopes(otherwise);
                }
                Node::For(f) => self.repeat(Rc::get_mut(f).expect("nobody else has it yet")),
                Node::With(values, body, _) => {
                    let mut names = Vec::new();
                    values.iter().for_each(|(target, _)| target.names(&mut names));
                    self.body(&names, &[], body);
                }
                Node::Filter(_, body)
                | Node::SetBlock(_, _, body, _)
                | Node::Autoescape(_, body) => self.body(&[], &[], body),
                Node::Macro(m) | Node::CallBlock(_, m, _) => {
                    self.macro_body(Rc::get_mut(m).expect("nobody else has it yet"))
                }
                // A block does not see the scope around it.
                Node::Block(b) => mark(&mut Rc::get_mut(b).expect("nobody else has it yet").body),
                _ => {}
            }
        }
    }

    fn repeat(&mut self, f: &mut For) {
        let mut names: Vec<Rc<str>> = vec!["loop".into()];
        f.target.names(&mut names);
        self.body(&names, &[], &mut f.body);
        self.body(&[], &[], &mut f.otherwise);
    }

    fn macro_body(&mut self, m: &mut MacroNode) {
        let names: Vec<Rc<str>> = m.parameters.iter().map(|(name, _)| name.clone()).collect();
        let defaults: Vec<&Expr> =
            m.parameters.iter().filter_map(|(_, default)| default.as_ref()).collect();
        self.body(&names, &defaults, &mut m.body);
    }

    fn target(&mut self, target: &Target) {
        match target {
            Target::Name(name) => self.write(name),
            Target::Member(name, _) => self.read(name),
            Target::Several(all) => all.iter().for_each(|target| self.target(target)),
        }
    }

    fn call(&mut self, call: &Call) {
        let named = call.named.iter().map(|(_, e)| e);
        let all: Vec<&Expr> =
            call.positional.iter().chain(named).chain(&call.star).chain(&call.stars).collect();
        all.into_iter().for_each(|e| self.expr(e));
    }

    fn expr(&mut self, expr: &Expr) {
        match &expr.what {
            What::Const(_) => {}
            What::Name(name) => self.read(name),
            What::Tuple(all) | What::List(all) | What::Concat(all) => {
                all.iter().for_each(|e| self.expr(e))
            }
            What::Dict(pairs) => pairs.iter().for_each(|(k, v)| {
                self.expr(k);
                self.expr(v);
            }),
            What::Member(e, _) | What::Not(e) | What::Minus(e) | What::Plus(e) => self.expr(e),
            What::Item(a, b) | What::And(a, b) | What::Or(a, b) | What::Calculate(_, a, b) => {
                self.expr(a);
                self.expr(b);
            }
            What::Slice(e, parts) => {
                self.expr(e);
                parts.iter().flatten().for_each(|e| self.expr(e));
            }
            What::Call(e, call) | What::Filter(e, call) | What::Test(e, call) => {
                self.expr(e);
                self.call(call);
            }
            What::Compare(e, rest) => {
                self.expr(e);
                rest.iter().for_each(|(_, e)| self.expr(e));
            }
            What::Choice(a, b, c) => {
                self.expr(a);
                self.expr(b);
                c.iter().for_each(|e| self.expr(e));
            }
        }
    }
}
