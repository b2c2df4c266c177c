//! The marks at which a stream's queue counts as full and as free again.

use std::collections::VecDeque;

use crate::config::Config;
use crate::serial::StreamId;

/// The room of the send queue, and the streams that wait for some.
#[derive(Debug)]
pub(super) struct Room {
    /// The bytes of all streams beyond which only streams without waiting messages are accepted.
    total: usize,
    /// The bytes of one stream beyond which nothing is accepted.
    stream: usize,
    /// The bytes of one stream beyond which it is not writable.
    high: usize,
    /// The bytes of one stream at which it is writable again.
    low: usize,
    /// Streams with room of their own that wait until the queue of all has fallen to half; each
    /// once.
    pub(super) crowded: Vec<StreamId>,
    /// Streams that have room since they were found full; each once.
    pub(super) writable: VecDeque<StreamId>,
}

/// The part of one stream.
#[derive(Debug, Default)]
pub(super) struct StreamRoom {
    /// The stream was found full.
    pub(super) wanted: bool,
    /// It is in `crowded`.
    pub(super) crowded: bool,
    /// It is in `writable`.
    pub(super) announced: bool,
}

impl Room {
    pub(super) fn new(config: &Config) -> Self {
        let high = config.high_watermark.min(config.stream_send_buffer).max(1);
        let low = if config.low_watermark < high { config.low_watermark } else { high / 2 };
        Self {
            total: config.send_buffer,
            stream: config.stream_send_buffer,
            high,
            low,
            crowded: Vec::new(),
            writable: VecDeque::new(),
        }
    }

    /// The same marks, without streams that wait.
    pub(super) fn emptied(&self) -> Self {
        Self { crowded: Vec::new(), writable: VecDeque::new(), ..*self }
    }

    /// Returns whether a message is accepted: one is in any case where none waits, so that a large
    /// one cannot keep an urgent one out.
    pub(super) fn has_room(&self, queued: usize, buffered: usize) -> bool {
        (queued < self.total || buffered == 0) && buffered < self.stream
    }

    pub(super) fn is_writable(&self, queued: usize, buffered: usize) -> bool {
        self.has_room(queued, buffered) && buffered < self.high
    }

    /// Announces a stream that wants room if there is some.
    #[inline]
    pub(super) fn offer(&mut self, id: StreamId, queued: usize, buffered: usize, stream: &mut StreamRoom) {
        if !stream.wanted || buffered > self.low {
            return;
        }
        if self.is_released(queued) || buffered == 0 {
            stream.wanted = false;
            if !std::mem::replace(&mut stream.announced, true) {
                self.writable.push_back(id);
            }
        } else if !std::mem::replace(&mut stream.crowded, true) {
            self.crowded.push(id);
        }
    }

    /// Returns whether streams wait for the queue of all, and it has fallen far enough.
    pub(super) fn is_crowd_released(&self, queued: usize) -> bool {
        !self.crowded.is_empty() && self.is_released(queued)
    }

    fn is_released(&self, queued: usize) -> bool {
        queued < self.total / 2
    }

    /// Forgets a stream.
    pub(super) fn forget(&mut self, id: StreamId, stream: &StreamRoom) {
        if stream.crowded {
            self.crowded.retain(|crowded| *crowded != id);
        }
        if stream.announced {
            self.writable.retain(|writable| *writable != id);
        }
    }
}
