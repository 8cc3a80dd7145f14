//! Parser of statements.
use std::rc::Rc;

use super::ast::{BlockNode, Body, Call, Expr, For, MacroNode, Node, Target, What};
use super::error::{Error, Kind, Result};
use super::lex::{self, Token};
use super::source::Syntax;

pub struct Parser<'a> {
    pub name: &'a Rc<str>,
    tokens: Vec<(Token, usize)>,
    at: usize,
    pub depth: usize,
    /// Those of `varargs`, `kwargs` and `caller` that the current macro uses.
    pub uses: [bool; 3],
    /// Number of enclosing loops.
    loops: usize,
    /// Number of enclosing tags whose text becomes a value: macros, `{% filter %}` and similar.
    keeping: usize,
}

/// Maximum nesting of tags and expressions, because each level uses stack.
pub const DEPTH: usize = 120;

/// Parses a template.
pub fn template(name: &Rc<str>, text: &str, syntax: &Syntax) -> Result<Body> {
    let mut body = bare(name, text, syntax)?;
    super::known::check(name, &body)?;
    super::unset::mark(&mut body);
    Ok(body)
}

/// Parses a template without checking the names of its filters and tests.
pub fn bare(name: &Rc<str>, text: &str, syntax: &Syntax) -> Result<Body> {
    let tokens = lex::tokens(name, text, syntax)?;
    let mut parser =
        Parser { name, tokens, at: 0, depth: 0, uses: [false; 3], loops: 0, keeping: 0 };
    Ok(parser.body(&[])?.0)
}

impl Parser<'_> {
    pub fn peek(&self) -> &Token {
        &self.tokens[self.at].0
    }

    pub fn peek_after(&self) -> &Token {
        &self.tokens[(self.at + 1).min(self.tokens.len() - 1)].0
    }

    /// Byte offset of the next token in the template.
    pub fn here(&self) -> usize {
        self.tokens[self.at].1
    }

    pub fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    pub fn fail<T>(&self, at: usize, why: impl Into<String>) -> Result<T> {
        Err(Error::new(Kind::Syntax, why).at(self.name, at))
    }

    /// Fails for a template that is valid in Jinja and unsupported here.
    pub fn beyond<T>(&self, at: usize, why: impl Into<String>) -> Result<T> {
        Err(Error::refused(why).at(self.name, at))
    }

    pub fn unexpected<T>(&self, wanted: &str) -> Result<T> {
        let found = match self.peek() {
            Token::Text(_) | Token::Variable | Token::Block => "the start of a tag or text".into(),
            Token::VariableEnd | Token::BlockEnd => "the end of the tag".into(),
            Token::Name(name) => format!("`{name}`"),
            Token::Str(_) => "a text in quotes".into(),
            Token::Int(_) | Token::Float(_) => "a number".into(),
            Token::Sign(sign) => format!("`{sign}`"),
            Token::End => "the end of the template".into(),
        };
        self.fail(self.here(), format!("unexpected {found}, expected {wanted}"))
    }

    pub fn is_sign(&self, sign: &str) -> bool {
        matches!(self.peek(), Token::Sign(s) if *s == sign)
    }

    pub fn is_name(&self, name: &str) -> bool {
        matches!(self.peek(), Token::Name(n) if **n == *name)
    }

    pub fn skip_sign(&mut self, sign: &str) -> bool {
        let found = self.is_sign(sign);
        if found {
            self.next();
        }
        found
    }

    pub fn skip_name(&mut self, name: &str) -> bool {
        let found = self.is_name(name);
        if found {
            self.next();
        }
        found
    }

    pub fn expect_sign(&mut self, sign: &str) -> Result<()> {
        if self.skip_sign(sign) { Ok(()) } else { self.unexpected(&format!("`{sign}`")) }
    }

    pub fn expect_name(&mut self) -> Result<Rc<str>> {
        match self.peek() {
            Token::Name(name) => {
                let name = name.clone();
                self.next();
                Ok(name)
            }
            _ => self.unexpected("a name"),
        }
    }

    fn block_end(&mut self) -> Result<()> {
        match self.peek() {
            Token::BlockEnd => {
                self.next();
                Ok(())
            }
            _ => self.unexpected("the end of the tag"),
        }
    }

    /// Runs `inner` one level deeper.
    pub fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= DEPTH {
            return self.beyond(self.here(), format!("nested more than {DEPTH} levels deep"));
        }
        self.depth += 1;
        let out = inner(self);
        self.depth -= 1;
        out
    }

    /// Parses up to one of the tags `ends`. Returns its name, and leaves its `%}` unread.
    fn body(&mut self, ends: &[&str]) -> Result<(Body, Rc<str>)> {
        let mut body = Vec::new();
        loop {
            let at = self.here();
            match self.next() {
                Token::Text(text) => body.push(Node::Text(text.into())),
                Token::Variable => {
                    let expr = self.tuple(true)?;
                    if *self.peek() != Token::VariableEnd {
                        return self.unexpected("the end of the tag");
                    }
                    self.next();
                    body.push(Node::Output(expr));
                }
                Token::Block => {
                    let Token::Name(word) = self.peek().clone() else {
                        return self.unexpected("the name of a tag");
                    };
                    if ends.contains(&&*word) {
                        self.next();
                        return Ok((body, word));
                    }
                    let at = self.here();
                    self.next();
                    let node = self.deeper(|p| p.statement(&word, at))?;
                    body.extend(node);
                    self.block_end()?;
                }
                Token::End if ends.is_empty() => return Ok((body, "".into())),
                Token::End => {
                    let wanted = ends
                        .iter()
                        .map(|e| format!("`{{% {e} %}}`"))
                        .collect::<Vec<_>>()
                        .join(" or ");
                    return self
                        .fail(at, format!("unexpected end of the template, expected {wanted}"));
                }
                _ => return self.fail(at, "unexpected end of a tag"),
            }
        }
    }

    fn inner(&mut self, end: &str) -> Result<Body> {
        self.block_end()?;
        Ok(self.body(&[end])?.0)
    }

    /// Parses a body whose text becomes a value.
    fn kept(&mut self, end: &str) -> Result<Body> {
        self.keeping += 1;
        let body = self.inner(end);
        self.keeping -= 1;
        body
    }

    fn statement(&mut self, word: &str, at: usize) -> Result<Option<Node>> {
        Ok(Some(match word {
            "if" => self.choice()?,
            "for" => self.repeat(at)?,
            "set" => self.set(at)?,
            "with" => self.with(at)?,
            "filter" => {
                let filters = self.filters(true)?;
                Node::Filter(filters, self.kept("endfilter")?)
            }
            "autoescape" => {
                let on = self.expression()?;
                Node::Autoescape(on, self.inner("endautoescape")?)
            }
            "macro" => {
                let name = self.expect_name()?;
                Node::Macro(self.macro_node(name, "endmacro", at)?)
            }
            "call" => self.call_block(at)?,
            "block" => self.block(at)?,
            "extends" => Node::Extends(self.expression()?, at),
            "include" => self.include(at)?,
            "import" => {
                let what = self.expression()?;
                if !self.skip_name("as") {
                    return self.unexpected("`as`");
                }
                let name = self.expect_name()?;
                Node::Import { what, name, context: self.context(false), at }
            }
            "from" => self.from(at)?,
            "print" => Node::Output(self.tuple(true)?),
            other => {
                return match other {
                    "do" | "break" | "continue" | "debug" | "trans" => self.fail(
                        at,
                        format!(
                            "the tag `{other}` belongs to an extension of Jinja \
                            that Ansible does not load"
                        ),
                    ),
                    _ => self.fail(at, format!("unknown tag `{other}`")),
                };
            }
        }))
    }

    fn choice(&mut self) -> Result<Node> {
        let mut branches = Vec::new();
        loop {
            let condition = self.tuple_without_choice()?;
            self.block_end()?;
            let (body, end) = self.body(&["elif", "else", "endif"])?;
            branches.push((condition, body));
            match &*end {
                "elif" => {}
                "else" => return Ok(Node::If(branches, self.inner("endif")?)),
                _ => return Ok(Node::If(branches, Vec::new())),
            }
        }
    }

    fn repeat(&mut self, at: usize) -> Result<Node> {
        let target = self.target("in")?;
        if !self.skip_name("in") {
            return self.unexpected("`in`");
        }
        let over = self.tuple_before_recursive()?;
        let only_if = if self.skip_name("if") { Some(self.expression()?) } else { None };
        let recursive = self.skip_name("recursive");
        self.block_end()?;
        (self.loops, self.keeping) = (self.loops + 1, self.keeping + usize::from(recursive));
        let (body, end) = self.body(&["endfor", "else"])?;
        let otherwise = if &*end == "else" { self.inner("endfor")? } else { Vec::new() };
        (self.loops, self.keeping) = (self.loops - 1, self.keeping - usize::from(recursive));
        Ok(Node::For(Rc::new(For { target, over, only_if, body, otherwise, recursive, at })))
    }

    /// Parses assignment targets, up to `=`, `%}`, or the name `end`.
    fn target(&mut self, end: &str) -> Result<Target> {
        let mut all = vec![self.one_target()?];
        let mut several = false;
        while self.skip_sign(",") {
            several = true;
            if self.is_name(end) || self.is_sign("=") || self.is_sign(")") {
                break;
            }
            all.push(self.one_target()?);
        }
        Ok(if several { Target::Several(all) } else { all.remove(0) })
    }

    fn one_target(&mut self) -> Result<Target> {
        if self.skip_sign("(") {
            let inner = self.deeper(|p| p.target(")"))?;
            self.expect_sign(")")?;
            return Ok(inner);
        }
        let at = self.here();
        let name = self.expect_name()?;
        if ["true", "false", "none", "True", "False", "None"].contains(&&*name) {
            return self.fail(at, format!("cannot assign to `{name}`"));
        }
        Ok(if self.skip_sign(".") {
            Target::Member(name, self.expect_name()?)
        } else {
            Target::Name(name)
        })
    }

    fn set(&mut self, at: usize) -> Result<Node> {
        let target = self.target("")?;
        let mut names = Vec::new();
        target.names(&mut names);
        if self.loops > 0 && names.iter().any(|name| **name == *"loop") {
            return self.fail(at, "cannot assign to `loop` in a loop");
        }
        if self.skip_sign("=") {
            return Ok(Node::Set(target, self.tuple(true)?, at));
        }
        let filters = self.filters(false)?;
        Ok(Node::SetBlock(target, filters, self.kept("endset")?, at))
    }

    fn with(&mut self, at: usize) -> Result<Node> {
        let mut all = Vec::new();
        while *self.peek() != Token::BlockEnd {
            if !all.is_empty() {
                self.expect_sign(",")?;
            }
            let target = self.one_target()?;
            self.expect_sign("=")?;
            all.push((target, self.expression()?));
        }
        Ok(Node::With(all, self.inner("endwith")?, at))
    }

    fn macro_node(&mut self, name: Rc<str>, end: &str, at: usize) -> Result<Rc<MacroNode>> {
        let mut parameters: Vec<(Rc<str>, Option<Expr>)> = Vec::new();
        let outer = std::mem::take(&mut self.uses);
        if end == "endmacro" || self.is_sign("(") {
            self.expect_sign("(")?;
            while !self.is_sign(")") {
                if !parameters.is_empty() {
                    self.expect_sign(",")?;
                }
                let name = self.expect_name()?;
                let default = if self.skip_sign("=") { Some(self.expression()?) } else { None };
                if default.is_none() && parameters.iter().any(|(_, d)| d.is_some()) {
                    return self.fail(self.here(), "non-default argument follows default argument");
                }
                parameters.push((name, default));
            }
            self.expect_sign(")")?;
        }
        if end == "endmacro" {
            let body = self.kept(end)?;
            let uses = std::mem::replace(&mut self.uses, outer);
            return Ok(Rc::new(MacroNode { name, parameters, body, at, uses }));
        }
        self.uses = outer;
        Ok(Rc::new(MacroNode { name, parameters, body: Vec::new(), at, uses: [false; 3] }))
    }

    fn call_block(&mut self, at: usize) -> Result<Node> {
        let head = self.macro_node("caller".into(), "endcall", at)?;
        let call = self.expression()?;
        if !matches!(call.what, What::Call(..)) {
            return self.fail(call.at, "`{% call … %}` wants a call");
        }
        let outer = std::mem::take(&mut self.uses);
        let body = self.kept("endcall")?;
        let uses = std::mem::replace(&mut self.uses, outer);
        let mut head =
            Rc::try_unwrap(head).unwrap_or_else(|_| unreachable!("nobody else has it yet"));
        (head.body, head.uses) = (body, uses);
        Ok(Node::CallBlock(call, Rc::new(head), at))
    }

    fn block(&mut self, at: usize) -> Result<Node> {
        let name = self.expect_name()?;
        let (mut scoped, mut required) = (false, false);
        loop {
            if self.skip_name("scoped") {
                scoped = true;
            } else if self.skip_name("required") {
                required = true;
            } else {
                break;
            }
        }
        let body = self.inner("endblock")?;
        if let Token::Name(again) = self.peek().clone() {
            if again != name {
                return self
                    .fail(self.here(), format!("this ends `{again}`, and the block is `{name}`"));
            }
            self.next();
        }
        Ok(Node::Block(Rc::new(BlockNode { name, body, scoped, required, at })))
    }

    fn include(&mut self, at: usize) -> Result<Node> {
        let what = self.expression()?;
        let missing_is_fine = self.is_name("ignore")
            && matches!(self.peek_after(), Token::Name(n) if **n == *"missing");
        if missing_is_fine {
            self.next();
            self.next();
        }
        let (at_context, context) = (self.here(), self.context(true));
        if !context && self.keeping > 0 {
            let why = "`{% include … without context %}` in a macro, a `{% filter %}` or the like \
                loses its place in Ansible";
            return Err(Error::refused(why).at(self.name, at_context));
        }
        Ok(Node::Include { what, missing_is_fine, context, at })
    }

    /// Parses `with context` or `without context`.
    fn context(&mut self, default: bool) -> bool {
        let follows = matches!(self.peek_after(), Token::Name(n) if **n == *"context");
        let (with, without) = (self.is_name("with"), self.is_name("without"));
        if !follows || !(with || without) {
            return default;
        }
        self.next();
        self.next();
        with
    }

    fn from(&mut self, at: usize) -> Result<Node> {
        let what = self.expression()?;
        if !self.skip_name("import") {
            return self.unexpected("`import`");
        }
        let mut names = Vec::new();
        let context = loop {
            if (self.is_name("with") || self.is_name("without"))
                && matches!(self.peek_after(), Token::Name(n) if **n == *"context")
            {
                break self.context(false);
            }
            let place = self.here();
            let name = self.expect_name()?;
            if name.starts_with('_') {
                return self.fail(place, "names that start with an underline cannot be imported");
            }
            let alias = if self.skip_name("as") { self.expect_name()? } else { name.clone() };
            names.push((name, alias));
            if !self.skip_sign(",") {
                break self.context(false);
            }
        };
        Ok(Node::From { what, names, context, at })
    }

    /// Parses the filters after a block's name. With `first`, the first has no `|`.
    fn filters(&mut self, first: bool) -> Result<Vec<Call>> {
        let mut all = Vec::new();
        if first {
            all.push(self.filter()?);
        }
        while self.skip_sign("|") {
            all.push(self.filter()?);
        }
        Ok(all)
    }
}
