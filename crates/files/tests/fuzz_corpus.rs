//! The fuzz target's body, run in ordinary tests: over the corpus, and over damaged copies of it.
#![allow(missing_docs, reason = "a test")]

use std::path::Path;

use proptest::prelude::*;

#[path = "../../../fuzz/bodies/files.rs"]
mod bodies;

fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/files");
    let files = std::fs::read_dir(folder).expect("the corpus is there").flatten();
    files.map(|file| std::fs::read(file.path()).expect("it can be read")).collect()
}

#[test]
fn corpus_is_survived() {
    let corpus = corpus();
    assert!(corpus.len() >= 2);
    corpus.iter().for_each(|input| bodies::transfer(input));
}

proptest! {
    #[test]
    fn damaged_scripts_are_survived(which in 0..2_usize, at in 0..600_usize, byte in any::<u8>()) {
        let mut input = corpus().swap_remove(which);
        let at = at % input.len();
        input[at] = byte;
        bodies::transfer(&input);
    }
}
