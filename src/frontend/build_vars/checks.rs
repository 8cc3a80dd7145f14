//! `tests`: which checks a captured image must pass. The engine implements the checks.
use crate::model::check::{BOOTS, CHECKS};
use std::collections::HashSet;
use std::path::Path;

use super::decode::{Field, Reader};
use super::yaml::Value;
use super::{Tests, files, keys};

pub(super) fn tests(reader: &mut Reader, field: Option<&Field>, dir: &Path, shown: &Path) -> Tests {
    let (mut tests, mut broken) = (Tests::default(), Vec::new());
    for found in files::checks(dir) {
        match found {
            Ok(files::Check { path: file, told }) => {
                reader.told(&shown.join(&file), told);
                tests.files.push(file);
            }
            Err((file, trouble)) => {
                // It is there; what is wrong with it is said once.
                broken.push(file.display().to_string());
                reader.file_error(shown.join(file), (0, 0), trouble);
            }
        }
    }
    let Some(fields) = field.and_then(|f| reader.fields(f, keys::TESTS)) else { return tests };
    let own: Vec<String> =
        tests.files.iter().map(|f| f.display().to_string()).chain(broken).collect();
    let ids: Vec<&str> =
        CHECKS.iter().map(|c| c.id).chain(own.iter().map(String::as_str)).collect();
    tests.skip = fields.read("skip", |f| known(reader, f, &ids)).unwrap_or_default();
    if let Some(field) = fields.get("skip").filter(|_| tests.skip.iter().any(|id| id == BOOTS)) {
        reader.error(
            field.node.spot,
            format!("`tests.skip` cannot have `{BOOTS}`: the other checks run on what boots"),
            "`build --no-smoke` publishes an image untested",
        );
    }
    tests.only = fields.read("only", |f| known(reader, f, &ids));
    tests.add = fields.read("add", |f| known(reader, f, &ids)).unwrap_or_default();
    tests.timeout = fields.read("timeout", |f| reader.duration(f));
    tests.dns_name = fields.read("dns_name", |f| plain(reader, f));
    tests.package = fields.read("package", |f| plain(reader, f));
    tests.volume_gib = fields.read("volume_size", |f| reader.size(f, 1024));
    if let (Some(only), Some(field)) = (&tests.only, fields.get("add"))
        && !tests.add.iter().all(|id| only.contains(id))
    {
        reader.error(
            field.key,
            "`tests.add` adds to what is on by default, and `tests.only` says all there is",
            "put them into `only`",
        );
    }
    tests
}

/// A list of existing checks.
fn known(reader: &mut Reader, field: &Field, ids: &[&str]) -> Option<Vec<String>> {
    let named = reader.words(field)?;
    let sound: HashSet<&String> = named.iter().collect();
    for item in reader.list(field)? {
        let Value::Scalar { text: id, .. } = &item.node.value else { continue };
        if ids.contains(&id.as_str()) || !sound.contains(id) {
            continue;
        }
        let hint = match keys::nearest(id, ids.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are {}", ids.join(", ")),
        };
        reader.error(item.node.spot, format!("there is no check `{id}`"), &hint);
    }
    Some(named)
}

/// A word that is passed to programs in the machine.
fn plain(reader: &mut Reader, field: &Field) -> Option<String> {
    let word = reader.word(field)?;
    if word.starts_with('-')
        || !word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | ':'))
    {
        reader.error(
            field.node.spot,
            format!("`{}` cannot be `{word}`", field.path),
            "letters, digits, `.`, `_`, `-`, `+` and `:`",
        );
        return None;
    }
    Some(word)
}
