//! Bodies of answers: read by pieces, up to a bound, and never unpacked. What a service sends is
//! its own to choose; what it costs us is not.
use bytes::Bytes;
use reqwest::{ClientBuilder, Response};

use super::api::Asked;
use super::error::ApiError;

/// Of an answer, in bytes. A page of 500 servers is a tenth of that.
pub const LONGEST: usize = 16 << 20;
/// Of an error's body, in bytes; more of it is not read.
const LONGEST_ERROR: usize = 64 << 10;

/// A client that asks for no encoding, and unpacks none: a thousand bytes may be a million.
pub fn plain(builder: ClientBuilder) -> ClientBuilder {
    builder.no_gzip().no_brotli().no_deflate().no_zstd()
}

/// The body of an answer, whole. Of an error its begin is enough.
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
