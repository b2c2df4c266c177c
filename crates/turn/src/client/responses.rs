//! The client's reactions to the server's answers.

use std::time::{Duration, Instant};

use columba_stun::attributes::{AlternateServer, ErrorInfo, Lifetime, XorRelayedAddress};
use columba_stun::{Class, ErrorCode, Message};

use super::auth::Auth;
use super::transaction::{Kind, Transaction};
use super::{Client, Event, Failure, Families, KEEPALIVE, LIFETIME, REFRESH_AHEAD, Stage};

/// The number of times that a request is made with new credentials or a new nonce before the server
/// is given up.
const MAX_ATTEMPTS: u8 = 4;

/// The transmissions of a request after which an unsigned error to it counts.
const UNSIGNED_AFTER: u32 = 3;

/// Errors to which asking for mobility may have led.
const NOT_MOBILE: [ErrorCode; 3] =
    [ErrorCode::MOBILITY_FORBIDDEN, ErrorCode::UNKNOWN_ATTRIBUTE, ErrorCode::BAD_REQUEST];

/// Longer lifetimes than a day are not believed, in seconds.
const MAX_LIFETIME: u32 = 86_400;

impl Client {
    pub(super) fn handle_response(&mut self, now: Instant, answer: &Message<'_>) {
        let id = answer.transaction_id();
        let Some(index) = self.transactions.iter().position(|one| one.id == id) else { return };
        // An error without a code that can be read (servers of Pion's have sent such) is an error
        // all the same, for browsers 600, too.
        let error = (answer.class() == Class::ErrorResponse).then(|| {
            let info: Option<ErrorInfo<'_>> = answer.get().ok().flatten();
            info.unwrap_or_else(|| ErrorCode::GLOBAL_FAILURE.into())
        });
        if !self.is_acceptable(&self.transactions[index], answer, error.as_ref()) {
            return;
        }
        self.note_round_trip(now, index);
        let transaction = self.transactions.swap_remove(index);
        match error {
            None => self.handle_success(now, transaction.kind, answer),
            Some(info) => self.handle_error(now, transaction, answer, &info),
        }
    }

    /// Returns whether an answer ends its transaction. An answer to a signed request must be
    /// signed, but for challenges (RFC 8489 §9.2.5): everything else is as if it had never come.
    ///
    /// Deviation: while there is no allocation yet, or none is wanted any more, an error need not
    /// be signed. Servers of Pion's lineage sign neither 437, 440, 486 nor 508, and browsers take
    /// the word of such a server at once (Chromium for any request). A forger gains nothing: it
    /// must know the 96 bits of the transaction id, so it reads what is sent, and then it could
    /// have answered the first request, which is never signed. A live allocation is not given up
    /// for an unsigned answer, nor a permission or a channel, unless the server gives no other
    /// answer: one that signs its errors has answered before the request is sent the third time.
    /// On a stream only the server can have sent it, and RFC 8489 §9.2.5 ends the transaction, too.
    fn is_acceptable(&self, sent: &Transaction, answer: &Message<'_>, error: Option<&ErrorInfo<'_>>) -> bool {
        let Some(auth) = self.auth.as_ref().filter(|_| sent.signed) else {
            return error.is_some();
        };
        if auth.verify(answer) {
            return true;
        }
        let is_challenge =
            |info: &ErrorInfo<'_>| matches!(info.code, ErrorCode::UNAUTHENTICATED | ErrorCode::STALE_NONCE);
        let has_nothing_to_lose = matches!(sent.kind, Kind::Allocate | Kind::Refresh { lifetime: 0 });
        let is_all_there_is = sent.sent >= UNSIGNED_AFTER;
        error.is_some_and(is_challenge)
            || (error.is_some() && (has_nothing_to_lose || self.config.stream || is_all_there_is))
    }

    fn handle_success(&mut self, now: Instant, kind: Kind, answer: &Message<'_>) {
        match kind {
            Kind::Allocate => self.handle_allocated(now, answer),
            Kind::Refresh { lifetime: 0 } => self.end(),
            Kind::Refresh { .. } => {
                self.note_proof();
                self.schedule_refresh(now, answer);
            }
            Kind::Move => self.handle_moved(now, answer),
            Kind::Permit(addresses) => self.handle_permitted(now, &addresses),
            Kind::Bind { peer, .. } => self.handle_bound(now, peer),
        }
    }

    fn handle_allocated(&mut self, now: Instant, answer: &Message<'_>) {
        let relayed: Vec<_> =
            answer.all().filter_map(Result::ok).map(|XorRelayedAddress(address)| address).take(2).collect();
        if relayed.is_empty() {
            let text = "the server granted no address".to_owned();
            return self.fail(Failure { code: None, text, alternate: None });
        }
        if self.stage == Stage::Releasing {
            return self.begin(now, Kind::Refresh { lifetime: 0 });
        }
        let mapped = answer.mapped_address();
        self.stage = Stage::Live;
        self.relayed.clone_from(&relayed);
        self.schedule_refresh(now, answer);
        self.keep_ticket(answer);
        self.keepalive_at = (!self.config.stream).then(|| now + KEEPALIVE);
        self.events.push_back(Event::Allocated { relayed, mapped });
        self.ask_for_permissions(now);
    }

    /// A minute before the end, or halfway if there is not much time.
    pub(super) fn schedule_refresh(&mut self, now: Instant, answer: &Message<'_>) {
        let Lifetime(seconds) = answer.get().ok().flatten().unwrap_or(Lifetime(LIFETIME));
        let lifetime = Duration::from_secs(u64::from(seconds.clamp(2, MAX_LIFETIME)));
        let after = if lifetime > REFRESH_AHEAD * 2 { lifetime - REFRESH_AHEAD } else { lifetime / 2 };
        self.refresh_at = Some(now + after);
    }

    fn handle_error(&mut self, now: Instant, sent: Transaction, answer: &Message<'_>, info: &ErrorInfo<'_>) {
        let challenge = match info.code {
            ErrorCode::UNAUTHENTICATED => {
                self.auth.as_ref().is_none_or(|auth| !sent.signed || !auth.is_same_nonce(answer))
            }
            ErrorCode::STALE_NONCE => true,
            _ => false,
        };
        // An allocation that is not wanted any more is not asked for again.
        let given_up = self.stage == Stage::Releasing && matches!(sent.kind, Kind::Allocate);
        if challenge
            && !given_up
            && sent.attempt < MAX_ATTEMPTS
            && let Some(auth) = Auth::from_challenge(answer, &self.config, self.auth.as_ref())
        {
            self.auth = Some(auth);
            return self.begin_again(now, sent.kind, sent.attempt + 1);
        }
        // It has no IPv4, and does not know how to be asked for more than one family.
        let only_ipv6 = info.code == ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED
            && self.config.families == Families::Both
            && !given_up;
        match sent.kind {
            // Some servers forbid mobility, but not the rest; others may not even know what it is.
            Kind::Allocate if NOT_MOBILE.contains(&info.code) && self.config.mobility && !given_up => {
                self.config.mobility = false;
                self.mobility.forbidden = true;
                self.begin_again(now, sent.kind, sent.attempt + 1);
            }
            Kind::Allocate if only_ipv6 => {
                self.config.families = Families::Ipv6;
                self.begin_again(now, sent.kind, sent.attempt + 1);
            }
            Kind::Allocate => {
                let alternate = answer
                    .get()
                    .ok()
                    .flatten()
                    .map(|AlternateServer(address)| address)
                    .filter(|_| info.code == ErrorCode::TRY_ALTERNATE);
                let text = info.reason.clone().into_owned();
                self.fail(Failure { code: Some(info.code), text, alternate });
            }
            Kind::Refresh { lifetime: 0 } => self.end(),
            Kind::Move => self.lose(),
            // Or a NAT that had forgotten its mappings now uses a port that was another client's,
            // and the allocation there is that client's.
            _ if matches!(info.code, ErrorCode::ALLOCATION_MISMATCH | ErrorCode::WRONG_CREDENTIALS) => {
                if !self.follow(now, &sent.kind) {
                    self.lose();
                }
            }
            Kind::Refresh { .. } => self.lose(),
            Kind::Permit(addresses) => self.handle_not_permitted(now, &addresses),
            Kind::Bind { peer, .. } => self.handle_not_bound(peer),
        }
    }

    /// The server did not answer.
    pub(super) fn handle_silence(&mut self, now: Instant, kind: Kind) {
        match kind {
            Kind::Allocate => {
                let text = "the server did not answer".to_owned();
                self.fail(Failure { code: None, text, alternate: None });
            }
            Kind::Refresh { lifetime: 0 } => self.end(),
            Kind::Refresh { .. } | Kind::Move => self.lose(),
            Kind::Permit(addresses) => self.handle_not_permitted(now, &addresses),
            Kind::Bind { peer, .. } => self.handle_not_bound(peer),
        }
    }
}
