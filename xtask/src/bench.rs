//! `cargo xtask bench`: the benchmarks of `bench/`.

use crate::step;

/// Runs all benchmarks, or those named.
pub(crate) fn run(names: &[String]) -> Result<(), String> {
    let mut arguments = vec!["bench", "--package", "columba-bench"];
    for name in names {
        arguments.extend(["--bench", name]);
    }
    step::run("cargo", &arguments)
}
