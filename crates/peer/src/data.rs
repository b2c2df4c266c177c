//! Data channels over SCTP: the peer's words for what `columba-sctp` does.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use columba_ice::Ecn;
use columba_sctp::channels::{
    ChannelEvent, ChannelInit, ChannelSendError, ChannelState, DataChannels, OpenError, Payload, Role,
};
use columba_sctp::{CloseReason, Config, Reliability, SendError, Unlimited};
use rand_core::CryptoRng;

use crate::channel::{ChannelId, ChannelInfo, DataChannelInit, DataChannelState, Message, Priority};
use crate::configuration::DataConfiguration;
use crate::error::Error;
use crate::event::Event;
use crate::states::SctpTransportState;
use crate::stats::{DataChannelStats, SctpStats};

/// The SCTP transport and its channels.
#[derive(Debug)]
pub(crate) struct Data {
    channels: DataChannels,
    state: SctpTransportState,
    packet_size: usize,
    /// Packets go from host to host, so that congestion marks do, too.
    direct: bool,
    /// As the other side's description says it; 0 for any length.
    max_message_size: u64,
    /// Why everything ends, if it does not end because somebody wanted it to.
    failure: Option<Error>,
    /// One for each channel that is not closed.
    counters: BTreeMap<ChannelId, Counters>,
    opened: u32,
    closed: u32,
}

/// What is counted of one channel.
#[derive(Debug, Default)]
struct Counters {
    open: bool,
    /// Why it closes, if something went wrong with it alone.
    failure: Option<Error>,
    messages_sent: u64,
    bytes_sent: u64,
    messages_received: u64,
    bytes_received: u64,
}

impl Data {
    pub(crate) fn new(
        configuration: &DataConfiguration,
        packet_size: usize,
        now: Instant,
        rng: &mut impl CryptoRng,
    ) -> Self {
        let defaults = Config::default();
        let config = Config {
            mtu: packet_size,
            max_mtu: packet_size,
            max_message_size: configuration.max_message_size as usize,
            send_buffer: configuration.send_buffer,
            stream_send_buffer: configuration.send_buffer,
            receive_window: defaults.receive_window.min(configuration.receive_buffer),
            max_receive_window: configuration.receive_buffer,
            ecn: true,
            ..defaults
        };
        Self {
            channels: DataChannels::new(config, now, rng),
            state: SctpTransportState::Connecting,
            packet_size,
            direct: false,
            max_message_size: 65_536,
            failure: None,
            counters: BTreeMap::new(),
            opened: 0,
            closed: 0,
        }
    }

    pub(crate) fn create(
        &mut self,
        now: Instant,
        label: &str,
        init: DataChannelInit,
    ) -> Result<ChannelId, Error> {
        let reliability = match (init.max_packet_life_time, init.max_retransmits) {
            (None, None) => Reliability::Reliable,
            (Some(time), None) => Reliability::MaxLifetime(Duration::from_millis(time.into())),
            (None, Some(most)) => Reliability::MaxRetransmits(most),
            (Some(_), Some(_)) => {
                return Err(invalid("a life time and a number of retransmissions exclude each other"));
            }
        };
        let DataChannelInit { ordered, protocol, negotiated, priority, .. } = init;
        let priority = priority.weight();
        let init = ChannelInit { ordered, reliability, protocol, priority, negotiated };
        let id = self.channels.open(now, label, init).map_err(|error| match error {
            OpenError::Closed => Error::Closed,
            OpenError::TooLong => invalid("its label or its protocol is longer than 65,535 bytes"),
            OpenError::StreamTaken(_) => invalid(
                "another channel uses its stream number; choose another, or wait until that one is closed",
            ),
            OpenError::NoSuchStream { stream: u16::MAX, .. } => {
                invalid("65,535 is no stream number; the highest is 65,534")
            }
            OpenError::NoSuchStream { .. } => {
                invalid("the other side has fewer streams than its stream number needs; choose a lower one")
            }
            _ => invalid("all streams are in use; close a channel first"),
        })?;
        self.counters.insert(id, Counters::default());
        Ok(id)
    }

    /// What the other side's description says. The port counts until the association begins, the size always.
    pub(crate) fn set_remote(&mut self, sctp_port: u16, max_message_size: u64) {
        self.channels.set_remote_port(sctp_port);
        self.max_message_size = max_message_size;
        let limit = match usize::try_from(max_message_size) {
            Ok(0) | Err(_) => usize::MAX,
            Ok(limit) => limit,
        };
        self.channels.set_max_send_message_size(limit);
    }

    /// DTLS is there.
    pub(crate) fn connect(&mut self, now: Instant, client: bool) {
        self.channels.start(now, if client { Role::Client } else { Role::Server });
    }

    pub(crate) fn handle_packet(&mut self, now: Instant, ecn: Ecn, packet: &[u8]) {
        let ecn = match ecn {
            Ecn::Ce => columba_sctp::Ecn::CongestionExperienced,
            Ecn::NotEct | Ecn::Ect0 | Ecn::Ect1 => columba_sctp::Ecn::NotMarked,
        };
        self.channels.handle_input(now, packet, ecn);
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.channels.handle_timeout(now);
    }

    /// What packets may be tried at most on the path that is taken.
    pub(crate) fn set_largest_packet(&mut self, largest: usize) {
        self.channels.set_max_mtu(largest);
    }

    pub(crate) fn handle_path_change(&mut self, now: Instant, largest: usize) {
        self.channels.handle_path_change(now, self.packet_size, largest);
    }

    /// Bytes of the largest packet that the path is known to bear.
    pub(crate) fn packet_size(&self) -> usize {
        self.channels.association().stats().mtu
    }

    /// Whether a relay is on the path, which may lose the marks of packets.
    pub(crate) fn set_direct(&mut self, direct: bool) {
        self.direct = direct;
    }

    /// How packets are to be marked.
    pub(crate) fn ecn(&self) -> Ecn {
        let capable = self.direct && self.channels.association().is_ecn_capable();
        if capable { Ecn::Ect0 } else { Ecn::NotEct }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.channels.poll_timeout()
    }

    pub(crate) fn poll_transmit(&mut self, now: Instant, buf: &mut [u8]) -> Option<usize> {
        self.channels.poll_transmit(now, &mut Unlimited, buf)
    }

    /// Everything ends because of this.
    pub(crate) fn fail(&mut self, now: Instant, error: &Error) {
        self.failure.get_or_insert_with(|| error.clone());
        self.channels.abort(now);
    }

    /// Everything ends because this side wants it to.
    pub(crate) fn close(&mut self, now: Instant) {
        self.channels.abort(now);
    }

    pub(crate) fn send(&mut self, now: Instant, id: ChannelId, message: Message) -> Result<usize, Error> {
        let size = message.len();
        let payload = match message {
            Message::Text(text) => Payload::Text(Bytes::from(text)),
            Message::Binary(bytes) => Payload::Binary(bytes),
        };
        self.channels.send(now, id, payload).map_err(|error| match error {
            ChannelSendError::Refused(SendError::TooLarge { limit }) => {
                Error::MessageTooLarge { size, limit: limit as u64 }
            }
            ChannelSendError::Refused(SendError::Full) => Error::BufferFull,
            _ if self.channels.channel(id).is_none() => Error::NoSuchChannel,
            _ => Error::ChannelNotOpen,
        })?;
        if let Some(counters) = self.counters.get_mut(&id) {
            counters.messages_sent += 1;
            counters.bytes_sent += size as u64;
        }
        Ok(self.channels.buffered_amount(id))
    }

    pub(crate) fn receive(&mut self, now: Instant, id: ChannelId) -> Option<Message> {
        let payload = self.channels.receive(now, id)?;
        if let Some(counters) = self.counters.get_mut(&id) {
            counters.messages_received += 1;
            counters.bytes_received += payload.len() as u64;
        }
        Some(match payload {
            Payload::Binary(bytes) => Message::Binary(bytes),
            Payload::Text(bytes) => Message::Text(match String::from_utf8(bytes.into()) {
                Ok(text) => text,
                Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
            }),
        })
    }

    pub(crate) fn has_news(&self) -> bool {
        self.channels.has_news()
    }

    pub(crate) fn is_writable(&mut self, id: ChannelId) -> bool {
        self.channels.is_writable(id)
    }

    pub(crate) fn buffered_amount(&self, id: ChannelId) -> usize {
        self.channels.buffered_amount(id)
    }

    pub(crate) fn set_low_threshold(&mut self, id: ChannelId, threshold: usize) -> Result<(), Error> {
        self.require(id)?;
        self.channels.set_buffered_amount_low_threshold(id, threshold);
        Ok(())
    }

    pub(crate) fn close_channel(&mut self, now: Instant, id: ChannelId) -> Result<(), Error> {
        self.require(id)?;
        self.channels.close(now, id);
        Ok(())
    }

    pub(crate) fn info(&self, id: ChannelId) -> Option<ChannelInfo> {
        let info = self.channels.channel(id)?;
        let (mut max_packet_life_time, mut max_retransmits) = (None, None);
        match info.reliability {
            Reliability::Reliable => {}
            Reliability::MaxRetransmits(most) => max_retransmits = Some(most),
            Reliability::MaxLifetime(time) => {
                max_packet_life_time = Some(time.as_millis().try_into().unwrap_or(u16::MAX));
            }
        }
        Some(ChannelInfo {
            label: info.label.clone(),
            init: DataChannelInit {
                ordered: info.ordered,
                max_packet_life_time,
                max_retransmits,
                protocol: info.protocol.clone(),
                negotiated: info.stream_id.filter(|_| info.negotiated),
                priority: Priority::from_weight(info.priority),
            },
            stream: info.stream_id,
            state: state_of(info.state),
        })
    }

    /// Hands events on. Tells why the transport has failed, if it has by itself.
    pub(crate) fn poll_events(&mut self, events: &mut VecDeque<Event>) -> Option<Error> {
        let mut failed = None;
        while let Some(event) = self.channels.poll_event() {
            match event {
                ChannelEvent::Connected => {
                    self.state = SctpTransportState::Connected;
                    events.push_back(Event::SctpState(self.state));
                }
                ChannelEvent::Incoming(id) => {
                    self.count_open(id);
                    events.push_back(Event::DataChannel(id));
                }
                ChannelEvent::Opened(id) => {
                    self.count_open(id);
                    events.push_back(Event::ChannelOpen(id));
                }
                ChannelEvent::Readable(id) => events.push_back(Event::ChannelReadable(id)),
                ChannelEvent::BufferedAmountLow(id) => events.push_back(Event::BufferedAmountLow(id)),
                ChannelEvent::Writable(id) => events.push_back(Event::ChannelWritable(id)),
                ChannelEvent::Closing(id) => events.push_back(Event::ChannelClosing(id)),
                ChannelEvent::Failed(id, error) => {
                    if let Some(counters) = self.counters.get_mut(&id) {
                        counters.failure = Some(Error::Sctp { reason: error.to_string() });
                    }
                }
                ChannelEvent::Closed(id) => events.push_back(self.count_closed(id)),
                ChannelEvent::Disconnected(reason) => {
                    self.state = SctpTransportState::Closed;
                    failed = failure_of(&reason).filter(|_| self.failure.is_none()).or(failed);
                    events.push_back(Event::SctpState(self.state));
                }
            }
        }
        failed
    }

    fn count_open(&mut self, id: ChannelId) {
        self.opened += 1;
        self.counters.entry(id).or_default().open = true;
    }

    fn count_closed(&mut self, id: ChannelId) -> Event {
        let counters = self.counters.remove(&id).unwrap_or_default();
        self.closed += u32::from(counters.open);
        Event::ChannelClosed(id, counters.failure.or_else(|| self.failure.clone()))
    }

    fn require(&self, id: ChannelId) -> Result<(), Error> {
        self.channels.channel(id).map(|_| ()).ok_or(Error::NoSuchChannel)
    }

    pub(crate) fn opened(&self) -> u32 {
        self.opened
    }

    pub(crate) fn closed(&self) -> u32 {
        self.closed
    }

    pub(crate) fn stats(&self) -> SctpStats {
        SctpStats {
            state: self.state,
            max_message_size: self.max_message_size,
            association: self.channels.association().stats(),
        }
    }

    pub(crate) fn channel_stats(&self) -> Vec<DataChannelStats> {
        let channels = self.channels.channels().filter_map(|id| {
            let info = self.channels.channel(id)?;
            let none = Counters::default();
            let counters = self.counters.get(&id).unwrap_or(&none);
            Some(DataChannelStats {
                id,
                label: info.label.clone(),
                protocol: info.protocol.clone(),
                stream: info.stream_id,
                state: state_of(info.state),
                messages_sent: counters.messages_sent,
                bytes_sent: counters.bytes_sent,
                messages_received: counters.messages_received,
                bytes_received: counters.bytes_received,
            })
        });
        channels.collect()
    }
}

fn state_of(state: ChannelState) -> DataChannelState {
    match state {
        ChannelState::Connecting => DataChannelState::Connecting,
        ChannelState::Open => DataChannelState::Open,
        ChannelState::Closing => DataChannelState::Closing,
        ChannelState::Closed => DataChannelState::Closed,
    }
}

/// A peer connection that is closed aborts its association for the user (RFC 9260 §3.3.10.12): that is no
/// failure.
fn failure_of(reason: &CloseReason) -> Option<Error> {
    match reason {
        CloseReason::Shutdown | CloseReason::Local | CloseReason::Remote { cause: None | Some(12) } => None,
        reason => Some(Error::Sctp { reason: reason.to_string() }),
    }
}

fn invalid(reason: &'static str) -> Error {
    Error::InvalidChannel { reason }
}
