//! The responder for the own names, so that addresses need not be written into descriptions.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use super::group::{Group, PORT};
use super::message::{asks_for, record};

/// Seconds for which an answer may be cached: the recommendation of RFC 6762 §10 for host names.
const TTL: u32 = 120;

/// Names at most; the oldest is dropped for another one. Each socket has one, and each ICE restart
/// may add others.
const MAX_NAMES: usize = 64;

/// The pause after an error of a socket, so that a permanent one does not keep the processor busy.
const ERROR_PAUSE: Duration = Duration::from_millis(300);

/// The largest question that is read.
const MAX_MESSAGE: usize = 1500;

/// The own names of one connection. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(in crate::driver) struct Responder {
    names: Arc<Names>,
}

#[derive(Debug, Default)]
struct Names {
    known: Mutex<VecDeque<(Arc<str>, IpAddr)>>,
    /// A name was added.
    added: Notify,
}

impl Responder {
    /// Adds a name, whose questions are answered as long as the responder [runs](Self::run).
    pub(in crate::driver) fn publish(&self, host: Arc<str>, address: IpAddr) {
        let mut known = self.known();
        if known.len() >= MAX_NAMES {
            known.pop_front();
        }
        known.push_back((host, address));
        drop(known);
        self.names.added.notify_one();
    }

    fn known(&self) -> MutexGuard<'_, VecDeque<(Arc<str>, IpAddr)>> {
        self.names.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers questions until it is dropped; then it withdraws its names.
    pub(in crate::driver) async fn run(self) {
        let service = Service { groups: Group::both(), responder: self };
        let mut buffers = [[0; MAX_MESSAGE]; 2];
        loop {
            let [first, second] = &mut buffers;
            tokio::select! {
                () = service.responder.names.added.notified() => service.announce(TTL),
                () = service.serve(0, first) => {}
                () = service.serve(1, second) => {}
            }
        }
    }
}

struct Service {
    groups: Vec<Group>,
    responder: Responder,
}

impl Service {
    /// Announces all names (RFC 6762 §8.3). They are random, so that they need not be probed for
    /// first.
    fn announce(&self, ttl: u32) {
        for (host, address) in self.responder.known().iter() {
            if let Some(message) = record(host, *address, ttl, None) {
                self.groups.iter().for_each(|group| group.send(&message));
            }
        }
    }

    /// Receives one message, and answers it if it asks for one of the names.
    async fn serve(&self, index: usize, buffer: &mut [u8]) {
        let Some(group) = self.groups.get(index) else { return std::future::pending().await };
        let Ok((length, from)) = group.socket.recv_from(buffer).await else {
            return sleep(ERROR_PAUSE).await;
        };
        for (answer, to) in self.answers(&buffer[..length], from) {
            match to {
                None => self.groups.iter().for_each(|group| group.send(&answer)),
                Some(to) => {
                    let _ = group.socket.try_send_to(&answer, to);
                }
            }
        }
    }

    /// Returns the answers to a message, each with the address to send it to; `None` for the group.
    fn answers(&self, message: &[u8], from: SocketAddr) -> Vec<(Vec<u8>, Option<SocketAddr>)> {
        let known = self.responder.known();
        let answers = known.iter().filter_map(|(host, address)| {
            let id = asks_for(message, host, *address)?;
            // A resolver on another port does not receive from the group (RFC 6762 §6.7).
            let alone = (from.port() != PORT).then_some(from);
            let answer = record(host, *address, TTL, alone.map(|_| id))?;
            Some((answer, alone))
        });
        answers.collect()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.announce(0);
    }
}
