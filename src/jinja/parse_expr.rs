//! Parser of expressions: Jinja's grammar, with its precedence.
use super::ast::{Call, Comparison, Expr, Operator, What};
use super::error::Result;
use super::lex::Token;
use super::parse::Parser;
use super::value::Value;

fn expr(at: usize, what: What) -> Expr {
    Expr { at, what }
}

fn boxed(e: Expr) -> Box<Expr> {
    Box::new(e)
}

impl Parser<'_> {
    pub fn expression(&mut self) -> Result<Expr> {
        self.deeper(Self::choice_expr)
    }

    fn choice_expr(&mut self) -> Result<Expr> {
        let mut left = self.or()?;
        while self.is_name("if") {
            let at = left.at;
            self.next();
            let condition = self.or()?;
            let otherwise =
                if self.skip_name("else") { Some(boxed(self.expression()?)) } else { None };
            left = expr(at, What::Choice(boxed(condition), boxed(left), otherwise));
        }
        Ok(left)
    }

    /// Parses one expression, or a tuple without parentheses.
    pub fn tuple(&mut self, choice: bool) -> Result<Expr> {
        self.sequence(choice, false, false)
    }

    pub fn tuple_without_choice(&mut self) -> Result<Expr> {
        self.tuple(false)
    }

    pub fn tuple_before_recursive(&mut self) -> Result<Expr> {
        self.sequence(false, false, true)
    }

    fn sequence(&mut self, choice: bool, brackets: bool, before_recursive: bool) -> Result<Expr> {
        let at = self.here();
        let (mut all, mut several) = (Vec::new(), false);
        loop {
            let end = matches!(self.peek(), Token::VariableEnd | Token::BlockEnd)
                || self.is_sign(")")
                || (before_recursive && self.is_name("recursive"));
            if end {
                break;
            }
            all.push(if choice { self.expression()? } else { self.deeper(Self::or)? });
            if !self.skip_sign(",") {
                break;
            }
            several = true;
        }
        match all.len() {
            1 if !several => Ok(all.remove(0)),
            0 if !brackets => self.unexpected("an expression"),
            _ => Ok(expr(at, What::Tuple(all))),
        }
    }

    fn or(&mut self) -> Result<Expr> {
        let mut left = self.and()?;
        while self.skip_name("or") {
            let right = self.and()?;
            left = expr(left.at, What::Or(boxed(left), boxed(right)));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Expr> {
        let mut left = self.not()?;
        while self.skip_name("and") {
            let right = self.not()?;
            left = expr(left.at, What::And(boxed(left), boxed(right)));
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Expr> {
        let at = self.here();
        if self.skip_name("not") {
            let inner = self.deeper(Self::not)?;
            return Ok(expr(at, What::Not(boxed(inner))));
        }
        self.compare()
    }

    fn compare(&mut self) -> Result<Expr> {
        let left = self.sum()?;
        let mut rest = Vec::new();
        while let Some(comparison) = self.comparison() {
            rest.push((comparison, self.sum()?));
        }
        Ok(if rest.is_empty() { left } else { expr(left.at, What::Compare(boxed(left), rest)) })
    }

    fn comparison(&mut self) -> Option<Comparison> {
        let comparison = match self.peek() {
            Token::Sign("==") => Comparison::Eq,
            Token::Sign("!=") => Comparison::Ne,
            Token::Sign("<") => Comparison::Lt,
            Token::Sign("<=") => Comparison::Le,
            Token::Sign(">") => Comparison::Gt,
            Token::Sign(">=") => Comparison::Ge,
            Token::Name(n) if **n == *"in" => Comparison::In,
            Token::Name(n)
                if **n == *"not" && matches!(self.peek_after(), Token::Name(n) if **n == *"in") =>
            {
                self.next();
                Comparison::NotIn
            }
            _ => return None,
        };
        self.next();
        Some(comparison)
    }

    fn operator(&mut self, known: &[(&str, Operator)]) -> Option<Operator> {
        let Token::Sign(sign) = *self.peek() else { return None };
        let found = known.iter().find(|(s, _)| *s == sign).map(|(_, operator)| *operator)?;
        self.next();
        Some(found)
    }

    fn sum(&mut self) -> Result<Expr> {
        let mut left = self.concat()?;
        while let Some(operator) = self.operator(&[("+", Operator::Add), ("-", Operator::Sub)]) {
            let right = self.concat()?;
            left = expr(left.at, What::Calculate(operator, boxed(left), boxed(right)));
        }
        Ok(left)
    }

    fn concat(&mut self) -> Result<Expr> {
        let first = self.product()?;
        if !self.is_sign("~") {
            return Ok(first);
        }
        let at = first.at;
        let mut all = vec![first];
        while self.skip_sign("~") {
            all.push(self.product()?);
        }
        Ok(expr(at, What::Concat(all)))
    }

    fn product(&mut self) -> Result<Expr> {
        const KNOWN: [(&str, Operator); 4] = [
            ("*", Operator::Mul),
            ("/", Operator::Div),
            ("//", Operator::FloorDiv),
            ("%", Operator::Mod),
        ];
        let mut left = self.power()?;
        while let Some(operator) = self.operator(&KNOWN) {
            let right = self.power()?;
            left = expr(left.at, What::Calculate(operator, boxed(left), boxed(right)));
        }
        Ok(left)
    }

    /// Powers associate to the left in Jinja, unlike in Python.
    fn power(&mut self) -> Result<Expr> {
        let mut left = self.unary(true)?;
        while self.skip_sign("**") {
            let right = self.unary(true)?;
            left = expr(left.at, What::Calculate(Operator::Pow, boxed(left), boxed(right)));
        }
        Ok(left)
    }

    fn unary(&mut self, with_filter: bool) -> Result<Expr> {
        let at = self.here();
        let node = if self.skip_sign("-") {
            expr(at, What::Minus(boxed(self.deeper(|p| p.unary(false))?)))
        } else if self.skip_sign("+") {
            expr(at, What::Plus(boxed(self.deeper(|p| p.unary(false))?)))
        } else {
            self.primary()?
        };
        let node = self.postfix(node)?;
        if with_filter { self.filters_and_tests(node) } else { Ok(node) }
    }

    fn primary(&mut self) -> Result<Expr> {
        let at = self.here();
        let what = match self.peek().clone() {
            Token::Name(name) => {
                self.next();
                for (which, word) in ["varargs", "kwargs", "caller"].into_iter().enumerate() {
                    self.uses[which] |= *name == *word;
                }
                match &*name {
                    "true" | "True" => What::Const(Value::Bool(true)),
                    "false" | "False" => What::Const(Value::Bool(false)),
                    "none" | "None" => What::Const(Value::None),
                    _ => What::Name(name),
                }
            }
            Token::Str(mut text) => {
                self.next();
                while let Token::Str(more) = self.peek() {
                    text.push_str(more);
                    self.next();
                }
                What::Const(Value::from(text))
            }
            Token::Int(n) => {
                self.next();
                What::Const(Value::Int(n))
            }
            Token::Float(f) => {
                self.next();
                What::Const(Value::Float(f))
            }
            Token::Sign("(") => {
                self.next();
                let inner = self.sequence(true, true, false)?;
                self.expect_sign(")")?;
                return Ok(inner);
            }
            Token::Sign("[") => What::List(self.list()?),
            Token::Sign("{") => What::Dict(self.dict()?),
            _ => return self.unexpected("an expression"),
        };
        Ok(expr(at, what))
    }

    fn list(&mut self) -> Result<Vec<Expr>> {
        self.expect_sign("[")?;
        let mut all = Vec::new();
        while !self.is_sign("]") {
            all.push(self.expression()?);
            if !self.is_sign("]") {
                self.expect_sign(",")?;
            }
        }
        self.expect_sign("]")?;
        Ok(all)
    }

    fn dict(&mut self) -> Result<Vec<(Expr, Expr)>> {
        self.expect_sign("{")?;
        let mut all = Vec::new();
        while !self.is_sign("}") {
            let key = self.expression()?;
            self.expect_sign(":")?;
            all.push((key, self.expression()?));
            if !self.is_sign("}") {
                self.expect_sign(",")?;
            }
        }
        self.expect_sign("}")?;
        Ok(all)
    }

    fn postfix(&mut self, mut node: Expr) -> Result<Expr> {
        let mut links = 0;
        loop {
            links += 1;
            if links > super::parse::DEPTH {
                return self.beyond(self.here(), "too long a chain of members and calls");
            }
            let at = node.at;
            node = if self.skip_sign(".") {
                match self.next() {
                    Token::Name(name) => expr(at, What::Member(boxed(node), name)),
                    Token::Int(n) => {
                        let index = expr(at, What::Const(Value::Int(n)));
                        expr(at, What::Item(boxed(node), boxed(index)))
                    }
                    _ => return self.unexpected("a name or a number"),
                }
            } else if self.skip_sign("[") {
                self.subscript(node)?
            } else if self.is_sign("(") {
                let call = self.arguments("".into(), node.at)?;
                expr(at, What::Call(boxed(node), Box::new(call)))
            } else {
                return Ok(node);
            };
        }
    }

    fn subscript(&mut self, node: Expr) -> Result<Expr> {
        let at = node.at;
        let mut parts: [Option<Expr>; 3] = [None, None, None];
        let mut colons = 0;
        while !self.is_sign("]") {
            if self.skip_sign(":") {
                colons += 1;
                if colons > 2 {
                    return self.unexpected("`]`");
                }
            } else if parts[colons].is_none() {
                parts[colons] = Some(self.expression()?);
            } else {
                return self.unexpected("`]`");
            }
        }
        self.expect_sign("]")?;
        if colons > 0 {
            return Ok(expr(at, What::Slice(boxed(node), Box::new(parts))));
        }
        let [Some(index), ..] = parts else {
            return self.unexpected("an expression in the brackets");
        };
        Ok(expr(at, What::Item(boxed(node), boxed(index))))
    }

    fn filters_and_tests(&mut self, mut node: Expr) -> Result<Expr> {
        let mut links = 0;
        loop {
            links += 1;
            if links > super::parse::DEPTH {
                return self.beyond(self.here(), "too long a chain of filters");
            }
            let at = node.at;
            node = if self.skip_sign("|") {
                let call = self.filter()?;
                expr(at, What::Filter(boxed(node), Box::new(call)))
            } else if self.skip_name("is") {
                self.test(node)?
            } else if self.is_sign("(") {
                let call = self.arguments("".into(), at)?;
                expr(at, What::Call(boxed(node), Box::new(call)))
            } else {
                return Ok(node);
            };
        }
    }

    fn dotted(&mut self) -> Result<String> {
        let mut name = self.expect_name()?.to_string();
        while self.skip_sign(".") {
            name.push('.');
            name.push_str(&self.expect_name()?);
        }
        Ok(name)
    }

    pub fn filter(&mut self) -> Result<Call> {
        let at = self.here();
        let name = self.dotted()?;
        if self.is_sign("(") { self.arguments(name, at) } else { Ok(empty(name, at)) }
    }

    fn test(&mut self, node: Expr) -> Result<Expr> {
        let negated = self.skip_name("not");
        let at = self.here();
        let name = self.dotted()?;
        let call = if self.is_sign("(") {
            self.arguments(name, at)?
        } else {
            let argument = match self.peek() {
                Token::Name(n) if **n == *"is" => {
                    return self.fail(self.here(), "tests cannot be chained with `is`");
                }
                Token::Name(n) => !["else", "or", "and"].contains(&&**n),
                Token::Str(_) | Token::Int(_) | Token::Float(_) | Token::Sign("[" | "{") => true,
                _ => false,
            };
            let mut call = empty(name, at);
            if argument {
                let primary = self.primary()?;
                call.positional.push(self.postfix(primary)?);
            }
            call
        };
        let test = expr(node.at, What::Test(boxed(node), Box::new(call)));
        Ok(if negated { expr(test.at, What::Not(boxed(test))) } else { test })
    }

    /// Parses `(a, b, c=d, *e, **f)`.
    fn arguments(&mut self, name: String, at: usize) -> Result<Call> {
        let place = self.here();
        self.expect_sign("(")?;
        let mut call = empty(name, at);
        while !self.is_sign(")") {
            let keyword =
                matches!((self.peek(), self.peek_after()), (Token::Name(_), Token::Sign("=")));
            let fine = if self.skip_sign("*") {
                call.star.replace(self.expression()?).is_none() && call.stars.is_none()
            } else if self.skip_sign("**") {
                call.stars.replace(self.expression()?).is_none()
            } else if keyword {
                let key = self.expect_name()?;
                self.next();
                call.named.push((key, self.expression()?));
                call.stars.is_none()
            } else {
                call.positional.push(self.expression()?);
                call.star.is_none() && call.stars.is_none() && call.named.is_empty()
            };
            if !fine {
                return self.fail(place, "invalid syntax for function call expression");
            }
            if !self.is_sign(")") {
                self.expect_sign(",")?;
            }
        }
        self.expect_sign(")")?;
        Ok(call)
    }
}

fn empty(name: String, at: usize) -> Call {
    Call {
        name: name.into(),
        positional: Vec::new(),
        named: Vec::new(),
        star: None,
        stars: None,
        at,
    }
}
