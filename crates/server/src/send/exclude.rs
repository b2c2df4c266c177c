//! Patterns of paths that are not sent.

/// Patterns: `*` stands for any characters of a name, `?` for one, `**` for any path. One without a
/// slash fits a name anywhere.
#[derive(Clone, Debug, Default)]
pub(super) struct Excludes {
    patterns: Vec<String>,
}

impl Excludes {
    pub(super) fn new(patterns: &[String]) -> Self {
        Self { patterns: patterns.iter().map(|pattern| pattern.trim_end_matches('/').to_owned()).collect() }
    }

    /// Returns whether a path is left out.
    pub(super) fn matches(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        self.patterns.iter().any(|pattern| fits(pattern, if pattern.contains('/') { path } else { name }))
    }
}

fn fits(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<char>, Vec<char>) = (pattern.chars().collect(), path.chars().collect());
    // The set of places in the pattern that the path so far may have come to.
    let mut places = vec![false; pattern.len() + 1];
    places[0] = true;
    skip_stars(&pattern, &mut places);
    for letter in path {
        let mut next = vec![false; pattern.len() + 1];
        for at in (0..pattern.len()).filter(|at| places[*at]) {
            match pattern[at] {
                '*' => {
                    let is_double = pattern.get(at + 1) == Some(&'*') || (at > 0 && pattern[at - 1] == '*');
                    next[at] |= letter != '/' || is_double;
                }
                '?' => next[at + 1] |= letter != '/',
                wanted => next[at + 1] |= wanted == letter,
            }
        }
        skip_stars(&pattern, &mut next);
        places = next;
    }
    places[pattern.len()]
}

/// A star may stand for nothing.
fn skip_stars(pattern: &[char], places: &mut [bool]) {
    for at in 0..pattern.len() {
        places[at + 1] |= places[at] && pattern[at] == '*';
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_names_or_paths() {
        let excludes =
            Excludes::new(&["*.tmp".into(), "node_modules".into(), "a/b?/**".into(), "a/*.c".into()]);
        for path in ["x.tmp", "a/x.tmp", "a/node_modules", "a/b1/c/d", "a/x.c"] {
            assert!(excludes.matches(path), "{path}");
        }
        for path in ["x.tmpx", "node_module", "a/b12/c", "a/b", "a/x/y.c", "b/b1/c"] {
            assert!(!excludes.matches(path), "{path}");
        }
    }
}
