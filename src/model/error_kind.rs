//! Kinds of errors: for exit codes and HTTP answers. Text is for people.

/// What kind of error it is, whatever the provider or tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Something that was named does not exist.
    NotFound,
    /// The state of something does not permit it.
    Conflict,
    /// A quota or a disk is used up.
    Quota,
    /// The login, or its rights, do not suffice.
    Unauthorized,
    /// A service does not answer, or is in trouble.
    Unavailable,
    /// The provider does not have the operation.
    Unsupported,
    /// The request makes no sense.
    InvalidInput,
    /// Stopped by a signal.
    Cancelled,
    /// A wait exceeded its deadline.
    Deadline,
    /// A fault of the factory, its machine, or of an answer that makes no sense.
    Internal,
}

impl ErrorKind {
    /// Kind of an HTTP status of 400 and above.
    pub fn of_status(status: u16) -> Self {
        match status {
            401 | 403 | 407 => Self::Unauthorized,
            404 | 410 => Self::NotFound,
            405 | 501 => Self::Unsupported,
            408 | 429 | 502..=504 => Self::Unavailable,
            409 | 412 | 423 => Self::Conflict,
            400..=499 => Self::InvalidInput,
            _ => Self::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_has_a_kind() {
        assert_eq!(ErrorKind::of_status(404), ErrorKind::NotFound);
        assert_eq!(ErrorKind::of_status(403), ErrorKind::Unauthorized);
        assert_eq!(ErrorKind::of_status(422), ErrorKind::InvalidInput);
        assert_eq!(ErrorKind::of_status(500), ErrorKind::Internal);
        assert_eq!(ErrorKind::of_status(503), ErrorKind::Unavailable);
    }
}
