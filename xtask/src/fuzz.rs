//! `cargo xtask fuzz`: runs every fuzz target for a while.

use crate::{install, step};

/// The seconds that each target runs by default.
const SECONDS: &str = "60";

/// Runs every target of `fuzz/` for the given number of seconds.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let seconds = arguments.first().map_or(SECONDS, String::as_str);
    if seconds.parse::<u32>().is_err() {
        return Err(format!("'{seconds}' is not a number of seconds"));
    }
    install::cargo_tool("cargo-fuzz")?;
    let limit = format!("-max_total_time={seconds}");
    for target in targets()? {
        step::run("cargo", &["+nightly", "fuzz", "run", &target, "--", &limit])?;
    }
    Ok(())
}

fn targets() -> Result<Vec<String>, String> {
    let folder = step::top().join("fuzz/fuzz_targets");
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("fuzz/fuzz_targets: {error}"))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.strip_suffix(".rs")?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}
