//! A witness of what one agent sends and receives: it reads the bytes and does not ask the agent.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use columba_ice::{Path, SelectedPair};

use crate::lab::{SERVER, ip};

/// The messages seen.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    /// Binding requests that went out, by transaction, and where to.
    asked: BTreeMap<[u8; 12], (SocketAddr, SocketAddr)>,
    /// Both ends of the paths on which one of them was answered with success.
    answered: BTreeSet<(SocketAddr, SocketAddr)>,
    last_second: VecDeque<Instant>,
    /// The most Binding requests in any second.
    pub(crate) busiest: usize,
    /// Pairs that were selected without an answer having come that way.
    pub(crate) unproven: Vec<SelectedPair>,
    /// All messages of the agent's own.
    pub(crate) messages: u64,
}

const REQUEST: [u8; 2] = [0x00, 0x01];
const SUCCESS: [u8; 2] = [0x01, 0x01];
const COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];

impl Wire {
    pub(crate) fn sent(&mut self, now: Instant, path: &Path, bytes: &[u8]) {
        self.messages += 1;
        for id in transactions(bytes, REQUEST) {
            self.asked.insert(id, ends(path));
            self.last_second.push_back(now);
        }
        while self.last_second.front().is_some_and(|at| *at + Duration::from_secs(1) <= now) {
            self.last_second.pop_front();
        }
        self.busiest = self.busiest.max(self.last_second.len());
    }

    pub(crate) fn received(&mut self, path: &Path, bytes: &[u8]) {
        for id in transactions(bytes, SUCCESS) {
            if self.asked.get(&id) == Some(&ends(path)) {
                self.answered.insert(ends(path));
            }
        }
    }

    /// Over a relay, the path is the way to the server: that some check was answered through it is
    /// what can be seen from here.
    pub(crate) fn selected(&mut self, pair: &SelectedPair) {
        if !self.answered.contains(&ends(&pair.path)) {
            self.unproven.push(pair.clone());
        }
    }
}

/// Both ends of a path. From where a relay's server is spoken to does not matter: what is asked
/// from one address may be answered at another one, to which the relay has come along meanwhile.
fn ends(path: &Path) -> (SocketAddr, SocketAddr) {
    let local = if path.remote.ip() == ip(SERVER) { path.remote } else { path.local };
    (local, path.remote)
}

/// The transactions of STUN messages of a type, also of those inside TURN's messages.
fn transactions(bytes: &[u8], kind: [u8; 2]) -> impl Iterator<Item = [u8; 12]> {
    let headers = bytes.windows(20).filter(move |header| header[..2] == kind && header[4..8] == COOKIE);
    headers.filter_map(|header| header[8..].try_into().ok())
}
