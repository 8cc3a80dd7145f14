//! Character classes of Python's `str` methods, where Rust's differ.

/// White space for `split` and `strip`.
pub fn space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Line ends of `splitlines`.
pub fn line_end(c: char) -> bool {
    matches!(
        c,
        '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
    )
}

/// Marks that `escape_debug` escapes but Python prints.
pub fn combining(c: char) -> bool {
    // It escapes these only at the start of a text.
    format!("{:?}", format!("a{c}")).len() == 3 + c.len_utf8()
}

/// `str.splitlines`, optionally keeping line ends.
pub fn lines(text: &str, keep: bool) -> Vec<&str> {
    let (mut out, mut start) = (Vec::new(), 0);
    let mut all = text.char_indices().peekable();
    while let Some((at, c)) = all.next() {
        if !line_end(c) {
            continue;
        }
        let mut end = at + c.len_utf8();
        if c == '\r' && all.peek().is_some_and(|(_, next)| *next == '\n') {
            all.next();
            end += 1;
        }
        out.push(&text[start..if keep { end } else { at }]);
        start = end;
    }
    if start < text.len() {
        out.push(&text[start..]);
    }
    out
}

/// `str.capitalize`.
pub fn capitalized(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map_or_else(String::new, |first| title(first) + &rest.as_str().to_lowercase())
}

/// `str.title`: a word starts after any character that is not a letter.
pub fn titled(text: &str) -> String {
    let (mut out, mut inside) = (String::new(), false);
    for c in text.chars() {
        let cased = c.is_uppercase() || c.is_lowercase();
        match (cased, inside) {
            (true, true) => out.extend(c.to_lowercase()),
            (true, false) => out.push_str(&title(c)),
            (false, _) => out.push(c),
        }
        inside = cased;
    }
    out
}

/// Title case of a letter. `ß` becomes `Ss`.
fn title(c: char) -> String {
    let upper: String = c.to_uppercase().collect();
    let mut all = upper.chars();
    all.next().map_or_else(String::new, |first| first.to_string() + &all.as_str().to_lowercase())
}

/// A slice of text by character positions.
pub fn part(text: &str, from: usize, to: usize) -> &str {
    let offset = |n: usize| text.char_indices().nth(n).map_or(text.len(), |(at, _)| at);
    if from >= to { "" } else { &text[offset(from)..offset(to)] }
}

/// Pads like `str.center`.
pub fn centred(text: &str, width: usize, fill: char) -> String {
    let pad = width.saturating_sub(text.chars().count());
    let left = pad / 2 + (pad & width & 1);
    let some = |n: usize| fill.to_string().repeat(n);
    some(left) + text + &some(pad - left)
}
