//! The nonce: a time and a MAC over it, so that the server keeps no list of nonces.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use columba_stun::SecurityFeatures;

use super::path::{FiveTuple, Transport};

/// The length of a nonce.
pub(super) const NONCE_LEN: usize = PREFIX_LEN + 20;

/// Password algorithms are offered. Username anonymity is not, as usernames that expire are on no
/// list in which a hash could be looked up.
const FEATURES: SecurityFeatures = SecurityFeatures::PASSWORD_ALGORITHMS;

/// The nonce cookie, and the features in base64.
const PREFIX_LEN: usize = 13;

const MAC_LEN: usize = 11;

/// Makes and checks nonces: `obMatJos2`, the security features (RFC 8489 §9.2), then base64 of four
/// bytes of time and eleven bytes of HMAC-SHA256 over time and client address.
#[derive(Debug)]
pub(super) struct Nonces {
    key: hmac::Key,
    start: Instant,
    lifetime: Duration,
}

/// The result of checking the nonce in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NonceCheck {
    /// Ours, for this client, and fresh.
    Good,
    /// Anything else: 438.
    Stale,
}

impl Nonces {
    pub(super) fn new(key: &[u8; 32], start: Instant, lifetime: Duration) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key), start, lifetime }
    }

    /// A fresh nonce for this client.
    pub(super) fn make(&self, now: Instant, tuple: &FiveTuple) -> [u8; NONCE_LEN] {
        let time = self.seconds(now).to_be_bytes();
        let mut raw = [0; 15];
        raw[..4].copy_from_slice(&time);
        raw[4..].copy_from_slice(&self.mac(time, tuple));
        let mut nonce = [0; NONCE_LEN];
        nonce[..PREFIX_LEN].copy_from_slice(FEATURES.nonce_prefix().as_str().as_bytes());
        // Fifteen bytes are twenty characters, which is what is left.
        let written = STANDARD.encode_slice(raw, &mut nonce[PREFIX_LEN..]);
        debug_assert_eq!(written, Ok(20));
        nonce
    }

    /// Checks the nonce in a request.
    pub(super) fn check(&self, now: Instant, tuple: &FiveTuple, nonce: &[u8]) -> NonceCheck {
        let mut raw = [0; 16];
        let decoded = nonce
            .strip_prefix(FEATURES.nonce_prefix().as_str().as_bytes())
            .map(|rest| STANDARD.decode_slice(rest, &mut raw));
        let Some(Ok(15)) = decoded else { return NonceCheck::Stale };
        let time = [raw[0], raw[1], raw[2], raw[3]];
        let genuine =
            aws_lc_rs::constant_time::verify_slices_are_equal(&raw[4..15], &self.mac(time, tuple)).is_ok();
        let age = self.seconds(now).checked_sub(u32::from_be_bytes(time));
        let fresh = age.is_some_and(|age| Duration::from_secs(age.into()) < self.lifetime);
        if genuine && fresh { NonceCheck::Good } else { NonceCheck::Stale }
    }

    fn seconds(&self, now: Instant) -> u32 {
        now.saturating_duration_since(self.start).as_secs() as u32
    }

    fn mac(&self, time: [u8; 4], tuple: &FiveTuple) -> [u8; MAC_LEN] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&time);
        context.update(&[match tuple.transport() {
            Transport::Udp => 0,
            Transport::Tcp => 1,
            Transport::Tls => 2,
        }]);
        match tuple.client() {
            SocketAddr::V4(addr) => context.update(&addr.ip().octets()),
            SocketAddr::V6(addr) => context.update(&addr.ip().octets()),
        }
        context.update(&tuple.client().port().to_be_bytes());
        let tag = context.sign();
        let mut mac = [0; MAC_LEN];
        mac.copy_from_slice(&tag.as_ref()[..MAC_LEN]);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::start;
    use super::*;

    fn nonces() -> Nonces {
        Nonces::new(&[7; 32], start(), Duration::from_secs(3600))
    }

    fn tuple(client: &str) -> FiveTuple {
        FiveTuple::udp("5.0.0.1:3478".parse().unwrap(), client.parse().unwrap())
    }

    #[test]
    fn a_nonce_is_good_for_its_client_until_it_is_old() {
        let (nonces, t0, ada) = (nonces(), start(), tuple("9.0.0.1:5000"));
        let nonce = nonces.make(t0, &ada);
        let announced = SecurityFeatures::of_nonce(nonce);
        assert_eq!(announced, Some(SecurityFeatures::PASSWORD_ALGORITHMS));
        let check = |after, tuple: &FiveTuple| nonces.check(t0 + Duration::from_secs(after), tuple, &nonce);
        assert_eq!(check(0, &ada), NonceCheck::Good);
        assert_eq!(check(3599, &ada), NonceCheck::Good);
        assert_eq!(check(3600, &ada), NonceCheck::Stale);
        assert_eq!(check(0, &tuple("9.0.0.1:5001")), NonceCheck::Stale);
        assert_eq!(check(0, &tuple("9.0.0.2:5000")), NonceCheck::Stale);
        let stream = FiveTuple::stream(Transport::Tcp, ada.local(), ada.client(), 1);
        assert_eq!(check(0, &stream), NonceCheck::Stale);
    }

    #[test]
    fn no_bit_of_it_can_be_changed() {
        let (nonces, t0, ada) = (nonces(), start(), tuple("9.0.0.1:5000"));
        let nonce = nonces.make(t0, &ada);
        for bit in 0..nonce.len() * 8 {
            let mut forged = nonce;
            forged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(nonces.check(t0, &ada, &forged), NonceCheck::Stale, "bit {bit}");
        }
        for cut in 0..nonce.len() {
            assert_eq!(nonces.check(t0, &ada, &nonce[..cut]), NonceCheck::Stale);
        }
        assert_eq!(nonces.check(t0, &ada, &[b'A'; 763]), NonceCheck::Stale);
    }

    #[test]
    fn a_nonce_from_the_future_or_another_server_is_stale() {
        let (t0, ada) = (start(), tuple("9.0.0.1:5000"));
        let later = nonces().make(t0 + Duration::from_secs(60), &ada);
        assert_eq!(nonces().check(t0, &ada, &later), NonceCheck::Stale);
        let other = Nonces::new(&[8; 32], t0, Duration::from_secs(3600)).make(t0, &ada);
        assert_eq!(nonces().check(t0, &ada, &other), NonceCheck::Stale);
    }
}
