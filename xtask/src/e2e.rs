//! `cargo xtask test e2e`: real browsers, NATs and programs of others, against ours as people run them.

use std::fs;
use std::path::Path;

use crate::step::{self, Count};

/// What a run counted, and whether it held.
type Outcome = (Count, Result<(), String>);

/// Builds the programs, checks the tests' types, and runs one suite after the other.
pub(crate) fn run() -> Outcome {
    let folder = step::top().join("e2e");
    match build(&folder).and_then(|()| suites(&folder)) {
        Ok(suites) => each(&suites, |suite| {
            let mut tests = step::command("node", &["--test", suite]);
            tests.current_dir(&folder);
            step::counted(tests)
        }),
        Err(sentence) => (Count { failed: 1, ..Count::default() }, Err(sentence)),
    }
}

fn build(folder: &Path) -> Result<(), String> {
    let packages = ["columba-server", "columba-e2e-peer", "columba-e2e-ice"];
    let programs = packages.iter().flat_map(|package| ["--package", package]).collect::<Vec<_>>();
    step::run("cargo", &[["build", "--release"].as_slice(), &programs].concat())?;
    let mut types = step::command("npm", &["run", "--silent", "check"]);
    types.current_dir(folder);
    step::finish(types)
}

/// The files of tests, in the order of their names.
fn suites(folder: &Path) -> Result<Vec<String>, String> {
    let files = fs::read_dir(folder.join("tests")).map_err(|error| format!("e2e/tests: {error}"))?;
    let names = files.flatten().map(|file| file.file_name().to_string_lossy().into_owned());
    let mut suites: Vec<String> =
        names.filter(|name| name.ends_with(".test.js")).map(|name| format!("tests/{name}")).collect();
    suites.sort();
    Ok(suites)
}

/// Browsers and kernels do not run in virtual time: a suite that fails is tried once more, and named in the end either way.
fn each(suites: &[String], mut run: impl FnMut(&str) -> Outcome) -> Outcome {
    let (mut total, mut failed, mut unsteady) = (Count::default(), Vec::new(), Vec::new());
    for suite in suites {
        let (mut count, mut outcome) = run(suite);
        if outcome.is_err() {
            println!("{suite} failed; once more:");
            unsteady.push(suite.as_str());
            (count, outcome) = run(suite);
        }
        total.add(count);
        if let Err(sentence) = outcome {
            total.failed += u64::from(count.failed == 0);
            eprintln!("{sentence}");
            failed.push(suite.as_str());
        }
    }
    unsteady.retain(|suite| !failed.contains(suite));
    if !unsteady.is_empty() {
        println!("unsteady, these held at the second try only: {}", unsteady.join(" "));
    }
    let outcome =
        if failed.is_empty() { Ok(()) } else { Err(format!("these failed twice: {}", failed.join(" "))) };
    (total, outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs suites of one test each, of which those in `fails` fail so often.
    fn tried(fails: &[(&str, u32)]) -> (Vec<String>, Outcome) {
        let suites = ["a", "b"].map(str::to_owned);
        let mut runs = Vec::new();
        let outcome = each(&suites, |suite| {
            runs.push(suite.to_owned());
            let tries = runs.iter().filter(|run| *run == suite).count();
            if fails.iter().any(|&(name, times)| name == suite && tries <= times as usize) {
                (Count { failed: 1, ..Count::default() }, Err("ended".to_owned()))
            } else {
                (Count { passed: 1, ..Count::default() }, Ok(()))
            }
        });
        (runs, outcome)
    }

    #[test]
    fn what_holds_runs_once() {
        let (runs, outcome) = tried(&[]);
        assert_eq!(runs, ["a", "b"]);
        assert_eq!(outcome, (Count { passed: 2, ..Count::default() }, Ok(())));
    }

    #[test]
    fn what_fails_once_is_tried_again_and_counts_as_it_was_then() {
        let (runs, outcome) = tried(&[("a", 1)]);
        assert_eq!(runs, ["a", "a", "b"]);
        assert_eq!(outcome, (Count { passed: 2, ..Count::default() }, Ok(())));
    }

    #[test]
    fn what_fails_twice_has_failed_and_the_others_run_all_the_same() {
        let (runs, (count, outcome)) = tried(&[("a", 2)]);
        assert_eq!(runs, ["a", "a", "b"]);
        assert_eq!(count, Count { passed: 1, failed: 1, skipped: 0 });
        assert_eq!(outcome, Err("these failed twice: a".to_owned()));
    }
}
