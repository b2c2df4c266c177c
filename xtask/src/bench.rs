//! `cargo xtask bench`: the benchmarks of `bench/`, the comparisons with others in
//! `bench/peers/`, `bench/sctp/`, `bench/media/` and `bench/signaling/`, and simulations.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use crate::step;

/// Runs one named comparison or simulation.
type Run = fn() -> Result<(), String>;

/// Comparisons and simulations outside `bench/`, which run only if they are named: they build other
/// stacks, or take long.
const NAMED: &[(&str, Run)] = &[
    ("signaling", signaling),
    ("peers", peers),
    ("sctp", sctp),
    ("sctp-loss", || {
        let manifest = ["--release", "--locked", "--manifest-path", "bench/sctp/Cargo.toml"];
        step::run("cargo", &[["run"].as_slice(), &manifest, &["--bin=links"]].concat())
    }),
    ("sctp-sim", simulate),
    ("rtp", || media("memory")),
    ("media", || ["forward", "tracks", "sockets"].into_iter().try_for_each(media)),
    ("negotiation", negotiation),
    ("turn", turn),
    ("files", files),
];

/// The other programs that send files.
const CROC: &str = "github.com/schollz/croc/v10@v10.7.0";
const WORMHOLE: &[&str] = &["magic-wormhole==0.24.0", "magic-wormhole-mailbox-server==0.8.0"];

/// The folder of the sources that are changed before they are measured.
const VENDORED: &str = "target/bench-sctp-vendor";

/// The document that the comparison of data channels writes.
const BENCHMARKS: &str = "docs/benchmarks.md";

/// Sets our data channels beside other stacks', and writes the tables.
fn peers() -> Result<(), String> {
    let run = ["run", "--release", "--locked", "--manifest-path", "bench/peers/Cargo.toml"];
    let output = step::command("cargo", &run).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("cargo: {error}"))?;
    let document = String::from_utf8_lossy(&output.stdout);
    print!("{document}");
    if !output.status.success() {
        return Err(format!("not everything was measured; {BENCHMARKS} stays as it is"));
    }
    fs::write(step::top().join(BENCHMARKS), document.trim_end().to_owned() + "\n")
        .map_err(|error| format!("{BENCHMARKS}: {error}"))
}

/// Runs all benchmarks, or those named.
pub(crate) fn run(names: &[String]) -> Result<(), String> {
    let mut benches = Vec::new();
    for name in names {
        match NAMED.iter().find(|(own, _)| own == name) {
            Some((_, run)) => run()?,
            None => benches.push(name.as_str()),
        }
    }
    if benches.is_empty() && !names.is_empty() {
        return Ok(());
    }
    let mut arguments = vec!["bench", "--package", "columba-bench"];
    for name in benches {
        arguments.extend(["--bench", name]);
    }
    step::run("cargo", &arguments)
}

/// Measures `columba serve` beside the server of PeerJS, which is installed from the lock file.
fn signaling() -> Result<(), String> {
    let folder = step::top().join("bench/signaling");
    let mut install = step::command("npm", &["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
    install.current_dir(&folder);
    step::finish(install)?;
    step::run("cargo", &["build", "--release", "--package", "columba-server"])?;
    // Each connection is a file at both ends.
    let script = "ulimit -n \"$(ulimit -Hn)\" && exec node run.js \"$1\"";
    let program = step::top().join("target/release/columba");
    let mut measure = step::command("sh", &["-c", script, "sh", &program.to_string_lossy()]);
    measure.current_dir(&folder);
    step::finish(measure)
}

/// Measures offers and answers, and whole connections in memory, on one core.
fn negotiation() -> Result<(), String> {
    step::run("cargo", &["build", "--release", "--package", "columba-bench-negotiation"])?;
    let program = step::top().join("target/release/columba-bench-negotiation");
    step::run("taskset", &["-c", "1", &program.to_string_lossy()])
}

/// Runs one of the programs that set our media beside other stacks'.
fn media(program: &str) -> Result<(), String> {
    let manifest = ["--release", "--locked", "--manifest-path", "bench/media/Cargo.toml", "--bin", program];
    step::run("cargo", &[["run"].as_slice(), &manifest].concat())
}

/// Measures our TURN server beside coturn and a bare forwarder: the servers on the first core, the
/// load on the second.
fn turn() -> Result<(), String> {
    let packages = ["--package", "columba-server", "--package", "columba-bench-turn"];
    step::run("cargo", &[["build", "--release"].as_slice(), &packages].concat())?;
    let built = step::top().join("target/release");
    let (bench, program) = (built.join("columba-bench-turn"), built.join("columba"));
    step::run("taskset", &["-c", "1", &bench.to_string_lossy(), &program.to_string_lossy()])
}

/// Measures `columba send` beside croc, magic-wormhole and a sender over quinn, which are installed
/// in `target/bench-files`.
fn files() -> Result<(), String> {
    let tools = step::top().join("target/bench-files");
    let text = |path: &Path| path.to_string_lossy().into_owned();
    if !tools.join("bin/croc").exists() {
        let mut croc = step::command("go", &["install", CROC]);
        croc.env("GOBIN", tools.join("bin"));
        step::finish(croc)?;
    }
    let (venv, python) = (tools.join("venv"), tools.join("venv/bin/python"));
    if !venv.join("bin/wormhole").exists() {
        step::run("python3", &["-m", "venv", &text(&venv)])?;
        step::run(&text(&python), &[["-m", "pip", "install", "--quiet"].as_slice(), WORMHOLE].concat())?;
    }
    step::run("cargo", &["build", "--release", "--package", "columba-server"])?;
    step::run("cargo", &["build", "--release", "--locked", "--manifest-path", "bench/files/Cargo.toml"])?;
    let script = step::top().join("bench/files/run.js");
    step::run("node", &[&text(&script)])
}

/// Measures our SCTP in memory beside other engines, and then alone.
fn sctp() -> Result<(), String> {
    let manifest = ["--locked", "--manifest-path", "bench/sctp/Cargo.toml"];
    step::run("cargo", &[["vendor", "--quiet"].as_slice(), &manifest, &[VENDORED]].concat())?;
    silence_dcsctp(&step::top().join(VENDORED).join("dcsctp"))
        .map_err(|error| format!("dcsctp's source is not as expected: {error}"))?;
    let sources = [
        "--config=source.crates-io.replace-with='vendored'",
        &format!("--config=source.vendored.directory='{VENDORED}'"),
    ];
    step::run("cargo", &[["run", "--release"].as_slice(), &sources, &manifest, &["--bin=memory"]].concat())?;
    step::run("cargo", &["bench", "--package", "columba-bench", "--bench", "sctp"])
}

/// Removes dcsctp's hexadecimal dump of every packet, which it makes even while logging is off: it
/// takes nine tenths of the time, and says nothing about the engine.
fn silence_dcsctp(source: &Path) -> std::io::Result<()> {
    let path = source.join("src/lib.rs");
    let text = fs::read_to_string(&path)?;
    let (head, body) = text
        .split_once("pub fn log_packet")
        .and_then(|(head, rest)| Some((head, rest.split_once(" {\n")?)))
        .ok_or_else(|| std::io::Error::other("no log_packet in it"))?;
    let silence = "if !log::log_enabled!(log::Level::Info) { return; }";
    fs::write(&path, format!("{head}pub fn log_packet{} {{\n{silence}\n{}", body.0, body.1))?;
    // cargo checks a vendored source against the digests that are listed; none is then.
    let path = source.join(".cargo-checksum.json");
    let text = fs::read_to_string(&path)?;
    let package =
        text.find("\"package\"").ok_or_else(|| std::io::Error::other("no digest of the package"))?;
    fs::write(&path, format!("{{\"files\":{{}},{}", &text[package..]))
}

/// Checks SCTP's goals over long, fast and lossy paths in virtual time, and prints them as a table.
fn simulate() -> Result<(), String> {
    let test = ["test", "--release", "--package", "columba-sctp", "--test", "goals"];
    let options = ["--", "--ignored", "--nocapture", "--test-threads", "1"];
    step::run("cargo", &[test.as_slice(), &options].concat())
}
