//! The fuzz target's body, run in ordinary tests: over the corpus, the recordings, and damaged
//! copies of both.

use std::path::Path;

use proptest::prelude::*;

#[path = "../../../fuzz/bodies/sdp.rs"]
mod bodies;

fn inputs() -> Vec<Vec<u8>> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<_> = [top.join("../../fuzz/corpus/sdp"), top.join("tests/data")]
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

#[test]
fn the_corpus_passes() {
    let inputs = inputs();
    assert!(inputs.len() > 50);
    inputs.iter().for_each(|input| bodies::text(input));
}

/// Some input with a few bytes replaced, or a piece of another put into it.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let inputs = inputs();
    let edits = prop::collection::vec((any::<prop::sample::Index>(), 0x09..0x80_u8), 0..12);
    let splice = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..300_usize);
    let pick = prop::sample::select(inputs);
    (pick.clone(), pick, edits, splice).prop_map(|(mut input, other, edits, (from, to, length))| {
        for (index, byte) in edits {
            let index = index.index(input.len());
            input[index] = byte;
        }
        let (from, to) = (from.index(other.len()), to.index(input.len()));
        let piece = &other[from..(from + length).min(other.len())];
        input.splice(to..to, piece.iter().copied());
        input
    })
}

proptest! {
    #[test]
    fn damage_is_survived(input in damaged()) {
        bodies::text(&input);
    }
}
