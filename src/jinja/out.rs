//! Collects a template's output as Ansible does.
use std::rc::Rc;

use super::error::{Error, Kind, Result};
use super::run::Run;
use super::value::{Dict, Value};
use super::{show, source};

/// Pieces of output. A single piece keeps its type: Ansible's native Jinja.
pub struct Out {
    pieces: Vec<Piece>,
    count: usize,
    length: usize,
    missing: Option<Rc<Error>>,
    most: usize,
    /// The output becomes a file: records unwritable values and continues.
    file: bool,
    /// Position of the next piece.
    at: Spot,
}

/// A template, and the byte offset in it.
type Spot = Option<(Rc<str>, usize)>;

enum Piece {
    Text(String),
    /// A container, which may still change, or the first piece, which may stay alone. Written at
    /// the end.
    Later(Value, Spot),
}

/// Size limit, in bytes, of texts inside a template: of macros and blocks.
const INNER: usize = 16 << 20;

impl Out {
    /// With a limit of `most` bytes.
    pub fn file(most: usize) -> Self {
        Self { pieces: Vec::new(), count: 0, length: 0, missing: None, most, file: true, at: None }
    }

    pub fn value() -> Self {
        Self { file: false, ..Self::file(INNER) }
    }

    pub fn is_file(&self) -> bool {
        self.file
    }

    /// [`push`](Self::push) of a value at `offset`, used for errors found at the end.
    pub fn push_from(&mut self, run: &Run, offset: usize, value: Value) -> Result<()> {
        self.at = Some((run.template.borrow().clone(), offset));
        let pushed = self.push(run, value);
        self.at = None;
        pushed
    }

    pub fn push(&mut self, run: &Run, value: Value) -> Result<()> {
        if let Value::Missing(why) = &value {
            if self.file {
                run.found(why.clone());
            } else {
                self.missing.get_or_insert_with(|| why.clone());
            }
            return Ok(());
        }
        let value = run.force(value)?;
        if value.is_none() {
            return Ok(());
        }
        self.count += 1;
        let container = matches!(
            value,
            Value::List(_)
                | Value::Dict(_)
                | Value::Tuple(_)
                | Value::Loop(_)
                | Value::Namespace(_)
        );
        if container || self.count == 1 {
            self.pieces.push(Piece::Later(value.handed(), self.at.clone()));
            return Ok(());
        }
        let text = written(&value, false)?;
        self.length += text.len();
        if self.length > self.most {
            return Err(self.too_long());
        }
        match self.pieces.last_mut() {
            Some(Piece::Text(last)) => last.push_str(&text),
            _ => self.pieces.push(Piece::Text(text.to_string())),
        }
        Ok(())
    }

    fn too_long(&self) -> Rc<Error> {
        Error::new(Kind::TooLong, format!("renders to more than {} MiB", self.most >> 20))
    }

    fn joined(self) -> Result<String> {
        let mut out = String::with_capacity(self.length);
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Later(value, at) => out.push_str(&placed(at, written(value, false))?),
            }
            if out.len() > self.most {
                return Err(self.too_long());
            }
        }
        Ok(out)
    }

    /// A single piece as it is, several as text, none as None.
    pub fn value_of(mut self, _: &Run) -> Result<Value> {
        if let Some(why) = self.missing {
            return Ok(Value::Missing(why));
        }
        match (self.count, self.pieces.pop()) {
            (0, _) => Ok(Value::None),
            (1, Some(Piece::Later(value, _))) => Ok(value),
            (_, last) => {
                self.pieces.extend(last);
                match self.joined() {
                    Err(why) if why.can_wait() => Ok(Value::Missing(why)),
                    text => text.map(Value::from),
                }
            }
        }
    }

    /// Its text, for a module.
    pub fn text(self, _: &Run) -> Result<Rc<str>> {
        match &self.missing {
            Some(why) => Err(why.clone()),
            None => Ok(self.joined()?.into()),
        }
    }

    /// Text of the file that the template `source` makes.
    pub fn written(self, run: &Run, source: &str) -> Result<String> {
        let most = self.most;
        let too_long = self.too_long();
        let at = match self.pieces.first() {
            Some(Piece::Later(_, at)) => at.clone(),
            _ => None,
        };
        let text = placed(&at, self.value_of(run).and_then(|value| Self::whole(&value, source)))?;
        // One piece alone was not counted.
        if text.len() > most { Err(too_long) } else { Ok(text) }
    }

    fn whole(value: &Value, source: &str) -> Result<String> {
        match value {
            Value::Missing(why) => Err(why.clone()),
            Value::None => Ok(String::new()),
            Value::Range(..)
            | Value::Omit
            | Value::Nothing
            | Value::Namespace(_)
            | Value::Loop(_)
            | Value::Module(_) => {
                let kind = value.kind();
                Err(Error::raised(format!(
                    "a value of type {kind} cannot be all that a template writes"
                )))
            }
            Value::Str(text) | Value::Markup(text) => Ok(source::with_ends_of(text, source)),
            other => Ok(written(other, true)?.to_string()),
        }
    }
}

fn placed<T>(at: &Spot, result: Result<T>) -> Result<T> {
    result.map_err(|why| match at {
        Some((template, offset)) => why.at(template, *offset),
        None => why,
    })
}

/// `alone`: the template's only output.
fn written(value: &Value, alone: bool) -> Result<Rc<str>> {
    match value {
        Value::Str(text) => Ok(text.clone()),
        Value::Bytes(bytes) => Ok(String::from_utf8_lossy(bytes).into()),
        other => show::text(&finalized(other, alone)?),
    }
}

/// Ansible's conversion of output values: tuples become lists, `omit` is dropped. Unknown types are
/// converted, or an error if they are the only output; otherwise they stay.
fn finalized(value: &Value, alone: bool) -> Result<Value> {
    let all = |items: &[Value]| -> Result<Value> {
        let kept = items.iter().filter(|item| !matches!(item, Value::Omit));
        Ok(Value::list(kept.map(|item| finalized(item, alone)).collect::<Result<_>>()?))
    };
    Ok(match value {
        Value::Missing(why) => return Err(why.clone()),
        Value::List(l) => all(&l.borrow())?,
        Value::Tuple(_) if value.is_group() && !alone => value.clone(),
        Value::Tuple(t) => all(t)?,
        Value::Dict(d) => {
            let mut out = Dict::new();
            for (key, value) in d.borrow().iter().filter(|(_, value)| !matches!(value, Value::Omit))
            {
                if !out.set(finalized(key, alone)?, finalized(value, alone)?) {
                    return Err(Error::raised("a list cannot be the key of a mapping"));
                }
            }
            Value::dict(out)
        }
        Value::Markup(text) if alone => Value::Str(text.clone()),
        Value::Range(..) | Value::Namespace(_) | Value::Loop(_) | Value::Span(_) if alone => {
            return Err(Error::raised(format!(
                "a value of type {} cannot be in what a template writes",
                value.kind()
            )));
        }
        other => other.clone(),
    })
}
