//! The fuzz targets' bodies, run in ordinary tests: over the corpus, over damaged copies of it,
//! over nonsense.

use std::path::Path;

use proptest::prelude::*;

#[path = "../../../fuzz/bodies/stun.rs"]
mod bodies;

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut paths: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// Some input of the corpus with a few bytes replaced and its end cut off or left.
fn damaged(target: &str) -> impl Strategy<Value = Vec<u8>> + use<> {
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8);
    let cut = prop_oneof![Just(None), any::<prop::sample::Index>().prop_map(Some)];
    (prop::sample::select(corpus(target)), edits, cut).prop_map(|(mut input, edits, cut)| {
        for (index, byte) in edits {
            let index = index.index(input.len());
            input[index] = byte;
        }
        if let Some(cut) = cut {
            input.truncate(cut.index(input.len()));
        }
        input
    })
}

#[test]
fn the_corpus_passes() {
    assert!(corpus("stun_message").len() >= 5);
    corpus("stun_message").iter().for_each(|input| bodies::message(input));
    assert!(corpus("stun_stream").len() >= 3);
    corpus("stun_stream").iter().for_each(|input| bodies::stream(input));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn damaged_messages_pass(input in damaged("stun_message")) {
        bodies::message(&input);
    }

    #[test]
    fn damaged_streams_pass(input in damaged("stun_stream")) {
        bodies::stream(&input);
    }

    #[test]
    fn nonsense_passes(input in prop::collection::vec(any::<u8>(), 0..256)) {
        bodies::message(&input);
        bodies::stream(&input);
    }

    /// A good header in front makes the parser look at the rest.
    #[test]
    fn nonsense_behind_a_header_passes(words in prop::collection::vec(any::<u32>(), 0..64), small in any::<bool>()) {
        let mut input = vec![0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42];
        input.extend_from_slice(&[7; 12]);
        for word in words {
            // Small lengths are more often good ones.
            let word = if small { word & 0xFFFF_000F } else { word };
            input.extend_from_slice(&word.to_be_bytes());
        }
        let length = u16::try_from(input.len() - 20).unwrap();
        input[2..4].copy_from_slice(&length.to_be_bytes());
        bodies::message(&input);
    }
}
