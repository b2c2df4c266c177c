//! The fuzz target's body, run in ordinary tests: over the corpus, over damaged copies of it.

use std::path::Path;

use proptest::prelude::*;

#[path = "../../../fuzz/bodies/turn.rs"]
mod bodies;

fn corpus() -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/turn_server");
    let mut paths: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

#[test]
fn the_corpus_passes() {
    assert!(corpus().len() >= 6);
    corpus().iter().for_each(|script| bodies::server(script));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_corpus_passes_damaged_and_shuffled(
        scripts in prop::collection::vec(prop::sample::select(corpus()), 1..4),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
    ) {
        let mut script = scripts.concat();
        for (index, byte) in edits {
            let index = index.index(script.len());
            script[index] = byte;
        }
        bodies::server(&script);
    }
}
