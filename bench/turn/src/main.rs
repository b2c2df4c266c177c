//! Our TURN server, coturn and a bare forwarder, one after the other under the same load: the
//! server on one core, the load on another. What counts is the server's own processor time for
//! each packet, request or allocation, since that is what a busy machine does not blur.
//!
//! `cargo xtask bench turn` builds the program and runs this; coturn is Debian's package.

mod client;
mod load;
mod servers;

use std::process::ExitCode;

use load::{Load, Report};
use servers::{Kind, Server};

/// The loads that each server gets.
const LOADS: [Load; 6] = [
    Load::Up { payload: 160 },
    Load::Up { payload: 1200 },
    Load::Echo { payload: 160 },
    Load::Pair { payload: 160 },
    Load::Pair { payload: 1200 },
    Load::Bursts,
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["forward", from, to] => servers::forward(from, to),
        [program] => measure(program),
        _ => {
            eprintln!("usage: columba-bench-turn PROGRAM; or run cargo xtask bench turn");
            ExitCode::from(2)
        }
    }
}

fn measure(program: &str) -> ExitCode {
    let mut columns = Vec::new();
    for kind in [Kind::Ours, Kind::Coturn, Kind::Forwarder] {
        let rows: Vec<String> = rows(kind, program);
        columns.push(rows);
    }
    println!("| processor time of the server | ours | coturn | bare forwarder |\n|---|---|---|---|");
    let names = LOADS.iter().map(Load::name).chain(
        ["Binding/s for each core, limits open", "allocations/s for each core", "kB for each allocation"]
            .map(str::to_owned),
    );
    for (at, name) in names.enumerate() {
        let cells: Vec<&str> = columns.iter().map(|rows| rows.get(at).map_or("-", String::as_str)).collect();
        println!("| {name} | {} |", cells.join(" | "));
    }
    println!("\nData: µs for each packet that was relayed, and the share of the packets that arrived.");
    ExitCode::SUCCESS
}

fn rows(kind: Kind, program: &str) -> Vec<String> {
    let cell = |report: Result<Report, String>| match report {
        Ok(Report { micros, arrived }) => format!("{micros:.2} µs, {:.1} %", arrived * 100.0),
        Err(reason) => reason,
    };
    let mut rows = Vec::new();
    for load in LOADS {
        rows.push(match Server::start(kind, program) {
            Ok(server) => cell(load::run(&server, load)),
            Err(reason) => reason,
        });
    }
    if kind == Kind::Forwarder {
        return rows;
    }
    for count in [load::bindings, load::allocations, load::memory] {
        rows.push(match Server::start(kind, program) {
            Ok(server) => count(&server).map_or_else(|reason| reason, |value| format!("{value:.1}")),
            Err(reason) => reason,
        });
    }
    rows
}
