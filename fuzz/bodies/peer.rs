//! Two peer connections and an application that calls everything in any order, with descriptions
//! and candidates that were changed on the way.
//!
//! Each step is a byte that chooses the call, and bytes that say how.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use columba_peer::{
    ChannelId, Configuration, DataChannelInit, Ecn, Event, IceCandidateInit, Input, Message, OfferOptions,
    Path, Peer, Request, RtpEncodingParameters, SdpType, SessionDescription, SignalingState, Track,
    TrackKind, TransceiverDirection, TransceiverId, TransceiverInit, TransportId, TransportPolicy, UnixTime,
};

use crate::mutation;

/// Steps of a script; more only take longer.
const MAX_STEPS: usize = 120;

/// Descriptions and candidates that are kept to be used again.
const KEPT: usize = 12;

/// Rounds of datagrams in one step.
const ROUNDS: usize = 6;

/// The script, byte by byte.
pub(crate) struct Script<'a>(pub(crate) &'a [u8]);

impl<'a> Script<'a> {
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// A number below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let (high, low) = (self.byte().unwrap_or(0), if end > 256 { self.byte().unwrap_or(0) } else { 0 });
        usize::from(u16::from_le_bytes([high, low])) % end
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.byte().is_some_and(|byte| byte & 1 == 1)
    }

    pub(crate) fn text(&mut self) -> String {
        let length = self.below(40);
        let (text, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        String::from_utf8_lossy(text).into_owned()
    }
}

/// The counts of a script.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reached {
    pub(crate) steps: usize,
    /// Calls that were not refused.
    pub(crate) accepted: usize,
    /// Descriptions of the other side's that were set.
    pub(crate) set: usize,
    /// Times that both sides were stable after an answer.
    pub(crate) agreed: usize,
    /// Channels that opened.
    pub(crate) opened: usize,
}

struct Side {
    peer: Peer,
    socket: Option<TransportId>,
    channels: Vec<ChannelId>,
    /// Candidates to be given to the other side.
    candidates: VecDeque<IceCandidateInit>,
}

struct World {
    now: Instant,
    sides: [Side; 2],
    /// Descriptions of either side.
    texts: VecDeque<SessionDescription>,
    reached: Reached,
    number: usize,
}

/// Runs one script.
pub(crate) fn peers(data: &[u8]) -> Reached {
    let mut script = Script(data);
    let Some(mode) = script.byte() else { return Reached::default() };
    let now = start();
    let side = |number: u8| {
        let mut peer = Peer::new(configuration(mode), now, WALL, [number; 32]).expect("a peer");
        peer.handle_network_change(now, &[IpAddr::from([10, 0, 0, number]).into()]);
        Side { peer, socket: None, channels: Vec::new(), candidates: VecDeque::new() }
    };
    let mut world = World {
        now,
        sides: [side(1), side(2)],
        texts: VecDeque::new(),
        reached: Reached::default(),
        number: 0,
    };
    while let Some(step) = script.byte().filter(|_| world.reached.steps < MAX_STEPS) {
        world.reached.steps += 1;
        let is_accepted = world.step(usize::from(step >> 7), step & 0x7F, &mut script);
        world.reached.accepted += usize::from(is_accepted);
        (0..2).for_each(|side| world.serve(side));
        world.check();
    }
    world.end();
    world.reached
}

const WALL: UnixTime = UnixTime(Duration::from_secs(1_790_000_000));

#[allow(clippy::disallowed_methods, reason = "an Instant can be had no other way; its value does not matter")]
fn start() -> Instant {
    Instant::now()
}

fn configuration(mode: u8) -> Configuration {
    let mut configuration = Configuration::default();
    if mode & 1 == 1 {
        configuration.ice_candidate_pool_size = 1;
    }
    if mode & 2 == 2 {
        configuration.ice_transport_policy = TransportPolicy::Relay;
    }
    configuration.automatic_ice_restart = mode & 4 == 0;
    configuration
}

impl World {
    /// Makes one call on one side. Returns true if it was not refused.
    fn step(&mut self, own: usize, step: u8, script: &mut Script<'_>) -> bool {
        let now = self.now;
        let peer = &mut self.sides[own].peer;
        match step % 32 {
            0 => {
                let offer = peer.create_offer(now, OfferOptions { ice_restart: script.flag() });
                self.keep(offer)
            }
            1 => {
                let answer = peer.create_answer(now);
                self.keep(answer)
            }
            2 | 3 => {
                let set = peer.set_local_description(now, None);
                self.keep(set)
            }
            4 => self.set_local(own, script),
            5..=8 => self.set_remote(own, script),
            9 | 10 => self.add_candidate(own, script),
            11..=15 => self.change_media(own, step % 32, script),
            16..=18 => self.change_data(own, step % 32, script),
            19 => self.reconfigure(own, script),
            20 => {
                peer.restart_ice(now);
                true
            }
            21 => {
                let rollback = Some(SessionDescription::rollback());
                peer.set_local_description(now, rollback).is_ok()
            }
            22 => peer.set_remote_description(now, SessionDescription::rollback()).is_ok(),
            23 => {
                self.pass(Duration::from_millis(u64::from(script.byte().unwrap_or(0)) * 20));
                true
            }
            24 => {
                self.pass(Duration::from_secs(u64::from(script.byte().unwrap_or(0))));
                true
            }
            25..=27 => self.exchange(own),
            28 | 29 => {
                (0..ROUNDS).for_each(|_| self.carry());
                true
            }
            30 => self.forge(own, script),
            // Rarely, because nothing follows.
            _ if script.byte() == Some(77) => {
                peer.close(now);
                true
            }
            _ => {
                let report = peer.stats_report(now);
                assert!(!report.entries.is_empty());
                true
            }
        }
    }

    fn keep(&mut self, made: Result<SessionDescription, columba_peer::Error>) -> bool {
        let Ok(description) = made else { return false };
        if self.texts.len() == KEPT {
            self.texts.pop_front();
        }
        self.texts.push_back(description);
        true
    }

    /// One of the descriptions that were made, perhaps as another type, and perhaps changed.
    fn description(&self, script: &mut Script<'_>) -> SessionDescription {
        let how = script.byte().unwrap_or(0);
        let latest = self.texts.len().saturating_sub(1);
        let index = if how & 3 == 3 { script.below(KEPT) } else { latest };
        let mut description = match self.texts.get(index) {
            Some(description) => description.clone(),
            None => SessionDescription::offer(script.text()),
        };
        if how & 12 == 12 {
            description.kind = [SdpType::Offer, SdpType::PrAnswer, SdpType::Answer][script.below(3)];
        }
        let others: Vec<&str> = self.texts.iter().map(|one| one.sdp.as_str()).collect();
        for _ in 0..(how >> 4) % 4 {
            description.sdp = mutation::change(&description.sdp, &others, script);
        }
        description
    }

    fn set_local(&mut self, own: usize, script: &mut Script<'_>) -> bool {
        let description = self.description(script);
        let set = self.sides[own].peer.set_local_description(self.now, Some(description));
        self.keep(set)
    }

    fn set_remote(&mut self, own: usize, script: &mut Script<'_>) -> bool {
        let description = self.description(script);
        let peer = &mut self.sides[own].peer;
        let before = (peer.signaling_state(), peer.remote_description(), peer.local_description());
        let result = peer.set_remote_description(self.now, description);
        if let Err(error) = &result {
            let after = (peer.signaling_state(), peer.remote_description(), peer.local_description());
            assert_eq!(before, after, "a refused description changes nothing: {error}");
            assert!(!error.to_string().is_empty());
        }
        self.reached.set += usize::from(result.is_ok());
        result.is_ok()
    }

    fn add_candidate(&mut self, own: usize, script: &mut Script<'_>) -> bool {
        let mut candidate = self.sides[1 - own].candidates.pop_front();
        if let Some(init) = candidate.as_mut().filter(|_| script.flag()) {
            match script.below(5) {
                0 => init.candidate = mutation::bend(&init.candidate, script),
                1 => init.sdp_mid = Some(script.text()),
                2 => init.sdp_mid = None,
                3 => init.sdp_m_line_index = Some(script.below(70).try_into().unwrap_or(0)),
                _ => init.username_fragment = Some(script.text()),
            }
        }
        self.sides[own].peer.add_ice_candidate(self.now, candidate).is_ok()
    }

    fn transceiver(&self, own: usize, script: &mut Script<'_>) -> Option<TransceiverId> {
        let all = self.sides[own].peer.transceivers();
        if all.is_empty() { None } else { Some(all[script.below(all.len())].id) }
    }

    fn change_media(&mut self, own: usize, step: u8, script: &mut Script<'_>) -> bool {
        use TransceiverDirection as Way;
        let kind = if script.flag() { TrackKind::Audio } else { TrackKind::Video };
        let way = [Way::SendRecv, Way::SendOnly, Way::RecvOnly, Way::Inactive, Way::Stopped][script.below(5)];
        self.number += 1;
        let track = Track { id: format!("track-{}", self.number), kind };
        let (now, existing) = (self.now, self.transceiver(own, script));
        let peer = &mut self.sides[own].peer;
        if peer.transceivers().len() > 8 && step < 13 {
            return false;
        }
        match (step, existing) {
            (11, _) => {
                let count = script.below(4);
                let rids = (0..count).map(|rid| RtpEncodingParameters::with_rid(["h", "m", "l"][rid % 3]));
                let init = TransceiverInit { send_encodings: rids.collect(), ..TransceiverInit::new(way) };
                peer.add_transceiver(now, kind, init).is_ok()
            }
            (12, _) => peer.add_track(now, track, vec![script.text()]).is_ok(),
            (13, Some(id)) => peer.set_direction(now, id, way).is_ok(),
            (14, Some(id)) if script.flag() => peer.stop_transceiver(now, id).is_ok(),
            (14, Some(id)) => peer.remove_track(now, id).is_ok(),
            (_, Some(id)) => match script.below(4) {
                0 => peer.replace_track(now, id, script.flag().then_some(track)).is_ok(),
                1 => peer.set_streams(now, id, vec![script.text()]).is_ok(),
                2 => {
                    let codecs = peer.send_parameters(now, id).map(|one| one.codecs).unwrap_or_default();
                    let codecs = codecs.into_iter().take(script.below(3) + 1).map(|one| one.codec).collect();
                    peer.set_codec_preferences(now, id, codecs).is_ok()
                }
                _ => match peer.send_parameters(now, id) {
                    Ok(parameters) => peer.set_send_parameters(now, id, parameters).is_ok(),
                    Err(_) => false,
                },
            },
            (_, None) => peer.offer_to_receive(now, kind, script.flag()).is_ok(),
        }
    }

    fn change_data(&mut self, own: usize, step: u8, script: &mut Script<'_>) -> bool {
        let now = self.now;
        let Side { peer, channels, .. } = &mut self.sides[own];
        if step == 16 {
            let how = script.byte().unwrap_or(0);
            let init = DataChannelInit {
                ordered: how & 1 == 0,
                max_retransmits: (how & 2 == 2).then_some(u16::from(how)),
                max_packet_life_time: (how & 4 == 4).then_some(u16::from(how)),
                negotiated: (how & 8 == 8).then(|| u16::from(script.byte().unwrap_or(0))),
                ..DataChannelInit::default()
            };
            let created = peer.create_data_channel(now, &script.text(), init);
            channels.extend(created.as_ref().ok());
            return created.is_ok();
        }
        if channels.is_empty() {
            return false;
        }
        let id = channels[script.below(channels.len())];
        match (step, script.below(4)) {
            (17, 0) => peer.close_channel(now, id).is_ok(),
            (17, _) => peer.send(now, id, Message::from(vec![7; script.below(4000)])).is_ok(),
            (_, 0) => {
                peer.hold_data(script.flag());
                true
            }
            (_, 1) => peer.set_buffered_amount_low_threshold(id, script.below(9000)).is_ok(),
            _ => peer.receive(now, id).is_some(),
        }
    }

    fn reconfigure(&mut self, own: usize, script: &mut Script<'_>) -> bool {
        let how = script.byte().unwrap_or(0);
        let changed = self.sides[own].peer.set_configuration(self.now, configuration(how)).is_ok();
        let addresses = (0..how % 4).map(|number| IpAddr::from([10, number, 0, 1]).into());
        let addresses: Vec<_> = addresses.collect();
        self.sides[own].peer.handle_network_change(self.now, &addresses);
        changed
    }

    /// A whole negotiation, as applications make it.
    fn exchange(&mut self, own: usize) -> bool {
        let now = self.now;
        let Ok(offer) = self.sides[own].peer.set_local_description(now, None) else { return false };
        let other = &mut self.sides[1 - own].peer;
        if offer.kind != SdpType::Offer || other.set_remote_description(now, offer.clone()).is_err() {
            return false;
        }
        let Ok(answer) = other.set_local_description(now, None) else { return false };
        let set = self.sides[own].peer.set_remote_description(now, answer.clone());
        self.keep(Ok(offer));
        self.keep(Ok(answer));
        if set.is_err() {
            return false;
        }
        self.reached.agreed += 1;
        for from in 0..2 {
            while let Some(candidate) = self.sides[from].candidates.pop_front() {
                // Some are of generations that are gone.
                let _ = self.sides[1 - from].peer.add_ice_candidate(now, Some(candidate));
            }
        }
        true
    }

    /// A datagram that does not come from the other side.
    fn forge(&mut self, own: usize, script: &mut Script<'_>) -> bool {
        let Some(socket) = self.sides[own].socket else { return false };
        let mut datagram = script.text().into_bytes();
        let path = Path::udp(ADDRESSES[own].into(), ADDRESSES[1 - own].into());
        self.sides[own].peer.handle_datagram(self.now, socket, path, Ecn::NotEct, None, &mut datagram);
        true
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        for side in &mut self.sides {
            side.peer.handle_timeout(self.now);
        }
    }

    /// Grants what a side asks for, and takes its events.
    fn serve(&mut self, own: usize) {
        let now = self.now;
        let side = &mut self.sides[own];
        while let Some((transport, request)) = side.peer.poll_request() {
            let input = match request {
                Request::BindUdp { id, address } => {
                    side.socket = Some(transport);
                    Input::Bound { id, local: SocketAddr::new(address, 4000) }
                }
                Request::Listen { id, .. } => Input::ListenFailed { id },
                Request::Connect { id, .. } => Input::ConnectFailed { id },
                Request::Resolve { id, .. } | Request::ResolveMdns { id, .. } => {
                    Input::Resolved { id, addresses: Vec::new() }
                }
                _ => continue,
            };
            side.peer.handle_input(now, transport, input);
        }
        let mut events = 0;
        while let Some(event) = side.peer.poll_event() {
            events += 1;
            assert!(events < 10_000, "events without end");
            match event {
                Event::IceCandidate(Some(candidate)) => {
                    let init = candidate.init;
                    assert!(init.sdp_mid.is_some() && init.username_fragment.is_some(), "{init:?}");
                    if side.candidates.len() < KEPT {
                        side.candidates.push_back(init);
                    }
                }
                Event::NegotiationNeeded => assert!(side.peer.is_negotiation_needed()),
                Event::DataChannel(id) => {
                    assert!(side.peer.channel(id).is_some());
                    side.channels.push(id);
                }
                Event::ChannelOpen(_) => self.reached.opened += 1,
                _ => {}
            }
        }
    }

    /// Carries the datagrams that wait, in both directions, and lets a little time pass.
    fn carry(&mut self) {
        let mut buf = vec![0; 65_536];
        for from in 0..2 {
            let mut left = 200;
            while let Some(transmit) = self.sides[from].peer.poll_transmit(self.now, &mut buf) {
                left -= 1;
                assert!(left > 0, "datagrams without end");
                let size = transmit.segment_size.unwrap_or_else(|| transmit.range.len()).max(1);
                let path = Path::udp(transmit.path.remote, transmit.path.local);
                let to = &mut self.sides[1 - from];
                let Some(socket) = to.socket else { continue };
                for datagram in buf[transmit.range].chunks_mut(size) {
                    to.peer.handle_datagram(self.now, socket, path, Ecn::NotEct, None, datagram);
                }
            }
            self.serve(from);
        }
        self.pass(Duration::from_millis(20));
    }

    /// Checks invariants of both sides.
    fn check(&self) {
        use SignalingState as State;
        for side in &self.sides {
            let peer = &side.peer;
            let state = peer.signaling_state();
            let pending = (peer.pending_local_description(), peer.pending_remote_description());
            match state {
                State::Stable => assert_eq!(pending, (None, None)),
                State::HaveLocalOffer => assert!(pending.0.is_some() && pending.1.is_none()),
                State::HaveRemoteOffer => assert!(pending.0.is_none() && pending.1.is_some()),
                State::HaveLocalPrAnswer | State::HaveRemotePrAnswer => {
                    assert!(pending.0.is_some() && pending.1.is_some());
                }
                State::Closed => {}
            }
            if state != State::Stable {
                assert!(!peer.is_negotiation_needed(), "{state:?}");
            }
            let mids: Vec<_> = peer.transceivers().into_iter().filter_map(|one| one.mid).collect();
            assert!(
                mids.iter().all(|mid| mids.iter().filter(|other| *other == mid).count() == 1),
                "{mids:?}"
            );
        }
    }

    /// Closes both sides, after which nothing is left.
    fn end(&mut self) {
        for side in &mut self.sides {
            side.peer.close(self.now);
            assert_eq!(side.peer.poll_event(), None, "closing fires nothing");
        }
        for _ in 0..500 {
            self.carry();
        }
        for side in &self.sides {
            assert!(side.peer.is_drained() && side.peer.poll_timeout().is_none(), "something is left");
            assert_eq!(side.peer.signaling_state(), SignalingState::Closed);
        }
    }
}

/// The sockets of both sides.
const ADDRESSES: [([u8; 4], u16); 2] = [([10, 0, 0, 1], 4000), ([10, 0, 0, 2], 4000)];
