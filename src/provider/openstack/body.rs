//! Reads response bodies in pieces, with a size limit and without decompression, so that a service
//! cannot exhaust memory.
use bytes::Bytes;
use reqwest::{ClientBuilder, Response};

use super::api::Asked;
use super::error::ApiError;

/// Size limit of a response in bytes. A page of 500 servers is a tenth of that.
pub const LONGEST: usize = 16 << 20;
/// Bytes read of an error's body.
const LONGEST_ERROR: usize = 64 << 10;

/// Disables compressed responses, because a small one may expand without bound.
pub fn plain(builder: ClientBuilder) -> ClientBuilder {
    builder.no_gzip().no_brotli().no_deflate().no_zstd()
}

/// Reads a whole body; of an error, only the beginning.
pub async fn read(mut answer: Response, asked: &Asked<'_>) -> Result<Bytes, ApiError> {
    let failed = answer.status().as_u16() >= 400;
    let longest = if failed { LONGEST_ERROR } else { LONGEST };
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|e| asked.failed(&e))? {
        let room = longest - body.len();
        body.extend_from_slice(&piece[..piece.len().min(room)]);
        match piece.len() > room {
            true if failed => break,
            true => {
                return Err(ApiError::bad_answer(
                    asked.what,
                    format!("it is longer than {} MiB", LONGEST >> 20),
                ));
            }
            false => {}
        }
    }
    Ok(body.into())
}
