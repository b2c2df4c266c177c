//! The log of a simulation, which shows why a seed failed.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use crate::link::LinkDrop;

/// The reason for which a packet did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Drop {
    /// A link did not deliver it.
    Link(LinkDrop),
    /// The sending address is not one of the host's, or its interface is down.
    NoSource,
    /// No interface has that address, and there is no route out of the zone.
    NoRoute,
    /// The receiving interface is down.
    InterfaceDown,
    /// A firewall does not let it pass.
    Firewall,
    /// A NAT has no mapping for it, or filters it.
    Nat,
    /// It returned to a NAT without hairpinning.
    Hairpin,
    /// It was forwarded too often: a routing loop.
    Loop,
}

/// The last events, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    lines: VecDeque<Line>,
    limit: usize,
}

#[derive(Clone, Copy, Debug)]
struct Line {
    at: Instant,
    entry: Entry,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Entry {
    Sent { from: SocketAddr, to: SocketAddr, length: usize, first: u8 },
    Delivered { from: SocketAddr, to: SocketAddr, length: usize },
    Dropped { from: SocketAddr, to: SocketAddr, why: Drop },
    Timeout { host: usize },
    Change { host: usize },
}

impl Trace {
    pub(crate) fn keep(&mut self, limit: usize) {
        self.limit = limit;
    }

    pub(crate) fn add(&mut self, at: Instant, entry: Entry) {
        if self.limit == 0 {
            return;
        }
        if self.lines.len() == self.limit {
            self.lines.pop_front();
        }
        self.lines.push_back(Line { at, entry });
    }

    pub(crate) fn show(&self, start: Instant) -> String {
        let lines: Vec<String> = self
            .lines
            .iter()
            .map(|line| format!("{:>12.6} {}", (line.at - start).as_secs_f64(), line.entry))
            .collect();
        lines.join("\n")
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sent { from, to, length, first } => {
                write!(f, "{from} → {to} sent, {length} bytes, first {first:#04x}")
            }
            Self::Delivered { from, to, length } => write!(f, "{from} → {to} arrived, {length} bytes"),
            Self::Dropped { from, to, why } => write!(f, "{from} → {to} dropped: {why:?}"),
            Self::Timeout { host } => write!(f, "host {host}: timeout"),
            Self::Change { host } => write!(f, "host {host}: interfaces changed"),
        }
    }
}
