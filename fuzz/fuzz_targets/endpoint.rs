//! Datagrams and connections of an endpoint: see `bodies/endpoint.rs`.
#![no_main]

#[path = "../bodies/endpoint.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::endpoint(data));
