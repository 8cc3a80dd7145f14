//! The HTTP client of a login: certificates, proxies, no redirects.
use std::path::Path;
use std::time::Duration;

use reqwest::Client;

use super::super::body;
use super::super::error::ApiError;
use super::super::login::Login;
use super::TIMEOUT;
use crate::system::reading;

/// Bytes of a file with certificates; a system's whole list has some 200 KiB.
const MOST_PEM: u64 = 16 << 20;

const PEM: &str = "`cacert`, `cert` and `key` of clouds.yaml, or OS_CACERT, OS_CERT and OS_KEY, \
    name files in PEM form";

/// No read timeout: it would run while we upload. Every request has a timeout of its own.
/// Follows no redirect: [`Call::once`] does, where that is safe.
pub(super) fn client(login: &Login) -> Result<Client, ApiError> {
    let wrong = |reason: String| ApiError::Login { reason, hint: PEM };
    let mut builder = body::plain(Client::builder())
        .user_agent(concat!("image-factory/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(10))
        .timeout(TIMEOUT)
        .tcp_keepalive(Duration::from_secs(30))
        .redirect(reqwest::redirect::Policy::none())
        .danger_accept_invalid_certs(login.tls.insecure);
    let read = |path: &Path| {
        reading::stream(path, MOST_PEM, Duration::from_secs(5))
            .map_err(|e| wrong(format!("cannot read {}: {e}", path.display())))
    };
    if let Some(path) = &login.tls.cacert {
        // All of a bundle, in addition to what the system trusts.
        let all = reqwest::Certificate::from_pem_bundle(&read(path)?)
            .map_err(|e| wrong(format!("{}: {e}", path.display())))?;
        if all.is_empty() {
            return Err(wrong(format!("{} holds no certificate", path.display())));
        }
        builder = all.into_iter().fold(builder, reqwest::ClientBuilder::add_root_certificate);
    }
    if let Some((cert, key)) = &login.tls.client {
        let mut pem = read(cert)?;
        if key != cert {
            pem.push(b'\n');
            pem.extend(read(key)?);
        }
        // The parser's words could quote the key.
        builder = builder.identity(
            reqwest::Identity::from_pem(&pem)
                .map_err(|_| wrong(format!("{} is no certificate with a key", cert.display())))?,
        );
    }
    login.proxies.on(builder).build().map_err(|e| wrong(format!("TLS: {e}")))
}
