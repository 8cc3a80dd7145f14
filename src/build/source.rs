//! Where a build starts: the base image, or an image that a source script of the bundle writes.
use std::path::Path;
use std::time::Duration;

use super::{BuildError, Site, child, exec_reason};
use crate::cloud::ledger::{Kind, Made};
use crate::event::Stage;
use crate::exec::{self, Cmd};
use crate::image::Image;
use crate::plan::Origin;

pub(super) async fn image(site: &Site<'_>) -> Result<Image, BuildError> {
    match &site.plan.origin {
        Origin::Base(image) => Ok(image.as_ref().clone()),
        Origin::Script(script) => site.stage(Stage::Source, from_script(site, script)).await,
    }
}

async fn from_script(site: &Site<'_>, script: &Path) -> Result<Image, BuildError> {
    let (cx, plan) = (site.cx, site.plan);
    let dir = site.work.join("source");
    cx.ledger
        .own(Kind::Directory, &dir.to_string_lossy(), || async {
            std::fs::create_dir_all(&dir).map_err(|source| BuildError::Io { path: dir.clone(), source })?;
            Ok::<_, BuildError>(Made { id: dir.to_string_lossy().into_owned(), value: () })
        })
        .await?;
    let out = dir.join("disk.img");
    let limit = Duration::from_secs(plan.timeouts.source);
    let cmd = Cmd::new(plan.bundle_dir.join(script), limit)
        .dir(&plan.bundle_dir)
        .mark(&plan.run)
        .env("OUT", out.to_string_lossy())
        .env("TMPDIR", dir.to_string_lossy())
        .env("FACTORY_RUN", &plan.run)
        .env("FACTORY_IMAGE_NAME", &plan.image_name);
    cx.events.doing(format!("running {}", script.display()));
    let failed = |reason: String| BuildError::Source { script: script.display().to_string(), reason };
    let events = cx.events.clone();
    let name = format!("{} source", plan.run);
    let status = child::run(cx, &name, &cmd, move |_, line| events.output("source", line)).await;
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => return Err(failed(exec::status_text(status))),
        Err(child::ChildError::Exec(e)) => return Err(failed(exec_reason(e)?)),
        Err(child::ChildError::Ledger(e)) => return Err(e.into()),
    }
    if !out.is_file() {
        return Err(failed("it ended well but wrote no file to $OUT".into()));
    }
    cx.events.doing("taking the image in");
    let staged = format!("{}-staged-source", plan.run);
    Ok(site.cloud.import(cx, &plan.run, &staged, &out, Duration::from_secs(plan.timeouts.upload)).await?)
}
