//! Checksums, base64, and UUIDs.
use base64ct::{Base64, Base64Url, Encoding};
use sha2::Digest;

use crate::jinja::args::Args;
use crate::jinja::error::{Error, Result};
use crate::jinja::value::Value;
use crate::jinja::{codec, show};

const ANSIBLE: &str = "361E6D51-FAEC-444A-9079-341386DA8E2E";

pub fn apply(name: &str, value: &Value, args: &Args) -> Result<Value> {
    match name {
        "b64encode" => {
            let b = args.bind("b64encode", &["encoding", "urlsafe"])?;
            let bytes = bytes(value, &b.text_or("encoding", "utf-8")?)?;
            let urlsafe = b.truth("urlsafe")?;
            Ok(Value::from(if urlsafe {
                Base64Url::encode_string(&bytes)
            } else {
                Base64::encode_string(&bytes)
            }))
        }
        "b64decode" => {
            let b = args.bind("b64decode", &["encoding", "urlsafe"])?;
            let text = String::from_utf8_lossy(&bytes(value, "utf-8")?).into_owned();
            codec::decode(&decoded(&text, b.truth("urlsafe")?)?, &b.text_or("encoding", "utf-8")?)
                .map(Value::from)
        }
        "hash" => {
            let kind = args.bind("hash", &["hashtype"])?.text_or("hashtype", "sha1")?;
            hashed(&kind, &bytes(value, "utf-8")?).map(Value::from)
        }
        "to_uuid" => {
            let namespace = args.bind("to_uuid", &["namespace"])?.text_or("namespace", ANSIBLE)?;
            let namespace = uuid::Uuid::parse_str(&namespace)
                .map_err(|e| Error::raised(format!("Invalid value for 'namespace': {e}")))?;
            let mut all = namespace.as_bytes().to_vec();
            all.extend(bytes(value, "utf-8")?);
            let sum = sha1(&all);
            let mut id: [u8; 16] = sum[..16].try_into().expect("SHA-1 is longer");
            id[6] = id[6] & 0x0f | 0x50;
            id[8] = id[8] & 0x3f | 0x80;
            Ok(Value::from(uuid::Uuid::from_bytes(id).to_string()))
        }
        name => {
            args.none("this filter")?;
            hashed(if name == "md5" { "md5" } else { "sha1" }, &bytes(value, "utf-8")?)
                .map(Value::from)
        }
    }
}

/// Ansible's `to_bytes`: encodes texts, and the `str()` of other values.
fn bytes(value: &Value, encoding: &str) -> Result<Vec<u8>> {
    match value {
        Value::Bytes(b) => Ok(b.to_vec()),
        other => codec::encode(&show::text(other)?, encoding),
    }
}

fn sha1(data: &[u8]) -> Vec<u8> {
    ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, data).as_ref().to_vec()
}

fn hashed(kind: &str, data: &[u8]) -> Result<String> {
    let sum = match kind.to_ascii_lowercase().as_str() {
        "md5" => md5(data).to_vec(),
        "sha1" => sha1(data),
        "sha224" => sha2::Sha224::digest(data).to_vec(),
        "sha256" => sha2::Sha256::digest(data).to_vec(),
        "sha384" => sha2::Sha384::digest(data).to_vec(),
        "sha512" => sha2::Sha512::digest(data).to_vec(),
        other
            if [
                "blake2b",
                "blake2s",
                "sha3_224",
                "sha3_256",
                "sha3_384",
                "sha3_512",
                "sha512_256",
                "sm3",
                "ripemd160",
            ]
            .contains(&other) =>
        {
            return Err(Error::refused(format!(
                "hash('{other}') is not supported; md5, sha1 and the SHA-2 family are"
            )));
        }
        other => return Err(Error::raised(format!("unsupported hash type {other}"))),
    };
    Ok(sum.iter().map(|b| format!("{b:02x}")).collect())
}

/// Python's lenient decoding: ignores characters outside of the alphabet, but requires correct
/// padding.
fn decoded(text: &str, urlsafe: bool) -> Result<Vec<u8>> {
    let invalid = || Error::raised("Incorrect padding");
    let swapped = |c: char| match c {
        '-' if urlsafe => '+',
        '_' if urlsafe => '/',
        c => c,
    };
    let (mut digits, mut padding) = (String::new(), 0);
    for c in text.chars().map(swapped) {
        if c == '=' {
            padding += 1;
            if digits.len() % 4 >= 2 && (digits.len() + padding) % 4 == 0 {
                break;
            }
        } else if c.is_ascii_alphanumeric() || c == '+' || c == '/' {
            digits.push(c);
            padding = 0;
        }
    }
    match digits.len() % 4 {
        0 => {}
        1 => return Err(invalid()),
        n if n + padding < 4 => return Err(invalid()),
        _ => {}
    }
    let mut out = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for c in digits.bytes() {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            _ => 63,
        };
        (bits, count) = (bits << 6 | u32::from(value), count + 6);
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Ok(out)
}

/// MD5, for legacy names and cache keys; not for security.
fn md5(data: &[u8]) -> [u8; 16] {
    const TURNS: [u32; 16] = [7, 12, 17, 22, 5, 9, 14, 20, 4, 11, 16, 23, 6, 10, 15, 21];
    let sines: Vec<u32> =
        (1..=64).map(|i| (f64::from(i).sin().abs() * 4_294_967_296.0) as u32).collect();
    let mut state = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    let mut padded = data.to_vec();
    padded.push(0x80);
    while padded.len() % 64 != 56 {
        padded.push(0);
    }
    padded.extend((data.len() as u64 * 8).to_le_bytes());
    for block in padded.chunks(64) {
        let words: Vec<u32> =
            block.chunks(4).map(|w| u32::from_le_bytes([w[0], w[1], w[2], w[3]])).collect();
        let [mut a, mut b, mut c, mut d] = state;
        for i in 0..64 {
            let (mix, word) = match i / 16 {
                0 => (b & c | !b & d, i),
                1 => (d & b | !d & c, (5 * i + 1) % 16),
                2 => (b ^ c ^ d, (3 * i + 5) % 16),
                _ => (c ^ (b | !d), 7 * i % 16),
            };
            let sum = mix.wrapping_add(a).wrapping_add(sines[i]).wrapping_add(words[word]);
            (a, d, c) = (d, c, b);
            b = b.wrapping_add(sum.rotate_left(TURNS[i / 16 * 4 + i % 4]));
        }
        for (sum, add) in state.iter_mut().zip([a, b, c, d]) {
            *sum = sum.wrapping_add(add);
        }
    }
    let mut out = [0; 16];
    out.chunks_mut(4).zip(state).for_each(|(to, word)| to.copy_from_slice(&word.to_le_bytes()));
    out
}
