//! A step `upload`: a file or directory of the definition is copied into the machine.
use std::path::Path;
use std::time::{Duration, Instant};

use super::Attempt;
use crate::engine::BuildError;
use crate::guest::Transfer;
use crate::model::event::Event;

pub(super) async fn run(
    attempt: &Attempt<'_>,
    src: &Path,
    (dest, mode): (&str, Option<u32>),
) -> Result<(), BuildError> {
    let (site, step) = (attempt.site, attempt.step);
    let events = site.cx.events.clone();
    let mut told = Instant::now();
    let progress = Box::new(move |done, of| {
        if told.elapsed() > Duration::from_secs(1) || done == of {
            told = Instant::now();
            events.emit(Event::Progress { done, of, unit: "bytes".into() });
        }
    });
    let src = &site.plan.bundle_dir.join(src);
    let transfer = Transfer { src, dest, mode, sudo: step.sudo, deadline: attempt.limit() };
    attempt.builder.remote.put(&transfer, progress).await.map_err(|e| attempt.lost(e))
}
