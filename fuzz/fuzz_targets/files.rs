//! Scripts of messages to both sides of a file transfer: see `bodies/files.rs`.
#![no_main]

#[path = "../bodies/files.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::transfer(data));
