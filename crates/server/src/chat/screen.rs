//! The screen: chat on standard output, notes on standard error.

use std::io::Write as _;

/// Shows a line of chat.
pub(super) fn chat(name: &str, text: &str) {
    // If standard output is closed, there is no one to inform.
    let _ =
        writeln!(std::io::stdout().lock(), "{}: {}", harmless(name), harmless(text).replace('\n', "\n  "));
}

/// Shows a note.
pub(super) fn note(sentence: &str) {
    let _ = writeln!(std::io::stderr().lock(), "* {}", harmless(sentence));
}

/// Text from elsewhere, without the characters that would make the terminal do something.
fn harmless(text: &str) -> String {
    text.chars().map(|character| if is_dangerous(character) { '\u{fffd}' } else { character }).collect()
}

fn is_dangerous(character: char) -> bool {
    // Marks that turn the direction of writing could make a line look like that of another
    // participant.
    let turns = matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || (character.is_control() && !matches!(character, '\n' | '\t'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_of_others_are_replaced() {
        assert_eq!(harmless("a\x1b[2Jb\u{9b}c\rd\u{202e}"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d\u{fffd}");
        assert_eq!(harmless("näme\t🙂\n"), "näme\t🙂\n");
    }
}
