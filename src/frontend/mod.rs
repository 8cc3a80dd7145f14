//! Input languages: each reads a definition's files and writes a `Definition`.

pub mod build_vars;
