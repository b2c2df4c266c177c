//! The fuzz targets' bodies, run in ordinary tests: over the corpus, over scripts put together from
//! its lines, and over damaged copies.
#![allow(missing_docs, reason = "a test")]

use std::path::Path;

use proptest::prelude::*;

#[path = "../../../fuzz/bodies/call.rs"]
mod call;
#[path = "../../../fuzz/bodies/endpoint.rs"]
mod endpoint;

fn corpus(target: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let files = std::fs::read_dir(folder).expect("the corpus is there").flatten();
    let mut texts: Vec<_> = files.map(|file| std::fs::read_to_string(file.path()).expect("a text")).collect();
    texts.sort();
    texts
}

fn lines() -> Vec<String> {
    corpus("endpoint").iter().flat_map(|script| script.lines()).map(str::to_owned).collect()
}

#[test]
fn corpus_is_survived() {
    let (scripts, messages) = (corpus("endpoint"), corpus("call_message"));
    assert!(scripts.len() >= 3 && messages.len() >= 7);
    scripts.iter().for_each(|script| endpoint::endpoint(script.as_bytes()));
    messages.iter().for_each(|text| call::message(text.as_bytes()));
}

fn damaged(text: &str, edits: &[(prop::sample::Index, u8)]) -> Vec<u8> {
    let mut text = text.as_bytes().to_vec();
    for (index, byte) in edits {
        let index = index.index(text.len());
        text[index] = *byte;
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn lines_in_any_order_are_survived(lines in prop::collection::vec(prop::sample::select(lines()), 0..100)) {
        endpoint::endpoint(lines.join("\n").as_bytes());
    }

    #[test]
    fn damaged_scripts_are_survived(
        script in prop::sample::select(corpus("endpoint")),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0x20..0x7f_u8), 0..10),
    ) {
        endpoint::endpoint(&damaged(&script, &edits));
    }

    #[test]
    fn stun_is_read_as_agents_read_it(
        kind in prop::sample::select(vec![0x0001_u16, 0x0101, 0x0111, 0x0011, 0x0003]),
        attributes in prop::collection::vec(
            (
                prop::sample::select(vec![0x0006_u16, 0x0008, 0x001c, 0x0024, 0x8028, 0x8022]),
                prop::sample::select(vec![0_usize, 3, 4, 20, 32]),
            ),
            0..5,
        ),
    ) {
        let values: Vec<String> = attributes
            .iter()
            .map(|(kind, length)| {
                format!("{kind:04x}{length:04x}{}", "3a".repeat(length.next_multiple_of(4)))
            })
            .collect();
        let body = values.concat();
        let datagram = format!("{kind:04x}{:04x}2112a442{}{body}", body.len() / 2, "07".repeat(12));
        endpoint::endpoint(format!("f1 \nd1 {datagram}").as_bytes());
    }

    #[test]
    fn damaged_messages_are_survived(
        text in prop::sample::select(corpus("call_message")),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0x20..0x7f_u8), 0..4),
    ) {
        call::message(&damaged(&text, &edits));
    }

    #[test]
    fn nonsense_is_survived(text in r#"\{"call":\{("(version|attempt|offer|renew|bye|sealed|candidate|description)":([0-9]{1,25}|"x"|null|true|\{\}|\{"candidate":"[a-z ]{0,9}relay"\}),?){0,4}\}\}"#) {
        call::message(text.as_bytes());
    }
}
