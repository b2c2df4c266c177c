//! The program `columba`: call page, signaling, STUN and TURN in one process, and the commands of a
//! peer.

mod announce;
mod chat;
mod cli;
mod client;
mod config;
mod drain;
mod failure;
mod http;
mod logging;
mod memory;
mod metrics;
mod places;
mod serve;
mod signal;
mod supervision;
mod terminal;
mod tls;
mod turn;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(std::env::args_os().skip(1).collect())
}
