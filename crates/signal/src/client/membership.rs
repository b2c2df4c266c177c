//! The membership of a client: what the server says, and what is said to it.

use std::time::{Duration, Instant};

use super::Client;
use super::events::ClientEvent;
use super::phase::{Ended, Phase};
use crate::client_message::ClientMessage;
use crate::error::{ErrorCode, Refusal};
use crate::names::{ClientId, PeerId, Secret};
use crate::server_message::{IceServers, Joined, LeaveReason, ServerMessage};

/// An event is acknowledged at the latest with the sixteenth; the protocol allows 32.
pub(super) const ACKNOWLEDGE_EVERY: u64 = 16;

/// So many `sequence-gap` answers in a row mean that the two ends no longer agree; then the client
/// joins anew.
const MAX_GAPS: u32 = 5;

/// The time for which refusals of messages behind a missing one may still come in.
const GAP_PAUSE: Duration = Duration::from_millis(200);

/// The pause before fresh ICE servers are asked for again.
const RENEW_AGAIN: Duration = Duration::from_secs(15);

/// The pause after `rate-limited`, if the server does not name one.
const RATE_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause that the server may ask for on a connection.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// The time before the end of credentials at which fresh ones are asked for.
const RENEW_BEFORE: Duration = Duration::from_secs(120);

/// The delay where the end has passed already: one of the two clocks is wrong, or the credentials
/// were made long ago.
const RENEW_EXPIRED: Duration = Duration::from_secs(60);

/// The longest delay; timers take no more everywhere.
const RENEW_LATEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// The membership that the server granted.
#[derive(Debug)]
pub(super) struct Membership {
    pub(super) peer: PeerId,
    secret: Secret,
    message_bytes: u64,
}

impl Client {
    /// Bytes of the longest message that the server takes.
    pub(super) fn message_bytes(&self) -> Option<usize> {
        self.membership
            .as_ref()
            .map(|membership| usize::try_from(membership.message_bytes).unwrap_or(usize::MAX))
    }

    /// The first message of a connection.
    pub(super) fn first_message(&self) -> ClientMessage {
        match &self.membership {
            Some(Membership { peer, secret, .. }) => {
                ClientMessage::Resume { peer: *peer, secret: secret.clone(), seq: self.received }
            }
            None => self.greeting.clone(),
        }
    }

    /// A message has arrived. `Some` ends the connection.
    pub(super) fn handle_message(&mut self, now: Instant, message: ServerMessage) -> Option<Ended> {
        self.note_activity(now);
        let is_entering = matches!(self.phase, Phase::Entering { .. });
        match message {
            ServerMessage::Error(refusal) if refusal.fatal || is_entering => {
                return Some(Ended::Refused(refusal));
            }
            ServerMessage::Error(refusal) => return self.refused(now, refusal),
            ServerMessage::Joined(joined) if is_entering => self.joined(now, *joined),
            ServerMessage::Resumed(resumed) if is_entering => {
                self.outbox.acknowledge(resumed.seq);
                self.take_ice_servers(now, resumed.ice_servers);
                self.begin(false);
            }
            // One that comes again says nothing new.
            ServerMessage::Joined(_) | ServerMessage::Resumed(_) => {}
            ServerMessage::Ack(ack) => {
                self.gaps = 0;
                self.outbox.acknowledge(ack.seq);
            }
            ServerMessage::IceServers(servers) => {
                self.take_ice_servers(now, servers);
                self.events.push_back(ClientEvent::IceServers);
            }
            ServerMessage::Ping => {
                // One answer is enough for all that wait to be sent.
                if !self.answers.iter().any(|answer| matches!(answer, ClientMessage::Pong)) {
                    self.answers.push_back(ClientMessage::Pong);
                }
            }
            ServerMessage::GoingAway(going) => {
                self.depart_at = Some(now + Duration::from_millis(going.after).min(MAX_PAUSE));
            }
            event => return if is_entering { None } else { self.event(now, event) },
        }
        None
    }

    /// Something has arrived, whatever it was.
    pub(super) fn note_activity(&mut self, now: Instant) {
        self.last_activity = now;
        self.probe_until = None;
    }

    fn joined(&mut self, now: Instant, joined: Joined) {
        let rejoined = std::mem::replace(&mut self.was_joined, true);
        self.membership = Some(Membership {
            peer: joined.peer,
            secret: joined.secret,
            message_bytes: joined.limits.message_bytes,
        });
        if let (ClientMessage::Create { instance, id, key }, Some(session)) =
            (&self.greeting, &joined.session)
        {
            // A client that created a session comes back to the same one.
            let (session, instance, id) = (session.clone(), instance.clone(), id.clone());
            self.greeting = ClientMessage::Join { session, instance, id, key: key.clone() };
        }
        self.session = joined.session;
        self.received = 0;
        self.outbox.restart();
        self.take_ice_servers(now, joined.ice_servers);
        self.begin(rejoined);
        // Who is missing after joining anew may simply not be back yet.
        let is_here = |peer: &PeerId| joined.peers.iter().any(|each| each.peer == *peer);
        let gone: Vec<PeerId> = self.peers.keys().copied().filter(|peer| !is_here(peer)).collect();
        for peer in gone {
            self.peer_left(peer, LeaveReason::Unknown);
        }
        for each in joined.peers {
            self.peer_joined(each.peer, each.id);
        }
    }

    fn begin(&mut self, rejoined: bool) {
        self.gaps = 0;
        self.outbox.go_back(0);
        self.acknowledged = self.received;
        self.acknowledge_at = None;
        self.ice_servers_wanted = false;
        self.entered(rejoined);
    }

    fn take_ice_servers(&mut self, now: Instant, servers: IceServers) {
        self.renew_at = servers.expire.map(|expire| now + self.renewal(now, expire));
        self.ice_servers = servers;
        self.ice_servers_version += 1;
        self.ice_servers_wanted = false;
    }

    /// The time until fresh credentials should be asked for, if these end at `expire` (in seconds
    /// since the Unix epoch): two minutes before, or after half of what is left.
    fn renewal(&self, now: Instant, expire: u64) -> Duration {
        let (then, unix_time) = self.clock;
        let unix_now = unix_time + now.saturating_duration_since(then);
        match Duration::from_secs(expire).checked_sub(unix_now) {
            Some(left) if !left.is_zero() => {
                left.saturating_sub(RENEW_BEFORE).max(left / 2).min(RENEW_LATEST)
            }
            _ => RENEW_EXPIRED,
        }
    }

    fn event(&mut self, now: Instant, message: ServerMessage) -> Option<Ended> {
        let seq = message.event_seq()?;
        if seq != self.received + 1 {
            // What came before is known already; a gap is filled by resuming.
            return (seq > self.received).then_some(Ended::Renew);
        }
        self.received = seq;
        self.acknowledge_at.get_or_insert(now + self.timing.acknowledge);
        match message {
            ServerMessage::PeerJoined(event) => self.peer_joined(event.peer, event.id),
            ServerMessage::PeerLeft(event) => self.peer_left(event.peer, event.reason),
            ServerMessage::Message(event) => {
                self.events.push_back(ClientEvent::Message { from: event.from, data: event.data });
            }
            _ => {}
        }
        None
    }

    fn peer_joined(&mut self, peer: PeerId, id: Option<ClientId>) {
        if self.peers.insert(peer, id.clone()).is_none() {
            self.events.push_back(ClientEvent::PeerJoined { peer, id });
        }
    }

    fn peer_left(&mut self, peer: PeerId, reason: LeaveReason) {
        if self.peers.remove(&peer).is_none() {
            return;
        }
        if reason == LeaveReason::Left {
            self.outbox.forget(peer);
        }
        self.events.push_back(ClientEvent::PeerLeft { peer, reason });
    }

    /// The server refused something, and the connection goes on.
    fn refused(&mut self, now: Instant, refusal: Refusal) -> Option<Ended> {
        match (refusal.code, refusal.seq) {
            (ErrorCode::RateLimited, seq) => {
                self.outbox.go_back(seq.unwrap_or_default());
                let pause = refusal.retry_after_ms.map_or(RATE_PAUSE, Duration::from_millis);
                self.paused_until = Some(now + pause.min(MAX_PAUSE));
            }
            (ErrorCode::SequenceGap, _) => return self.fill_gap(now),
            (ErrorCode::NoSuchPeer, Some(seq)) => self.outbox.hold_again(seq),
            (_, Some(seq)) => self.outbox.drop_refused(seq),
            _ => {}
        }
        self.events.push_back(ClientEvent::Refused(refusal));
        None
    }

    /// Sends everything unacknowledged again: once for the whole burst of refusals that one missing
    /// message causes.
    fn fill_gap(&mut self, now: Instant) -> Option<Ended> {
        if self.paused_until.is_some_and(|until| now < until) {
            return None;
        }
        self.gaps += 1;
        if self.gaps > MAX_GAPS {
            self.membership = None;
            return Some(Ended::Renew);
        }
        self.outbox.go_back(0);
        self.paused_until = Some(now + GAP_PAUSE);
        None
    }

    /// A time has come while the session is entered.
    pub(super) fn time_on_connection(&mut self, now: Instant) {
        // While nothing is read from the server, its silence says nothing.
        if self.is_full() {
            self.note_activity(now);
        }
        if self.depart_at.is_some_and(|at| at <= now) {
            return self.lose(now, Ended::Renew);
        }
        if self.renew_at.is_some_and(|at| at <= now) {
            // Again, if no answer comes: the request or the answer may have been refused or lost.
            self.renew_at = Some(now + RENEW_AGAIN);
            self.ice_servers_wanted = false;
            self.want_ice_servers();
        }
        match self.probe_until {
            Some(until) if until <= now => self.lose(now, Ended::Lost),
            None if self.last_activity + self.timing.silence <= now => self.probe(now),
            _ => {}
        }
    }

    /// Asks the server for a sign of life.
    pub(super) fn probe(&mut self, now: Instant) {
        if self.probe_until.is_none() {
            self.probe_until = Some(now + self.timing.probe);
            self.answers.push_back(ClientMessage::Ping);
        }
    }
}
