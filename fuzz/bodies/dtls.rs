//! The bodies of the DTLS targets. The crate's ordinary tests include this file, too, and run it
//! over random bytes, so that it is compiled and exercised without a fuzzer.
#![allow(dead_code, reason = "each target uses one of the bodies")]

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use columba_dtls::{Association, Certificate, Config, HashFunction, KeyAlgorithm, Role, Versions};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

/// Bytes of the headers of a record in the clear and of a handshake message.
const RECORD: usize = 13;

fn certificate() -> &'static Certificate {
    static CERTIFICATE: OnceLock<Certificate> = OnceLock::new();
    CERTIFICATE.get_or_init(|| {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let wall = Duration::from_secs(1_790_000_000);
        Certificate::generate(KeyAlgorithm::EcdsaP256, &mut rng, wall, wall * 2).expect("it can be made")
    })
}

fn association(role: Role, versions: Versions, now: Instant) -> Association {
    let mut config = Config::new(certificate().clone());
    config.versions = versions;
    let fingerprints = vec![certificate().fingerprint(HashFunction::Sha256)];
    Association::new(role, Arc::new(config), fingerprints, now, &mut ChaCha20Rng::seed_from_u64(2))
}

/// The role and the versions that a byte chooses.
fn choice(byte: u8) -> (Role, Versions) {
    let role = if byte & 1 == 0 { Role::Client } else { Role::Server };
    (role, [Versions::Both, Versions::Only12, Versions::Only13][usize::from(byte >> 1) % 3])
}

fn drain(association: &mut Association, datagram: &[u8], now: Instant) {
    let mut buf = [0; 2048];
    while association.read(datagram).is_some() {}
    while association.poll_transmit(now, &mut buf).is_some() {}
    while association.poll_event().is_some() {}
}

/// Records as they came, in each role.
pub(crate) fn records(data: &[u8], now: Instant) {
    let Some((&first, data)) = data.split_first() else { return };
    let (role, versions) = choice(first);
    let mut association = association(role, versions, now);
    let mut datagram = data.to_vec();
    association.handle_input(now, &mut datagram);
    drain(&mut association, &datagram, now);
}

/// Whole handshake messages in the clear, one behind the other: type, length, body. Headers are
/// made right, so that the readers of the messages are reached.
pub(crate) fn messages(data: &[u8], now: Instant) {
    let Some((&first, mut rest)) = data.split_first() else { return };
    let (role, versions) = choice(first);
    let mut association = association(role, versions, now);
    let mut number = 0_u16;
    while let Some((&[kind, length], after)) = rest.split_first_chunk::<2>() {
        let (body, after) = after.split_at(usize::from(length).min(after.len()));
        rest = after;
        let count = (body.len() as u32).to_be_bytes();
        let mut message = vec![kind, count[1], count[2], count[3]];
        message.extend_from_slice(&number.to_be_bytes());
        message.extend_from_slice(&[0, 0, 0, count[1], count[2], count[3]]);
        message.extend_from_slice(body);
        let mut datagram = vec![22, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0];
        datagram.extend_from_slice(&number.to_be_bytes());
        datagram.extend_from_slice(&(message.len() as u16).to_be_bytes());
        datagram.extend_from_slice(&message);
        debug_assert!(datagram.len() > RECORD);
        association.handle_input(now, &mut datagram);
        drain(&mut association, &datagram, now);
        number = number.wrapping_add(1);
    }
}

/// Two associations between which the bytes are the path: each byte says what becomes of a
/// datagram, and how much time passes.
pub(crate) fn whole(data: &[u8], now: Instant) {
    let Some((&first, data)) = data.split_first() else { return };
    let (_, versions) = choice(first);
    let mut sides = [association(Role::Client, versions, now), association(Role::Server, versions, now)];
    let (mut now, mut buf) = (now, [0; 2048]);
    for step in data.chunks(3) {
        let (action, at) = (
            step[0],
            usize::from(u16::from_be_bytes([*step.get(1).unwrap_or(&0), *step.get(2).unwrap_or(&0)])),
        );
        let from = usize::from(action & 1);
        now += Duration::from_millis(u64::from(action >> 4) * 50);
        sides[from].handle_timeout(now);
        let Some(length) = sides[from].poll_transmit(now, &mut buf) else { continue };
        let mut datagram = buf[..length].to_vec();
        let copies = match action >> 1 & 7 {
            0 => 0,
            1 => 2,
            2 => {
                let at = at % length;
                datagram[at] ^= 1 << (action >> 5);
                1
            }
            3 => {
                datagram.truncate(at % length);
                1
            }
            _ => 1,
        };
        for _ in 0..copies {
            let mut datagram = datagram.clone();
            sides[1 - from].handle_input(now, &mut datagram);
            while sides[1 - from].read(&datagram).is_some() {}
        }
        for side in &mut sides {
            while side.poll_event().is_some() {}
        }
    }
}
