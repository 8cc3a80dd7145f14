//! Sanitises untrusted text, so that it is safe to show and to store. Every path to a terminal, a
//! log or a report goes through here.
//!
//! Text from a guest, a bundle, a cloud or a file name may hold sequences that clear the screen,
//! set the title, send answers to the shell, reverse the reading order, or hide text. None of them
//! passes.
use std::borrow::Cow;
use std::fmt::Write;

pub mod shell;
pub mod suggest;

/// Maximum characters of one finding's line.
pub const LINE: usize = 2000;

/// `text` as one line without escape sequences. Control characters become pictures (`␍`, `␀`);
/// hidden characters are spelled out as `\u202e`. Keeps tabs and drops trailing line ends.
pub fn clean(text: &str) -> String {
    let text = console::strip_ansi_codes(text.trim_end_matches(['\r', '\n']));
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => out.push(c),
            '\0'..='\x1f' => out.push(
                char::from_u32(0x2400 + c as u32).expect("the control pictures mirror 0..=1f"),
            ),
            c if is_hidden(c) => spell(c, &mut out),
            c => out.push(c),
        }
    }
    out
}

/// [`clean`], truncated to `most` characters, with a note of the truncation.
pub fn clipped(text: &str, most: usize) -> String {
    // What follows is not even read: a line may be a gigabyte long. An escape sequence is at most
    // as long as this slack.
    let end = text.char_indices().nth(most.saturating_mul(2)).map_or(text.len(), |(at, _)| at);
    let mut line = clean(&text[..end]);
    match line.char_indices().nth(most) {
        Some((at, _)) => line.truncate(at),
        None if end == text.len() => return line,
        None => {}
    }
    line + "… (cut)"
}

/// Sanitises each line with [`clean`]. For our own multi-line text that contains untrusted parts.
///
/// JSON stays equal: hidden characters become JSON escapes.
pub fn block(text: &str) -> String {
    if !text.chars().any(|c| (c.is_control() && c != '\n') || is_hidden(c)) {
        return text.to_owned();
    }
    text.split('\n').map(clean).collect::<Vec<_>>().join("\n")
}

/// [`clean`] for a screen. Of text that overwrites itself (`10 %␍20 %`), keeps the last state. Tabs
/// become blanks.
pub fn shown(line: &str) -> String {
    let line = line.trim_end_matches(['\r', '\n']);
    let last = line.rsplit('\r').find(|part| !part.trim().is_empty()).unwrap_or("");
    clean(last).replace('\t', "    ").trim_end().to_owned()
}

/// First line of `text` that is not blank.
pub fn first_line(text: &str) -> String {
    text.lines()
        .map(clean)
        .find(|line| !line.trim().is_empty())
        .map(|line| line.trim().to_owned())
        .unwrap_or_default()
}

/// JSON text with its hidden characters escaped (`\u202e`); it parses to the same value.
pub fn json(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_hidden(c) { spell(c, &mut out) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// Whether `c` is invisible or changes how its neighbours look: C1 controls (one of which begins
/// escape sequences), direction marks, zero-width blanks, Unicode line ends, tags.
pub fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}'
        | '\u{17b4}' | '\u{17b5}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

fn spell(c: char, out: &mut String) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        write!(out, "\\u{unit:04x}").expect("a String takes everything");
    }
}

/// Writes a path to JSON, which cannot express bytes that are not UTF-8: U+FFFD replaces them.
pub fn lossy_path<S: serde::Serializer>(
    path: &std::path::Path,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_steer_the_terminal() {
        assert_eq!(clean("\x1b[31mred\x1b[0m\x1b]0;title\x07 end\r\n"), "red end");
        assert_eq!(clean("a\x08b\x1b\0c\td\u{9b}31m\u{85}\u{202e}x"), "a␈b␛␀c\td\\u0085\\u202ex");
        assert_eq!(
            clean("\u{feff}a\u{200b}\u{2028}b\u{e0041}\x7f"),
            "\\ufeffa\\u200b\\u2028b\\udb40\\udc41\\u007f"
        );
        assert_eq!(shown("10 %\r20 %\r"), "20 %");
        assert_eq!(shown("a\tb  "), "a    b");
    }

    /// Sequences that begin and do not end, that are nested, or that are no CSI: no ESC and no C1
    /// is left of any.
    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        let starts = [
            "\x1b", "\x1b[", "\x1b]0;", "\x1bP", "\x1b_", "\x1b^", "\x1bX", "\u{9b}", "\u{9d}",
            "\u{90}", "\x1b#8", "\x1bc",
        ];
        let ends = ["", "31m", "\x07", "\x1b\\", "\u{9c}", "2J", "\x18", "\r\n\x1b[A"];
        for start in starts {
            for end in ends {
                for text in [
                    format!("{start}{end}"),
                    format!("{start}{start}x{end}{end}"),
                    format!("a{start}b\u{202e}{end}c"),
                ] {
                    for safe in [
                        clean(&text),
                        shown(&text),
                        block(&text),
                        clipped(&text, 3),
                        first_line(&text),
                    ] {
                        let bad = safe
                            .chars()
                            .find(|c| is_hidden(*c) || (c.is_control() && !"\n\t".contains(*c)));
                        assert_eq!(bad, None, "{text:?} -> {safe:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_long_line_is_cut_and_said_to_be() {
        assert_eq!(clipped("abc", 3), "abc");
        assert_eq!(clipped("äbcd", 3), "äbc… (cut)");
        assert_eq!(clipped(&"x".repeat(9_000_000), 4), "xxxx… (cut)");
        assert!(clipped(&"\x1b[1m".repeat(9_000), 4).ends_with("(cut)"));
    }

    #[test]
    fn json_stays_the_same_json() {
        let value =
            serde_json::json!({"na\u{202e}me": ["\u{1b}[2J\n", "\u{9b}\u{7f}", "\u{e0041}ä"]});
        for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
            for safe in [json(&text).into_owned(), block(&text)] {
                assert!(!safe.chars().any(is_hidden));
                assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap(), value);
            }
        }
    }
}
