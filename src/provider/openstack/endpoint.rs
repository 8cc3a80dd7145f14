//! Service URLs, from the catalog or an override. A service's own statement about its address is
//! ignored; its version document provides only microversions.
use reqwest::Url;
use serde_json::Value;

use super::api::Service;

/// Placeholders of an override that the login fills in. Source: keystoneauth's `Session.request`;
/// older versions had `tenant_id`.
const FILLED: [&str; 3] = ["%(project_id)s", "%(tenant_id)s", "%(user_id)s"];

/// An unknown placeholder in an override.
pub fn strange(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some(at) = rest.find("%(") {
        let found = &rest[at..];
        match FILLED.iter().find(|known| found.starts_with(**known)) {
            Some(known) => rest = &found[known.len()..],
            None => return Some(found.find(")s").map_or(found, |end| &found[..end + 2])),
        }
    }
    None
}

/// An override with its placeholders filled in.
pub fn filled(url: &Url, project: &str, user: &str) -> Url {
    let mut url = url.clone();
    let path = FILLED
        .iter()
        .zip([project, project, user])
        .fold(url.path().to_owned(), |path, (of, id)| path.replace(of, id));
    url.set_path(&path);
    url
}

/// Nova's microversions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Microversions {
    /// Oldest and newest.
    Known((u16, u16), (u16, u16)),
    /// Unusable answer, described for people. Only Nova's first version is assumed.
    Unknown(String),
}

impl Microversions {
    pub fn unknown(what: impl Into<String>) -> Self {
        Self::Unknown(what.into())
    }

    pub fn newest(&self) -> Option<(u16, u16)> {
        if let Self::Known(_, newest) = self { Some(*newest) } else { None }
    }

    /// Parses a version document: of one version, or of 2.1 among several.
    pub fn read(body: &[u8]) -> Self {
        let Ok(document) = serde_json::from_slice::<Value>(body) else {
            let html = body.trim_ascii_start().starts_with(b"<");
            return Self::unknown(if html { "a web page" } else { "no JSON" });
        };
        let several = document["versions"].as_array().into_iter().flatten();
        let mut all = std::iter::once(&document["version"]).chain(several);
        let range = |one: &Value| {
            let newest =
                one["version"].as_str().filter(|v| !v.is_empty()).or(one["max_version"].as_str());
            Some((number(one["min_version"].as_str()?)?, number(newest?)?))
        };
        let found = all.find_map(range);
        found.map_or_else(
            || Self::unknown("no microversions"),
            |(oldest, newest)| Self::Known(oldest, newest),
        )
    }
}

/// `2.93`
fn number(text: &str) -> Option<(u16, u16)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn is_version(part: &str) -> bool {
    part.strip_prefix('v').is_some_and(|v| v.starts_with(|c: char| c.is_ascii_digit()))
}

fn parts(url: &Url) -> Vec<String> {
    url.path_segments().into_iter().flatten().filter(|p| !p.is_empty()).map(str::to_owned).collect()
}

/// Position of the version: last, or before the project.
fn version_at(parts: &[String]) -> Option<usize> {
    (parts.len().saturating_sub(2)..parts.len()).rev().find(|at| is_version(&parts[*at]))
}

/// The parts are already encoded.
fn at(mut url: Url, parts: &[String]) -> Url {
    url.set_path(&format!("/{}", parts.join("/")));
    url
}

/// Adds the API version if missing; each service has had one for ten years. Replaces Nova's catalog
/// `v2`, the legacy API without microversions; overrides stay unchanged.
pub fn with_version(url: Url, service: Service, project: &str, overridden: bool) -> Url {
    let mut all = parts(&url);
    let (version, of_project) = match service {
        Service::Compute => ("v2.1", false),
        Service::Image => ("v2", false),
        Service::Network => ("v2.0", false),
        Service::Volume => ("v3", true),
        Service::Orchestration => ("v1", true),
    };
    match version_at(&all) {
        Some(place) if service == Service::Compute && all[place] == "v2" && !overridden => {
            all[place] = version.into()
        }
        Some(_) => return url,
        None => {
            all.push(version.into());
            all.extend(of_project.then(|| project.to_owned()));
        }
    }
    at(url, &all)
}

/// URL of the version document: without the project.
pub fn document(url: Url) -> Url {
    let all = parts(&url);
    let end = version_at(&all).map_or(all.len(), |place| place + 1);
    at(url, &all[..end])
}

pub fn below(mut url: Url, path: &[String]) -> Url {
    if let Ok(mut parts) = url.path_segments_mut() {
        parts.pop_if_empty().extend(path);
    }
    url
}
