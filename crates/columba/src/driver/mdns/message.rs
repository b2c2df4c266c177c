//! Messages of mDNS (RFC 1035 §4, RFC 6762 §18), as far as addresses of names go.

use std::net::IpAddr;

const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
const TYPE_ANY: u16 = 255;
const INTERNET: u16 = 1;

/// Questions of one message that are looked at: far more than a resolver asks at once.
const MAX_QUESTIONS: u16 = 64;

/// Returns the questions for a name's addresses of either family; `None` if the name is not valid.
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

/// Encodes a name; `None` if it is not valid.
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

/// Returns a message with the address of a name, valid for so many seconds; 0 withdraws it. `None`
/// if the name is not valid.
///
/// `id`: that of the question, for a unicast answer to a resolver that does not use mDNS
/// (RFC 6762 §6.7).
pub(super) fn record(host: &str, address: IpAddr, ttl: u32, id: Option<u16>) -> Option<Vec<u8>> {
    let name = encoded(host)?;
    let (kind, data) = match address {
        IpAddr::V4(address) => (TYPE_A, address.octets().to_vec()),
        IpAddr::V6(address) => (TYPE_AAAA, address.octets().to_vec()),
    };
    let mut message = id.unwrap_or(0).to_be_bytes().to_vec();
    // An authoritative answer; a unicast one repeats the question.
    message.extend([0x84, 0, 0, u8::from(id.is_some()), 0, 1, 0, 0, 0, 0]);
    if id.is_some() {
        message.extend_from_slice(&name);
        message.extend(kind.to_be_bytes());
        message.extend(INTERNET.to_be_bytes());
    }
    message.extend_from_slice(&name);
    message.extend(kind.to_be_bytes());
    // The cache-flush bit, which only resolvers of mDNS know (RFC 6762 §10.2).
    let class = if id.is_some() { INTERNET } else { INTERNET | 0x8000 };
    message.extend(class.to_be_bytes());
    message.extend(ttl.to_be_bytes());
    message.extend((data.len() as u16).to_be_bytes());
    message.extend(data);
    Some(message)
}

/// Returns the id of a message that asks for this address of the name.
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

/// Returns the addresses of a name in a message; none if it is not a valid answer.
pub(super) fn answers(message: &[u8], host: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    // Records before an invalid one still count.
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

/// Returns whether the name at this place of a message is this one, and the place after it.
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
    fn names_are_compared_without_case() {
        let both: Vec<IpAddr> = vec!["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()];
        assert_eq!(answers(&answer(), NAME), both);
        assert_eq!(answers(&answer(), &NAME.to_uppercase()), both);
        assert!(answers(&answer(), "another.local").is_empty());
    }

    #[test]
    fn questions_and_withdrawn_records_give_no_address() {
        assert!(answers(&questions(NAME).unwrap()[0], NAME).is_empty());
        let mut goodbye = answer();
        let first = goodbye.windows(4).position(|bytes| bytes == [0, 0, 0, 120]).unwrap();
        goodbye[first + 3] = 0;
        assert_eq!(answers(&goodbye, NAME), ["2001:db8::7".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn invalid_names_have_no_questions() {
        assert!(questions("").is_none() && questions("a..local").is_none());
        assert!(questions(&"x".repeat(64)).is_none() && questions(&"abc.".repeat(80)).is_none());
    }

    #[test]
    fn circular_compression_pointers_end() {
        let message = [0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1];
        assert!(answers(&message, NAME).is_empty());
    }

    #[test]
    fn questions_are_answered_and_answers_are_understood() {
        for address in ["192.0.2.7", "2001:db8::7"].map(|text| text.parse::<IpAddr>().unwrap()) {
            let asked = &questions(NAME).unwrap()[usize::from(address.is_ipv6())];
            assert_eq!(asks_for(asked, &NAME.to_uppercase(), address), Some(0));
            assert_eq!(asks_for(asked, "another.local", address), None);
            let other = &questions(NAME).unwrap()[usize::from(address.is_ipv4())];
            assert_eq!(asks_for(other, NAME, address), None);
            for id in [None, Some(7)] {
                let said = record(NAME, address, 120, id).unwrap();
                assert_eq!(asks_for(&said, NAME, address), None, "an answer is no question");
                assert_eq!(answers(&said, NAME), [address]);
                assert!(answers(&record(NAME, address, 0, id).unwrap(), NAME).is_empty());
            }
        }
    }

    proptest! {
        #[test]
        fn arbitrary_messages_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            answers(&bytes, NAME);
            asks_for(&bytes, NAME, IpAddr::from([192, 0, 2, 7]));
        }

        #[test]
        fn damaged_messages_do_not_panic(at in 0usize..80, value: u8, cut in 0usize..110) {
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
