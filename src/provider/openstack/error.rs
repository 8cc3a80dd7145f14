//! A failed request, with status, request ID and the service's message.
use std::fmt;
use std::time::Duration;

use serde_json::Value;

use crate::model::error_kind::ErrorKind;
use crate::system::cancel::Cancelled;
use crate::system::http::{PROXY_HINT, THROUGH};

const QUOTA: &str = "the project's quota is used up";

#[derive(Debug)]
pub enum ApiError {
    /// The service refused.
    Refused {
        what: String,
        status: u16,
        request_id: Option<String>,
        message: String,
    },
    /// No answer. `sent`: the request may have been processed.
    Unreachable {
        what: String,
        host: String,
        reason: String,
        sent: bool,
    },
    TimedOut {
        what: String,
        host: String,
        after: Duration,
    },
    /// Authentication failed.
    Login {
        reason: String,
        hint: &'static str,
    },
    NotInCatalog {
        what: String,
        service: &'static str,
        region: Option<String>,
        interface: String,
        has: Vec<String>,
    },
    /// A redirect to a host that must not receive token or password, with the address as far as
    /// known.
    Redirected {
        what: String,
        to: String,
    },
    /// An invalid answer.
    BadAnswer {
        what: String,
        reason: String,
    },
    Cancelled(Cancelled),
}

impl ApiError {
    pub fn bad_answer(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::BadAnswer { what: what.into(), reason: reason.into() }
    }

    /// Masks a secret of the request in the message.
    pub fn without(mut self, secret: &str) -> Self {
        if let Self::Refused { message, .. } = &mut self
            && !secret.is_empty()
        {
            *message = message.replace(secret, "***");
        }
        self
    }

    pub fn status(&self) -> Option<u16> {
        if let Self::Refused { status, .. } = self { Some(*status) } else { None }
    }

    /// The attempted operation.
    pub fn what(&self) -> &str {
        match self {
            Self::Refused { what, .. }
            | Self::Unreachable { what, .. }
            | Self::TimedOut { what, .. }
            | Self::NotInCatalog { what, .. }
            | Self::Redirected { what, .. }
            | Self::BadAnswer { what, .. } => what,
            Self::Login { .. } => "log in",
            Self::Cancelled(_) => "",
        }
    }

    pub fn reason(&self) -> String {
        match self {
            Self::Refused { status, request_id, message, .. } => {
                let id = request_id.as_ref().map_or(String::new(), |id| format!(", request {id}"));
                format!("{message} (HTTP {status}{id})")
            }
            Self::Unreachable { host, reason, .. } => format!("{host} is not reached: {reason}"),
            Self::TimedOut { host, after, .. } => {
                format!("{host} has not answered within {} s", after.as_secs())
            }
            Self::Login { reason, .. } => reason.clone(),
            Self::NotInCatalog { service, region, interface, has, .. } => {
                let region = region.as_ref().map_or(String::new(), |r| format!(" in region {r}"));
                format!(
                    "the service catalog has no {interface} endpoint of `{service}`{region}; it \
                        has: {}",
                    has.join(", ")
                )
            }
            Self::Redirected { to, .. } => {
                format!(
                    "the answer is a redirect to {to}, which is not followed: what logs us in \
                        stays with us"
                )
            }
            Self::BadAnswer { reason, .. } => format!("the answer makes no sense: {reason}"),
            Self::Cancelled(c) => c.to_string(),
        }
    }

    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unreachable { host: way, .. }
            | Self::TimedOut { host: way, .. }
            | Self::Refused { message: way, .. }
                if way.contains(THROUGH) =>
            {
                PROXY_HINT.into()
            }
            Self::Refused { status: 401, .. } => {
                "the login was accepted and the token is not: are \
                the clocks right?"
                    .into()
            }
            Self::Refused { status: 403, message, .. } if message.contains("zero disk") => {
                "this flavor has no disk, and on such only volumes boot here: `volume: {}`, or \
                    another `vm_flavor`"
                    .into()
            }
            // Nova says 403, Neutron 409, Cinder and Glance 413.
            Self::Refused { status: 403 | 409, message, .. } if exceeds_quota(message) => {
                QUOTA.into()
            }
            Self::Refused { status: 403, .. } => {
                "this user may not do that here; an administrator \
                can tell which role is missing"
                    .into()
            }
            Self::Refused { status: 413, .. } => QUOTA.into(),
            Self::Unreachable { .. } | Self::TimedOut { .. } => {
                "is the network, the VPN or the proxy (HTTPS_PROXY, NO_PROXY) as it should \
                    be?"
                .into()
            }
            Self::Login { hint, .. } => (*hint).into(),
            Self::NotInCatalog { .. } => {
                "are OS_REGION_NAME and OS_INTERFACE right? `X_endpoint_override` in clouds.yaml \
                    names a URL"
                    .into()
            }
            Self::Redirected { .. } => {
                "if that address is right, it belongs into auth_url, the service catalog or \
                    `X_endpoint_override`"
                    .into()
            }
            _ => return None,
        })
    }

    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Refused { status: 403 | 409, message, .. } if exceeds_quota(message) => {
                ErrorKind::Quota
            }
            Self::Refused { status: 413, .. } => ErrorKind::Quota,
            Self::Refused { status, .. } => ErrorKind::of_status(*status),
            Self::Unreachable { .. } | Self::TimedOut { .. } => ErrorKind::Unavailable,
            Self::Login { .. } => ErrorKind::Unauthorized,
            Self::NotInCatalog { .. } => ErrorKind::Unsupported,
            Self::Redirected { .. } => ErrorKind::InvalidInput,
            Self::BadAnswer { .. } => ErrorKind::Internal,
            Self::Cancelled(_) => ErrorKind::Cancelled,
        }
    }

    /// Whether the request may have taken effect.
    pub fn in_doubt(&self) -> bool {
        match self {
            // 408 is of a proxy that was tired of waiting.
            Self::Refused { status, .. } => *status >= 500 || *status == 408,
            Self::Unreachable { sent, .. } => *sent,
            Self::TimedOut { .. } | Self::BadAnswer { .. } => true,
            // A redirected write was not executed.
            Self::Login { .. }
            | Self::NotInCatalog { .. }
            | Self::Redirected { .. }
            | Self::Cancelled(_) => false,
        }
    }
}

fn exceeds_quota(message: &str) -> bool {
    message.to_lowercase().contains("quota exceeded")
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled(c) => c.fmt(f),
            _ => write!(f, "{}: {}", self.what(), self.reason()),
        }
    }
}

impl std::error::Error for ApiError {}

impl From<Cancelled> for ApiError {
    fn from(c: Cancelled) -> Self {
        Self::Cancelled(c)
    }
}

/// The error message in any of the services' formats: `{"badRequest": {"message": …}}` of Nova and
/// Cinder, `{"NeutronError": {"message": …}}`, `{"error": {"message": …}}` of Keystone and Heat,
/// HTML of Glance.
pub fn message(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let found = serde_json::from_str::<Value>(&text).ok().and_then(|v| in_json(&v));
    let plain = found.unwrap_or_else(|| without_tags(&text));
    let line = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    let short: String = line.chars().take(600).collect();
    if short.is_empty() { "no reason is given".into() } else { short }
}

fn in_json(value: &Value) -> Option<String> {
    let map = value.as_object()?;
    let text = |key: &str| {
        map.get(key).and_then(Value::as_str).filter(|t| !t.is_empty()).map(str::to_owned)
    };
    let nested = || map.values().find_map(in_json);
    text("message")
        .or_else(|| text("faultstring"))
        .or_else(nested)
        .or_else(|| text("explanation"))
        .or_else(|| text("title"))
}

fn without_tags(html: &str) -> String {
    let mut out = String::new();
    let mut within = false;
    for c in html.chars() {
        match c {
            '<' => within = true,
            '>' if within => {
                within = false;
                out.push(' ');
            }
            c if !within => out.push(c),
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_that_is_used_up_is_no_role_that_is_missing() {
        let hint = |status, message: &str| {
            let (what, message) = (String::new(), message.to_owned());
            ApiError::Refused { what, status, request_id: None, message }.hint().unwrap_or_default()
        };
        for (status, words) in [
            (403, "Quota exceeded for instances: Requested 1, but already used 10 of 10 instances"),
            (409, "Quota exceeded for resources: ['floatingip']."),
            (
                413,
                "VolumeLimitExceeded: Maximum number of volumes allowed (10) exceeded for quota \
                    'volumes'.",
            ),
        ] {
            assert_eq!(hint(status, words), QUOTA, "{words}");
        }
        assert!(hint(403, "Policy doesn't allow it").contains("which role is missing"));
        assert_eq!(hint(409, "Security group is in use"), "");
    }

    #[test]
    fn every_services_words_are_found() {
        for (body, words) in [
            (
                r#"{"badRequest": {"code": 400, "message": "Flavor's disk is too small."}}"#,
                "Flavor's disk is too small.",
            ),
            (
                r#"{"NeutronError": {"type": "X", "message": "Quota exceeded", "detail": ""}}"#,
                "Quota exceeded",
            ),
            (
                r#"{"error": {"code": 401, "title": "Unauthorized",
                    "message": "The request you have made requires authentication."}}"#,
                "The request you have made requires authentication.",
            ),
            (
                r#"{"code": 400, "error": {"message": "The template is bad", "type": "E"},
                    "explanation": "generic", "title": "Bad Request"}"#,
                "The template is bad",
            ),
            (
                "<html><head><title>403 Forbidden</title></head><body><h1>403 Forbidden</h1>You \
                    may <b>not</b>.<br /></body></html>",
                "403 Forbidden 403 Forbidden You may not .",
            ),
            ("", "no reason is given"),
        ] {
            assert_eq!(message(body.as_bytes()), words);
        }
    }
}
