//! libyaml's emitter: indentation, marks, lists and maps.
use super::analysis::is_break;
use super::{Node, Style};

/// Context of a scalar.
#[derive(Clone, Copy, Default)]
pub(super) struct Around {
    pub key: bool,
    pub in_mapping: bool,
    pub flow: bool,
}

/// libyaml's emitter.
pub(super) struct Writer {
    pub(super) out: String,
    pub(super) column: usize,
    /// The last character was a blank, or a mark that counts as one.
    pub(super) blank: bool,
    /// The line has only indentation and marks so far.
    pub(super) indented: bool,
    pub(super) indent: i64,
    pub(super) step: usize,
    pub(super) width: usize,
}

impl Writer {
    pub(super) fn new(step: usize, width: i128) -> Self {
        let width = match width {
            w if w < 0 => usize::MAX,
            w if w <= step as i128 * 2 => 80,
            w => w as usize,
        };
        Self { out: String::new(), column: 0, blank: true, indented: true, indent: -1, step, width }
    }

    pub(super) fn document(&mut self, node: &Node) {
        self.indent = -1;
        self.node(node, Around::default());
        if !self.out.ends_with('\n') {
            self.out.push('\n');
        }
    }

    pub(super) fn put(&mut self, c: char) {
        self.out.push(c);
        self.column += 1;
    }

    pub(super) fn end_line(&mut self) {
        self.out.push('\n');
        self.column = 0;
    }

    pub(super) fn line(&mut self) {
        let indent = usize::try_from(self.indent).unwrap_or(0);
        if !self.indented || self.column > indent || (self.column == indent && !self.blank) {
            self.end_line();
        }
        while self.column < indent {
            self.put(' ');
        }
        (self.blank, self.indented) = (true, true);
    }

    pub(super) fn mark(&mut self, mark: &str, needs_blank: bool, is_blank: bool, is_indent: bool) {
        if needs_blank && !self.blank {
            self.put(' ');
        }
        mark.chars().for_each(|c| self.put(c));
        self.blank = is_blank;
        self.indented = self.indented && is_indent;
    }

    pub(super) fn deeper(&mut self, flow: bool, indentless: bool) -> i64 {
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
}

/// A key that fits on one line before its colon.
fn simple(key: &Node) -> bool {
    match key {
        Node::Scalar { text, .. } => !text.contains(is_break) && text.len() <= 128,
        Node::List(items, _) => items.is_empty(),
        Node::Dict(pairs, _) => pairs.is_empty(),
    }
}
