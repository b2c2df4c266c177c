//! The long runs of the simulated network; `cargo xtask test` has short ones.

use std::process::Command;

use crate::step;

/// The number of random worlds by default.
const SCENARIOS: &str = "10000";

/// Runs two ICE agents, two peers or calls with media in many random worlds. A world that fails
/// prints its seed, which `NETSIM_SEED` runs again.
pub(crate) fn scenarios(arguments: &[String]) -> Result<(), String> {
    let (test, arguments) = match arguments.split_first() {
        Some((first, rest)) if first == "peers" => (("columba-peer", "storms::"), rest),
        Some((first, rest)) if first == "media" => (("columba-peer", "calls::"), rest),
        _ => (("columba-ice", "scenarios::"), arguments),
    };
    let count = arguments.first().map_or(SCENARIOS, String::as_str);
    if count.parse::<u32>().is_err() {
        return Err(format!("'{count}' is not a number of scenarios"));
    }
    let mut cargo = network_test(test.0, test.1);
    cargo.env("NETSIM_SCENARIOS", count);
    step::finish(cargo)
}

/// Runs every pair of NAT kinds, with all variants, and writes the page in `docs/`.
pub(crate) fn nat_matrix() -> Result<(), String> {
    let mut cargo = network_test("columba-ice", "matrix::");
    cargo.env("NAT_MATRIX", "all").env("UPDATE_DOCS", "1");
    step::finish(cargo)
}

/// Tests of a package over the simulated network, optimized, with their output shown.
fn network_test(package: &str, name: &str) -> Command {
    let test = ["test", "--release", "--package", package, "--test", "network", name];
    step::command("cargo", &[test.as_slice(), &["--", "--nocapture"]].concat())
}
