//! Splits a byte stream into lines of bounded length. The stream may be hostile: a line without an
//! end takes no more memory than [`LINE`] bytes, and every byte is examined once.

/// Maximum bytes kept of one line. The rest is counted and reported.
pub const LINE: usize = 16 << 10;

/// Splits one stream. Pass data to [`take`](Lines::take), and call [`end`](Lines::end) at its end.
#[derive(Debug, Default)]
pub struct Lines {
    held: Vec<u8>,
    /// Bytes of the current line that were dropped.
    cut: u64,
}

impl Lines {
    /// Passes on every line that `bytes` completes, without its line end (`\n` or `\r\n`). Invalid
    /// UTF-8 becomes U+FFFD.
    pub fn take(&mut self, bytes: &[u8], line: &mut dyn FnMut(&str)) {
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            match piece.strip_suffix(b"\n") {
                Some(last) => {
                    self.hold(last);
                    self.give(line);
                }
                None => self.hold(piece),
            }
        }
    }

    /// Passes on the last line, if it has no line end.
    pub fn end(&mut self, line: &mut dyn FnMut(&str)) {
        if !self.held.is_empty() {
            self.give(line);
        }
    }

    fn hold(&mut self, bytes: &[u8]) {
        let room = LINE - self.held.len();
        let kept = bytes.len().min(room);
        self.held.extend_from_slice(&bytes[..kept]);
        self.cut += (bytes.len() - kept) as u64;
    }

    fn give(&mut self, line: &mut dyn FnMut(&str)) {
        let cut = std::mem::take(&mut self.cut);
        let mut bytes = &self.held[..];
        if cut > 0 {
            // Half a character is not shown as a broken one.
            if let Err(e) = std::str::from_utf8(bytes)
                && e.error_len().is_none()
            {
                bytes = &bytes[..e.valid_up_to()];
            }
            line(&format!("{}… [cut, {cut} bytes more]", String::from_utf8_lossy(bytes)));
        } else {
            line(&String::from_utf8_lossy(bytes.strip_suffix(b"\r").unwrap_or(bytes)));
        }
        self.held.clear();
    }
}

/// `text`, truncated to `most` bytes, with a mark if it was cut.
pub fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}… [cut, {} bytes more]", &text[..end], text.len() - end)
}

/// Position of the first `mark` in `bytes`. Examines each byte once, apart from those that equal
/// the mark's first.
pub fn find(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    let first = mark.first()?;
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|b| b == first) {
        if bytes[from + at..].starts_with(mark) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

/// The last `most` bytes of `text`.
pub fn end_of(text: &str, most: usize) -> &str {
    let from = text.len().saturating_sub(most);
    let from = (from..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    &text[from..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found() {
        for (bytes, mark, at) in [
            ("aab", "ab", Some(1)),
            ("aa", "ab", None),
            ("", "a", None),
            ("ab", "ab", Some(0)),
            ("xxa", "ab", None),
        ] {
            assert_eq!(find(bytes.as_bytes(), mark.as_bytes()), at, "{bytes} {mark}");
        }
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(cut("\u{e9}\u{e9}", 4), "\u{e9}\u{e9}");
        assert_eq!(cut("\u{e9}\u{e9}", 3), "\u{e9}… [cut, 2 bytes more]");
        assert_eq!(
            (end_of("a\u{e9}", 2), end_of("a\u{e9}", 1), end_of("a", 9)),
            ("\u{e9}", "", "a")
        );
    }

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let (mut lines, mut got) = (Lines::default(), Vec::new());
        for piece in pieces {
            lines.take(piece, &mut |line| got.push(line.to_owned()));
        }
        lines.end(&mut |line| got.push(line.to_owned()));
        got
    }

    #[test]
    fn lines_come_whole_however_the_stream_is_cut() {
        let all = "one\r\ntwo\n\n\u{e9}t\u{e9}\nrest".as_bytes();
        for cut in 0..all.len() {
            assert_eq!(
                lines(&[&all[..cut], &all[cut..]]),
                ["one", "two", "", "\u{e9}t\u{e9}", "rest"]
            );
        }
        assert_eq!(lines(&[b"a\n"]), ["a"]);
        assert_eq!(lines(&[b"\xff\n"]), ["\u{fffd}"]);
    }

    #[test]
    fn a_long_line_is_cut_and_says_so() {
        let long = [vec![b'x'; LINE + 10], b"\nnext\n".to_vec()].concat();
        let got = lines(&[&long]);
        assert_eq!(got[0], format!("{}… [cut, 10 bytes more]", "x".repeat(LINE)));
        assert_eq!(got[1], "next");
        let full = [vec![b'x'; LINE], b"\n".to_vec()].concat();
        assert_eq!(lines(&[&full])[0].len(), LINE, "one that just fits is whole");
        let split = [vec![b'x'; LINE - 1], "\u{e9}\n".as_bytes().to_vec()].concat();
        assert!(!lines(&[&split])[0].contains('\u{fffd}'), "no half character");
    }

    /// The old splitter kept all of it, and searched it from its start for each piece.
    #[test]
    fn a_stream_without_a_line_end_takes_constant_memory_and_linear_time() {
        let (mut lines, piece) = (Lines::default(), vec![b'x'; 32 << 10]);
        let begin = std::time::Instant::now();
        for _ in 0..(1 << 11) {
            lines.take(&piece, &mut |_| panic!("there is no line"));
        }
        assert!(lines.held.capacity() <= 2 * LINE, "{}", lines.held.capacity());
        let mut got = String::new();
        lines.end(&mut |line| got = line.to_owned());
        assert!(
            got.ends_with(&format!("[cut, {} bytes more]", (1u64 << 26) - LINE as u64)),
            "{}",
            got.len()
        );
        assert!(begin.elapsed() < std::time::Duration::from_secs(20), "{:?}", begin.elapsed());
    }
}
