//! What is read off answers and errors of HTTP, whoever asked.
use std::time::Duration;

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Url;

/// How [`via`] begins: by it a hint tells that a proxy was used.
pub const THROUGH: &str = "through the proxy ";

/// What errors say of the way to `url`: ` (through the proxy http://proxy:3128)`, or nothing where the environment gives no
/// proxy for it. The proxy's login is left out.
pub fn via(url: &Url) -> String {
    via_of(&Matcher::from_system(), url)
}

fn via_of(proxies: &Matcher, url: &Url) -> String {
    let proxy = url.as_str().parse().ok().and_then(|url| proxies.intercept(&url));
    proxy.map_or(String::new(), |proxy| format!(" ({THROUGH}{})", proxy.uri().to_string().trim_end_matches('/')))
}

/// What a person can do where a connection through a proxy came to nothing.
pub const PROXY_HINT: &str = "is that proxy right (http_proxy, https_proxy), and does it reach that host? \
    A host that is to be reached without it belongs into NO_PROXY: NO_PROXY=localhost,.example.net";

/// Whether an answer of this status may be the proxy's own: it refuses, wants a login, or does not reach the server.
pub fn may_be_the_proxys(status: u16) -> bool {
    matches!(status, 403 | 407 | 502..=504)
}

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
    fn a_proxy_is_named_without_its_login() {
        let proxies = Matcher::builder().http("http://me:s3cret@p:3128").https("p2:8080").no("in.example,127.0.0.0/8").build();
        let said = |url: &str| via_of(&proxies, &url.parse().unwrap());
        assert_eq!(said("http://x.example/a?b=c"), " (through the proxy http://p:3128)");
        assert_eq!(said("https://x.example:5000/v3"), " (through the proxy http://p2:8080)");
        for direct in ["http://in.example/", "https://a.in.example/", "http://127.0.0.1:9/"] {
            assert_eq!(said(direct), "", "{direct}");
        }
    }

    #[test]
    fn pauses_that_servers_ask_for() {
        assert_eq!(retry_after(" 7 "), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Sat, 21 Nov 2020 10:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(retry_after("soon"), None);
    }
}
