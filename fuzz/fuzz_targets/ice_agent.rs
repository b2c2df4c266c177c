//! An agent under attack: see `bodies/ice.rs`.
#![no_main]

#[path = "../bodies/ice.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    bodies::agent(data);
});
