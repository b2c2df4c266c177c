//! SCTP: see `bodies/sctp.rs`.
#![no_main]

use std::time::Instant;

#[path = "../bodies/sctp.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::sequence(data, Instant::now()));
