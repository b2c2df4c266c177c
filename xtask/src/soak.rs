//! `cargo xtask soak`: long and repeated runs, for faults that `cargo xtask test` does not find.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::programs::Profile;
use crate::{attack, e2e, install, step};

/// Rounds of each suite under each load by default.
const ROUNDS: u32 = 5;

/// The name that stands for a suite which ended without naming a test.
const WHOLE_SUITE: &str = "(the suite itself)";

/// Runs the named soak.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    match arguments.split_first() {
        Some((name, peers)) if name == "sctp" => sctp(peers),
        Some((name, rest)) if name == "e2e" => e2e(rest),
        Some((name, rest)) if name == "serve" => attack::soak(rest),
        Some((name, rest)) if name == "files" => files(rest),
        _ => Err("the soaks are sctp, e2e, serve and files".to_owned()),
    }
}

/// Data channels with other implementations, of which `cargo xtask test e2e` has short runs.
fn sctp(peers: &[String]) -> Result<(), String> {
    install::everything()?;
    let programs = ["--package", "columba-server", "--package", "columba-e2e-peer"];
    step::run("cargo", &[["build", "--release"].as_slice(), &programs].concat())?;
    let words: Vec<&str> =
        ["scenarios/soak.js"].into_iter().chain(peers.iter().map(String::as_str)).collect();
    let mut soak = step::command("node", &words);
    soak.current_dir(e2e::folder());
    step::finish(soak)
}

/// Files of all kinds, sides that are killed at every step, every pair of NATs, and networks that
/// change in the middle of a large file.
fn files(arguments: &[String]) -> Result<(), String> {
    install::everything()?;
    step::run("cargo", &["build", "--release", "--package", "columba-server"])?;
    let words: Vec<&str> =
        ["scenarios/soak-files.js"].into_iter().chain(arguments.iter().map(String::as_str)).collect();
    let mut soak = step::command("node", &words);
    soak.current_dir(e2e::folder());
    step::finish(soak)
}

/// The named end-to-end suites, or all, again and again: alone and with every core loaded, or only
/// one of the two. With `--debug` the programs are those of a debug build.
fn e2e(arguments: &[String]) -> Result<(), String> {
    let folder = e2e::folder();
    let Soak { suites, rounds, loads, profile } = chosen(arguments, e2e::suites(&folder)?)?;
    install::everything()?;
    e2e::build(&folder, profile)?;
    let kept = kept_folder()?;
    let mut results: Vec<_> = suites.iter().map(|suite| Results::new(suite)).collect();
    for round in 1..=rounds {
        for results in &mut results {
            for &load in &loads {
                let start = Instant::now();
                let failed = run_suite(&folder, profile, &kept, &results.suite, load, round)?;
                let outcome = if failed.is_some() { "failed" } else { "passed" };
                let seconds = start.elapsed().as_secs();
                println!("{} {load}, round {round} of {rounds}: {outcome} after {seconds} s", results.suite);
                results.add(load, failed);
            }
        }
        // A soak that is interrupted has its table, too.
        write(&kept.join("table.md"), &table(&results))?;
    }
    println!("\n{}", table(&results));
    let failures: u32 = results.iter().map(Results::failures).sum();
    if failures == 0 {
        Ok(())
    } else {
        Err(format!("{failures} runs failed; their output is in {}", kept.display()))
    }
}

/// A soak of suites, as the command line asks for it.
#[derive(Debug, PartialEq, Eq)]
struct Soak {
    suites: Vec<String>,
    rounds: u32,
    loads: Vec<Load>,
    profile: Profile,
}

/// The soak that the command line asks for, of these suites.
fn chosen(arguments: &[String], all: Vec<String>) -> Result<Soak, String> {
    let both = vec![Load::Alone, Load::Loaded];
    let mut soak = Soak { suites: Vec::new(), rounds: ROUNDS, loads: both, profile: Profile::Release };
    for argument in arguments {
        match argument.as_str() {
            "--alone" => soak.loads = vec![Load::Alone],
            "--loaded" => soak.loads = vec![Load::Loaded],
            "--debug" => soak.profile = Profile::Debug,
            suite if all.iter().any(|name| name == suite) => soak.suites.push(suite.to_owned()),
            number => {
                soak.rounds = number.parse().ok().filter(|rounds| *rounds > 0).ok_or_else(|| {
                    format!(
                        "'{argument}' is neither a number of rounds nor a suite nor --alone, --loaded or \
                         --debug; the suites are {}",
                        all.join(" ")
                    )
                })?;
            }
        }
    }
    if soak.suites.is_empty() {
        soak.suites = all;
    }
    Ok(soak)
}

/// A new folder for the output of failures.
fn kept_folder() -> Result<PathBuf, String> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let folder = step::top().join(format!("target/soak/e2e-{seconds}"));
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder)
}

/// Runs a suite once. Returns what failed: the names of the tests, and the file of the output.
fn run_suite(
    folder: &Path,
    profile: Profile,
    kept: &Path,
    suite: &str,
    load: Load,
    round: u32,
) -> Result<Option<(Vec<String>, PathBuf)>, String> {
    let output = kept.join(format!("{suite}-{load}-{round}.log"));
    let names = output.with_extension("failed");
    let fault = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let file = File::create(&output).map_err(|error| fault(&output, error))?;
    let both = file.try_clone().map_err(|error| fault(&output, error))?;
    let reporters = [
        "--test-reporter=spec",
        "--test-reporter-destination=stdout",
        "--test-reporter=./lab/failed-tests.js",
        &format!("--test-reporter-destination={}", names.display()),
    ];
    let mut tests = e2e::node(folder, profile, &[reporters.as_slice(), &[&e2e::path(suite)]].concat());
    // Nothing is skipped in silence.
    tests.env("CI", "true").stdout(Stdio::from(file)).stderr(Stdio::from(both));
    let busy = (load == Load::Loaded).then(BusyLoops::start);
    let status = tests.status().map_err(|error| format!("node could not be started: {error}"))?;
    drop(busy);
    let failed = fs::read_to_string(&names).unwrap_or_default();
    fs::remove_file(&names).ok();
    if status.success() {
        fs::remove_file(&output).map_err(|error| fault(&output, error))?;
        return Ok(None);
    }
    Ok(Some((failed.lines().map(str::to_owned).collect(), output)))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// The load of the machine while a suite runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Load {
    /// Nothing of ours.
    Alone,
    /// A busy loop for each core.
    Loaded,
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alone => "alone",
            Self::Loaded => "loaded",
        })
    }
}

/// A busy loop for each core, until it is dropped.
struct BusyLoops {
    ended: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl BusyLoops {
    fn start() -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let busy = |_| {
            let ended = ended.clone();
            thread::spawn(move || while !ended.load(Ordering::Relaxed) {})
        };
        let threads = (0..cores).map(busy).collect();
        Self { ended, threads }
    }
}

impl Drop for BusyLoops {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A loop that does nothing does not panic.
            thread.join().ok();
        }
    }
}

/// The runs of one suite.
#[derive(Debug)]
struct Results {
    suite: String,
    alone: Runs,
    loaded: Runs,
    /// The number of failures of each test.
    tests: BTreeMap<String, u32>,
    outputs: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Runs {
    rounds: u32,
    failures: u32,
}

impl Results {
    fn new(suite: &str) -> Self {
        let (alone, loaded) = (Runs::default(), Runs::default());
        Self { suite: suite.to_owned(), alone, loaded, tests: BTreeMap::new(), outputs: Vec::new() }
    }

    const fn failures(&self) -> u32 {
        self.alone.failures + self.loaded.failures
    }

    /// Adds a run, with the tests that failed in it and the file of its output.
    fn add(&mut self, load: Load, failed: Option<(Vec<String>, PathBuf)>) {
        let runs = match load {
            Load::Alone => &mut self.alone,
            Load::Loaded => &mut self.loaded,
        };
        runs.rounds += 1;
        let Some((mut tests, output)) = failed else { return };
        runs.failures += 1;
        self.outputs.push(output);
        if tests.is_empty() {
            tests.push(WHOLE_SUITE.to_owned());
        }
        for test in tests {
            *self.tests.entry(test).or_default() += 1;
        }
    }
}

/// All runs as a table, and below it which tests failed how often, and where their output is.
fn table(results: &[Results]) -> String {
    let mut text =
        "| suite | rounds alone | failed | rounds loaded | failed |\n|---|---|---|---|---|\n".to_owned();
    for Results { suite, alone, loaded, .. } in results {
        // Writing to a string cannot fail.
        _ = writeln!(
            text,
            "| {suite} | {} | {} | {} | {} |",
            alone.rounds, alone.failures, loaded.rounds, loaded.failures
        );
    }
    for Results { suite, tests, outputs, .. } in results.iter().filter(|results| results.failures() > 0) {
        _ = writeln!(text, "\n{suite}:");
        for (test, times) in tests {
            _ = writeln!(text, "- {times} times: {test}");
        }
        for output in outputs {
            _ = writeln!(text, "- output: {}", output.display());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn suites_and_rounds_are_chosen_in_any_order() {
        let all = || words("call peer peer-ipv6");
        let both = || vec![Load::Alone, Load::Loaded];
        let soak = |suites, rounds| Soak { suites, rounds, loads: both(), profile: Profile::Release };
        assert_eq!(chosen(&[], all()), Ok(soak(all(), ROUNDS)));
        assert_eq!(chosen(&words("3"), all()), Ok(soak(all(), 3)));
        assert_eq!(chosen(&words("peer-ipv6 20"), all()), Ok(soak(words("peer-ipv6"), 20)));
        assert_eq!(chosen(&words("2 call peer"), all()), Ok(soak(words("call peer"), 2)));
        for wrong in ["peer-ipv4", "0", "-1", "--load"] {
            assert!(chosen(&words(wrong), all()).is_err_and(|sentence| sentence.contains(wrong)), "{wrong}");
        }
    }

    #[test]
    fn loads_and_the_profile_are_chosen() {
        let chosen = |line: &str| {
            let Soak { loads, profile, rounds, .. } = chosen(&words(line), words("call")).expect("a soak");
            (loads, profile, rounds)
        };
        assert_eq!(chosen("--loaded 7"), (vec![Load::Loaded], Profile::Release, 7));
        assert_eq!(chosen("call --debug --alone"), (vec![Load::Alone], Profile::Debug, ROUNDS));
    }

    #[test]
    fn table_counts_rounds_and_names_failed_tests() {
        let mut call = Results::new("call");
        call.add(Load::Alone, None);
        call.add(Load::Loaded, Some((vec!["a > b".to_owned(), "a > c".to_owned()], "one.log".into())));
        call.add(Load::Loaded, Some((vec!["a > b".to_owned()], "two.log".into())));
        let mut lab = Results::new("lab");
        lab.add(Load::Alone, None);
        let mut nat = Results::new("nat");
        nat.add(Load::Alone, Some((Vec::new(), "three.log".into())));
        let expected = "\
| suite | rounds alone | failed | rounds loaded | failed |
|---|---|---|---|---|
| call | 1 | 0 | 2 | 2 |
| lab | 1 | 0 | 0 | 0 |
| nat | 1 | 1 | 0 | 0 |

call:
- 2 times: a > b
- 1 times: a > c
- output: one.log
- output: two.log

nat:
- 1 times: (the suite itself)
- output: three.log
";
        assert_eq!(table(&[call, lab, nat]), expected);
    }

    #[test]
    fn busy_loops_end_when_dropped() {
        let busy = BusyLoops::start();
        let ended = Arc::downgrade(&busy.ended);
        drop(busy);
        assert!(ended.upgrade().is_none(), "every loop has let go of the flag");
    }
}
