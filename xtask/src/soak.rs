//! `cargo xtask soak`: much of everything with the implementations of others, of which `cargo xtask test e2e` has short runs.

use crate::{install, step};

/// Runs the named soak; further words name the peers.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let Some((name, peers)) = arguments.split_first().filter(|(name, _)| *name == "sctp") else {
        return Err("there is one soak: sctp".to_owned());
    };
    install::everything()?;
    let programs = ["--package", "columba-server", "--package", "columba-e2e-peer"];
    step::run("cargo", &[["build", "--release"].as_slice(), &programs].concat())?;
    let script = "scenarios/soak.js".to_owned();
    let words: Vec<&str> = [script.as_str()].into_iter().chain(peers.iter().map(String::as_str)).collect();
    let mut soak = step::command("node", &words);
    soak.current_dir(step::top().join("e2e"));
    step::finish(soak)
}
