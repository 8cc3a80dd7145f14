//! The syntax tree of a template.
use std::rc::Rc;

use super::value::Value;

pub type Body = Vec<Node>;

/// A part of a template. Fields named `at` are byte offsets into its text.
pub enum Node {
    Text(Rc<str>),
    Output(Expr),
    If(Vec<(Expr, Body)>, Body),
    For(Rc<For>),
    Set(Target, Expr, usize),
    SetBlock(Target, Vec<Call>, Body, usize),
    With(Vec<(Target, Expr)>, Body, usize),
    Filter(Vec<Call>, Body),
    Autoescape(Expr, Body),
    Macro(Rc<MacroNode>),
    /// `{% call(args) f() %}`: the call, and the macro behind `caller()`.
    CallBlock(Expr, Rc<MacroNode>, usize),
    Block(Rc<BlockNode>),
    /// Names assigned later in this scope and not read before.
    Unset(Vec<Rc<str>>),
    Extends(Expr, usize),
    Include {
        what: Expr,
        missing_is_fine: bool,
        context: bool,
        at: usize,
    },
    Import {
        what: Expr,
        name: Rc<str>,
        context: bool,
        at: usize,
    },
    From {
        what: Expr,
        names: Vec<(Rc<str>, Rc<str>)>,
        context: bool,
        at: usize,
    },
}

pub struct For {
    pub target: Target,
    pub over: Expr,
    pub only_if: Option<Expr>,
    pub body: Body,
    pub otherwise: Body,
    pub recursive: bool,
    pub at: usize,
}

pub struct MacroNode {
    pub name: Rc<str>,
    /// Parameter names with their defaults.
    pub parameters: Vec<(Rc<str>, Option<Expr>)>,
    pub body: Body,
    pub at: usize,
    /// Uses `varargs`, `kwargs`, `caller`.
    pub uses: [bool; 3],
}

pub struct BlockNode {
    pub name: Rc<str>,
    pub body: Body,
    pub scoped: bool,
    pub required: bool,
    pub at: usize,
}

/// Target of an assignment.
#[derive(Clone)]
pub enum Target {
    Name(Rc<str>),
    /// Attribute of a namespace.
    Member(Rc<str>, Rc<str>),
    Several(Vec<Target>),
}

impl Target {
    /// Adds the assigned names.
    pub fn names(&self, all: &mut Vec<Rc<str>>) {
        match self {
            Target::Name(name) => all.push(name.clone()),
            Target::Member(..) => {}
            Target::Several(targets) => targets.iter().for_each(|target| target.names(all)),
        }
    }
}

/// A filter, a test, or call arguments.
pub struct Call {
    pub name: Rc<str>,
    pub positional: Vec<Expr>,
    pub named: Vec<(Rc<str>, Expr)>,
    pub star: Option<Expr>,
    pub stars: Option<Expr>,
    pub at: usize,
}

pub struct Expr {
    pub at: usize,
    pub what: What,
}

pub enum What {
    Const(Value),
    Name(Rc<str>),
    Tuple(Vec<Expr>),
    List(Vec<Expr>),
    Dict(Vec<(Expr, Expr)>),
    Member(Box<Expr>, Rc<str>),
    Item(Box<Expr>, Box<Expr>),
    Slice(Box<Expr>, Box<[Option<Expr>; 3]>),
    Call(Box<Expr>, Box<Call>),
    /// `None`: the filter of a block, applied to its text.
    Filter(Box<Expr>, Box<Call>),
    Test(Box<Expr>, Box<Call>),
    Not(Box<Expr>),
    Minus(Box<Expr>),
    Plus(Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Compare(Box<Expr>, Vec<(Comparison, Expr)>),
    Concat(Vec<Expr>),
    Calculate(Operator, Box<Expr>, Box<Expr>),
    /// `a if b else c`
    Choice(Box<Expr>, Box<Expr>, Option<Box<Expr>>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    In,
    NotIn,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    Add,
    Sub,
    Mul,
    Div,
    FloorDiv,
    Mod,
    Pow,
}

impl Operator {
    pub fn sign(self) -> &'static str {
        match self {
            Operator::Add => "+",
            Operator::Sub => "-",
            Operator::Mul => "*",
            Operator::Div => "/",
            Operator::FloorDiv => "//",
            Operator::Mod => "%",
            Operator::Pow => "**",
        }
    }
}
