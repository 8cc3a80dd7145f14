//! `source`: a script, or where an image is got from.
use super::{Tree, said_in};
use crate::model::definition::Source;
use crate::model::digest::{Algorithm, Digest};
use crate::model::format::Format;
use crate::model::source::{ChecksumSource, Download};
use crate::model::source_uri::SourceUri;

const SHA256: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/// All that is said of `os/d` with this source.
fn said(source: &str) -> String {
    let tree = Tree::new();
    tree.write("os/d/build-vars.yml", &format!("bundle: {{name: d}}\nsource: {source}\n"))
        .write("os/d/disk.qcow2", "x");
    said_in(&tree, "os/d")
}

#[track_caller]
fn sound(tree: &Tree, source: &str) -> (SourceUri, Option<ChecksumSource>, Option<Format>) {
    tree.write("os/d/build-vars.yml", &format!("bundle: {{name: d}}\nsource: {source}\n"));
    match tree.bundle("os/d").source {
        Some(Source::Url { wish: Download { from, sum }, format }) => (from, sum, format),
        other => panic!("{other:?}"),
    }
}

#[test]
fn where_images_come_from() {
    let tree = Tree::new();
    tree.write("os/d/disks/disk.qcow2", "x");
    let url = |text: &str| SourceUri::Url(text.into());
    let sha256 = Digest::parse(Algorithm::Sha256, SHA256).unwrap();
    let image = "https://a.example/x.qcow2";
    assert_eq!(
        sound(&tree, &format!("{{url: {image}, sha256: {SHA256}}}")),
        (url(image), Some(ChecksumSource::Given(sha256.clone())), None)
    );
    assert_eq!(
        sound(
            &tree,
            &format!("{{url: {image}, sha256: {}, format: qcow2}}", SHA256.to_uppercase())
        ),
        (url(image), Some(ChecksumSource::Given(sha256)), Some(Format::Qcow2))
    );
    let list = "https://a.example/SHA256SUMS";
    assert_eq!(
        sound(&tree, &format!("{{url: {image}, checksum_url: {list}}}")).1,
        Some(ChecksumSource::List(url(list)))
    );
    let (_, sum, format) =
        sound(&tree, &format!("{{url: {image}, sha512: {SHA256}{SHA256}, format: raw}}"));
    assert!(
        matches!(sum, Some(ChecksumSource::Given(Digest { algorithm: Algorithm::Sha512, .. })))
            && format == Some(Format::Raw)
    );

    let here = tree.path().join("os/d/disks/disk.qcow2").canonicalize().unwrap();
    for text in [
        "disks/disk.qcow2".to_owned(),
        here.display().to_string(),
        format!("file://{}", here.display()),
    ] {
        assert_eq!(
            sound(&tree, &format!("{{url: '{text}'}}")),
            (SourceUri::File(here.clone()), None, None),
            "{text}"
        );
    }
}

#[test]
fn a_download_needs_a_checksum_and_a_file_of_this_machine_does_not() {
    insta::assert_snapshot!(said("{url: https://a.example/x.qcow2}"), @r"
        2:10: error: `source.url` has no checksum: what comes over the network must be known to be right
            hint: `sha256`, `sha512` or `checksum_url`; publishers have a list beside the image: SHA256SUMS, CHECKSUM
    ");
    assert_eq!(said("{url: disk.qcow2}"), "");
}

#[test]
fn what_excludes_what() {
    insta::assert_snapshot!(said("{}"), @r"
        2:1: error: `source` has neither `url` nor `script`
            hint: `url` of a disk image, or a `script` that makes one
    ");
    insta::assert_snapshot!(said(&format!("{{url: disk.qcow2, script: no.sh, sha256: {SHA256}, \
        sha512: x, checksum_url: y}}")), @r"
        2:27: error: `source.script` and `source.url` exclude each other
            hint: an image is made by the one or got from the other
        2:35: error: `no.sh` does not exist
            hint: paths are relative to the bundle's directory
        2:116: error: `source` takes one checksum: `sha512` beside `sha256`
            hint: keep one of them
        2:124: error: `source.sha512` is no sha512
            hint: 128 hexadecimal digits; this has 1 characters
        2:127: error: `source` takes one checksum: `checksum_url` beside `sha256`
            hint: keep one of them
        2:141: error: `y` does not exist
            hint: paths are relative to the bundle's directory
    ");
    insta::assert_snapshot!(said(&format!("{{sha256: {SHA256}, format: raw}}")), @r"
        2:1: error: `source` has neither `url` nor `script`
            hint: `url` of a disk image, or a `script` that makes one
        2:10: error: `source.sha256` goes with `source.url` only
            hint: leave it out: what the script makes on this machine is compared with nothing
        2:84: error: `source.format` goes with `source.url` only
            hint: leave it out: what the script writes to $OUT, qcow2 or raw, is told by its first bytes
    ");
    let tree = Tree::new();
    tree.write("os/d/build-vars.yml", "bundle: {name: d, img_base: y}\nsource: {script: a.sh}\n")
        .write("os/d/a.sh", "#!/bin/sh\n");
    insta::assert_snapshot!(said_in(&tree, "os/d"), @r"
        1:19: error: `bundle.img_base` and `source` exclude each other
            hint: an image is made from a base or from a source
        2:18: error: `a.sh` is not executable
            hint: chmod +x a.sh
    ");
}

#[test]
fn values_that_cannot_be() {
    insta::assert_snapshot!(said(&format!("{{url: ftp://a.example/x, sha512: {SHA256}, format: \
        vmdk}}")), @r"
        2:15: error: `source.url` is a ftp URL, which is not fetched
            hint: https, http and file are; a path stands for itself
        2:42: error: `source.sha512` is no sha512
            hint: it is a sha256: `sha256:`
        2:116: error: `source.format` must be one of qcow2, raw, not `vmdk`
    ");
    insta::assert_snapshot!(said(&format!("{{url: 'https://me:pw@a.example/x', sha256: \
        {SHA256}}}")), @r"
        2:15: error: `source.url` has a user name or a password in it
            hint: what needs a login is to be fetched beforehand: name the file by its path
    ");
    insta::assert_snapshot!(said("{url: ../../secret.img}"), @r"
        2:15: error: `../../secret.img` leaves the bundle
            hint: what a bundle needs lies in its directory
    ");
    insta::assert_snapshot!(said("{url: /no/such/disk.img, sha256: [a]}"), @r"
        2:15: error: `/no/such/disk.img` is not a file of this machine
        2:42: error: `source.sha256` must be text, not a list
    ");
    insta::assert_snapshot!(said("{ulr: disk.qcow2}"), @r"
        2:10: error: unknown key `ulr` in `source`
            hint: did you mean `url`?
    ");
}

/// Nothing of this is looked at over the network; a list that anybody may change on its way is
/// worth a word.
#[test]
fn a_list_over_http_draws_a_warning() {
    insta::assert_snapshot!(said("{url: https://a.example/x, checksum_url: \
        http://a.example/SHA256SUMS}"), @r"
        2:50: warning: `source.checksum_url` is not https: who can change the image on its way can change its checksum, too
            hint: https, or the checksum itself
    ");
}
