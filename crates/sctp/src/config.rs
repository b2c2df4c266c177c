//! The settings of an association.

use std::time::Duration;

/// Settings of an association. Nothing is global: two associations of one process may differ in all
/// of it.
#[derive(Clone, Debug)]
pub struct Config {
    /// Our SCTP port, as `a=sctp-port` says. Default 5000.
    pub local_port: u16,
    /// The peer's SCTP port. Default 5000.
    pub remote_port: u16,
    /// The size of the largest SCTP packet to send at first, in bytes. Default 1,191: what Chromium
    /// uses, and what fits with DTLS, TURN, UDP and IPv6 headers into the 1,280 bytes that every
    /// path bears.
    pub mtu: usize,
    /// The size of the largest SCTP packet to try, in bytes: whether larger ones than `mtu` get
    /// through is found out by padded probes (RFC 8899) once there is much to send. That needs
    /// packets that are not fragmented below, which only the owner knows. A peer that does not say
    /// that it knows padding is not sent more than 1,432. Default 1,191: nothing is tried.
    pub max_mtu: usize,
    /// The largest message that we take, in bytes, as we say in `a=max-message-size`. What is
    /// larger is thrown away, with [`Event::MessageTooLarge`](crate::Event::MessageTooLarge).
    /// Default 256 KiB.
    pub max_message_size: usize,
    /// The largest message that the peer takes, in bytes: its `a=max-message-size`, where 0 means
    /// any (`usize::MAX` here). Default 64 KiB, as RFC 8841 says where the peer does not say. May
    /// be changed later.
    pub max_send_message_size: usize,
    /// The number of bytes that of messages may wait to be sent, over all streams;
    /// [`send`](crate::Association::send) accepts a message while fewer wait, and one more on each
    /// stream where none waits, so that a large one cannot keep an urgent one out. What is in
    /// flight does not count. Default 16 MiB.
    pub send_buffer: usize,
    /// The same for one stream, so that one channel cannot take the room of all. Default 16 MiB.
    pub stream_send_buffer: usize,
    /// The number of bytes that may wait on a stream before
    /// [`is_writable`](crate::Association::is_writable) advises against more. Messages beyond it
    /// are still accepted, up to [`stream_send_buffer`](Self::stream_send_buffer). Default 1 MiB:
    /// enough to keep the fastest path busy while the application makes more.
    pub high_watermark: usize,
    /// The number of bytes that may wait on a stream when it is said to be writable again. Where
    /// that is not less than the high mark, half of the high mark takes its place. Default 512 KiB,
    /// so that more than one message can follow.
    pub low_watermark: usize,
    /// The number of bytes that may be on the way to us or wait to be read at first. Default 1 MiB.
    pub receive_window: usize,
    /// The size to which the receive window may grow where path and reader are fast enough. Default
    /// 64 MiB. Memory is only used for what has arrived.
    pub max_receive_window: usize,
    /// The number of bytes that may be in flight to the peer, whatever its window. Default 64 MiB.
    pub max_in_flight: usize,
    /// The number of streams that we ask for and offer. Default 65,535, as RFC 8831 §6.2 says.
    pub streams: u16,
    /// The number of bytes that the channels may take that the peer has opened, labels and
    /// protocols included; a channel beyond is refused, which means closed at once. Default 32 MiB:
    /// enough for all 65,535 with short labels.
    pub channel_memory: usize,
    /// True if packets are protected by DTLS below, so that the checksum may be left out where the
    /// peer agrees (RFC 9653). Default true.
    pub zero_checksum: bool,
    /// True if messages may be interleaved where the peer agrees (RFC 8260), so that a large one
    /// does not block others. Default true.
    pub interleaving: bool,
    /// True if the driver tells the marks of packets that arrive and marks those that are sent, so
    /// that routers on the way can ask for less without dropping anything, where the peer agrees.
    /// Default false.
    pub ecn: bool,
    /// The order in which streams send. Default: by weight.
    pub scheduling: Scheduling,
    /// The algorithm of congestion control. Default: by a model of the path.
    pub congestion_control: CongestionControl,
    /// The time between two HEARTBEATs whether an idle peer is still there. Default 30 s.
    pub heartbeat_interval: Duration,
    /// The number of times that in a row a peer may leave data or heartbeats unanswered before the
    /// association ends; `None` is for ever, because ICE's consent decides whether a peer is there.
    /// Default `None`.
    pub max_retransmissions: Option<u32>,
    /// The number of times that INIT and COOKIE ECHO are sent again; `None` is for ever. Default
    /// `None`.
    pub max_init_retransmissions: Option<u32>,
    /// The retransmission timeout before a round trip has been measured. Default 500 ms.
    pub initial_rto: Duration,
    /// The shortest retransmission timeout. Default 400 ms: a peer may wait 200 ms before it
    /// acknowledges, and tail-loss probes are there for speed.
    pub min_rto: Duration,
    /// The longest retransmission timeout. Default 10 s: a path that comes back should be noticed.
    pub max_rto: Duration,
    /// The time that an acknowledgement may wait for another packet. Default 20 ms.
    pub sack_delay: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            local_port: 5000,
            remote_port: 5000,
            mtu: 1191,
            max_mtu: 1191,
            max_message_size: 256 * 1024,
            max_send_message_size: 64 * 1024,
            send_buffer: 16 << 20,
            stream_send_buffer: 16 << 20,
            high_watermark: 1 << 20,
            low_watermark: 512 << 10,
            receive_window: 1 << 20,
            max_receive_window: 64 << 20,
            max_in_flight: 64 << 20,
            streams: u16::MAX,
            channel_memory: 32 << 20,
            zero_checksum: true,
            interleaving: true,
            ecn: false,
            scheduling: Scheduling::default(),
            congestion_control: CongestionControl::default(),
            heartbeat_interval: Duration::from_secs(30),
            max_retransmissions: None,
            max_init_retransmissions: None,
            initial_rto: Duration::from_millis(500),
            min_rto: Duration::from_millis(400),
            max_rto: Duration::from_secs(10),
            sack_delay: Duration::from_millis(20),
        }
    }
}

/// An algorithm of congestion control.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CongestionControl {
    /// By a model of the path's bandwidth and round trip, in the manner of BBRv3
    /// (draft-ietf-ccwg-bbr): fills fast and long paths in spite of random loss, and keeps queues
    /// short.
    #[default]
    Bbr,
    /// CUBIC (RFC 9438): what TCP does almost everywhere.
    Cubic,
    /// NewReno, as RFC 9260 §7.2 has it.
    NewReno,
}

/// The order in which streams send, when several have something to send (RFC 8260 §3). Without
/// interleaving a message that has begun is finished first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheduling {
    /// In the order in which messages were given to [`send`](crate::Association::send).
    FirstCome,
    /// In turn.
    RoundRobin,
    /// By bytes, in proportion to the streams' weights.
    #[default]
    WeightedFair,
}
