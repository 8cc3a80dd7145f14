//! Source of a build: the base image, an image written by the bundle's source script, or a
//! download.
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::heard::LastLines;
use super::{BuildContext, BuildError, child, exec_reason};
use crate::fetch::{Fetch, RetryPolicy, TransferContext, unpack};
use crate::model::digest::Digest;
use crate::model::event::Stage;
use crate::model::format::Format;
use crate::model::image::{self, Image};
use crate::model::source::Download;
use crate::plan::{Origin, Plan};
use crate::provider::CloudError;
use crate::provider::ledger::{Kind, Made};
use crate::system::disk::{self, Disk};
use crate::system::exec::{self, Cmd};
use crate::wall::WorkDir;

/// What machines boot from, and the plan for it.
pub(super) struct Begin {
    pub image: Image,
    pub plan: Plan,
    /// Checksum of the file that the image was made from: of a download or a local file.
    pub source: Option<Digest>,
}

pub(super) async fn image(site: &BuildContext<'_>) -> Result<Begin, BuildError> {
    match &site.plan.origin {
        Origin::Base(image) => {
            Ok(Begin { image: image.as_ref().clone(), plan: site.plan.clone(), source: None })
        }
        Origin::Script(script) => site.stage(Stage::Source, from_script(site, script)).await,
        Origin::Url { wish, format } => {
            site.stage(Stage::Source, from_elsewhere(site, wish, *format)).await
        }
    }
}

/// Directory for large files of this stage.
async fn own_directory(site: &BuildContext<'_>) -> Result<PathBuf, BuildError> {
    let dir = site.work.join("source");
    let made = || async {
        std::fs::create_dir_all(&dir)
            .map_err(|source| BuildError::Io { path: dir.clone(), source })?;
        Ok::<_, BuildError>(Made { id: dir.to_string_lossy().into_owned(), value: () })
    };
    site.cx.ledger.own(Kind::Directory, &dir.to_string_lossy(), made).await?;
    Ok(dir)
}

async fn from_elsewhere(
    site: &BuildContext<'_>,
    wish: &Download,
    format: Option<Format>,
) -> Result<Begin, BuildError> {
    let (cx, plan) = (site.cx, site.plan);
    let job =
        TransferContext::new(&cx.events, &cx.cancel, Duration::from_secs(plan.timeouts.source));
    let fetch = Fetch::new(&site.downloads, RetryPolicy::default(), &site.proxies);
    let got = fetch.get(wish, &job).await?;
    let digest = match &got.digest {
        Some(compared) => compared.clone(),
        None => fetch.digest(wish, &job).await?,
    };
    cx.events.note(format!("source {}: {digest}", wish.from));
    let file = match unpack::packing(&got.file)? {
        None => got.file,
        Some(packing) => {
            let out = own_directory(site).await?.join("disk.img");
            cx.events.doing(format!("unpacking {}", wish.from.name()));
            unpack::unpack(&got.file, packing, &out, &job).await?;
            out
        }
    };
    // Names what the user knows; the cloud looks again, and knows the file by where it lies.
    let disk = disk::inspect_as(&file, format)
        .map_err(|why| CloudError::refused(wish.from.to_string(), why))?;
    let made = take_in(site, &wish.from.to_string(), (&file, &disk)).await?;
    Ok(Begin { source: Some(digest), ..made })
}

/// Imports a source's disk. That the planned machines are too small for it is told before.
async fn take_in(
    site: &BuildContext<'_>,
    source: &str,
    (file, disk): (&Path, &Disk),
) -> Result<Begin, BuildError> {
    let fitted = site
        .plan
        .fitted(disk.virtual_size)
        .map_err(|misfit| CloudError::refused(source, misfit.why).hint(misfit.hint))?;
    fitted.notes.iter().for_each(|note| site.cx.events.note(note));
    site.cx.events.doing("importing the image");
    let staged = format!("{}{}", site.plan.run, image::STAGED_SOURCE);
    let cx = site.cx.within(Duration::from_secs(site.plan.timeouts.upload));
    let image = site.cloud.artifacts().import(&cx, &staged, file).await?;
    Ok(Begin { image, plan: fitted.plan, source: None })
}

/// The script's output must be a regular file: a link would publish a file of this machine.
fn plain_file(out: &Path) -> Result<(), String> {
    use std::os::unix::fs::MetadataExt;
    match std::fs::symlink_metadata(out) {
        Ok(meta) if meta.is_file() && meta.nlink() == 1 => Ok(()),
        Ok(meta) if meta.is_file() => {
            Err("$OUT has a second name: it has to be a file of its own".into())
        }
        Ok(_) => Err("$OUT is no plain file: it has to be one, and no link".into()),
        Err(_) => Err("it ended well but wrote no file to $OUT".into()),
    }
}

async fn from_script(site: &BuildContext<'_>, script: &Path) -> Result<Begin, BuildError> {
    let (cx, plan) = (site.cx, site.plan);
    let dir = own_directory(site).await?;
    let out = dir.join("disk.img");
    let limit = Duration::from_secs(plan.timeouts.source);
    let cmd = Cmd::new(plan.bundle_dir.join(script), limit)
        .dir(&plan.bundle_dir)
        .mark(&plan.run)
        .env("OUT", out.to_string_lossy())
        .env("TMPDIR", dir.to_string_lossy())
        .env("FACTORY_RUN", &plan.run)
        .env("FACTORY_IMAGE_NAME", &plan.image_name);
    let room = WorkDir { plan, dir: &dir, read: Vec::new(), source: true };
    let cmd = site.wall.around(cmd, &room, &cx.cancel).await?;
    cx.events.doing(format!("running {}", script.display()));
    let failed =
        |reason: String| BuildError::Source { script: script.display().to_string(), reason };
    let last = LastLines::default();
    let (events, keep) = (cx.events.clone(), last.clone());
    let name = format!("{} source", plan.run);
    let status = child::run(cx, &name, &cmd, move |_, line| {
        keep.push(line);
        events.output("source", line);
    })
    .await;
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => return Err(failed(last.reason(exec::status_text(status)))),
        Err(child::ChildError::Exec(e)) => return Err(failed(exec_reason(e)?)),
        Err(child::ChildError::Ledger(e)) => return Err(e.into()),
    }
    plain_file(&out).map_err(&failed)?;
    // Names the script; the cloud looks again, and knows the file by where it lies.
    let disk = disk::inspect_as(&out, None)
        .map_err(|why| failed(format!("source.script wrote no disk image: $OUT {why}")))?;
    take_in(site, &script.display().to_string(), (&out, &disk)).await
}
