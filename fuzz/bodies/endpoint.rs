//! The target of an endpoint's table, which tells by STUN and by addresses whose a datagram is. The
//! crate's ordinary tests include this file, too.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use columba_stun::{AttributeType, Message, Method};
use table::{Owner, Table};

#[allow(dead_code, reason = "not all of it is used here")]
#[path = "../../crates/columba/src/endpoint/stun.rs"]
mod stun;
#[allow(dead_code, reason = "not all of it is used here")]
#[path = "../../crates/columba/src/endpoint/table.rs"]
mod table;

const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Plays calls to a table, one a line, beside a plain model: no datagram panics, and each reaches
/// the connection that it is for, or none.
///
/// ```text
/// c12         connection 1 claims the way to address 2
/// r1          connection 1 leaves
/// f1 ab       connection 1 has this fragment, in place of the one before
/// e1 16…      connection 1 asks a server, with a transaction id in hexadecimal
/// t           50 s pass
/// d2 16…      a datagram comes from address 2, in hexadecimal
/// ```
pub(crate) fn endpoint(data: &[u8]) {
    let Ok(script) = std::str::from_utf8(data) else { return };
    let mut stage = Stage::new();
    for line in script.lines().take(400) {
        stage.play(line);
    }
    stage.clear();
}

struct Stage {
    table: Table,
    now: Instant,
    ways: BTreeMap<u8, Owner>,
    fragments: BTreeMap<Owner, Box<str>>,
    asked: BTreeMap<[u8; 12], Owner>,
}

impl Stage {
    #[allow(clippy::disallowed_methods, reason = "an Instant cannot be made otherwise; only added to")]
    fn new() -> Self {
        let (ways, fragments, asked) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { table: Table::default(), now: Instant::now(), ways, fragments, asked }
    }

    fn play(&mut self, line: &str) {
        let mut bytes = line.bytes();
        let (Some(call), who) = (bytes.next(), bytes.next().unwrap_or(b'0')) else { return };
        let rest = line.get(3..).unwrap_or_default();
        let owner = Owner::from(who);
        match call {
            b'c' => {
                let remote = bytes.next().unwrap_or(b'0');
                let holder = *self.ways.entry(remote).or_insert(owner);
                assert_eq!(self.table.claim(owner, HOME, address(remote)), holder == owner);
            }
            b'r' => self.leave(owner),
            b'f' => self.follow(owner, rest),
            b'e' => {
                let mut id = [0; 12];
                id.iter_mut().zip(unhex(rest)).for_each(|(to, from)| *to = from);
                self.table.expect(self.now, owner, id);
                self.asked.insert(id, owner);
            }
            b't' => self.now += Duration::from_secs(50),
            b'd' => self.arrive(who, &unhex(rest)),
            _ => {}
        }
    }

    fn follow(&mut self, owner: Owner, name: &str) {
        // Fragments are random: two connections never have the same.
        if self.fragments.iter().any(|(other, taken)| *other != owner && **taken == *name) {
            return;
        }
        let before: Vec<Box<str>> = self.fragments.insert(owner, name.into()).into_iter().collect();
        self.table.set_fragments(owner, &before, &[name.into()]);
    }

    fn leave(&mut self, owner: Owner) {
        let held = self.ways.iter().filter(|(_, holder)| **holder == owner);
        let claimed: Vec<SocketAddr> = held.map(|(remote, _)| address(*remote)).collect();
        self.table.release(owner, HOME, &claimed);
        self.ways.retain(|_, holder| *holder != owner);
        let before: Vec<Box<str>> = self.fragments.remove(&owner).into_iter().collect();
        self.table.set_fragments(owner, &before, &[]);
    }

    fn arrive(&mut self, remote: u8, datagram: &[u8]) {
        compare(datagram);
        let by_address = self.ways.get(&remote).copied();
        let routed = self.table.route(HOME, address(remote), datagram);
        let Some(message) = stun::Stun::read(datagram) else {
            return assert_eq!(routed, by_address, "what is no STUN goes by its address");
        };
        let wanted = message.fragment();
        let mut held = self.fragments.iter().filter(|(_, held)| Some(held.as_ref()) == wanted);
        match message.class {
            stun::Class::Indication => assert_eq!(routed, by_address),
            stun::Class::Response => {
                // It may have been forgotten, and an answer is taken once.
                let asked = self.asked.remove(&message.transaction);
                assert!(routed == by_address || (routed.is_some() && routed == asked));
            }
            stun::Class::Request => match held.next() {
                Some((owner, _)) if by_address.is_none_or(|holder| holder == *owner) => {
                    assert_eq!(routed, Some(*owner), "a check goes by its user name");
                }
                Some(_) => assert_eq!(routed, None, "the way is another connection's"),
                None => assert_eq!(routed, by_address),
            },
        }
    }

    /// When all have left, no address and no name finds a connection.
    fn clear(&mut self) {
        let owners: BTreeSet<Owner> = self.ways.values().chain(self.fragments.keys()).copied().collect();
        let remotes: Vec<u8> = self.ways.keys().copied().collect();
        owners.into_iter().for_each(|owner| self.leave(owner));
        for remote in remotes {
            assert_eq!(self.table.route(HOME, address(remote), &[22, 254, 253]), None);
        }
    }
}

/// Compares the endpoint's reading with that of the agents behind it: STUN is STUN for both, though
/// the endpoint looks at less of it.
fn compare(datagram: &[u8]) {
    let Ok(message) = Message::parse(datagram) else { return };
    let Some(stun) = stun::Stun::read(datagram) else {
        return assert!(datagram[0] > 3, "other protocols begin with these (RFC 7983 §7)");
    };
    let class = match message.class() {
        columba_stun::Class::Request => stun::Class::Request,
        columba_stun::Class::Indication => stun::Class::Indication,
        columba_stun::Class::SuccessResponse | columba_stun::Class::ErrorResponse => stun::Class::Response,
    };
    assert_eq!((stun.class, stun.is_binding), (class, message.method() == Method::BINDING));
    assert_eq!(stun.transaction, datagram[8..20]);
    assert_eq!(stun.username(), message.raw(AttributeType::USERNAME).map(|raw| raw.value));
}

fn address(number: u8) -> SocketAddr {
    (Ipv4Addr::new(192, 0, 2, number), 4000).into()
}

fn unhex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks_exact(2);
    pairs.filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}
