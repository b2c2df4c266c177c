//! Texts to the call's reader: see `bodies/call.rs`.
#![no_main]

#[path = "../bodies/call.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::message(data));
