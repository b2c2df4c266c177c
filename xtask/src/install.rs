//! Debian packages and npm packages that the tests need beyond Rust and a C compiler.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::step;

/// Debian packages, each with a file that shows that it is installed already.
const PACKAGES: &[(&str, &str)] = &[
    ("chromium", "/usr/bin/chromium"),
    ("conntrack", "/usr/sbin/conntrack"),
    ("coturn", "/usr/bin/turnutils_uclient"),
    ("curl", "/usr/bin/curl"),
    ("ffmpeg", "/usr/bin/ffprobe"),
    ("firefox-esr", "/usr/bin/firefox-esr"),
    ("fonts-dejavu-core", "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"),
    ("gir1.2-gst-plugins-bad-1.0", "/usr/share/doc/gir1.2-gst-plugins-bad-1.0/copyright"),
    ("gir1.2-nice-0.1", "/usr/share/doc/gir1.2-nice-0.1/copyright"),
    ("gstreamer1.0-nice", "/usr/share/doc/gstreamer1.0-nice/copyright"),
    ("janus", "/usr/bin/janus"),
    ("gstreamer1.0-plugins-bad", "/usr/share/doc/gstreamer1.0-plugins-bad/copyright"),
    ("iproute2", "/usr/sbin/ip"),
    ("libgnutls28-dev", "/usr/include/gnutls/dtls.h"),
    ("libmbedtls-dev", "/usr/include/mbedtls/ssl.h"),
    ("libnss3-tools", "/usr/bin/certutil"),
    ("libssl-dev", "/usr/include/openssl/ssl.h"),
    ("libwolfssl-dev", "/usr/include/wolfssl/ssl.h"),
    ("make", "/usr/bin/make"),
    ("nftables", "/usr/sbin/nft"),
    ("openssl", "/usr/bin/openssl"),
    ("procps", "/usr/bin/pkill"),
    ("python3-gi", "/usr/lib/python3/dist-packages/gi/__init__.py"),
    ("python3-venv", "/usr/share/doc/python3-venv/copyright"),
];

/// The oldest major version of Node.js with which the tests run: Debian 13 has it.
const OLDEST_NODE: u32 = 20;

/// The oldest Go, 1.21, which fetches the one that the `go.mod` files in `e2e/peers/pion` ask for.
const OLDEST_GO: u32 = 21;

/// Folders with a `package-lock.json`.
const NPM_FOLDERS: &[&str] = &["web", "e2e"];

/// Installs everything.
pub(crate) fn everything() -> Result<(), String> {
    debian_packages()?;
    npm_packages()
}

/// Installs the Debian packages that are missing.
pub(crate) fn debian_packages() -> Result<(), String> {
    let mut missing: Vec<&str> =
        PACKAGES.iter().filter(|(_, file)| !Path::new(file).exists()).map(|(name, _)| *name).collect();
    match node_version() {
        None => missing.push("nodejs"),
        Some(version) if version < OLDEST_NODE => {
            return Err(format!(
                "Node.js {version} is too old for the tests: install {OLDEST_NODE} or newer"
            ));
        }
        Some(_) => {}
    }
    if !succeeds("npm", &["--version"]) {
        missing.push("npm");
    }
    match go_version() {
        None => missing.push("golang-go"),
        Some(version) if version < OLDEST_GO => {
            return Err(format!("Go 1.{version} is too old for the tests: install 1.{OLDEST_GO} or newer"));
        }
        Some(_) => {}
    }
    if missing.is_empty() {
        return Ok(());
    }
    if !Path::new("/usr/bin/apt-get").exists() {
        return Err(format!("install these first (this is no Debian): {}", missing.join(" ")));
    }
    apt_get(&["-q", "update"])?;
    let mut arguments = vec!["-q", "-y", "install", "--no-install-recommends"];
    arguments.extend(missing);
    apt_get(&arguments)
}

/// Installs the npm packages at the versions of the lock files.
pub(crate) fn npm_packages() -> Result<(), String> {
    for folder in NPM_FOLDERS {
        let folder = step::top().join(folder);
        if up_to_date(&folder) {
            continue;
        }
        let mut command = step::command("npm", &["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
        command.current_dir(&folder);
        step::finish(command)?;
    }
    Ok(())
}

/// Installs a cargo subcommand from crates.io, unless it is there.
pub(crate) fn cargo_tool(name: &str) -> Result<(), String> {
    if succeeds(name, &["--version"]) { Ok(()) } else { step::run("cargo", &["install", "--locked", name]) }
}

/// Returns whether `node_modules` was installed from the present lock file.
fn up_to_date(folder: &Path) -> bool {
    let changed = |path: &str| folder.join(path).metadata().and_then(|file| file.modified()).ok();
    match (changed("package-lock.json"), changed("node_modules/.package-lock.json")) {
        (Some(lock), Some(installed)) => installed >= lock,
        _ => false,
    }
}

fn apt_get(arguments: &[&str]) -> Result<(), String> {
    let root = succeeds("sh", &["-c", "test \"$(id -u)\" = 0"]);
    let mut command = if root {
        step::command("apt-get", arguments)
    } else {
        let mut words = vec!["apt-get"];
        words.extend(arguments);
        step::command("sudo", &words)
    };
    command.env("DEBIAN_FRONTEND", "noninteractive");
    step::finish(command)
}

/// The major version of Node.js, if there is one.
fn node_version() -> Option<u32> {
    said("node", "--version")?.strip_prefix('v')?.split('.').next()?.parse().ok()
}

/// The minor version of Go 1, if there is one.
fn go_version() -> Option<u32> {
    let text = said("go", "version")?;
    let version = text.split(' ').find_map(|word| word.strip_prefix("go1."))?;
    version.split(|other: char| !other.is_ascii_digit()).next()?.parse().ok()
}

/// Returns the answer of a program to the question for its version.
fn said(program: &str, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).output().ok()?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
