//! What the factory does inside machines.
pub mod checks;
pub mod cloud_init;
pub mod console;
pub mod tidy;
