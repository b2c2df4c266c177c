//! The client's side of the protocol, without sockets: what has been received, what is to be sent,
//! and when.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use columba_signal::{
    ClientId, ClientMessage, ErrorCode, IceServers, Joined, LeaveReason, PeerId, Refusal, Secret,
    ServerMessage, SessionToken,
};

use super::channel::SignalingEvent;
use super::ice_servers::renewal;
use super::options::SignalingTiming;
use super::outbox::Outbox;

/// An event is acknowledged at the latest with the sixteenth; the protocol allows 32.
const ACKNOWLEDGE_EVERY: u64 = 16;

/// So many `sequence-gap` answers in a row mean that the two ends no longer agree; then the client
/// joins anew.
const MAX_GAPS: u32 = 5;

/// The time for which refusals of messages behind a missing one may still come in.
const GAP_PAUSE: Duration = Duration::from_millis(200);

/// The pause before fresh ICE servers are asked for again.
const RENEW_AGAIN: Duration = Duration::from_secs(15);

/// The pause after `rate-limited`, if the server does not name one.
const RATE_PAUSE: Duration = Duration::from_secs(1);

/// The membership in a session, over all connections that carry it.
#[derive(Debug)]
pub(super) struct Session {
    greeting: ClientMessage,
    timing: SignalingTiming,
    membership: Option<Membership>,
    /// True if there was ever a membership.
    was_joined: bool,
    /// True if the present connection has entered.
    pub(super) is_open: bool,
    pub(super) session: Option<SessionToken>,
    pub(super) peers: BTreeMap<PeerId, Option<ClientId>>,
    pub(super) ice_servers: IceServers,
    /// Counts the lists of servers that came.
    pub(super) ice_servers_version: u64,
    ice_servers_wanted: bool,
    /// When to ask for fresh ones, so that the credentials among them never expire.
    renew_at: Option<Instant>,
    pub(super) outbox: Outbox,
    paused_until: Option<Instant>,
    gaps: u32,
    received: u64,
    acknowledged: u64,
    acknowledge_at: Option<Instant>,
    /// Small answers to be sent first.
    answers: VecDeque<ClientMessage>,
    last_activity: Instant,
    probe_until: Option<Instant>,
    depart_at: Option<Instant>,
    /// Events for the application; bounded by the owner, which stops reading.
    pub(super) events: VecDeque<SignalingEvent>,
}

#[derive(Debug)]
struct Membership {
    peer: PeerId,
    secret: Secret,
    message_bytes: u64,
}

/// Why a connection to the server has come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It broke, or the server fell silent.
    Lost,
    /// The client wants another one, at once.
    Renew,
    /// The server refused.
    Refused(Refusal),
}

/// The next step after a connection has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Connect again at once.
    Now,
    /// Connect again, but not before this time has passed.
    After(Duration),
    /// Trying again would not change anything.
    Never(Refusal),
}

impl Session {
    pub(super) fn new(now: Instant, greeting: ClientMessage, timing: SignalingTiming) -> Self {
        Self {
            greeting,
            membership: None,
            was_joined: false,
            is_open: false,
            session: None,
            peers: BTreeMap::new(),
            ice_servers: IceServers::default(),
            ice_servers_version: 0,
            ice_servers_wanted: false,
            renew_at: None,
            outbox: Outbox::new(timing.hold),
            timing,
            paused_until: None,
            gaps: 0,
            received: 0,
            acknowledged: 0,
            acknowledge_at: None,
            answers: VecDeque::new(),
            last_activity: now,
            probe_until: None,
            depart_at: None,
            events: VecDeque::new(),
        }
    }

    /// The own peer id, once there is one.
    pub(super) fn peer_id(&self) -> Option<PeerId> {
        self.membership.as_ref().map(|membership| membership.peer)
    }

    /// Bytes of the longest message that the server takes.
    pub(super) fn message_bytes(&self) -> Option<usize> {
        self.membership
            .as_ref()
            .map(|membership| usize::try_from(membership.message_bytes).unwrap_or(usize::MAX))
    }

    /// The first message of a connection.
    pub(super) fn first_message(&mut self, now: Instant) -> ClientMessage {
        self.last_activity = now;
        self.probe_until = None;
        self.depart_at = None;
        self.paused_until = None;
        self.answers.clear();
        match &self.membership {
            Some(Membership { peer, secret, .. }) => {
                ClientMessage::Resume { peer: *peer, secret: secret.clone(), seq: self.received }
            }
            None => self.greeting.clone(),
        }
    }

    /// Asks for fresh ICE servers; again after a reconnection, until they come.
    pub(super) fn want_ice_servers(&mut self) {
        if !self.ice_servers_wanted && self.is_open {
            self.answers.push_back(ClientMessage::IceServers);
        }
        self.ice_servers_wanted = true;
    }

    /// A message has arrived. `Some` ends the connection.
    pub(super) fn handle_message(&mut self, now: Instant, message: ServerMessage) -> Option<Ended> {
        self.note_activity(now);
        match message {
            ServerMessage::Error(refusal) if refusal.fatal || !self.is_open => {
                return Some(Ended::Refused(refusal));
            }
            ServerMessage::Error(refusal) => return self.refused(now, refusal),
            ServerMessage::Joined(joined) => self.joined(now, *joined),
            ServerMessage::Resumed(resumed) => {
                self.outbox.acknowledge(resumed.seq);
                self.take_ice_servers(now, resumed.ice_servers);
                self.entered(false);
            }
            ServerMessage::Ack(ack) => {
                self.gaps = 0;
                self.outbox.acknowledge(ack.seq);
            }
            ServerMessage::IceServers(servers) => {
                self.take_ice_servers(now, servers);
                self.events.push_back(SignalingEvent::IceServers);
            }
            ServerMessage::Ping => self.answers.push_back(ClientMessage::Pong),
            ServerMessage::GoingAway(going) => {
                self.depart_at = Some(now + Duration::from_millis(going.after.min(60_000)));
            }
            event => return self.event(now, event),
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
        self.acknowledged = 0;
        self.outbox.restart();
        self.take_ice_servers(now, joined.ice_servers);
        self.entered(rejoined);
        // Who is missing after joining anew may simply not be back yet.
        let gone: Vec<PeerId> = self
            .peers
            .keys()
            .copied()
            .filter(|peer| joined.peers.iter().all(|each| each.peer != *peer))
            .collect();
        for peer in gone {
            self.peer_left(peer, LeaveReason::Unknown);
        }
        for each in joined.peers {
            self.peer_joined(each.peer, each.id);
        }
    }

    fn entered(&mut self, rejoined: bool) {
        let reopened = self.was_joined && !std::mem::replace(&mut self.is_open, true);
        self.gaps = 0;
        self.outbox.go_back(0);
        self.acknowledged = self.received;
        self.acknowledge_at = None;
        self.ice_servers_wanted = false;
        if reopened {
            self.events.push_back(SignalingEvent::Open { rejoined });
        }
    }

    fn take_ice_servers(&mut self, now: Instant, servers: IceServers) {
        self.renew_at = servers.expire.map(|expire| now + renewal(expire));
        self.ice_servers = servers;
        self.ice_servers_version += 1;
        self.ice_servers_wanted = false;
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
                self.events.push_back(SignalingEvent::Message { from: event.from, data: event.data });
            }
            _ => {}
        }
        None
    }

    fn peer_joined(&mut self, peer: PeerId, id: Option<ClientId>) {
        if self.peers.insert(peer, id.clone()).is_none() {
            self.events.push_back(SignalingEvent::PeerJoined { peer, id });
        }
    }

    fn peer_left(&mut self, peer: PeerId, reason: LeaveReason) {
        if self.peers.remove(&peer).is_none() {
            return;
        }
        if reason == LeaveReason::Left {
            self.outbox.forget(peer);
        }
        self.events.push_back(SignalingEvent::PeerLeft { peer, reason });
    }

    /// The server refused something, and the connection goes on.
    fn refused(&mut self, now: Instant, refusal: Refusal) -> Option<Ended> {
        match (refusal.code, refusal.seq) {
            (ErrorCode::RateLimited, seq) => {
                self.outbox.go_back(seq.unwrap_or_default());
                let pause = refusal.retry_after_ms.map_or(RATE_PAUSE, Duration::from_millis);
                self.paused_until = Some(now + pause.min(Duration::from_secs(60)));
            }
            (ErrorCode::SequenceGap, _) => return self.fill_gap(now),
            (ErrorCode::NoSuchPeer, Some(seq)) => self.outbox.hold_again(seq),
            (_, Some(seq)) => self.outbox.drop_refused(seq),
            _ => {}
        }
        self.events.push_back(SignalingEvent::Refused(refusal));
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

    /// The next message to be transmitted.
    pub(super) fn poll_transmit(&mut self, now: Instant) -> Option<ClientMessage> {
        if !self.is_open {
            return None;
        }
        if let Some(answer) = self.answers.pop_front() {
            return Some(answer);
        }
        let unacknowledged = self.received - self.acknowledged;
        if unacknowledged >= ACKNOWLEDGE_EVERY || self.acknowledge_at.is_some_and(|at| at <= now) {
            self.acknowledge_at = None;
            self.acknowledged = self.received;
            if unacknowledged > 0 {
                return Some(ClientMessage::Ack { seq: self.received });
            }
        }
        if self.paused_until.is_some_and(|until| now < until) {
            return None;
        }
        self.paused_until = None;
        let peers = &self.peers;
        self.outbox.take(now, |to| to.map_or(!peers.is_empty(), |peer| peers.contains_key(&peer)))
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), and poll for messages.
    pub(super) fn poll_timeout(&self) -> Instant {
        let quiet = self.probe_until.unwrap_or(self.last_activity + self.timing.silence);
        [self.acknowledge_at, self.paused_until, self.depart_at, self.renew_at]
            .into_iter()
            .flatten()
            .fold(quiet, Instant::min)
    }

    /// A time has come. `Some` ends the connection.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Option<Ended> {
        if self.depart_at.is_some_and(|at| at <= now) {
            return Some(Ended::Renew);
        }
        if self.renew_at.is_some_and(|at| at <= now) {
            // Again, if no answer comes: the request or the answer may have been refused or lost.
            self.renew_at = Some(now + RENEW_AGAIN);
            self.ice_servers_wanted = false;
            self.want_ice_servers();
        }
        match self.probe_until {
            Some(until) if until <= now => return Some(Ended::Lost),
            None if self.last_activity + self.timing.silence <= now => self.probe(now),
            _ => {}
        }
        None
    }

    /// Asks the server for a sign of life.
    pub(super) fn probe(&mut self, now: Instant) {
        if self.probe_until.is_none() {
            self.probe_until = Some(now + self.timing.probe);
            self.answers.push_back(ClientMessage::Ping);
        }
    }

    /// The connection has ended.
    pub(super) fn handle_ended(&mut self, ended: Ended) -> Next {
        if std::mem::replace(&mut self.is_open, false) {
            self.events.push_back(SignalingEvent::Reconnecting);
        }
        let refusal = match ended {
            Ended::Lost => return Next::After(Duration::ZERO),
            Ended::Renew => return Next::Now,
            Ended::Refused(refusal) => refusal,
        };
        if is_final(refusal.code) {
            return Next::Never(refusal);
        }
        if is_end_of_membership(refusal.code) && self.membership.take().is_some() {
            // The server forgot this client; that is no reason to wait.
            if refusal.code == ErrorCode::ResumeExpired {
                return Next::Now;
            }
        }
        Next::After(Duration::from_millis(refusal.retry_after_ms.unwrap_or_default()))
    }
}

/// Refusals that trying again would not change.
fn is_final(code: ErrorCode) -> bool {
    use ErrorCode::{
        BadId, BadInstance, BadJson, BadMessage, BadToken, IdTaken, KeyRequired, OriginNotAllowed, Replaced,
        SessionFull, SubprotocolRequired, UnknownType, WrongKey,
    };
    matches!(
        code,
        BadId
            | BadInstance
            | BadJson
            | BadMessage
            | BadToken
            | IdTaken
            | KeyRequired
            | OriginNotAllowed
            | Replaced
            | SessionFull
            | SubprotocolRequired
            | UnknownType
            | WrongKey
    )
}

/// Refusals after which the client has to join anew.
fn is_end_of_membership(code: ErrorCode) -> bool {
    use ErrorCode::{NotJoined, ResumeExpired, TooManyErrors, TooSlow, WrongSecret};
    matches!(code, NotJoined | ResumeExpired | TooManyErrors | TooSlow | WrongSecret)
}

#[cfg(test)]
mod tests {
    use columba_signal::{Instance, SessionRelay};
    use getrandom::SysRng;
    use rand_core::UnwrapErr;

    use super::*;

    /// A session that has entered, and was given credentials that end `left` from now.
    fn entered(now: Instant, left: Duration) -> Session {
        let rng = || UnwrapErr(SysRng);
        let greeting =
            ClientMessage::Create { instance: Some(Instance::random(&mut rng())), id: None, key: None };
        let mut session = Session::new(now, greeting, SignalingTiming::default());
        let first = session.first_message(now).to_json();
        let mut relay = SessionRelay::new(columba_signal::Config::default(), rng());
        let joined = relay.join(now, [127, 0, 0, 1].into(), &first, &|_| servers(left)).unwrap();
        assert_eq!(session.handle_message(now, ServerMessage::parse(&joined).unwrap()), None);
        session
    }

    fn servers(left: Duration) -> IceServers {
        let end = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap() + left;
        IceServers { servers: Vec::new(), expire: Some(end.as_secs()) }
    }

    fn asks(session: &mut Session, now: Instant) -> bool {
        assert_eq!(session.handle_timeout(now), None);
        std::iter::from_fn(|| session.poll_transmit(now))
            .any(|message| matches!(message, ClientMessage::IceServers))
    }

    #[test]
    fn credentials_are_renewed_before_they_end() {
        let mut now = Instant::now();
        let mut session = entered(now, Duration::from_secs(3600));
        for _ in 0..2 {
            let end = now + Duration::from_secs(3600);
            while !asks(&mut session, now) {
                now = session.poll_timeout();
                assert!(now < end, "it has never asked");
                session.note_activity(now);
            }
            assert!(end - now >= Duration::from_secs(100), "so late: {:?} before the end", end - now);
            session.events.clear();
            // As the wall clock stands still here, the next ones end an hour after the first.
            let fresh = ServerMessage::IceServers(servers(Duration::from_secs(3600)));
            assert_eq!(session.handle_message(now, fresh), None);
            assert!(matches!(session.events.pop_front(), Some(SignalingEvent::IceServers)));
        }
    }

    #[test]
    fn request_for_credentials_is_repeated_until_there_is_an_answer() {
        let start = Instant::now();
        let mut session = entered(start, Duration::from_secs(10));
        let mut asked = 0;
        for second in 0..60 {
            let now = start + Duration::from_secs(second);
            session.note_activity(now);
            asked += u32::from(asks(&mut session, now));
        }
        assert!((3..=5).contains(&asked), "{asked}");
    }

    #[test]
    fn expired_credentials_are_not_asked_for_all_the_time() {
        let start = Instant::now();
        let mut session = entered(start, Duration::ZERO);
        assert!(!asks(&mut session, start + Duration::from_secs(30)));
        session.note_activity(start + Duration::from_secs(61));
        assert!(asks(&mut session, start + Duration::from_secs(61)));
    }
}
