//! Asks mDNS (RFC 6762) for the names behind which browsers hide their addresses (draft-ietf-mmusic-mdns-ice-candidates).
//!
//! Only that: one question for the addresses of one name, on all interfaces, repeated until somebody answers.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::debug;

const PORT: u16 = 5353;
const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);

/// How long a name is asked for.
const PATIENCE: Duration = Duration::from_secs(5);

/// When the question is repeated after the first time; the last one for as often as needed. RFC 6762 §5.2 wants a second between the first
/// two; a lost datagram should not cost a second of a call's beginning, and few names are asked for.
const REPEAT: [Duration; 3] =
    [Duration::from_millis(300), Duration::from_millis(700), Duration::from_secs(1)];

/// Once an address has come, how long to wait for one of the other family. Browsers hide each address behind a name of its own.
const SETTLE: Duration = Duration::from_millis(10);

/// The largest message that is read.
const MAX_MESSAGE: usize = 9000;

const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;

/// The addresses of a name that ends in `.local`; none if nobody answers.
pub(super) async fn resolve(host: Arc<str>) -> Vec<IpAddr> {
    let Some(questions) = questions(&host) else { return Vec::new() };
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let sockets: Vec<Asker> =
        [Asker::v4(&interfaces), Asker::v6(&interfaces)].into_iter().flatten().collect();
    let mut found: Vec<IpAddr> = Vec::new();
    let mut deadline = Instant::now() + PATIENCE;
    let ask = async {
        let mut pauses = REPEAT.into_iter();
        loop {
            for socket in &sockets {
                questions.iter().for_each(|question| socket.send(question));
            }
            sleep(pauses.next().unwrap_or(REPEAT[REPEAT.len() - 1])).await;
        }
    };
    let mut ask = std::pin::pin!(ask);
    let mut buffers = [vec![0; MAX_MESSAGE], vec![0; MAX_MESSAGE]];
    loop {
        let heard = async {
            let [first, second] = &mut buffers;
            tokio::select! {
                never = &mut ask => never,
                heard = receive(sockets.first(), first) => heard,
                heard = receive(sockets.get(1), second) => heard,
            }
        };
        let Ok(message) = timeout_at(deadline, heard).await else { break };
        for address in answers(message, &host) {
            if !found.contains(&address) {
                found.push(address);
                deadline = deadline.min(Instant::now() + SETTLE);
            }
        }
    }
    debug!(addresses = found.len(), "asked mDNS for a name");
    found
}

async fn receive<'a>(asker: Option<&Asker>, buffer: &'a mut [u8]) -> &'a [u8] {
    let Some(asker) = asker else { return std::future::pending().await };
    match asker.socket.recv(buffer).await {
        Ok(length) => &buffer[..length],
        Err(_) => {
            // An error of an earlier send; not faster than questions are asked.
            sleep(REPEAT[0]).await;
            &[]
        }
    }
}

/// A socket on which questions go out to all interfaces.
struct Asker {
    socket: UdpSocket,
    ways: Vec<Way>,
}

enum Way {
    V4(Ipv4Addr),
    V6(u32),
}

impl Asker {
    fn v4(interfaces: &[if_addrs::Interface]) -> Option<Self> {
        let addresses = interfaces.iter().filter_map(|interface| match interface.ip() {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        });
        let ways: Vec<Way> = addresses.map(Way::V4).collect();
        let unspecified = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
        let socket = open(Domain::IPV4, unspecified).ok()?;
        for way in &ways {
            if let Way::V4(address) = way {
                // An interface without multicast is not asked.
                let _ = socket.join_multicast_v4(GROUP_V4, *address);
            }
        }
        let _ = SockRef::from(&socket).set_multicast_ttl_v4(255);
        Some(Self { socket, ways })
    }

    fn v6(interfaces: &[if_addrs::Interface]) -> Option<Self> {
        let mut indexes: Vec<u32> = interfaces
            .iter()
            .filter(|interface| interface.ip().is_ipv6())
            .filter_map(|interface| interface.index)
            .collect();
        indexes.sort_unstable();
        indexes.dedup();
        let unspecified = SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT));
        let socket = open(Domain::IPV6, unspecified).ok()?;
        for index in &indexes {
            let _ = socket.join_multicast_v6(&GROUP_V6, *index);
        }
        let _ = SockRef::from(&socket).set_multicast_hops_v6(255);
        Some(Self { socket, ways: indexes.into_iter().map(Way::V6).collect() })
    }

    fn send(&self, question: &[u8]) {
        for way in &self.ways {
            let group = match way {
                Way::V4(address) => {
                    if SockRef::from(&self.socket).set_multicast_if_v4(address).is_err() {
                        continue;
                    }
                    SocketAddr::from((GROUP_V4, PORT))
                }
                Way::V6(index) => SocketAddrV6::new(GROUP_V6, PORT, 0, *index).into(),
            };
            // Lost is lost; the question is asked again. Not by way of the runtime, which has to be asked first whether a new socket is
            // writable.
            let _ = SockRef::from(&self.socket).send_to(question, &group.into());
        }
    }
}

/// Opens mDNS's port beside all others who do; where that is not allowed, any port: answers then come to this socket alone
/// (RFC 6762 §6.7), from those responders that bother.
fn open(domain: Domain, address: SocketAddr) -> io::Result<UdpSocket> {
    let make = |address: SocketAddr| {
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_address(true)?;
        #[cfg(unix)]
        socket.set_reuse_port(true)?;
        if domain == Domain::IPV6 {
            socket.set_only_v6(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        UdpSocket::from_std(socket.into())
    };
    make(address).or_else(|_| make(SocketAddr::new(address.ip(), 0)))
}

/// The questions for a name's addresses of either family; `None` if it is no name.
fn questions(host: &str) -> Option<[Vec<u8>; 2]> {
    let mut name = Vec::with_capacity(host.len() + 2);
    for label in host.trim_end_matches('.').split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
        name.push(length);
        name.extend_from_slice(label.as_bytes());
    }
    name.push(0);
    if name.len() > 255 {
        return None;
    }
    let question = |kind: u16| {
        // No id, no flags, one question (RFC 6762 §18).
        let mut message = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        message.extend_from_slice(&name);
        message.extend_from_slice(&kind.to_be_bytes());
        message.extend_from_slice(&1u16.to_be_bytes());
        message
    };
    Some([question(TYPE_A), question(TYPE_AAAA)])
}

/// The addresses that a message gives for a name; none if it is not an answer, or not one that can be read.
fn answers(message: &[u8], host: &str) -> Vec<IpAddr> {
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

    #[tokio::test]
    async fn a_responder_on_the_network_is_heard() {
        let interfaces = if_addrs::get_if_addrs().unwrap();
        if interfaces.iter().all(|interface| interface.is_loopback() || interface.ip().is_ipv6()) {
            // A machine without a network has nobody to ask.
            return;
        }
        let responder = Asker::v4(&interfaces).unwrap();
        let [question, _] = questions(NAME).unwrap();
        let respond = async {
            let mut buffer = [0; 1500];
            loop {
                let length = responder.socket.recv(&mut buffer).await.unwrap();
                if buffer[..length] == question[..] {
                    responder.send(&answer());
                }
            }
        };
        let found = tokio::select! {
            () = respond => unreachable!("it responds for ever"),
            found = resolve(NAME.into()) => found,
        };
        assert_eq!(found, answers(&answer(), NAME));
    }

    proptest! {
        #[test]
        fn no_message_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            answers(&bytes, NAME);
        }

        #[test]
        fn no_damage_panics(at in 0usize..80, value: u8, cut in 0usize..110) {
            let mut message = answer();
            if let Some(byte) = message.get_mut(at) {
                *byte = value;
            }
            message.truncate(cut);
            answers(&message, NAME);
        }
    }
}
