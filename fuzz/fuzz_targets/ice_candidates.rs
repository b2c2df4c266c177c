//! Candidate lines into a peer: see `bodies/candidates.rs`.
#![no_main]

#[path = "../bodies/candidates.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    bodies::lines(data);
});
