//! Units of size.

pub const GIB: u64 = 1 << 30;
