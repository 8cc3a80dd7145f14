//! The sinks, line by line.
