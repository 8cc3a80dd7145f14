//! Encodes and decodes text by the name of an encoding.
use super::error::{Error, Result};

fn name(encoding: &str) -> String {
    encoding.to_ascii_lowercase().replace(['_', ' '], "-")
}

fn unknown(encoding: &str) -> std::rc::Rc<Error> {
    Error::refused(format!(
        "the encoding `{encoding}` is not supported; utf-8, ascii, latin-1 and utf-16-le are"
    ))
}

pub fn encode(text: &str, encoding: &str) -> Result<Vec<u8>> {
    let most = match &*name(encoding) {
        "utf-8" | "utf8" => return Ok(text.into()),
        "ascii" | "us-ascii" => 0x7f,
        "latin-1" | "latin1" | "iso-8859-1" | "iso8859-1" => 0xff,
        "utf-16-le" | "utf-16le" => {
            return Ok(text.encode_utf16().flat_map(u16::to_le_bytes).collect());
        }
        _ => return Err(unknown(encoding)),
    };
    let byte = |c: char| u8::try_from(c as u32).ok().filter(|b| *b <= most);
    let bytes: Option<Vec<u8>> = text.chars().map(byte).collect();
    bytes.ok_or_else(|| Error::raised(format!("'{encoding}' codec can't encode characters")))
}

pub fn decode(bytes: &[u8], encoding: &str) -> Result<String> {
    let invalid = || Error::raised(format!("'{encoding}' codec can't decode bytes"));
    match &*name(encoding) {
        "utf-8" | "utf8" => String::from_utf8(bytes.to_vec()).map_err(|_| invalid()),
        "ascii" | "us-ascii" if !bytes.is_ascii() => Err(invalid()),
        "ascii" | "us-ascii" | "latin-1" | "latin1" | "iso-8859-1" | "iso8859-1" => {
            Ok(bytes.iter().map(|b| char::from(*b)).collect())
        }
        "utf-16-le" | "utf-16le" => {
            let units: Vec<u16> = bytes
                .chunks(2)
                .map(|c| u16::from(c[0]) | u16::from(*c.get(1).unwrap_or(&0)) << 8)
                .collect();
            String::from_utf16(&units).map_err(|_| invalid())
        }
        _ => Err(unknown(encoding)),
    }
}
