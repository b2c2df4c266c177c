//! The screen: chat on standard output, notes on standard error.

use std::io::Write as _;

use crate::terminal::{lines, one_line};

/// Shows a line of chat.
pub(crate) fn chat(name: &str, text: &str) {
    // If standard output is closed, there is no one to inform.
    let _ = writeln!(std::io::stdout().lock(), "{}: {}", one_line(name), lines(text));
}

/// Shows a note.
pub(crate) fn note(sentence: &str) {
    let _ = writeln!(std::io::stderr().lock(), "* {}", one_line(sentence));
}
