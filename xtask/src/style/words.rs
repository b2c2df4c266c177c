//! The words of comments and texts: plain engineering English, one way to cite RFCs, short lines.

/// The longest line of a comment, in characters.
const LONGEST_COMMENT: usize = 100;

/// Pronouns for which an engineering text has a noun, written so that this file does not contain
/// them.
const PRONOUNS: &[&str] = &[
    concat!("who", "ever"),
    concat!("whom", "ever"),
    concat!("no", "body"),
    concat!("some", "body"),
    concat!("any", "body"),
];

/// Words with which the documentation of an item does not begin: it begins with the noun or the
/// verb of the item.
const OPENINGS: &[&str] = &["What", "Whether", "How", "Who", "Which", "Likewise"];

/// Lists the faults of a file's words, a line each.
pub(super) fn faults(path: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut documents = false;
    for (number, line) in text.lines().enumerate() {
        let mut fault = |sentence: String| faults.push(format!("{path}:{}: {sentence}", number + 1));
        for pronoun in PRONOUNS.iter().filter(|pronoun| holds_word(line, pronoun)) {
            fault(format!("'{pronoun}'; name the party"));
        }
        if cites_in_words(line) {
            fault("an RFC is cited as 'RFC 8445 §7.2.5.3'".to_owned());
        }
        let length = line.chars().count();
        if length > LONGEST_COMMENT && is_comment(path, line) && !line.contains("]: https://") {
            fault(format!("a comment of {length} columns; at most {LONGEST_COMMENT}"));
        }
        let document = documentation(path, line);
        if let Some(word) = document.filter(|_| !documents).and_then(first_word)
            && OPENINGS.contains(&word)
        {
            fault(format!("documentation begins with '{word}'; begin with the noun or the verb"));
        }
        // The line that opens a block of JSDoc may hold nothing.
        documents = document.is_some_and(|text| !text.is_empty() || documents);
    }
    faults
}

/// Returns whether the line holds the word, in any case, between characters that are not letters.
fn holds_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_alphabetic()).any(|other| other.eq_ignore_ascii_case(word))
}

/// Returns whether the line cites a section of an RFC otherwise than with `§`.
fn cites_in_words(line: &str) -> bool {
    line.match_indices("RFC ").any(|(at, found)| {
        let rest = line[at + found.len()..].trim_start_matches(|c: char| c.is_ascii_digit());
        let rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
        ["section", "Section", "sec."].iter().any(|word| rest.starts_with(word))
    })
}

fn is_comment(path: &str, line: &str) -> bool {
    let line = line.trim_start();
    match path.rsplit_once('.').map(|(_, ending)| ending) {
        Some("py") => line.starts_with('#'),
        // A line that begins with a type in a comment is code.
        Some("js") => ["//", "/*", "* "].iter().any(|start| line.starts_with(start)) && !line.contains("*/ "),
        Some("rs" | "go") => line.starts_with("//"),
        _ => false,
    }
}

/// The text of a line of documentation; `None` if the line is none.
fn documentation<'a>(path: &str, line: &'a str) -> Option<&'a str> {
    let line = line.trim();
    let starts: &[&str] = if path.ends_with(".rs") {
        &["///", "//!"]
    } else if path.ends_with(".js") {
        &["/**", "* ", "*"]
    } else {
        &[]
    };
    let text = starts.iter().find_map(|start| line.strip_prefix(start))?;
    Some(text.trim_end_matches("*/").trim())
}

fn first_word(text: &str) -> Option<&str> {
    text.split(|c: char| !c.is_alphabetic()).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_pronouns_in_any_text() {
        let pronoun = PRONOUNS[2];
        for line in [format!("{pronoun} comes"), format!("fn {pronoun}_comes()"), pronoun.to_uppercase()] {
            assert_eq!(faults("a.md", &line).len(), 1, "{line}");
        }
        assert!(faults("a.md", "there is no body in it").is_empty());
    }

    #[test]
    fn finds_documentation_that_begins_with_a_question() {
        for (path, text, count) in [
            ("a.rs", "/// Whether it is so.", 1),
            ("a.rs", "//! How it works.", 1),
            ("a.rs", "/// Returns whether\n/// What follows is the same block.", 0),
            ("a.rs", "/// First.\nfn a() {}\n/// Which.\nfn b() {}", 1),
            ("a.rs", "// What is not documentation.", 0),
            ("a.js", "/** Who is there. */", 1),
            ("a.js", "/**\n * What it does.\n * How.\n */", 1),
            ("a.js", "/**\n * Connects.\n *\n * @param {string} how How.\n */", 0),
            ("a.py", "# What it does.", 0),
            ("a.rs", "/// However it is.", 0),
        ] {
            assert_eq!(faults(path, text).len(), count, "{text}");
        }
    }

    #[test]
    fn finds_long_comments_but_not_long_code() {
        let long = "x".repeat(LONGEST_COMMENT);
        for (path, start) in [("a.rs", "// "), ("a.rs", "    /// "), ("a.js", " * "), ("a.py", "# ")] {
            assert_eq!(faults(path, &format!("{start}{long}")).len(), 1, "{start}");
        }
        for (path, start) in [("a.rs", "let a = "), ("a.md", "# "), ("a.py", "x = ")] {
            assert!(faults(path, &format!("{start}{long}")).is_empty(), "{start}");
        }
        assert!(faults("a.rs", &format!("// {}", "ä".repeat(97))).is_empty());
    }

    #[test]
    fn finds_rfcs_that_are_cited_in_words() {
        let cite = |separator: &str| format!("RFC 8445{separator}section 7");
        for separator in [" ", ", "] {
            assert_eq!(faults("a.md", &cite(separator)).len(), 1);
        }
        assert!(faults("a.md", "RFC 8445 §7.2.5.3, RFC 8839 has a section for it").is_empty());
    }
}
