//! YAML as PyYAML writes it with libyaml, which is what Ansible uses.
use std::rc::Rc;

use super::yaml_types::{self, Plain};
use crate::jinja::args::Args;
use crate::jinja::error::{Error, Result};
use crate::jinja::value::{Dict, Value};
use crate::jinja::{show, sorting};

#[derive(Clone, Copy, PartialEq)]
enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

/// What is to be written: a representation of a value.
enum Node {
    /// Text, and whether it means what it should when plain, and when quoted.
    Scalar {
        text: String,
        plain: bool,
        /// It is none: in quotes it needs a mark, or it would be read as a text.
        other: bool,
        style: Style,
    },
    List(Vec<Node>, bool),
    Dict(Vec<(Node, Node)>, bool),
}

struct Options {
    flow: Option<bool>,
    sort: bool,
    style: Style,
    seen: Vec<*const ()>,
}

pub fn apply(name: &str, value: &Value, args: &Args) -> Result<Value> {
    let nice = name == "to_nice_yaml";
    let names: &[&str] = &[
        "indent",
        "default_flow_style",
        "sort_keys",
        "width",
        "default_style",
        "explicit_start",
        "explicit_end",
        "allow_unicode",
        "line_break",
        "canonical",
        "encoding",
        "version",
        "tags",
    ];
    let b = args.bind("this filter", names)?;
    for unusual in
        ["allow_unicode", "line_break", "canonical", "encoding", "version", "tags", "explicit_end"]
    {
        if b.get(unusual).is_some() {
            return Err(Error::refused(format!("`{unusual}` of `{name}` is not supported")));
        }
    }
    if !nice && !args.positional.is_empty() {
        return Err(Error::refused("`to_yaml` with arguments that have no name is not supported"));
    }
    let style = match b.text("default_style")?.as_deref() {
        None => Style::Plain,
        Some("'") => Style::Single,
        Some("\"") => Style::Double,
        Some("|") => Style::Literal,
        Some(_) => return Err(Error::refused("this `default_style` is not supported")),
    };
    let flow = match b.get("default_flow_style") {
        Some(Value::None) => None,
        Some(given) => Some(given.truth()?),
        None => nice.then_some(false),
    };
    let mut options =
        Options { flow, sort: b.truth_or("sort_keys", true)?, style, seen: Vec::new() };
    let node = represented(value, &mut options)?;
    let indent = b.int_or("indent", if nice { 4 } else { 2 })?;
    let width = b.int_or("width", 80)?;
    let mut writer =
        Writer::new(if (2..=9).contains(&indent) { indent as usize } else { 2 }, width);
    if b.truth("explicit_start")? {
        writer.out.push_str("---");
        (writer.column, writer.blank, writer.indented) = (3, false, false);
    }
    writer.document(&node);
    Ok(Value::from(writer.out))
}

fn represented(value: &Value, options: &mut Options) -> Result<Node> {
    let scalar = |text: String, style| Node::Scalar { text, plain: true, other: true, style };
    Ok(match value {
        Value::Missing(why) => return Err(why.clone()),
        Value::None => scalar("null".into(), options.style),
        Value::Bool(b) => scalar(b.to_string(), options.style),
        Value::Int(n) => scalar(n.to_string(), options.style),
        Value::Float(f) => scalar(float(*f), options.style),
        Value::Str(s) => {
            if options.style == Style::Literal && (&**s == "\n" || s.ends_with("\n\n")) {
                return Err(Error::refused(
                    "`default_style='|'` for a text that ends in empty lines is not supported",
                ));
            }
            let plain = yaml_types::plain(s) == Plain::Text;
            Node::Scalar { text: s.to_string(), plain, other: false, style: options.style }
        }
        Value::List(l) => {
            once(Rc::as_ptr(l).cast(), l.borrow().is_empty(), options)?;
            list(&l.borrow(), options)?
        }
        Value::Tuple(t) if !value.is_group() => list(t, options)?,
        Value::Dict(d) => {
            once(Rc::as_ptr(d).cast(), false, options)?;
            mapping(&d.borrow(), options)?
        }
        other => {
            return Err(Error::raised(format!(
                "cannot represent an object of type {}",
                other.kind()
            )));
        }
    })
}

/// PyYAML gives an anchor to what it meets again.
fn once(place: *const (), empty: bool, options: &mut Options) -> Result<()> {
    if !empty && options.seen.contains(&place) {
        return Err(Error::refused(
            "the same list or mapping twice in what becomes YAML would get an anchor; write a copy \
                of it",
        ));
    }
    options.seen.push(place);
    Ok(())
}

fn float(f: f64) -> String {
    if f.is_nan() {
        return ".nan".into();
    }
    if f.is_infinite() {
        return if f > 0.0 { ".inf".into() } else { "-.inf".into() };
    }
    let text = show::float(f);
    if !text.contains('.') && text.contains('e') { text.replacen('e', ".0e", 1) } else { text }
}

fn leaf(node: &Node) -> bool {
    matches!(node, Node::Scalar { style: Style::Plain, .. })
}

fn list(items: &[Value], options: &mut Options) -> Result<Node> {
    let nodes = items.iter().map(|item| represented(item, options)).collect::<Result<Vec<_>>>()?;
    let flow = options.flow.unwrap_or_else(|| nodes.iter().all(leaf));
    Ok(Node::List(nodes, flow))
}

fn mapping(dict: &Dict, options: &mut Options) -> Result<Node> {
    let mut keys: Vec<Value> = dict.keys().cloned().collect();
    if options.sort
        && let Ok(sorted) = sorting::sorted(keys.clone(), false, |key| Ok(key.clone()))
    {
        keys = sorted;
    }
    let mut nodes = Vec::new();
    for key in keys {
        let value = dict.get(&key).expect("its own key");
        nodes.push((represented(&key, options)?, represented(value, options)?));
    }
    let flow = options.flow.unwrap_or_else(|| nodes.iter().all(|(k, v)| leaf(k) && leaf(v)));
    Ok(Node::Dict(nodes, flow))
}

/// What stands around a scalar.
#[derive(Clone, Copy, Default)]
struct Around {
    key: bool,
    in_mapping: bool,
    flow: bool,
}

/// libyaml's emitter.
struct Writer {
    out: String,
    column: usize,
    /// The last thing written was a blank or a mark that counts as one.
    blank: bool,
    /// Only indentation and marks stand in this line.
    indented: bool,
    indent: i64,
    step: usize,
    width: usize,
}

impl Writer {
    fn new(step: usize, width: i128) -> Self {
        let width = match width {
            w if w < 0 => usize::MAX,
            w if w <= step as i128 * 2 => 80,
            w => w as usize,
        };
        Self { out: String::new(), column: 0, blank: true, indented: true, indent: -1, step, width }
    }

    fn document(&mut self, node: &Node) {
        self.indent = -1;
        self.node(node, Around::default());
        if !self.out.ends_with('\n') {
            self.out.push('\n');
        }
    }

    fn put(&mut self, c: char) {
        self.out.push(c);
        self.column += 1;
    }

    fn end_line(&mut self) {
        self.out.push('\n');
        self.column = 0;
    }

    fn line(&mut self) {
        let indent = usize::try_from(self.indent).unwrap_or(0);
        if !self.indented || self.column > indent || (self.column == indent && !self.blank) {
            self.end_line();
        }
        while self.column < indent {
            self.put(' ');
        }
        (self.blank, self.indented) = (true, true);
    }

    fn mark(&mut self, mark: &str, needs_blank: bool, is_blank: bool, is_indent: bool) {
        if needs_blank && !self.blank {
            self.put(' ');
        }
        mark.chars().for_each(|c| self.put(c));
        self.blank = is_blank;
        self.indented = self.indented && is_indent;
    }

    fn deeper(&mut self, flow: bool, indentless: bool) -> i64 {
        let outer = self.indent;
        if self.indent < 0 {
            self.indent = if flow { self.step as i64 } else { 0 };
        } else if !indentless {
            self.indent += self.step as i64;
        }
        outer
    }

    fn node(&mut self, node: &Node, around: Around) {
        match node {
            Node::Scalar { text, plain, other, style } => {
                if *other && *style != Style::Plain {
                    self.mark("!", true, false, false);
                }
                self.scalar(text, *plain, *style, around);
            }
            Node::List(items, flow) if around.flow || *flow || items.is_empty() => {
                self.flow_list(items)
            }
            Node::List(items, _) => {
                let indentless = around.in_mapping && !self.indented;
                let outer = self.deeper(false, indentless);
                for item in items {
                    self.line();
                    self.mark("-", true, false, true);
                    self.node(item, Around::default());
                }
                self.indent = outer;
            }
            Node::Dict(pairs, flow) if around.flow || *flow || pairs.is_empty() => {
                self.flow_dict(pairs)
            }
            Node::Dict(pairs, _) => {
                let outer = self.deeper(false, false);
                for (key, value) in pairs {
                    self.line();
                    self.pair(key, value, false);
                }
                self.indent = outer;
            }
        }
    }

    fn pair(&mut self, key: &Node, value: &Node, flow: bool) {
        let around = Around { key: false, in_mapping: true, flow };
        if simple(key) {
            self.node(key, Around { key: true, ..around });
            self.mark(":", false, false, false);
        } else {
            self.mark("?", true, false, !flow);
            self.node(key, around);
            if !flow {
                self.line();
            }
            self.mark(":", true, false, !flow);
        }
        self.node(value, around);
    }

    fn flow_list(&mut self, items: &[Node]) {
        self.mark("[", true, true, false);
        let outer = self.deeper(true, false);
        for (at, item) in items.iter().enumerate() {
            self.between(at);
            self.node(item, Around { flow: true, ..Around::default() });
        }
        self.indent = outer;
        self.mark("]", false, false, false);
    }

    fn flow_dict(&mut self, pairs: &[(Node, Node)]) {
        self.mark("{", true, true, false);
        let outer = self.deeper(true, false);
        for (at, (key, value)) in pairs.iter().enumerate() {
            self.between(at);
            self.pair(key, value, true);
        }
        self.indent = outer;
        self.mark("}", false, false, false);
    }

    fn between(&mut self, at: usize) {
        if at > 0 {
            self.mark(",", false, false, false);
        }
        if self.column > self.width {
            self.line();
        }
    }

    fn scalar(&mut self, text: &str, plain: bool, wanted: Style, around: Around) {
        let can = Analysis::of(text);
        let mut style = if around.key && can.multiline { Style::Double } else { wanted };
        if style == Style::Plain {
            let fits = if around.flow { can.flow_plain } else { can.block_plain };
            if !fits || !plain || (text.is_empty() && (around.flow || around.key)) {
                style = Style::Single;
            }
        }
        if style == Style::Single && !can.single {
            style = Style::Double;
        }
        if style == Style::Literal && (!can.block || around.flow || around.key) {
            style = Style::Double;
        }
        // A scalar that is a value is one level deeper when it is folded.
        let outer = self.deeper(true, false);
        match style {
            Style::Plain => self.plain(text, !around.key, around.flow),
            Style::Single => self.single(text, !around.key),
            Style::Double => self.double(text, !around.key),
            Style::Literal => self.literal(text),
        }
        self.indent = outer;
    }

    /// Writes characters, with folds at blanks where the line is long. `inner` says that a fold may
    /// be at that place.
    fn folded(&mut self, text: &str, folds: bool, quote: bool, inner: impl Fn(usize) -> bool) {
        let chars: Vec<char> = text.chars().collect();
        let (mut spaces, mut breaks) = (false, false);
        for (at, c) in chars.iter().enumerate() {
            let next_blank = chars.get(at + 1) == Some(&' ');
            match c {
                ' ' => {
                    if folds && !spaces && self.column > self.width && inner(at) && !next_blank {
                        self.line();
                    } else {
                        self.put(' ');
                    }
                    spaces = true;
                }
                '\n' => {
                    if !breaks {
                        self.end_line();
                    }
                    self.end_line();
                    (self.indented, breaks) = (true, true);
                }
                c => {
                    if breaks {
                        self.line();
                    }
                    if quote && *c == '\'' {
                        self.put('\'');
                    }
                    self.put(*c);
                    (self.indented, spaces, breaks) = (false, false, false);
                }
            }
        }
        if breaks && quote {
            self.line();
        }
    }

    fn plain(&mut self, text: &str, folds: bool, flow: bool) {
        if !self.blank && (!text.is_empty() || flow) {
            self.put(' ');
        }
        self.folded(text, folds, false, |_| true);
        (self.blank, self.indented) = (false, false);
    }

    fn single(&mut self, text: &str, folds: bool) {
        let length = text.chars().count();
        self.mark("'", true, false, false);
        self.folded(text, folds, true, |at| at != 0 && at + 1 != length);
        self.mark("'", false, false, false);
        (self.blank, self.indented) = (false, false);
    }

    fn double(&mut self, text: &str, folds: bool) {
        let chars: Vec<char> = text.chars().collect();
        self.mark("\"", true, false, false);
        let mut spaces = false;
        for (at, c) in chars.iter().enumerate() {
            if *c == ' ' {
                let inside = at != 0 && at + 1 != chars.len();
                if folds && !spaces && self.column > self.width && inside {
                    self.line();
                    if chars.get(at + 1) == Some(&' ') {
                        self.put('\\');
                    }
                } else {
                    self.put(' ');
                }
                spaces = true;
                continue;
            }
            spaces = false;
            match escape(*c) {
                Some(text) => text.chars().for_each(|c| self.put(c)),
                None => self.put(*c),
            }
        }
        self.mark("\"", false, false, false);
        (self.blank, self.indented) = (false, false);
    }

    fn literal(&mut self, text: &str) {
        self.mark("|", true, false, false);
        if text.starts_with([' ', '\n']) {
            self.put(char::from(b'0' + self.step as u8));
        }
        if !text.ends_with('\n') {
            self.put('-');
        } else if text == "\n" || text.ends_with("\n\n") {
            self.put('+');
        }
        self.end_line();
        (self.indented, self.blank) = (true, true);
        let mut breaks = true;
        for c in text.chars() {
            if c == '\n' {
                self.end_line();
                (self.indented, breaks) = (true, true);
            } else {
                if breaks {
                    self.line();
                }
                self.put(c);
                (self.indented, breaks) = (false, false);
            }
        }
    }
}

/// A key that is written before its colon.
fn simple(key: &Node) -> bool {
    match key {
        Node::Scalar { text, .. } => !text.contains(is_break) && text.len() <= 128,
        Node::List(items, _) => items.is_empty(),
        Node::Dict(pairs, _) => pairs.is_empty(),
    }
}

fn is_break(c: char) -> bool {
    matches!(c, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// What libyaml calls printable; it knows no characters beyond U+FFFF.
fn printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}')
        && c != '\u{feff}'
}

fn escape(c: char) -> Option<String> {
    Some(match c {
        '\0' => "\\0".into(),
        '\u{7}' => "\\a".into(),
        '\u{8}' => "\\b".into(),
        '\t' => "\\t".into(),
        '\n' => "\\n".into(),
        '\u{b}' => "\\v".into(),
        '\u{c}' => "\\f".into(),
        '\r' => "\\r".into(),
        '\u{1b}' => "\\e".into(),
        '"' => "\\\"".into(),
        '\\' => "\\\\".into(),
        '\u{85}' => "\\N".into(),
        '\u{2028}' => "\\L".into(),
        '\u{2029}' => "\\P".into(),
        c if printable(c) => return None,
        c => match c as u32 {
            n @ 0..=0xff => format!("\\x{n:02X}"),
            n @ 0x100..=0xffff => format!("\\u{n:04X}"),
            n => format!("\\U{n:08X}"),
        },
    })
}

/// Which styles can hold a text.
struct Analysis {
    multiline: bool,
    flow_plain: bool,
    block_plain: bool,
    single: bool,
    block: bool,
}

impl Analysis {
    fn of(text: &str) -> Self {
        if text.is_empty() {
            return Self {
                multiline: false,
                flow_plain: false,
                block_plain: true,
                single: true,
                block: false,
            };
        }
        let chars: Vec<char> = text.chars().collect();
        let blankz = |at: usize| {
            chars.get(at).is_none_or(|c| matches!(c, ' ' | '\t' | '\0') || is_break(*c))
        };
        let (mut flow, mut block) = (false, false);
        if text.starts_with("---") || text.starts_with("...") {
            (flow, block) = (true, true);
        }
        let (mut special, mut breaks, mut break_space, mut space_break) =
            (false, false, false, false);
        let (mut after_space, mut after_break) = (false, false);
        for (at, c) in chars.iter().enumerate() {
            let (first, last) = (at == 0, at + 1 == chars.len());
            let before_blank = blankz(at + 1);
            let after_blank = first || blankz(at - 1);
            match c {
                '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"'
                | '%' | '@' | '`'
                    if first =>
                {
                    (flow, block) = (true, true);
                }
                '?' | ':' if first => (flow, block) = (true, block || before_blank),
                '-' if first && before_blank => (flow, block) = (true, true),
                ',' | '?' | '[' | ']' | '{' | '}' if !first => flow = true,
                ':' if !first => (flow, block) = (true, block || before_blank),
                '#' if !first && after_blank => (flow, block) = (true, true),
                _ => {}
            }
            special |= !printable(*c) && !is_break(*c);
            special |= matches!(c, '\r' | '\u{85}' | '\u{2028}' | '\u{2029}');
            breaks |= is_break(*c);
            if *c == ' ' {
                break_space |= after_break;
                (after_space, after_break) = (true, false);
            } else if is_break(*c) {
                space_break |= after_space;
                (after_space, after_break) = (false, true);
            } else {
                (after_space, after_break) = (false, false);
            }
            let _ = last;
        }
        let edge = |c: Option<&char>| c.is_some_and(|c| *c == ' ' || is_break(*c));
        let edges = edge(chars.first()) || edge(chars.last());
        let trailing_space = chars.last() == Some(&' ');
        let nothing = space_break || special;
        Self {
            multiline: breaks,
            flow_plain: !(edges || break_space || nothing || breaks || flow),
            block_plain: !(edges || break_space || nothing || breaks || block),
            single: !(break_space || nothing),
            block: !(trailing_space || nothing),
        }
    }
}
