//! Checksum lists of image publishers. Accepts `<hex>  name` and `<hex> *name` (coreutils: Debian,
//! Ubuntu) and `SHA256 (name) = hex` (BSD: Fedora, CentOS, Rocky), with `#` comments and optionally
//! inside a PGP signature; or a file with one bare checksum. Signatures are not verified: use https
//! for the list.
use crate::model::digest::{Algorithm, Digest};

/// Maximum length of a file name, in bytes.
const LONGEST_NAME: usize = 255;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SumsError {
    #[error("`{name}` is not in it{}", instead(.suggestion))]
    NotListed { name: String, suggestion: Option<String> },
    #[error("`{name}` is in it twice, with different values: {one} and {two}")]
    Twice { name: String, one: String, two: String },
    #[error("`{name}` is in it by {kind} only, which is no proof any more")]
    Weak { name: String, kind: &'static str },
    #[error("there are no checksums in it")]
    NoList,
}

fn instead(name: &Option<String>) -> String {
    name.as_ref().map_or(String::new(), |name| format!("; `{name}` is"))
}

/// A line with a checksum.
struct Entry<'t> {
    /// `None` for a bare checksum.
    name: Option<&'t str>,
    value: Value,
}

enum Value {
    Strong(Digest),
    Weak(&'static str),
}

/// The checksum of file `name`, in a list that is itself called `list`. Of several algorithms, the
/// strongest.
pub fn find(text: &str, name: &str, list: &str) -> Result<Digest, SumsError> {
    let entries: Vec<Entry> = text
        .lines()
        .take_while(|l| !l.starts_with("-----BEGIN PGP SIGNATURE"))
        .filter_map(entry)
        .collect();
    if entries.is_empty() {
        return Err(SumsError::NoList);
    }
    // A list of one file, called after it, is its list whatever it calls the file: `latest` is
    // another name of a dated one.
    let alone = entries.len() == 1 && (entries[0].name.is_none() || list.starts_with(name));
    let own: Vec<&Entry> =
        entries.iter().filter(|e| alone || e.name.is_some_and(|n| same(n, name))).collect();
    let mut best: Option<&Digest> = None;
    for entry in &own {
        let Value::Strong(found) = &entry.value else { continue };
        match best {
            Some(known) if known.algorithm == found.algorithm && known != found => {
                return Err(SumsError::Twice {
                    name: name.into(),
                    one: known.to_string(),
                    two: found.to_string(),
                });
            }
            Some(known) if known.algorithm >= found.algorithm => {}
            _ => best = Some(found),
        }
    }
    match (best, own.first()) {
        (Some(digest), _) => Ok(digest.clone()),
        (None, Some(Entry { value: Value::Weak(kind), .. })) => {
            Err(SumsError::Weak { name: name.into(), kind })
        }
        _ => {
            // The comparison takes memory by the product of both lengths, and the name is shown.
            let plain =
                |n: &&str| n.len() <= LONGEST_NAME && n.bytes().all(|b| b.is_ascii_graphic());
            let names = entries.iter().filter_map(|e| e.name).filter(plain);
            let nearness = |n: &str| strsim::normalized_damerau_levenshtein(n, name);
            let suggestion = names
                .filter(|n| nearness(n) >= 0.6)
                .max_by(|a, b| nearness(a).total_cmp(&nearness(b)));
            Err(SumsError::NotListed {
                name: name.into(),
                suggestion: suggestion.map(str::to_owned),
            })
        }
    }
}

/// Whether a listed name matches; lists may name files by their path.
fn same(listed: &str, name: &str) -> bool {
    listed == name
        || listed
            .rsplit_once('/')
            .is_some_and(|(dir, last)| last == name && !dir.starts_with('/') && !dir.contains(".."))
}

fn entry(line: &str) -> Option<Entry<'_>> {
    let line = line.trim_end();
    if line.starts_with('#') {
        return None;
    }
    if let Some((kind, rest)) = line.split_once(" (") {
        let (name, hex) = rest.rsplit_once(") = ")?;
        return Some(Entry { name: Some(name), value: value(kind, hex)? });
    }
    // A leading backslash marks a name with escapes; such names are not supported.
    let line = line.trim_start().trim_start_matches('\\');
    let (hex, name) = line.split_once(' ').map_or((line, None), |(hex, rest)| (hex, Some(rest)));
    let name = name
        .map(|n| n.strip_prefix([' ', '*']).unwrap_or(n).trim_start())
        .filter(|n| !n.is_empty());
    let kind = match hex.len() {
        32 => "MD5",
        40 => "SHA1",
        64 => "SHA256",
        128 => "SHA512",
        _ => return None,
    };
    Some(Entry { name: name.map(|n| n.strip_prefix("./").unwrap_or(n)), value: value(kind, hex)? })
}

fn value(kind: &str, hex: &str) -> Option<Value> {
    let algorithm = match kind {
        "SHA256" => Algorithm::Sha256,
        "SHA512" => Algorithm::Sha512,
        "MD5" if hex.bytes().all(|b| b.is_ascii_hexdigit()) => return Some(Value::Weak("MD5")),
        "SHA1" if hex.bytes().all(|b| b.is_ascii_hexdigit()) => return Some(Value::Weak("SHA1")),
        _ => return None,
    };
    Digest::parse(algorithm, hex).map(Value::Strong)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn found(text: &str) -> Result<String, SumsError> {
        find(text, "x.qcow2", "SHA256SUMS").map(|d| d.hex)
    }

    #[test]
    fn ways_to_write_it() {
        for text in [
            format!("{A}  x.qcow2\n{B}  y.qcow2\n"),
            format!("{B} *y.qcow2\n{A} *x.qcow2\n"),
            format!("{A}  ./x.qcow2\r\n{B}  xx.qcow2\r\n"),
            format!("{A}  images/x.qcow2\n{B}  y\n"),
            format!(
                "# x.qcow2: 12 bytes\nSHA256 (x.qcow2) = {A}\n# y: 1 bytes\nSHA256 (y) = {B}\n"
            ),
            format!(
                "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n# c\nSHA256 (x.qcow2) = \
                    {A}\n-----BEGIN PGP SIGNATURE-----\n\n{B}\n"
            ),
            format!("{A}\n"),
            A.to_uppercase(),
            format!("{A}  x.qcow2\n{A}  x.qcow2\n"),
            format!("MD5 (x.qcow2) = {}\nSHA256 (x.qcow2) = {A}\n", &A[..32]),
        ] {
            assert_eq!(found(&text).as_deref(), Ok(A), "{text}");
        }
        let both = format!("SHA512 (x.qcow2) = {A}{A}\nSHA256 (x.qcow2) = {A}\n");
        assert_eq!(found(&both).unwrap().len(), 128);
    }

    #[test]
    fn a_list_of_one_is_the_files_own_if_it_is_called_after_it() {
        let dated = format!("# x-20261101.qcow2: 5 bytes\nSHA256 (x-20261101.qcow2) = {A}\n");
        assert_eq!(find(&dated, "x.qcow2", "x.qcow2.CHECKSUM").unwrap().hex, A);
        assert!(matches!(find(&dated, "x.qcow2", "CHECKSUM"), Err(SumsError::NotListed { .. })));
    }

    /// Names that are compared cost memory by their length; the whole list is 4 MiB at most.
    #[test]
    fn a_hostile_name_is_neither_compared_nor_shown() {
        let long = "x".repeat(4 << 20);
        let begin = std::time::Instant::now();
        for name in [&long[..], "x.qcow\u{1b}[2J", "x.qco\u{202e}w"] {
            let said = found(&format!("{A}  {name}\n{B}  y\n")).unwrap_err().to_string();
            assert_eq!(said, "`x.qcow2` is not in it");
        }
        assert!(begin.elapsed().as_secs() < 2, "{:?}", begin.elapsed());
    }

    #[test]
    fn what_is_missing_or_doubtful_is_told() {
        for (text, why) in [
            (format!("{A}  x.qcow\n{B}  y\n"), "`x.qcow2` is not in it; `x.qcow` is"),
            (format!("{A}  a-long-name\n{B}  y\n"), "`x.qcow2` is not in it"),
            (format!("{A}  x.qcow2\n{B}  x.qcow2\n"), "twice, with different values"),
            (format!("{A}\n{B}\n"), "not in it"),
            (format!("{}  x.qcow2\n", &A[..32]), "by MD5 only"),
            (format!("SHA1 (x.qcow2) = {}\n", &A[..40]), "by SHA1 only"),
            (format!("SHA256 (x.qcow2) = {}\n", &A[1..]), "no checksums"),
            (format!("{A}  ../x.qcow2\n{B}  y\n"), "not in it"),
            ("<html>not found</html>\n".into(), "no checksums"),
            (String::new(), "no checksums"),
        ] {
            let said = found(&text).unwrap_err().to_string();
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
