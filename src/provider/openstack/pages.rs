//! Reads paged lists, with a limit on the total: a service chooses its page size and may never end.
//!
//! [`all`] reads every list. The next page is named by `next` (Glance), `servers_links` and similar
//! (Nova, Cinder, Neutron), or implied by a full page. Only the marker of a link is used: the token
//! must not go to an address that a response chose.
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use reqwest::Url;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::api::Call;
use super::error::ApiError;
use crate::system::cancel::Cancel;

/// Maximum number of items in a list.
const MOST_ITEMS: usize = 10_000;
const MOST_BYTES: usize = 64 << 20;
const LONGEST: Duration = Duration::from_secs(120);

/// A list to read.
pub struct List {
    /// "list images", for error messages.
    pub what: String,
    /// Key of the items in the response.
    pub key: &'static str,
    /// Page size to request; the operator may have set a lower limit. `None`: the service pages
    /// only on request.
    pub page: Option<usize>,
}

/// Reads all pages; `call` requests one.
pub async fn all<'a, T: DeserializeOwned>(
    list: List,
    call: impl Fn() -> Call<'a>,
    cancel: &Cancel,
) -> Result<Vec<T>, ApiError> {
    let bad = |reason: String| ApiError::bad_answer(list.what.clone(), reason);
    let mut found = Vec::new();
    let mut markers = BTreeSet::new();
    let mut marker: Option<String> = None;
    let (begin, mut bytes) = (Instant::now(), 0);
    loop {
        let mut call = call().what(list.what.clone());
        if let Some(page) = list.page {
            call = call.query("limit", page.to_string());
        }
        if let Some(marker) = &marker {
            call = call.query("marker", marker);
        }
        // On the heap: many lists are read side by side.
        let answer = Box::pin(call.send(cancel)).await?;
        bytes += answer.body.len();
        if bytes > MOST_BYTES {
            return Err(bad(format!("the list is longer than {} MiB", MOST_BYTES >> 20)));
        }
        let mut answer: Map<String, Value> =
            serde_json::from_slice(&answer.body).map_err(|e| bad(e.to_string()))?;
        let Some(Value::Array(items)) = answer.remove(list.key) else {
            return Err(bad(format!("no `{}` in it", list.key)));
        };
        let next = next(&answer, &items, list.page);
        for item in items {
            found.push(serde_json::from_value(item).map_err(|e| bad(e.to_string()))?);
        }
        let Some(next) = next else { return Ok(found) };
        if begin.elapsed() > LONGEST {
            return Err(bad(format!(
                "the list has no end within {} minutes",
                LONGEST.as_secs() / 60
            )));
        }
        if found.len() > MOST_ITEMS || markers.len() > MOST_ITEMS {
            return Err(bad(format!("the list has more than {MOST_ITEMS} entries")));
        }
        if !markers.insert(next.clone()) {
            return Err(bad("its pages repeat".into()));
        }
        marker = Some(next);
    }
}

/// Marker of the next page, if any.
fn next(answer: &Map<String, Value>, items: &[Value], page: Option<usize>) -> Option<String> {
    let last = || items.last().and_then(|item| item["id"].as_str()).map(str::to_owned);
    match link(answer) {
        Some(link) => marker(link).or_else(last),
        None => page.filter(|page| items.len() >= *page).and_then(|_| last()),
    }
}

/// Address of the next page.
fn link(answer: &Map<String, Value>) -> Option<&str> {
    let links = answer
        .iter()
        .filter(|(key, _)| key.ends_with("_links"))
        .filter_map(|(_, links)| links.as_array())
        .flatten();
    let of_rel = links
        .filter(|link| link["rel"] == "next")
        .map(|link| link["href"].as_str().unwrap_or_default())
        .next();
    answer.get("next").and_then(Value::as_str).or(of_rel)
}

/// `marker` of a link, which may be relative.
fn marker(link: &str) -> Option<String> {
    let anywhere = Url::parse("http://localhost").expect("a URL");
    let url = anywhere.join(link).ok()?;
    url.query_pairs().find(|(key, _)| key == "marker").map(|(_, marker)| marker.into_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn next_of(answer: Value, key: &str, page: Option<usize>) -> Option<String> {
        let Value::Object(mut answer) = answer else { panic!() };
        let Some(Value::Array(items)) = answer.remove(key) else { panic!() };
        next(&answer, &items, page)
    }

    #[test]
    fn every_services_way_to_tell_of_more_is_known() {
        let two = json!([{ "id": "a" }, { "id": "b" }]);
        let glance =
            json!({ "images": two, "next": "/v2/images?limit=2&marker=b", "first": "/v2/images" });
        assert_eq!(next_of(glance, "images", Some(200)).as_deref(), Some("b"));
        for key in ["servers_links", "flavors_links", "volume_type_links", "networks_links"] {
            let href = "https://elsewhere.example/v2/x?marker=m%2F1&limit=2";
            let with = json!({ "things": two, key: [{ "rel": "previous", "href": "?marker=z" },
                { "rel": "next", "href": href }] });
            assert_eq!(next_of(with, "things", None).as_deref(), Some("m/1"), "{key}");
        }
        let none =
            json!({ "things": two, "things_links": [{ "rel": "previous", "href": "?marker=z" }] });
        assert_eq!(next_of(none.clone(), "things", None), None);
        assert_eq!(next_of(none.clone(), "things", Some(3)), None);
        assert_eq!(
            next_of(none, "things", Some(2)).as_deref(),
            Some("b"),
            "as long as was asked for: there may be more"
        );
        // A page of which nothing is for us to see does not end the list; a link without a marker
        // goes on behind what was seen.
        assert_eq!(
            next_of(json!({ "images": [], "next": "/v2/images?marker=c" }), "images", Some(200))
                .as_deref(),
            Some("c")
        );
        assert_eq!(
            next_of(json!({ "images": two, "next": "/v2/images?page=2" }), "images", None)
                .as_deref(),
            Some("b")
        );
        assert_eq!(next_of(json!({ "images": [], "next": "/v2/images" }), "images", None), None);
    }
}
