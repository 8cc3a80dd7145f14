//! Scalars as libyaml writes them: plain, quoted, literal, folded where the line is long.
use super::Style;
use super::analysis::{Analysis, printable};
use super::writer::{Around, Writer};

impl Writer {
    pub(super) fn scalar(&mut self, text: &str, plain: bool, wanted: Style, around: Around) {
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

    /// Writes characters, and folds long lines at blanks. `inner`: a fold is allowed here.
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
