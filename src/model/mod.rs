//! What front-ends write and everybody reads: plain data, without I/O.
//!
//! In the order of use: a module imports only from those above it.

pub mod units;
pub mod error_kind;
pub mod outcome;

pub mod digest;
pub mod format;
pub mod source_uri;
pub mod source;
pub mod diagnostic;
pub mod field;
pub mod kind;
pub mod category;
pub mod step;
pub mod check;
pub mod image;
pub mod family;
pub mod inputs;
pub mod definition;
pub mod facts;
pub mod placement;
pub mod publication;
pub mod event;
