//! `cargo xtask attack`: attacks on the server in a network of its own; and `cargo xtask soak
//! serve`.

use std::process::Command;

use crate::programs::Profile;
use crate::step::{self, Count};

/// Runs the named attacks, or all.
pub(crate) fn run(names: &[String]) -> Result<(), String> {
    let profile = Profile::Release;
    profile.build_attacks()?;
    step::finish(attacker(profile, names)?)
}

/// The attacks that are part of the tests.
pub(crate) fn short() -> (Count, Result<(), String>) {
    let failed = |sentence| (Count { failed: 1, ..Count::default() }, Err(sentence));
    let profile = Profile::Debug;
    match attacker(profile, &["--short".to_owned()]) {
        Err(sentence) => {
            println!("skipped: {sentence}");
            (Count { skipped: 1, ..Count::default() }, Ok(()))
        }
        Ok(command) => match profile.build_attacks() {
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
    let profile = Profile::Release;
    profile.build_attacks()?;
    step::finish(attacker(profile, &["--soak".to_owned(), minutes.to_owned()])?)
}

/// The attacker in a network namespace of its own.
fn attacker(profile: Profile, arguments: &[String]) -> Result<Command, String> {
    let can = Command::new("unshare").args(["--net", "ip", "link", "set", "lo", "up"]).output();
    if !can.is_ok_and(|output| output.status.success()) {
        return Err("network namespaces need root on Linux, unshare and ip".to_owned());
    }
    let mut command = step::command("unshare", &["--net", &profile.program("columba-e2e-attacker")]);
    command.arg(profile.program("columba")).args(arguments);
    Ok(command)
}
