//! What is read off answers and errors of HTTP, whoever asked.
use std::time::Duration;

/// `Retry-After`: seconds, or a date. Source: RFC 9110, 10.2.3.
pub fn retry_after(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp();
    Some(Duration::from_secs(at.duration_since(jiff::Timestamp::now()).as_secs().max(0).unsigned_abs()))
}

/// The cause lies at the end of the chain: "connection refused", "certificate verify failed".
pub fn innermost(e: &dyn std::error::Error) -> String {
    let mut cause = e;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_that_servers_ask_for() {
        assert_eq!(retry_after(" 7 "), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Sat, 21 Nov 2020 10:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(retry_after("soon"), None);
    }
}
