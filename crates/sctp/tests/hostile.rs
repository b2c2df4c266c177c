//! Packets of hostile peers: never a panic, output and memory bounded.

#[path = "../../../fuzz/bodies/sctp.rs"]
mod bodies;

use std::time::Instant;

use proptest::prelude::*;

#[expect(clippy::disallowed_methods, reason = "a test needs some time to begin with")]
fn now() -> Instant {
    Instant::now()
}

/// Chunks that look right more often than random bytes do.
fn chunk() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![0..16_u8, Just(64), Just(130), Just(132), Just(192), Just(194), any::<u8>()];
    // Small numbers, and what lies near them going round.
    let word = prop_oneof![0..20_u32, (0..20_u32).prop_map(|value| 0_u32.wrapping_sub(value)), any::<u32>()];
    (kind, any::<u8>(), prop::collection::vec(word, 0..8), 0..3_usize).prop_map(
        |(kind, flags, words, extra)| {
            let mut value: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
            value.extend(std::iter::repeat_n(1, extra));
            let mut chunk = vec![kind, flags, 0, (value.len() + 4) as u8];
            chunk.extend(value);
            chunk.resize(chunk.len().next_multiple_of(4), 0);
            chunk
        },
    )
}

/// Sequences of packets begin in each state of RFC 9260 §4, for this test and for the fuzzer.
#[test]
fn every_state_is_reached() {
    for (number, name) in (0..).zip(bodies::STATES) {
        for rest in [0, 16, 32, 48] {
            let channels = bodies::prepare(number | rest, now()).channels;
            let seen = format!("{:?}", channels.association());
            assert!(seen.contains(&format!("state: {name}")), "{name}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_packets_do_no_harm(bytes: Vec<u8>) {
        bodies::packet(&bytes, now());
    }

    #[test]
    fn random_sequences_do_no_harm(bytes: Vec<u8>) {
        bodies::sequence(&bytes, now());
    }

    #[test]
    fn likely_sequences_do_no_harm(
        state: u8,
        packets in prop::collection::vec(prop::collection::vec(chunk(), 1..4), 1..20),
    ) {
        let mut bytes = vec![state];
        for packet in packets {
            let packet = packet.concat();
            bytes.push(packet.len() as u8);
            bytes.extend(packet);
        }
        bodies::sequence(&bytes, now());
    }
}
