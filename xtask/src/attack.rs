//! `cargo xtask attack`: attacks on the server in a network of its own; and `cargo xtask soak
//! serve`.

use std::process::Command;

use crate::step::{self, Count};

/// Runs the named attacks, or all.
pub(crate) fn run(names: &[String]) -> Result<(), String> {
    build()?;
    step::finish(attacker(names)?)
}

/// The attacks that are part of the tests.
pub(crate) fn short() -> (Count, Result<(), String>) {
    let failed = |sentence| (Count { failed: 1, ..Count::default() }, Err(sentence));
    match attacker(&["--short".to_owned()]) {
        Err(sentence) => {
            println!("skipped: {sentence}");
            (Count { skipped: 1, ..Count::default() }, Ok(()))
        }
        Ok(command) => match build() {
            Ok(()) => step::counted(command),
            Err(sentence) => failed(sentence),
        },
    }
}

/// Mixed churn for so many minutes, after which the server must have released everything.
pub(crate) fn soak(arguments: &[String]) -> Result<(), String> {
    let minutes = match arguments {
        [] => "30",
        [minutes] if minutes.parse::<f64>().is_ok() => minutes,
        _ => return Err("the only argument of this chore is a number of minutes".to_owned()),
    };
    build()?;
    step::finish(attacker(&["--soak".to_owned(), minutes.to_owned()])?)
}

fn build() -> Result<(), String> {
    let packages = ["--package", "columba-server", "--package", "columba-e2e-attacker"];
    step::run("cargo", &[["build", "--release"].as_slice(), &packages].concat())
}

/// The attacker in a network namespace of its own.
fn attacker(arguments: &[String]) -> Result<Command, String> {
    let can = Command::new("unshare").args(["--net", "ip", "link", "set", "lo", "up"]).output();
    if !can.is_ok_and(|output| output.status.success()) {
        return Err("network namespaces need root on Linux, unshare and ip".to_owned());
    }
    let mut command = step::command("unshare", &["--net", "target/release/columba-e2e-attacker"]);
    command.arg("target/release/columba").args(arguments);
    Ok(command)
}
