//! Masks credentials in foreign text: verbatim, and in every encoding in which a response may
//! repeat a request.
use base64ct::{Base64, Base64Unpadded, Base64Url, Base64UrlUnpadded, Encoding};

/// Replacement of a secret.
const COVER: &str = "***";
/// Minimum length of masked secrets in bytes. Shorter ones occur by chance, and masking would
/// reveal them.
const SHORT: usize = 4;
const WITHHELD: &str = "(the answer is not shown: it may repeat what logs us in)";

pub fn scrubbed(text: &str, secrets: &[String]) -> String {
    let mut forms: Vec<(String, bool)> = Vec::new();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        forms.extend(forms_of(secret).into_iter().map(|form| (form, secret.len() < SHORT)));
    }
    if forms.iter().any(|(form, short)| *short && has_word(text, form)) {
        return WITHHELD.to_owned();
    }
    // One may be a part of another.
    forms.sort_by_key(|(form, _)| std::cmp::Reverse(form.len()));
    forms
        .iter()
        .filter(|(_, short)| !short)
        .fold(text.to_owned(), |text, (form, _)| text.replace(form.as_str(), COVER))
}

/// Whether `word` occurs in `text` as a whole word.
fn has_word(text: &str, word: &str) -> bool {
    let bound = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    text.match_indices(word).any(|(at, _)| {
        bound(text[..at].chars().next_back()) && bound(text[at + word.len()..].chars().next())
    })
}

fn forms_of(secret: &str) -> Vec<String> {
    let json = serde_json::to_string(secret).unwrap_or_default();
    let json = json
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .unwrap_or_default()
        .to_owned();
    let bytes = secret.as_bytes();
    let mut forms = vec![
        secret.to_owned(),
        // A text in JSON that is quoted in JSON.
        serde_json::to_string(&json).unwrap_or_default().trim_matches('"').to_owned(),
        ascii(&json, false),
        ascii(&json, true),
        json.replace('/', "\\/"),
        json,
        escaped(bytes, "%20", false),
        escaped(bytes, "%20", true),
        escaped(bytes, "+", false),
        Base64::encode_string(bytes),
        Base64Unpadded::encode_string(bytes),
        Base64Url::encode_string(bytes),
        Base64UrlUnpadded::encode_string(bytes),
        // Texts are shown in one line.
        secret.split_whitespace().collect::<Vec<_>>().join(" "),
    ];
    let html = secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    forms.push(html.clone());
    for (quote, apostrophe) in [
        ("&quot;", "&#x27;"),
        ("&quot;", "&#39;"),
        ("&#34;", "&#39;"),
        ("&quot;", "'"),
        ("\"", "&#39;"),
    ] {
        forms.push(html.replace('"', quote).replace('\'', apostrophe));
    }
    forms.retain(|form| !form.is_empty());
    forms.sort();
    forms.dedup();
    forms
}

/// Escapes non-ASCII as `\u00e9`, as Python's JSON does.
fn ascii(json: &str, capital: bool) -> String {
    let unit =
        |unit: &u16| if capital { format!("\\u{unit:04X}") } else { format!("\\u{unit:04x}") };
    let one = |c: char| match c.is_ascii() {
        true => c.to_string(),
        false => c.encode_utf16(&mut [0; 2]).iter().map(unit).collect(),
    };
    json.chars().map(one).collect()
}

/// Percent-encodes as in a URL.
fn escaped(bytes: &[u8], blank: &str, small: bool) -> String {
    let one = |byte: &u8| match byte {
        b if b.is_ascii_alphanumeric() || b"-._~".contains(b) => char::from(*b).to_string(),
        b' ' => blank.to_owned(),
        b if small => format!("%{b:02x}"),
        b => format!("%{b:02X}"),
    };
    bytes.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_covered_in_every_form() {
        let secret = "a\"b\\c/d é&<'1  2".to_owned();
        let json = serde_json::to_string(&secret).unwrap();
        for said in [
            secret.clone(),
            json.clone(),
            serde_json::to_string(&json).unwrap(),
            "a\\\"b\\\\c/d \\u00e9&<'1  2".into(),
            "a%22b%5Cc%2Fd%20%C3%A9%26%3C%271%20%202".into(),
            "a%22b%5Cc%2Fd+%C3%A9%26%3C%271++2".into(),
            Base64::encode_string(secret.as_bytes()),
            "a&quot;b\\c/d é&amp;&lt;&#x27;1  2".into(),
            "a\"b\\c/d é&<'1 2".into(),
        ] {
            let shown = scrubbed(&format!("no {said}, no"), std::slice::from_ref(&secret));
            assert!(
                shown.starts_with("no ") && shown.ends_with(", no") && shown.contains("***"),
                "{said}: {shown}"
            );
            assert!(
                shown.trim_matches(['n', 'o', ' ', ',', '"', '\\']) == "***",
                "{said}: {shown}"
            );
        }
    }

    #[test]
    fn a_short_one_withholds_the_answer_that_repeats_it() {
        let shown = |text: &str| scrubbed(text, &["ab".to_owned()]);
        for repeats in ["{\"password\": \"ab\"}", "ab", "no YWI=.", "is ab right?"] {
            assert_eq!(shown(repeats), WITHHELD, "{repeats}");
        }
        assert_eq!(shown("unable, about"), "unable, about");
        assert_eq!(scrubbed("x", &[String::new()]), "x");
    }
}
