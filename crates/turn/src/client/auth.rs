//! The long-term credential mechanism, the client's side (RFC 8489 §9.2).

use columba_stun::attributes::{Nonce, PasswordAlgorithm, PasswordAlgorithms, Realm, Username};
use columba_stun::{
    AttributeType, BuildError, IntegrityKey, IntegrityKind, Message, MessageBuilder, SecurityFeatures,
};

use super::Config;

/// The credentials that a server's challenge led to.
#[derive(Debug)]
pub(super) struct Auth {
    /// As it came: the server gets the same bytes back.
    realm: Box<[u8]>,
    /// As it came.
    nonce: Box<[u8]>,
    key: IntegrityKey,
    /// The server's list of password algorithms, to be echoed, if the stronger one is used.
    algorithms: Option<Box<[u8]>>,
}

impl Auth {
    /// From a 401 or 438; `None` if it lacks what it must have. A 438 may leave the realm as it
    /// was.
    pub(super) fn from_challenge(
        challenge: &Message<'_>,
        config: &Config,
        before: Option<&Self>,
    ) -> Option<Self> {
        let Nonce(nonce) = challenge.get().ok()??;
        let realm = match challenge.get().ok()? {
            Some(Realm(realm)) => realm,
            None => &before?.realm,
        };
        let announced = SecurityFeatures::of_nonce(nonce)
            .is_some_and(|features| features.contains(SecurityFeatures::PASSWORD_ALGORITHMS));
        // A list that the nonce does not announce is not looked at (RFC 8489 §9.2.4).
        let offered: Option<PasswordAlgorithms<'_>> = if announced { challenge.get().ok()? } else { None };
        let sha256 = offered.is_some_and(|list| list.contains(PasswordAlgorithm::SHA256));
        let (username, password) = (&config.username, &config.password);
        // A password that cannot be prepared is taken as it is, as browsers take each.
        let (key, algorithms) = if sha256 {
            let list = challenge.raw(AttributeType::PASSWORD_ALGORITHMS)?.value.into();
            let key = IntegrityKey::long_term_sha256(username, realm, password);
            let raw = |_| IntegrityKey::long_term_sha256_unprepared(username, realm, password);
            (key.unwrap_or_else(raw), Some(list))
        } else {
            let key = IntegrityKey::long_term_md5(username, realm, password);
            let raw = |_| IntegrityKey::long_term_md5_unprepared(username, realm, password);
            (key.unwrap_or_else(raw), None)
        };
        Some(Self { realm: realm.into(), nonce: nonce.into(), key, algorithms })
    }

    pub(super) fn sign(&self, builder: &mut MessageBuilder<'_>, username: &str) -> Result<(), BuildError> {
        builder.push(&Username(username))?.push(&Realm(&self.realm))?.push(&Nonce(&self.nonce))?;
        match &self.algorithms {
            Some(list) => {
                builder.push_raw(AttributeType::PASSWORD_ALGORITHMS, list)?;
                builder.push(&PasswordAlgorithm::SHA256)?.integrity_sha256(&self.key)?;
            }
            None => {
                builder.integrity(&self.key)?;
            }
        }
        Ok(())
    }

    /// Returns whether the server has made this answer, with at least the strength of the request.
    pub(super) fn verify(&self, answer: &Message<'_>) -> bool {
        match answer.verify_any_integrity(&self.key) {
            Ok(IntegrityKind::Sha256) => true,
            Ok(IntegrityKind::Sha1) => self.algorithms.is_none(),
            Err(_) => false,
        }
    }

    /// Returns whether a challenge brings nothing new: then the credentials themselves are wrong.
    pub(super) fn is_same_nonce(&self, challenge: &Message<'_>) -> bool {
        matches!(challenge.get(), Ok(Some(Nonce(nonce))) if *nonce == *self.nonce)
    }
}
