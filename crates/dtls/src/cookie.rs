//! Cookies, by which a server makes sure of a client's address before it keeps anything of it (RFC
//! 6347 §4.2.1, RFC 8446 §4.2.2).

use std::fmt;

use aws_lc_rs::hmac;
use rand_core::CryptoRng;
use zeroize::Zeroize;

use crate::wire::{Reader, put_u16, put_vec8};

/// Bytes of an HMAC.
const TAG: usize = 32;

/// A server's key for cookies. Replace it now and then: with it every older cookie ends.
#[derive(Clone)]
pub struct CookieKey(hmac::Key);

impl CookieKey {
    /// Makes a key.
    pub fn new(rng: &mut impl CryptoRng) -> Self {
        let mut key = [0; 32];
        rng.fill_bytes(&mut key);
        let made = Self(hmac::Key::new(hmac::HMAC_SHA256, &key));
        key.zeroize();
        made
    }

    /// The key for one client's address, in whatever form the caller has it.
    pub(crate) fn bind(&self, address: &[u8]) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&self.0, address).as_ref())
    }
}

/// Debug output must not give the key away.
impl fmt::Debug for CookieKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CookieKey")
    }
}

/// The cookie of a HelloVerifyRequest.
pub(crate) fn make_12(key: &hmac::Key, client_random: &[u8; 32]) -> Vec<u8> {
    hmac::sign(key, client_random).as_ref().to_vec()
}

pub(crate) fn is_right_12(key: &hmac::Key, client_random: &[u8; 32], cookie: &[u8]) -> bool {
    hmac::verify(key, client_random, cookie).is_ok()
}

/// The cookie of a HelloRetryRequest: what a server has to know of the first ClientHello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RetryCookie {
    pub(crate) suite: u16,
    /// The group that was asked for, or 0.
    pub(crate) group: u16,
    /// The hash of the first ClientHello.
    pub(crate) first_hello: Vec<u8>,
}

impl RetryCookie {
    pub(crate) fn write(&self, key: &hmac::Key) -> Vec<u8> {
        let mut out = Vec::with_capacity(96);
        put_u16(&mut out, self.suite);
        put_u16(&mut out, self.group);
        put_vec8(&mut out, |out| out.extend_from_slice(&self.first_hello));
        let tag = hmac::sign(key, &out);
        out.extend_from_slice(tag.as_ref());
        out
    }

    /// Returns `None` if the cookie is not an own one for this address.
    pub(crate) fn read(key: &hmac::Key, cookie: &[u8]) -> Option<Self> {
        let (body, tag) = cookie.split_at_checked(cookie.len().checked_sub(TAG)?)?;
        hmac::verify(key, body, tag).ok()?;
        let mut reader = Reader::new(body);
        let (suite, group) = (reader.u16().ok()?, reader.u16().ok()?);
        Some(Self { suite, group, first_hello: reader.vec8().ok()?.rest().to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    #[test]
    fn cookies_are_good_for_one_address_and_one_client() {
        let key = CookieKey::new(&mut ChaCha20Rng::seed_from_u64(1));
        let (here, there) = (key.bind(b"192.0.2.1:5000"), key.bind(b"192.0.2.2:5000"));
        let cookie = make_12(&here, &[1; 32]);
        assert!(is_right_12(&here, &[1; 32], &cookie));
        assert!(!is_right_12(&here, &[2; 32], &cookie));
        assert!(!is_right_12(&there, &[1; 32], &cookie));
        assert!(!is_right_12(&here, &[1; 32], &[]));
        let retry = RetryCookie { suite: 0x1301, group: 23, first_hello: vec![5; 48] };
        let cookie = retry.write(&here);
        assert_eq!(RetryCookie::read(&here, &cookie), Some(retry));
        assert_eq!(RetryCookie::read(&there, &cookie), None);
        for bit in 0..cookie.len() * 8 {
            let mut forged = cookie.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(RetryCookie::read(&here, &forged), None);
        }
        assert_eq!(RetryCookie::read(&here, &cookie[..40]), None);
    }
}
