//! `cargo xtask bench`: the benchmarks of `bench/`, the comparison with other stacks in `bench/peers/`, and simulations.

use crate::step;

/// The name that stands for the comparison.
const PEERS: &str = "peers";

/// The name that stands for SCTP over simulated paths.
const SCTP_SIM: &str = "sctp-sim";

/// Runs all benchmarks, or those named; the comparison, which builds other stacks, and the simulations only if they are named.
pub(crate) fn run(names: &[String]) -> Result<(), String> {
    let (sims, names): (Vec<_>, Vec<_>) = names.iter().partition(|name| *name == SCTP_SIM);
    if !sims.is_empty() {
        simulate()?;
        if names.is_empty() {
            return Ok(());
        }
    }
    let (peers, benches): (Vec<&String>, Vec<_>) = names.iter().partition(|name| **name == PEERS);
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

/// The goals of SCTP over long, fast and lossy paths, in virtual time: a table, and a failure where one is missed.
fn simulate() -> Result<(), String> {
    let test = ["test", "--release", "--package", "columba-sctp", "--test", "goals"];
    let options = ["--", "--ignored", "--nocapture", "--test-threads", "1"];
    step::run("cargo", &[test.as_slice(), &options].concat())
}
