//! Datagrams: see `bodies/rtp.rs`.
#![no_main]

#[path = "../bodies/rtp.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::payloads(data));
