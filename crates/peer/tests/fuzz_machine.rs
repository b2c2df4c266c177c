//! The fuzz target of the machine, run in ordinary tests: random scripts of calls, descriptions and
//! candidates.

use proptest::prelude::*;

#[path = "../../../fuzz/bodies/mutation.rs"]
mod mutation;
#[path = "../../../fuzz/bodies/peer.rs"]
mod peer;

use peer::{Reached, Script};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

fn script() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 1..700)
}

fn run(cases: u32, runner: TestRunner) -> Reached {
    let total = std::cell::Cell::new(Reached::default());
    let mut runner = runner;
    runner
        .run(&script(), |script| {
            let (one, sum) = (peer::peers(&script), total.get());
            total.set(Reached {
                steps: sum.steps + one.steps,
                accepted: sum.accepted + one.accepted,
                set: sum.set + one.set,
                agreed: sum.agreed + one.agreed,
                opened: sum.opened + one.opened,
            });
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
    let total = total.get();
    println!("{cases} scripts: {total:?}");
    total
}

/// The same scripts each time, which reach all that they are meant to.
#[test]
fn scripts_of_one_seed_find_nothing() {
    let config = Config { cases: 150, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let Reached { steps, accepted, set, agreed, opened } = run(150, TestRunner::new_with_rng(config, rng));
    assert!(steps > 8000 && accepted > 4000 && set > 200 && agreed > 400 && opened > 0);
}

/// Other scripts each time.
#[test]
fn random_scripts_find_nothing() {
    run(60, TestRunner::new(Config { cases: 60, ..Config::default() }));
}

/// For a while: `cargo test -p columba-peer --test fuzz_machine --release -- --ignored`.
#[test]
#[ignore = "takes minutes"]
fn many_random_scripts_find_nothing() {
    run(20_000, TestRunner::new(Config { cases: 20_000, ..Config::default() }));
}
