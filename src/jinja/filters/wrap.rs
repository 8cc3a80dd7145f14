//! `wordwrap`: Python's `textwrap`.
use crate::jinja::args::Args;
use crate::jinja::chars;
use crate::jinja::error::{Error, Result};
use crate::jinja::value::Value;

struct Options {
    width: usize,
    break_words: bool,
    hyphens: bool,
}

pub fn apply(value: &Value, args: &Args) -> Result<Value> {
    let b =
        args.bind("wordwrap", &["width", "break_long_words", "wrapstring", "break_on_hyphens"])?;
    let width = usize::try_from(b.int_or("width", 79)?).ok().filter(|w| *w > 0);
    let options = Options {
        width: width.ok_or_else(|| Error::raised("invalid width (must be > 0)"))?,
        break_words: b.truth_or("break_long_words", true)?,
        hyphens: b.truth_or("break_on_hyphens", true)?,
    };
    let between = b.text_or("wrapstring", "\n")?;
    let text = value.as_text().ok_or_else(|| Error::raised("`wordwrap` wants a text"))?;
    let lines: Vec<String> = chars::lines(text, false)
        .into_iter()
        .map(|line| wrapped(line, &options).join(&between))
        .collect();
    Ok(Value::from(lines.join(&between)))
}

const BLANKS: [char; 6] = ['\t', '\n', '\u{b}', '\u{c}', '\r', ' '];

/// Words, blanks, and parts of words ending in a hyphen.
fn chunks(line: &str, hyphens: bool) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut blank = None;
    for c in line.chars() {
        let is_blank = BLANKS.contains(&c);
        if blank != Some(is_blank) {
            out.push(String::new());
            blank = Some(is_blank);
        }
        out.last_mut().expect("just pushed").push(c);
    }
    if !hyphens {
        return out;
    }
    out.into_iter().flat_map(|word| parts(&word)).collect()
}

/// Splits a word after hyphens between letters.
fn parts(word: &str) -> Vec<String> {
    let all: Vec<char> = word.chars().collect();
    let letter = |at: usize| all.get(at).is_some_and(|c| c.is_alphabetic() || *c == '_');
    let (mut out, mut start, mut at) = (Vec::new(), 0, 0);
    while at < all.len() {
        // Two letters, a hyphen, two letters more: or one letter and a hyphen before.
        let before = at >= start + 2 && letter(at - 1) && letter(at - 2);
        let after =
            (letter(at + 1) && letter(at + 2)) || (letter(at + 1) && all.get(at + 2) == Some(&'-'));
        if all[at] == '-' && before && after {
            out.push(all[start..=at].iter().collect());
            start = at + 1;
        }
        // Two or more dashes between words form a chunk of their own.
        let dash = all[at..].iter().take_while(|c| **c == '-').count();
        if dash >= 2 && at > start && at + dash < all.len() {
            out.push(all[start..at].iter().collect());
            out.push("-".repeat(dash));
            start = at + dash;
            at = start;
            continue;
        }
        at += 1;
    }
    out.push(all[start..].iter().collect());
    out
}

fn wrapped(line: &str, options: &Options) -> Vec<String> {
    let mut rest = chunks(line, options.hyphens);
    rest.reverse();
    // Splits at ASCII white space, but drops Unicode white space.
    let blank = |text: &String| text.chars().all(chars::space);
    let size = |text: &String| text.chars().count();
    let mut lines: Vec<String> = Vec::new();
    while !rest.is_empty() {
        let (mut current, mut length): (Vec<String>, usize) = (Vec::new(), 0);
        if !lines.is_empty() && rest.last().is_some_and(blank) {
            rest.pop();
        }
        while let Some(next) = rest.last() {
            if length + size(next) > options.width {
                break;
            }
            length += size(next);
            current.extend(rest.pop());
        }
        if rest.last().is_some_and(|next| size(next) > options.width) {
            let next = rest.last_mut().expect("just seen");
            if options.break_words {
                let free = options.width - length;
                let mut end = free.max(usize::from(length == 0));
                // A long word is rather cut after a hyphen.
                let all: Vec<char> = next.chars().collect();
                if options.hyphens && all.len() > free {
                    let hyphen = all[..free].iter().rposition(|c| *c == '-');
                    if let Some(at) =
                        hyphen.filter(|at| *at > 0 && all[..*at].iter().any(|c| *c != '-'))
                    {
                        end = at + 1;
                    }
                }
                current.push(all[..end].iter().collect());
                *next = all[end..].iter().collect();
            } else if current.is_empty() {
                current.extend(rest.pop());
            }
        }
        if current.last().is_some_and(blank) {
            current.pop();
        }
        if !current.is_empty() {
            lines.push(current.concat());
        }
    }
    lines
}
