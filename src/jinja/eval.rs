//! Evaluates expressions.
use std::rc::Rc;

use super::args::Args;
use super::ast::{Call, Comparison, Expr, Operator, What};
use super::error::{Error, Result};
use super::run::Run;
use super::scope::Scope;
use super::value::{Dict, Function, Lazy, Value};
use super::{attributes, calls, filters, markup, operators, show, tests_of};

impl Run<'_> {
    /// Evaluates an expression completely, including lazy values.
    pub fn eval(&self, expr: &Expr, scope: &Rc<Scope>) -> Result<Value> {
        let value = self.raw(expr, scope).and_then(|value| self.force(value));
        self.locate(expr.at, value).map(|value| self.standing(expr.at, value))
    }

    /// Locates an undefined value where it was requested, not where it is used.
    fn standing(&self, at: usize, value: Value) -> Value {
        match value {
            Value::Missing(why) if why.spot.is_none() => {
                Value::Missing(why.at(&self.template.borrow(), at))
            }
            other => other,
        }
    }

    /// Evaluates the lazy parts of `value`.
    pub fn force(&self, value: Value) -> Result<Value> {
        let Value::Lazy(lazy) = value else { return Ok(value) };
        let each = |items: &[Value]| {
            items.iter().map(|item| self.force(item.clone())).collect::<Result<Vec<_>>>()
        };
        Ok(match &*lazy {
            Lazy::Text(path, text) => match self.expand(path, text) {
                Err(why) if why.can_wait() => Value::Missing(why),
                other => other?,
            },
            Lazy::List(items) => Value::list(each(items)?),
            Lazy::Dict(dict) => {
                let mut out = Dict::new();
                for (key, value) in dict.iter() {
                    let _ = out.set(key.clone(), self.force(value.clone())?);
                }
                Value::dict(out)
            }
        })
    }

    /// Evaluates an expression; takes items out of a lazy container without evaluating the others.
    fn raw(&self, expr: &Expr, scope: &Rc<Scope>) -> Result<Value> {
        self.step(1)?;
        match &expr.what {
            What::Const(value) => Ok(value.clone()),
            What::Name(name) => {
                let undefined =
                    || Value::Missing(Error::undefined(&**name, format!("`{name}` is undefined")));
                Ok(self.standing(expr.at, self.name(name, scope).unwrap_or_else(undefined)))
            }
            What::Member(base, name) => {
                let base_value = self.raw(base, scope)?;
                let found = self.member(base_value, name)?;
                Ok(found.unwrap_or_else(|| self.missing(expr, base, name)))
            }
            What::Item(base, index) => {
                let base_value = self.raw(base, scope)?;
                let index = self.eval(index, scope)?;
                let found = self.item(base_value, &index)?;
                let shown = || show::text(&index).map_or_else(|_| "?".into(), |s| s.to_string());
                Ok(found.unwrap_or_else(|| self.missing(expr, base, &shown())))
            }
            _ => self.compound(expr, scope),
        }
    }

    fn compound(&self, expr: &Expr, scope: &Rc<Scope>) -> Result<Value> {
        let all =
            |items: &[Expr]| items.iter().map(|e| self.eval(e, scope)).collect::<Result<Vec<_>>>();
        match &expr.what {
            What::Tuple(items) => Ok(Value::tuple(all(items)?)),
            What::List(items) => Ok(Value::new_list(all(items)?, true)),
            What::Dict(pairs) => {
                let mut out = Dict::new();
                for (key, value) in pairs {
                    let key = self.used(key, scope)?;
                    if !out.set(key, self.eval(value, scope)?) {
                        return Err(Error::raised(
                            "a list or a mapping cannot be the key of a mapping",
                        ));
                    }
                }
                Ok(Value::new_dict(out, true))
            }
            What::Slice(base, parts) => {
                let base = self.eval(base, scope)?;
                if let Value::Missing(_) = base {
                    return Ok(base);
                }
                let part = |p: &Option<Expr>| p.as_ref().map(|e| self.used(e, scope)).transpose();
                operators::slice(&base, [part(&parts[0])?, part(&parts[1])?, part(&parts[2])?])
            }
            What::Call(..) => self.call_with(expr, scope, None),
            What::Filter(value, call) => {
                let value = self.eval(value, scope)?;
                waiting(self.locate(call.at, self.filter_call(value, call, scope)))
            }
            What::Test(value, call) => {
                let value = self.eval(value, scope)?;
                let args = self.args(call, scope)?;
                waiting(self.locate(call.at, self.test(&call.name, value, &args)))
            }
            What::Not(e) => Ok(Value::Bool(!self.true_of(e, scope)?)),
            What::And(a, b) => self.either(a, b, false, scope),
            What::Or(a, b) => self.either(a, b, true, scope),
            What::Choice(condition, yes, no) => match (self.true_of(condition, scope)?, no) {
                (true, _) => self.eval(yes, scope),
                (false, Some(no)) => self.eval(no, scope),
                (false, None) => Ok(Value::Nothing),
            },
            What::Concat(parts) => {
                let mut out = String::new();
                for part in parts {
                    out.push_str(&show::text(&self.eval(part, scope)?)?);
                    self.step(out.len() as u64 >> 10)?;
                }
                Ok(Value::from(out))
            }
            _ => self.arithmetic(expr, scope),
        }
    }

    fn arithmetic(&self, expr: &Expr, scope: &Rc<Scope>) -> Result<Value> {
        match &expr.what {
            What::Minus(e) => operators::negative(&self.used(e, scope)?),
            What::Plus(e) => operators::positive(&self.used(e, scope)?),
            What::Calculate(operator, a, b) => self.calculate(*operator, (a, b), scope),
            What::Compare(left, rest) => {
                let mut left = self.used(left, scope)?;
                for (comparison, right) in rest {
                    let right = self.used(right, scope)?;
                    if matches!(left, Value::Guess) || matches!(right, Value::Guess) {
                        return Ok(Value::Guess);
                    }
                    let holds = match comparison {
                        Comparison::In => operators::contains(&right, &left)?,
                        Comparison::NotIn => !operators::contains(&right, &left)?,
                        comparison => operators::compare(*comparison, &left, &right)?,
                    };
                    if !holds {
                        return Ok(Value::Bool(false));
                    }
                    left = right;
                }
                Ok(Value::Bool(true))
            }
            _ => unreachable!("all others are compounds"),
        }
    }

    fn calculate(
        &self,
        operator: Operator,
        (a, b): (&Expr, &Expr),
        scope: &Rc<Scope>,
    ) -> Result<Value> {
        let (a, b) = (self.used(a, scope)?, self.used(b, scope)?);
        match (&a, &b) {
            (Value::Guess, _) | (_, Value::Guess) => Ok(Value::Guess),
            _ => operators::calculate(operator, &a, &b),
        }
    }

    /// Evaluates an expression for use: an undefined value is an error.
    fn used(&self, expr: &Expr, scope: &Rc<Scope>) -> Result<Value> {
        match self.eval(expr, scope)? {
            Value::Missing(why) => Err(why),
            value => Ok(value),
        }
    }

    fn true_of(&self, expr: &Expr, scope: &Rc<Scope>) -> Result<bool> {
        let value = self.eval(expr, scope)?;
        self.locate(expr.at, value.truth())
    }

    fn either(&self, a: &Expr, b: &Expr, when: bool, scope: &Rc<Scope>) -> Result<Value> {
        let first = self.eval(a, scope)?;
        if self.locate(a.at, first.truth())? == when { Ok(first) } else { self.eval(b, scope) }
    }

    fn missing(&self, expr: &Expr, base: &Expr, name: &str) -> Value {
        let path = path(base).map_or_else(String::new, |base| format!("{base}.{name}"));
        let message = if path.is_empty() {
            format!("there is no `{name}`")
        } else {
            format!("`{path}` is undefined")
        };
        Value::Missing(Error::undefined(path, message).at(&self.template.borrow(), expr.at))
    }

    /// `value.name`; `None` if absent.
    pub fn member(&self, value: Value, name: &Rc<str>) -> Result<Option<Value>> {
        match &value {
            Value::Lazy(lazy) => match &**lazy {
                Lazy::Dict(dict) if !attributes::of_dict(name) => Ok(dict.text(name).cloned()),
                _ => self.member(self.force(value)?, name),
            },
            Value::Missing(_) | Value::Guess => Ok(Some(value)),
            _ => match attributes::find(&value, name)? {
                Some(found) => Ok(Some(found)),
                None => Ok(attributes::index(&value, &Value::Str(name.clone()))?),
            },
        }
    }

    /// `value[index]`
    pub fn item(&self, value: Value, index: &Value) -> Result<Option<Value>> {
        if let Value::Missing(_) | Value::Guess = value {
            return Ok(Some(value));
        }
        match index {
            Value::Missing(why) => return Err(why.clone()),
            Value::Guess => return Ok(Some(Value::Guess)),
            _ => {}
        }
        if let Value::Lazy(lazy) = &value {
            return match &**lazy {
                Lazy::Dict(dict) if dict.has(index) => Ok(dict.get(index).cloned()),
                Lazy::List(items) => {
                    Ok(attributes::position(items.len(), index).map(|at| items[at].clone()))
                }
                _ => self.item(self.force(value)?, index),
            };
        }
        if let Some(found) = attributes::index(&value, index)? {
            return Ok(Some(found));
        }
        match index.as_text() {
            Some(name) => attributes::find(&value, name),
            None => Ok(None),
        }
    }

    fn args(&self, call: &Call, scope: &Rc<Scope>) -> Result<Args> {
        let mut args = Args::default();
        for e in &call.positional {
            args.positional.push(self.eval(e, scope)?);
        }
        if let Some(star) = &call.star {
            args.positional.extend(super::iterate::items_even_missing(&self.used(star, scope)?)?);
        }
        for (name, e) in &call.named {
            if args.named.iter().any(|(n, _)| n == name) {
                return Err(Error::raised(format!("keyword argument repeated: {name}")));
            }
            args.named.push((name.clone(), self.eval(e, scope)?));
        }
        if let Some(stars) = &call.stars {
            let Value::Dict(more) = self.used(stars, scope)? else {
                return Err(Error::raised("what stands after ** must be a mapping"));
            };
            for (key, value) in more.borrow().iter() {
                let Some(name) = key.as_text() else {
                    return Err(Error::raised("keywords must be strings"));
                };
                args.named.push((name.clone(), value.clone()));
            }
        }
        Ok(args)
    }

    pub fn filter_call(&self, value: Value, call: &Call, scope: &Rc<Scope>) -> Result<Value> {
        let args = self.args(call, scope)?;
        self.filter(&call.name, value, &args)
    }

    /// Applies a filter. A failure becomes a value whose use is the error.
    pub fn filter(&self, name: &str, value: Value, args: &Args) -> Result<Value> {
        let short = filters::short(name);
        if !filters::known(short) {
            return Err(filters::unknown(name));
        }
        if let Some(why) = filters::refused(short) {
            return Err(Error::refused(why));
        }
        if !filters::takes_missing(short) {
            if let Some(first) = args.first_missing(&value) {
                return Ok(first);
            }
            if args.has_guess(&value) {
                return Ok(Value::Guess);
            }
        }
        self.step(1)?;
        markup::check(short, &value, args)?;
        let marked = matches!(value, Value::Markup(_));
        let done = filters::apply(self, short, value.handed(), &args.handed())?.handed();
        Ok(if marked { markup::filtered(short, done) } else { done })
    }

    /// Applies a test.
    pub fn test(&self, name: &str, value: Value, args: &Args) -> Result<Value> {
        let short = filters::short(name);
        if !tests_of::known(short) {
            return Err(tests_of::unknown(name));
        }
        if !tests_of::takes_missing(short)
            && let Some(first) = args.first_missing(&value)
        {
            return Ok(first);
        }
        if args.has_guess(&value) {
            return Ok(Value::Guess);
        }
        self.step(1)?;
        tests_of::apply(short, value.handed(), args).map(Value::Bool)
    }

    /// Calls a function; from `{% call %}` with its `caller()`.
    pub fn call_with(
        &self,
        expr: &Expr,
        scope: &Rc<Scope>,
        caller: Option<Value>,
    ) -> Result<Value> {
        let What::Call(callee, call) = &expr.what else {
            unreachable!("the parser lets nothing else through")
        };
        let function = self.eval(callee, scope)?;
        let mut args = self.args(call, scope)?;
        if let Some(caller) = caller {
            args.named.push(("caller".into(), caller));
        }
        let called = match &function {
            Value::Missing(why) => Err(self.not_a_function(callee, why)),
            Value::Guess => Ok(Value::Guess),
            Value::Function(f) => self.call(f, args, scope),
            Value::Loop(l) => {
                self.recurse(l, &args.bind("loop", &["iterable"])?.wanted("iterable")?.clone())
            }
            other => Err(Error::raised(format!("'{}' object is not callable", other.kind()))),
        };
        waiting(self.locate(expr.at, called))
    }

    fn not_a_function(&self, callee: &Expr, why: &Rc<Error>) -> Rc<Error> {
        match &callee.what {
            What::Name(name) if why.name == **name => {
                let why =
                    Error { message: format!("function `{name}` is unknown"), ..(**why).clone() };
                Rc::new(why)
            }
            _ => why.clone(),
        }
    }

    pub fn call(&self, function: &Function, args: Args, scope: &Rc<Scope>) -> Result<Value> {
        if let Function::Macro(m) = function {
            return self.call_macro(m, args.positional, args.named);
        }
        if let Some(first) = args.first_missing(&Value::None) {
            return Ok(first);
        }
        if args.has_guess(&Value::None) {
            return Ok(Value::Guess);
        }
        calls::call(self, function, &args.handed(), scope).map(Value::handed)
    }
}

/// Defers the failure of a filter or call until its result is used.
fn waiting(result: Result<Value>) -> Result<Value> {
    match result {
        Err(why) if why.can_wait() => Ok(Value::Missing(why)),
        other => other,
    }
}

/// `a.b.c` as written, if the expression is a dotted name.
fn path(expr: &Expr) -> Option<String> {
    match &expr.what {
        What::Name(name) => Some(name.to_string()),
        What::Member(base, name) => Some(format!("{}.{name}", path(base)?)),
        What::Item(base, index) => match &index.what {
            What::Const(value @ (Value::Str(_) | Value::Int(_))) => {
                Some(format!("{}.{}", path(base)?, show::text(value).ok()?))
            }
            _ => None,
        },
        _ => None,
    }
}
