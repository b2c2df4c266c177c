//! Running one program of a chore: its output is passed on and, for test runners, counted.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The counts that a test runner printed at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// Tests that passed.
    pub(crate) passed: u64,
    /// Tests that failed.
    pub(crate) failed: u64,
    /// Tests that could not run here.
    pub(crate) skipped: u64,
}

impl Count {
    /// Counts another runner's tests with these.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// Reads one line of a runner's output: cargo's `test result:` lines and the closing lines of
    /// Node's test runner.
    fn take(&mut self, line: &str) {
        if let Some(result) = line.strip_prefix("test result: ") {
            let number = |word: &str| {
                result
                    .split(['.', ';'])
                    .find_map(|part| part.trim().strip_suffix(word)?.trim().parse::<u64>().ok())
                    .unwrap_or(0)
            };
            self.passed += number("passed");
            self.failed += number("failed");
            self.skipped += number("ignored");
            return;
        }
        let Some(rest) = line.strip_prefix("# ").or_else(|| line.strip_prefix("ℹ ")) else { return };
        let mut words = rest.split(' ');
        let (Some(word), Some(number), None) = (words.next(), words.next(), words.next()) else { return };
        let Ok(number) = number.parse::<u64>() else { return };
        match word {
            "pass" => self.passed += number,
            "fail" | "cancelled" => self.failed += number,
            "skipped" => self.skipped += number,
            _ => {}
        }
    }
}

/// The workspace's top folder.
pub(crate) fn top() -> PathBuf {
    let mut folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    folder.pop();
    folder
}

/// A command that runs at the top of the workspace.
pub(crate) fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(top()).stdin(Stdio::null());
    // cargo sets these for xtask itself; passed on they make its children build everything again.
    for name in ["CARGO", "CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_PKG_NAME", "CARGO_PKG_VERSION"]
    {
        command.env_remove(name);
    }
    command
}

/// Runs a program at the top of the workspace; the error is a sentence.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    finish(command(program, arguments))
}

/// Runs a prepared command; the error is a sentence.
pub(crate) fn finish(mut command: Command) -> Result<(), String> {
    let shown = show(&command);
    println!("$ {shown}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("'{shown}' ended with {status}")),
        Err(error) => Err(format!("'{shown}' could not be started: {error}")),
    }
}

/// Runs a test runner: passes its output on, and reads the counts that it prints at its end.
pub(crate) fn counted(command: Command) -> (Count, Result<(), String>) {
    counted_into(command, &mut std::io::stdout().lock())
}

/// Runs a test runner as [`counted`] does, but passes its output on in one piece at its end, so
/// that several can run at once.
pub(crate) fn counted_in_one_piece(command: Command) -> (Count, Result<(), String>) {
    let mut output = Vec::new();
    let counted = counted_into(command, &mut output);
    // The reader of our output may have gone away; the tests go on all the same.
    let _ = std::io::stdout().lock().write_all(&output);
    counted
}

fn counted_into(mut command: Command, into: &mut dyn Write) -> (Count, Result<(), String>) {
    let shown = show(&command);
    let _ = writeln!(into, "$ {shown}");
    let mut count = Count::default();
    let mut child = match command.stdout(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(error) => return (count, Err(format!("'{shown}' could not be started: {error}"))),
    };
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            count.take(&line);
            let _ = writeln!(into, "{line}");
        }
    }
    match child.wait() {
        Ok(status) if status.success() => (count, Ok(())),
        Ok(status) => (count, Err(format!("'{shown}' ended with {status}"))),
        Err(error) => (count, Err(format!("'{shown}' could not be waited for: {error}"))),
    }
}

fn show(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Count {
        let mut count = Count::default();
        for line in lines {
            count.take(line);
        }
        count
    }

    #[test]
    fn counts_cargo_lines() {
        let lines = [
            "running 3 tests",
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s",
        ];
        assert_eq!(read(&lines), Count { passed: 14, failed: 1, skipped: 1 });
    }

    #[test]
    fn counts_node_lines() {
        let lines =
            ["# tests 5", "# pass 3", "# fail 1", "# cancelled 0", "# skipped 1", "# a comment of two"];
        assert_eq!(read(&lines), Count { passed: 3, failed: 1, skipped: 1 });
        assert_eq!(read(&["ℹ pass 7", "ℹ cancelled 2"]), Count { passed: 7, failed: 2, skipped: 0 });
    }
}
