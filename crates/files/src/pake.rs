//! The exchange by which a code becomes a secret (SPAKE2, RFC 9382).
//!
//! The receiver of the files begins. Both shares go over the server; then the receiver proves that
//! it has the same key, and only then does the sender. So a wrong guess of either side's code costs
//! the one who guesses one try, and a share that was answered tells nothing about the code.

use std::fmt;

use aws_lc_rs::{constant_time, hmac};
use rand_core::CryptoRng;
use spake2::{Ed25519Group, Identity, Password, Spake2};

use crate::code::Code;
use crate::secret::{SECRET_LEN, Secret, derive};

/// The length of a share in bytes.
pub const SHARE_LEN: usize = 33;

/// The length of a proof in bytes.
pub const PROOF_LEN: usize = 32;

const SENDER: &[u8] = b"columba send 1 sender";
const RECEIVER: &[u8] = b"columba send 1 receiver";
const PROOF_OF_SENDER: &[u8] = b"columba send 1 proof of the sender";
const PROOF_OF_RECEIVER: &[u8] = b"columba send 1 proof of the receiver";
const AGREED: &[u8] = b"columba send 1 secret";

/// The two sides of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The side that has made the code.
    Sender,
    /// The side to which it was told.
    Receiver,
}

/// An exchange that waits for the other side's share.
pub struct Exchange {
    role: Role,
    state: Spake2<Ed25519Group>,
    share: Vec<u8>,
}

/// The keys that come of an exchange, not yet proven to be the other side's.
pub struct Unproven {
    role: Role,
    sender: [u8; PROOF_LEN],
    receiver: [u8; PROOF_LEN],
    secret: Secret,
}

/// The exchange has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    /// The share is none.
    #[error("the other side's share is malformed")]
    Share,
    /// The other side has another code.
    #[error("the other side has another code")]
    OtherCode,
}

impl Exchange {
    /// Begins an exchange.
    pub fn new(role: Role, code: &Code, rng: &mut impl CryptoRng) -> Self {
        let password = Password::new(code.to_string());
        let (a, b) = (Identity::new(SENDER), Identity::new(RECEIVER));
        let rng = OldRng(rng);
        let (state, share) = match role {
            Role::Sender => Spake2::start_a_with_rng(&password, &a, &b, rng),
            Role::Receiver => Spake2::start_b_with_rng(&password, &a, &b, rng),
        };
        Self { role, state, share }
    }

    /// The own share, for the other side.
    #[must_use]
    pub fn share(&self) -> &[u8] {
        &self.share
    }

    /// Takes the other side's share.
    ///
    /// # Errors
    /// It is no share.
    pub fn finish(self, share: &[u8]) -> Result<Unproven, ExchangeError> {
        let key = self.state.finish(share).map_err(|_| ExchangeError::Share)?;
        let mut unproven = Unproven {
            role: self.role,
            sender: [0; PROOF_LEN],
            receiver: [0; PROOF_LEN],
            secret: Secret::from_bytes([0; SECRET_LEN]),
        };
        for (label, proof) in
            [(PROOF_OF_SENDER, &mut unproven.sender), (PROOF_OF_RECEIVER, &mut unproven.receiver)]
        {
            let mut confirmation = [0; 32];
            derive(&key, label, &mut confirmation);
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &confirmation), label);
            proof.copy_from_slice(tag.as_ref());
        }
        let mut secret = [0; SECRET_LEN];
        derive(&key, AGREED, &mut secret);
        unproven.secret = Secret::from_bytes(secret);
        Ok(unproven)
    }
}

impl Unproven {
    /// The own proof. The sender gives it only after it has checked the receiver's.
    #[must_use]
    pub const fn proof(&self) -> &[u8; PROOF_LEN] {
        match self.role {
            Role::Sender => &self.sender,
            Role::Receiver => &self.receiver,
        }
    }

    /// Checks the other side's proof; the secret comes out.
    ///
    /// # Errors
    /// The other side has another code.
    pub fn check(&self, proof: &[u8]) -> Result<Secret, ExchangeError> {
        let wanted = match self.role {
            Role::Sender => &self.receiver,
            Role::Receiver => &self.sender,
        };
        constant_time::verify_slices_are_equal(wanted, proof).map_err(|_| ExchangeError::OtherCode)?;
        Ok(self.secret.clone())
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("role", &self.role).finish_non_exhaustive()
    }
}

impl fmt::Debug for Unproven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unproven").field("role", &self.role).finish_non_exhaustive()
    }
}

/// Our generator behind the trait of the version that `spake2` uses.
struct OldRng<'a, R>(&'a mut R);

impl<R: CryptoRng> rand_core_06::RngCore for OldRng<'_, R> {
    fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core_06::Error> {
        self.0.fill_bytes(bytes);
        Ok(())
    }
}

impl<R: CryptoRng> rand_core_06::CryptoRng for OldRng<'_, R> {}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng as _;

    use super::*;

    fn exchange(sender: &str, receiver: &str, seed: u8) -> (Unproven, Unproven) {
        let mut rng = ChaCha20Rng::from_seed([seed; 32]);
        let sender = Exchange::new(Role::Sender, &sender.parse().unwrap(), &mut rng);
        let receiver = Exchange::new(Role::Receiver, &receiver.parse().unwrap(), &mut rng);
        assert_eq!(sender.share().len(), SHARE_LEN);
        let (from_sender, from_receiver) = (sender.share().to_vec(), receiver.share().to_vec());
        (sender.finish(&from_receiver).unwrap(), receiver.finish(&from_sender).unwrap())
    }

    #[test]
    fn the_same_code_gives_the_same_secret() {
        let (sender, receiver) = exchange("7-copper-violin", "7-copper-violin", 1);
        let secret = sender.check(receiver.proof()).unwrap();
        assert_eq!(receiver.check(sender.proof()), Ok(secret.clone()));
        let (again, proof) = exchange("7-copper-violin", "7-copper-violin", 2);
        assert_ne!(again.check(proof.proof()), Ok(secret));
    }

    #[test]
    fn another_code_is_found_by_both() {
        let (sender, receiver) = exchange("7-copper-violin", "7-violin-copper", 1);
        assert_eq!(sender.check(receiver.proof()), Err(ExchangeError::OtherCode));
        assert_eq!(receiver.check(sender.proof()), Err(ExchangeError::OtherCode));
    }

    #[test]
    fn a_reflected_share_or_proof_proves_nothing() {
        let (sender, _) = exchange("7-copper-violin", "7-copper-violin", 1);
        assert_eq!(sender.check(sender.proof()), Err(ExchangeError::OtherCode));
        let mut rng = ChaCha20Rng::from_seed([3; 32]);
        let one = Exchange::new(Role::Sender, &"7-copper-violin".parse().unwrap(), &mut rng);
        let own = one.share().to_vec();
        assert!(one.finish(&own).is_err());
    }

    #[test]
    fn malformed_shares_are_refused() {
        for share in [&[][..], &[0x42; 32], &[0x42; 34], &[0xff; 33]] {
            let mut rng = ChaCha20Rng::from_seed([3; 32]);
            let one = Exchange::new(Role::Sender, &"7-copper-violin".parse().unwrap(), &mut rng);
            assert!(one.finish(share).is_err());
        }
    }

    #[test]
    fn a_thousand_guesses_do_not_hit() {
        let mut rng = ChaCha20Rng::from_seed([9; 32]);
        let code: Code = "7-copper-violin".parse().unwrap();
        for _ in 0..1000 {
            let guess = Code::random(7, &mut rng);
            if guess == code {
                continue;
            }
            let (sender, receiver) = (
                Exchange::new(Role::Sender, &code, &mut rng),
                Exchange::new(Role::Receiver, &guess, &mut rng),
            );
            let share = sender.share().to_vec();
            let guessed = receiver.finish(&share).unwrap();
            let mut rng2 = ChaCha20Rng::from_seed([8; 32]);
            let other = Exchange::new(Role::Receiver, &guess, &mut rng2);
            let unproven = sender.finish(other.share()).unwrap();
            assert_eq!(unproven.check(guessed.proof()), Err(ExchangeError::OtherCode));
        }
    }
}
