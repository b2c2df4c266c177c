//! House rules that no compiler checks: the length of files and functions, unfinished work, and the
//! words of comments.

mod functions;
mod words;

use std::fs;

use crate::step;

/// The longest file that still has one subject, in lines.
const LONGEST_FILE: usize = 800;

/// Words that mean "not done", written so that this file does not contain them.
const UNFINISHED: &[&str] =
    &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("todo", "!("), concat!("unimplemented", "!(")];

/// Folders and files whose words and functions are not checked yet. The list only shrinks: an entry
/// without findings is itself a fault.
const NOT_YET: &[&str] = &[];

/// Checks every text that git knows or would take; the error lists all faults, a line each.
pub(crate) fn check() -> Result<(), String> {
    let output = step::command("git", &["ls-files", "--cached", "--others", "--exclude-standard"])
        .output()
        .map_err(|error| format!("git could not be started: {error}"))?;
    let files = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut report = Report::new(NOT_YET);
    for path in files.lines().filter(|path| is_ours(path)) {
        let Ok(text) = fs::read_to_string(step::top().join(path)) else { continue };
        report.add(path, &text);
    }
    let faults = report.finish();
    if faults.is_empty() { Ok(()) } else { Err(format!("house rules:\n{}", faults.join("\n"))) }
}

/// Returns whether the project wrote the file: foreign code and recorded input are left as they
/// are.
fn is_ours(path: &str) -> bool {
    !["vendor/", "node_modules/", "tests/data/", "fuzz/corpus/"].iter().any(|folder| path.contains(folder))
}

fn has_ending(path: &str, endings: &[&str]) -> bool {
    path.rsplit_once('.').is_some_and(|(_, ending)| endings.contains(&ending))
}

/// The faults of all files, less those of folders that are not checked yet.
struct Report<'a> {
    faults: Vec<String>,
    /// Each folder or file that is not checked yet, and the number of its findings.
    not_yet: Vec<(&'a str, usize)>,
}

impl<'a> Report<'a> {
    fn new(not_yet: &[&'a str]) -> Self {
        Self { faults: Vec::new(), not_yet: not_yet.iter().map(|path| (*path, 0)).collect() }
    }

    fn add(&mut self, path: &str, text: &str) {
        if has_ending(path, &["rs", "js", "ts", "css", "html"]) {
            self.faults.extend(faults_of(path, text));
        }
        let mut findings = Vec::new();
        if has_ending(path, &["rs", "js", "md", "html", "py", "go"]) {
            findings.extend(words::faults(path, text));
        }
        if has_ending(path, &["rs", "js", "go"]) {
            findings.extend(functions::faults(path, text));
        }
        match self.not_yet.iter_mut().find(|(open, _)| path.starts_with(open)) {
            Some((_, count)) => *count += findings.len(),
            None => self.faults.extend(findings),
        }
    }

    fn finish(mut self) -> Vec<String> {
        for (path, _) in self.not_yet.iter().filter(|(_, count)| *count == 0) {
            self.faults.push(format!("{path}: nothing is left to do; strike it from the list in xtask"));
        }
        self.faults
    }
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

    #[test]
    fn findings_of_open_folders_are_counted_but_not_reported() {
        let line = "/// Whether it is so.\n";
        let mut report = Report::new(&["a/", "b/"]);
        report.add("a/x.rs", line);
        report.add("c/x.rs", line);
        let faults = report.finish();
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].starts_with("c/x.rs:1: "), "{faults:?}");
        assert!(faults[1].starts_with("b/: nothing is left"), "{faults:?}");
    }

    #[test]
    fn recorded_and_foreign_files_are_left_alone() {
        assert!(is_ours("crates/sdp/src/lib.rs") && is_ours("README.md"));
        for path in ["web/vendor/x.js", "e2e/node_modules/x.js", "crates/sdp/tests/data/README.md"] {
            assert!(!is_ours(path), "{path}");
        }
    }
}
