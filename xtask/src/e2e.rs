//! `cargo xtask test e2e`: real browsers, NATs and other implementations against our programs.

use std::fs;
use std::iter;
use std::panic;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use crate::install;
use crate::programs::Profile;
use crate::step::{self, Count};

/// The ending of the files of tests.
const ENDING: &str = ".test.js";

/// The counts of a run, and an error if something failed.
type Outcome = (Count, Result<(), String>);

/// The collisions of each pair in the long storms.
const COLLISIONS: &str = "1000";

/// The number of suites that run at once. Each waits for other processes most of its time, and has
/// network namespaces of its own.
const AT_ONCE: usize = 2;

/// Builds the programs, checks the types of the tests, and runs the suites. The programs are those
/// of a debug build, which costs little after the Rust tests, and checks what it assumes.
pub(crate) fn run() -> Outcome {
    let (folder, profile) = (folder(), Profile::Debug);
    match build(&folder, profile).and_then(|()| suites(&folder)) {
        Ok(suites) => {
            each(&suites, |suite| step::counted_in_one_piece(node(&folder, profile, &[&path(suite)])))
        }
        Err(sentence) => (Count { failed: 1, ..Count::default() }, Err(sentence)),
    }
}

/// `cargo xtask interop negotiation`: the storms of glare with many collisions.
/// `cargo xtask interop dtls`: our DTLS with every other, in all that both can, with a table.
/// `cargo xtask interop media`: our media with every other, in both roles, and over lossy paths.
pub(crate) fn interop(arguments: &[String]) -> Result<(), String> {
    let (suite, (name, value)) = match arguments {
        [what] if what == "negotiation" => (what, ("GLARES", COLLISIONS)),
        [what, number] if what == "negotiation" && number.parse::<u32>().is_ok() => {
            (what, ("GLARES", number.as_str()))
        }
        [what] if what == "dtls" => (what, ("DTLS_MATRIX", "whole")),
        [what] if what == "media" => (what, ("MEDIA_PEERS", "whole")),
        _ => {
            return Err(
                "the arguments of this chore are 'negotiation' and a number of collisions, 'dtls', or \
                 'media'"
                    .to_owned(),
            );
        }
    };
    install::debian_packages()?;
    let suite = match suite.as_str() {
        "dtls" => "dtls-peers",
        "media" => "media-peers",
        other => other,
    };
    let folder = folder();
    build(&folder, Profile::Release)?;
    let mut tests = node(&folder, Profile::Release, &["--test-reporter=spec", &path(suite)]);
    tests.env(name, value);
    step::finish(tests)
}

/// The folder of the end-to-end tests.
pub(crate) fn folder() -> PathBuf {
    step::top().join("e2e")
}

/// The file of a suite, from the folder of the end-to-end tests.
pub(crate) fn path(suite: &str) -> String {
    format!("tests/{suite}{ENDING}")
}

/// Builds the programs under test, and checks the types of the tests.
pub(crate) fn build(folder: &Path, profile: Profile) -> Result<(), String> {
    profile.build_e2e()?;
    let mut types = step::command("npm", &["run", "--silent", "check"]);
    types.current_dir(folder);
    step::finish(types)
}

/// Node's test runner in the folder of the tests, with the programs of a profile.
pub(crate) fn node(folder: &Path, profile: Profile, words: &[&str]) -> Command {
    let mut tests = step::command("node", &[["--test"].as_slice(), words].concat());
    tests.current_dir(folder).env("COLUMBA_BIN", profile.columba());
    tests
}

/// The suites: the names of the test files without their ending, in order.
pub(crate) fn suites(folder: &Path) -> Result<Vec<String>, String> {
    let files = fs::read_dir(folder.join("tests")).map_err(|error| format!("e2e/tests: {error}"))?;
    let names = files.flatten().map(|file| file.file_name().to_string_lossy().into_owned());
    let mut suites: Vec<String> =
        names.filter_map(|name| Some(name.strip_suffix(ENDING)?.to_owned())).collect();
    suites.sort();
    Ok(suites)
}

/// Runs every suite once, [`AT_ONCE`] at a time, after a failure the others all the same.
fn each(suites: &[String], run: impl Fn(&str) -> Outcome + Sync) -> Outcome {
    let waiting = Mutex::new(suites.iter());
    let next = || waiting.lock().ok().and_then(|mut waiting| waiting.next());
    let work = || -> Vec<_> { iter::from_fn(next).map(|suite| (suite.as_str(), run(suite))).collect() };
    let mut outcomes: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap_or_else(|panic| panic::resume_unwind(panic)))
            .collect()
    });
    outcomes.sort_by_key(|(suite, _)| *suite);
    let (mut total, mut failed) = (Count::default(), Vec::new());
    for (suite, (count, outcome)) in outcomes {
        total.add(count);
        if let Err(sentence) = outcome {
            total.failed += u64::from(count.failed == 0);
            eprintln!("{sentence}");
            failed.push(suite);
        }
    }
    let outcome =
        if failed.is_empty() { Ok(()) } else { Err(format!("these suites failed: {}", failed.join(" "))) };
    (total, outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the suites a, b and c of two tests each; in those named in `failing` one fails.
    fn outcome_of(failing: &[&str], failed: u64) -> (Vec<String>, Outcome) {
        let suites = ["a", "b", "c"].map(str::to_owned);
        let runs = Mutex::new(Vec::new());
        let outcome = each(&suites, |suite| {
            runs.lock().expect("no worker panics").push(suite.to_owned());
            if failing.contains(&suite) {
                (Count { passed: 1, failed, ..Count::default() }, Err("ended with 1".to_owned()))
            } else {
                (Count { passed: 2, ..Count::default() }, Ok(()))
            }
        });
        let mut runs = runs.into_inner().expect("no worker panics");
        runs.sort();
        (runs, outcome)
    }

    #[test]
    fn every_suite_runs_once() {
        let (runs, outcome) = outcome_of(&[], 0);
        assert_eq!(runs, ["a", "b", "c"]);
        assert_eq!(outcome, (Count { passed: 6, ..Count::default() }, Ok(())));
    }

    #[test]
    fn failing_suites_fail_the_run_and_the_others_still_run() {
        let (runs, (count, outcome)) = outcome_of(&["a", "c"], 1);
        assert_eq!(runs, ["a", "b", "c"]);
        assert_eq!(count, Count { passed: 4, failed: 2, skipped: 0 });
        assert_eq!(outcome, Err("these suites failed: a c".to_owned()));
    }

    #[test]
    fn suite_that_ends_before_it_counts_is_one_failure() {
        let (_, (count, outcome)) = outcome_of(&["b"], 0);
        assert_eq!(count, Count { passed: 5, failed: 1, skipped: 0 });
        assert_eq!(outcome, Err("these suites failed: b".to_owned()));
    }
}
