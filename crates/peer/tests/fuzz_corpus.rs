//! The fuzz target of candidate lines, run in ordinary tests: over the corpus, over damaged copies
//! of it.

use std::path::Path;

use proptest::prelude::*;

#[path = "../../../fuzz/bodies/candidates.rs"]
mod bodies;

fn corpus() -> Vec<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/ice_candidates");
    let mut paths: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn the_corpus_passes() {
    let taken: Vec<usize> = corpus().iter().map(|text| bodies::lines(text.as_bytes())).collect();
    assert!(taken.iter().sum::<usize>() > 140, "{taken:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn damaged_lines_pass(
        text in prop::sample::select(corpus()),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0x20..0x7F_u8), 1..10),
    ) {
        let mut bytes = text.into_bytes();
        for (index, byte) in edits {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        bodies::lines(&bytes);
    }
}
