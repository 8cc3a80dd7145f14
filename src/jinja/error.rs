//! What goes wrong in a template.
use std::rc::Rc;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A variable or a member is not there.
    Undefined,
    /// Python would raise an exception; `default` and the like can catch some of these.
    Raised,
    /// We do not do it, whatever Ansible does.
    Refused,
    Syntax,
    UnknownFilter,
    UnknownTest,
    NotFound,
    /// More steps than a render has.
    Endless,
    /// More output than a render has.
    TooLong,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    pub kind: Kind,
    pub message: String,
    /// Of `Undefined`: the path of names that leads to nothing, `bundle.nam`; empty if it has none.
    pub name: String,
    /// The template, and the byte in it.
    pub spot: Option<(Rc<str>, usize)>,
}

pub type Result<T> = std::result::Result<T, Rc<Error>>;

impl Error {
    pub fn new(kind: Kind, message: impl Into<String>) -> Rc<Self> {
        Rc::new(Self { kind, message: message.into(), name: String::new(), spot: None })
    }

    /// Python would raise it.
    pub fn raised(message: impl Into<String>) -> Rc<Self> {
        Self::new(Kind::Raised, message)
    }

    /// What we do not do, and why.
    pub fn refused(message: impl Into<String>) -> Rc<Self> {
        Self::new(Kind::Refused, message)
    }

    pub fn undefined(name: impl Into<String>, message: impl Into<String>) -> Rc<Self> {
        let (name, message) = (name.into(), message.into());
        Rc::new(Self { kind: Kind::Undefined, message, name, spot: None })
    }

    /// What is wrong with arguments names who takes them, which `of` stands for.
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

    /// Ends the whole render: nothing that follows could be told from it.
    pub fn is_final(&self) -> bool {
        matches!(self.kind, Kind::Endless | Kind::TooLong)
    }

    /// A filter or a call that failed so leaves a value behind, which is an error when it is used.
    pub fn can_wait(&self) -> bool {
        matches!(self.kind, Kind::Undefined | Kind::Raised)
    }

    /// With that place, if it has none.
    pub fn at(self: Rc<Self>, template: &Rc<str>, offset: usize) -> Rc<Self> {
        if self.spot.is_some() {
            return self;
        }
        Rc::new(Self { spot: Some((template.clone(), offset)), ..(*self).clone() })
    }
}
