//! What a run owns, one entry a thing, and what could not be deleted.
use serde::{Deserialize, Serialize};

/// What kinds of things a run may own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A directory with all that is in it (overlay, config drive, sockets); the name is its path.
    Directory,
    /// A process of this machine.
    Process,
    /// A machine of the cloud.
    Machine,
    /// A disk that a machine boots from.
    Volume,
    /// A floating IP.
    Address,
    SecurityGroup,
    /// A staged image.
    Image,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Directory => "directory",
            Kind::Process => "process",
            Kind::Machine => "machine",
            Kind::Volume => "volume",
            Kind::Address => "floating IP",
            Kind::SecurityGroup => "security group",
            Kind::Image => "image",
        }
    }
}

/// A thing owned: made, or about to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub seq: u64,
    pub kind: Kind,
    pub name: String,
    /// Absent until the create was answered.
    pub id: Option<String>,
    /// When a create was begun whose answer was lost: it may be there, or come to be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unanswered: Option<jiff::Timestamp>,
}

/// Something that could not be deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leak {
    #[serde(flatten)]
    pub entry: Entry,
    pub reason: String,
}
