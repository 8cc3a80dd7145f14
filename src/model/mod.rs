//! What front-ends write and everybody reads: plain data, without I/O.

pub mod diagnostic;
pub mod event;
pub mod family;
pub mod image;
