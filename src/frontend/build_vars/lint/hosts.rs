//! Patterns of hosts, matched as Ansible matches them, against the names that mean the factory.
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use regex::{Regex, RegexBuilder};

use super::names::{Meaning, is_inventory, is_template};

/// Names that lead to the machine that asks, in what every system has. The first three have a local
/// connection in Ansible (ansible-core, `C.LOCALHOST`).
const NAMES: [&str; 7] = [
    "localhost",
    "127.0.0.1",
    "::1",
    "localhost.localdomain",
    "localhost6",
    "ip6-localhost",
    "ip6-loopback",
];
/// A pattern that fits this name too is one of all machines, which the factory is none of.
const ANY: &str = "some-machine-4711";

/// `web[0]`, `web[1:3]`: one of those that the rest means. Source: ansible-core,
/// `PATTERN_WITH_SUBSCRIPT`.
static SUBSCRIPT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^(.+)\[[-0-9:]+\]$").expect("the pattern is fixed"));
/// What stands between colons and spaces, but for those in brackets. Source: ansible-core,
/// `split_host_pattern`.
static PART: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?:[^\s:\[\]]|\[[^\]]*\])+").expect("the pattern is fixed"));

/// Of `hosts`: parts that leave hosts out count only where they leave out all.
pub fn pattern(text: &str) -> Meaning {
    if is_template(text) {
        if is_inventory(text) {
            return Meaning::Builder;
        }
        let named = NAMES.iter().any(|name| text.contains(name));
        return if named { Meaning::Factory } else { Meaning::Unknown };
    }
    let mut worst = Meaning::Builder;
    for part in text.split([',', ';']).map(str::trim) {
        let whole = part.trim_start_matches(['&', '!']);
        if !part.starts_with('!') && means_factory(whole) {
            return Meaning::Factory;
        }
        if whole.parse::<Ipv6Addr>().is_ok() {
            continue;
        }
        // `::1` has the separator in it.
        for inner in PART.find_iter(&part.replace("::1", "localhost")) {
            match of_part(inner.as_str()) {
                Meaning::Factory => return Meaning::Factory,
                Meaning::Unknown => worst = Meaning::Unknown,
                Meaning::Builder => {}
            }
        }
    }
    worst
}

fn of_part(part: &str) -> Meaning {
    if let Some(left_out) = part.strip_prefix('!') {
        let all = left_out == "all" || matches!(fits(left_out, ANY), Some(true));
        return if all { Meaning::Unknown } else { Meaning::Builder };
    }
    let part = part.strip_prefix('&').unwrap_or(part);
    let base =
        SUBSCRIPT.captures(part).and_then(|found| found.get(1)).map_or(part, |base| base.as_str());
    if means_factory(part) || means_factory(base) {
        return Meaning::Factory;
    }
    if !part.starts_with('~') && !part.contains(['*', '?', '[']) {
        return Meaning::Builder;
    }
    match (fits(part, ANY), NAMES.iter().any(|name| fits(part, name) == Some(true))) {
        (None, _) => Meaning::Unknown,
        (Some(false), true) => Meaning::Factory,
        _ => Meaning::Builder,
    }
}

/// Whether a pattern means `name`; `None`: it is no expression that is understood here.
fn fits(pattern: &str, name: &str) -> Option<bool> {
    let text = match pattern.strip_prefix('~') {
        Some(expression) => format!("^(?:{expression})"),
        None => translated(pattern),
    };
    let regex = RegexBuilder::new(&text).size_limit(1 << 20).build().ok()?;
    Some(regex.is_match(name))
}

/// As `fnmatch.translate` of Python's.
fn translated(pattern: &str) -> String {
    let (mut out, mut rest) = (String::from("(?s)^"), pattern);
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        match first {
            '*' => out.push_str(".*"),
            '?' => out.push('.'),
            '[' => {
                // A `]` that comes first is one of those that fit.
                let negated = usize::from(rest.starts_with('!'));
                let skip = negated + usize::from(rest[negated..].starts_with(']'));
                match rest[skip..].find(']').map(|end| end + skip) {
                    Some(end) => {
                        let inner = rest[..end]
                            .replace('\\', "\\\\")
                            .replace('[', "\\[")
                            .replace("&&", "&");
                        let inner = inner
                            .strip_prefix('!')
                            .map_or(inner.clone(), |others| format!("^{others}"));
                        out.push_str(&format!("[{inner}]"));
                        rest = &rest[end + 1..];
                    }
                    None => out.push_str("\\["),
                }
            }
            other => out.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    out + "$"
}

/// Whether a name or an address, with a port or without, leads to the machine that asks, however it
/// is spelt.
pub fn means_factory(text: &str) -> bool {
    let text = text.trim().trim_end_matches('.').to_ascii_lowercase();
    let bare = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None if text.matches(':').count() == 1 => text.split(':').next().unwrap_or_default(),
        None => &text,
    };
    if NAMES.contains(&bare) || bare.ends_with(".localhost") {
        return true;
    }
    let near = |v4: Ipv4Addr| v4.is_loopback() || v4.is_unspecified();
    let six = bare.split('%').next().and_then(|address| address.parse::<Ipv6Addr>().ok());
    six.is_some_and(|v6| v6.is_loopback() || v6.is_unspecified() || v6.to_ipv4().is_some_and(near))
        || numbers(bare).is_some_and(near)
}

/// `127.0.0.1`, `127.1`, `0x7f.1`, `0177.0.0.1`, `2130706433`. Source: inet_aton(3).
fn numbers(text: &str) -> Option<Ipv4Addr> {
    let number = |part: &str| match (part.strip_prefix("0x"), part.strip_prefix('0')) {
        (Some(hex), _) => u32::from_str_radix(hex, 16).ok(),
        (None, Some(octal)) if !octal.is_empty() => u32::from_str_radix(octal, 8).ok(),
        _ => part.parse().ok(),
    };
    let parts = text.split('.').map(number).collect::<Option<Vec<u32>>>()?;
    let (last, first) = parts.split_last().filter(|(_, first)| first.len() < 4)?;
    let mut all = u64::from(*last);
    if all >= 1 << (8 * (4 - first.len())) {
        return None;
    }
    for (index, byte) in first.iter().enumerate() {
        all |= u64::from(u8::try_from(*byte).ok()?) << (8 * (3 - index));
    }
    u32::try_from(all).ok().map(Ipv4Addr::from)
}
