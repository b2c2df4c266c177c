//! Text of others on the terminal.

/// Text in one line, in which nothing makes the terminal do something or looks like another line:
/// control characters, the marks that turn the direction of writing, and line separators are shown
/// as escapes such as `\u{1b}`.
///
/// Everything that came over the network passes through here before it is printed.
pub(crate) fn one_line(text: &str) -> String {
    escaped(text, false)
}

/// Text that may have several lines, the later ones indented, so that none looks like a line of its
/// own.
pub(crate) fn lines(text: &str) -> String {
    escaped(text, true)
}

fn escaped(text: &str, keep_lines: bool) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' if keep_lines => safe.push_str("\n  "),
            '\t' if keep_lines => safe.push('\t'),
            '\n' | '\r' | '\t' => safe.extend(character.escape_default()),
            _ if is_active(character) => safe.extend(character.escape_unicode()),
            _ => safe.push(character),
        }
    }
    safe
}

/// Returns whether a terminal does more with it than to show it.
fn is_active(character: char) -> bool {
    let turns_direction = matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    turns_direction || matches!(character, '\u{2028}' | '\u{2029}') || character.is_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(one_line("a\x1b[2Jb\u{9b}c\rd\u{202e}"), r"a\u{1b}[2Jb\u{9b}c\rd\u{202e}");
        assert_eq!(one_line("näme 🙂 \u{1f469}\u{200d}\u{1f467}"), "näme 🙂 \u{1f469}\u{200d}\u{1f467}");
        assert_eq!(one_line("\u{2028}\u{85}\0\t"), r"\u{2028}\u{85}\u{0}\t");
    }

    #[test]
    fn no_text_begins_a_line() {
        assert_eq!(one_line("Ann\nBob: hello"), r"Ann\nBob: hello");
        assert_eq!(lines("one\nBob: two\tthree\r\n"), "one\n  Bob: two\tthree\\r\n  ");
    }
}
