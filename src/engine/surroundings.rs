//! What playbooks see of the factory besides their definition, as one digest. What was made under
//! one digest is not taken for what is made under another.
//!
//! The digest is of one home: its key stays there, and tells nobody else the values of variables.
use std::path::Path;

use serde_json::{Value, json};

use super::BuildError;
use crate::frontend;
use crate::system::cancel::Cancel;
use crate::system::durable;
use crate::wall::{Wall, WallError};

/// Bytes of the key of the digests.
const SALT: usize = 32;

/// Of playbooks of any definition: the environment that passes by itself, the packages of Ansible,
/// and the files that the owner and the machine show. `None`: there is no Ansible.
pub async fn surroundings(
    wall: &Wall,
    home: &Path,
    cancel: &Cancel,
) -> Result<Option<String>, BuildError> {
    let seen = match wall.seen(cancel).await {
        Ok(seen) => seen,
        Err(WallError::Cancelled(stopped)) => return Err(stopped.into()),
        Err(_) => return Ok(None),
    };
    let files = tokio::task::spawn_blocking(move || frontend::stamp_of(seen.paths)).await;
    let files = files.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()));
    Ok(Some(hidden(home, &json!([seen.env, seen.ansible, files]))?))
}

/// A digest that tells nothing of a value that could be guessed.
pub(super) fn hidden(home: &Path, value: &Value) -> Result<String, BuildError> {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &salt(home)?);
    let sum = ring::hmac::sign(&key, value.to_string().as_bytes());
    Ok(sum.as_ref().iter().map(|b| format!("{b:02x}")).collect())
}

/// Made once for each home.
fn salt(home: &Path) -> Result<Vec<u8>, BuildError> {
    let path = home.join("cache/checkpoints.salt");
    let io = |source| BuildError::Io { path: path.clone(), source };
    match std::fs::read(&path) {
        Ok(salt) if salt.len() == SALT => return Ok(salt),
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(io(e)),
        _ => {}
    }
    let mut salt = vec![0; SALT];
    rand_core::RngCore::fill_bytes(&mut rand_core::OsRng, &mut salt);
    std::fs::create_dir_all(home.join("cache")).map_err(io)?;
    durable::replace_as(&path, &salt, 0o600).map_err(io)?;
    Ok(salt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_of_one_home_and_tells_no_value() {
        let homes = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let value = json!({"TOKEN": "s3cret"});
        let of = |home: usize| hidden(homes[home].path(), &value).unwrap();
        assert_eq!(of(0), of(0));
        assert_ne!(of(0), of(1));
        assert!(!of(0).contains("s3cret") && of(0) != crate::plan::digest(&value));
    }
}
