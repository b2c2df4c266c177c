//! Files: see `bodies/containers.rs`.
#![no_main]

#[path = "../bodies/containers.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::read(data));
