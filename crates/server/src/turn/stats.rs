//! Counters of what happens at the sockets. What happens behind them is in
//! [`columba_turn::server::Stats`].

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

/// Defines the counters once: as atomics, and as the plain numbers that are read.
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// The counters, shared by all tasks. They are independent of each other, so relaxed is
        /// right.
        #[derive(Debug, Default)]
        pub(super) struct Counters {
            $(pub(super) $name: Counter,)*
        }

        /// The counters of the sockets since the start. Counters only grow, except those named
        /// "open".
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub(crate) struct SocketStats {
            $($(#[$doc])* pub(crate) $name: u64,)*
        }

        impl Counters {
            pub(super) fn snapshot(&self) -> SocketStats {
                SocketStats { $($name: self.$name.0.load(Ordering::Relaxed),)* }
            }
        }

        impl SocketStats {
            /// Every counter with its name.
            pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }
    };
}

counters! {
    /// Datagrams that were not sent because the kernel's queue was full.
    send_blocked,
    /// Datagrams that were not sent because the port is closed (ICMP), no route leads there, or a
    /// firewall forbids it.
    send_unreachable,
    /// Datagrams that were not sent because they are larger than the path's MTU.
    send_too_large,
    /// Datagrams that were not sent for any other reason.
    send_failed,
    /// Times that receiving from a UDP socket failed.
    receive_failed,
    /// Streams that were taken on.
    streams_accepted,
    /// Streams now.
    streams_open,
    /// Streams turned away because there are too many, in all or from one address.
    streams_refused,
    /// Streams closed because they were silent and others wanted their place.
    streams_made_way,
    /// Streams closed because they held most when the memory for clients was used up.
    streams_evicted,
    /// Times that accepting a connection failed, for want of file descriptors mostly.
    accept_failed,
    /// TLS handshakes that failed or took too long.
    handshakes_failed,
    /// Streams closed because they had no allocation and were silent.
    streams_idle,
    /// Streams closed because nothing could be written to them for too long, or because they did
    /// not read answers.
    streams_stalled,
    /// Streams closed because what came was no STUN and no ChannelData.
    streams_garbage,
    /// Messages to streams dropped because the client reads too slowly.
    stream_messages_dropped,
    /// Relay ports that could not be had.
    relays_refused,
}

/// One number.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn subtract_one(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Counters {
    pub(super) fn count_send_error(&self, error: &io::Error) {
        let counter = match error.kind() {
            io::ErrorKind::WouldBlock => &self.send_blocked,
            io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::AddrNotAvailable
            | io::ErrorKind::PermissionDenied => &self.send_unreachable,
            _ if quinn_udp::is_msg_size_err(error) => &self.send_too_large,
            _ => &self.send_failed,
        };
        counter.add_one();
    }
}
