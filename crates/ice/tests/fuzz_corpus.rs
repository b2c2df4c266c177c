//! The fuzz target's body, run in ordinary tests: over the corpus, over damaged copies of it.

use std::path::Path;

use proptest::prelude::*;

#[path = "../../../fuzz/bodies/ice.rs"]
mod bodies;

fn corpus() -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/ice_agent");
    let mut paths: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

#[test]
fn the_corpus_passes() {
    assert!(corpus().len() >= 6);
    let reached = corpus().iter().filter(|script| bodies::agent(script) > 0).count();
    assert!(reached >= 4, "only {reached} scripts lead to a valid pair");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_corpus_passes_damaged_and_shuffled(
        scripts in prop::collection::vec(prop::sample::select(corpus()), 1..5),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20),
    ) {
        let mut script = scripts.concat();
        for (index, byte) in edits {
            let index = index.index(script.len());
            script[index] = byte;
        }
        bodies::agent(&script);
    }

    #[test]
    fn any_script_passes(script in prop::collection::vec(any::<u8>(), 0..500)) {
        bodies::agent(&script);
    }
}
