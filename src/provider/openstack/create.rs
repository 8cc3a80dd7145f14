//! Creates one resource in the project, recorded in the ledger before the request. A refused
//! resource is removed from the ledger. After a lost answer the resource is searched for; until it
//! appears, the ledger says that it may exist.
use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;

use super::api::ApiError;
use super::{OpenStack, resources, wait};
use crate::provider::ledger::{Entry, Kind};
use crate::provider::{CloudError, RunCx};
use crate::system::wait::Deadline;

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
    // A 500 from the service itself makes a success less likely than an error of a proxy before it.
    let patience = if error.status() == Some(500) { cloud.patience / 6 } else { cloud.patience };
    match Box::pin(appears(cloud, cx, new, patience)).await {
        Ok(id) => {
            cx.ledger.made(seq, &id)?;
            cx.events.note(format!("{what} is there: {id}"));
            Ok(id)
        }
        Err(CloudError::Cancelled(c)) => Err(c.into()),
        // What was wrong first is what a person has to know.
        Err(_) => Err(error.into()),
    }
}

async fn appears(
    cloud: &OpenStack,
    cx: &RunCx,
    new: New<'_>,
    patience: Duration,
) -> Result<String, CloudError> {
    let thing = Entry { seq: 0, kind: new.kind, name: new.name.into(), id: None, unanswered: None };
    let look = || async {
        // The services are in trouble as it is: a look that fails is no answer.
        let found = resources::unnamed(cloud, &cx.run, &thing).await.unwrap_or_default();
        // What another machine of this run was given meanwhile is that machine's.
        let known: Vec<String> =
            cx.ledger.entries().into_iter().filter_map(|entry| entry.id).collect();
        Ok(found.into_iter().find(|id| !known.contains(id)))
    };
    wait("look for it", &cx.cancel, Deadline::after(patience), Duration::from_secs(1))
        .until(look)
        .await
}
