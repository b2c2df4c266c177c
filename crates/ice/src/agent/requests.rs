//! The other side's checks: authenticated, answered, and acted upon (RFC 8445 §7.3).

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use columba_stun::attributes::{Priority, UseCandidate, Username, XorMappedAddress};
use columba_stun::{AttributeType, BuildError, Class, ErrorCode, Message, MessageBuilder, Method};

use super::Agent;
use super::claim::{Claim, Early};
use super::ids::{Base, RemoteId, SessionId};
use super::remote::Remote;
use super::role::Conflict;
use crate::event::{Event, Role};
use crate::stats::PairState;

/// The counter of renomination (draft-thatcher-ice-renomination), with libwebrtc's number.
/// Comprehension-optional, and sent only if both sides have declared `a=ice-options:renomination`.
pub(super) const NOMINATION: AttributeType = AttributeType::new(0xC001);

/// The attribute in which checks and responses carry the owner's embedded value: the number under
/// which libwebrtc carries DTLS in STUN. Comprehension-optional.
pub const EMBEDDED: AttributeType = AttributeType::new(0xC070);

/// The longest embedded value, in bytes, and the number of values at most.
pub(super) const MAX_EMBEDDED: usize = 1100;
pub(super) const MAX_VALUES: usize = 4;

/// Discovered candidates of one IP address that have never answered a check from one base, at most.
const MAX_CHASED: usize = 5;

/// A pair over which the other side's checks arrive but no answers is not checked again within this
/// time.
const REVIVAL: Duration = Duration::from_secs(60);

/// The longest response.
const MAX_RESPONSE: usize = 1300;

/// The comprehension-required attributes of a check.
const KNOWN: [AttributeType; 4] = [
    AttributeType::USERNAME,
    AttributeType::PRIORITY,
    AttributeType::USE_CANDIDATE,
    AttributeType::XOR_MAPPED_ADDRESS,
];

impl Agent {
    /// STUN from a peer or a server.
    pub(super) fn handle_stun(&mut self, now: Instant, base: Base, remote: SocketAddr, bytes: &[u8]) {
        let Ok(message) = Message::parse(bytes) else {
            self.counters.dropped += 1;
            self.distrust_stream(base, remote);
            return;
        };
        match message.class() {
            Class::SuccessResponse | Class::ErrorResponse => {
                self.handle_response(now, base, remote, &message)
            }
            Class::Request if message.method() == Method::BINDING => {
                if self.handle_request(now, base, remote, &message).is_none() {
                    self.counters.dropped += 1;
                    self.distrust_stream(base, remote);
                }
            }
            // A Binding indication keeps a NAT's binding open, and may carry something.
            Class::Indication if message.method() == Method::BINDING => self.handle_indication(&message),
            Class::Request | Class::Indication => {}
        }
    }

    /// Takes the embedded value of an authentic indication; any other says nothing.
    fn handle_indication(&mut self, message: &Message<'_>) {
        let Some(embedded) = message.raw(EMBEDDED) else { return };
        let authentic = || -> Option<()> {
            message.verify_fingerprint().ok()?;
            let Username(username) = message.get().ok()??;
            let (ufrag, remote_ufrag) = username.split_once(':')?;
            let session = self.sessions.answered().find(|session| *session.local.ufrag == *ufrag)?;
            let is_its = session.remote_ufrag().is_none_or(|known| known == remote_ufrag);
            message.verify_integrity(&session.local_key()).ok().filter(|()| is_its)
        };
        match authentic() {
            Some(()) => self.outputs.emit(Event::Embedded(Bytes::copy_from_slice(embedded.value))),
            None => self.counters.dropped += 1,
        }
    }

    /// Returns `None` if the request is invalid and ignored.
    fn handle_request(
        &mut self,
        now: Instant,
        base: Base,
        remote: SocketAddr,
        request: &Message<'_>,
    ) -> Option<()> {
        request.verify_fingerprint().ok()?;
        let Username(username) = request.get().ok()??;
        let (local_ufrag, remote_ufrag) = username.split_once(':')?;
        let session = self.sessions.answered().find(|session| *session.local.ufrag == *local_ufrag)?;
        request.verify_integrity(&session.local_key()).ok()?;
        let session_id = session.id;
        if session.remote_ufrag().is_some_and(|known| known != remote_ufrag) || session.failed {
            return None;
        }
        let unknown = request.unknown_comprehension_required(&KNOWN);
        if !unknown.is_empty() {
            self.refuse(base, remote, request, session_id, ErrorCode::UNKNOWN_ATTRIBUTE, |builder| {
                builder.push(&unknown).map(drop)
            });
            return Some(());
        }
        match self.roles.conflict(now, request, self.config.lite)? {
            Conflict::None => {}
            Conflict::Ours => self.switch_role(),
            Conflict::Theirs => {
                self.refuse(base, remote, request, session_id, ErrorCode::ROLE_CONFLICT, |_| Ok(()));
                return Some(());
            }
        }
        let nomination = request.raw(NOMINATION).and_then(|raw| raw.value.try_into().ok());
        let embedded = request.raw(EMBEDDED).map(|raw| Bytes::copy_from_slice(raw.value));
        let claim = Claim {
            priority: request.get().ok()?.map(|Priority(priority)| priority)?,
            nominated: request.get::<UseCandidate>().ok()?.is_some() || nomination.is_some(),
            nomination: nomination.map(u32::from_be_bytes),
            remote_ufrag: remote_ufrag.into(),
        };
        self.tcp.prove(base, remote);
        self.respond(base, remote, request, session_id);
        if let Some(embedded) = embedded {
            self.outputs.emit(Event::Embedded(embedded));
        }
        if self.sessions.get(session_id).is_none_or(|session| session.remote.is_none()) {
            // The answer needs no remote credentials; what the check brings about does.
            self.sessions.early.push(Early { session: session_id, base, remote, claim });
        } else {
            self.handle_claim(now, session_id, base, remote, &claim);
        }
        Some(())
    }

    fn respond(&mut self, base: Base, remote: SocketAddr, request: &Message<'_>, session_id: SessionId) {
        let Some(session) = self.sessions.get(session_id) else { return };
        let pair = self.pairs.find(session_id, base, remote).and_then(|id| self.pairs.get(id));
        // A lite agent gets no answers, and so no proof.
        let is_proven = pair.is_some_and(|pair| pair.consent.answered.is_some()) && !self.config.lite;
        let mut buffer = [0; MAX_RESPONSE];
        let build = |buffer: &mut [u8], embedded: Option<&Bytes>| -> Result<usize, BuildError> {
            let mut builder = MessageBuilder::success(buffer, request)?;
            builder.push(&XorMappedAddress(remote))?;
            if let Some(embedded) = embedded {
                builder.push_raw(EMBEDDED, embedded)?;
            }
            builder.integrity(&session.local_key())?.fingerprint()?;
            Ok(builder.finish())
        };
        // An unproven address gets no more bytes than came from there.
        let fits = |length: &usize| is_proven || *length <= request.as_bytes().len();
        let carrying =
            self.checks.embedded.first().and_then(|embedded| build(&mut buffer, Some(embedded)).ok());
        let built = carrying.filter(fits).or_else(|| build(&mut buffer, None).ok());
        if let Some(length) = built.filter(fits) {
            self.send(base, remote, buffer[..length].into());
        }
    }

    fn refuse(
        &mut self,
        base: Base,
        remote: SocketAddr,
        request: &Message<'_>,
        session_id: SessionId,
        code: ErrorCode,
        more: impl FnOnce(&mut MessageBuilder<'_>) -> Result<(), BuildError>,
    ) {
        let Some(session) = self.sessions.get(session_id) else { return };
        let mut buffer = [0; MAX_RESPONSE];
        let build = |buffer: &mut [u8]| -> Result<usize, BuildError> {
            let mut builder = MessageBuilder::error(buffer, request, code)?;
            more(&mut builder)?;
            builder.integrity(&session.local_key())?.fingerprint()?;
            Ok(builder.finish())
        };
        if let Ok(length) = build(&mut buffer)
            && length <= request.as_bytes().len()
        {
            self.send(base, remote, buffer[..length].into());
        }
    }

    /// Acts on an authentic request, once the other side's credentials are known
    /// (RFC 8445 §7.3.1.3 – §7.3.1.5).
    pub(super) fn handle_claim(
        &mut self,
        now: Instant,
        session_id: SessionId,
        base: Base,
        address: SocketAddr,
        claim: &Claim,
    ) {
        let Some(session) = self.sessions.get(session_id) else { return };
        if session.remote_ufrag() != Some(&*claim.remote_ufrag) {
            return;
        }
        let Some(local) = self.locals.behind(base, address) else { return };
        let id = match self.pairs.find(session_id, base, address) {
            Some(id) => id,
            None => {
                if self.is_chased(session_id, base, address.ip()) {
                    return;
                }
                let transport = self.tcp.remote_transport(base);
                let remote = self.remote_for(session_id, transport, address, claim.priority);
                let Some(id) = remote.and_then(|remote| self.insert_pair(session_id, local, remote)) else {
                    return;
                };
                id
            }
        };
        if let Base::Relay(relay) = base {
            self.relays.permit(now, relay, address.ip());
        }
        let lite = self.config.lite;
        let Some(pair) = self.pairs.get_mut(id) else { return };
        pair.consent.heard = Some(now);
        pair.counters.requests_received += 1;
        pair.counters.responses_sent += 1;
        if lite {
            pair.accept_check(now);
            self.note_lite_valid(now, session_id);
        }
        let Some(pair) = self.pairs.get_mut(id) else { return };
        match pair.state {
            PairState::Succeeded => {}
            PairState::InProgress => self.answer_prompt(now, id),
            PairState::Failed
                if pair.setbacks.one_way.is_some_and(|at| now.saturating_duration_since(at) < REVIVAL) => {}
            PairState::Frozen | PairState::Waiting | PairState::Failed => {
                pair.state = PairState::Waiting;
                self.checks.trigger(id);
            }
        }
        if claim.nominated && self.roles.role == Role::Controlled {
            self.handle_nomination(now, id, claim.nomination);
        }
        self.nominate_again(now, session_id);
    }

    /// Returns whether enough discovered candidates of one IP address have never answered. Two NATs
    /// that map each port by itself and let all in make each side answer every new port of the
    /// other's from a new port of its own, without end.
    fn is_chased(&self, session_id: SessionId, base: Base, ip: IpAddr) -> bool {
        let is_discovered = |id: RemoteId| self.remotes.get(id).is_some_and(Remote::is_discovered);
        let silent = self.pairs.values().filter(|pair| {
            pair.session == session_id
                && pair.base == base
                && pair.address.ip() == ip
                && pair.consent.answered.is_none()
                && is_discovered(pair.remote)
        });
        silent.count() >= MAX_CHASED
    }

    fn note_lite_valid(&mut self, now: Instant, session_id: SessionId) {
        if session_id == self.sessions.current().id && self.sessions.current().valid_since.is_none() {
            self.sessions.current_mut().valid_since = Some(now);
            self.outputs.emit(Event::Writable);
        }
    }
}
