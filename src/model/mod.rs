//! What front-ends write and everybody reads: plain data, without I/O.

pub mod check;
pub mod definition;
pub mod diagnostic;
pub mod digest;
pub mod event;
pub mod facts;
pub mod family;
pub mod format;
pub mod image;
pub mod inputs;
pub mod outcome;
pub mod placement;
pub mod publication;
pub mod source;
pub mod source_uri;
pub mod step;
pub mod units;
