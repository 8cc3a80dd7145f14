//! Reads the [preface](super::shell) off a command's standard output; all else passes through untouched.
use super::shell::MARK;

/// More than this before the preface is not a login script's greeting; it is let go.
const HELD: usize = 64 << 10;

pub(super) struct Preface {
    mark: Vec<u8>,
    held: Vec<u8>,
    groups: Option<Vec<i32>>,
}

impl Preface {
    pub(super) fn new(id: &str) -> Preface {
        let mark = [&[MARK], id.as_bytes(), b" "].concat();
        Preface { mark, held: Vec::new(), groups: None }
    }

    /// The process groups of the command, once it has told.
    pub(super) fn groups(&self) -> Option<&[i32]> {
        self.groups.as_deref()
    }

    /// Takes what came and gives on what is output.
    pub(super) fn pass(&mut self, data: &[u8], output: &mut dyn FnMut(&[u8])) {
        if self.groups.is_some() {
            return output(data);
        }
        self.held.extend_from_slice(data);
        let Some(at) = self.held.windows(self.mark.len()).position(|window| window == self.mark) else {
            if self.held.len() > HELD {
                let rest = self.held.split_off(self.held.len() - self.mark.len());
                output(&std::mem::replace(&mut self.held, rest));
            }
            return;
        };
        let tail = at + self.mark.len();
        let Some(end) = self.held[tail..].iter().position(|b| *b == b'\n') else { return };
        let mut groups: Vec<i32> = String::from_utf8_lossy(&self.held[tail..tail + end])
            .split_ascii_whitespace()
            .filter_map(|word| word.parse().ok())
            .filter(|group| *group > 1) // -1 and 0 would mean "everybody" to kill
            .collect();
        groups.dedup();
        self.groups = Some(groups);
        for part in [&self.held[..at], &self.held[tail + end + 1..]] {
            if !part.is_empty() {
                output(part);
            }
        }
        self.held = Vec::new();
    }

    /// What is still held when the stream has ended without a preface: a complaint, most likely.
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
}
