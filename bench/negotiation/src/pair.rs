//! Two peers whose datagrams go from one to the other in virtual time.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use columba_peer::{
    ChannelId, Configuration, DataChannelInit, Ecn, Event, Input, Message, Path, Peer, Request, TransportId,
};

use crate::WALL;

/// The time of a datagram on its way.
const STEP: Duration = Duration::from_millis(5);

/// Steps after which a connection has failed.
const MOST_STEPS: usize = 4000;

/// Two peers.
pub(crate) struct Pair {
    now: Instant,
    peers: [Peer; 2],
    sockets: [Vec<(SocketAddr, TransportId)>; 2],
    open: [Option<ChannelId>; 2],
    received: [usize; 2],
    buf: Vec<u8>,
}

impl Pair {
    pub(crate) fn new(configuration: &Configuration) -> Self {
        let now = Instant::now();
        let peer = |index: u8| {
            let mut peer = Peer::new(configuration.clone(), now, WALL, [index; 32]).expect("it is valid");
            peer.handle_network_change(now, &[IpAddr::from([10, 0, 0, index]).into()]);
            peer
        };
        Self {
            now,
            peers: [peer(1), peer(2)],
            sockets: [Vec::new(), Vec::new()],
            open: [None; 2],
            received: [0; 2],
            buf: vec![0; 65_536],
        }
    }

    /// Sets the connection up, lets both sides say a word, and closes it.
    pub(crate) fn run(mut self) {
        self.peers[0].create_data_channel(self.now, "chat", DataChannelInit::default()).expect("it is new");
        self.until(|pair| pair.open.iter().all(Option::is_some));
        for index in 0..2 {
            let channel = self.open[index].expect("it is open");
            self.peers[index].send(self.now, channel, Message::from("coo")).expect("it is open");
        }
        self.until(|pair| pair.received == [1; 2]);
        let now = self.now;
        self.peers.iter_mut().for_each(|peer| peer.close(now));
        self.until(|pair| pair.peers.iter().all(Peer::is_drained));
    }

    fn until(&mut self, done: impl Fn(&Self) -> bool) {
        for _ in 0..MOST_STEPS {
            if done(self) {
                return;
            }
            self.step();
        }
        panic!("the connection does not come about");
    }

    fn step(&mut self) {
        for from in 0..2 {
            self.fulfil(from);
            self.deliver(from);
            self.carry(from);
        }
        self.now += STEP;
        let now = self.now;
        self.peers.iter_mut().for_each(|peer| peer.handle_timeout(now));
    }

    fn fulfil(&mut self, index: usize) {
        while let Some((transport, request)) = self.peers[index].poll_request() {
            if let Request::BindUdp { id, address } = request {
                let local = SocketAddr::new(address, 4000 + self.sockets[index].len() as u16);
                self.sockets[index].push((local, transport));
                self.peers[index].handle_input(self.now, transport, Input::Bound { id, local });
            }
        }
    }

    fn deliver(&mut self, index: usize) {
        let now = self.now;
        while let Some(event) = self.peers[index].poll_event() {
            match event {
                Event::NegotiationNeeded => {
                    let offer = self.peers[index].set_local_description(now, None).expect("it is stable");
                    self.peers[1 - index].set_remote_description(now, offer).expect("it is ours");
                    let answer =
                        self.peers[1 - index].set_local_description(now, None).expect("an offer waits");
                    self.peers[index].set_remote_description(now, answer).expect("it is ours");
                }
                Event::IceCandidate(Some(one)) => {
                    self.peers[1 - index].add_ice_candidate(now, Some(one.init)).expect("it is ours");
                }
                Event::ChannelOpen(channel) | Event::DataChannel(channel) => self.open[index] = Some(channel),
                Event::ChannelReadable(channel) => {
                    while self.peers[index].receive(now, channel).is_some() {
                        self.received[index] += 1;
                    }
                }
                _ => {}
            }
        }
    }

    fn carry(&mut self, from: usize) {
        while let Some(transmit) = self.peers[from].poll_transmit(self.now, &mut self.buf) {
            let path = Path::udp(transmit.path.remote, transmit.path.local);
            let size = transmit.segment_size.unwrap_or_else(|| transmit.range.len()).max(1);
            let mut sockets = self.sockets[1 - from].iter();
            let Some((_, socket)) = sockets.find(|(local, _)| *local == path.local) else { continue };
            for datagram in self.buf[transmit.range].chunks_mut(size) {
                self.peers[1 - from].handle_datagram(self.now, *socket, path, Ecn::NotEct, None, datagram);
            }
        }
    }
}
