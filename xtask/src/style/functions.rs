//! The length of functions.

/// The longest function, in lines from its first to its closing brace.
const LONGEST_FUNCTION: usize = 80;

/// Words before the name of a function.
const QUALIFIERS: &[&str] =
    &["pub", "pub(crate)", "pub(super)", "const", "async", "unsafe", "export", "default", "static"];

/// Words that begin a function: Rust's, JavaScript's, Go's.
const KEYWORDS: &[&str] = &["fn", "function", "function*", "func"];

/// Lists the functions that are too long. Formatted code closes a function with a brace in the
/// column in which it began.
pub(super) fn faults(path: &str, text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut faults = Vec::new();
    for (index, line) in lines.iter().enumerate().filter(|(_, line)| is_function(line)) {
        let indent = line.len() - line.trim_start().len();
        let closing = format!("{}}}", &line[..indent]);
        let last = lines[index..].iter().position(|other| other.trim_end() == closing);
        let Some(length) = last.map(|after| after + 1) else { continue };
        // A function without a body, or with its body in one line, has no closing line of its own:
        // the brace found is another's.
        if length > LONGEST_FUNCTION && opens(&lines[index..]) {
            faults.push(format!(
                "{path}:{}: a function of {length} lines; at most {LONGEST_FUNCTION}",
                index + 1
            ));
        }
    }
    faults
}

/// Returns whether the line begins a function.
fn is_function(line: &str) -> bool {
    let mut words = line.split_whitespace().skip_while(|word| QUALIFIERS.contains(word));
    words.next().is_some_and(|word| KEYWORDS.contains(&word))
}

/// Returns whether the signature that begins here ends with an opened body.
fn opens(lines: &[&str]) -> bool {
    let end = lines.iter().map(|line| line.trim_end()).find(|line| line.ends_with(['{', ';', '}']));
    end.is_some_and(|line| line.ends_with('{'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(head: &str, lines: usize) -> String {
        format!("    {head} {{\n{}    }}\n", "        x();\n".repeat(lines))
    }

    #[test]
    fn finds_long_functions_of_all_languages() {
        for head in ["fn a()", "pub async fn a<T>(\n        self)", "export function a()", "func A()"] {
            assert!(faults("a", &function(head, 77)).is_empty(), "{head}");
            assert_eq!(faults("a", &function(head, 79)).len(), 1, "{head}");
        }
    }

    #[test]
    fn functions_without_a_body_of_their_own_have_no_length() {
        let text = format!("trait A {{\n    fn a();\n{}    }}\n}}\n", "    const B: u8;\n".repeat(100));
        assert!(faults("a", &text).is_empty());
        let text = format!("fn a() {{ b() }}\n{}}}\n", "c;\n".repeat(100));
        assert!(faults("a", &text).is_empty());
    }
}
