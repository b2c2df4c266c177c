//! What is shown: what was said on standard output, what happened on standard error.

use std::io::Write as _;

/// Shows what somebody said.
pub(super) fn said(name: &str, text: &str) {
    // Whoever does not listen any more is not told so.
    let _ =
        writeln!(std::io::stdout().lock(), "{}: {}", harmless(name), harmless(text).replace('\n', "\n  "));
}

/// Says what has happened.
pub(super) fn note(sentence: &str) {
    let _ = writeln!(std::io::stderr().lock(), "* {}", harmless(sentence));
}

/// Text from elsewhere, without the characters that would make the terminal do something.
fn harmless(text: &str) -> String {
    text.chars().map(|character| if is_dangerous(character) { '\u{fffd}' } else { character }).collect()
}

fn is_dangerous(character: char) -> bool {
    // Marks that turn the direction of writing could make a line look like somebody else's.
    let turns = matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || (character.is_control() && !matches!(character, '\n' | '\t'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_moves_the_cursor() {
        assert_eq!(harmless("a\x1b[2Jb\u{9b}c\rd\u{202e}"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d\u{fffd}");
        assert_eq!(harmless("näme\t🙂\n"), "näme\t🙂\n");
    }
}
