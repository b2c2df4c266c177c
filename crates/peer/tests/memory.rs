//! The memory of a peer connection: idle with an open channel, after it was closed, and what
//! packets take of it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use columba_peer::{
    Certificate, ChannelId, Configuration, DataChannelInit, DtlsVersions, Ecn, Event, Input,
    MediaConfiguration, Message, OutgoingFrame, Path, Peer, Request, TrackKind, TransceiverDirection,
    TransceiverInit, TransportId, UnixTime,
};
use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng;

/// The bound of an idle connection with an open channel in bytes, without what the cryptography
/// library allocates outside of Rust.
const MAX_IDLE: i64 = 20_000;

const WALL: UnixTime = UnixTime(Duration::from_secs(1_790_000_000));

struct Pair {
    now: Instant,
    peers: [Peer; 2],
    sockets: [Option<TransportId>; 2],
    open: Vec<(usize, ChannelId)>,
    buf: Vec<u8>,
    /// Datagrams that were carried, and messages that each side has read.
    datagrams: usize,
    messages: [usize; 2],
}

#[expect(clippy::disallowed_methods, reason = "the origin of virtual time; nothing depends on its value")]
fn start() -> Instant {
    Instant::now()
}

impl Pair {
    /// Two peers that are connected, with an open channel on which one message went.
    fn connected(configuration: &Configuration) -> Self {
        let now = start();
        let peer = |index: u8| {
            let mut peer = Peer::new(configuration.clone(), now, WALL, [index; 32]).unwrap();
            peer.handle_network_change(now, &[IpAddr::from([10, 0, 0, index]).into()]);
            peer
        };
        let peers = [peer(1), peer(2)];
        let (sockets, open, buf) = ([None; 2], Vec::new(), vec![0; 65_536]);
        let mut pair = Self { now, peers, sockets, open, buf, datagrams: 0, messages: [0; 2] };
        pair.peers[0].create_data_channel(now, "chat", DataChannelInit::default()).unwrap();
        for _ in 0..400 {
            pair.step();
        }
        assert_eq!(pair.open.len(), 2, "the channel is open");
        for (index, channel) in pair.open.clone() {
            pair.peers[index].send(pair.now, channel, Message::from("coo")).unwrap();
        }
        for _ in 0..400 {
            pair.step();
        }
        pair.buf = Vec::new();
        pair
    }

    fn step(&mut self) {
        self.step_with(usize::MAX);
    }

    /// Lets everything happen, and carries so many batches of each peer.
    fn step_with(&mut self, batches: usize) {
        let now = self.now;
        for from in 0..2 {
            while let Some((transport, request)) = self.peers[from].poll_request() {
                if let Request::BindUdp { id, address } = request {
                    self.sockets[from] = Some(transport);
                    let local = SocketAddr::new(address, 4000);
                    self.peers[from].handle_input(now, transport, Input::Bound { id, local });
                }
            }
            while let Some(event) = self.peers[from].poll_event() {
                match event {
                    Event::NegotiationNeeded => {
                        let offer = self.peers[from].set_local_description(now, None).unwrap();
                        self.peers[1 - from].set_remote_description(now, offer).unwrap();
                        let answer = self.peers[1 - from].set_local_description(now, None).unwrap();
                        self.peers[from].set_remote_description(now, answer).unwrap();
                    }
                    Event::IceCandidate(Some(candidate)) => {
                        self.peers[1 - from].add_ice_candidate(now, Some(candidate.init)).unwrap();
                    }
                    Event::ChannelOpen(channel) | Event::DataChannel(channel) => {
                        self.open.push((from, channel));
                    }
                    Event::ChannelReadable(channel) => {
                        while self.peers[from].receive(now, channel).is_some() {
                            self.messages[from] += 1;
                        }
                    }
                    _ => {}
                }
            }
            for _ in 0..batches {
                let Some(transmit) = self.peers[from].poll_transmit(now, &mut self.buf) else { break };
                let path = Path::udp(transmit.path.remote, transmit.path.local);
                let size = transmit.segment_size.unwrap_or_else(|| transmit.range.len()).max(1);
                let Some(socket) = self.sockets[1 - from] else { continue };
                for datagram in self.buf[transmit.range].chunks_mut(size) {
                    self.datagrams += 1;
                    self.peers[1 - from].handle_datagram(now, socket, path, Ecn::NotEct, None, datagram);
                }
            }
        }
        self.now += Duration::from_millis(10);
        self.peers.iter_mut().for_each(|peer| peer.handle_timeout(self.now));
    }

    /// Sends so many messages both ways, and carries everything. There is always something on the
    /// way until the last one.
    fn exchange(&mut self, count: usize, payload: &Bytes) {
        let done = self.messages.map(|read| read + count);
        let mut sent = self.messages;
        while self.messages != done {
            for (index, channel) in [self.open[0], self.open[1]] {
                while sent[1 - index] < done[1 - index].min(self.messages[1 - index] + 8) {
                    self.peers[index].send(self.now, channel, Message::Binary(payload.clone())).unwrap();
                    sent[1 - index] += 1;
                }
            }
            self.step_with(1);
        }
    }
}

fn configuration() -> Configuration {
    let certificate = Certificate::generate(&mut ChaCha12Rng::seed_from_u64(1), WALL).unwrap();
    Configuration { certificates: vec![certificate], ..Configuration::default() }
}

#[test]
fn idle_connection_is_small_and_leaves_nothing_behind() {
    let configuration = configuration();
    // What is made once for all connections is made now.
    drop(Pair::connected(&configuration));

    let mut kept = None;
    let idle = allocation_counter::measure(|| kept = Some(Pair::connected(&configuration)));
    let each = idle.bytes_current / 2;
    eprintln!("an idle connection: {each} bytes, of which Peer itself {}", size_of::<Peer>());
    assert!(each <= MAX_IDLE, "{each} bytes for each idle connection");

    // Nothing is left of a connection that is closed and dropped.
    let closed = allocation_counter::measure(|| {
        let Some(mut pair) = kept.take() else { return };
        pair.buf = vec![0; 65_536];
        let now = pair.now;
        pair.peers.iter_mut().for_each(|peer| peer.close(now));
        for _ in 0..100 {
            pair.step();
        }
        assert!(pair.peers.iter().all(Peer::is_drained));
    });
    assert_eq!(closed.bytes_current, -idle.bytes_current);
}

/// Once everything has its size, only messages that arrive are allocated: once each, and once more
/// for handing them out. Records, packets of SCTP and the events of each datagram take nothing, in
/// either direction; a check of ICE does now and then.
#[test]
fn packets_cost_no_allocations() {
    for dtls_versions in [DtlsVersions::Dtls12, DtlsVersions::Dtls13] {
        let configuration = Configuration { dtls_versions, max_datagram_size: 1200, ..configuration() };
        let mut pair = Pair::connected(&configuration);
        pair.buf = vec![0; 65_536];
        let payload = Bytes::from_static(&[7; 60_000]);
        pair.exchange(100, &payload);
        (pair.datagrams, pair.messages) = (0, [0; 2]);
        let used = allocation_counter::measure(|| pair.exchange(200, &payload));
        assert!(pair.datagrams > 20_000, "{} datagrams", pair.datagrams);
        let beyond = used.count_total.saturating_sub(2 * pair.messages.iter().sum::<usize>() as u64);
        eprintln!("{dtls_versions:?}: {beyond} allocations beside messages, {} datagrams", pair.datagrams);
        assert!(beyond <= 64, "{beyond} for {} datagrams: {used:?}", pair.datagrams);
    }
}

/// Two peers send each other pictures and sound: in the steady state packets, frames, reports and
/// feedback take their memory from what is there.
#[test]
fn media_costs_no_allocations() {
    let mut media = MediaConfiguration::default();
    media.offered = TransceiverDirection::SendRecv;
    let configuration = Configuration { media: Arc::new(media), ..configuration() };
    let mut pair = Pair::connected(&configuration);
    pair.buf = vec![0; 65_536];
    for kind in [TrackKind::Audio, TrackKind::Video] {
        let init = TransceiverInit::default();
        pair.peers[0].add_transceiver(pair.now, kind, init).unwrap();
    }
    (0..200).for_each(|_| pair.step());
    let ids = [0, 1]
        .map(|index: usize| pair.peers[index].transceivers().iter().map(|info| info.id).collect::<Vec<_>>());
    let mut frame = vec![7; 1000];
    let (mut received, mut data) = (0, Vec::with_capacity(8192));
    let mut run = |pair: &mut Pair, steps: std::ops::Range<u32>| {
        let mut frames = 0;
        for step in steps {
            for index in [0, 1] {
                for (at, id) in ids[index].iter().enumerate() {
                    let len = [60, 1000][at];
                    // The first of VP8 is a key frame.
                    frame[0] = u8::from(step > 0);
                    let frame = OutgoingFrame::new(&frame[..len], Duration::from_millis(10) * step);
                    pair.peers[index].send_frame(pair.now, *id, &frame).unwrap();
                }
            }
            pair.step();
            for index in [0, 1] {
                for id in &ids[index] {
                    while pair.peers[index].receive_frame(*id, &mut data).is_some() {
                        frames += 1;
                    }
                }
            }
        }
        received += frames;
        frames
    };
    // Long enough for each queue, window and history to have been filled once.
    run(&mut pair, 0..3000);
    pair.datagrams = 0;
    let mut frames = 0;
    let used = allocation_counter::measure(|| frames = run(&mut pair, 3000..5000));
    assert!(frames >= 7900 && pair.datagrams > 8000, "{frames} {}", pair.datagrams);
    // Checks of ICE allocate now and then, with media and without.
    let idle = allocation_counter::measure(|| (0..2000).for_each(|_| pair.step()));
    let (with, without) = (used.count_total, idle.count_total);
    eprintln!("{with} allocations with {frames} frames, {without} without");
    assert!(with <= without + 64, "{used:?}, without media {idle:?}");
}
