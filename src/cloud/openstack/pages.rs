//! Lists that come in pages, up to a bound: a service may never say that a page is the last one.
use std::collections::BTreeSet;

use serde::de::DeserializeOwned;

use super::api::Call;
use super::error::ApiError;
use crate::cancel::Cancel;

/// Of all pages of one list.
const MOST_ITEMS: usize = 10_000;
const MOST_BYTES: usize = 64 << 20;

/// What came of a list so far.
pub struct Pages<T> {
    what: &'static str,
    found: Vec<T>,
    marker: Option<String>,
    /// All markers so far.
    markers: BTreeSet<String>,
    bytes: usize,
}

impl<T> Pages<T> {
    /// `what`: "list images", for error texts.
    pub fn new(what: &'static str) -> Self {
        Self { what, found: Vec::new(), marker: None, markers: BTreeSet::new(), bytes: 0 }
    }

    /// The page after the last one.
    pub async fn next<P: DeserializeOwned>(&mut self, call: Call<'_>, cancel: &Cancel) -> Result<P, ApiError> {
        let call = match &self.marker {
            Some(marker) => call.query("marker", marker),
            None => call,
        };
        let answer = call.what(self.what).send(cancel).await?;
        self.bytes += answer.body.len();
        if self.bytes > MOST_BYTES {
            return Err(self.bad(format!("the list is longer than {} MiB", MOST_BYTES >> 20)));
        }
        serde_json::from_slice(&answer.body).map_err(|e| self.bad(e.to_string()))
    }

    /// Keeps what a page holds; `more`: another is to be asked for. Says so again, if that can go well.
    pub fn keep(&mut self, page: Vec<T>, more: bool, id: impl Fn(&T) -> &str) -> Result<bool, ApiError> {
        let last = page.last().map(|item| id(item).to_owned());
        self.found.extend(page);
        if !more {
            return Ok(false);
        }
        if self.found.len() > MOST_ITEMS {
            return Err(self.bad(format!("the list has more than {MOST_ITEMS} entries")));
        }
        match last {
            Some(last) if self.markers.insert(last.clone()) => self.marker = Some(last),
            _ => return Err(self.bad("its pages repeat".into())),
        }
        Ok(true)
    }

    pub fn all(self) -> Vec<T> {
        self.found
    }

    fn bad(&self, reason: String) -> ApiError {
        ApiError::bad_answer(self.what, reason)
    }
}
