//! The fuzz target's body, run in ordinary tests: over the corpus, over scripts put together from
//! its lines, over damaged copies, over nonsense.

use std::path::Path;

use proptest::prelude::*;

#[path = "../../../fuzz/bodies/signal.rs"]
mod bodies;

fn corpus() -> Vec<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/signal_relay");
    let mut paths: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| String::from_utf8(std::fs::read(path).unwrap()).unwrap()).collect()
}

fn lines() -> Vec<String> {
    corpus().iter().flat_map(|script| script.lines()).map(str::to_owned).collect()
}

#[test]
fn the_corpus_passes() {
    assert!(corpus().len() >= 5);
    corpus().iter().for_each(|script| bodies::relay(script.as_bytes()));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn lines_in_any_order_pass(lines in prop::collection::vec(prop::sample::select(lines()), 0..100)) {
        bodies::relay(format!("c\nc\n{}", lines.join("\n")).as_bytes());
    }

    #[test]
    fn damaged_scripts_pass(
        script in prop::sample::select(corpus()),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0x20..0x7f_u8), 0..10),
    ) {
        let mut script = script.into_bytes();
        for (index, byte) in edits {
            let index = index.index(script.len());
            script[index] = byte;
        }
        bodies::relay(&script);
    }

    #[test]
    fn nonsense_passes(message in ".{0,200}") {
        bodies::relay(format!("c\n0{message}\nj{message}\nh0").as_bytes());
    }
}
