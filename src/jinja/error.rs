//! Errors in templates.
use std::rc::Rc;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A variable or attribute is undefined.
    Undefined,
    /// An exception in Python; `default` and similar can catch some.
    Raised,
    /// Refused here, whatever Ansible does.
    Refused,
    Syntax,
    UnknownFilter,
    UnknownTest,
    NotFound,
    /// The step limit of a render is exceeded.
    Endless,
    /// The output limit of a render is exceeded.
    TooLong,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    pub kind: Kind,
    pub message: String,
    /// For `Undefined`: the dotted name, `bundle.nam`; empty if there is none.
    pub name: String,
    /// The template, and the byte offset in it.
    pub spot: Option<(Rc<str>, usize)>,
}

pub type Result<T> = std::result::Result<T, Rc<Error>>;

impl Error {
    pub fn new(kind: Kind, message: impl Into<String>) -> Rc<Self> {
        Rc::new(Self { kind, message: message.into(), name: String::new(), spot: None })
    }

    /// An exception that Python would raise.
    pub fn raised(message: impl Into<String>) -> Rc<Self> {
        Self::new(Kind::Raised, message)
    }

    /// A refused operation, with the reason.
    pub fn refused(message: impl Into<String>) -> Rc<Self> {
        Self::new(Kind::Refused, message)
    }

    pub fn undefined(name: impl Into<String>, message: impl Into<String>) -> Rc<Self> {
        let (name, message) = (name.into(), message.into());
        Rc::new(Self { kind: Kind::Undefined, message, name, spot: None })
    }

    /// Replaces `of` by the name of the called function in an argument error.
    pub fn called(self: Rc<Self>, of: &str, name: &str) -> Rc<Self> {
        let of = format!("`{of}`");
        match self.message.contains(&of) {
            true => Rc::new(Self {
                message: self.message.replace(&of, &format!("`{name}`")),
                ..(*self).clone()
            }),
            false => self,
        }
    }

    /// Whether it ends the whole render, because later findings would be meaningless.
    pub fn is_final(&self) -> bool {
        matches!(self.kind, Kind::Endless | Kind::TooLong)
    }

    /// Whether a failed filter or call yields a value whose use is the error.
    pub fn can_wait(&self) -> bool {
        matches!(self.kind, Kind::Undefined | Kind::Raised)
    }

    /// Adds a location if it has none.
    pub fn at(self: Rc<Self>, template: &Rc<str>, offset: usize) -> Rc<Self> {
        if self.spot.is_some() {
            return self;
        }
        Rc::new(Self { spot: Some((template.clone(), offset)), ..(*self).clone() })
    }
}
