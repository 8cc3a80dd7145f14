//! Creates one resource in the project, recorded in the ledger before the request. A refused
//! resource is removed from the ledger. After a lost answer the resource is searched for; until it
//! appears, the ledger says that it may exist.
use std::future::Future;

use jiff::Timestamp;

use super::api::ApiError;
use super::settle::Doubt;
use super::{OpenStack, resources};
use crate::provider::ledger::{Entry, Kind};
use crate::provider::{CloudError, RunCx};

/// A resource to create.
#[derive(Clone, Copy)]
pub struct New<'a> {
    pub kind: Kind,
    pub name: &'a str,
}

/// Returns the ID from `create`, which sends one request; after a lost answer, that of the resource
/// that appeared.
pub async fn own<F>(
    cloud: &OpenStack,
    cx: &RunCx,
    new: New<'_>,
    create: impl FnOnce() -> F,
) -> Result<String, CloudError>
where
    F: Future<Output = Result<String, ApiError>>,
{
    let begun = Timestamp::now();
    let seq = cx.ledger.intend(new.kind, new.name)?;
    let error = match Box::pin(create()).await {
        Ok(id) => {
            cx.ledger.made(seq, &id)?;
            return Ok(id);
        }
        Err(e) => e,
    };
    if !error.in_doubt() {
        // Nothing was sent, or the cloud said that it did nothing.
        if !matches!(error, ApiError::Cancelled(_)) {
            cx.ledger.gone(seq)?;
        }
        return Err(error.into());
    }
    cx.ledger.unanswered(seq, begun)?;
    let what = format!("{} {}", new.kind.name(), new.name);
    cx.events.warn(format!("{error}: it may have been done all the same; looking for {what}"));
    let doubt = Doubt::of(error, cloud, &cx.cancel);
    let id = Box::pin(doubt.settled(|| appeared(cloud, cx, new))).await?;
    cx.ledger.made(seq, &id)?;
    cx.events.note(format!("{what} is there: {id}"));
    Ok(id)
}

async fn appeared(
    cloud: &OpenStack,
    cx: &RunCx,
    new: New<'_>,
) -> Result<Option<String>, CloudError> {
    let thing = Entry { seq: 0, kind: new.kind, name: new.name.into(), id: None, unanswered: None };
    let found = resources::unnamed(cloud, &cx.run, &thing).await?;
    // What another machine of this run was given meanwhile is that machine's.
    let known: Vec<String> = cx.ledger.entries().into_iter().filter_map(|entry| entry.id).collect();
    Ok(found.into_iter().find(|id| !known.contains(id)))
}
