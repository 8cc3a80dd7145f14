//! Lexer: cuts a template into the text between tags and the tokens inside of tags.
use std::rc::Rc;

use super::chars::space;
use super::error::{Error, Kind, Result};
use super::source::Syntax;

#[derive(Debug, Clone, PartialEq)]
pub enum Token {
    /// Text outside of tags.
    Text(String),
    /// `{{`
    Variable,
    VariableEnd,
    /// `{%`
    Block,
    BlockEnd,
    Name(Rc<str>),
    Str(String),
    Int(i128),
    Float(f64),
    Sign(&'static str),
    End,
}

/// Longer signs first, because the first match wins.
const SIGNS: [&str; 26] = [
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}",
    ">", "<", "=", ".", ":", "|", ",", ";",
];

struct Lexer<'a> {
    name: &'a Rc<str>,
    text: &'a str,
    syntax: &'a Syntax,
    at: usize,
    /// Offset of the next start mark of each kind of tag; `usize::MAX` if there is none.
    marks: [usize; 3],
    out: Vec<(Token, usize)>,
}

const NOT_LOOKED: usize = usize::MAX - 1;

/// Tokens of `text`, each with its byte offset. The last is `End`.
pub fn tokens(name: &Rc<str>, text: &str, syntax: &Syntax) -> Result<Vec<(Token, usize)>> {
    let mut lexer = Lexer { name, text, syntax, at: 0, marks: [NOT_LOOKED; 3], out: Vec::new() };
    while lexer.at < text.len() {
        lexer.step()?;
    }
    lexer.out.push((Token::End, text.len()));
    Ok(lexer.out)
}

#[derive(Clone, Copy, PartialEq)]
enum Tag {
    Variable,
    Block,
    Comment,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn fail<T>(&self, at: usize, why: impl Into<String>) -> Result<T> {
        Err(Error::new(Kind::Syntax, why).at(self.name, at))
    }

    /// Fails for a template that is valid in Jinja and unsupported here.
    fn beyond<T>(&self, at: usize, why: impl Into<String>) -> Result<T> {
        Err(Error::refused(why).at(self.name, at))
    }

    /// Next tag. Of two at one offset, the tag with the longer mark.
    fn next_tag(&mut self) -> Option<(usize, Tag, usize)> {
        let s = self.syntax;
        let marks = [
            (&s.comment.0, Tag::Comment),
            (&s.block.0, Tag::Block),
            (&s.variable.0, Tag::Variable),
        ];
        for ((mark, _), known) in marks.iter().zip(&mut self.marks) {
            // One that is far off, or nowhere, is looked for once.
            if *known < self.at || *known == NOT_LOOKED {
                *known = self.text[self.at..]
                    .find(mark.as_str())
                    .map_or(usize::MAX, |found| self.at + found);
            }
        }
        let found = marks.iter().zip(self.marks).filter(|(_, at)| *at != usize::MAX);
        let found = found.map(|((mark, tag), at)| (at - self.at, *tag, mark.len()));
        found.min_by_key(|(at, _, length)| (*at, usize::MAX - length))
    }

    /// Reads the text up to the next tag, and that tag.
    fn step(&mut self) -> Result<()> {
        let start = self.at;
        let Some((offset, tag, mark)) = self.next_tag() else {
            self.push_text(start, self.text.len());
            self.at = self.text.len();
            return Ok(());
        };
        let open = start + offset;
        let inside = open + mark;
        let modifier = self.text.as_bytes().get(inside).copied();
        let mut text_end = open;
        if modifier == Some(b'-') {
            text_end = start + self.text[start..open].trim_end_matches(space).len();
        } else if modifier != Some(b'+') && self.syntax.lstrip_blocks && tag != Tag::Variable {
            let line = self.text[..open].rfind('\n').map_or(0, |n| n + 1);
            let blank = self.text[line..open].chars().all(space);
            // A tag before it on this line keeps the blanks.
            if blank && line >= start {
                text_end = line;
            }
        }
        self.push_text(start, text_end);
        self.at = inside + usize::from(matches!(modifier, Some(b'-' | b'+')));
        match tag {
            Tag::Comment => self.comment(open),
            Tag::Block => match self.raw_start() {
                Some(end) => self.raw(open, end),
                None => {
                    self.out.push((Token::Block, open));
                    self.inside(open, false)
                }
            },
            Tag::Variable => {
                self.out.push((Token::Variable, open));
                self.inside(open, true)
            }
        }
    }

    fn push_text(&mut self, from: usize, to: usize) {
        if to > from {
            self.out.push((Token::Text(self.text[from..to].to_owned()), from));
        }
    }

    fn comment(&mut self, open: usize) -> Result<()> {
        let Some(end) = self.rest().find(&self.syntax.comment.1) else {
            return self.fail(open, "a `{# … #}` comment is not closed");
        };
        let close = self.at + end;
        let after = close + self.syntax.comment.1.len();
        self.after_tag(close, after);
        Ok(())
    }

    /// Continues after a tag whose end mark is at `close`, by the sign before that mark. The sign
    /// at the tag's start does not count.
    fn after_tag(&mut self, close: usize, after: usize) {
        let sign = if close > self.at { self.text.as_bytes()[close - 1] } else { b' ' };
        self.at = after;
        match sign {
            b'-' => self.at += self.rest().len() - self.rest().trim_start_matches(space).len(),
            b'+' => {}
            _ if self.syntax.trim_blocks && self.rest().starts_with('\n') => self.at += 1,
            _ => {}
        }
    }

    /// Offset of the text after `{% raw %}`, if the tag here is one.
    fn raw_start(&self) -> Option<usize> {
        let rest = self.rest().trim_start().strip_prefix("raw")?.trim_start();
        let stripped =
            rest.strip_prefix('-').and_then(|rest| rest.strip_prefix(self.syntax.block.1.as_str()));
        let rest = stripped
            .map(str::trim_start)
            .or_else(|| rest.strip_prefix(self.syntax.block.1.as_str()))?;
        Some(self.text.len() - rest.len())
    }

    fn raw(&mut self, open: usize, start: usize) -> Result<()> {
        let (mut from, mark) = (start, self.syntax.block.clone());
        loop {
            let Some(found) = self.text[from..].find(&mark.0) else {
                return self.fail(open, "`{% raw %}` is not closed by `{% endraw %}`");
            };
            let tag = from + found;
            let inside = &self.text[tag + mark.0.len()..];
            let sign = inside.bytes().next().filter(|b| matches!(b, b'-' | b'+'));
            let word = inside[usize::from(sign.is_some())..].trim_start();
            let close = word.strip_prefix("endraw").map(str::trim_start).and_then(|rest| {
                let rest = rest.strip_prefix(['-', '+']).unwrap_or(rest);
                rest.starts_with(mark.1.as_str()).then_some(self.text.len() - rest.len())
            });
            let Some(close) = close else {
                from = tag + mark.0.len();
                continue;
            };
            let mut end = tag;
            if sign == Some(b'-') {
                end = start + self.text[start..tag].trim_end_matches(space).len();
            } else if sign != Some(b'+') && self.syntax.lstrip_blocks {
                let line = self.text[..tag].rfind('\n').map_or(0, |n| n + 1);
                if line >= start && self.text[line..tag].chars().all(space) {
                    end = line;
                }
            }
            self.push_text(start, end);
            self.after_tag(close, close + mark.1.len());
            return Ok(());
        }
    }

    /// Reads the tokens of a tag, up to its end mark.
    fn inside(&mut self, open: usize, variable: bool) -> Result<()> {
        let close =
            if variable { self.syntax.variable.1.clone() } else { self.syntax.block.1.clone() };
        let mut brackets: Vec<char> = Vec::new();
        loop {
            let rest = self.rest();
            self.at += rest.len() - rest.trim_start_matches(space).len();
            let rest = self.rest();
            if rest.is_empty() {
                let what = if variable { "`{{ … }}`" } else { "a `{% … %}` tag" };
                return self.fail(open, format!("{what} is not closed"));
            }
            if brackets.is_empty() {
                let signed =
                    rest.strip_prefix(['-', '+']).filter(|r| r.starts_with(close.as_str()));
                // `{{ x +}}` is no end mark.
                let signed = signed.filter(|_| !variable || rest.starts_with('-'));
                let signed = signed.is_some();
                if signed || rest.starts_with(close.as_str()) {
                    let mark = self.at + usize::from(signed);
                    self.out.push((
                        if variable { Token::VariableEnd } else { Token::BlockEnd },
                        self.at,
                    ));
                    self.end_tag(mark, mark + close.len(), variable, signed);
                    return Ok(());
                }
            }
            self.token(&mut brackets)?;
        }
    }

    fn end_tag(&mut self, mark: usize, after: usize, variable: bool, signed: bool) {
        if !variable && signed {
            return self.after_tag(mark, after);
        }
        self.at = after;
        if variable && signed {
            self.at += self.rest().len() - self.rest().trim_start_matches(space).len();
        } else if !variable && self.syntax.trim_blocks && self.rest().starts_with('\n') {
            self.at += 1;
        }
    }

    fn token(&mut self, brackets: &mut Vec<char>) -> Result<()> {
        let at = self.at;
        let rest = self.rest();
        let first = rest.chars().next().expect("not at the end");
        let (token, length) = if first == '"' || first == '\'' {
            self.string(first)?
        } else if first.is_ascii_digit() {
            self.number()?
        } else if first == '_' || first.is_alphabetic() {
            let end = rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(rest.len());
            (Token::Name(rest[..end].into()), end)
        } else {
            let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) else {
                return self.fail(at, format!("unexpected character `{first}`"));
            };
            self.balance(sign, brackets)?;
            (Token::Sign(sign), sign.len())
        };
        self.out.push((token, at));
        self.at += length;
        Ok(())
    }

    fn balance(&self, sign: &str, brackets: &mut Vec<char>) -> Result<()> {
        match sign {
            "(" => brackets.push(')'),
            "[" => brackets.push(']'),
            "{" => brackets.push('}'),
            ")" | "]" | "}" => match brackets.pop() {
                Some(wanted) if sign.starts_with(wanted) => {}
                Some(wanted) => {
                    return self.fail(self.at, format!("unexpected `{sign}`, expected `{wanted}`"));
                }
                None => return self.fail(self.at, format!("unexpected `{sign}`")),
            },
            _ => {}
        }
        if brackets.len() > 60 {
            self.beyond(self.at, "brackets are nested too deep")
        } else {
            Ok(())
        }
    }

    fn string(&self, quote: char) -> Result<(Token, usize)> {
        let body = &self.rest()[1..];
        let mut escaped = false;
        for (at, c) in body.char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                c if c == quote => {
                    let raw = &body[..at];
                    let text = if self.syntax.literal_backslashes {
                        raw.to_owned()
                    } else {
                        self.unescaped(raw)?
                    };
                    return Ok((Token::Str(text), at + 2));
                }
                _ => {}
            }
        }
        self.fail(self.at, "a text in quotes is not closed")
    }

    /// Replaces Python's escapes in a string literal.
    fn unescaped(&self, raw: &str) -> Result<String> {
        let mut out = String::with_capacity(raw.len());
        let mut rest = raw.chars();
        while let Some(c) = rest.next() {
            if c != '\\' {
                out.push(c);
                continue;
            }
            let Some(c) = rest.next() else { break };
            let simple = match c {
                '\n' => continue,
                'a' => '\u{7}',
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'v' => '\u{b}',
                '\\' | '\'' | '"' => c,
                'x' | 'u' | 'U' => match hexadecimal(c, &mut rest) {
                    Ok(c) => c,
                    Err(hex) => {
                        return self.beyond(self.at, format!("`\\{c}{hex}` is no character"));
                    }
                },
                '0'..='7' => octal(c, &mut rest),
                'N' => {
                    return self.beyond(
                        self.at,
                        "characters by name (`\\N{…}`) are not supported; write the character",
                    );
                }
                other => {
                    out.push('\\');
                    if !other.is_ascii() {
                        // Python reads the text as ASCII, with escapes for all else; the backslash
                        // takes the escape's own away.
                        super::show::escaped(other, &mut out);
                        out.remove(out.rfind('\\').unwrap_or_default());
                        continue;
                    }
                    other
                }
            };
            out.push(simple);
        }
        Ok(out)
    }

    fn number(&self) -> Result<(Token, usize)> {
        let rest = self.rest();
        // One underline may stand between two digits.
        let digits = |text: &str, ok: fn(char) -> bool| {
            let (all, mut end) = (text.as_bytes(), 0);
            let is = |at: usize| all.get(at).is_some_and(|b| ok(char::from(*b)));
            loop {
                match all.get(end) {
                    Some(_) if is(end) => end += 1,
                    Some(b'_') if is(end + 1) => end += 2,
                    _ => return end,
                }
            }
        };
        for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
            if rest.len() > 2 && rest.is_char_boundary(2) && rest[..2].eq_ignore_ascii_case(prefix)
            {
                let ok: fn(char) -> bool = match radix {
                    16 => |c| c.is_ascii_hexdigit(),
                    8 => |c| c.is_digit(8),
                    _ => |c| c.is_digit(2),
                };
                let end = 2 + digits(&rest[2..], ok);
                return self.whole(&rest[2..end], radix).map(|token| (token, end));
            }
        }
        let decimal: fn(char) -> bool = |c| c.is_ascii_digit();
        let whole = digits(rest, decimal);
        let mut end = whole;
        // What stands behind a dot is an index: `list.0.1`.
        let index = self.text[..self.at].ends_with('.');
        if index {
        } else if let Some(fraction) = rest[end..].strip_prefix('.')
            && fraction.starts_with(decimal)
        {
            end += 1 + digits(fraction, decimal);
        }
        if let Some(exponent) = rest[end..].strip_prefix(['e', 'E']).filter(|_| !index) {
            let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            if unsigned.starts_with(decimal) {
                end += 1 + (exponent.len() - unsigned.len()) + digits(unsigned, decimal);
            }
        }
        if end > whole {
            let text = rest[..end].replace('_', "");
            return Ok((Token::Float(text.parse().expect("it was read as a number")), end));
        }
        // A number may not start with 0: Jinja takes the 0 for a number of its own.
        let zeros = rest[..whole].find(|c| c != '0' && c != '_').unwrap_or(whole);
        let end = if zeros > 0 { zeros } else { whole };
        self.whole(&rest[..end], 10).map(|token| (token, end))
    }

    fn whole(&self, digits: &str, radix: u32) -> Result<Token> {
        match i128::from_str_radix(&digits.replace('_', ""), radix) {
            Ok(n) => Ok(Token::Int(n)),
            Err(_) => self.beyond(self.at, format!("`{digits}` is too large a number here")),
        }
    }
}

/// Reads the digits of `\x41`, `\u0041` or `\U00000041`; `kind` is the letter. Fails with the
/// digits if they name no character.
fn hexadecimal(kind: char, rest: &mut std::str::Chars<'_>) -> std::result::Result<char, String> {
    let digits = match kind {
        'x' => 2,
        'u' => 4,
        _ => 8,
    };
    let hex: String = rest.by_ref().take(digits).collect();
    let whole = hex.len() == digits && hex.bytes().all(|b| b.is_ascii_hexdigit());
    let code = u32::from_str_radix(&hex, 16).ok().filter(|_| whole);
    code.and_then(char::from_u32).ok_or(hex)
}

/// Reads up to two octal digits after `first`.
fn octal(first: char, rest: &mut std::str::Chars<'_>) -> char {
    let mut code = first as u32 - 48;
    for _ in 0..2 {
        let Some(digit) = rest.clone().next().and_then(|c| c.to_digit(8)) else { break };
        rest.next();
        code = code * 8 + digit;
    }
    char::from_u32(code).unwrap_or('?')
}
