//! Session descriptions as texts that people carry from one side to the other.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use miniz_oxide::deflate::compress_to_vec_zlib;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;
use serde::{Deserialize, Serialize};

/// The longest text in bytes.
pub const MAX_PASTE: usize = 64 * 1024;

/// The most bytes that a text may unpack to; a description has about 1,000.
pub const MAX_UNPACKED: usize = 256 * 1024;

/// The level of compression: the best, since texts are short.
const LEVEL: u8 = 9;

/// The words before the content.
const OFFER: &str = "columba-offer-";
const ANSWER: &str = "columba-answer-";

/// The version of the form.
const FORM: &str = "1";

/// A session description that a person carries, with all candidates in it.
///
/// ```
/// use columba_files::{Paste, PasteKind, Purpose};
///
/// let sdp = "v=0\r\na=ice-ufrag:abcd\r\na=end-of-candidates\r\n".to_owned();
/// let text = Paste::offer(Purpose::Chat, sdp).to_string();
/// // Lines that a mail program has broken are joined again.
/// let offer: Paste = text.replace("-offer", "\n-offer").parse().unwrap();
/// assert_eq!((offer.kind(), offer.purpose), (PasteKind::Offer, Purpose::Chat));
/// let answer = Paste::answer(&offer, Purpose::Chat, "v=0\r\n".to_owned());
/// assert!(answer.belongs_to(&offer));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paste {
    /// The purpose that its side has in mind.
    #[serde(rename = "for")]
    pub purpose: Purpose,
    /// The description (RFC 8866), without the end of its candidates.
    pub sdp: String,
    /// Answer: the ICE user name fragment of the offer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<String>,
}

/// The purposes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Lines of text.
    Chat,
    /// Its side sends files.
    Files,
    /// Standard input and output of both sides.
    Pipe,
    /// A purpose that this version does not know.
    #[serde(other)]
    Other,
}

/// The two texts of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasteKind {
    /// The first.
    Offer,
    /// The second.
    Answer,
}

/// A text that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasteError {
    /// It is no text of this kind.
    #[error("it does not begin with {OFFER} or {ANSWER}")]
    Foreign,
    /// It was made by a later version.
    #[error("it was made by another version of the program")]
    Version,
    /// It is longer than any description.
    #[error("it is longer than {MAX_PASTE} characters")]
    TooLong,
    /// It unpacks to more than any description has.
    #[error("it unpacks to more than {MAX_UNPACKED} bytes")]
    TooLarge,
    /// A part of it is missing, or a character was changed.
    #[error("it is not complete, or was changed on its way")]
    Damaged,
}

impl Paste {
    /// An offer. That candidates have ended is taken out of the description, so that the other side
    /// keeps looking for a path until the answer has been carried back.
    #[must_use]
    pub fn offer(purpose: Purpose, sdp: String) -> Self {
        Self { purpose, sdp: without_end(&sdp), to: None }
    }

    /// The answer to an offer.
    #[must_use]
    pub fn answer(offer: &Self, purpose: Purpose, sdp: String) -> Self {
        Self { purpose, sdp: without_end(&sdp), to: Some(offer.fragment().to_owned()) }
    }

    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> PasteKind {
        if self.to.is_some() { PasteKind::Answer } else { PasteKind::Offer }
    }

    /// Returns whether this is the answer to that offer.
    #[must_use]
    pub fn belongs_to(&self, offer: &Self) -> bool {
        self.to.as_deref() == Some(offer.fragment())
    }

    /// The user name fragment of its description, or nothing.
    fn fragment(&self) -> &str {
        self.sdp.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).unwrap_or_default()
    }
}

fn without_end(sdp: &str) -> String {
    let lines = sdp.lines().filter(|line| *line != "a=end-of-candidates");
    lines.fold(String::with_capacity(sdp.len()), |text, line| text + line + "\r\n")
}

impl fmt::Display for Paste {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = match self.kind() {
            PasteKind::Offer => OFFER,
            PasteKind::Answer => ANSWER,
        };
        // Text can always be written.
        let json = serde_json::to_vec(self).unwrap_or_default();
        write!(f, "{head}{FORM}:{}", BASE64.encode(compress_to_vec_zlib(&json, LEVEL)))
    }
}

impl FromStr for Paste {
    type Err = PasteError;

    fn from_str(text: &str) -> Result<Self, PasteError> {
        if text.len() > MAX_PASTE {
            return Err(PasteError::TooLong);
        }
        // Mail programs and terminals break lines, and people quote.
        let text: String = text.chars().filter(|c| !c.is_whitespace() && !"'\"`".contains(*c)).collect();
        let (kind, rest) = match (text.strip_prefix(OFFER), text.strip_prefix(ANSWER)) {
            (Some(rest), _) => (PasteKind::Offer, rest),
            (_, Some(rest)) => (PasteKind::Answer, rest),
            _ => return Err(PasteError::Foreign),
        };
        let (form, content) = rest.split_once(':').ok_or(PasteError::Damaged)?;
        if form != FORM {
            return Err(PasteError::Version);
        }
        let packed = BASE64.decode(content).map_err(|_| PasteError::Damaged)?;
        let json = decompress_to_vec_zlib_with_limit(&packed, MAX_UNPACKED).map_err(|error| {
            if error.status == TINFLStatus::HasMoreOutput {
                PasteError::TooLarge
            } else {
                PasteError::Damaged
            }
        })?;
        let paste: Self = serde_json::from_slice(&json).map_err(|_| PasteError::Damaged)?;
        if paste.kind() == kind { Ok(paste) } else { Err(PasteError::Damaged) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SDP: &str = "v=0\r\no=- 1 2 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=ice-ufrag:abcd\r\n\
        a=candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host\r\na=end-of-candidates\r\n";

    fn offer() -> Paste {
        Paste::offer(Purpose::Files, SDP.to_owned())
    }

    #[test]
    fn text_is_one_line_and_read_back() {
        let text = offer().to_string();
        assert!(text.starts_with("columba-offer-1:") && !text.contains(char::is_whitespace));
        assert_eq!(text.parse(), Ok(offer()));
        assert_eq!(format!("  '{}\n {}' ", &text[..40], &text[40..]).parse(), Ok(offer()));
        let answer = Paste::answer(&offer(), Purpose::Chat, SDP.to_owned());
        assert!(answer.to_string().starts_with("columba-answer-1:"));
        assert_eq!(answer.to_string().parse(), Ok(answer.clone()));
        assert!(answer.belongs_to(&offer()));
        let other = Paste::offer(Purpose::Chat, SDP.replace("abcd", "efgh"));
        assert!(!answer.belongs_to(&other));
        assert!(!answer.sdp.contains("end-of-candidates"));
    }

    #[test]
    fn text_that_unpacks_to_gigabytes_is_refused() {
        let mut packed = compress_to_vec_zlib(&vec![b' '; 30 << 20], 9);
        assert!(packed.len() < MAX_PASTE / 2, "{} bytes", packed.len());
        let bomb = |packed: &[u8]| format!("{OFFER}{FORM}:{}", BASE64.encode(packed)).parse::<Paste>();
        assert_eq!(bomb(&packed), Err(PasteError::TooLarge));
        packed.truncate(packed.len() / 2);
        assert_eq!(bomb(&packed), Err(PasteError::TooLarge));
        // What would be gigabytes is longer than a text may be.
        assert_eq!(
            format!("{OFFER}{FORM}:{}", "A".repeat(1 << 20)).parse::<Paste>(),
            Err(PasteError::TooLong)
        );
    }

    #[test]
    fn each_other_text_gets_its_reason() {
        let text = offer().to_string();
        for (given, error) in [
            ("", PasteError::Foreign),
            ("hello", PasteError::Foreign),
            ("columba-offer-2:abc", PasteError::Version),
            ("columba-offer-1", PasteError::Damaged),
            ("columba-offer-1:", PasteError::Damaged),
            (&text[..text.len() - 5], PasteError::Damaged),
            (&text.replace("offer", "answer"), PasteError::Damaged),
            (&text.replacen(&text[60..61], "*", 1), PasteError::Damaged),
        ] {
            assert_eq!(given.parse::<Paste>(), Err(error), "{given}");
        }
    }

    #[test]
    fn purposes_of_later_versions_are_read() {
        let packed = compress_to_vec_zlib(br#"{"for":"dance","sdp":"v=0","extra":1}"#, 9);
        let paste: Paste = format!("{OFFER}{FORM}:{}", BASE64.encode(packed)).parse().unwrap();
        assert_eq!(paste.purpose, Purpose::Other);
    }

    proptest! {
        #[test]
        fn arbitrary_contents_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let text = format!("{ANSWER}{FORM}:{}", BASE64.encode(&bytes));
            let _ = text.parse::<Paste>();
            let _ = String::from_utf8_lossy(&bytes).parse::<Paste>();
        }

        #[test]
        fn damaged_texts_are_found(at in 16..150_usize, letter in "[A-Za-z0-9_-]") {
            let mut text = offer().to_string();
            let at = at % text.len();
            if at >= 16 && text[at..=at] != letter {
                text.replace_range(at..=at, &letter);
                // The last letter has bits that mean nothing.
                prop_assert!(text.parse::<Paste>() != Ok(offer()) || at == text.len() - 1);
            }
        }
    }
}
