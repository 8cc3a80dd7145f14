//! Reading HTTP responses and errors, for every HTTP client of the factory.
use std::time::Duration;

mod direct;
mod proxies;

pub use proxies::{Proxies, ProxyError, THROUGH};

/// Hint for a connection through a proxy that failed.
pub const PROXY_HINT: &str = "is that proxy right (http_proxy, https_proxy), and does it reach \
    that host? \
    A host that is to be reached without it belongs into NO_PROXY: NO_PROXY=localhost,.example.net";

/// Whether a response of this status may come from the proxy itself: it refuses, wants a login, or
/// cannot reach the server.
pub fn may_be_the_proxys(status: u16) -> bool {
    matches!(status, 403 | 407 | 502..=504)
}

/// `Retry-After`: seconds, or a date (RFC 9110, 10.2.3).
pub fn retry_after(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp();
    Some(Duration::from_secs(
        at.duration_since(jiff::Timestamp::now()).as_secs().max(0).unsigned_abs(),
    ))
}

/// The last error of the source chain, which names the cause: "connection refused", "certificate
/// verify failed".
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
