//! The page that shows what came out.

use std::path::Path;

use columba_netsim::{Dependence, Nat};

use super::kinds;
use super::oracle::Way;
use super::topologies::Line;

const HEAD: &str = "\
# Which pairs of NATs connect, in simulation

Written by `cargo xtask nat-matrix`, kept true by the tests of `columba-ice`: two agents behind simulated NATs of every kind that RFC 4787 tells apart, with a
STUN server and with a TURN server over UDP and TCP. What must come out is reasoned from the rules of RFC 4787 in
`crates/ice/tests/network/matrix/oracle.rs`, and every cell is compared with it: the best kind of path where there is one, with TURN and
without, and nothing where there is none.

A kind is *mapping/filtering*: **ei** endpoint-independent, **ad** address-dependent, **ap** address-and-port-dependent. So ei/ei is a \"full cone\",
ei/ap \"port restricted\", ap/ap \"symmetric\". Port preservation and hairpin make no difference between two homes; all sixteen combinations of each
cell are tried.

**direct** – with TURN and without; **TCP** – over a connection from one to the other, with TURN and without; **relay** – over one relay with TURN, not at all without.
";

fn letters(dependence: Dependence) -> &'static str {
    match dependence {
        Dependence::EndpointIndependent => "ei",
        Dependence::AddressDependent => "ad",
        Dependence::AddressAndPortDependent => "ap",
    }
}

/// A kind's name in the table.
pub(super) fn name(nat: &Nat) -> String {
    format!("{}/{}", letters(nat.mapping), letters(nat.filtering))
}

fn word(way: Way) -> &'static str {
    match way {
        Way::Direct => "direct",
        Way::Connection => "TCP",
        Way::OneRelay => "relay",
        Way::TwoRelays => "two relays",
        Way::Nothing => "–",
    }
}

/// The whole page.
pub(super) fn page(pairs: &[Vec<Way>], worlds: &[Line]) -> String {
    let names: Vec<String> = kinds().iter().map(name).collect();
    let mut page = format!("{HEAD}\n| | {} |\n|---|{}\n", names.join(" | "), "---|".repeat(names.len()));
    for (name, ways) in names.iter().zip(pairs) {
        let cells: Vec<&str> = ways.iter().map(|way| word(*way)).collect();
        page += &format!("| **{name}** | {} |\n", cells.join(" | "));
    }
    page += "\nOther worlds, of which each has several; the best paths that came out, with TURN:\n\n| world | ways |\n|---|---|\n";
    for line in worlds {
        page += &format!("| {} | {} |\n", line.world, words(&line.ways));
    }
    page
}

/// The paths that came out, each once, best first.
fn words(ways: &[Way]) -> String {
    let all = [Way::Direct, Way::Connection, Way::OneRelay, Way::TwoRelays, Way::Nothing];
    let found: Vec<&str> = all.into_iter().filter(|way| ways.contains(way)).map(word).collect();
    found.join(", ")
}

/// Compares the page with the one in `docs/`, or writes it there where `UPDATE_DOCS` is set.
pub(super) fn keep(page: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/nat-matrix-simulated.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, page).expect("docs/ can be written to");
        return;
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == page, "docs/nat-matrix-simulated.md is not what comes out: run cargo xtask nat-matrix");
}
