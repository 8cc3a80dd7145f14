//! Proxies from the environment, read once for all clients and messages.
//!
//! Follows curl and openstacksdk: `http_proxy` and `https_proxy` by the URL's scheme, `all_proxy`
//! as the fallback, and `no_proxy` for exceptions. A lower-case name takes precedence over the
//! upper-case one, even if empty. No part of a value is shown before it is known not to be a login.
use std::ffi::OsString;
use std::fmt;
use std::sync::Arc;

use base64ct::{Base64, Encoding};
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::{ClientBuilder, Proxy, Url};

use super::direct::Direct;

/// Prefix of [`Proxies::via`]; hints use it to detect that a proxy was used.
pub const THROUGH: &str = "through the proxy ";

/// An address that refuses every connection: nothing can listen on port 0.
const NOWHERE: &str = "http://127.0.0.1:0";

/// Known proxy schemes that are not supported.
const OTHERS: &[&str] = &[
    "socks", "socks4", "socks4a", "socks5", "socks5h", "ftp", "ftps", "tcp", "ssh", "quic", "file",
];

/// A proxy variable with an unusable value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable} {wrong}")]
pub struct ProxyError {
    variable: String,
    wrong: Wrong,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    NoText,
    NoAddress,
    /// Text before an `@` that ends or breaks an address.
    Login,
    /// An unsupported scheme; `None` if it is unknown, and may be part of a login.
    Kind(Option<&'static str>),
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoText => f.write_str("is not UTF-8"),
            Self::NoAddress => f.write_str("is no address of a proxy"),
            Self::Login => {
                f.write_str("cannot be taken apart: a character of its login is not escaped")
            }
            Self::Kind(Some(kind)) => write!(f, "names a {kind} proxy, which is not supported"),
            Self::Kind(None) => f.write_str("names a proxy that is neither of http nor of https"),
        }
    }
}

impl ProxyError {
    /// What a user can do about it.
    pub fn hint(&self) -> &'static str {
        match self.wrong {
            Wrong::NoText | Wrong::NoAddress => "an address is like http://proxy.example.net:3128",
            Wrong::Login => {
                "in the name and the password `@` is written %40, `/` %2F, `?` %3F, `#` %23 and \
                    `%` %25: \
                 http://me:s%40cret@proxy.example.net:3128"
            }
            Wrong::Kind(_) => {
                "http:// and https:// proxies are supported; NO_PROXY names hosts that are reached \
                    without one"
            }
        }
    }
}

/// The proxies of the environment. Has no `Debug`, because it holds logins.
#[derive(Clone, Default)]
pub struct Proxies(Arc<Inner>);

#[derive(Default)]
struct Inner {
    http: Option<Way>,
    https: Option<Way>,
    direct: Direct,
}

/// A variable and its address.
#[derive(Clone)]
struct Way {
    variable: String,
    proxy: Result<Url, ProxyError>,
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proxies")
    }
}

impl Proxies {
    /// Reads the environment through `variable`. The default is no proxy.
    pub fn read(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        // In CGI programs `HTTP_PROXY` holds the request's header `Proxy`.
        let cgi = variable("REQUEST_METHOD").is_some();
        let named = |small: &str| {
            let capital = small.to_uppercase();
            let (name, value) = match variable(small) {
                Some(value) => (small.to_owned(), value),
                None if cgi && small == "http_proxy" => return None,
                None => (capital.clone(), variable(&capital)?),
            };
            (!value.to_string_lossy().trim().is_empty()).then_some((name, value))
        };
        let way = |small: &str| {
            let (variable, value) = named(small).or_else(|| named("all_proxy"))?;
            let parsed = value.to_str().map_or(Err(Wrong::NoText), |text| parse(text.trim()));
            let proxy = parsed.map_err(|wrong| ProxyError { variable: variable.clone(), wrong });
            Some(Way { variable, proxy })
        };
        let direct = named("no_proxy")
            .map(|(_, value)| Direct::read(&value.to_string_lossy()))
            .unwrap_or_default();
        Self(Arc::new(Inner { http: way("http_proxy"), https: way("https_proxy"), direct }))
    }

    /// The proxy for `url`; `None`: direct.
    fn of(&self, url: &Url) -> Result<Option<&Url>, ProxyError> {
        let way = match url.scheme() {
            "http" => &self.0.http,
            "https" => &self.0.https,
            _ => &None,
        };
        match way.as_ref().filter(|_| !self.0.direct.has(url)) {
            None => Ok(None),
            Some(way) => way.proxy.as_ref().map(Some).map_err(Clone::clone),
        }
    }

    /// Whether requests for `url` can be sent.
    pub fn check(&self, url: &Url) -> Result<(), ProxyError> {
        self.of(url).map(drop)
    }

    /// Suffix for errors about `url`: ` (through the proxy http://proxy:3128)`, without the proxy's
    /// login; empty without a proxy.
    pub fn via(&self, url: &Url) -> String {
        self.of(url)
            .ok()
            .flatten()
            .map_or(String::new(), |proxy| format!(" ({THROUGH}{})", shown(proxy)))
    }

    /// Proxy logins, plain and as sent. They must not be shown.
    pub fn secrets(&self) -> Vec<String> {
        let ways = [&self.0.http, &self.0.https];
        ways.into_iter()
            .flatten()
            .filter_map(|way| way.proxy.as_ref().ok())
            .flat_map(login)
            .collect()
    }

    /// Configures a client to use these proxies. If a request cannot be sent, the client connects
    /// to nothing, and [`Proxies::check`] gives the reason.
    pub fn on(&self, builder: ClientBuilder) -> ClientBuilder {
        let proxies = self.clone();
        let way = move |url: &Url| match proxies.of(url) {
            Ok(proxy) => proxy.cloned(),
            Err(_) => Url::parse(NOWHERE).ok(),
        };
        // The environment is not asked again.
        builder.no_proxy().proxy(Proxy::custom(way))
    }

    /// For people: each variable in effect with its proxy (`Ok`), or the reason why it is unusable.
    /// Empty without any.
    pub fn summary(&self) -> Vec<Result<String, ProxyError>> {
        let Inner { http, https, direct } = &*self.0;
        let ways = [("http", http), ("https", https)];
        let mut said: Vec<Result<String, ProxyError>> = Vec::new();
        for (scheme, way) in ways
            .into_iter()
            .filter_map(|(scheme, way)| Some((scheme, way.as_ref().filter(|_| !direct.is_all())?)))
        {
            let Way { variable, proxy } = way;
            let text = proxy
                .as_ref()
                .map(|proxy| format!("{scheme} through {} ({variable})", shown(proxy)))
                .map_err(Clone::clone);
            if !said.contains(&text) {
                said.push(text);
            }
        }
        said
    }
}

/// The address without its login.
fn shown(proxy: &Url) -> String {
    let port = proxy.port().map_or(String::new(), |port| format!(":{port}"));
    format!("{}://{}{port}", proxy.scheme(), proxy.host_str().unwrap_or_default())
}

/// The password, or the name if there is none, plain and as sent.
fn login(proxy: &Url) -> Vec<String> {
    let proxies = Matcher::builder().all(proxy.as_str()).build();
    let found = "http://h/".parse().ok().and_then(|url| proxies.intercept(&url));
    let Some(sent) =
        found.as_ref().and_then(|found| found.basic_auth()?.to_str().ok()?.strip_prefix("Basic "))
    else {
        return Vec::new();
    };
    let bare = Base64::decode_vec(sent)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .unwrap_or_default();
    let (name, password) = bare.split_once(':').unwrap_or((&bare, ""));
    vec![sent.to_owned(), if password.is_empty() { name.to_owned() } else { password.to_owned() }]
}

/// `http://name:password@host:port/`; scheme, login, port and path are optional.
fn parse(text: &str) -> Result<Url, Wrong> {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
        None => ("http".to_owned(), text),
    };
    if scheme != "http" && scheme != "https" {
        // `me:a://b@proxy` is a login with such characters in it.
        let known = OTHERS.iter().copied().find(|other| *other == scheme);
        return Err(if known.is_none() && text.contains('@') {
            Wrong::Login
        } else {
            Wrong::Kind(known)
        });
    }
    let (login, place) = match rest.rsplit_once('@') {
        Some((login, place)) => (Some(login), place),
        None => (None, rest),
    };
    if login.is_some_and(|login| login.contains(|c: char| "@/?#".contains(c) || c.is_control())) {
        return Err(Wrong::Login);
    }
    let host = place.split(['/', '?', '#']).next().unwrap_or_default();
    let odd = |c: char| c.is_control() || c.is_whitespace() || c == '\\';
    if host.contains(odd) {
        return Err(Wrong::NoAddress);
    }
    // As in `DOMAIN\name`; to [`Url`] it would be a `/`.
    let login = login.map_or(String::new(), |login| login.replace('\\', "%5C") + "@");
    let url = Url::parse(&format!("{scheme}://{login}{host}/")).map_err(|_| Wrong::NoAddress)?;
    if url.has_host() { Ok(url) } else { Err(Wrong::NoAddress) }
}

#[cfg(test)]
mod tests;
