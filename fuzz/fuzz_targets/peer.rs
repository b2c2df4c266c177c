//! Calls, descriptions and candidates in any order: see `bodies/peer.rs`.
#![no_main]

#[path = "../bodies/mutation.rs"]
mod mutation;
#[path = "../bodies/peer.rs"]
mod peer;

use peer::Script;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    peer::peers(data);
});
