//! Makes a staged image from a machine's disk or a file.
use std::path::Path;

use super::machine::MachineDir;
use super::staging::Staging;
use super::{Local, power};
use crate::model::format::Format;
use crate::model::image::Image;
use crate::provider::{CloudError, Machine, Power, RunCx};
use crate::system::disk;

pub async fn machine(
    cloud: &Local,
    cx: &RunCx,
    machine: &Machine,
    name: &str,
) -> Result<Image, CloudError> {
    let place: MachineDir = cloud.layout.place_of(machine)?;
    let what = format!("capture {}", machine.name);
    match power::power(&cloud.turns, &place).await? {
        Power::Off => power::end(&cloud.turns, &place).await?,
        // Its disk is as it was in the middle of something: not what an image is made of.
        Power::On | Power::Stuck(_) => {
            return Err(CloudError::refused(&what, "it is not off").hint("shut it down first"));
        }
        Power::Gone(why) => return Err(CloudError::refused(&what, why)),
    }
    cx.events.doing("converting the disk");
    let gone = || CloudError::refused(&what, "nothing is known of it here");
    let overlay = place.record()?.ok_or_else(gone)?.overlay;
    let staging = Staging::begin(cx, &cloud.layout, name).await?;
    staging.convert(&place.file(&overlay), Format::Qcow2).await?;
    staging.finish(&cloud.store).await
}

pub async fn file(cloud: &Local, cx: &RunCx, file: &Path, name: &str) -> Result<Image, CloudError> {
    let disk =
        disk::inspect(file).map_err(|why| CloudError::refused(file.display().to_string(), why))?;
    cx.events.doing(format!("importing {}", file.display()));
    let staging = Staging::begin(cx, &cloud.layout, name).await?;
    match disk.format {
        Format::Qcow2 if disk.plain => staging.copy(file).await?,
        format => staging.convert(file, format).await?,
    }
    staging.finish(&cloud.store).await
}
