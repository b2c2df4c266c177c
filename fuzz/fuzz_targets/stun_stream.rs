//! Streams: see `bodies/stun.rs`.
#![no_main]

#[path = "../bodies/stun.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::stream(data));
