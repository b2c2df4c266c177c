//! House rules that no compiler checks: the length of files, and what must not be left in them.

use std::fs;

use crate::step;

/// The longest file that still has one subject, in lines.
const LONGEST_FILE: usize = 800;

/// Words that mean "not done", written so that this file does not contain them.
const UNFINISHED: &[&str] =
    &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("todo", "!("), concat!("unimplemented", "!(")];

/// Checks every source file that git knows or would take; the answer lists what is wrong, a line each.
pub(crate) fn check() -> Result<(), String> {
    let output = step::command("git", &["ls-files", "--cached", "--others", "--exclude-standard"])
        .output()
        .map_err(|error| format!("git could not be started: {error}"))?;
    let files = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut faults = Vec::new();
    for path in files.lines().filter(|path| is_source(path)) {
        let Ok(text) = fs::read_to_string(step::top().join(path)) else { continue };
        faults.extend(faults_of(path, &text));
    }
    if faults.is_empty() { Ok(()) } else { Err(format!("house rules:\n{}", faults.join("\n"))) }
}

fn is_source(path: &str) -> bool {
    [".rs", ".js", ".ts", ".css", ".html"].iter().any(|ending| path.ends_with(ending))
        && !path.contains("vendor/")
        && !path.contains("node_modules/")
}

fn faults_of(path: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let length = text.lines().count();
    if length > LONGEST_FILE {
        faults.push(format!("{path}: {length} lines; a file has one subject and at most {LONGEST_FILE}"));
    }
    for (number, line) in text.lines().enumerate() {
        for word in UNFINISHED.iter().filter(|word| line.contains(**word)) {
            faults.push(format!("{path}:{}: {word}", number + 1));
        }
    }
    if path.starts_with("crates/") && path.ends_with("/lib.rs") && !text.trim_start().starts_with("//!") {
        faults.push(format!("{path}: a crate begins with its documentation"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_long_files_and_unfinished_work() {
        assert!(faults_of("a.rs", "fn a() {}\n").is_empty());
        assert_eq!(faults_of("a.rs", &"\n".repeat(LONGEST_FILE + 1)).len(), 1);
        assert_eq!(faults_of("a.rs", &format!("{}x)", UNFINISHED[2])).len(), 1);
        assert_eq!(faults_of("crates/x/src/lib.rs", "mod a;").len(), 1);
    }
}
