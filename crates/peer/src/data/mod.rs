//! The SCTP transport and its data channels, as the peer connection sees `columba-sctp`.

mod channel;
mod channels;

use std::collections::BTreeMap;
use std::time::Instant;

use columba_ice::Ecn;
use columba_sctp::channels::{ChannelEvent, DataChannels, Role};
use columba_sctp::{CloseReason, Config, Fates};
use rand_core::CryptoRng;

pub use channel::{ChannelId, ChannelInfo, DataChannelInit, DataChannelState, Message, Priority};
use channels::Counters;

use crate::configuration::DataConfiguration;
use crate::error::Error;
use crate::event::Event;
use crate::peer::transports::SctpTransport;
use crate::states::SctpTransportState;
use crate::stats::SctpStats;
use crate::tasks::Tasks;
use crate::transport::TransportId;
use crate::transport::dtls::DtlsRole;

/// The SCTP error cause "user-initiated abort" (RFC 9260 §3.3.10.12).
const USER_INITIATED_ABORT: u16 = 12;

/// The maximum message size of a description that does not say it (RFC 8841 §6.1), in bytes.
const DEFAULT_MAX_MESSAGE_SIZE: u64 = 65_536;

/// The SCTP transport. There is one in a peer connection, over one of its transports.
#[derive(Debug)]
pub(crate) struct Data {
    pub(crate) channels: DataChannels,
    config: Config,
    /// The transport below, once both sides have agreed on a section for data.
    transport: Option<TransportId>,
    has_begun: bool,
    /// The other side's INIT, from its description, until the association begins.
    remote_init: Option<Vec<u8>>,
    /// No data is taken: see [`hold`](Self::hold).
    is_held: bool,
    /// The section for data is gone: a new channel needs a new one.
    has_ended: bool,
    state: SctpTransportState,
    packet_size: usize,
    /// Bytes of the longest packet that the other side takes.
    limit: usize,
    /// Packets go from host to host, so that congestion marks arrive.
    direct: bool,
    /// As the other side's description says it; 0 for any length.
    max_message_size: u64,
    /// The reason why everything ends, if it is a failure.
    failure: Option<Error>,
    /// One for each channel that is not closed.
    counters: BTreeMap<ChannelId, Box<Counters>>,
    /// Channels of the other side's whose arrival the owner has not taken yet: they may be closed
    /// and gone before.
    arrived: BTreeMap<ChannelId, ChannelInfo>,
    /// Channels that this side has created.
    created: u64,
    opened: u32,
    closed: u32,
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
            channels: DataChannels::new(config.clone(), now, rng),
            config,
            transport: None,
            has_begun: false,
            remote_init: None,
            is_held: false,
            has_ended: false,
            state: SctpTransportState::Connecting,
            packet_size,
            limit: usize::MAX,
            direct: false,
            max_message_size: DEFAULT_MAX_MESSAGE_SIZE,
            failure: None,
            counters: BTreeMap::new(),
            arrived: BTreeMap::new(),
            created: 0,
            opened: 0,
            closed: 0,
        }
    }

    /// Returns true if a section for data is wanted: this side has created a channel, and data has
    /// not failed.
    pub(crate) fn is_wanted(&self) -> bool {
        self.created > 0 && self.failure.is_none()
    }

    /// Returns the INIT chunk for a description, as long as the association has not begun.
    pub(crate) fn init(&self) -> Option<Vec<u8>> {
        (!self.has_begun && !self.has_ended).then(|| self.channels.export_init().to_vec())
    }

    /// Sets the parameters of the other side's description. The port and the INIT count until the
    /// association begins, the size always. Once both sides have told each other their INIT, a
    /// later description need not have it.
    pub(crate) fn set_remote(&mut self, sctp_port: u16, max_message_size: u64, init: Option<Vec<u8>>) {
        self.channels.set_remote_port(sctp_port);
        if !self.has_begun && init.is_some() {
            self.remote_init = init;
        }
        self.max_message_size = max_message_size;
        let limit = match usize::try_from(max_message_size) {
            Ok(0) | Err(_) => usize::MAX,
            Ok(limit) => limit,
        };
        self.channels.set_max_send_message_size(limit);
    }

    /// Both sides have agreed that data goes over this transport.
    pub(crate) fn set_transport(&mut self, transport: TransportId) {
        self.transport = Some(transport);
    }

    pub(crate) fn transport(&self) -> Option<TransportId> {
        self.transport
    }

    /// Begins the association, unless it has begun. DTLS must be connected; `limit` is the length
    /// of the longest packet that it takes.
    pub(crate) fn begin(&mut self, now: Instant, role: DtlsRole, limit: usize) {
        if self.has_begun {
            return;
        }
        self.has_begun = true;
        self.set_limit(now, limit);
        let role = sctp_role(role);
        let imported = self.remote_init.take().map(|init| self.channels.import_init(now, role, &init));
        if !matches!(imported, Some(Ok(()))) {
            self.channels.start(now, role);
        }
    }

    /// Keeps packets to what the other side takes in a record (RFC 8449).
    fn set_limit(&mut self, now: Instant, limit: usize) {
        // SCTP pads to four bytes.
        self.limit = limit & !3;
        let packet_size = self.config.mtu.min(self.limit);
        if packet_size != self.packet_size {
            self.packet_size = packet_size;
            self.handle_path_change(now, packet_size);
        }
    }

    /// The descriptions have settled the role in DTLS: channels have their stream numbers (W3C: set
    /// a description, "if description negotiates the DTLS role of the SCTP transport").
    pub(crate) fn set_role(&mut self, now: Instant, role: DtlsRole) {
        self.channels.set_role(now, sctp_role(role));
    }

    /// Returns true if packets can be handled and are to be sent.
    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Stops the input of data, or lets it go on.
    pub(crate) fn hold(&mut self, hold: bool) {
        self.is_held = hold;
        self.channels.hold_input(hold);
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

    /// Takes the fates of user data since the last call.
    pub(crate) fn take_fates(&mut self) -> Option<Fates> {
        self.channels.take_fates()
    }

    /// Returns the priority of the channel whose data goes next, if its congestion window lets it.
    pub(crate) fn waiting_priority(&mut self) -> Option<Priority> {
        self.channels.waiting_priority().map(Priority::from_weight)
    }

    /// Sets the size of the largest packet to try on the current path.
    pub(crate) fn set_largest_packet(&mut self, largest: usize) {
        self.channels.set_max_mtu(largest.min(self.limit));
    }

    pub(crate) fn handle_path_change(&mut self, now: Instant, largest: usize) {
        self.channels.handle_path_change(now, self.packet_size, largest.min(self.limit));
    }

    /// Returns the size of the largest packet that the path is known to carry, in bytes.
    pub(crate) fn packet_size(&self) -> usize {
        self.channels.association().mtu()
    }

    /// Sets whether the path is without a relay, which may lose the marks of packets.
    pub(crate) fn set_direct(&mut self, direct: bool) {
        self.direct = direct;
    }

    /// Returns the ECN codepoint for outgoing packets.
    pub(crate) fn ecn(&self) -> Ecn {
        let capable = self.direct && self.channels.association().is_ecn_capable();
        if capable { Ecn::Ect0 } else { Ecn::NotEct }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.channels.poll_timeout()
    }

    /// Ends everything because of a failure.
    pub(crate) fn fail(&mut self, now: Instant, error: &Error) {
        self.failure.get_or_insert_with(|| error.clone());
        self.channels.abort(now);
    }

    /// Ends everything because the section for data was rejected or stopped; with an error if there
    /// was none yet.
    pub(crate) fn end(&mut self, now: Instant, error: Option<Error>) {
        self.failure = self.failure.take().or(error);
        (self.has_ended, self.created) = (true, 0);
        self.channels.abort(now);
    }

    /// Begins anew, with another association; events of the last one must have been taken. Nothing
    /// remains but messages of closed channels that were not read.
    pub(crate) fn renew(&mut self, now: Instant, rng: &mut impl CryptoRng) {
        if self.has_begun {
            self.channels.renew(self.config.clone(), now, rng);
        } else {
            // A description may have told the other side its INIT.
            self.channels.renew_unbegun(self.config.clone(), now, rng);
        }
        self.remote_init = None;
        self.channels.hold_input(self.is_held);
        (self.has_begun, self.has_ended, self.transport) = (false, false, None);
        (self.state, self.failure, self.created) = (SctpTransportState::Connecting, None, 0);
        self.max_message_size = DEFAULT_MAX_MESSAGE_SIZE;
    }

    /// Returns true if the section for data is gone, and nothing has taken its place.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// The other side has closed the transport below.
    pub(crate) fn close_remotely(&mut self, now: Instant) {
        self.failure.get_or_insert(Error::ClosedRemotely { cause: None });
        self.channels.abort(now);
    }

    /// Ends everything because one side wants it.
    pub(crate) fn close(&mut self, now: Instant) {
        self.arrived.clear();
        self.channels.abort(now);
    }

    /// Moves events of the association to `events`. Returns the reason if the association has
    /// failed by itself.
    pub(crate) fn poll_events(&mut self, events: &mut Tasks) -> Option<Error> {
        let mut failed = None;
        while let Some(event) = self.channels.poll_event() {
            match event {
                ChannelEvent::Connected => {
                    self.state = SctpTransportState::Connected;
                    events.push_back(Event::SctpState(self.state));
                }
                ChannelEvent::Incoming(id) => {
                    self.count_open(id);
                    self.arrived.extend(self.info(id).map(|info| (id, info)));
                    events.push_back(Event::DataChannel(id));
                }
                ChannelEvent::Opened(id) => {
                    self.count_open(id);
                    events.push_back(Event::ChannelOpen(id));
                }
                ChannelEvent::Readable(id) => events.push_back(Event::ChannelReadable(id)),
                ChannelEvent::BufferedAmountLow(id) => {
                    events.push_back(Event::BufferedAmountLow(id, self.channels.buffered_amount(id)));
                }
                ChannelEvent::Writable(id) => events.push_back(Event::ChannelWritable(id)),
                ChannelEvent::Closing(id) => events.push_back(Event::ChannelClosing(id)),
                ChannelEvent::Failed(id, error) => {
                    self.note_failure(id, Error::ChannelFailed { reason: error.to_string() });
                }
                ChannelEvent::Closed(id) => events.push_back(self.count_closed(id)),
                ChannelEvent::Disconnected(reason) => {
                    self.state = SctpTransportState::Closed;
                    if self.failure.is_none() {
                        self.failure = failure_of(&reason);
                        failed = self.failure.clone().filter(|error| matches!(error, Error::Sctp { .. }));
                    }
                    events.push_back(Event::SctpState(self.state));
                }
            }
        }
        failed
    }

    /// Returns the transport as an object; `None` if none was agreed, or it is gone. `longest` is
    /// the length of the longest message that this side can send.
    pub(crate) fn sctp_transport(&self, longest: u64) -> Option<SctpTransport> {
        let transport = self.transport.filter(|_| !self.has_ended)?;
        let theirs = Some(self.max_message_size).filter(|size| *size != 0);
        let is_connected = self.state == SctpTransportState::Connected;
        Some(SctpTransport {
            transport,
            state: self.state,
            max_message_size: theirs.map_or(longest, |theirs| theirs.min(longest)),
            max_channels: is_connected.then(|| self.channels.association().bidirectional_streams()),
        })
    }

    pub(crate) fn stats(&self) -> SctpStats {
        SctpStats {
            transport: self.transport,
            state: self.state,
            max_message_size: self.max_message_size,
            association: self.channels.association().stats(),
        }
    }
}

/// Returns the error of the channels of an association that has ended. A peer connection that is
/// closed aborts its association for the user (RFC 9260 §3.3.10.12): that is no failure of the
/// connection.
pub(super) fn failure_of(reason: &CloseReason) -> Option<Error> {
    match reason {
        CloseReason::Shutdown | CloseReason::Local => None,
        CloseReason::Remote { cause: cause @ (None | Some(USER_INITIATED_ABORT)) } => {
            Some(Error::ClosedRemotely { cause: *cause })
        }
        CloseReason::Remote { cause } => Some(Error::Sctp { reason: reason.to_string(), cause: *cause }),
        reason => Some(Error::Sctp { reason: reason.to_string(), cause: None }),
    }
}

fn sctp_role(role: DtlsRole) -> Role {
    match role {
        DtlsRole::Client => Role::Client,
        DtlsRole::Server => Role::Server,
    }
}

#[cfg(test)]
mod tests {
    use columba_sctp::Unlimited;
    use rand_chacha::ChaCha12Rng;
    use rand_core::SeedableRng;

    use super::*;

    /// RFC 8449: the other side's limit of a record is one of all packets, from the first one on.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "the origin of virtual time")]
    fn packets_keep_to_the_limit_of_a_record() {
        let mut now = Instant::now();
        let configuration = DataConfiguration::default();
        let mut rng = ChaCha12Rng::seed_from_u64(1);
        let mut sides = [(), ()].map(|()| Data::new(&configuration, 1160, now, &mut rng));
        let limits = [400, 1000];
        for (side, (role, limit)) in
            sides.iter_mut().zip([DtlsRole::Client, DtlsRole::Server].into_iter().zip(limits))
        {
            side.begin(now, role, limit);
            side.set_largest_packet(9000);
            side.handle_path_change(now, 9000);
        }
        let id = sides[0].create(now, "narrow", DataChannelInit::default()).unwrap();
        let mut events = Tasks::default();
        let (mut buf, mut longest, mut heard) = (vec![0; 10_000], [0; 2], 0);
        let mut is_sent = false;
        for _ in 0..2_000 {
            for from in 0..2 {
                while let Some(length) = sides[from].channels.poll_transmit(now, &mut Unlimited, &mut buf) {
                    longest[from] = longest[from].max(length);
                    sides[1 - from].handle_packet(now, Ecn::NotEct, &buf[..length]);
                }
            }
            for side in &mut sides {
                assert_eq!(side.poll_events(&mut events), None);
            }
            while let Some(event) = events.pop_front() {
                match event {
                    Event::ChannelOpen(_) if !is_sent => {
                        is_sent = true;
                        sides[0].send(now, id, Message::from(vec![7; 50_000])).unwrap();
                    }
                    Event::ChannelReadable(id) => heard += usize::from(sides[1].receive(now, id).is_some()),
                    _ => {}
                }
            }
            now += std::time::Duration::from_millis(10);
            sides.iter_mut().for_each(|side| side.handle_timeout(now));
        }
        assert_eq!(heard, 1);
        assert!(longest[0] <= 400 && longest[0] > 300, "{longest:?}");
        assert!(longest[1] <= 1000, "{longest:?}");
    }
}
