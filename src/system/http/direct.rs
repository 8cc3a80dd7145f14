//! `no_proxy`: hosts that are reached without a proxy.
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Url;

/// Domain names with their subdomains, addresses and networks, each with an optional port; `*`
/// matches everything, as in curl and openstacksdk.
#[derive(Default)]
pub struct Direct {
    all: bool,
    entries: Vec<Entry>,
}

struct Entry {
    /// `None`: any port.
    port: Option<u16>,
    /// Routes hosts that do not match to a proxy.
    others: Matcher,
}

impl Direct {
    pub fn read(text: &str) -> Self {
        let words = || text.split([',', ' ', '\t']).filter(|word| !word.is_empty());
        Self { all: words().any(|word| word == "*"), entries: words().map(Entry::read).collect() }
    }

    pub fn is_all(&self) -> bool {
        self.all
    }

    pub fn has(&self, url: &Url) -> bool {
        self.all || self.entries.iter().any(|entry| entry.fits(url))
    }
}

impl Entry {
    fn read(word: &str) -> Self {
        // An IPv6 address has colons of its own, unless brackets are around it.
        let split =
            word.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']'));
        let split = split.and_then(|(host, port)| Some((host, Some(port.parse().ok()?))));
        let (host, port) = split.unwrap_or((word, None));
        let host = host.trim_matches(['[', ']']).trim_end_matches('.');
        Self { port, others: Matcher::builder().all("http://p").no(host).build() }
    }

    fn fits(&self, url: &Url) -> bool {
        let port = self.port.is_none_or(|port| url.port_or_known_default() == Some(port));
        let host = url.host_str().unwrap_or_default().trim_end_matches('.');
        let asked = format!("http://{host}/").parse();
        port && asked.is_ok_and(|asked| self.others.intercept(&asked).is_none())
    }
}
