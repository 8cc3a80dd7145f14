//! Executes the decisions of `family::prune`: hides images beyond the retention limit, and deletes
//! those that an earlier prune hid. Each image is judged again right before it is changed, because
//! people and other runs change images meanwhile.
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::model::family::{self, Policy, PruneAction, PruneDecision};
use crate::model::image::{Image, Lifecycle, State};
use crate::provider::{CloudError, Provider, RunCx};

/// The action on one image, done or planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pruned {
    pub id: String,
    pub name: String,
    pub family: String,
    pub fate: PruneAction,
    pub why: String,
    /// Why the action failed.
    pub error: Option<String>,
}

impl Pruned {
    /// A line for people: `would hide web-2026-11-20 (beyond the newest 2)`.
    pub fn text(&self, dry_run: bool) -> String {
        let word = match (self.fate, dry_run) {
            (PruneAction::Keep, _) => "keeps",
            (PruneAction::Retain, _) => "spares",
            (PruneAction::Hide, false) => "hides",
            (PruneAction::Hide, true) => "would hide",
            (PruneAction::Delete, false) => "deletes",
            (PruneAction::Delete, true) => "would delete",
        };
        let failed = self.error.as_ref().map(|e| format!("; failed: {e}")).unwrap_or_default();
        format!("{word} {} ({}){failed}", self.name, self.why)
    }
}

/// What is to be pruned.
#[derive(Clone, Copy)]
pub struct Request<'r> {
    /// Each has its own policy.
    pub families: &'r [(String, Policy)],
    /// The ID of each base image of a running build, with a description of its user.
    pub building: &'r BTreeMap<String, String>,
    /// ID of the image that the pruning run has published. It stays, whatever was published after.
    pub own: Option<&'r str>,
    pub dry_run: bool,
}

/// A prune that did not come to its end.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct Stopped {
    /// What was done and decided before.
    pub done: Vec<Pruned>,
    pub cause: CloudError,
}

/// Prunes families. A failure on one image does not stop the others; `Err` means that a family
/// could not be evaluated, or cancellation.
pub async fn prune(
    cloud: &dyn Provider,
    cx: &RunCx,
    request: Request<'_>,
) -> Result<Vec<Pruned>, Stopped> {
    let mut done = Vec::new();
    match prune_all(cloud, cx, request, &mut done).await {
        Ok(()) => Ok(done),
        Err(cause) => Err(Stopped { done, cause }),
    }
}

async fn prune_all(
    cloud: &dyn Provider,
    cx: &RunCx,
    request: Request<'_>,
    done: &mut Vec<Pruned>,
) -> Result<(), CloudError> {
    let mut all = cloud.artifacts().list().await?;
    for (family, policy) in request.families {
        let pass = Pass::begin((cloud, cx), request, (family, *policy), &all).await?;
        for verdict in pass.judge(&all) {
            let acts = matches!(verdict.fate, PruneAction::Hide | PruneAction::Delete);
            let pruned = match acts && !request.dry_run {
                true => pass.carry_out(verdict).await?,
                false => verdict.told(None),
            };
            if pruned.fate == PruneAction::Delete && pruned.error.is_none() {
                all.retain(|image| image.id != pruned.id);
            }
            done.push(pruned);
        }
    }
    Ok(())
}

/// What is to become of an image, by one look at all.
struct Verdict {
    image: Image,
    fate: PruneAction,
    why: String,
}

impl Verdict {
    fn told(self, error: Option<String>) -> Pruned {
        let Self { image: Image { id, name, family, .. }, fate, why } = self;
        Pruned { id, name, family, fate, why, error }
    }
}

/// The prune of one family.
struct Pass<'p> {
    cloud: &'p dyn Provider,
    cx: &'p RunCx,
    family: &'p str,
    policy: Policy,
    own: Option<&'p str>,
    uses: BTreeMap<String, String>,
}

impl<'p> Pass<'p> {
    async fn begin(
        (cloud, cx): (&'p dyn Provider, &'p RunCx),
        request: Request<'p>,
        (family, policy): (&'p str, Policy),
        all: &[Image],
    ) -> Result<Self, CloudError> {
        let (own, uses) = (request.own, request.building.clone());
        let mut pass = Self { cloud, cx, family, policy, own, uses };
        // Only of those that may be deleted does it matter who uses them.
        let of_deleted = |v: Verdict| (v.fate == PruneAction::Delete).then_some(v.image);
        let asked: Vec<Image> = pass.judge(all).into_iter().filter_map(of_deleted).collect();
        if !asked.is_empty() {
            pass.uses.extend(cloud.artifacts().usage(&asked).await?);
        }
        Ok(pass)
    }

    fn judge(&self, all: &[Image]) -> Vec<Verdict> {
        let judged = family::prune(all, self.family, self.policy, &self.uses);
        let owned = |PruneDecision { image, fate, why }: PruneDecision<'_>| {
            let is_own = self.own == Some(image.id.as_str()) && fate != PruneAction::Keep;
            let (fate, why) = match is_own {
                true => (PruneAction::Keep, "this run has published it".to_owned()),
                false => (fate, why),
            };
            Verdict { image: image.clone(), fate, why }
        };
        judged.into_iter().map(owned).collect()
    }

    /// Hides or deletes an image if that is its due still. `Err`: cancelled before that.
    async fn carry_out(&self, planned: Verdict) -> Result<Pruned, CloudError> {
        self.cx.cancel.check()?;
        let error = match self.change(&planned).await {
            Ok(None) => None,
            Ok(Some(other)) => return Ok(other.told(None)),
            Err(CloudError::Cancelled(stopped)) => return Err(stopped.into()),
            // The provider looks as well, later than this.
            Err(e @ CloudError::Refused { .. }) => match self.otherwise(&planned).await {
                Ok(Some(other)) => return Ok(other.told(None)),
                Ok(None) | Err(_) => Some(e.to_string()),
            },
            Err(e) => Some(e.to_string()),
        };
        Ok(planned.told(error))
    }

    /// `Some`: it was spared, because something else is its due by now.
    async fn change(&self, planned: &Verdict) -> Result<Option<Verdict>, CloudError> {
        if let Some(other) = self.otherwise(planned).await? {
            return Ok(Some(other));
        }
        let artifacts = self.cloud.artifacts();
        match planned.fate {
            PruneAction::Hide => {
                artifacts.set_lifecycle(self.cx, &planned.image, &hidden_now()).await.map(drop)?
            }
            _ => artifacts.delete(self.cx, &planned.image).await?,
        }
        Ok(None)
    }

    /// What is to become of an image by a new look at all, if that is not what was planned: a
    /// person, a rollback or another prune came between. Nobody decided to hide or delete what
    /// stands otherwise by now; the next prune may.
    async fn otherwise(&self, planned: &Verdict) -> Result<Option<Verdict>, CloudError> {
        let all = self.cloud.artifacts().list().await?;
        let now = self.judge(&all).into_iter().find(|now| now.image.id == planned.image.id);
        let Some(now) = now else { return Ok(None) };
        let stands = now.image.standing();
        if now.fate == planned.fate && stands == planned.image.standing() {
            return Ok(None);
        }
        Ok(Some(match now.fate {
            PruneAction::Keep | PruneAction::Retain => now,
            PruneAction::Hide | PruneAction::Delete => {
                let why = format!("it has become {stands} during this prune");
                Verdict { fate: PruneAction::Retain, why, ..now }
            }
        }))
    }
}

fn hidden_now() -> Lifecycle {
    let hidden_at = Some(this_second());
    Lifecycle { state: State::Deprecated, hidden: true, hidden_at, held_at: None }
}

/// Now, in whole seconds, because the value is compared after it was read back.
pub fn this_second() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).expect("a time that is now")
}

#[cfg(test)]
mod tests;
