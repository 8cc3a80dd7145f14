//! Changes of a text or a file: bits, bytes, pieces of others, repetitions, and numbers and words
//! that parsers stumble over.

/// What is put in: limits of numbers, and marks of the formats that are read here.
const WORDS: &[&[u8]] = &[
    b"\0",
    b"\x1b[2J",
    b"\r",
    b"\n",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xc3\x28",
    b"\xe2\x80\xae",
    b"\xef\xbb\xbf",
    b"-1",
    b"0",
    b"18446744073709551615",
    b"9223372036854775808",
    b"1e999",
    b".inf",
    b"~",
    b"''",
    b"\"",
    b": ",
    b"- ",
    b"&a ",
    b"*a ",
    b"<<: ",
    b"!!binary ",
    b"? ",
    b"|\n",
    b"{",
    b"}",
    b"[",
    b"]",
    b"{{ ",
    b" }}",
    b"{% for i in range(9999) %}",
    b"{% endfor %}",
    b"{% set x = x ~ x %}",
    b"{% include 'x.txt.j2' %}",
    b"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    b" | indent(99999999)",
    b" * 99999999",
    b"QFI\xfb",
    b"-----BEGIN SSH HOST KEY KEYS-----\n",
    b"-----END SSH HOST KEY KEYS-----\n",
    b"ssh-ed25519 AAAA",
    b"[    1.234567] ",
    b"Kernel panic - not syncing",
    b"\x1e0123 41 42\n",
    b"TASK [x] ***\n",
    b"fatal: [x]: FAILED! => {\"msg\": \"",
    b"SHA256 (x.qcow2) = ",
    b"-----BEGIN PGP SIGNATURE-----\n",
    b"{\"record\":\"made\",\"seq\":0,\"id\":\"x\"}\n",
    b"\"seq\":18446744073709551615",
];

pub struct Mutator(u64);

impl Mutator {
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// xorshift64*: any input is found again by its seed.
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `limit`; 0 where there is nothing below.
    fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 11) as usize % limit.max(1)
    }

    /// A few changes of one of `corpus`, of `most` bytes at most.
    pub fn of(&mut self, corpus: &[Vec<u8>], most: usize) -> Vec<u8> {
        let mut data = corpus[self.below(corpus.len())].clone();
        for _ in 0..=self.below(6) {
            self.change(&mut data, corpus);
            data.truncate(most);
        }
        data
    }

    fn change(&mut self, data: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        let at = self.below(data.len() + 1);
        let end = (at + 1 + self.below(32)).min(data.len());
        match self.below(8) {
            0 if at < data.len() => data[at] ^= 1 << self.below(8),
            1 if at < data.len() => data[at] = self.next() as u8,
            2 => drop(data.drain(at.min(end)..end)),
            3 => data.truncate(at),
            4 => {
                let piece = data[at.min(end)..end].repeat(1 << self.below(8));
                data.splice(at..at, piece);
            }
            5 => {
                let other = &corpus[self.below(corpus.len())];
                let from = self.below(other.len());
                let to = from + self.below(other.len() - from);
                data.splice(at..at, other[from..to].iter().copied());
            }
            _ => {
                let word = WORDS[self.below(WORDS.len())];
                let over = if self.below(2) == 0 { at } else { (at + word.len()).min(data.len()) };
                data.splice(at..over, word.iter().copied());
            }
        }
    }
}
