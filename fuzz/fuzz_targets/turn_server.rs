//! A server under attack: see `bodies/turn.rs`.
#![no_main]

#[path = "../bodies/turn.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::server(data));
