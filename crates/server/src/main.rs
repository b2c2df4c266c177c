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
mod moderation;
mod paste;
mod pipe;
mod places;
mod play;
mod receive;
mod record;
mod send;
mod serve;
mod signal;
mod supervision;
mod terminal;
mod tls;
mod transfer;
mod turn;

use std::process::ExitCode;

/// An allocator that gives memory back to the system soon after it was freed, so that an attack
/// leaves nothing behind.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    cli::run(std::env::args_os().skip(1).collect())
}
