//! Certificates and keys as PEM (RFC 7468).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// Characters of Base64 in a line (RFC 7468 §2).
const LINE: usize = 64;

/// Bytes of the longest text that is read: a chain of certificates and a key are far shorter.
const LONGEST: usize = 1 << 20;

/// Returns the contents of the first block with this label.
pub(super) fn read(text: &str, label: &str) -> Option<Zeroizing<Vec<u8>>> {
    if text.len() > LONGEST {
        return None;
    }
    let begin = format!("-----BEGIN {label}-----");
    let end = format!("-----END {label}-----");
    let (_, rest) = text.split_once(&begin)?;
    let (body, _) = rest.split_once(&end)?;
    let characters: Zeroizing<String> =
        Zeroizing::new(body.chars().filter(|character| !character.is_ascii_whitespace()).collect());
    STANDARD.decode(characters.as_bytes()).ok().map(Zeroizing::new)
}

/// Writes a block.
pub(super) fn write(label: &str, contents: &[u8]) -> String {
    let characters = Zeroizing::new(STANDARD.encode(contents));
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = characters.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text + "-----END " + label + "-----\n"
}
