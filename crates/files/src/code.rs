//! The code that one person says to another, such as `7-copper-violin`.

use std::fmt;
use std::str::FromStr;

use rand_core::CryptoRng;

use crate::words::WORDS;

/// The largest number of a code.
pub const MAX_NUMBER: u16 = 9999;

/// A code: the number names the place where both programs meet, the words are a password for one
/// exchange of keys.
#[derive(Clone, PartialEq, Eq)]
pub struct Code {
    number: u16,
    words: [u8; 2],
}

/// The fault of a text that is no code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// It has not the shape of a code.
    #[error("a code is a number and two words, such as 7-copper-violin")]
    Shape,
    /// The number is not one of a code.
    #[error("the number of a code is between 1 and {MAX_NUMBER}")]
    Number,
    /// A word is not in the list.
    #[error("{word:?} is not a word of a code{}", nearest.map(|word| format!("; is {word:?} meant?")).unwrap_or_default())]
    Word {
        /// The word as it was given, at most 20 characters of it.
        word: String,
        /// The word of the list that is nearest, if one is near.
        nearest: Option<&'static str>,
    },
}

impl Code {
    /// A code with this number and two random words.
    pub fn random(number: u16, rng: &mut impl CryptoRng) -> Self {
        let mut words = [0; 2];
        rng.fill_bytes(&mut words);
        Self { number: number.clamp(1, MAX_NUMBER), words }
    }

    /// The number: the public part.
    #[must_use]
    pub const fn number(&self) -> u16 {
        self.number
    }

    /// The token of the session in which both programs meet.
    #[must_use]
    pub fn session(&self) -> String {
        session_of(self.number)
    }

    /// The words: the password.
    #[must_use]
    pub fn password(&self) -> String {
        self.words.map(|word| WORDS[usize::from(word)]).join("-")
    }
}

/// The token of the session of all codes with this number.
#[must_use]
pub fn session_of(number: u16) -> String {
    format!("send-code-{number}")
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.number, self.password())
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Code({}-…)", self.number)
    }
}

impl FromStr for Code {
    type Err = CodeError;

    /// Reads a code as people write it: in any case, with blanks in place of the hyphens.
    fn from_str(text: &str) -> Result<Self, CodeError> {
        let parts: Vec<&str> =
            text.split(|c: char| c == '-' || c.is_whitespace()).filter(|part| !part.is_empty()).collect();
        let [number, first, second] = parts[..] else { return Err(CodeError::Shape) };
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(CodeError::Shape);
        }
        let number = number.parse().ok().filter(|number| (1..=MAX_NUMBER).contains(number));
        let number = number.ok_or(CodeError::Number)?;
        Ok(Self { number, words: [word(first)?, word(second)?] })
    }
}

fn word(text: &str) -> Result<u8, CodeError> {
    let lower = text.to_lowercase();
    match WORDS.binary_search(&lower.as_str()) {
        Ok(at) => Ok(u8::try_from(at).unwrap_or(u8::MAX)),
        Err(_) => {
            let word: String = lower.chars().take(20).collect();
            let nearest = WORDS.iter().find(|known| distance(known, &word) == 1);
            let longer = || WORDS.iter().find(|known| word.len() > 2 && known.starts_with(&word));
            Err(CodeError::Word { nearest: nearest.or_else(longer).copied(), word })
        }
    }
}

/// The number of letters that are added, left out or changed between two words.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, letter) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, another) in other.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *another);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng as _;

    use super::*;

    #[test]
    fn the_list_is_sorted_and_each_word_is_there_once() {
        assert!(WORDS.is_sorted_by(|one, next| one < next));
        assert!(WORDS.iter().all(|word| word.bytes().all(|byte| byte.is_ascii_lowercase())));
    }

    #[test]
    fn code_is_read_as_people_write_it() {
        let code: Code = "7-copper-violin".parse().unwrap();
        assert_eq!((code.number(), code.to_string().as_str()), (7, "7-copper-violin"));
        assert_eq!("  7 Copper VIOLIN ".parse(), Ok(code.clone()));
        assert_eq!(format!("{code:?}"), "Code(7-…)");
    }

    #[test]
    fn faults_of_codes_are_named() {
        let fault = |text: &str| text.parse::<Code>().unwrap_err();
        assert_eq!(fault("copper-violin"), CodeError::Shape);
        assert_eq!(fault("x-copper-violin"), CodeError::Shape);
        assert_eq!(fault("+7-copper-violin"), CodeError::Shape);
        assert_eq!(fault("0-copper-violin"), CodeError::Number);
        assert_eq!(fault("99999999999999999999-copper-violin"), CodeError::Number);
        let sentence = fault("7-coper-violin").to_string();
        assert_eq!(sentence, "\"coper\" is not a word of a code; is \"copper\" meant?");
        assert!(!fault("7-copper-xylophones").to_string().contains("meant"));
    }

    #[test]
    fn random_codes_are_read_back() {
        let mut rng = ChaCha20Rng::from_seed([7; 32]);
        for number in 1..300 {
            let code = Code::random(number, &mut rng);
            assert_eq!(code.to_string().parse(), Ok(code));
        }
    }
}
