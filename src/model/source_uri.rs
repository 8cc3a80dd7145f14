//! Source of a file: `https://…`, `http://…`, `file:///…`, or a path.
use std::fmt;
use std::path::{Path, PathBuf};

use reqwest::Url;
use serde::{Deserialize, Serialize};

/// Displayed without the query, which may contain a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceUri {
    /// http or https, as written.
    Url(String),
    File(PathBuf),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    #[error("is no URL: {0}")]
    NoUrl(String),
    #[error("is a {0} URL, which is not fetched")]
    Scheme(String),
    /// A login in a URL would appear in plans, logs and reports.
    #[error("has a user name or a password in it")]
    Login,
    #[error("names no file")]
    NoFile,
    #[error("is a `file:` URL that is not of this machine, or not absolute")]
    NotHere,
}

impl PlaceError {
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoUrl(_) => "",
            Self::Scheme(_) => "https, http and file are; a path stands for itself",
            Self::Login => {
                "what needs a login is to be fetched beforehand: name the file by its path"
            }
            Self::NoFile => "the last part of the URL is the file's name",
            Self::NotHere => "file:///srv/image.qcow2, or the plain path",
        }
    }
}

impl SourceUri {
    /// Parses a URL or a path. Paths stay as written.
    pub fn parse(text: &str) -> Result<Self, PlaceError> {
        let scheme = text.split_once(':').map(|(scheme, rest)| (scheme.to_ascii_lowercase(), rest));
        match scheme {
            Some((scheme, rest))
                if ["http", "https"].contains(&scheme.as_str()) && rest.starts_with("//") =>
            {
                Self::remote(text)
            }
            Some((scheme, rest)) if scheme == "file" => {
                let url = Url::parse(text).ok().filter(|_| {
                    rest.starts_with('/')
                        && (!rest.starts_with("//")
                            || rest.starts_with("///")
                            || rest.starts_with("//localhost/"))
                });
                url.and_then(|url| url.to_file_path().ok())
                    .map(Self::File)
                    .ok_or(PlaceError::NotHere)
            }
            Some((scheme, rest))
                if rest.starts_with("//") || ["http", "https"].contains(&scheme.as_str()) =>
            {
                Err(PlaceError::Scheme(scheme))
            }
            _ => Ok(Self::File(text.into())),
        }
    }

    fn remote(text: &str) -> Result<Self, PlaceError> {
        let url = Url::parse(text).map_err(|e| PlaceError::NoUrl(e.to_string()))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(PlaceError::Login);
        }
        let place = Self::Url(text.into());
        if place.name().is_empty() { Err(PlaceError::NoFile) } else { Ok(place) }
    }

    pub fn is_https(&self) -> bool {
        let https = |url: &str| url.get(..6).is_some_and(|s| s.eq_ignore_ascii_case("https:"));
        matches!(self, Self::Url(url) if https(url))
    }

    /// File name in checksum lists: the last component, unescaped.
    pub fn name(&self) -> String {
        let last = match self {
            Self::File(path) => {
                return path
                    .file_name()
                    .map(|n| n.to_string_lossy().into_owned())
                    .unwrap_or_default();
            }
            Self::Url(url) => {
                let url = Url::parse(url).ok();
                url.and_then(|u| {
                    u.path_segments().and_then(|mut s| s.next_back().map(str::to_owned))
                })
                .unwrap_or_default()
            }
        };
        unescape(&last)
    }

    /// Resolves a relative path against `dir`.
    #[must_use]
    pub fn below(self, dir: &Path) -> Self {
        match self {
            Self::File(path) => Self::File(dir.join(path)),
            url => url,
        }
    }
}

/// Decodes percent escapes: `%2B` is `+`.
fn unescape(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let code =
            after.get(..2).and_then(|d| u8::from_str_radix(std::str::from_utf8(d).ok()?, 16).ok());
        rest = match (first, code) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                &after[2..]
            }
            _ => {
                bytes.push(*first);
                after
            }
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl fmt::Display for SourceUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => f.write_str(url.split(['?', '#']).next().unwrap_or(url)),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_paths() {
        let url = |text: &str| SourceUri::Url(text.into());
        let file = |text: &str| SourceUri::File(text.into());
        for (text, place) in [
            ("https://a.example/x/y.qcow2", url("https://a.example/x/y.qcow2")),
            ("HTTP://a.example/y", url("HTTP://a.example/y")),
            ("file:///srv/a%20b.raw", file("/srv/a b.raw")),
            ("file:/srv/x", file("/srv/x")),
            ("file://localhost/srv/x", file("/srv/x")),
            ("disk.qcow2", file("disk.qcow2")),
            ("./a:b/disk.qcow2", file("./a:b/disk.qcow2")),
            ("/srv/x.raw.xz", file("/srv/x.raw.xz")),
        ] {
            assert_eq!(SourceUri::parse(text), Ok(place), "{text}");
        }
        for (text, why) in [
            ("ftp://a.example/x", "is a ftp URL"),
            ("https:x", "is a https URL"),
            ("https://user:pw@a.example/x", "password"),
            ("https://user@a.example/x", "password"),
            ("https://a.example/x/", "names no file"),
            ("https://a.example", "names no file"),
            ("https://", "is no URL"),
            ("file:disk.img", "not absolute"),
            ("file://other/x", "not of this machine"),
        ] {
            let said = SourceUri::parse(text).unwrap_err().to_string();
            assert!(said.contains(why), "{text}: {said}");
        }
    }

    #[test]
    fn what_a_file_is_called_and_shown_as() {
        let place = SourceUri::parse("https://a.example/pool/a%2Bb.qcow2?key=secret#x").unwrap();
        assert_eq!(
            (place.name().as_str(), place.to_string().as_str()),
            ("a+b.qcow2", "https://a.example/pool/a%2Bb.qcow2")
        );
        assert_eq!(
            SourceUri::File("x/y.raw".into()).below(Path::new("/b")).to_string(),
            "/b/x/y.raw"
        );
        assert!(place.is_https() && !SourceUri::parse("http://a.example/x").unwrap().is_https());
    }
}
