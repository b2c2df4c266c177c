//! The sending side: one frame after the other becomes payloads.

use super::split::Split;
use super::{Format, FrameError, av1, h264, vp8, vp9};

/// One payload that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its length.
    pub len: usize,
    /// Bytes of RTP padding that make the packet as long as the frame's others, so that all leave
    /// as one batch.
    pub padding: u8,
    /// It is the frame's last: the packet gets the marker.
    pub last: bool,
}

/// Cuts frames into payloads. A frame is begun, and then given out part by part, so that a pacer
/// can take its time; the frame stays with the caller.
///
/// The packets of one frame have at most two sizes, the first ones all the same; only an H.264
/// frame of several slices, or of more than 250 packets, may have more.
#[derive(Debug)]
pub struct Packetizer {
    format: Format,
    state: State,
}

#[derive(Debug)]
enum State {
    Whole(Cut),
    Vp8(vp8::Packetizer),
    Vp9(vp9::Packetizer),
    H264(h264::Packetizer),
    Av1(av1::Packetizer),
}

/// A place in a frame that is cut evenly.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cut {
    pub(super) split: Split,
    /// Bytes of the frame that are written.
    pub(super) done: usize,
}

impl Cut {
    /// Writes a header and the next part of the frame behind it. Only `first` bytes less fit into
    /// the first part.
    pub(super) fn next(&mut self, frame: &[u8], header: &[u8], less: usize, out: &mut [u8]) -> Option<Part> {
        if self.done >= frame.len() {
            return None;
        }
        let less = if self.done == 0 { less } else { 0 };
        let end = frame.len().min(self.done + self.split.size - less);
        let len = header.len() + end - self.done;
        out[..header.len()].copy_from_slice(header);
        out[header.len()..len].copy_from_slice(&frame[self.done..end]);
        self.done = end;
        Some(Part { len, padding: 0, last: end == frame.len() })
    }
}

impl Packetizer {
    /// Returns a packetizer of a format.
    #[must_use]
    pub fn new(format: Format) -> Self {
        let state = match format {
            Format::Whole => State::Whole(Cut::default()),
            Format::Vp8 => State::Vp8(vp8::Packetizer::default()),
            Format::Vp9 => State::Vp9(vp9::Packetizer::default()),
            Format::H264 { non_interleaved } => State::H264(h264::Packetizer::new(non_interleaved)),
            Format::Av1 => State::Av1(av1::Packetizer::default()),
        };
        Self { format, state }
    }

    /// Returns the format.
    #[must_use]
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Begins a frame whose payloads may have `room` bytes each, and returns how many there will
    /// be. What was left of the frame before is forgotten.
    ///
    /// # Errors
    ///
    /// The frame is empty, not of the codec, or cannot be cut to that size.
    pub fn begin(&mut self, frame: &[u8], room: usize) -> Result<usize, FrameError> {
        if frame.is_empty() {
            return Err(FrameError::Malformed { what: "it has no bytes" });
        }
        match &mut self.state {
            State::Whole(_) if frame.len() > room => Err(FrameError::TooLarge { len: frame.len(), room }),
            State::Whole(cut) => {
                *cut = Cut { split: Split { size: frame.len(), count: 1 }, done: 0 };
                Ok(1)
            }
            State::Vp8(state) => state.begin(frame, room),
            State::Vp9(state) => state.begin(frame, room),
            State::H264(state) => state.begin(frame, room),
            State::Av1(state) => state.begin(frame, room),
        }
    }

    /// Writes the next payload of the frame that was begun; `None` after the last.
    ///
    /// # Errors
    ///
    /// `out` is smaller than the room that the frame was begun with.
    pub fn next(&mut self, frame: &[u8], out: &mut [u8]) -> Result<Option<Part>, FrameError> {
        if out.len() < self.needed() {
            return Err(FrameError::NoRoom { room: out.len() });
        }
        Ok(match &mut self.state {
            State::Whole(cut) => cut.next(frame, &[], 0, out),
            State::Vp8(state) => state.next(frame, out),
            State::Vp9(state) => state.next(frame, out),
            State::H264(state) => state.next(frame, out),
            State::Av1(state) => state.next(frame, out),
        })
    }

    /// Returns the length of the longest payload of this frame.
    fn needed(&self) -> usize {
        match &self.state {
            State::Whole(cut) => cut.split.size,
            State::Vp8(state) => state.needed(),
            State::Vp9(state) => state.needed(),
            State::H264(state) => state.needed(),
            State::Av1(state) => state.needed(),
        }
    }
}
