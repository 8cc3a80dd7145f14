//! Why no machine boots from an image, from what Glance shows of it.
use super::Record;
use crate::model::image::Unusable;

const ANOTHER: &str = "name another image";

/// `None`: it may be booted.
pub(super) fn why(image: &Record) -> Option<Unusable> {
    status(image).or_else(|| content(image)).or_else(|| container(image)).or_else(|| disk(image))
}

fn no(why: &str, way_out: &str) -> Option<Unusable> {
    Some(Unusable { why: why.into(), way_out: way_out.into() })
}

fn status(image: &Record) -> Option<Unusable> {
    match image.status() {
        "active" => None,
        "queued" => {
            no("it has no content yet (queued)", "upload its content, or name another image")
        }
        "saving" | "importing" | "uploading" => {
            no("its content is still being stored", "wait until it is active")
        }
        "deactivated" => no(
            "an administrator took it out of use (deactivated)",
            "have it reactivated, or name another image",
        ),
        status => no(&format!("Glance says {status}"), ANOTHER),
    }
}

fn content(image: &Record) -> Option<Unusable> {
    let of_volumes =
        image.property("block_device_mapping").is_some_and(|bdm| !matches!(bdm.trim(), "" | "[]"));
    if image.size() == 0 && of_volumes {
        let why = "it is the snapshot of a server that boots from a volume: its content is a \
            snapshot in Cinder";
        let way_out = "make an image with a content of it: `openstack volume create --snapshot \
            ID --size GIB V`, then `openstack image create --volume V NAME`";
        return no(why, way_out);
    }
    if image.size() == 0 && image.0.contains_key("size") {
        return no("it is empty", ANOTHER);
    }
    if image.property("cinder_encryption_key_id").is_some_and(|key| !key.is_empty()) {
        return no("it is the image of an encrypted volume, which boots no machine", ANOTHER);
    }
    None
}

fn container(image: &Record) -> Option<Unusable> {
    match image.text("container_format") {
        // What was called ovf in the days of Glance's first guides is a plain disk; Nova looks at
        // its format alone.
        "" | "bare" | "ami" => None,
        "ovf" if matches!(image.text("disk_format"), "qcow2" | "raw") => None,
        "docker" => no(
            "it is a container's (container format docker)",
            "name the image of a disk, in the container format bare",
        ),
        format => no(
            &format!("its disk is packed (container format {format})"),
            "unpack it, and upload the disk as bare",
        ),
    }
}

fn disk(image: &Record) -> Option<Unusable> {
    match image.text("disk_format") {
        "iso" => no(
            "it is an installer's CD-ROM (iso)",
            "install from it once, and upload the disk: qcow2 or raw",
        ),
        "aki" | "ari" => no("it is a kernel or a RAM disk, and no disk", ANOTHER),
        _ => None,
    }
}
