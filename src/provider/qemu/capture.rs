//! Makes a staged image from a machine's disk or a file.
use std::path::Path;
use std::time::Duration;

use super::machine::{MachineDir, OVERLAY, RunDirs};
use super::power::{self, Turns};
use super::staging::Staging;
use super::store::Store;
use crate::model::format::Format;
use crate::model::image::Image;
use crate::provider::{CloudError, Machine, Power, RunCx};
use crate::system::disk;

/// Source and name of a capture.
pub struct Order<'a> {
    pub run: &'a str,
    pub name: &'a str,
    pub deadline: Duration,
}

pub async fn machine(
    cx: &RunCx,
    layout: &RunDirs,
    store: &Store,
    turns: &Turns,
    machine: &Machine,
    order: &Order<'_>,
) -> Result<Image, CloudError> {
    let place: MachineDir = layout.place_of(machine)?;
    let what = format!("capture {}", machine.name);
    match power::power(turns, &place).await? {
        Power::Off => power::end(turns, &place).await?,
        // Its disk is as it was in the middle of something: not what an image is made of.
        Power::On | Power::Stuck(_) => {
            return Err(CloudError::refused(what, "it is not off").hint("shut it down first"));
        }
        Power::Gone(why) => return Err(CloudError::refused(what, why)),
    }
    cx.events.doing("converting the disk");
    let staging = Staging::begin(cx, layout, order.run, order.name, order.deadline).await?;
    staging.convert(&place.file(OVERLAY), Format::Qcow2).await?;
    staging.finish(store).await
}

pub async fn file(
    cx: &RunCx,
    layout: &RunDirs,
    store: &Store,
    file: &Path,
    order: &Order<'_>,
) -> Result<Image, CloudError> {
    let disk =
        disk::inspect(file).map_err(|why| CloudError::refused(file.display().to_string(), why))?;
    cx.events.doing(format!("importing {}", file.display()));
    let staging = Staging::begin(cx, layout, order.run, order.name, order.deadline).await?;
    match disk.format {
        Format::Qcow2 if disk.plain => staging.copy(file).await?,
        format => staging.convert(file, format).await?,
    }
    staging.finish(store).await
}
