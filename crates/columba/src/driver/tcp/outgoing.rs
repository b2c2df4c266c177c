//! The queue of frames in front of a TCP connection.

use std::sync::{Mutex, MutexGuard, PoisonError};

use columba_peer::TransportId;
use columba_peer::framing::Framing;
use tokio::sync::Notify;

/// Bytes of waiting data from which on the peer is told to send no more. One write takes them all,
/// so that the connection has the next ones at hand before the peer has made them.
const CLOGGED: usize = 64 << 10;

/// Bytes of data that wait at most; frames that do not fit are dropped. The peer stops long before:
/// beyond [`CLOGGED`] come only handshakes and the last datagrams of a closed connection.
const MAX_WAITING: usize = 256 << 10;

/// Bytes of connectivity checks and their answers that wait at most: more than a peer sends in a
/// second.
const MAX_CHECKS: usize = 64 << 10;

/// The frames that wait to be written to a connection: filled by the driver, emptied by the
/// connection's task.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// The transport of the peer that the connection belongs to.
    pub(in crate::driver) transport: TransportId,
    pub(super) framing: Framing,
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Connectivity checks, which are written first.
    checks: Vec<u8>,
    bytes: Vec<u8>,
    /// The peer was told to wait.
    is_clogged: bool,
    is_closed: bool,
    is_done: bool,
}

/// The consequence of a frame that was queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::driver) enum Pushed {
    /// There is room for more.
    Room,
    /// The peer is to be told to send no more data until the queue is drained.
    Clogged,
}

/// The result of taking from the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Some,
    /// All data that clogged the connection: the peer is to be told.
    Drained,
    /// Nothing, and the connection is to be closed.
    End,
}

impl Outgoing {
    pub(in crate::driver) fn new(transport: TransportId, framing: Framing) -> Self {
        Self { transport, framing, waiting: Mutex::default(), changed: Notify::new() }
    }

    /// Queues a whole frame.
    pub(in crate::driver) fn push(&self, frame: &[u8]) -> Pushed {
        let mut waiting = self.lock();
        let is_check = self.framing == Framing::Rfc4571 && frame.get(2).is_some_and(|first| *first < 4);
        let (queue, most) = match is_check {
            true => (&mut waiting.checks, MAX_CHECKS),
            false => (&mut waiting.bytes, MAX_WAITING),
        };
        if queue.len() + frame.len() <= most {
            queue.extend_from_slice(frame);
            self.changed.notify_one();
        }
        if waiting.bytes.len() < CLOGGED || waiting.is_clogged {
            return Pushed::Room;
        }
        waiting.is_clogged = true;
        Pushed::Clogged
    }

    /// Closes the connection once what waits is written.
    pub(in crate::driver) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_one();
    }

    /// Returns whether the connection is closed and what waited is written.
    pub(in crate::driver) fn is_done(&self) -> bool {
        self.lock().is_done
    }

    pub(super) fn finish(&self) {
        self.lock().is_done = true;
    }

    /// Waits for something to be written, and moves it to `chunk`, whose memory is used again.
    pub(super) async fn next(&self, chunk: &mut Vec<u8>) -> Taken {
        loop {
            {
                let mut waiting = self.lock();
                chunk.clear();
                let is_data = waiting.checks.is_empty();
                std::mem::swap(chunk, if is_data { &mut waiting.bytes } else { &mut waiting.checks });
                if !chunk.is_empty() {
                    let drained = is_data && std::mem::take(&mut waiting.is_clogged);
                    return if drained { Taken::Drained } else { Taken::Some };
                }
                if waiting.is_closed {
                    return Taken::End;
                }
            }
            self.changed.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing() -> Outgoing {
        Outgoing::new(TransportId::FIRST, Framing::Rfc4571)
    }

    fn frame(first: u8, length: usize) -> Vec<u8> {
        let mut frame = (length as u16).to_be_bytes().to_vec();
        frame.resize(2 + length, first);
        frame
    }

    #[tokio::test]
    async fn data_clogs_the_queue_until_taken_and_checks_overtake_it() {
        let outgoing = outgoing();
        let (data, check) = (frame(22, 1200), frame(0, 100));
        let mut frames = 1;
        while outgoing.push(&data) == Pushed::Room {
            frames += 1;
        }
        assert_eq!(frames, CLOGGED.div_ceil(data.len()));
        // Reported once only.
        assert_eq!(outgoing.push(&data), Pushed::Room);
        assert_eq!(outgoing.push(&check), Pushed::Room);
        let mut chunk = Vec::new();
        assert_eq!(outgoing.next(&mut chunk).await, Taken::Some);
        assert_eq!(chunk, check);
        assert_eq!(outgoing.next(&mut chunk).await, Taken::Drained);
        assert_eq!(chunk.len(), (frames + 1) * data.len());
        outgoing.push(&data);
        outgoing.close();
        assert_eq!(outgoing.next(&mut chunk).await, Taken::Some);
        assert_eq!(outgoing.next(&mut chunk).await, Taken::End);
    }

    #[tokio::test]
    async fn queue_is_bounded_when_the_connection_takes_nothing() {
        let outgoing = outgoing();
        for _ in 0..2000 {
            outgoing.push(&frame(22, 1200));
            outgoing.push(&frame(1, 100));
        }
        let waiting = outgoing.lock();
        assert!((MAX_WAITING - 1202..=MAX_WAITING).contains(&waiting.bytes.len()));
        assert!((MAX_CHECKS - 102..=MAX_CHECKS).contains(&waiting.checks.len()));
    }
}
