//! `source` of an `os/` definition: a script that makes a disk image, or a URL with a checksum.
use std::fs::File;
use std::path::Path;

use super::decode::{Field, Fields, Reader};
use super::yaml::Value;
use super::{Kind, Source, files, keys, steps};
use crate::model::digest::{Algorithm, Digest};
use crate::model::format::Format;
use crate::model::source::{ChecksumSource, Download};
use crate::model::source_uri::SourceUri;

pub(super) fn source(reader: &mut Reader, field: &Field, kind: Kind, dir: &Path) -> Option<Source> {
    if kind == Kind::Image {
        let hint = "an image of images/ is built on a base: `bundle.img_base`; what is made from \
            scratch lives in os/";
        reader.error(field.key, "`source` is for definitions in os/ only", hint);
    }
    let source = reader.fields(field, keys::SOURCE)?;
    // All keys are read, for their findings; where they exclude each other the bundle is refused
    // anyway.
    let script = source.read("script", |f| steps::path(reader, f, dir, files::executable));
    // What it is, [`unwalled`] reads.
    if let (Some(wall), None) = (source.get("wall"), source.get("script")) {
        reader.error(
            wall.key,
            "`source.wall` goes with `source.script` only",
            "leave it out: what is downloaded runs nothing here",
        );
    }
    let from = source.read("url", |f| place(reader, f, dir));
    let format = source.read("format", |f| reader.one_of(f, &Format::NAMES));
    let format = format.map(|index| [Format::Qcow2, Format::Raw][index]);
    let sha256 = source.read("sha256", |f| digest(reader, f, Algorithm::Sha256));
    let sha512 = source.read("sha512", |f| digest(reader, f, Algorithm::Sha512));
    let list = source.read("checksum_url", |f| place(reader, f, dir));
    fitting_together(reader, &source);
    if let (Some(SourceUri::Url(_)), None) = (&from, sum_key(&source)) {
        let field = source.get("url").expect("it was read");
        let hint = "`sha256`, `sha512` or `checksum_url`; publishers have a list beside the image: \
            SHA256SUMS, CHECKSUM";
        reader.error(
            field.key,
            "`source.url` has no checksum: what comes over the network must be known to be right",
            hint,
        );
    }
    if let (Some(list @ SourceUri::Url(_)), Some(field)) = (&list, source.get("checksum_url"))
        && !list.is_https()
    {
        let message = "`source.checksum_url` is not https: who can change the image on its way can \
            change its checksum, too";
        reader.warn(field.node.spot, message, "https, or the checksum itself");
    }
    let sum = sha256.or(sha512).map(ChecksumSource::Given).or(list.map(ChecksumSource::List));
    script
        .map(Source::Script)
        .or(from.map(|from| Source::Url { wish: Download { from, sum }, format }))
}

/// `source.wall: none`: the script needs more than any wall allows.
pub(super) fn unwalled(reader: &mut Reader, top: &Fields) -> bool {
    let Some(Field { node, path, .. }) = top.get("source") else { return false };
    let Value::Map(entries) = &node.value else { return false };
    let source = Fields { path, spot: node.spot, entries };
    source.read("wall", |f| reader.one_of(f, &["none"])).is_some()
}

fn sum_key<'n>(source: &Fields<'n>) -> Option<Field<'n>> {
    keys::CHECKSUMS.iter().find_map(|key| source.get(key))
}

fn fitting_together(reader: &mut Reader, source: &Fields) {
    let (script, url) = (source.get("script"), source.get("url"));
    match (&script, &url) {
        (Some(script), Some(_)) => {
            reader.error(
                script.key,
                "`source.script` and `source.url` exclude each other",
                "an image is made by the one or got from the other",
            );
        }
        (None, None)
            if source.lacks("url", keys::SOURCE) && source.lacks("script", keys::SOURCE) =>
        {
            reader.error(
                source.spot,
                "`source` has neither `url` nor `script`",
                "`url` of a disk image, or a `script` that makes one",
            );
        }
        _ => {}
    }
    if url.is_none() && source.lacks("url", keys::SOURCE) {
        for key in keys::CHECKSUMS.iter().chain(&["format"]) {
            if let Some(field) = source.get(key) {
                let hint = match *key {
                    "format" => {
                        "leave it out: what the script writes to $OUT, qcow2 or raw, is told by \
                            its first bytes"
                    }
                    _ => {
                        "leave it out: what the script makes on this machine is compared with \
                            nothing"
                    }
                };
                reader.error(
                    field.key,
                    format!("`{}` goes with `source.url` only", field.path),
                    hint,
                );
            }
        }
    }
    let mut sums = keys::CHECKSUMS.iter().filter_map(|key| Some((key, source.get(key)?)));
    if let Some((first, _)) = sums.next() {
        for (key, field) in sums {
            reader.error(
                field.key,
                format!("`source` takes one checksum: `{key}` beside `{first}`"),
                "keep one of them",
            );
        }
    }
}

fn digest(reader: &mut Reader, field: &Field, algorithm: Algorithm) -> Option<Digest> {
    let text = reader.source_text(field)?;
    let found = Digest::parse(algorithm, text.trim());
    if found.is_none() {
        let (name, digits) = (algorithm.name(), algorithm.digits());
        let hint = match Digest::of_hex(text.trim()) {
            Some(other) => format!("it is a {0}: `{0}:`", other.algorithm.name()),
            None => format!(
                "{digits} hexadecimal digits; this has {} characters",
                text.trim().chars().count()
            ),
        };
        reader.error(field.node.spot, format!("`{}` is no {name}", field.path), &hint);
    }
    found
}

/// A URL, or an existing file: in the bundle, or by its absolute path anywhere on this machine.
/// URLs are not contacted, because bundles are checked offline.
fn place(reader: &mut Reader, field: &Field, dir: &Path) -> Option<SourceUri> {
    let text = reader.source_text(field)?;
    let text = text.trim();
    if text.contains(char::is_control) {
        reader.error(
            field.node.spot,
            format!("`{}` must be one line without control characters", field.path),
            "",
        );
        return None;
    }
    let place = match SourceUri::parse(text) {
        Ok(place) => place,
        Err(error) => {
            reader.error(field.node.spot, format!("`{}` {error}", field.path), error.hint());
            return None;
        }
    };
    let SourceUri::File(path) = &place else { return Some(place) };
    if path.is_absolute() {
        let opened = match path.is_file() {
            true => File::open(path).map(drop).map_err(|e| format!("cannot be read: {e}")),
            false => Err("is not a file of this machine".into()),
        };
        if let Err(why) = opened {
            reader.error(field.node.spot, format!("`{}` {why}", path.display()), "");
        }
    } else if let Err(trouble) = files::file(dir, text) {
        reader.lost_file(field.node.spot, trouble);
    }
    Some(place.below(dir))
}
