//! Two peers whose requests are granted, and whose datagrams go nowhere.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use columba_peer::{
    ChannelId, Configuration, DataChannelInit, Event, IceCandidateInit, Input, Peer, Request, SdpType,
    SessionDescription, UnixTime,
};

pub(crate) const ALICE: usize = 0;
pub(crate) const BOB: usize = 1;

const WALL: UnixTime = UnixTime(Duration::from_secs(1_790_000_000));

#[expect(clippy::disallowed_methods, reason = "the origin of virtual time; nothing depends on its value")]
fn start() -> Instant {
    Instant::now()
}

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) peers: [Peer; 2],
    /// Requests that were granted or passed over, as text.
    pub(crate) requests: [Vec<String>; 2],
}

impl World {
    /// Peers that have agreed on nothing; Alice has a data channel.
    pub(crate) fn new() -> Self {
        Self::with([Configuration::default(), Configuration::default()])
    }

    pub(crate) fn with(configurations: [Configuration; 2]) -> Self {
        let now = start();
        let mut seed = 0;
        let peers = configurations.map(|configuration| {
            seed += 1;
            let mut peer = Peer::new(configuration, now, WALL, [seed; 32]).unwrap();
            peer.handle_network_change(now, &[IpAddr::from([10, 0, 0, seed]).into()]);
            peer
        });
        let mut world = Self { now, peers, requests: [Vec::new(), Vec::new()] };
        world.open(ALICE, "chat");
        world.drain(ALICE);
        world
    }

    /// Peers that have agreed on data.
    pub(crate) fn agreed() -> Self {
        let mut world = Self::new();
        world.exchange(ALICE);
        world.drain(ALICE);
        world.drain(BOB);
        world
    }

    pub(crate) fn open(&mut self, index: usize, label: &str) -> ChannelId {
        self.peers[index].create_data_channel(self.now, label, DataChannelInit::default()).unwrap()
    }

    /// `setLocalDescription` without an argument.
    pub(crate) fn describe(&mut self, index: usize) -> SessionDescription {
        self.peers[index].set_local_description(self.now, None).unwrap()
    }

    pub(crate) fn set(&mut self, index: usize, description: SessionDescription) {
        self.peers[index].set_remote_description(self.now, description).unwrap();
    }

    pub(crate) fn roll_back_local(&mut self, index: usize) {
        let rollback = SessionDescription::rollback();
        self.peers[index].set_local_description(self.now, Some(rollback)).unwrap();
    }

    /// An offer of this side's, and its answer.
    pub(crate) fn exchange(&mut self, offerer: usize) {
        let offer = self.describe(offerer);
        self.set(1 - offerer, offer);
        let answer = self.describe(1 - offerer);
        assert_eq!(answer.kind, SdpType::Answer);
        self.set(offerer, answer);
    }

    /// Grants sockets, and returns the events.
    pub(crate) fn drain(&mut self, index: usize) -> Vec<Event> {
        let mut events = Vec::new();
        let mut buf = vec![0; 65_536];
        loop {
            let peer = &mut self.peers[index];
            if let Some((transport, request)) = peer.poll_request() {
                self.requests[index].push(format!("{request:?}"));
                match request {
                    Request::BindUdp { id, address } => {
                        let local = SocketAddr::new(address, 4000);
                        peer.handle_input(self.now, transport, Input::Bound { id, local });
                    }
                    Request::Listen { id, .. } => {
                        peer.handle_input(self.now, transport, Input::ListenFailed { id });
                    }
                    _ => {}
                }
            } else if let Some(event) = peer.poll_event() {
                events.push(event);
            } else if peer.poll_transmit(self.now, &mut buf).is_none() {
                return events;
            }
        }
    }

    /// The whole local description.
    pub(crate) fn text(&self, index: usize) -> String {
        self.peers[index].local_description().unwrap().sdp
    }

    pub(crate) fn ufrag(&self, index: usize) -> String {
        ufrag(&self.text(index))
    }

    /// Lets time go by.
    pub(crate) fn wait(&mut self, index: usize, time: Duration) -> Vec<Event> {
        let mut events = Vec::new();
        for _ in 0..time.as_millis() / 100 {
            self.now += Duration::from_millis(100);
            self.peers[index].handle_timeout(self.now);
            events.extend(self.drain(index));
        }
        events
    }
}

pub(crate) fn ufrag(sdp: &str) -> String {
    sdp.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).unwrap().to_owned()
}

/// The candidates of a description.
pub(crate) fn candidates(sdp: &str) -> Vec<&str> {
    sdp.lines().filter(|line| line.starts_with("a=candidate")).collect()
}

/// The candidates that were announced.
pub(crate) fn announced(events: &[Event]) -> Vec<IceCandidateInit> {
    let found = events.iter().filter_map(|event| match event {
        Event::IceCandidate(Some(one)) => Some(one.init.clone()),
        _ => None,
    });
    found.collect()
}
