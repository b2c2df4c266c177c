//! Messages of mDNS (RFC 1035 §4, RFC 6762 §18), as far as addresses of names go.

use std::net::IpAddr;

const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
const TYPE_ANY: u16 = 255;
const INTERNET: u16 = 1;

/// Questions of one message that are looked at: far more than anybody asks at once.
const MAX_QUESTIONS: u16 = 64;

/// The questions for a name's addresses of either family; `None` if it is no name.
pub(super) fn questions(host: &str) -> Option<[Vec<u8>; 2]> {
    let name = encoded(host)?;
    let question = |kind: u16| {
        // No id, no flags, one question (RFC 6762 §18).
        let mut message = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        message.extend_from_slice(&name);
        message.extend_from_slice(&kind.to_be_bytes());
        message.extend_from_slice(&INTERNET.to_be_bytes());
        message
    };
    Some([question(TYPE_A), question(TYPE_AAAA)])
}

/// A name as messages have it; `None` if it is no name.
fn encoded(host: &str) -> Option<Vec<u8>> {
    let mut name = Vec::with_capacity(host.len() + 2);
    for label in host.trim_end_matches('.').split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
        name.push(length);
        name.extend_from_slice(label.as_bytes());
    }
    name.push(0);
    (name.len() <= 255).then_some(name)
}

/// A message that says what a name stands for, for so many seconds; 0 takes it back. `None` if it is no name.
///
/// `id`: of the question, if one who does not speak mDNS has asked and is answered alone (RFC 6762 §6.7).
pub(super) fn record(host: &str, address: IpAddr, ttl: u32, id: Option<u16>) -> Option<Vec<u8>> {
    let name = encoded(host)?;
    let (kind, data) = match address {
        IpAddr::V4(address) => (TYPE_A, address.octets().to_vec()),
        IpAddr::V6(address) => (TYPE_AAAA, address.octets().to_vec()),
    };
    let mut message = id.unwrap_or(0).to_be_bytes().to_vec();
    // An authoritative answer; who asked alone gets his question back.
    message.extend([0x84, 0, 0, u8::from(id.is_some()), 0, 1, 0, 0, 0, 0]);
    if id.is_some() {
        message.extend_from_slice(&name);
        message.extend(kind.to_be_bytes());
        message.extend(INTERNET.to_be_bytes());
    }
    message.extend_from_slice(&name);
    message.extend(kind.to_be_bytes());
    // Others forget what they knew of the name, but for one who does not know that bit.
    let class = if id.is_some() { INTERNET } else { INTERNET | 0x8000 };
    message.extend(class.to_be_bytes());
    message.extend(ttl.to_be_bytes());
    message.extend((data.len() as u16).to_be_bytes());
    message.extend(data);
    Some(message)
}

/// Whether a message asks what this name stands for, and the message's id.
pub(super) fn asks_for(message: &[u8], host: &str, address: IpAddr) -> Option<u16> {
    let word = |at: usize| Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]));
    if word(2)? & 0x8000 != 0 {
        return None;
    }
    let wanted = if address.is_ipv4() { TYPE_A } else { TYPE_AAAA };
    let mut at = 12;
    for _ in 0..word(4)?.min(MAX_QUESTIONS) {
        let (is_it, end) = name_matches(message, at, host);
        let kind = word(end?)?;
        if is_it && (kind == wanted || kind == TYPE_ANY) {
            return word(0);
        }
        at = end? + 4;
    }
    None
}

/// The addresses that a message gives for a name; none if it is not an answer, or not one that can be read.
pub(super) fn answers(message: &[u8], host: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    // What was read before something cannot be read still counts.
    let _ = read_answers(message, host.trim_end_matches('.'), &mut found);
    found
}

fn read_answers(message: &[u8], host: &str, found: &mut Vec<IpAddr>) -> Option<()> {
    let word = |at: usize| Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]));
    if word(2)? & 0x8000 == 0 {
        return None;
    }
    let mut at = 12;
    for _ in 0..word(4)? {
        at = name_matches(message, at, "").1? + 4;
    }
    for _ in 0..u32::from(word(6)?) + u32::from(word(8)?) + u32::from(word(10)?) {
        let (is_it, end) = name_matches(message, at, host);
        let at_type = end?;
        let (kind, class) = (word(at_type)?, word(at_type + 2)?);
        // The class's first bit only says that caches should forget other records.
        let ttl_is_zero = word(at_type + 4)? == 0 && word(at_type + 6)? == 0;
        let length = usize::from(word(at_type + 8)?);
        let data = message.get(at_type + 10..at_type + 10 + length)?;
        if is_it && class & 0x7fff == 1 && !ttl_is_zero {
            let address = match kind {
                TYPE_A => <[u8; 4]>::try_from(data).ok().map(IpAddr::from),
                TYPE_AAAA => <[u8; 16]>::try_from(data).ok().map(IpAddr::from),
                _ => None,
            };
            found.extend(address);
        }
        at = at_type + 10 + length;
    }
    Some(())
}

/// Whether the name at this place of a message is this one, and where what follows it begins.
fn name_matches(message: &[u8], start: usize, host: &str) -> (bool, Option<usize>) {
    let mut labels = host.split('.');
    let (mut at, mut end, mut same) = (start, None, true);
    // A name has at most 127 labels; pointers that go in circles are cut off, too.
    for _ in 0..160 {
        let Some(&length) = message.get(at) else { return (false, None) };
        match length {
            0 => return (same && labels.next().is_none(), end.or(Some(at + 1))),
            1..=63 => {
                let Some(label) = message.get(at + 1..at + 1 + usize::from(length)) else {
                    return (false, None);
                };
                same &= labels.next().is_some_and(|own| own.as_bytes().eq_ignore_ascii_case(label));
                at += 1 + usize::from(length);
            }
            192.. => {
                let Some(&low) = message.get(at + 1) else { return (false, None) };
                end = end.or(Some(at + 2));
                at = usize::from(u16::from_be_bytes([length & 0x3f, low]));
            }
            _ => return (false, None),
        }
    }
    (false, None)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use proptest::prelude::*;

    use super::*;

    const NAME: &str = "0b3b6f5c-1d2f-4e5a-8f00-3a2f6f1c9d10.local";

    /// An answer as a responder writes it: the second record's name is a pointer to the first's.
    fn answer() -> Vec<u8> {
        let mut message = questions(NAME).unwrap()[0].clone();
        message[2] = 0x84;
        message[5] = 0;
        message[7] = 2;
        message.truncate(message.len() - 4);
        message.extend([0, 1, 0x80, 1, 0, 0, 0, 120, 0, 4, 192, 0, 2, 7]);
        message.extend([0xc0, 12, 0, 28, 0x80, 1, 0, 0, 0, 120, 0, 16]);
        message.extend("2001:db8::7".parse::<Ipv6Addr>().unwrap().octets());
        message
    }

    #[test]
    fn addresses_of_the_name_are_found_whatever_its_case() {
        let both: Vec<IpAddr> = vec!["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()];
        assert_eq!(answers(&answer(), NAME), both);
        assert_eq!(answers(&answer(), &NAME.to_uppercase()), both);
        assert!(answers(&answer(), "another.local").is_empty());
    }

    #[test]
    fn questions_are_no_answers_and_goodbyes_give_no_address() {
        assert!(answers(&questions(NAME).unwrap()[0], NAME).is_empty());
        let mut goodbye = answer();
        let first = goodbye.windows(4).position(|bytes| bytes == [0, 0, 0, 120]).unwrap();
        goodbye[first + 3] = 0;
        assert_eq!(answers(&goodbye, NAME), ["2001:db8::7".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn names_that_are_none_are_not_asked_for() {
        assert!(questions("").is_none() && questions("a..local").is_none());
        assert!(questions(&"x".repeat(64)).is_none() && questions(&"abc.".repeat(80)).is_none());
    }

    #[test]
    fn pointers_in_a_circle_end() {
        let message = [0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1];
        assert!(answers(&message, NAME).is_empty());
    }

    #[test]
    fn what_is_asked_for_is_answered_and_understood() {
        for address in ["192.0.2.7", "2001:db8::7"].map(|text| text.parse::<IpAddr>().unwrap()) {
            let asked = &questions(NAME).unwrap()[usize::from(address.is_ipv6())];
            assert_eq!(asks_for(asked, &NAME.to_uppercase(), address), Some(0));
            assert_eq!(asks_for(asked, "another.local", address), None);
            let other = &questions(NAME).unwrap()[usize::from(address.is_ipv4())];
            assert_eq!(asks_for(other, NAME, address), None);
            for id in [None, Some(7)] {
                let said = record(NAME, address, 120, id).unwrap();
                assert_eq!(asks_for(&said, NAME, address), None, "an answer asks nothing");
                assert_eq!(answers(&said, NAME), [address]);
                assert!(answers(&record(NAME, address, 0, id).unwrap(), NAME).is_empty());
            }
        }
    }

    proptest! {
        #[test]
        fn no_message_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            answers(&bytes, NAME);
            asks_for(&bytes, NAME, IpAddr::from([192, 0, 2, 7]));
        }

        #[test]
        fn no_damage_panics(at in 0usize..80, value: u8, cut in 0usize..110) {
            let mut message = answer();
            if let Some(byte) = message.get_mut(at) {
                *byte = value;
            }
            message.truncate(cut);
            answers(&message, NAME);
            message.iter_mut().skip(2).take(1).for_each(|flags| *flags = 0);
            asks_for(&message, NAME, IpAddr::from([192, 0, 2, 7]));
        }
    }
}
