//! Answers questions for the own names, so that addresses need not be written into descriptions.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use super::group::{Group, PORT};
use super::message::{asks_for, record};

/// Seconds for which others may remember an answer: what RFC 6762 §10 recommends for host names.
const TTL: u32 = 120;

/// Names at most; the oldest goes when another comes. Each socket has one, and each restart of ICE may bring others.
const MAX_NAMES: usize = 64;

/// The pause after a socket's error, so that one that stays does not keep the processor busy.
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
    /// There is a new one.
    added: Notify,
}

impl Responder {
    /// From now on the name is answered for, as long as somebody [runs](Self::run) this.
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

    /// Answers until it is dropped; then it takes its names back.
    pub(in crate::driver) async fn run(self) {
        let service = Service { groups: Group::both(), responder: self };
        let mut buffers = [[0; MAX_MESSAGE]; 2];
        loop {
            let [first, second] = &mut buffers;
            tokio::select! {
                () = service.responder.names.added.notified() => service.announce(TTL),
                () = service.attend(0, first) => {}
                () = service.attend(1, second) => {}
            }
        }
    }
}

struct Service {
    groups: Vec<Group>,
    responder: Responder,
}

impl Service {
    /// Says what all names stand for, unasked (RFC 6762 §8.3); nobody else can have such names, so that they need not be asked for first.
    fn announce(&self, ttl: u32) {
        for (host, address) in self.responder.known().iter() {
            if let Some(message) = record(host, *address, ttl, None) {
                self.groups.iter().for_each(|group| group.send(&message));
            }
        }
    }

    /// Answers one question, if it is for one of the names.
    async fn attend(&self, index: usize, buffer: &mut [u8]) {
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

    /// The answers to a message, each for everybody or for one.
    fn answers(&self, message: &[u8], from: SocketAddr) -> Vec<(Vec<u8>, Option<SocketAddr>)> {
        let known = self.responder.known();
        let answers = known.iter().filter_map(|(host, address)| {
            let id = asks_for(message, host, *address)?;
            // Who asks from another port does not hear the group.
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
