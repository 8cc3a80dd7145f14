//! Integration tests: one binary, one file per part.
mod local;
