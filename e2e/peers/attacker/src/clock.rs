//! The server's wall clock, which a test may step: its calls to the system's are answered by a
//! small library that moves the time by what a file says. No namespace of Linux has a wall clock.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// The library in C, since what the dynamic linker replaces must be.
const SOURCE: &str = include_str!("clock.c");

/// The variable that names the file.
pub(crate) const VARIABLE: &str = "COLUMBA_ATTACK_CLOCK";

/// A clock for one server.
#[derive(Debug)]
pub(crate) struct Clock {
    folder: PathBuf,
}

impl Clock {
    /// A clock that shows the system's time.
    pub(crate) fn new() -> Result<Self, String> {
        let folder = std::env::temp_dir().join(format!("columba-attack-clock-{}", std::process::id()));
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let clock = Self { folder };
        let source = clock.folder.join("clock.c");
        fs::write(&source, SOURCE).map_err(|error| error.to_string())?;
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(clock.library()).arg(&source);
        let output = compiler.output().map_err(|error| format!("cc cannot be started: {error}"))?;
        if !output.status.success() {
            return Err(format!("cc: {}", String::from_utf8_lossy(&output.stderr).trim()));
        }
        clock.step(0)?;
        Ok(clock)
    }

    /// The library for `LD_PRELOAD`.
    pub(crate) fn library(&self) -> PathBuf {
        self.folder.join("clock.so")
    }

    /// The file that is read at each look at the clock.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.join("offset")
    }

    /// From now on the clock shows so many seconds more than the system's.
    pub(crate) fn step(&self, seconds: i64) -> Result<(), String> {
        // Replaced as a whole, so that no look at the clock meets half of it.
        let next = self.folder.join("next");
        fs::write(&next, seconds.to_string()).map_err(|error| error.to_string())?;
        fs::rename(&next, self.file()).map_err(|error| error.to_string())
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
