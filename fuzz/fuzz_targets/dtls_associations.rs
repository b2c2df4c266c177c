//! DTLS: see `bodies/dtls.rs`.
#![no_main]

use std::time::Instant;

#[path = "../bodies/dtls.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::whole(data, Instant::now()));
