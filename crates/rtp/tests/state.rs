//! Whatever packets say, state stays bounded: the bodies of the fuzz targets with random input.

use std::time::Instant;

use proptest::prelude::*;

#[path = "../../../fuzz/bodies/rtp_state.rs"]
mod bodies;

#[expect(clippy::disallowed_methods, reason = "a test needs some time to begin with")]
fn start() -> Instant {
    Instant::now()
}

/// A packet of RTP or RTCP whose head is right, with two bytes of length in front.
fn packet() -> impl Strategy<Value = Vec<u8>> {
    let second = prop_oneof![any::<u8>(), Just(96), Just(111), 200_u8..208];
    let small = prop_oneof![any::<u8>(), 0_u8..4];
    (0x80_u8..0xA0, second, prop::collection::vec(small, 2..80)).prop_map(|(first, second, mut rest)| {
        let words = (rest.len() + 2) / 4 - 1;
        rest.truncate(4 * words + 2);
        if second >= 200 {
            rest[..2].copy_from_slice(&(words as u16).to_be_bytes());
        }
        let len = (rest.len() + 2) as u16;
        [&len.to_be_bytes()[..], &[first, second], &rest].concat()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn any_packets_are_routed_or_counted(
        packets in prop::collection::vec(prop_oneof![8 => packet(), 1 => any::<u8>().prop_map(|one| vec![0, 1, one])], 0..40),
    ) {
        bodies::demultiplexer(&packets.concat());
    }

    #[test]
    fn any_stream_gives_each_frame_once(
        steps in prop::collection::vec(any::<[u8; 8]>(), 0..200),
        near in any::<bool>(),
    ) {
        let mut steps = steps;
        for step in steps.iter_mut().filter(|_| near) {
            // Numbers close together, times in order.
            (step[1], step[3]) = (0, step[3] % 8);
        }
        bodies::stream(start(), &steps.concat());
    }

    #[test]
    fn any_feedback_leaves_the_rate_within_its_limits(packets in prop::collection::vec(packet(), 0..60)) {
        bodies::congestion(start(), &packets.concat());
    }
}

/// A whole turn of sequence numbers, each far from the one before, and only few packets are kept.
#[test]
fn jumps_of_sequence_numbers_are_survived() {
    let steps: Vec<u8> = (0..20_000_u32)
        .flat_map(|step| {
            let number = (step.wrapping_mul(40_503) & 0xFFFF) as u16;
            let [high, low] = number.to_be_bytes();
            [step as u8, high, low, 1, step as u8, 30, 0x10, 0]
        })
        .collect();
    bodies::stream(start(), &steps);
}

/// A frame that never ends takes no more packets than the buffer has.
#[test]
fn giant_frames_are_given_up() {
    let steps: Vec<u8> = (0..5_000_u16)
        .flat_map(|number| {
            let [high, low] = number.to_be_bytes();
            [0, high, low, 1, 1, 39, u8::from(number == 0) << 4, 0]
        })
        .collect();
    bodies::stream(start(), &steps);
}
