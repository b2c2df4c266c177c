//! `cargo xtask attack`: attacks on a fresh server in a network of its own, each with a bystander
//! beside it. Prints a table, and ends with 1 if a promise is broken.
//!
//! Must be run as root in a network namespace of its own (`unshare --net`), because it takes over
//! whole networks there.

mod arena;
mod attacks;
mod bystander;
mod clock;
mod soak;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use arena::Network;
use attacks::{Attack, Outcome};

const USAGE: &str = "columba-e2e-attacker PROGRAM [--short | --soak MINUTES | NAME...]";

fn main() -> ExitCode {
    match run() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(broken) => {
            println!("{broken} promises are broken");
            ExitCode::FAILURE
        }
        Err(sentence) => {
            eprintln!("attack: {sentence}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the attacks that are asked for; the number of broken promises.
fn run() -> Result<usize, String> {
    let mut arguments = std::env::args().skip(1);
    let program = PathBuf::from(arguments.next().ok_or(USAGE)?);
    let names: Vec<String> = arguments.collect();
    if let [mode, from, to] = names.as_slice()
        && mode == bystander::FORWARD
    {
        return bystander::forward(from, to).map(|()| 0);
    }
    raise_file_limit();
    if let [soak, minutes] = names.as_slice()
        && soak == "--soak"
    {
        let minutes: f64 = minutes.parse().map_err(|_| USAGE)?;
        let faults = soak::run(&Network::new()?, &program, Duration::from_secs_f64(minutes * 60.0))?;
        faults.iter().for_each(|fault| println!("BROKEN: {fault}"));
        return Ok(faults.len());
    }
    let wanted = wanted(&names)?;
    let network = Network::new()?;
    println!(
        "{:<18} {:>7} {:>8} {:>8} {:>9} {:>9} {:>7}  note",
        "attack", "loss", "p50", "p99", "peak", "after", "out/in"
    );
    let (mut passed, mut broken) = (0, 0);
    for attack in &wanted {
        match attack.execute(&network, &program) {
            Ok(outcome) => {
                show(attack, &outcome);
                let failed = outcome.report.broken.len();
                broken += failed;
                passed += usize::from(failed == 0);
            }
            Err(sentence) => {
                println!("{:<18} BROKEN: {sentence}", attack.name);
                broken += 1;
            }
        }
    }
    // In the form of Node's test runner, which the other chores count.
    println!("# pass {passed}\n# fail {}", wanted.len() - passed);
    Ok(broken)
}

fn wanted(names: &[String]) -> Result<Vec<Attack>, String> {
    let all = attacks::all();
    let known = || all.iter().map(|attack| attack.name).collect::<Vec<_>>().join(" ");
    if let [short] = names
        && short == "--short"
    {
        return Ok(attacks::all().into_iter().filter(|attack| attack.is_short).collect());
    }
    if let Some(unknown) = names.iter().find(|name| all.iter().all(|attack| attack.name != **name)) {
        return Err(format!("there is no attack '{unknown}'; there are {}", known()));
    }
    let is_wanted = |attack: &Attack| names.is_empty() || names.iter().any(|name| name == attack.name);
    Ok(attacks::all().into_iter().filter(is_wanted).collect())
}

fn show(attack: &Attack, outcome: &Outcome) {
    let ms = |permille| {
        let delay = outcome.bystander.permille(permille);
        if delay == Duration::MAX { "-".to_owned() } else { format!("{:.1} ms", delay.as_secs_f64() * 1e3) }
    };
    let mb = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
    let report = &outcome.report;
    let ratio = match report.bytes_out {
        0 => "-".to_owned(),
        out => format!("{:.2}", out as f64 / report.bytes_in.max(1) as f64),
    };
    println!(
        "{:<18} {:>5.1} % {:>8} {:>8} {:>9} {:>9} {:>7}  {} ({:.0} s)",
        attack.name,
        outcome.bystander.loss(),
        ms(500),
        ms(990),
        mb(outcome.peak),
        mb(outcome.resident_after),
        ratio,
        report.note,
        outcome.seconds,
    );
    for sentence in &report.broken {
        println!("{:<18} BROKEN: {sentence}", "");
    }
}

/// Ten thousand connections are as many files on this side.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // With fewer, the larger attacks are smaller.
    let _ = setrlimit(Resource::Nofile, limit);
}
