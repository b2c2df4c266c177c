//! Our data channels towards dcsctp, as Chromium wraps it, in virtual time.
//!
//! Chromium (`media/sctp/dcsctp_transport.cc`) drops packets that are larger than its MTU, and
//! resets its direction of each stream that the other side resets. dcsctp puts all streams that
//! wait for a reset into one request, so that a request for 579 streams or more is never sent, and
//! later ones wait behind it.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use columba_sctp::channels::{ChannelEvent, ChannelId, ChannelInit, DataChannels, Payload, Role};
use columba_sctp::{Config, Ecn, Unlimited};
use dcsctp::api::{DcSctpSocket, Options, SocketEvent, SocketTime, StreamId};
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

/// The largest packet that Chromium sends, in bytes.
const MTU: usize = 1191;

/// The length of a packet without chunks, in bytes (RFC 9260 §3.1).
const PACKET_HEADER: usize = 12;

/// The type of a RE-CONFIG chunk, and that of a request to reset streams (RFC 6525 §3.1, §4.1).
const RECONFIG: u8 = 130;
const OUTGOING_RESET: [u8; 2] = [0, 13];

/// The state of a stream as `DcSctpTransport` keeps it.
#[derive(Default)]
struct Stream {
    closure_initiated: bool,
    incoming_reset: bool,
    outgoing_reset: bool,
}

/// Chromium's end.
struct Chromium {
    socket: Box<dyn DcSctpSocket>,
    streams: BTreeMap<u16, Stream>,
    closed: usize,
    /// Packets that were dropped, or are empty, because a request does not fit into one.
    unsent: usize,
}

impl Chromium {
    fn new() -> Self {
        let options = Options { mtu: MTU, max_retransmissions: None, ..Options::default() };
        Self { socket: dcsctp::new_socket("", &options), streams: BTreeMap::new(), closed: 0, unsent: 0 }
    }

    /// Does what a page's `close()` does.
    fn close(&mut self, id: u16) {
        let stream = self.streams.get_mut(&id).unwrap();
        if !stream.closure_initiated && !stream.incoming_reset && !stream.outgoing_reset {
            stream.closure_initiated = true;
            self.socket.reset_streams(&[StreamId(id)]).unwrap();
        }
    }

    fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        while let Some(event) = self.socket.poll_event() {
            match event {
                SocketEvent::SendPacket(packet) if !(PACKET_HEADER + 1..=MTU).contains(&packet.len()) => {
                    self.unsent += 1;
                }
                SocketEvent::SendPacket(packet) => return Some(packet),
                SocketEvent::OnIncomingStreamReset(ids) => {
                    for StreamId(id) in ids {
                        let Some(stream) = self.streams.get_mut(&id) else { continue };
                        stream.incoming_reset = true;
                        if !stream.closure_initiated && !stream.outgoing_reset {
                            self.socket.reset_streams(&[StreamId(id)]).unwrap();
                        }
                        self.note_closed(id);
                    }
                }
                SocketEvent::OnStreamsResetPerformed(ids) => {
                    for StreamId(id) in ids {
                        let Some(stream) = self.streams.get_mut(&id) else { continue };
                        stream.outgoing_reset = true;
                        self.note_closed(id);
                    }
                }
                _ => {}
            }
        }
        while let Some(message) = self.socket.get_next_message() {
            let is_open = message.ppid.0 == 50 && message.payload.first() == Some(&3);
            if is_open {
                self.streams.insert(message.stream_id.0, Stream::default());
            }
        }
        None
    }

    fn note_closed(&mut self, id: u16) {
        if self.streams.get(&id).is_some_and(|stream| stream.incoming_reset && stream.outgoing_reset) {
            self.streams.remove(&id);
            self.closed += 1;
        }
    }
}

/// Our end and Chromium's, and the path between them.
struct Lab {
    born: Instant,
    now: Instant,
    ours: DataChannels,
    theirs: Chromium,
    /// One way, of each packet.
    delay: Duration,
    /// The part of packets that get lost.
    loss: f64,
    /// True if the next request of Chromium's to reset streams gets lost.
    lose_request: bool,
    rng: ChaCha12Rng,
    /// Packets under way to Chromium, and to us.
    path: [VecDeque<(Instant, Vec<u8>)>; 2],
    ids: Vec<ChannelId>,
    closed: usize,
}

impl Lab {
    /// A connection with open channels on even streams.
    fn new(channels: usize, delay: Duration) -> Self {
        Self::with(Config::default(), channels, delay)
    }

    fn with(config: Config, channels: usize, delay: Duration) -> Self {
        #[expect(clippy::disallowed_methods, reason = "a test needs some time to begin with")]
        let now = Instant::now();
        let mut rng = ChaCha12Rng::seed_from_u64(7);
        let mut lab = Self {
            born: now,
            now,
            ours: DataChannels::new(config, now, &mut rng),
            theirs: Chromium::new(),
            delay,
            loss: 0.0,
            lose_request: false,
            rng,
            path: Default::default(),
            ids: Vec::new(),
            closed: 0,
        };
        lab.ours.start(now, Role::Client);
        lab.theirs.socket.connect();
        let open = |ours: &mut DataChannels| ours.open(now, "", ChannelInit::default()).unwrap();
        lab.ids = (0..channels).map(|_| open(&mut lab.ours)).collect();
        lab.run_for(Duration::from_secs(20));
        assert_eq!(lab.theirs.streams.len(), channels, "all are open");
        lab
    }

    /// Has Chromium close its share of the channels, the first ones, and us the rest.
    fn close(&mut self, theirs: usize) {
        self.close_by_chromium(theirs);
        self.close_by_us(theirs);
    }

    fn close_by_chromium(&mut self, count: usize) {
        for stream in 0..count {
            self.theirs.close(2 * stream as u16);
        }
    }

    fn close_by_us(&mut self, from: usize) {
        for id in &self.ids[from..] {
            self.ours.close(self.now, *id);
        }
    }

    fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        self.run_until(end, |_| false);
        self.now = end;
    }

    /// Runs until all channels are closed at both ends, and returns how long that took.
    fn time_to_close(&mut self) -> Option<Duration> {
        let start = self.now;
        let all = self.ids.len();
        let done = self
            .run_until(start + Duration::from_secs(120), |lab| lab.closed == all && lab.theirs.closed == all);
        done.then(|| self.now - start)
    }

    /// Goes from one happening to the next until `is_done`, at the latest until `end`.
    fn run_until(&mut self, end: Instant, is_done: impl Fn(&Self) -> bool) -> bool {
        loop {
            self.step();
            if is_done(self) {
                return true;
            }
            let arrivals = self.path.iter().filter_map(|way| Some(way.front()?.0));
            let theirs = self.theirs.socket.poll_timeout();
            let theirs =
                (theirs != SocketTime::infinite_future()).then(|| self.born + (theirs - SocketTime::zero()));
            let next = arrivals.chain(theirs).chain(self.ours.poll_timeout()).min();
            match next.filter(|next| *next <= end) {
                Some(next) => self.now = next.max(self.now + Duration::from_micros(10)),
                None => return false,
            }
        }
    }

    fn step(&mut self) {
        let now = self.now;
        self.theirs.socket.advance_time(SocketTime::zero() + (now - self.born));
        if self.ours.poll_timeout().is_some_and(|at| at <= now) {
            self.ours.handle_timeout(now);
        }
        let arrived = |way: &mut VecDeque<(Instant, Vec<u8>)>| {
            way.front().is_some_and(|(at, _)| *at <= now).then(|| way.pop_front().unwrap().1)
        };
        while let Some(packet) = arrived(&mut self.path[0]) {
            self.theirs.socket.handle_input(&packet);
            self.carry(now);
        }
        while let Some(packet) = arrived(&mut self.path[1]) {
            self.ours.handle_input(now, &packet, Ecn::NotMarked);
            self.carry(now);
        }
        self.carry(now);
        while let Some(event) = self.ours.poll_event() {
            self.closed += usize::from(matches!(event, ChannelEvent::Closed(_)));
        }
    }

    /// Puts on the path what both ends send.
    fn carry(&mut self, now: Instant) {
        let mut buffer = [0; 2048];
        while let Some(packet) = self.theirs.poll_transmit() {
            let is_request = packet[12] == RECONFIG && packet.get(16..18) == Some(&OUTGOING_RESET);
            let is_lost = (is_request && std::mem::take(&mut self.lose_request)) || self.loses();
            if !is_lost {
                self.path[1].push_back((now + self.delay, packet));
            }
        }
        while let Some(length) = self.ours.poll_transmit(now, &mut Unlimited, &mut buffer) {
            if !self.loses() {
                self.path[0].push_back((now + self.delay, buffer[..length].to_vec()));
            }
        }
    }

    fn loses(&mut self) -> bool {
        self.loss > 0.0 && f64::from(self.rng.next_u32()) < self.loss * f64::from(u32::MAX)
    }
}

const NEAR: Duration = Duration::from_millis(5);
const FAR: Duration = Duration::from_millis(50);

/// Why our side has to leave room: it cannot help what Chromium does to itself. Its first request
/// has one stream, because it goes out with the first `close()`; the second has the rest.
#[test]
fn chromium_does_not_end_580_closings_of_its_own() {
    for (count, ends) in [(578, true), (579, true), (580, false), (1000, false)] {
        let mut lab = Lab::new(count, NEAR);
        lab.close(count);
        let time = lab.time_to_close();
        assert_eq!((time.is_some(), lab.theirs.unsent == 0), (ends, ends), "{count} closings: {time:?}");
    }
}

#[test]
fn closings_of_ours_end_however_many_they_are() {
    for count in [578, 579, 580, 1000, 3000] {
        for lose_request in [false, true] {
            let mut lab = Lab::new(count, NEAR);
            lab.lose_request = lose_request;
            lab.close(0);
            let time = lab.time_to_close();
            assert!(time.is_some(), "{} of {count}, lost: {lose_request}", lab.closed);
            assert_eq!(lab.theirs.unsent, 0);
        }
    }
}

#[test]
fn a_thousand_closings_over_a_round_trip_of_100_ms_take_less_than_a_second_and_a_half() {
    let mut lab = Lab::new(1000, FAR);
    lab.close(0);
    let time = lab.time_to_close().unwrap();
    assert!(time < Duration::from_millis(1500), "{time:?}");
}

#[test]
fn five_hundred_closings_by_each_side_at_once_end() {
    for delay in [NEAR, FAR] {
        for lose_request in [false, true] {
            let mut lab = Lab::new(1000, delay);
            lab.lose_request = lose_request;
            lab.close(500);
            assert!(lab.time_to_close().is_some(), "{} of 1000, lost: {lose_request}", lab.closed);
        }
    }
}

#[test]
fn five_hundred_closings_by_each_side_end_over_a_path_that_loses() {
    for loss in [0.005, 0.02, 0.1] {
        for seed in 0..6 {
            let mut lab = Lab::new(1000, NEAR);
            lab.rng = ChaCha12Rng::seed_from_u64(seed);
            lab.loss = loss;
            lab.close(500);
            assert!(lab.time_to_close().is_some(), "{} of 1000, {loss} lost, seed {seed}", lab.closed);
        }
    }
}

/// Whenever Chromium begins to close its share, its next request has room for ours.
#[test]
fn chromium_may_begin_its_closings_in_the_middle_of_ours() {
    for begin in (0..1000).step_by(70) {
        let mut lab = Lab::new(1500, FAR);
        lab.close_by_us(500);
        lab.run_for(Duration::from_millis(begin));
        lab.close_by_chromium(500);
        assert!(lab.time_to_close().is_some(), "{} of 1500, begun after {begin} ms", lab.closed);
    }
}

/// The request that Chromium cannot send is never answered: our closings behind it are said to be
/// done all the same, and their streams are not used again.
#[test]
fn closings_behind_a_request_that_chromium_never_sends_are_said_to_be_done() {
    let mut lab = Lab::new(620, NEAR);
    lab.close_by_chromium(600);
    lab.run_for(Duration::from_secs(5));
    lab.close_by_us(600);
    lab.run_for(Duration::from_secs(5));
    let before = lab.closed;
    assert!(before < 20, "{before}");
    lab.run_for(Duration::from_secs(10));
    assert_eq!(lab.closed - before, 20);
    let next = lab.ours.open(lab.now, "", ChannelInit::default()).unwrap();
    let stream = lab.ours.channel(next).unwrap().stream_id.unwrap();
    assert!(stream == 0 || stream >= 2 * 620, "{stream}");
}

/// dcsctp declares no PAD chunk, skips it, and answers no probe that it would have to send back
/// whole.
#[test]
fn packets_to_chromium_grow_beyond_its_own() {
    let mut lab = Lab::with(Config { max_mtu: 1432, ..Config::default() }, 1, NEAR);
    let message = Payload::Binary(vec![7; 60_000].into());
    for _ in 0..20 {
        lab.ours.send(lab.now, lab.ids[0], message.clone()).unwrap();
    }
    lab.run_for(Duration::from_secs(5));
    assert_eq!(lab.ours.association().stats().mtu, 1432);
    assert_eq!(lab.ours.buffered_amount(lab.ids[0]), 0);
}
