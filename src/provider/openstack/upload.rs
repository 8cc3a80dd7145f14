//! A file as a request body: known length, hashed and reported while being sent.
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::api::OnProgress;
use crate::model::digest::{Algorithm, Digest};
use crate::system::digest::Hasher;

/// A file being sent.
pub struct Upload {
    pub length: u64,
    pub body: reqwest::Body,
    /// Set when the file was sent completely; `None` if the service answered earlier.
    pub digest: Arc<OnceLock<Digest>>,
}

impl Upload {
    /// Reads and hashes on a thread of its own, so that neither delays the connection.
    pub fn begin(path: &Path, progress: &OnProgress) -> std::io::Result<Self> {
        const CHUNK: usize = 512 << 10;
        let mut file = std::fs::File::open(path)?;
        let length = file.metadata()?.len();
        let digest = Arc::new(OnceLock::new());
        let (to, mut from) = tokio::sync::mpsc::channel::<std::io::Result<Bytes>>(4);
        let (made, progress) = (digest.clone(), progress.clone());
        tokio::task::spawn_blocking(move || {
            let (mut hasher, mut done) = (Hasher::new(Algorithm::Sha512), 0);
            while done < length {
                let mut chunk = Vec::with_capacity(CHUNK);
                let read = file.by_ref().take(CHUNK as u64).read_to_end(&mut chunk);
                hasher.update(&chunk);
                done += chunk.len() as u64;
                // Known before the last bytes go, and so before any answer to them.
                if done >= length {
                    let _ = made.set(hasher.clone().finish());
                }
                let ended = read.is_err() || chunk.is_empty();
                // Reported before sending, because the response to the last bytes may end the
                // request.
                progress(done, length);
                // Nobody takes it: the request has ended.
                if to.blocking_send(read.map(|_| chunk.into())).is_err() || ended {
                    return;
                }
            }
        });
        let body =
            reqwest::Body::wrap_stream(futures_util::stream::poll_fn(move |cx| from.poll_recv(cx)));
        Ok(Self { length, body, digest })
    }
}
