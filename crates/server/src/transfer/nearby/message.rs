//! Messages of DNS-SD over mDNS (RFC 6763, RFC 6762 §18), as far as one service of one name goes.

use std::net::{IpAddr, SocketAddr};

const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
const TYPE_SRV: u16 = 33;
const TYPE_ANY: u16 = 255;
const INTERNET: u16 = 1;

/// The cache-flush bit of records that are the only ones of their kind (RFC 6762 §10.2).
const FLUSH: u16 = 0x8000;

/// Questions of one message that are looked at.
const MAX_QUESTIONS: u16 = 64;

/// Records of one message that are looked at.
const MAX_RECORDS: u32 = 256;

/// Addresses that are taken out of one message.
const MAX_ADDRESSES: usize = 16;

/// The service with this code number, as DNS-SD names instances.
pub(super) fn service(number: u16) -> String {
    format!("{number}._columba-send._tcp.local")
}

/// The question for the place of a service.
pub(super) fn question(service: &str) -> Vec<u8> {
    // No id, no flags, one question (RFC 6762 §18).
    let mut message = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    put_name(&mut message, service);
    put(&mut message, TYPE_SRV);
    put(&mut message, INTERNET);
    message
}

/// A message that says where a service is, valid for so many seconds; 0 withdraws it.
///
/// `id`: that of the question, for a unicast answer to a resolver on another port (RFC 6762 §6.7).
pub(super) fn answer(
    service: &str,
    host: &str,
    port: u16,
    addresses: &[IpAddr],
    ttl: u32,
    id: Option<u16>,
) -> Vec<u8> {
    let mut message = id.unwrap_or(0).to_be_bytes().to_vec();
    let addresses = &addresses[..addresses.len().min(MAX_ADDRESSES)];
    // An authoritative answer; a unicast one repeats the question. The addresses are additional.
    message.extend([0x84, 0, 0, u8::from(id.is_some()), 0, 1, 0, 0, 0, addresses.len() as u8]);
    if id.is_some() {
        put_name(&mut message, service);
        put(&mut message, TYPE_SRV);
        put(&mut message, INTERNET);
    }
    let class = if id.is_some() { INTERNET } else { INTERNET | FLUSH };
    // Priority and weight mean nothing where there is one (RFC 2782).
    let mut place = vec![0, 0, 0, 0];
    put(&mut place, port);
    put_name(&mut place, host);
    put_record(&mut message, service, TYPE_SRV, class, ttl, &place);
    for address in addresses {
        match address {
            IpAddr::V4(ip) => put_record(&mut message, host, TYPE_A, class, ttl, &ip.octets()),
            IpAddr::V6(ip) => put_record(&mut message, host, TYPE_AAAA, class, ttl, &ip.octets()),
        }
    }
    message
}

fn put(message: &mut Vec<u8>, word: u16) {
    message.extend(word.to_be_bytes());
}

/// Writes a name of this program's, whose labels are short.
fn put_name(message: &mut Vec<u8>, name: &str) {
    for label in name.split('.') {
        debug_assert!((1..=63).contains(&label.len()));
        message.push(label.len() as u8);
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
}

fn put_record(message: &mut Vec<u8>, name: &str, kind: u16, class: u16, ttl: u32, data: &[u8]) {
    put_name(message, name);
    put(message, kind);
    put(message, class);
    message.extend(ttl.to_be_bytes());
    put(message, data.len() as u16);
    message.extend_from_slice(data);
}

/// Returns the id of a message that asks for a service.
pub(super) fn asks_for(message: &[u8], service: &str) -> Option<u16> {
    if word(message, 2)? & 0x8000 != 0 {
        return None;
    }
    let mut at = 12;
    for _ in 0..word(message, 4)?.min(MAX_QUESTIONS) {
        let (name, end) = name_at(message, at)?;
        let kind = word(message, end)?;
        if name == service && (kind == TYPE_SRV || kind == TYPE_ANY) {
            return word(message, 0);
        }
        at = end + 4;
    }
    None
}

/// The host of a service in a message, and its places; `None` if it is no answer for it.
pub(super) fn places(message: &[u8], service: &str, from: IpAddr) -> Option<(String, Vec<SocketAddr>)> {
    let mut found = Found::default();
    // Records before an invalid one still count.
    let _ = read(message, service, &mut found);
    let (port, host) = found.place?;
    let own = found.addresses.into_iter().filter(|(name, _)| *name == host).map(|(_, ip)| ip);
    // The address that the answer came from is the likeliest.
    let mut places = vec![SocketAddr::new(from, port)];
    for ip in own {
        let place = SocketAddr::new(ip, port);
        if !places.contains(&place) {
            places.push(place);
        }
    }
    Some((host, places))
}

#[derive(Default)]
struct Found {
    place: Option<(u16, String)>,
    addresses: Vec<(String, IpAddr)>,
}

fn read(message: &[u8], service: &str, found: &mut Found) -> Option<()> {
    if word(message, 2)? & 0x8000 == 0 {
        return None;
    }
    let mut at = 12;
    for _ in 0..word(message, 4)?.min(MAX_QUESTIONS) {
        at = name_at(message, at)?.1 + 4;
    }
    let records = [6, 8, 10].into_iter().map(|at| word(message, at).map(u32::from)).sum::<Option<u32>>()?;
    for _ in 0..records.min(MAX_RECORDS) {
        let (name, end) = name_at(message, at)?;
        let (kind, class) = (word(message, end)?, word(message, end + 2)?);
        let is_withdrawn = word(message, end + 4)? == 0 && word(message, end + 6)? == 0;
        let length = usize::from(word(message, end + 8)?);
        let data = message.get(end + 10..end + 10 + length)?;
        at = end + 10 + length;
        if class & !FLUSH != INTERNET || is_withdrawn {
            continue;
        }
        match kind {
            TYPE_SRV if name == service && length > 6 => {
                found.place = Some((word(data, 4)?, name_at(message, end + 16)?.0));
            }
            TYPE_A | TYPE_AAAA if found.addresses.len() < MAX_ADDRESSES => {
                let ip = match kind {
                    TYPE_A => <[u8; 4]>::try_from(data).ok().map(IpAddr::from),
                    _ => <[u8; 16]>::try_from(data).ok().map(IpAddr::from),
                };
                found.addresses.extend(ip.map(|ip| (name, ip)));
            }
            _ => {}
        }
    }
    Some(())
}

fn word(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]))
}

/// The name at this place of a message, in lower case, and the place after it.
fn name_at(message: &[u8], start: usize) -> Option<(String, usize)> {
    let (mut name, mut at, mut end) = (String::new(), start, None);
    // A name has at most 127 labels; pointers that go in circles are cut off, too.
    for _ in 0..160 {
        match *message.get(at)? {
            0 => return Some((name, end.unwrap_or(at + 1))),
            length @ 1..=63 => {
                let label = message.get(at + 1..at + 1 + usize::from(length))?;
                if name.len() + label.len() > 255 {
                    return None;
                }
                if !name.is_empty() {
                    name.push('.');
                }
                name.push_str(&String::from_utf8_lossy(label).to_ascii_lowercase());
                at += 1 + usize::from(length);
            }
            0xc0..=0xff => {
                end.get_or_insert(at + 2);
                at = usize::from(word(message, at)? & 0x3fff);
            }
            64..=0xbf => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOST: &str = "columba-0123456789abcdef.local";

    fn addresses() -> [IpAddr; 2] {
        ["192.0.2.7", "2001:db8::7"].map(|text| text.parse().unwrap())
    }

    #[test]
    fn question_is_answered_and_the_answer_is_understood() {
        let name = service(7);
        let from: IpAddr = "192.0.2.9".parse().unwrap();
        assert_eq!(asks_for(&question(&name), &name), Some(0));
        assert_eq!(asks_for(&question(&name), &service(77)), None);
        for id in [None, Some(9)] {
            let said = answer(&name, HOST, 8080, &addresses(), 120, id);
            assert_eq!(asks_for(&said, &name), None, "an answer is no question");
            let wanted = ["192.0.2.9:8080", "192.0.2.7:8080", "[2001:db8::7]:8080"];
            let wanted = wanted.map(|text| text.parse().unwrap()).to_vec();
            assert_eq!(places(&said, &name, from), Some((HOST.to_owned(), wanted)));
            assert_eq!(places(&said, &service(8), from), None);
            assert_eq!(places(&answer(&name, HOST, 8080, &addresses(), 0, id), &name, from), None);
        }
        assert_eq!(places(&question(&name), &name, from), None);
    }

    #[test]
    fn names_are_compared_without_case_and_through_pointers() {
        let mut message = vec![0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0];
        put_name(&mut message, "x._COLUMBA-send._tcp.local");
        message.extend([0, 1, 0, 1, 1, b'7', 0xc0, 14, 0, 33, 0, 1]);
        assert_eq!(asks_for(&message, &service(7)), Some(0));
        let circle = [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 33, 0, 1];
        assert_eq!(asks_for(&circle, &service(7)), None);
    }

    proptest! {
        #[test]
        fn arbitrary_messages_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let from: IpAddr = "192.0.2.9".parse().unwrap();
            let _ = (places(&bytes, &service(7), from), asks_for(&bytes, &service(7)));
        }

        #[test]
        fn damaged_answers_do_not_panic(at in 0_usize..180, value: u8, cut in 0_usize..200) {
            let mut message = answer(&service(7), HOST, 80, &addresses(), 120, Some(3));
            if let Some(byte) = message.get_mut(at) {
                *byte = value;
            }
            message.truncate(cut);
            let from: IpAddr = "192.0.2.9".parse().unwrap();
            let found = places(&message, &service(7), from).unwrap_or_default().1;
            prop_assert!(found.len() <= MAX_ADDRESSES + 1);
        }
    }
}
