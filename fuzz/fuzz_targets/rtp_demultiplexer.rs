//! See `bodies/rtp_state.rs`.
#![no_main]

#[path = "../bodies/rtp_state.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::demultiplexer(data));
