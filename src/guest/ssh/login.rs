//! Opens a session: TCP, key exchange, host key check, user authentication. Blocking, within one
//! deadline.
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use ssh_key::{Algorithm, HashAlg, LineEnding, PublicKey};
use ssh2::{ErrorCode, MethodType, Session};

use crate::guest::{RemoteError, Target};

/// A peer that acknowledges nothing for this long is dead. Generous, because emulated machines
/// stall for seconds.
const SILENCE: Duration = Duration::from_secs(60);

/// Preferred ciphers, cheapest first. ChaCha20 costs a fraction of AES on a guest without AES
/// instructions (QEMU TCG), is OpenSSH's own preference, and is cheapest here too: libssh2 feeds
/// AES to OpenSSL block by block (CPU time of a 200 MB upload: ChaCha20 1.0, AES-128-GCM 1.3,
/// AES-128-CTR 1.6).
const CIPHERS: &str = "chacha20-poly1305@openssh.com,aes128-gcm@openssh.com,\
    aes256-gcm@openssh.com,aes128-ctr,aes192-ctr,aes256-ctr";

pub(super) fn login(
    target: &Target,
    deadline: Duration,
) -> Result<(Session, TcpStream), RemoteError> {
    let end = Instant::now() + deadline;
    let socket = dial(target, end)?;
    let socket = tune(&socket).map(|()| socket).map_err(|e| unreachable(target, e))?;
    let session = Session::new().map_err(|e| unreachable(target, e))?;
    session
        .method_pref(MethodType::HostKey, &host_key_order(&session, target))
        .map_err(|e| unreachable(target, e))?;
    session.method_pref(MethodType::CryptCs, CIPHERS).map_err(|e| unreachable(target, e))?;
    session.method_pref(MethodType::CryptSc, CIPHERS).map_err(|e| unreachable(target, e))?;
    let mut session = session;
    session.set_tcp_stream(socket.try_clone().map_err(|e| unreachable(target, e))?);
    session.set_timeout(left(target, end)?);
    session.handshake().map_err(|e| unreachable(target, format!("ssh handshake: {e}")))?;
    check_host_key(&session, target)?;
    session.set_timeout(left(target, end)?);
    authenticate(&session, target)?;
    Ok((session, socket))
}

fn unreachable(target: &Target, reason: impl ToString) -> RemoteError {
    RemoteError::Unreachable {
        host: target.host.clone(),
        port: target.port,
        reason: reason.to_string(),
    }
}

/// Milliseconds until `end`, for libssh2, where 0 would mean no limit.
fn left(target: &Target, end: Instant) -> Result<u32, RemoteError> {
    match end.saturating_duration_since(Instant::now()).as_millis() {
        0 => Err(unreachable(target, "no answer in time")),
        ms => Ok(ms.min(u32::MAX as u128) as u32),
    }
}

fn dial(target: &Target, end: Instant) -> Result<TcpStream, RemoteError> {
    let addresses = (target.host.as_str(), target.port)
        .to_socket_addrs()
        .map_err(|e| unreachable(target, e))?;
    let mut last = unreachable(target, "the name has no address");
    for address in addresses {
        let ms = left(target, end)?;
        match TcpStream::connect_timeout(&address, Duration::from_millis(ms.into())) {
            Ok(socket) => return Ok(socket),
            Err(e) => last = unreachable(target, e),
        }
    }
    Err(last)
}

/// Disables Nagle's algorithm, because most packets are small and awaited. Keepalive and user
/// timeout detect a machine that vanished during a silent command.
fn tune(socket: &TcpStream) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let options = [
        (libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1),
        (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, 15),
        (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, 5),
        (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, SILENCE.as_millis() as libc::c_int),
    ];
    for (level, name, value) in options {
        // SAFETY: these options take one int.
        let rc = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                level,
                name,
                (&raw const value).cast(),
                size_of_val(&value) as libc::socklen_t,
            )
        };
        if rc != 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Puts the pinned key types first, because the server shows the first type that it has. Keeps the
/// others, so that a machine without a pinned key fails with "shows another key", not "no common
/// algorithm".
fn host_key_order(session: &Session, target: &Target) -> String {
    let mut order: Vec<&str> = Vec::new();
    for key in &target.host_keys {
        match key.algorithm() {
            Algorithm::Rsa { .. } => order.extend(["rsa-sha2-512", "rsa-sha2-256"]),
            Algorithm::Ed25519 => order.push("ssh-ed25519"),
            Algorithm::Ecdsa { curve } => order.push(match curve {
                ssh_key::EcdsaCurve::NistP256 => "ecdsa-sha2-nistp256",
                ssh_key::EcdsaCurve::NistP384 => "ecdsa-sha2-nistp384",
                ssh_key::EcdsaCurve::NistP521 => "ecdsa-sha2-nistp521",
            }),
            _ => {}
        }
    }
    order.extend(session.supported_algs(MethodType::HostKey).unwrap_or_default());
    let mut seen = std::collections::HashSet::new();
    order.retain(|name| seen.insert(*name));
    order.join(",")
}

/// Runs before authentication. The key exchange has proven that the machine holds this key.
fn check_host_key(session: &Session, target: &Target) -> Result<(), RemoteError> {
    let shown = session.host_key().map(|(blob, _)| blob).unwrap_or_default();
    if !shown.is_empty()
        && target.host_keys.iter().any(|key| key.to_bytes().is_ok_and(|pinned| pinned == shown))
    {
        return Ok(());
    }
    let shown = match PublicKey::from_bytes(shown) {
        // The name of any other kind is the machine's own word.
        Ok(key) if !matches!(key.algorithm(), Algorithm::Other(_)) => {
            format!("{} {}", key.algorithm(), key.fingerprint(HashAlg::Sha256))
        }
        _ => "of an unknown kind".into(),
    };
    Err(RemoteError::HostKey { host: target.host.clone(), port: target.port, shown })
}

fn authenticate(session: &Session, target: &Target) -> Result<(), RemoteError> {
    let text = target
        .key
        .to_openssh(LineEnding::LF)
        .map_err(|e| unreachable(target, format!("our own key: {e}")))?;
    let Err(error) = session.userauth_pubkey_memory(&target.user, None, &text, None) else {
        return Ok(());
    };
    match error.code() {
        ErrorCode::Session(
            libssh2_sys::LIBSSH2_ERROR_AUTHENTICATION_FAILED
            | libssh2_sys::LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED,
        ) => Err(RemoteError::Refused {
            user: target.user.clone(),
            host: target.host.clone(),
            port: target.port,
        }),
        _ => Err(unreachable(target, format!("ssh login: {error}"))),
    }
}
