//! Makes a staged image from the disk of a stopped server, its boot volume, or a file.
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use super::create::{self, New};
use super::glance::{self, Patch, Record};
use super::{OpenStack, api::ApiError, cinder, nova, resources, settle, wait};
use crate::model::digest::{Algorithm, Digest};
use crate::model::event::Event;
use crate::model::format::Format;
use crate::model::image::{self, Image};
use crate::provider::ledger::Kind;
use crate::provider::{CloudError, Machine, RunCx};
use crate::system::digest::Hasher;
use crate::system::disk::{self, Conversion};
use crate::system::exec::{self, ExecError};
use crate::system::wait::{Deadline, WaitError};

/// Polls of a queued image before its server's task state is checked.
const STUCK: u32 = 8;

pub async fn machine(
    cloud: &OpenStack,
    cx: &RunCx,
    machine: &Machine,
    name: &str,
) -> Result<Image, CloudError> {
    let what = format!("capture {}", machine.name);
    let seen = cloud.seen.off.take(|s| s.id == machine.id);
    let server = match seen {
        Some(server) => server,
        None => {
            let server = nova::server(&cloud.api, &machine.id, &cx.cancel).await?;
            server.ok_or_else(|| CloudError::refused(&what, "it is gone"))?
        }
    };
    if server.status != "SHUTOFF" {
        return Err(CloudError::refused(
            &what,
            format!("it is not off: Nova says {}", server.status),
        ));
    }
    cx.cancel.check()?;
    let id = match server.boot_volume() {
        None => {
            let metadata = cloud.staged_marks(&cx.run);
            let new_image = nova::NewImage { name, metadata: &metadata };
            let new = New { kind: Kind::Image, name };
            create::own(cloud, cx, new, || {
                nova::create_image(&cloud.api, &server.id, &new_image, &cx.cancel)
            })
            .await?
        }
        Some(volume) => {
            let source = BootVolume { machine, id: volume };
            volume_image(cloud, cx, &source, name).await?
        }
    };
    // The server of a volume was deleted before the upload, and shows no progress.
    let at_work = server.boot_volume().is_none().then_some(server.id.as_str());
    let record = finished(cloud, cx, &Unfinished { id: &id, what: &what, server: at_work }).await?;
    let record = name_itself(cloud, cx, record).await?;
    let image = record.image(&cloud.api.project(&cx.cancel).await?);
    cloud.seen.staged.put(record);
    Ok(image)
}

/// The volume that a machine boots from.
struct BootVolume<'a> {
    machine: &'a Machine,
    id: &'a str,
}

/// Uploads a boot volume as image `name`. Deletes its server first, because the volume must be
/// unused.
async fn volume_image(
    cloud: &OpenStack,
    cx: &RunCx,
    source: &BootVolume<'_>,
    name: &str,
) -> Result<String, CloudError> {
    let BootVolume { machine, id: volume } = *source;
    resources::delete_server(cloud, &cx.run, &machine.id).await?;
    cx.ledger.gone_by_id(Kind::Machine, &machine.id)?;
    let free = || async {
        let seen = cinder::volume(&cloud.api, volume, &cx.cancel).await?;
        Ok(seen.filter(|v| v.status == "available").map(drop))
    };
    let what = format!("free volume {volume}");
    settle::until(wait(&what, &cx.cancel, cx.anew().deadline(), Duration::ZERO), free).await?;
    // Cinder copies what it knows of the volume's image to the new one: this run's marks are there
    // from its birth then.
    let known =
        cinder::describe_image(&cloud.api, volume, &cloud.staged_marks(&cx.run), &cx.cancel)
            .await?;
    if !known {
        cx.events.note(format!(
            "Cinder lets nobody change the image properties of volume {volume}: \
                image {name} is marked after its birth"
        ));
    }
    let new = New { kind: Kind::Image, name };
    let id = create::own(cloud, cx, new, || cinder::upload(&cloud.api, volume, name, &cx.cancel))
        .await?;
    // Where Cinder did not take the marks, the image has had its base's properties until now, and
    // its own name.
    mark(cloud, cx, &id).await?;
    Ok(id)
}

/// Writes the image's own ID as proof that it is the staged image; a name could be a copy's.
async fn name_itself(cloud: &OpenStack, cx: &RunCx, image: Record) -> Result<Record, CloudError> {
    let id = image.id().to_owned();
    with(cloud, cx, image, &[(image::IMAGE_ID.to_owned(), id)].into()).await
}

async fn mark(cloud: &OpenStack, cx: &RunCx, id: &str) -> Result<(), CloudError> {
    let image = settle::read(cloud, id, &cx.cancel).await?;
    let image = image.ok_or_else(|| CloudError::missing(format!("image {id}")))?;
    with(cloud, cx, image, &cloud.staged_marks(&cx.run)).await.map(drop)
}

/// The image with these properties, in one change.
async fn with(
    cloud: &OpenStack,
    cx: &RunCx,
    image: Record,
    properties: &BTreeMap<String, String>,
) -> Result<Record, CloudError> {
    let left = |now: &Record| {
        let mut patch = Patch::default();
        let missing = properties.iter().filter(|(key, value)| now.property(key) != Some(value));
        missing.for_each(|(key, value)| patch.set(key, value.as_str()));
        patch
    };
    settle::change(cloud, image, &cx.cancel, left).await
}

/// An image without its content so far.
pub(super) struct Unfinished<'a> {
    pub id: &'a str,
    pub what: &'a str,
    /// Its source, whose task ends first or fails.
    pub server: Option<&'a str>,
}

/// Waits until the image has its content, and then until its source is idle; each has the whole
/// time.
pub(super) async fn finished(
    cloud: &OpenStack,
    cx: &RunCx,
    image: &Unfinished<'_>,
) -> Result<Record, CloudError> {
    let Unfinished { id, what, server } = *image;
    let queued_looks = AtomicU32::new(0);
    let look = || async {
        let Some(record) = glance::image(&cloud.api, id, &cx.cancel).await? else {
            return Err(CloudError::refused(
                what,
                format!("image {id} is gone: Nova deletes one that it cannot make"),
            ));
        };
        match record.status() {
            "active" if record.size() > 0 => return Ok(Some(record)),
            "active" => {
                return Err(CloudError::refused(what, format!("image {id} is active and empty")));
            }
            status @ ("killed" | "deleted" | "pending_delete" | "deactivated") => {
                return Err(CloudError::refused(what, format!("image {id} is {status}")));
            }
            "queued" => {}
            // `saving` and `importing` are work in progress.
            _ => queued_looks.store(0, Relaxed),
        }
        if record.status() == "queued"
            && queued_looks.fetch_add(1, Relaxed) + 1 >= STUCK
            && let Some(server) = server
            && nova::server(&cloud.api, server, &cx.cancel)
                .await?
                .is_none_or(|s| s.task_state.is_none())
        {
            let reason = format!("image {id} is still queued, and nobody works on it");
            return Err(CloudError::refused(what, reason).hint("nova-compute's log has the reason"));
        }
        Ok(None)
    };
    // Of a machine there is nothing to be seen at first; an upload is over when it was answered.
    let first = if server.is_some() { Duration::from_secs(3) } else { Duration::ZERO };
    let looks = wait(what, &cx.cancel, cx.anew().deadline(), first);
    let record = settle::until(looks, look).await?;
    // The image may be there before Nova is done with the server.
    let idle = || async {
        let Some(server) = server else { return Ok(Some(())) };
        match nova::server(&cloud.api, server, &cx.cancel).await? {
            Some(seen) if seen.task_state.is_some() => Ok(None),
            seen => {
                seen.into_iter().for_each(|server| cloud.seen.captured.put(server));
                Ok(Some(()))
            }
        }
    };
    settle::until(wait(what, &cx.cancel, cx.anew().deadline(), Duration::ZERO), idle).await?;
    Ok(record)
}

pub async fn file(
    cloud: &OpenStack,
    cx: &RunCx,
    name: &str,
    file: &Path,
) -> Result<Image, CloudError> {
    let file = as_qcow2(cloud, cx, file).await?;
    cx.cancel.check()?;
    let properties = cloud.staged_marks(&cx.run);
    let new = New { kind: Kind::Image, name };
    let id =
        create::own(cloud, cx, new, || glance::create(&cloud.api, name, &properties, &cx.cancel))
            .await?;
    let sent = sent(cloud, cx, &id, &file).await?;
    let what = format!("upload {name}");
    let record = finished(cloud, cx, &Unfinished { id: &id, what: &what, server: None }).await?;
    match (sent, record.sha512()) {
        (Some(sent), Some(kept)) if sent != kept => {
            let reason =
                format!("image {id} is not what was sent: Glance has {kept}, sent was {sent}");
            return Err(CloudError::refused(what, reason)
                .hint("the connection or the image store damaged it: try again"));
        }
        (Some(_), Some(_)) => {}
        _ => cx.events.note(format!(
            "Glance tells no sha512 of image {id}: what it took was not compared with what was sent"
        )),
    }
    let record = name_itself(cloud, cx, record).await?;
    Ok(record.image(&cloud.api.project(&cx.cancel).await?))
}

/// Sends the content; the digest of what Glance should have. After a lost answer the image is
/// looked at: `saving` is waited for, what is there is compared, only `queued` is sent again.
async fn sent(
    cloud: &OpenStack,
    cx: &RunCx,
    id: &str,
    file: &Path,
) -> Result<Option<Digest>, CloudError> {
    let what = format!("upload image {id}");
    let mut sends = None;
    loop {
        let call =
            glance::upload(&cloud.api, id, file, progress(cx)).timeout(cx.deadline().total());
        let error = match call.send(&cx.cancel).await {
            Ok(answer) => return Ok(answer.sent),
            // The same again is refused where the content is there, or comes.
            Err(e) if e.in_doubt() || e.status() == Some(409) => e,
            Err(e) => return Err(e.into()),
        };
        cx.events.warn(format!("{error}: it may be stored all the same; looking at image {id}"));
        match stored(cloud, cx, id, file).await {
            Ok(Stored::Whole(kept)) => return Ok(Some(kept)),
            // What did not get through in its time will not the second time.
            Ok(Stored::Nothing) if !matches!(error, ApiError::TimedOut { .. }) => {}
            Ok(Stored::Nothing | Stored::Other) => return Err(error.into()),
            Err(CloudError::Deadline { .. }) => {
                return Err(CloudError::Unknown { what: what.clone(), reason: error.reason() });
            }
            Err(e) => return Err(e),
        }
        // However long the first one took: what is waited for is a service that is away.
        let sends = sends.get_or_insert_with(|| {
            wait(&what, &cx.cancel, Deadline::after(cloud.patience), Duration::ZERO)
        });
        match sends.pause().await {
            Err(WaitError::Deadline { .. }) => return Err(error.into()),
            paused => paused?,
        }
    }
}

fn progress(cx: &RunCx) -> impl Fn(u64, u64) + Send + Sync + 'static {
    let events = cx.events.clone();
    let told = std::sync::Mutex::new(std::time::Instant::now());
    move |done, of| {
        let mut told = told.lock().expect("nothing in here panics");
        if told.elapsed() > Duration::from_secs(1) || done == of {
            *told = std::time::Instant::now();
            events.emit(Event::Progress { done, of, unit: "bytes".into() });
        }
    }
}

/// What an upload whose answer was lost came to.
enum Stored {
    /// The digest of what was sent.
    Whole(Digest),
    Nothing,
    /// Something else, or it broke off.
    Other,
}

/// Whether image `id` has content of the length of `file`, or gets it in the time of an upload.
async fn stored(
    cloud: &OpenStack,
    cx: &RunCx,
    id: &str,
    file: &Path,
) -> Result<Stored, CloudError> {
    let length =
        file.metadata().map_err(CloudError::io(format!("look at {}", file.display())))?.len();
    let look = || async {
        let record = glance::image(&cloud.api, id, &cx.cancel).await?;
        Ok(match record.as_ref().map(Record::status) {
            Some("saving" | "importing") => None,
            Some("queued") => Some(Stored::Nothing),
            Some("active") if record.as_ref().is_some_and(|r| r.size() == length) => {
                Some(Stored::Whole(digest(cx, file).await?))
            }
            _ => Some(Stored::Other),
        })
    };
    let what = format!("look for the content of image {id}");
    settle::until(wait(&what, &cx.cancel, cx.anew().deadline(), Duration::ZERO), look).await
}

async fn digest(cx: &RunCx, file: &Path) -> Result<Digest, CloudError> {
    let path = file.to_owned();
    let sum = move || {
        let (mut file, mut chunk) = (std::fs::File::open(path)?, vec![0; 512 << 10]);
        let mut hasher = Hasher::new(Algorithm::Sha512);
        loop {
            match file.read(&mut chunk)? {
                0 => return Ok(hasher.finish()),
                read => hasher.update(&chunk[..read]),
            }
        }
    };
    let summed =
        cx.cancel.or(tokio::task::spawn_blocking(sum)).await?.expect("reading does not panic");
    summed.map_err(CloudError::io(format!("read {}", file.display())))
}

/// Converts other formats to qcow2, compressed so that every Nova since 2013 can read it; also a
/// qcow2 with internal snapshots.
async fn as_qcow2(cloud: &OpenStack, cx: &RunCx, file: &Path) -> Result<PathBuf, CloudError> {
    let disk =
        disk::inspect(file).map_err(|why| CloudError::refused(file.display().to_string(), why))?;
    if disk.format == Format::Qcow2 && disk.plain {
        let check = disk::check(file, cx.deadline().left()).mark(&cx.run);
        exec::output(&check, &cx.cancel)
            .await
            .map_err(|e| tool_error(&format!("check {}", file.display()), e))?;
        return Ok(file.to_owned());
    }
    // A run may import more than one image.
    let dir = cloud.host.work(&cx.run)?.join(format!("upload-{}", uuid::Uuid::new_v4().simple()));
    cloud.host.make(cx, &dir).await?;
    let to = dir.join("image.qcow2");
    cx.events.doing(format!("converting {}", file.display()));
    let options = &["-c", "-W", "-m", "2", "-O", "qcow2"];
    let conversion = Conversion { from: file, format: disk.format, to: &to };
    let cmd = disk::convert(&conversion, options, cx.deadline().left()).mark(&cx.run);
    exec::output(&cmd, &cx.cancel)
        .await
        .map_err(|e| tool_error(&format!("convert {}", file.display()), e))?;
    Ok(to)
}

fn tool_error(what: &str, error: ExecError) -> CloudError {
    match error {
        ExecError::Cancelled(c) => c.into(),
        ExecError::Deadline { after, .. } => CloudError::Deadline { what: what.into(), after },
        other => CloudError::refused(what, other.to_string()),
    }
}
