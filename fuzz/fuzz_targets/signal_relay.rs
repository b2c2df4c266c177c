//! Scripts of calls to the session relay: see `bodies/signal.rs`.
#![no_main]

#[path = "../bodies/signal.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::relay(data));
