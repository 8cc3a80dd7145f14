//! Determines the YAML scalar styles that can hold a text, like libyaml.

/// Styles that can hold a text.
pub(super) struct Analysis {
    pub multiline: bool,
    pub flow_plain: bool,
    pub block_plain: bool,
    pub single: bool,
    pub block: bool,
}

impl Analysis {
    const EMPTY: Self =
        Self { multiline: false, flow_plain: false, block_plain: true, single: true, block: false };

    pub(super) fn of(text: &str) -> Self {
        if text.is_empty() {
            return Self::EMPTY;
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
            let first = at == 0;
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

pub(super) fn is_break(c: char) -> bool {
    matches!(c, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Printable according to libyaml, which knows no characters beyond U+FFFF.
pub(super) fn printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}')
        && c != '\u{feff}'
}
