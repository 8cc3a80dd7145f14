//! See `image_factory_fuzz::TARGETS`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| image_factory_fuzz::target("console", data));
