//! The long-term credential mechanism, the server's side (RFC 8489 §9.2.4).

use std::time::{Duration, Instant};

use columba_stun::attributes::{
    MobilityTicket, Nonce, PasswordAlgorithm, PasswordAlgorithms, Realm, Username,
};
use columba_stun::{
    AttributeType, BuildError, ErrorCode, IntegrityKey, IntegrityKind, Message, MessageBuilder, Method,
};

use super::super::credentials;
use super::super::nonce::NonceCheck;
use super::super::path::{FiveTuple, Transport};
use super::super::table::Stage;
use super::super::{Config, Server};
use super::{Authentic, bad};

/// The longest time for which a credential counts: ten years stand for ever.
const FAR_AWAY: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

const UNAUTHENTICATED: Refusal = Refusal::Challenge(ErrorCode::UNAUTHENTICATED);

/// Signs answers as the request was signed.
#[derive(Debug, Clone)]
pub(in super::super) struct Signer {
    key: IntegrityKey,
    kind: IntegrityKind,
    /// True if the request had a FINGERPRINT; the answer then has one too.
    fingerprint: bool,
}

impl Signer {
    pub(super) fn sign(&self, builder: &mut MessageBuilder<'_>) -> Result<(), BuildError> {
        match self.kind {
            IntegrityKind::Sha1 => builder.integrity(&self.key)?,
            IntegrityKind::Sha256 => builder.integrity_sha256(&self.key)?,
        };
        if self.fingerprint {
            builder.fingerprint()?;
        }
        Ok(())
    }
}

/// The reason for which a request is not authentic, and the form of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// With realm and nonce, to try again: 401, 438.
    Challenge(ErrorCode),
    /// Without: 400.
    Plain(ErrorCode),
}

impl Server {
    pub(super) fn authenticate<'a>(
        &mut self,
        now: Instant,
        tuple: FiveTuple,
        message: Message<'a>,
    ) -> Result<Authentic<'a>, Refusal> {
        if !message.has_integrity() {
            return Err(UNAUTHENTICATED);
        }
        let (username, nonce) = claims(&message).map_err(Refusal::Plain)?;
        if self.nonces.check(now, &tuple, nonce) != NonceCheck::Good {
            return Err(Refusal::Challenge(ErrorCode::STALE_NONCE));
        }
        if tuple.transport() == Transport::Udp {
            self.answers.proven(now, tuple.client().ip());
        }
        let algorithm = algorithm(&message).map_err(Refusal::Plain)?;
        let expiry = credentials::expiry(username).ok_or(UNAUTHENTICATED)?;
        let signer = self.signer(&message, username, algorithm).ok_or(UNAUTHENTICATED)?;

        // What lives is measured by the time that has passed, so that a step of the wall clock
        // changes nothing for it; everything new by the wall clock.
        let left = expiry.0.checked_sub(self.wall(now));
        let is_good = match self.kept_until(&tuple, username, &message) {
            Some(until) => now <= until,
            None => left.is_some(),
        };
        if !is_good {
            return Err(UNAUTHENTICATED);
        }
        let is_new = message.method() == Method::ALLOCATE && self.table.find(&tuple).is_none();
        if is_new && !self.config.admission.admits(username) {
            return Err(UNAUTHENTICATED);
        }
        let grace = left.unwrap_or_default().min(FAR_AWAY).saturating_add(self.config.expired_grace);
        let good_until = now.checked_add(grace).unwrap_or(now + FAR_AWAY);
        Ok(Authentic { tuple, message, username, signer, good_until })
    }

    /// Finds the secret under which the request's integrity holds.
    fn signer(&self, message: &Message<'_>, username: &str, algorithm: Algorithm) -> Option<Signer> {
        self.config.secrets.iter().take(Config::MAX_SECRETS).find_map(|secret| {
            let password = credentials::password(secret, username.as_bytes());
            let key = match algorithm {
                Algorithm::Md5 => IntegrityKey::long_term_md5(username, &self.config.realm, &password),
                Algorithm::Sha256 => IntegrityKey::long_term_sha256(username, &self.config.realm, &password),
            };
            let key = key.ok()?;
            let kind = message.verify_any_integrity(&key).ok()?;
            Some(Signer { key, kind, fingerprint: message.has(AttributeType::FINGERPRINT) })
        })
    }

    /// If the request is about a live allocation of this very user: the time until which the
    /// credential may keep it going.
    fn kept_until(&self, tuple: &FiveTuple, username: &str, message: &Message<'_>) -> Option<Instant> {
        let ticket = || message.get::<MobilityTicket<'_>>().ok().flatten();
        let slot = self.table.find(tuple).or_else(|| self.tickets.holder(ticket()?.0));
        let allocation = slot.and_then(|slot| self.table.get(slot));
        let kept = allocation.filter(|a| *a.username == *username && matches!(a.stage, Stage::Live(_)));
        kept.filter(|_| message.method() != Method::ALLOCATE).map(|allocation| allocation.good_until)
    }
}

/// The algorithm that makes the key from the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Md5,
    Sha256,
}

/// Username and nonce; all three of USERNAME, REALM and NONCE must be there. The realm itself is
/// checked by the integrity, whose key is made with ours.
fn claims<'a>(message: &Message<'a>) -> Result<(&'a str, &'a [u8]), ErrorCode> {
    let username = message.get::<Username<'_>>().map_err(bad)?;
    let realm = message.get::<Realm<'_>>().map_err(bad)?;
    let nonce = message.get::<Nonce<'_>>().map_err(bad)?;
    match (username, realm, nonce) {
        (Some(Username(username)), Some(_), Some(Nonce(nonce))) => Ok((username, nonce)),
        _ => Err(ErrorCode::BAD_REQUEST),
    }
}

/// The password algorithm. Since every nonce of ours announces that we take a choice, a request
/// without any choice means MD5, and one with a choice must repeat our whole offer: an attacker who
/// shortened it on the way is found out.
fn algorithm(message: &Message<'_>) -> Result<Algorithm, ErrorCode> {
    let offer = message.get::<PasswordAlgorithms<'_>>().map_err(bad)?;
    let choice = message.get::<PasswordAlgorithm<'_>>().map_err(bad)?;
    match (offer, choice) {
        (None, None) => Ok(Algorithm::Md5),
        (Some(PasswordAlgorithms::SUPPORTED), Some(PasswordAlgorithm::MD5)) => Ok(Algorithm::Md5),
        (Some(PasswordAlgorithms::SUPPORTED), Some(PasswordAlgorithm::SHA256)) => Ok(Algorithm::Sha256),
        _ => Err(ErrorCode::BAD_REQUEST),
    }
}
