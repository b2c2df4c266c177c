//! `cargo xtask test`: everything that must hold before a change lands.

use std::time::Instant;

use crate::step::{self, Count};
use crate::{attack, e2e, install, packages, style};

/// One part of the tests, by the name that `cargo xtask test NAME` takes.
struct Part {
    name: &'static str,
    run: fn() -> (Count, Result<(), String>),
}

const PARTS: &[Part] = &[
    Part { name: "style", run: || check(style::check()) },
    Part { name: "fmt", run: || check(step::run("cargo", &["fmt", "--all", "--check"])) },
    Part { name: "locks", run: || check(locks()) },
    Part { name: "clippy", run: clippy },
    Part { name: "features", run: || check(packages::features()) },
    Part { name: "doc", run: doc },
    Part {
        name: "rust",
        run: || step::counted(step::command("cargo", &["test", "--workspace", "--no-fail-fast"])),
    },
    Part { name: "fuzz-targets", run: fuzz_targets },
    Part { name: "web", run: web },
    Part { name: "attack", run: attack::short },
    Part { name: "e2e", run: e2e::run },
];

/// Runs the named parts, or all, and closes with the line `N passed, N failed, N skipped`.
pub(crate) fn run(names: &[String]) -> Result<(), String> {
    if let Some(unknown) = names.iter().find(|name| PARTS.iter().all(|part| part.name != name.as_str())) {
        let known: Vec<&str> = PARTS.iter().map(|part| part.name).collect();
        return Err(format!("there is no part named '{unknown}'; the parts are {}", known.join(" ")));
    }
    install::everything()?;
    let (mut total, mut faults) = (Count::default(), Vec::new());
    for part in PARTS.iter().filter(|part| is_wanted(part, names)) {
        println!("\n== {} ==", part.name);
        let start = Instant::now();
        let (count, outcome) = (part.run)();
        total.add(count);
        if let Err(sentence) = outcome {
            // A runner that broke before it counted has failed all the same.
            total.failed += u64::from(count.failed == 0);
            eprintln!("{sentence}");
            faults.push(part.name);
        }
        println!("-- {}: {:.0} s", part.name, start.elapsed().as_secs_f64());
    }
    let outcome =
        if faults.is_empty() { Ok(()) } else { Err(format!("these parts failed: {}", faults.join(" "))) };
    if let Err(sentence) = &outcome {
        println!("\n{sentence}");
    }
    println!("{} passed, {} failed, {} skipped", total.passed, total.failed, total.skipped);
    outcome
}

fn is_wanted(part: &Part, names: &[String]) -> bool {
    names.is_empty() || names.iter().any(|name| name == part.name)
}

/// Makes the picture of the call page in `docs/` anew.
pub(crate) fn screenshot() -> Result<(), String> {
    install::everything()?;
    step::run("cargo", &["build", "--release", "--package", "columba-server"])?;
    let mut command = step::command("npm", &["run", "--silent", "screenshot"]);
    command.current_dir(step::top().join("e2e"));
    step::finish(command)
}

/// Writes the table of options in `README.md` anew.
pub(crate) fn options() -> Result<(), String> {
    let mut command = step::command("cargo", &["test", "--package", "columba-server", "readme"]);
    command.env("UPDATE_DOCS", "1");
    step::finish(command)
}

/// Counts a step that either holds or does not.
fn check(outcome: Result<(), String>) -> (Count, Result<(), String>) {
    let count = Count { passed: u64::from(outcome.is_ok()), failed: u64::from(outcome.is_err()), skipped: 0 };
    (count, outcome)
}

fn clippy() -> (Count, Result<(), String>) {
    check(step::run("cargo", &["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]))
}

/// Checks that the workspaces beside the main one build with the versions of their lock files, also
/// after a change of a crate's dependencies.
fn locks() -> Result<(), String> {
    ["bench/media", "bench/peers", "bench/sctp", "fuzz"].iter().try_for_each(|folder| {
        let manifest = format!("{folder}/Cargo.toml");
        step::run("cargo", &["update", "--workspace", "--locked", "--manifest-path", &manifest])
    })
}

fn doc() -> (Count, Result<(), String>) {
    let mut command =
        step::command("cargo", &["doc", "--workspace", "--no-deps", "--document-private-items"]);
    command.env("RUSTDOCFLAGS", "--deny warnings");
    check(step::finish(command))
}

/// The fuzz targets build with the stable toolchain too; running them is `cargo xtask fuzz`.
fn fuzz_targets() -> (Count, Result<(), String>) {
    check(step::run("cargo", &["check", "--manifest-path", "fuzz/Cargo.toml", "--bins"]))
}

fn web() -> (Count, Result<(), String>) {
    let folder = step::top().join("web");
    let mut types = step::command("npm", &["run", "--silent", "check"]);
    types.current_dir(&folder);
    let (mut count, outcome) = check(step::finish(types));
    if outcome.is_err() {
        return (count, outcome);
    }
    let mut tests = step::command("npm", &["test", "--silent"]);
    tests.current_dir(&folder);
    let (tested, outcome) = step::counted(tests);
    count.add(tested);
    (count, outcome)
}
