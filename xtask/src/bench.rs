//! `cargo xtask bench`: the benchmarks of `bench/`, and the comparison with other stacks in `bench/peers/`.

use crate::step;

/// The name that stands for the comparison.
const PEERS: &str = "peers";

/// Runs all benchmarks, or those named; the comparison, which builds other stacks, only if it is named.
pub(crate) fn run(names: &[String]) -> Result<(), String> {
    let (peers, benches): (Vec<_>, Vec<_>) = names.iter().partition(|name| *name == PEERS);
    if !benches.is_empty() || names.is_empty() {
        let mut arguments = vec!["bench", "--package", "columba-bench"];
        for name in benches {
            arguments.extend(["--bench", name]);
        }
        step::run("cargo", &arguments)?;
    }
    if peers.is_empty() {
        return Ok(());
    }
    let mut cargo = step::command("cargo", &["run", "--release", "--locked", "--manifest-path"]);
    cargo.arg("bench/peers/Cargo.toml");
    step::finish(cargo)
}
