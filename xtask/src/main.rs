//! The project's chores, such as `cargo xtask test`.

mod api;
mod attack;
mod bench;
mod e2e;
mod fuzz;
mod install;
mod names;
mod packages;
mod programs;
mod simulation;
mod soak;
mod step;
mod style;
mod test;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask CHORE

  test [PART...]      install what the tests need and run everything, or only the named parts:
                      style fmt locks clippy features doc rust fuzz-targets web attack e2e
  install             only install what the tests need (Debian packages, npm packages)
  bench [NAME...]     the benchmarks in bench/, all or the named ones; 'peers' sets ours beside other stacks,
                      'sctp' our SCTP in memory beside other engines, 'sctp-sim'
                      holds SCTP to its goals over simulated paths,
                      'sctp-loss' sets it beside other engines over lossy ones,
                      'rtp' sets our SRTP beside the bare ciphers and other stacks,
                      'media' our forwarding, our tracks and our media over sockets beside str0m,
                      'turn' sets our TURN server beside coturn and a bare forwarder,
                      'negotiation' measures offers and answers, and whole connections in memory,
                      'files' sets columba send beside croc, magic-wormhole and a sender over quinn
  attack [NAME...]    attacks on the server in a network and 256 MB of its own, all or the named ones, with a table
                      of the bystanders' loss and delay, memory, and amplification
  fuzz [SECONDS]      every fuzz target in turn for so long (60 s by default), on the nightly toolchain
  interop negotiation [COLLISIONS]
                      perfect negotiation with ours, Chromium and Firefox: so many collisions of each pair (1000 by default)
  interop dtls        our DTLS with GnuTLS, Mbed TLS, OpenSSL, wolfSSL, Pion's, GStreamer's and aiortc's: both roles, all
                      cipher suites and kinds of certificates, narrow paths and paths that lose; with a table
  interop media       our media with Pion, aiortc, libwebrtc in Node.js, Janus, Chromium and Firefox: frames counted both
                      ways, in both roles, over paths that lose 1, 5 and 10 %
  soak sctp [PEER...] our data channels with other implementations: a gigabyte each way, a thousand channels opened
                      and closed again and again, a path that loses; with all, or only the named ones
  soak files [kinds] [kills] [nats] [moves] [MEGABYTES]
                      files of all kinds up to so many megabytes (4096 by default), senders and receivers killed at every
                      step, every pair of NATs, with a shared server and with none, networks and servers that change in the
                      middle of 1 GB; with a table
  soak serve [MINUTES]
                      clients of all kinds come and go at a server (30 minutes by default), and then nothing is left
  soak e2e [--alone|--loaded] [--debug] [SUITE...] [ROUNDS]
                      the end-to-end suites, all or the named ones, again and again (5 rounds by default), alone and
                      with every core loaded; a table says which tests failed how often, and where the output is
  scenarios [peers|media] [COUNT]
                      two ICE agents, two peers in storms of negotiation, or calls with media, in so many
                      random worlds where things go wrong (10,000 by default)
  nat-matrix          every pair of NAT kinds in simulation; writes docs/nat-matrix-simulated.md anew
  screenshot          make the picture of the call page in docs/ anew
  options             write the table of options in README.md anew
  deny [advisories]   licences, duplicates and sources of all dependencies, or known vulnerabilities, for which
                      the advisory database is fetched (installs cargo-deny)
  api [--update]      the public API of each published library, compared with its snapshot in docs/api/
  package [ARGUMENT...] packs every published crate and builds it from its archive";

/// The folders of all workspaces, each with a lock file of its own.
const WORKSPACES: &[&str] = &["", "bench/files/", "bench/media/", "bench/peers/", "bench/sctp/", "fuzz/"];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rest = arguments.get(1..).unwrap_or_default();
    let outcome = match arguments.first().map(String::as_str) {
        _ if api::is_rustdoc() => api::rustdoc(&arguments),
        Some("test") => test::run(rest),
        Some("attack") => attack::run(rest),
        Some("install") => install::everything().map_err(|error| error.to_string()),
        Some("bench") => bench::run(rest),
        Some("fuzz") => fuzz::run(rest),
        Some("interop") => e2e::interop(rest),
        Some("soak") => soak::run(rest),
        Some("scenarios") => simulation::scenarios(rest),
        Some("nat-matrix") => simulation::nat_matrix(),
        Some("screenshot") => test::screenshot(),
        Some("options") => test::options(),
        Some("deny") => deny(rest),
        Some("api") => api::run(rest),
        Some("package") => packages::package(rest),
        Some(other) => {
            eprintln!("xtask: there is no chore named '{other}'\n\n{USAGE}");
            return ExitCode::from(2);
        }
        None => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("xtask: {sentence}");
            ExitCode::FAILURE
        }
    }
}

/// Checks the dependencies with cargo-deny.
fn deny(arguments: &[String]) -> Result<(), String> {
    let checks: &[&str] = match arguments {
        [] => &["licenses", "bans", "sources"],
        [word] if word == "advisories" => &["advisories"],
        _ => return Err("the only argument of this chore is advisories".to_owned()),
    };
    install::cargo_tool("cargo-deny")?;
    WORKSPACES.iter().try_for_each(|folder| {
        let manifest = format!("{folder}Cargo.toml");
        let words = ["deny", "--manifest-path", &manifest, "--workspace", "check", "--hide-inclusion-graph"];
        step::run("cargo", &[words.as_slice(), checks].concat())
    })
}
