//! The association: what its owner calls, and what it remembers.

mod cookie;
mod ecn;
mod handshake;
mod input;
mod output;
mod path_mtu;
mod reset;
mod shutdown;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand_chacha::ChaCha12Rng;
use rand_core::{CryptoRng, Rng, SeedableRng};

use crate::config::Config;
use crate::error::{CloseReason, SendError};
use crate::event::Event;
use crate::message::{Message, ReceivedMessage, Reliability};
use crate::rx::{Notice, Receiver};
use crate::serial::{Ppid, StreamId, Tsn};
use crate::stats::{Fates, Stats};
use crate::timers::{Timer, Timers};
use crate::tx::{Policy, QueuedMessage, Sender};
use crate::wire::cause;
pub use handshake::is_init;
pub use input::Ecn;

use cookie::PeerInit;
use ecn::Notification;
use path_mtu::PathMtu;
use reset::Resets;

/// An SCTP association with one peer (RFC 9260), as WebRTC uses it over DTLS (RFC 8261, RFC 8831).
///
/// It has the five doors of a protocol without I/O: packets and time go in by
/// [`handle_input`](Self::handle_input) and [`handle_timeout`](Self::handle_timeout), and after
/// each call that changes something, what is to be done comes out of
/// [`poll_transmit`](Self::poll_transmit), [`poll_event`](Self::poll_event) and
/// [`poll_timeout`](Self::poll_timeout). Any order of calls is legal. Once [`Event::Closed`] has
/// been given, nothing comes out any more but answers to a peer that has not heard of it.
#[derive(Debug)]
pub struct Association {
    config: Config,
    rng: ChaCha12Rng,
    born: Instant,
    /// The tag that packets to us must carry.
    local_tag: u32,
    local_tsn: Tsn,
    cookie_key: [u8; 16],
    state: State,
    /// The peer's INIT or INIT ACK; meaningless before the handshake.
    peer: PeerInit,
    /// The peer's INIT was carried in another way, and not answered.
    is_imported: bool,
    timers: Timers,
    sender: Sender,
    receiver: Receiver,
    resets: Resets,
    path_mtu: PathMtu,
    notification: Notification,
    due: Due,
    /// Since when output is held, until the transport can carry it.
    held_since: Option<Instant>,
    /// The end was asked for before the handshake was done.
    ends: bool,
    /// The ABORT by which this side ended everything, in case that it was lost.
    last_abort: Option<Abort>,
    /// Timeouts in a row without an answer.
    unanswered: u32,
    heartbeat: Heartbeat,
    /// When the INIT was sent, if only once.
    handshake_sent: Option<Instant>,
    /// Changes of state; few.
    events: VecDeque<Event>,
    /// Streams that can be read and whose reader does not know; each at most once.
    notices: VecDeque<Notice>,
    /// At most one for each stream that was asked to be reset.
    outgoing_resets: VecDeque<Event>,
    /// At most [`MAX_INCOMING_RESETS`].
    incoming_resets: VecDeque<StreamId>,
    stats: Stats,
}

/// Where the association stands (RFC 9260 §4).
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Idle,
    CookieWait,
    CookieEchoed { cookie: Bytes },
    Established,
    ShutdownPending,
    ShutdownSent,
    ShutdownReceived,
    ShutdownAckSent,
    Closed,
}

/// Chunks that are to go out.
#[derive(Debug, Default)]
struct Due {
    init: bool,
    cookie_echo: bool,
    cookie_ack: bool,
    shutdown: bool,
    shutdown_ack: bool,
    abort: Option<Abort>,
    heartbeat: bool,
    /// The information of HEARTBEATs that are not answered yet. At most [`MAX_REPLIES`]; more are
    /// not answered.
    heartbeat_acks: VecDeque<Bytes>,
    /// An ERROR chunk's cause and its information; the last one.
    error: Option<(u16, Bytes)>,
    /// Whole packets that need no state, such as INIT ACK. At most [`MAX_REPLIES`]; more are
    /// dropped.
    replies: VecDeque<Vec<u8>>,
}

/// The numbers by which a peer knows an association before it has begun.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    tag: u32,
    tsn: Tsn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Abort {
    cause: u16,
    /// Of the chunk that caused it, where the cause asks for that.
    tsn: Option<Tsn>,
    text: &'static str,
}

/// The question whether the peer is there (RFC 9260 §8.3).
#[derive(Debug, Default)]
struct Heartbeat {
    /// The nonce and the time of the one that waits for an answer.
    asked: Option<(u64, Instant)>,
}

impl Association {
    /// An association that has not begun. It answers a peer that begins; [`connect`](Self::connect)
    /// makes it begin itself.
    pub fn new(config: Config, now: Instant, rng: &mut impl CryptoRng) -> Self {
        let (mut rng, cookie_key) = own_randomness(rng);
        let identity = Identity { tag: random_tag(&mut rng), tsn: Tsn(rng.next_u32()) };
        Self::with_identity(config, now, rng, cookie_key, identity)
    }

    /// An association that takes this one's place before it has begun, with its tag and first TSN:
    /// an INIT that was exported holds for it, too.
    pub(crate) fn begun_anew(config: Config, now: Instant, rng: &mut impl CryptoRng, old: Identity) -> Self {
        let (rng, cookie_key) = own_randomness(rng);
        Self::with_identity(config, now, rng, cookie_key, old)
    }

    fn with_identity(
        config: Config,
        now: Instant,
        rng: ChaCha12Rng,
        cookie_key: [u8; 16],
        identity: Identity,
    ) -> Self {
        let Identity { tag: local_tag, tsn: local_tsn } = identity;
        Self {
            sender: Sender::new(&config, local_tsn, now),
            receiver: Receiver::new(&config, now),
            resets: Resets::new(local_tsn, Vec::new()),
            path_mtu: PathMtu::new(config.mtu, config.max_mtu),
            rng,
            born: now,
            local_tag,
            local_tsn,
            cookie_key,
            state: State::Idle,
            is_imported: false,
            peer: PeerInit { outgoing_streams: u16::MAX, incoming_streams: u16::MAX, ..PeerInit::default() },
            timers: Timers::default(),
            notification: Notification::default(),
            due: Due::default(),
            held_since: None,
            ends: false,
            last_abort: None,
            unanswered: 0,
            heartbeat: Heartbeat::default(),
            handshake_sent: None,
            events: VecDeque::new(),
            notices: VecDeque::new(),
            outgoing_resets: VecDeque::new(),
            incoming_resets: VecDeque::new(),
            stats: Stats::default(),
            config,
        }
    }

    /// Begins the handshake. Both sides may.
    pub fn connect(&mut self, _now: Instant) {
        if self.state == State::Idle {
            self.state = State::CookieWait;
            self.due.init = true;
        }
    }

    /// Returns whether messages flow: the handshake is done, and no end has begun.
    pub fn is_established(&self) -> bool {
        self.state == State::Established
    }

    /// Returns whether the association has ended.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Queues a message; also before the handshake is done. If it then turns out that the peer does
    /// not take the stream ([`outgoing_streams`](Self::outgoing_streams)), what waits for it is
    /// thrown away.
    ///
    /// # Errors
    /// If it is empty, too large, or the stream or the association does not take it. Then nothing
    /// has changed.
    pub fn send(&mut self, now: Instant, stream: StreamId, message: Message) -> Result<(), SendError> {
        self.send_counted(now, stream, message, true)
    }

    /// Queues a message, which adds to the buffered amount only if it is `counted`.
    pub(crate) fn send_counted(
        &mut self,
        now: Instant,
        stream: StreamId,
        message: Message,
        counted: bool,
    ) -> Result<(), SendError> {
        if !self.takes_messages() {
            return Err(SendError::Closed);
        }
        if message.payload.is_empty() {
            return Err(SendError::Empty);
        }
        if message.payload.len() > self.config.max_send_message_size {
            return Err(SendError::TooLarge { limit: self.config.max_send_message_size });
        }
        if stream.0 >= self.outgoing_streams() {
            return Err(SendError::NoSuchStream { count: self.outgoing_streams() });
        }
        if self.sender.queue.is_resetting(stream) {
            return Err(SendError::Resetting(stream));
        }
        if !self.sender.queue.has_room(stream) {
            return Err(SendError::Full);
        }
        let policy = match message.reliability {
            Reliability::Reliable => Policy::Reliable,
            Reliability::MaxRetransmits(most) => Policy::Retransmits(most),
            Reliability::MaxLifetime(lifetime) => {
                now.checked_add(lifetime).map_or(Policy::Reliable, Policy::Until)
            }
        };
        self.stats.messages_sent += 1;
        self.sender.queue.push(
            stream,
            QueuedMessage {
                ppid: message.ppid,
                payload: message.payload,
                unordered: message.unordered,
                policy,
                counted,
            },
        );
        Ok(())
    }

    /// Queues a message of our own, whatever the limits.
    pub(crate) fn send_control(&mut self, stream: StreamId, ppid: Ppid, payload: Bytes) {
        if self.takes_messages() {
            let policy = Policy::Reliable;
            let message = QueuedMessage { ppid, payload, unordered: false, policy, counted: false };
            self.sender.queue.push(stream, message);
        }
    }

    fn takes_messages(&self) -> bool {
        let open = matches!(
            self.state,
            State::Idle | State::CookieWait | State::CookieEchoed { .. } | State::Established
        );
        open && !self.ends
    }

    /// From now on what the peer sends on a stream is thrown away, until it resets it.
    pub(crate) fn discard_incoming(&mut self, stream: StreamId) {
        self.receiver.reassembly.discard(stream);
    }

    /// From now on messages of DCEP are read before user data that was sent unordered and has
    /// overtaken them.
    pub(crate) fn read_dcep_first(&mut self) {
        self.receiver.reassembly.read_dcep_first();
    }

    /// Throws away all that waits to be sent, resets included.
    pub(crate) fn forget_queued(&mut self) {
        self.sender.queue.clear();
        self.resets.forget_queued();
    }

    /// The peer may not use a stream: it is told so by a reset of our direction, and not listened
    /// to until it resets its own.
    pub(crate) fn refuse_stream(&mut self, now: Instant, stream: StreamId) {
        self.discard_incoming(stream);
        self.reset_stream(now, stream);
    }

    /// Returns the identifier of the next message of a stream.
    pub(crate) fn next_ppid(&self, stream: StreamId) -> Option<Ppid> {
        self.receiver.reassembly.next_ppid(stream)
    }

    /// The next message of a stream. Reading opens the receive window, so that
    /// [`poll_transmit`](Self::poll_transmit) may have to say so to the peer; not reading closes
    /// it, and stops the peer.
    pub fn receive(&mut self, stream: StreamId) -> Option<ReceivedMessage> {
        let message = self.set_aside(stream)?;
        self.release(message.payload.len());
        Some(message)
    }

    /// Takes the next message off a stream without reading it: the window stays closed by it, until
    /// it is [`release`](Self::release)d.
    pub(crate) fn set_aside(&mut self, stream: StreamId) -> Option<ReceivedMessage> {
        self.receiver.reassembly.set_aside(stream)
    }

    /// A message of so many bytes that was set aside has been read.
    pub(crate) fn release(&mut self, length: usize) {
        self.receiver.release(length);
        self.stats.messages_received += 1;
    }

    /// The number of bytes that of a stream's messages have been queued and not been sent for the
    /// first time.
    pub fn buffered_amount(&self, stream: StreamId) -> usize {
        self.sender.queue.buffered(stream)
    }

    /// The number of bytes that of messages have been queued and not been sent for the first time,
    /// over all streams.
    pub fn total_buffered_amount(&self) -> usize {
        self.sender.queue.queued()
    }

    /// Returns whether a stream should be given more: less than [`Config::high_watermark`] waits on
    /// it, and [`send`](Self::send) does not refuse a message as [`SendError::Full`]. Once it is
    /// false, [`Event::Writable`] says when there is room.
    pub fn is_writable(&mut self, stream: StreamId) -> bool {
        self.takes_messages()
            && stream.0 < self.outgoing_streams()
            && !self.sender.queue.is_resetting(stream)
            && self.sender.queue.is_writable(stream)
    }

    /// [`Event::BufferedAmountLow`] comes when the buffered amount of a stream falls to so many
    /// bytes. At first 0.
    pub fn set_buffered_amount_low_threshold(&mut self, stream: StreamId, threshold: usize) {
        self.sender.queue.set_low_threshold(stream, threshold);
    }

    /// A stream's share among those that have something to send, when scheduling is by weight. At
    /// first 256.
    pub fn set_weight(&mut self, stream: StreamId, weight: u16) {
        self.sender.queue.set_weight(stream, weight);
    }

    /// The largest message that the peer takes, once it has said so.
    pub fn set_max_send_message_size(&mut self, limit: usize) {
        self.config.max_send_message_size = limit;
    }

    /// [`Config::max_mtu`], once it is known what the path is made of.
    pub fn set_max_mtu(&mut self, max_mtu: usize) {
        self.path_mtu.set_max_mtu(max_mtu);
    }

    /// The peer's SCTP port, once its description has said it (`a=sctp-port`, RFC 8841 §5). Before
    /// the handshake, or its packets are dropped as foreign ones; afterwards it is settled.
    pub fn set_remote_port(&mut self, port: u16) {
        if self.state == State::Idle {
            self.config.remote_port = port;
        }
    }

    /// Below which number streams are accepted by [`send`](Self::send).
    pub fn outgoing_streams(&self) -> u16 {
        self.config.streams.min(self.peer.incoming_streams)
    }

    /// The number of streams that go in both directions, as a data channel needs them (RFC 8831
    /// §6.2); known once the peer has said how many it has.
    pub fn bidirectional_streams(&self) -> u16 {
        self.outgoing_streams().min(self.peer.outgoing_streams)
    }

    /// The route to the peer has changed: round trip, congestion window and packet size are learnt
    /// anew. `mtu` and `max_mtu` are those of [`Config`] for the new path.
    pub fn handle_path_change(&mut self, now: Instant, mtu: usize, max_mtu: usize) {
        self.notification.change_path();
        self.sender.change_path(now, mtu);
        self.path_mtu.change_path(mtu, max_mtu);
        self.timers.stop(Timer::PathMtu);
        self.receiver.change_path(now);
        // The new path's round trip is needed, and the peer may not have noticed.
        if self.is_established() {
            self.ask_heartbeat(now);
        }
    }

    /// Holds all output back, because the transport below cannot carry it yet. Deadlines are held
    /// back, too: a peer that hears nothing cannot be blamed for not answering.
    pub fn hold_output(&mut self, now: Instant) {
        self.held_since.get_or_insert(now);
    }

    /// Lets output go, and time go on.
    pub fn set_transport_ready(&mut self, now: Instant) {
        if let Some(since) = self.held_since.take() {
            self.timers.postpone(now.saturating_duration_since(since));
        }
    }

    /// Returns the next event. Until `None`.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.poll_state_event().or_else(|| self.poll_low_event())
    }

    /// Returns the next event of the association and its streams, except those of queues.
    pub(crate) fn poll_state_event(&mut self) -> Option<Event> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        if let Some(notice) = self.notices.pop_front() {
            return Some(match notice {
                Notice::Readable(stream) => Event::Readable(stream),
                Notice::TooLarge(stream) => Event::MessageTooLarge(stream),
            });
        }
        if let Some(stream) = self.incoming_resets.pop_front() {
            return Some(Event::IncomingReset(stream));
        }
        self.outgoing_resets.pop_front()
    }

    /// Returns the next stream whose queue has fallen to a mark.
    pub(crate) fn poll_low_event(&mut self) -> Option<Event> {
        if let Some(stream) = self.sender.queue.poll_low() {
            return Some(Event::BufferedAmountLow(stream));
        }
        self.sender.queue.poll_writable().filter(|_| !self.is_closed()).map(Event::Writable)
    }

    /// Returns whether an acknowledgement, or word of more room, is to go out at once.
    /// Stops the input of data, or lets it go on: the window is closed meanwhile, and no stream is
    /// reset. Acknowledgements of what this side sends, heartbeats and timers go on.
    pub fn hold_input(&mut self, hold: bool) {
        self.receiver.hold(hold);
    }

    pub(crate) fn is_sack_due(&self) -> bool {
        self.receiver.is_sack_due()
    }

    /// Takes the fates of user data since the last call; `None` if nothing has become of any.
    pub fn take_fates(&mut self) -> Option<Fates> {
        let fates = std::mem::take(&mut self.sender.fates);
        (fates.acknowledged + fates.lost > 0).then_some(fates)
    }

    /// Returns the weight of the stream whose data goes next, if there is data that the congestion
    /// window lets go.
    pub fn waiting_weight(&mut self) -> Option<u16> {
        let may_send = !self.is_closed() && self.sender.would_send();
        may_send.then(|| self.sender.queue.next_weight())
    }

    /// When should [`handle_timeout`](Self::handle_timeout) be called?
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next().filter(|_| self.held_since.is_none())
    }

    /// The time that [`poll_timeout`](Self::poll_timeout) named has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.held_since.is_some() {
            return;
        }
        while let Some((timer, at)) = self.timers.expire(now) {
            tracing::trace!(?timer, "expired");
            self.on_timer(now, timer, at);
        }
    }

    fn on_timer(&mut self, now: Instant, timer: Timer, at: Instant) {
        match timer {
            Timer::Handshake => self.on_handshake_timeout(),
            Timer::Shutdown => self.on_shutdown_timeout(now),
            Timer::ShutdownGuard => self.on_shutdown_guard(now),
            Timer::Retransmission => {
                if self.sender.on_timeout(now) {
                    self.notification.on_timeout();
                    self.count_unanswered(now);
                    self.on_data_timeout(now);
                }
            }
            Timer::TailLossProbe => self.sender.on_probe_timeout(),
            Timer::Reordering => self.sender.detect_loss(now, &mut self.timers),
            Timer::Sack => self.receiver.acknowledge_now(),
            Timer::Heartbeat => self.on_heartbeat_timeout(now),
            Timer::Reconfig => self.on_reconfig_timeout(now),
            Timer::HalfClosed => self.on_half_closed_timeout(now),
            Timer::PathMtu => self.on_path_mtu_timeout(now),
            Timer::Pacing => self.sender.on_pacing_timeout(now.saturating_duration_since(at)),
            // `poll_transmit` is called after this, and that is all.
            Timer::Budget => {}
        }
    }

    /// Returns the size of the largest packet that the path is known to carry, in bytes.
    pub fn mtu(&self) -> usize {
        self.sender.mtu()
    }

    /// Returns the counters, and the present view of the path.
    pub fn stats(&self) -> Stats {
        Stats {
            smoothed_round_trip: self.sender.round_trip.smoothed(),
            congestion_window: self.sender.congestion_window(),
            in_flight: self.sender.outstanding.in_flight(),
            peer_window: self.sender.peer_window(),
            receive_window: self.receiver.window_limit(),
            mtu: self.sender.mtu(),
            retransmitted_chunks: self.sender.retransmitted_chunks,
            ..self.stats
        }
    }

    /// Another timeout without an answer.
    fn count_unanswered(&mut self, now: Instant) {
        self.unanswered += 1;
        if self.config.max_retransmissions.is_some_and(|most| self.unanswered > most) {
            tracing::debug!("the peer does not answer");
            self.abort_with(now, Abort::new(cause::USER_INITIATED, "no answer"));
            self.close(CloseReason::Timeout);
        }
    }

    /// The peer has broken the protocol.
    fn violation(&mut self, now: Instant, text: &'static str) {
        tracing::debug!(text, "protocol violation");
        self.abort_with(now, Abort::new(cause::PROTOCOL_VIOLATION, text));
        self.close(CloseReason::Violation(text));
    }

    fn abort_with(&mut self, _now: Instant, abort: Abort) {
        // Before the peer's tag is known no packet reaches it.
        if !matches!(self.state, State::Idle | State::CookieWait | State::Closed) {
            self.due.abort = Some(abort);
            self.last_abort = Some(abort);
        }
    }

    fn close(&mut self, reason: CloseReason) {
        if self.state == State::Closed {
            return;
        }
        self.state = State::Closed;
        self.timers.stop_all();
        self.events.push_back(Event::Closed(reason));
    }

    fn note_incoming_reset(&mut self, stream: StreamId) {
        if self.incoming_resets.len() < MAX_INCOMING_RESETS {
            self.incoming_resets.push_back(stream);
        }
    }

    /// Time since birth, as cookies count it.
    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.born)
    }
}

/// A generator of the association's own, and the key of its cookies.
fn own_randomness(rng: &mut impl CryptoRng) -> (ChaCha12Rng, [u8; 16]) {
    let mut seed = [0; 32];
    rng.fill_bytes(&mut seed);
    let mut rng = ChaCha12Rng::from_seed(seed);
    let mut cookie_key = [0; 16];
    rng.fill_bytes(&mut cookie_key);
    (rng, cookie_key)
}

/// A verification tag is never zero (RFC 9260 §5.3.1).
fn random_tag(rng: &mut impl Rng) -> u32 {
    loop {
        let tag = rng.next_u32();
        if tag != 0 {
            return tag;
        }
    }
}

/// Whole packets that may wait to go out.
const MAX_REPLIES: usize = 4;
/// Resets by the peer that the owner has not heard of: more than there are streams is a flood.
const MAX_INCOMING_RESETS: usize = 1 << 16;
