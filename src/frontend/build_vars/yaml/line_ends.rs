//! Ends of lines that only YAML 1.1 knows.
use super::Position;

/// The first end of a line that only YAML 1.1 knows, outside of quotes. Both readers agree on what
/// stands before it.
pub(super) fn foreign_break(text: &str, quoted: &[(usize, char)]) -> Option<Position> {
    let is_break = |c: char| matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}');
    if !text.contains(is_break) {
        return None;
    }
    let (mut begins, mut inside) = (quoted.iter().peekable(), None);
    let (mut waiting, mut escaped, mut closed) = (None, false, None);
    let (mut spot, mut last) = (Position { line: 1, column: 1 }, ' ');
    for (index, c) in text.chars().enumerate() {
        if inside.is_none() && begins.peek().is_some_and(|(start, _)| *start <= index) {
            waiting = begins.next().map(|(_, quote)| *quote);
        }
        match inside {
            Some(quote) => {
                let end = c == quote && !escaped;
                escaped = c == '\\' && quote == '"' && !escaped;
                (inside, closed) = if end { (None, Some(index + 1)) } else { (inside, None) };
            }
            // `''` is one quote.
            None if c == '\'' && closed == Some(index) && last == c => inside = Some(c),
            // Its tag may come before it.
            None if waiting == Some(c) => inside = waiting.take(),
            None if is_break(c) => return Some(spot),
            None => {}
        }
        last = c;
        spot = if c == '\n' {
            Position { line: spot.line + 1, column: 1 }
        } else {
            Position { column: spot.column + 1, ..spot }
        };
    }
    None
}
