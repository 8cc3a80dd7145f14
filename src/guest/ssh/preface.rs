//! Removes the [preface](super::shell) from a command's standard output; the rest passes unchanged.
use super::shell::MARK;
use crate::system::lines;

/// Maximum bytes held while waiting for the preface.
const HELD: usize = 64 << 10;
/// Maximum length of the preface, which is two numbers. A longer one is ignored.
const NUMBERS: usize = 64;

pub(super) struct Preface {
    mark: Vec<u8>,
    held: Vec<u8>,
    /// Position of the mark in `held`.
    marked: Option<usize>,
    groups: Option<Vec<i32>>,
}

impl Preface {
    pub(super) fn new(id: &str) -> Preface {
        let mark = [&[MARK], id.as_bytes(), b" "].concat();
        Preface { mark, held: Vec::new(), marked: None, groups: None }
    }

    /// Process groups of the command, once known.
    pub(super) fn groups(&self) -> Option<&[i32]> {
        self.groups.as_deref()
    }

    /// Processes input and passes on the output. Holds at most [`HELD`] bytes plus one piece.
    pub(super) fn pass(&mut self, data: &[u8], output: &mut dyn FnMut(&[u8])) {
        if self.groups.is_some() {
            return output(data);
        }
        // The mark may have begun in what is held.
        let from = if self.marked.is_some() {
            0
        } else {
            self.held.len().saturating_sub(self.mark.len() - 1)
        };
        self.held.extend_from_slice(data);
        if self.marked.is_none() {
            self.marked = lines::find(&self.held[from..], &self.mark).map(|at| from + at);
        }
        let Some(at) = self.marked else {
            if self.held.len() > HELD {
                let rest = self.held.split_off(self.held.len() - self.mark.len());
                output(&std::mem::replace(&mut self.held, rest));
            }
            return;
        };
        let tail = at + self.mark.len();
        let line = &self.held[tail..];
        let (numbers, rest) = match line.iter().take(NUMBERS).position(|b| *b == b'\n') {
            Some(end) => (&line[..end], tail + end + 1),
            None if line.len() >= NUMBERS => (&line[..0], tail),
            None => return,
        };
        let mut groups: Vec<i32> = String::from_utf8_lossy(numbers)
            .split_ascii_whitespace()
            .filter_map(|word| word.parse().ok())
            .filter(|group| *group > 1) // -1 and 0 would mean "everybody" to kill
            .take(2)
            .collect();
        groups.dedup();
        self.groups = Some(groups);
        for part in [&self.held[..at], &self.held[rest..]] {
            if !part.is_empty() {
                output(part);
            }
        }
        self.held = Vec::new();
    }

    /// The held bytes after a stream without a preface: probably an error message.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_taken_out_however_it_is_cut() {
        let all = b"motd\n\x1eabc 41 42\nout\x1eput";
        for cut in 0..all.len() {
            let (mut preface, mut got) = (Preface::new("abc"), Vec::new());
            preface.pass(&all[..cut], &mut |data| got.extend_from_slice(data));
            preface.pass(&all[cut..], &mut |data| got.extend_from_slice(data));
            assert_eq!(preface.groups(), Some(&[41, 42][..]));
            assert_eq!(got, b"motd\nout\x1eput");
        }
    }

    #[test]
    fn never_names_everybody() {
        let mut preface = Preface::new("abc");
        preface.pass(b"\x1eabc 0 -1 1\n", &mut |_| {});
        assert_eq!(preface.groups(), Some(&[][..]));
    }

    /// The old one held on for ever.
    #[test]
    fn a_preface_without_an_end_is_let_go() {
        for before in ["", "motd\n"] {
            let (mut preface, mut got) = (Preface::new("abc"), 0);
            preface.pass(format!("{before}\x1eabc 41").as_bytes(), &mut |data| got += data.len());
            for _ in 0..1000 {
                preface.pass(&[b'7'; 1000], &mut |data| got += data.len());
                assert!(preface.held.capacity() < 2 * HELD);
            }
            assert_eq!(preface.groups(), Some(&[][..]));
            assert!(got > 1_000_000);
        }
    }

    #[test]
    fn never_names_more_than_two() {
        let mut preface = Preface::new("abc");
        preface.pass(b"\x1eabc 2 3 4 5\n", &mut |_| {});
        assert_eq!(preface.groups(), Some(&[2, 3][..]));
    }
}
