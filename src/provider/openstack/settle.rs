//! What became of a request whose answer was lost. Creates, changes and deletions end as done, not
//! done, or unknown: what is not known is looked for until the cloud's patience ends.
use std::future::Future;
use std::sync::Mutex;
use std::time::Duration;

use super::api::ApiError;
use super::glance::{self, Patch, Record};
use super::{OpenStack, wait};
use crate::model::error_kind::ErrorKind;
use crate::provider::CloudError;
use crate::system::cancel::Cancel;
use crate::system::wait::{Deadline, Wait};

/// A request whose answer was lost, and how long to look for what became of it.
pub struct Doubt<'a> {
    error: ApiError,
    patience: Duration,
    cancel: &'a Cancel,
}

impl<'a> Doubt<'a> {
    pub fn of(error: ApiError, cloud: &OpenStack, cancel: &'a Cancel) -> Self {
        // A 500 from the service itself makes a success less likely than an error of a proxy before
        // it.
        let whole = cloud.patience;
        let patience = if error.status() == Some(500) { whole / 6 } else { whole };
        Self { error, patience, cancel }
    }

    /// What `look` finds. A look that fails is no answer: the services are in trouble as it is.
    pub async fn settled<T, F>(self, look: impl Fn() -> F) -> Result<T, CloudError>
    where
        F: Future<Output = Result<Option<T>, CloudError>>,
    {
        let Self { error, patience, cancel } = self;
        let deadline = Deadline::after(patience);
        let look = || async { Ok(look().await.unwrap_or_default()) };
        match wait("look for it", cancel, deadline, Duration::from_secs(1)).until(look).await {
            Err(CloudError::Deadline { .. }) => Err(unknown(&error)),
            settled => settled,
        }
    }
}

fn unknown(error: &ApiError) -> CloudError {
    CloudError::Unknown { what: error.what().to_owned(), reason: error.reason() }
}

/// Does what is `left` to change of an image; returns it as Glance answered, which the caller
/// compares. After a lost answer the image is looked at first: what was done is not sent again, and
/// what was not done is.
pub async fn change(
    cloud: &OpenStack,
    record: Record,
    cancel: &Cancel,
    left: impl Fn(&Record) -> Patch,
) -> Result<Record, CloudError> {
    let id = record.id().to_owned();
    let what = format!("change image {id}");
    let mut looks = wait(&what, cancel, Deadline::after(cloud.patience), Duration::ZERO);
    let (mut now, mut doubt) = (record, None::<ApiError>);
    loop {
        let patch = left(&now);
        if patch.is_empty() {
            return Ok(now);
        }
        let error = match glance::patch(&cloud.api, &id, &patch, cancel).await {
            Ok(answer) => return Ok(answer),
            Err(e) => e,
        };
        if let (Some(doubt), ApiError::Cancelled(_)) = (&doubt, &error) {
            return Err(unknown(doubt));
        }
        // A refusal tells of its own request alone: one before it may still be served. What is done
        // already is refused with 409: a gateway may have sent it twice.
        let refused = !error.in_doubt();
        let open = doubt.is_some();
        if refused && !open && error.status() != Some(409) {
            return Err(error.into());
        }
        now = loop {
            if looks.pause().await.is_err() {
                return Err(unknown(doubt.as_ref().unwrap_or(&error)));
            }
            match glance::image(&cloud.api, &id, cancel).await {
                Ok(Some(record)) => break record,
                Ok(None) => return Err(CloudError::refused(what, "it is gone")),
                Err(_) => {}
            }
        };
        if refused && !open && !left(&now).is_empty() {
            return Err(error.into());
        }
        if !refused || !open {
            doubt = Some(error);
        }
    }
}

/// The image as Glance shows it. A service that does not answer is asked again until the cloud's
/// patience ends.
pub async fn read(
    cloud: &OpenStack,
    id: &str,
    cancel: &Cancel,
) -> Result<Option<Record>, CloudError> {
    let what = format!("look at image {id}");
    let look = || async { Ok(Some(glance::image(&cloud.api, id, cancel).await?)) };
    let looks = wait(&what, cancel, Deadline::after(cloud.patience), Duration::ZERO);
    until(looks, look).await
}

/// Asks until `step` tells something. A service that does not answer is asked again until the
/// deadline; what became of the request is not known then.
pub async fn until<T, F>(asks: Wait<'_>, step: impl Fn() -> F) -> Result<T, CloudError>
where
    F: Future<Output = Result<Option<T>, CloudError>>,
{
    let (silence, what) = (Mutex::new(None), asks.what().to_owned());
    let remember = |error| {
        *silence.lock().expect("a plain assignment does not panic") = error;
    };
    let patient = || async {
        match step().await {
            Err(e) if e.kind() == ErrorKind::Unavailable => {
                remember(Some(e.to_string()));
                Ok(None)
            }
            told => {
                remember(None);
                told
            }
        }
    };
    let done = asks.until(patient).await;
    match (done, silence.into_inner().expect("a plain assignment does not panic")) {
        (Err(CloudError::Deadline { .. }), Some(reason)) => {
            Err(CloudError::Unknown { what, reason })
        }
        (done, _) => done,
    }
}
