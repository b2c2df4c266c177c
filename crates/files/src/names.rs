//! Paths that another machine has chosen, made safe.

/// The longest path in bytes.
pub const MAX_PATH: usize = 4096;

/// The longest name in bytes: the limit of the usual file systems.
pub const MAX_NAME: usize = 255;

/// The most folders within each other.
pub const MAX_DEPTH: usize = 128;

/// A rule that a path breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// It is empty, or has an empty part.
    #[error("has an empty name in it")]
    Empty,
    /// It begins at the root of a file system, or with a drive.
    #[error("is absolute")]
    Absolute,
    /// It has a part `.` or `..`.
    #[error("leads out of its folder")]
    Dots,
    /// It has a NUL in it.
    #[error("has a NUL in it")]
    Nul,
    /// It, or one of its names, is too long.
    #[error("is longer than file systems take")]
    TooLong,
    /// It has too many folders within each other.
    #[error("has too many folders within each other")]
    TooDeep,
}

/// The systems whose file systems differ in the names that they take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// Names may have any character but `/` and NUL.
    Unix,
    /// Names may not have `<>:"\|?*` and control characters, end with a dot or a blank, or be those
    /// of devices.
    Windows,
}

impl System {
    /// The system that this was built for.
    #[must_use]
    pub const fn own() -> Self {
        if cfg!(windows) { Self::Windows } else { Self::Unix }
    }
}

/// The names of a path that is relative, stays below its folder, and fits this system's rules;
/// characters that the system does not take become `_`.
///
/// # Errors
/// The path cannot be made safe; an honest sender has no such path.
pub fn safe_names(path: &str, system: System) -> Result<Vec<String>, PathFault> {
    if path.len() > MAX_PATH {
        return Err(PathFault::TooLong);
    }
    if path.starts_with('/') {
        return Err(PathFault::Absolute);
    }
    let mut names = Vec::new();
    for part in path.split('/') {
        match part {
            "" => return Err(PathFault::Empty),
            "." | ".." => return Err(PathFault::Dots),
            _ if part.contains('\0') => return Err(PathFault::Nul),
            _ => {}
        }
        if names.len() == MAX_DEPTH {
            return Err(PathFault::TooDeep);
        }
        let name = match system {
            System::Unix => part.to_owned(),
            System::Windows => for_windows(part),
        };
        if name.len() > MAX_NAME {
            return Err(PathFault::TooLong);
        }
        names.push(name);
    }
    Ok(names)
}

/// Returns whether a symbolic link at this path that says `target` stays below the folder that the
/// path begins with.
#[must_use]
pub fn link_stays_inside(path: &str, target: &str) -> bool {
    if target.is_empty()
        || target.len() > MAX_PATH
        || target.starts_with('/')
        || target.contains(['\0', '\\'])
    {
        return false;
    }
    // Beside a link that is sent alone there is nothing.
    let mut depth = path.matches('/').count();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            // The folder at the top may not be left, even to come back.
            ".." if depth <= 1 => return false,
            ".." => depth -= 1,
            _ => depth += 1,
        }
    }
    path.contains('/')
}

/// The characters that stand for the bytes from 0x80 to 0xff in [escaped](escape) names: a part of
/// the private use area.
const ESCAPES: std::ops::RangeInclusive<char> = '\u{f780}'..='\u{f7ff}';

/// A name of a system whose names are bytes, as text: each byte that is not part of valid UTF-8
/// becomes one of the characters from U+F780 to U+F7FF, and so do the bytes of these characters.
///
/// ```
/// use columba_files::{escape, is_escaped, unescape};
///
/// let name = escape(b"caf\xe9");
/// assert_eq!(name, "caf\u{f7e9}");
/// assert!(is_escaped(&name));
/// assert_eq!(unescape(&name), b"caf\xe9");
/// ```
#[must_use]
pub fn escape(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    let put = |text: &mut String, bytes: &[u8]| {
        text.extend(bytes.iter().filter_map(|byte| char::from_u32(0xf700 + u32::from(*byte))));
    };
    for chunk in name.utf8_chunks() {
        for letter in chunk.valid().chars() {
            if ESCAPES.contains(&letter) {
                put(&mut text, letter.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                text.push(letter);
            }
        }
        put(&mut text, chunk.invalid());
    }
    text
}

/// The bytes that an escaped name stands for. None of them is ASCII that was not there.
#[must_use]
pub fn unescape(name: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.len());
    for letter in name.chars() {
        if ESCAPES.contains(&letter) {
            bytes.push((u32::from(letter) - 0xf700) as u8);
        } else {
            bytes.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    bytes
}

/// Returns whether a name has characters that stand for bytes.
#[must_use]
pub fn is_escaped(name: &str) -> bool {
    name.contains(|letter| ESCAPES.contains(&letter))
}

fn for_windows(part: &str) -> String {
    let taken = |c: char| !c.is_control() && !"<>:\"\\|?*".contains(c);
    let mut name: String = part.chars().map(|c| if taken(c) { c } else { '_' }).collect();
    let kept = name.trim_end_matches(['.', ' ']).len();
    let dropped = name.len() - kept;
    name.truncate(kept);
    name.extend(std::iter::repeat_n('_', dropped));
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    let is_numbered = |device: &str| {
        stem.strip_prefix(device).is_some_and(|number| {
            let mut digits = number.chars();
            matches!(digits.next(), Some('0'..='9' | '¹' | '²' | '³')) && digits.next().is_none()
        })
    };
    let is_device = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"].contains(&stem.as_str())
        || is_numbered("COM")
        || is_numbered("LPT");
    if is_device { format!("_{name}") } else { name }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        let fault = |path: &str| safe_names(path, System::Unix).unwrap_err();
        assert_eq!(fault("../x"), PathFault::Dots);
        assert_eq!(fault("a/../../x"), PathFault::Dots);
        assert_eq!(fault("a/./x"), PathFault::Dots);
        assert_eq!(fault("/etc/passwd"), PathFault::Absolute);
        assert_eq!(fault("a//b"), PathFault::Empty);
        assert_eq!(fault("a/"), PathFault::Empty);
        assert_eq!(fault(""), PathFault::Empty);
        assert_eq!(fault("a\0b"), PathFault::Nul);
        assert_eq!(fault(&"x".repeat(256)), PathFault::TooLong);
        assert_eq!(fault(&"x".repeat(1 << 20)), PathFault::TooLong);
        assert_eq!(fault(&["a"; 129].join("/")), PathFault::TooDeep);
    }

    #[test]
    fn names_of_all_scripts_stay() {
        for path in ["a/ä/日本/файл/🙂/.hidden", "C:\\x", "a b. ", "NUL", "~", "-rf"] {
            let parts: Vec<&str> = path.split('/').collect();
            assert_eq!(safe_names(path, System::Unix).unwrap(), parts);
        }
    }

    #[test]
    fn names_are_made_to_fit_windows() {
        for (given, made) in [
            ("C:\\x", "C__x"),
            ("nul", "_nul"),
            ("COM1.txt", "_COM1.txt"),
            ("com¹", "_com¹"),
            ("COM10", "COM10"),
            ("console", "console"),
            ("a. ", "a__"),
            ("...", "___"),
            ("a\u{1}b\"", "a_b_"),
            ("aux .c", "_aux .c"),
        ] {
            assert_eq!(safe_names(given, System::Windows).unwrap(), [made]);
        }
    }

    #[test]
    fn links_that_lead_out_are_found() {
        for (path, target) in [("a/b", "c"), ("a/b/c", "../d"), ("a/b/c", "../b/./d"), ("a/b", "c/../d")] {
            assert!(link_stays_inside(path, target), "{path} {target}");
        }
        for (path, target) in [
            ("a/b", "../c"),
            ("a", "b"),
            ("a/b", "/etc"),
            ("a/b", ""),
            ("a/b/c", "../../x"),
            ("a/b", "..\\c"),
        ] {
            assert!(!link_stays_inside(path, target), "{path} {target}");
        }
    }

    proptest! {
        #[test]
        fn escaped_names_are_the_same_bytes(name in prop::collection::vec(any::<u8>(), 0..60)) {
            let text = escape(&name);
            prop_assert_eq!(unescape(&text), name.clone());
            prop_assert!(is_escaped(&text) || text.as_bytes() == name);
            // Nothing that leads elsewhere comes of it.
            let slashes = |bytes: &[u8]| bytes.iter().filter(|byte| [b'/', b'.', 0].contains(*byte)).count();
            prop_assert_eq!(slashes(text.as_bytes()), slashes(&name));
        }

        #[test]
        fn safe_names_stay_below(path in "[a./\\\\:C\0 ]{0,12}", windows in any::<bool>()) {
            let system = if windows { System::Windows } else { System::Unix };
            if let Ok(names) = safe_names(&path, system) {
                prop_assert!(!names.is_empty());
                for name in names {
                    prop_assert!(!["", ".", ".."].contains(&name.as_str()));
                    prop_assert!(!name.contains(['/', '\0']));
                    prop_assert!(!windows || !name.contains(['\\', ':']));
                }
            }
        }
    }
}
