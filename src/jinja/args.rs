//! Arguments of filters, tests, functions and methods.
use std::rc::Rc;

use super::error::{Error, Result};
use super::value::Value;

#[derive(Default, Clone)]
pub struct Args {
    pub positional: Vec<Value>,
    pub named: Vec<(Rc<str>, Value)>,
}

/// Arguments bound to parameter names.
pub struct Bound {
    what: &'static str,
    names: &'static [&'static str],
    values: Vec<Option<Value>>,
}

impl Args {
    pub fn of(positional: Vec<Value>) -> Self {
        Self { positional, named: Vec::new() }
    }

    /// Arguments as Ansible passes them on.
    #[must_use]
    pub fn handed(&self) -> Self {
        let named = self.named.iter().map(|(name, value)| (name.clone(), value.clone().handed()));
        Self {
            positional: self.positional.iter().map(|v| v.clone().handed()).collect(),
            named: named.collect(),
        }
    }

    /// The first missing value, including the filtered one.
    pub fn first_missing(&self, value: &Value) -> Option<Value> {
        let all =
            [value].into_iter().chain(&self.positional).chain(self.named.iter().map(|(_, v)| v));
        all.into_iter().find(|v| matches!(v, Value::Missing(_))).cloned()
    }

    pub fn has_guess(&self, value: &Value) -> bool {
        let all =
            [value].into_iter().chain(&self.positional).chain(self.named.iter().map(|(_, v)| v));
        all.into_iter().any(|v| matches!(v, Value::Guess))
    }

    /// Takes a keyword argument.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        let at = self.named.iter().position(|(n, _)| **n == *name)?;
        Some(self.named.remove(at).1)
    }

    /// Binds arguments to the parameters of the function `what`.
    pub fn bind(&self, what: &'static str, names: &'static [&'static str]) -> Result<Bound> {
        if self.positional.len() > names.len() {
            let (most, got) = (names.len(), self.positional.len());
            return Err(Error::raised(format!(
                "`{what}` takes not more than {most} argument(s), {got} were given"
            )));
        }
        let mut values: Vec<Option<Value>> = self.positional.iter().cloned().map(Some).collect();
        values.resize(names.len(), None);
        for (name, value) in &self.named {
            let at = names.iter().position(|n| **n == **name);
            let at =
                at.ok_or_else(|| Error::raised(format!("`{what}` has no argument `{name}`")))?;
            if values[at].replace(value.clone()).is_some() {
                return Err(Error::raised(format!("`{what}` got two values for `{name}`")));
            }
        }
        Ok(Bound { what, names, values })
    }

    pub fn none(&self, what: &'static str) -> Result<()> {
        self.bind(what, &[]).map(drop)
    }
}

impl Bound {
    fn at(&self, name: &str) -> usize {
        self.names.iter().position(|n| *n == name).expect("a parameter of its own")
    }

    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values[self.at(name)].as_ref()
    }

    /// `None` counts as absent.
    pub fn some(&self, name: &str) -> Option<&Value> {
        self.get(name).filter(|v| !v.is_none())
    }

    pub fn wanted(&self, name: &str) -> Result<&Value> {
        self.get(name)
            .ok_or_else(|| Error::raised(format!("`{}` wants an argument `{name}`", self.what)))
    }

    pub fn truth(&self, name: &str) -> Result<bool> {
        self.truth_or(name, false)
    }

    pub fn truth_or(&self, name: &str, default: bool) -> Result<bool> {
        self.get(name).map_or(Ok(default), Value::truth)
    }

    pub fn text(&self, name: &str) -> Result<Option<Rc<str>>> {
        match self.some(name) {
            None => Ok(None),
            Some(value) => match value.as_text() {
                Some(text) => Ok(Some(text.clone())),
                None => Err(Error::raised(format!(
                    "`{name}` of `{}` must be a text, not {}",
                    self.what,
                    value.kind()
                ))),
            },
        }
    }

    pub fn text_or(&self, name: &str, default: &str) -> Result<Rc<str>> {
        Ok(self.text(name)?.unwrap_or_else(|| default.into()))
    }

    pub fn wanted_text(&self, name: &str) -> Result<Rc<str>> {
        self.wanted(name)?;
        self.text(name)?
            .ok_or_else(|| Error::raised(format!("`{name}` of `{}` must be a text", self.what)))
    }

    pub fn int(&self, name: &str) -> Result<Option<i128>> {
        match self.some(name) {
            None => Ok(None),
            Some(value) => match value.as_int() {
                Some(n) => Ok(Some(n)),
                None => Err(Error::raised(format!(
                    "`{name}` of `{}` must be a whole number, not {}",
                    self.what,
                    value.kind()
                ))),
            },
        }
    }

    /// A width or count of at most 2^24; negative values become 0.
    pub fn size(&self, name: &str, default: i128) -> Result<usize> {
        size(self.int_or(name, default)?)
    }

    pub fn int_or(&self, name: &str, default: i128) -> Result<i128> {
        Ok(self.int(name)?.unwrap_or(default))
    }
}

/// A width or count of at most 2^24; negative values become 0.
pub fn size(n: i128) -> Result<usize> {
    const MOST: i128 = 1 << 24;
    if n > MOST {
        return Err(Error::refused(format!("a width or a count of more than {MOST}: {n}")));
    }
    Ok(usize::try_from(n).unwrap_or(0))
}
