//! Data channels over an association (RFC 8831, RFC 8832, and the W3C's closing procedure).
//!
//! ```
//! use std::time::Instant;
//! use columba_sctp::channels::{ChannelEvent, ChannelInit, DataChannels, Payload, Role};
//! use columba_sctp::{Config, Ecn, Unlimited};
//! # use rand_core::SeedableRng;
//! # #[allow(clippy::disallowed_methods)]
//! # let now = Instant::now();
//!
//! let mut rng = rand_chacha::ChaCha12Rng::seed_from_u64(1);
//! let mut alice = DataChannels::new(Config::default(), now, &mut rng);
//! let mut bob = DataChannels::new(Config::default(), now, &mut rng);
//! let chat = alice.open(now, "chat", ChannelInit::default())?;
//! alice.start(now, Role::Client);
//! bob.start(now, Role::Server);
//!
//! let mut packet = [0; 1500];
//! let heard = loop {
//!     while let Some(length) = alice.poll_transmit(now, &mut Unlimited, &mut packet) {
//!         bob.handle_input(now, &packet[..length], Ecn::NotMarked);
//!     }
//!     while let Some(length) = bob.poll_transmit(now, &mut Unlimited, &mut packet) {
//!         alice.handle_input(now, &packet[..length], Ecn::NotMarked);
//!     }
//!     if alice.poll_event() == Some(ChannelEvent::Opened(chat)) {
//!         alice.send(now, chat, Payload::Text("coo".into()))?;
//!     }
//!     if let Some(ChannelEvent::Readable(channel)) = bob.poll_event() {
//!         break bob.receive(now, channel);
//!     }
//! };
//! assert_eq!(heard, Some(Payload::Text("coo".into())));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod channel;
mod dcep;
mod events;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use bytes::Bytes;
use rand_core::CryptoRng;

pub use channel::{ChannelId, ChannelInfo, ChannelInit, ChannelState, Payload};

use crate::association::{Association, Ecn};
use crate::budget::Budget;
use crate::config::Config;
use crate::error::{CloseReason, ImportError, SendError};
use crate::message::Message;
use crate::serial::StreamId;
use crate::stats::Fates;
use crate::stream_table::StreamTable;
use channel::Channel;
use dcep::ppid;

/// The side in the DTLS handshake below; it decides who takes which stream numbers (RFC 8832 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Opens channels on even streams.
    Client,
    /// Opens channels on odd streams.
    Server,
}

/// Something that the owner of the channels should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelEvent {
    /// The association is there.
    Connected,
    /// The peer has opened a channel, which is open.
    Incoming(ChannelId),
    /// A channel of ours is open.
    Opened(ChannelId),
    /// A channel has messages to read, after it had none. Not repeated until
    /// [`DataChannels::receive`] has returned `None`.
    Readable(ChannelId),
    /// A channel's buffered amount has fallen to its threshold.
    BufferedAmountLow(ChannelId),
    /// A channel that was found full (by [`DataChannels::is_writable`] or [`SendError::Full`]) has
    /// room again. Comes once for each time.
    Writable(ChannelId),
    /// The peer has begun to close the channel.
    Closing(ChannelId),
    /// Something went wrong with the channel; it closes.
    Failed(ChannelId, ChannelError),
    /// The channel is closed. What had arrived before can still be read.
    Closed(ChannelId),
    /// The association is gone; all channels have been said to be closed before. Nothing follows.
    Disconnected(CloseReason),
}

/// An error of one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// The peer sent a message that is larger than we take.
    #[error("a message larger than we accept arrived")]
    MessageTooLarge,
    /// The peer refused the channel: it reset the stream without an answer to the opening (RFC 8832
    /// §6).
    #[error("the peer refused the channel")]
    Refused,
    /// The peer opened another channel on the channel's stream (RFC 8832 §6).
    #[error("the peer opened another channel on the same stream")]
    StreamConflict,
    /// The peer takes fewer streams than the channel's number needs.
    #[error("the peer has no stream for the channel")]
    NoStream,
}

/// Why a channel could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Label or protocol is longer than 65,535 bytes.
    #[error("a label or protocol has at most 65535 bytes")]
    TooLong,
    /// The negotiated stream number is used by another channel.
    #[error("stream {0} is used by another channel")]
    StreamTaken(u16),
    /// The negotiated stream number is too high: 65,535 is no stream, and the peer may take fewer.
    #[error("there is no stream {stream}: the highest is {highest}")]
    NoSuchStream {
        /// The number that was asked for.
        stream: u16,
        /// The highest that there is.
        highest: u16,
    },
    /// All streams are in use.
    #[error("no stream is left")]
    NoStreamLeft,
    /// The association has ended.
    #[error("the association is closed")]
    Closed,
}

/// Why a message was not accepted by a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelSendError {
    /// The channel is not open, not yet or not any more.
    #[error("the channel is not open")]
    NotOpen,
    /// The association does not take it.
    #[error(transparent)]
    Refused(#[from] SendError),
}

/// The data channels of a peer connection, and the association that carries them.
///
/// The doors are those of [`Association`].
#[derive(Debug)]
pub struct DataChannels {
    association: Association,
    role: Option<Role>,
    /// Boxed, because a node of the tree has room for eleven.
    channels: BTreeMap<ChannelId, Box<Channel>>,
    by_stream: StreamTable<ChannelId>,
    /// Streams without a channel that the peer has to reset before they are used again: those on
    /// which it was refused a channel, and those of channels that were closed without waiting for
    /// it.
    reserved: BTreeSet<StreamId>,
    next_id: u64,
    /// All smaller stream numbers of our parity are taken.
    next_stream: u16,
    max_message_size: usize,
    /// The bytes that channels of the peer may still take.
    spare_memory: usize,
    /// The bytes left on channels that ended with the association, or when the peer began anew: one
    /// number for each that had something.
    unsent: BTreeMap<ChannelId, usize>,
    /// At most a few for each channel: the owner that lets packets in takes events out.
    events: VecDeque<ChannelEvent>,
    /// Why the association has ended.
    end: Option<CloseReason>,
}

impl DataChannels {
    /// Channels over an association that has not begun.
    pub fn new(config: Config, now: Instant, rng: &mut impl CryptoRng) -> Self {
        let (max_message_size, spare_memory) = (config.max_message_size, config.channel_memory);
        let mut association = Association::new(config, now, rng);
        association.read_dcep_first();
        Self {
            max_message_size,
            spare_memory,
            unsent: BTreeMap::new(),
            association,
            role: None,
            channels: BTreeMap::new(),
            by_stream: StreamTable::default(),
            reserved: BTreeSet::new(),
            next_id: 0,
            next_stream: 0,
            events: VecDeque::new(),
            end: None,
        }
    }

    /// Ends the association, if it has not ended, and takes a new one in its place that has not
    /// begun. Channels that are closed can be read to their end; no other remains.
    pub fn renew(&mut self, config: Config, now: Instant, rng: &mut impl CryptoRng) {
        self.replace(config.clone(), now, |_| Association::new(config, now, rng));
    }

    /// As [`renew`](Self::renew), instead of an association that has not begun: the INIT that
    /// [`export_init`](Self::export_init) has carried to the peer is that of the new one, too.
    pub fn renew_unbegun(&mut self, config: Config, now: Instant, rng: &mut impl CryptoRng) {
        let anew = |old: &Association| Association::begun_anew(config.clone(), now, rng, old.identity());
        self.replace(config.clone(), now, anew);
    }

    fn replace(&mut self, config: Config, now: Instant, make: impl FnOnce(&Association) -> Association) {
        if !self.association.is_closed() {
            self.unsent.clear();
            self.abort(now);
        }
        for channel in self.channels.values_mut() {
            channel.outlives_association();
        }
        (self.max_message_size, self.spare_memory) = (config.max_message_size, config.channel_memory);
        self.association = make(&self.association);
        self.association.read_dcep_first();
        (self.role, self.end, self.next_stream) = (None, None, 0);
        self.by_stream = StreamTable::default();
        self.reserved.clear();
    }

    /// Returns why the association has ended; `None` if it has not.
    pub fn end(&self) -> Option<&CloseReason> {
        self.end.as_ref()
    }

    /// Begins: the DTLS role is known. Channels that were opened before get their streams.
    pub fn start(&mut self, now: Instant, role: Role) {
        self.set_role(now, role);
        self.association.connect(now);
    }

    /// Sets the DTLS role, if it is known before [`start`](Self::start): channels get their
    /// streams. The first one counts.
    pub fn set_role(&mut self, now: Instant, role: Role) {
        if self.role.is_some() {
            return;
        }
        self.role = Some(role);
        self.next_stream = match role {
            Role::Client => 0,
            Role::Server => 1,
        };
        let unassigned: Vec<_> = self
            .channels
            .iter()
            .filter(|(_, channel)| channel.info.stream_id.is_none())
            .map(|(id, _)| *id)
            .collect();
        for id in unassigned {
            self.assign_stream(now, id);
        }
    }

    /// Opens a channel, at any time; before the association is there, it waits in
    /// [`ChannelState::Connecting`].
    ///
    /// # Errors
    /// If the label is too long, or there is no stream for it.
    pub fn open(&mut self, now: Instant, label: &str, init: ChannelInit) -> Result<ChannelId, OpenError> {
        if self.association.is_closed() {
            return Err(OpenError::Closed);
        }
        if label.len() > MAX_TEXT || init.protocol.len() > MAX_TEXT {
            return Err(OpenError::TooLong);
        }
        if let Some(stream) = init.negotiated {
            let count = self.association.outgoing_streams();
            if stream >= count {
                return Err(OpenError::NoSuchStream { stream, highest: count.saturating_sub(1) });
            }
            if self.is_taken(StreamId(stream)) {
                return Err(OpenError::StreamTaken(stream));
            }
        }
        if self.channels.len() >= MAX_CHANNELS
            || (init.negotiated.is_none() && self.role.is_some() && self.free_stream().is_none())
        {
            return Err(OpenError::NoStreamLeft);
        }
        let id = self.add(Channel::new(label.to_owned(), init, ChannelState::Connecting));
        if self.channels.get(&id).is_some_and(|channel| channel.info.negotiated) || self.role.is_some() {
            self.assign_stream(now, id);
        }
        Ok(id)
    }

    fn add(&mut self, channel: Channel) -> ChannelId {
        let id = ChannelId(self.next_id);
        self.next_id += 1;
        self.channels.insert(id, Box::new(channel));
        id
    }

    fn forget(&mut self, id: ChannelId) {
        if let Some(channel) = self.channels.remove(&id) {
            self.spare_memory += channel.charge;
        }
    }

    /// Returns whether a stream cannot have a new channel: one uses it, or either direction waits
    /// for its reset.
    fn is_taken(&self, stream: StreamId) -> bool {
        self.by_stream.get(stream).is_some()
            || self.reserved.contains(&stream)
            || self.association.is_resetting(stream)
    }

    /// The first stream of our parity that is free.
    fn free_stream(&mut self) -> Option<u16> {
        let mut stream = self.next_stream;
        while self.is_taken(StreamId(stream)) {
            stream = stream.checked_add(2)?;
        }
        self.next_stream = stream;
        (stream < self.association.outgoing_streams()).then_some(stream)
    }

    /// Gives a channel its stream, tells the peer, and opens it if the association is there.
    fn assign_stream(&mut self, now: Instant, id: ChannelId) {
        let negotiated = self.channels.get(&id).and_then(|channel| channel.info.stream_id);
        let free = negotiated.or_else(|| self.free_stream());
        let Some(channel) = self.channels.get_mut(&id) else { return };
        let Some(stream) = free else { return self.fail(now, id, ChannelError::NoStream) };
        channel.info.stream_id = Some(stream);
        let stream = StreamId(stream);
        *self.by_stream.entry(stream, || id) = id;
        self.association.set_weight(stream, channel.info.priority);
        self.association.set_buffered_amount_low_threshold(stream, channel.low_threshold);
        if !channel.info.negotiated {
            let open = channel.open_message().to_bytes();
            self.association.send_control(stream, ppid::DCEP, open);
        }
        if self.association.is_established() {
            self.opened(now, id);
        }
    }

    fn opened(&mut self, now: Instant, id: ChannelId) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        if channel.info.state != ChannelState::Connecting {
            return;
        }
        channel.info.state = ChannelState::Open;
        self.events.push_back(ChannelEvent::Opened(id));
        if let Some(stream) = channel.stream() {
            self.on_readable_stream(now, stream);
        }
    }

    /// Sends a message.
    ///
    /// # Errors
    /// If the channel is not open, or the association does not take the message. Then nothing has
    /// changed.
    pub fn send(&mut self, now: Instant, id: ChannelId, payload: Payload) -> Result<(), ChannelSendError> {
        let channel = self.channels.get(&id).filter(|channel| channel.info.state == ChannelState::Open);
        let Some((channel, stream)) = channel.and_then(|channel| Some((channel, channel.stream()?))) else {
            return Err(ChannelSendError::NotOpen);
        };
        let empty = payload.is_empty();
        let (ppid, payload) = payload.into_parts();
        let message = Message {
            ppid,
            payload,
            unordered: !channel.info.ordered && !channel.unacknowledged,
            reliability: channel.info.reliability,
        };
        Ok(self.association.send_counted(now, stream, message, !empty)?)
    }

    /// The next message of a channel; also when it has been closed, until all is read.
    pub fn receive(&mut self, now: Instant, id: ChannelId) -> Option<Payload> {
        loop {
            let channel = self.channels.get_mut(&id)?;
            let Some((kind, payload)) = channel.next_message(&mut self.association) else {
                channel.announced = false;
                if channel.info.state == ChannelState::Closed {
                    self.forget(id);
                }
                return None;
            };
            if kind == ppid::DCEP {
                self.on_dcep(now, id, &payload);
                continue;
            }
            match channel.accept(kind, payload, self.max_message_size) {
                Ok(Some(payload)) => return Some(payload),
                Ok(None) => {}
                Err(error) => self.fail(now, id, error),
            }
        }
    }

    /// Closes a channel: what is queued is still sent, then both directions of its stream are
    /// reset. A peer that has not reset its direction 10 s after ours is not waited for:
    /// [`ChannelEvent::Closed`] comes, and the stream stays reserved until the peer resets it.
    pub fn close(&mut self, now: Instant, id: ChannelId) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        if !matches!(channel.info.state, ChannelState::Connecting | ChannelState::Open) {
            return;
        }
        channel.info.state = ChannelState::Closing;
        match channel.stream() {
            Some(stream) => {
                self.association.reset_stream(now, stream);
                self.digest_events(now);
            }
            None => self.finish(id),
        }
    }

    /// The number of bytes that of a channel's messages have been accepted and not been sent for
    /// the first time: `bufferedAmount`. What was left when the association ended remains, because
    /// it will never be sent.
    pub fn buffered_amount(&self, id: ChannelId) -> usize {
        let live = self.channels.get(&id).filter(|channel| channel.info.state != ChannelState::Closed);
        match live.and_then(|channel| channel.stream()) {
            Some(stream) => self.association.buffered_amount(stream),
            None => self.unsent.get(&id).copied().unwrap_or(0),
        }
    }

    /// Returns whether a channel should be given more: it is open, less than
    /// [`Config::high_watermark`] waits on it, and [`send`](Self::send) does not refuse a message
    /// as [`SendError::Full`]. One message may always overshoot. Once it is false for an open
    /// channel, [`ChannelEvent::Writable`] says when there is room.
    pub fn is_writable(&mut self, id: ChannelId) -> bool {
        let open = self.channels.get(&id).filter(|channel| channel.info.state == ChannelState::Open);
        match open.and_then(|channel| channel.stream()) {
            Some(stream) => self.association.is_writable(stream),
            None => false,
        }
    }

    /// [`ChannelEvent::BufferedAmountLow`] comes when the buffered amount falls to so many bytes.
    /// At first 0.
    pub fn set_buffered_amount_low_threshold(&mut self, id: ChannelId, threshold: usize) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        channel.low_threshold = threshold;
        // The stream of one that is closed may belong to another by now.
        if let Some(stream) = channel.stream().filter(|_| channel.info.state != ChannelState::Closed) {
            self.association.set_buffered_amount_low_threshold(stream, threshold);
        }
    }

    /// The properties and the state of a channel. `None` once it is closed and all is read.
    pub fn channel(&self, id: ChannelId) -> Option<&ChannelInfo> {
        self.channels.get(&id).map(|channel| &channel.info)
    }

    /// The channels that are there, in the order in which they were opened.
    pub fn channels(&self) -> impl Iterator<Item = ChannelId> + '_ {
        self.channels.keys().copied()
    }

    /// Returns whether reading has led to something that is to be reported or sent at once: more
    /// room, or the end of a channel whose message makes no sense.
    pub fn has_news(&self) -> bool {
        !self.events.is_empty() || self.association.is_sack_due()
    }

    /// The association below.
    pub fn association(&self) -> &Association {
        &self.association
    }

    /// A packet has arrived, decrypted.
    pub fn handle_input(&mut self, now: Instant, packet: &[u8], ecn: Ecn) {
        self.association.handle_input(now, packet, ecn);
        self.digest_events(now);
    }

    /// The time that [`poll_timeout`](Self::poll_timeout) named has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.association.handle_timeout(now);
        self.digest_events(now);
    }

    /// Writes the next packet; see [`Association::poll_transmit`]. Until `None`.
    pub fn poll_transmit(
        &mut self,
        now: Instant,
        budget: &mut dyn Budget,
        buffer: &mut [u8],
    ) -> Option<usize> {
        self.association.poll_transmit(now, budget, buffer)
    }

    /// Takes the fates of user data since the last call; see [`Association::take_fates`].
    pub fn take_fates(&mut self) -> Option<Fates> {
        self.association.take_fates()
    }

    /// Returns the priority of the channel whose data goes next, if there is data that the
    /// congestion window lets go (RFC 8832 §5.1).
    pub fn waiting_priority(&mut self) -> Option<u16> {
        self.association.waiting_weight()
    }

    /// When should [`handle_timeout`](Self::handle_timeout) be called?
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.association.poll_timeout()
    }

    /// Ends the association gracefully; see [`Association::shutdown`].
    pub fn shutdown(&mut self, now: Instant) {
        self.association.shutdown(now);
        self.digest_events(now);
    }

    /// Ends the association at once; see [`Association::abort`].
    pub fn abort(&mut self, now: Instant) {
        self.association.abort(now);
        self.digest_events(now);
    }

    /// See [`Association::set_max_send_message_size`].
    pub fn set_max_send_message_size(&mut self, limit: usize) {
        self.association.set_max_send_message_size(limit);
    }

    /// See [`Association::set_remote_port`].
    pub fn set_remote_port(&mut self, port: u16) {
        self.association.set_remote_port(port);
    }

    /// See [`Association::set_max_mtu`].
    pub fn set_max_mtu(&mut self, max_mtu: usize) {
        self.association.set_max_mtu(max_mtu);
    }

    /// See [`Association::handle_path_change`].
    pub fn handle_path_change(&mut self, now: Instant, mtu: usize, max_mtu: usize) {
        self.association.handle_path_change(now, mtu, max_mtu);
    }

    /// See [`Association::export_init`].
    pub fn export_init(&self) -> Bytes {
        self.association.export_init()
    }

    /// See [`Association::import_init`]; instead of [`start`](Self::start).
    ///
    /// # Errors
    /// If the handshake has begun, or it is not an INIT, or our own.
    pub fn import_init(&mut self, now: Instant, role: Role, init: &[u8]) -> Result<(), ImportError> {
        self.association.import_init(now, init)?;
        self.set_role(now, role);
        self.digest_events(now);
        Ok(())
    }

    /// See [`Association::hold_input`].
    pub fn hold_input(&mut self, hold: bool) {
        self.association.hold_input(hold);
    }

    /// See [`Association::hold_output`].
    pub fn hold_output(&mut self, now: Instant) {
        self.association.hold_output(now);
    }

    /// See [`Association::set_transport_ready`].
    pub fn set_transport_ready(&mut self, now: Instant) {
        self.association.set_transport_ready(now);
    }
}

/// Labels and protocols have lengths of 16 bits (RFC 8832 §5.1).
const MAX_TEXT: usize = u16::MAX as usize;
/// As many as there are streams.
const MAX_CHANNELS: usize = u16::MAX as usize;
