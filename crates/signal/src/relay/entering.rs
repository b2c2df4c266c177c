//! Entering a session, and coming back to one.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use columba_limits::Excess;

use super::connection::{Answer, Stage};
use super::deadlines::Deadline;
use super::leaving::replaced;
use super::member::{EventLog, Member, MemberEvent, Place, Presence};
use super::member_set::MemberSet;
use super::{ConnectionId, IceServersFor, MemberKey, SessionKey, SessionRelay};
use crate::client_message::ClientMessage;
use crate::config::Config;
use crate::error::{ErrorCode, Refusal};
use crate::names::{ClientId, Instance, JoinKey, PeerId, Secret, SessionToken};
use crate::rates::{Faults, TokenBucket};
use crate::server_message::{IceServers, Joined, LeaveReason, PresentPeer, Resumed, ServerMessage};

/// When to try again at a server that is full: about as long as the memberships of those who left
/// stay.
const RETRY_WHEN_FULL: Duration = Duration::from_secs(30);

/// A request to enter a session.
struct Entrance {
    peer: PeerId,
    address: IpAddr,
    /// The membership that the same instance has already, or an absent client with the same id.
    before: Option<MemberKey>,
    id: Option<ClientId>,
    place: Place,
    /// The token in the answer.
    token: Option<SessionToken>,
}

impl SessionRelay {
    /// The first messages on a WebSocket.
    pub(super) fn enter_by(&mut self, now: Instant, connection: ConnectionId, text: &str) {
        let Some(state) = self.connections.get(&connection) else { return };
        let Some(address) = state.address else { return };
        let outcome = match self.parse(text) {
            Ok(ClientMessage::Resume { peer, secret, seq }) => {
                self.resume(now, connection, peer, &secret, seq).map(|()| self.watch_silence(connection))
            }
            Ok(message) => self.enter(now, address, message).map(|(key, joined)| {
                self.attach(now, connection, key, 0);
                let peer = joined.peer;
                let joined = Answer::with_ice_servers(ServerMessage::Joined(Box::new(joined)), peer);
                self.answer(now, connection, joined);
                self.watch_silence(connection);
            }),
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = outcome {
            let fault = is_fault(refusal.code);
            self.stats.count_error(refusal.code);
            self.answer(now, connection, ServerMessage::Error(refusal).into());
            let per_minute = self.config.errors_per_minute;
            let state = self.connections.get_mut(&connection);
            if fault && state.is_some_and(|state| state.faults.too_many(now, per_minute)) {
                self.end_with(now, connection, too_many_errors());
            }
        }
    }

    /// Reads a message, if it is not too large.
    pub(super) fn parse(&self, text: &str) -> Result<ClientMessage, Refusal> {
        let message = ClientMessage::parse(text);
        if text.len() <= self.config.message_bytes {
            return message;
        }
        let sentence = format!(
            "A message has at most {} bytes; this one has {}.",
            self.config.message_bytes,
            text.len()
        );
        let refusal = Refusal::new(ErrorCode::MessageTooLarge, sentence);
        // The number of a `send` is worth telling, so that the ones behind it are not held up by
        // it.
        Err(match message {
            Ok(ClientMessage::Send { seq, .. }) => refusal.with_seq(seq),
            Err(Refusal { seq: Some(seq), .. }) => refusal.with_seq(seq),
            _ => refusal,
        })
    }

    /// Makes a membership out of a `join`, `create` or `meet`.
    pub(super) fn enter(
        &mut self,
        now: Instant,
        address: IpAddr,
        message: ClientMessage,
    ) -> Result<(MemberKey, Joined), Refusal> {
        if !matches!(
            message,
            ClientMessage::Join { .. } | ClientMessage::Create { .. } | ClientMessage::Meet { .. }
        ) {
            let text = "The first message must enter a session: join, create, meet or resume.";
            return Err(Refusal::new(ErrorCode::NotJoined, text));
        }
        if let Some(until) = self.drain {
            let wait = until.saturating_duration_since(now).max(Duration::from_secs(1));
            let text = "The server is stopping and takes no new sessions; try again.";
            return Err(Refusal::new(ErrorCode::Draining, text).with_retry_after(wait));
        }
        self.take_join(now, address)?;
        self.take_code_join(now, address, &message)?;
        self.check_key(message.join_key())?;
        let entrance = self.entrance(now, address, message);
        self.check_room(&entrance)?;
        if let Some(before) = entrance.before {
            self.stats.replacements += 1;
            let is_same = self.by_peer.get(&entrance.peer) == Some(&before);
            self.remove(now, before, if is_same { LeaveReason::Replaced } else { LeaveReason::Timeout });
        }
        Ok(self.admit(now, entrance))
    }

    /// Returns whether the join key is the server's. A wrong one has cost a join, so that guessing
    /// is slow.
    fn check_key(&self, given: Option<&JoinKey>) -> Result<(), Refusal> {
        let Some(wanted) = &self.config.join_key else { return Ok(()) };
        match given {
            None => {
                let text = "This server asks for a join key; its operator has it.";
                Err(Refusal::new(ErrorCode::KeyRequired, text))
            }
            Some(given) if given.matches(wanted) => Ok(()),
            Some(_) => Err(Refusal::new(ErrorCode::WrongKey, "This is not the server's join key.")),
        }
    }

    fn take_join(&mut self, now: Instant, address: IpAddr) -> Result<(), Refusal> {
        self.joins.take(now, address).map_err(|wait| {
            let text = "Too many joins have come from your network address; try again later.";
            Refusal::new(ErrorCode::TooManyJoins, text).with_retry_after(wait)
        })
    }

    /// Counts an entrance to a session that is named by the number of a code for files: numbers are
    /// few, so that a stranger could try each.
    fn take_code_join(
        &mut self,
        now: Instant,
        address: IpAddr,
        message: &ClientMessage,
    ) -> Result<(), Refusal> {
        let ClientMessage::Join { session, .. } = message else { return Ok(()) };
        if !session.as_str().starts_with(Config::CODE_SESSION) {
            return Ok(());
        }
        self.code_joins.take(now, around(address)).map_err(|wait| {
            let text = "Too many codes have been tried from your network; try again later, or use the link.";
            Refusal::new(ErrorCode::TooManyJoins, text).with_retry_after(wait)
        })
    }

    fn entrance(&mut self, now: Instant, address: IpAddr, message: ClientMessage) -> Entrance {
        let (instance, id, token, place) = match message {
            ClientMessage::Meet { id, with, instance, .. } => {
                (instance, Some(id.clone()), None, Place::Meeting { id, with })
            }
            ClientMessage::Join { session, instance, id, .. } => {
                let key = session_key(&session);
                (instance, id, Some(session), Place::Session(key))
            }
            ClientMessage::Create { instance, id, .. } => self.created(instance, id),
            // `enter` lets nothing else through; a session of its own would be harmless.
            _ => self.created(None, None),
        };
        let instance = instance.unwrap_or_else(|| Instance::random(&mut self.rng));
        let peer = match (&place, &token) {
            (Place::Meeting { id, .. }, _) => PeerId::derive("meet", id.as_str(), &instance),
            (_, token) => {
                PeerId::derive("session", token.as_ref().map_or("", SessionToken::as_str), &instance)
            }
        };
        let absent = match &place {
            Place::Meeting { id, .. } => self.absent_holder(now, id),
            Place::Session(_) => None,
        };
        Entrance { peer, address, before: self.by_peer.get(&peer).copied().or(absent), id, place, token }
    }

    fn created(
        &mut self,
        instance: Option<Instance>,
        id: Option<ClientId>,
    ) -> (Option<Instance>, Option<ClientId>, Option<SessionToken>, Place) {
        let token = SessionToken::random(&mut self.rng);
        let key = session_key(&token);
        (instance, id, Some(token), Place::Session(key))
    }

    /// Returns whether there is room, counting that an older membership of the same peer makes
    /// some.
    fn check_room(&mut self, entrance: &Entrance) -> Result<(), Refusal> {
        let replaces = usize::from(entrance.before.is_some());
        self.check_networks(entrance)?;
        match &entrance.place {
            Place::Session(key) => match self.sessions.get(key) {
                Some(members) if members.len() - replaces >= self.config.session_peers => {
                    Err(session_full(self.config.session_peers))
                }
                None if self.sessions.len() >= self.config.sessions => Err(server_full()),
                _ => Ok(()),
            },
            Place::Meeting { id, with } => self.check_meeting(id, with.as_ref(), entrance.before),
        }
    }

    /// Returns whether the server and the client's networks may have one more member.
    fn check_networks(&mut self, entrance: &Entrance) -> Result<(), Refusal> {
        let before = entrance.before.and_then(|key| self.members.get(&key)).map(|member| member.address);
        if let Some(address) = before {
            self.networks.give_back(address, 1);
        }
        let room = self.networks.check(entrance.address, 1);
        if let Some(address) = before {
            self.networks.add(address, 1);
        }
        room.map_err(|excess| match excess {
            Excess::Total => server_full(),
            Excess::Client | Excess::Network => {
                let text = "Too many members have joined from your network address; try again later.";
                Refusal::new(ErrorCode::TooManyJoins, text).with_retry_after(RETRY_WHEN_FULL)
            }
        })
    }

    fn admit(&mut self, now: Instant, entrance: Entrance) -> (MemberKey, Joined) {
        let Entrance { peer, address, id, place, token, .. } = entrance;
        self.networks.add(address, 1);
        let key = MemberKey(self.next_member);
        self.next_member += 1;
        let sees = match &place {
            Place::Session(session) => {
                let members = self.sessions.entry(*session).or_default();
                let others = members.clone();
                members.insert(key);
                others
            }
            Place::Meeting { id, with } => self.enter_meeting(key, id, with.as_ref()),
        };
        let secret = Secret::random(&mut self.rng);
        let member = Member {
            peer,
            id,
            secret: secret.clone(),
            place,
            address,
            sees,
            presence: Presence::Away { until: now },
            polls: true,
            accepted: 0,
            asked_to_go_back: false,
            ice_servers_owed: false,
            sending: TokenBucket::full(now, self.sending_rate()),
            effort: TokenBucket::full(now, self.effort_rate()),
            faults: Faults::default(),
            log: EventLog::default(),
        };
        let peers = self.introduce(key, &member.present(), &member.sees);
        tracing::debug!(%peer, others = peers.len(), "a membership begins");
        self.by_peer.insert(peer, key);
        self.members.insert(key, Box::new(member));
        self.await_return(now, key);
        self.stats.joins += 1;
        let joined = Joined {
            peer,
            session: token,
            secret,
            peers,
            ice_servers: IceServers::default(),
            resume_within: u64::try_from(self.config.resume_within.as_millis()).unwrap_or(u64::MAX),
            limits: self.config.limits(),
        };
        (key, joined)
    }

    /// Notifies the others of a new member, and returns them.
    fn introduce(&mut self, key: MemberKey, present: &PresentPeer, others: &MemberSet) -> Vec<PresentPeer> {
        let mut peers = Vec::with_capacity(others.len());
        for other in others.iter() {
            if let Some(other) = self.members.get(&other) {
                peers.push(other.present());
            }
            self.see(other, key);
            self.push_member_event(other, MemberEvent::Joined(present.clone()));
        }
        peers
    }

    /// Lets a member see another, and counts that it may be owed TURN credentials for that.
    pub(super) fn see(&mut self, key: MemberKey, other: MemberKey) {
        let only_in_company = !self.config.turn_when_alone;
        if let Some(member) = self.members.get_mut(&key) {
            member.ice_servers_owed |= only_in_company && member.sees.is_empty();
            member.sees.insert(other);
        }
    }

    /// The `iceServers` of a peer now: none without a membership, and no TURN for one who sees no
    /// other member, if the configuration says so.
    pub(super) fn ice_servers(&self, peer: PeerId, ice_servers: IceServersFor<'_>) -> IceServers {
        let Some(member) = self.by_peer.get(&peer).and_then(|key| self.members.get(key)) else {
            return IceServers::default();
        };
        if self.config.turn_when_alone || !member.sees.is_empty() {
            ice_servers(peer)
        } else {
            ice_servers(peer).without_credentials()
        }
    }

    fn resume(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        peer: PeerId,
        secret: &Secret,
        seq: u64,
    ) -> Result<(), Refusal> {
        let key = self.authorize(peer, secret)?;
        self.check_received(key, seq)?;
        self.attach(now, connection, key, seq);
        self.stats.resumes += 1;
        let Some(member) = self.members.get(&key) else { return Ok(()) };
        let resumed = Resumed { seq: member.accepted, ice_servers: IceServers::default() };
        self.answer(now, connection, Answer::with_ice_servers(ServerMessage::Resumed(resumed), peer));
        self.send_going_away(now, connection);
        Ok(())
    }

    /// The membership of a peer that proves itself.
    pub(super) fn authorize(&self, peer: PeerId, secret: &Secret) -> Result<MemberKey, Refusal> {
        let member = self.by_peer.get(&peer).and_then(|key| self.members.get_key_value(key));
        let Some((key, member)) = member else {
            let text = "This membership is gone; join anew.";
            return Err(Refusal::new(ErrorCode::ResumeExpired, text));
        };
        if member.secret.matches(secret) {
            Ok(*key)
        } else {
            Err(Refusal::new(ErrorCode::WrongSecret, "This is not the peer's resume secret."))
        }
    }

    /// Returns whether a client can have received the event that it names.
    pub(super) fn check_received(&self, key: MemberKey, seq: u64) -> Result<(), Refusal> {
        let last = self.members.get(&key).map_or(0, |member| member.log.last());
        if seq <= last {
            return Ok(());
        }
        let text = format!("The last event had the number {last}; {seq} has not been sent.");
        Err(Refusal::new(ErrorCode::BadMessage, text))
    }

    /// Makes a connection the one of a membership; `seq` is the last event that its client has
    /// received. An older connection is ended.
    pub(super) fn attach(&mut self, now: Instant, connection: ConnectionId, key: MemberKey, seq: u64) {
        let Some(member) = self.members.get(&key) else { return };
        match member.presence {
            Presence::Connected(before) => {
                self.end_with(now, before, replaced());
                self.forget_expiry(key);
            }
            Presence::Away { .. } => self.forget_expiry(key),
        }
        self.acknowledge(key, seq);
        let Some(member) = self.members.get_mut(&key) else { return };
        member.presence = Presence::Connected(connection);
        // Whatever was under way on another connection is lost, or has arrived.
        member.asked_to_go_back = false;
        let (first, last) = (member.log.first(), member.log.last());
        if let Some(state) = self.connections.get_mut(&connection) {
            // Those of WebSockets have the client's address.
            member.polls = state.address.is_none();
            state.stage = Stage::Member(key);
            state.next_event = first;
        }
        if first <= last {
            self.announce(connection);
        }
    }

    fn forget_expiry(&mut self, key: MemberKey) {
        if let Some(Presence::Away { until }) = self.members.get(&key).map(|member| member.presence) {
            self.deadlines.remove(until, Deadline::Expiry(key));
        }
    }
}

/// Returns whether a code means that a message could not be understood, and not merely that it was
/// refused.
pub(super) fn is_fault(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::BadJson
            | ErrorCode::BadMessage
            | ErrorCode::UnknownType
            | ErrorCode::BadToken
            | ErrorCode::BadId
            | ErrorCode::BadInstance
            | ErrorCode::NotJoined
            | ErrorCode::AlreadyJoined
            | ErrorCode::WrongSecret
            | ErrorCode::WrongKey
    )
}

pub(super) fn too_many_errors() -> Refusal {
    Refusal::new(ErrorCode::TooManyErrors, "Too many of your messages could not be understood.")
}

pub(super) fn session_full(peers: usize) -> Refusal {
    Refusal::new(
        ErrorCode::SessionFull,
        format!("The session has {peers} peers, which is as many as it may."),
    )
}

fn server_full() -> Refusal {
    let text = "The server has as many sessions as it may; try again later.";
    Refusal::new(ErrorCode::ServerFull, text).with_retry_after(RETRY_WHEN_FULL)
}

fn session_key(token: &SessionToken) -> SessionKey {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_str().as_bytes());
    let mut key = SessionKey::default();
    // SHA-256 has 32 bytes.
    key.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    key
}

/// The first address of the network around an address: a /24, or in IPv6 a /48.
fn around(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4((address.to_bits() & !0xff).into()),
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 80 << 80).into()),
    }
}
