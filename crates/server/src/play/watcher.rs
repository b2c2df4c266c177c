//! One other participant, who sees and hears the file.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use columba::{Error, OutgoingFrame, PeerConnection, PeerError, RtpSender, TrackKind};
use columba_containers::{Codec, Frame};

/// The time before the file's beginning: frames that make up for missed ones have times before.
const LEAD: Duration = Duration::from_secs(60);

/// The time between two frames that only bring a decoder up to date.
const CATCH_UP_STEP: Duration = Duration::from_millis(1);

/// Bytes of frames since the last key frame that are kept.
const MAX_KEPT: usize = 8 << 20;

/// The frames since the last key frame.
#[derive(Default)]
pub(super) struct Group {
    frames: VecDeque<Frame>,
    bytes: usize,
}

impl Group {
    /// Adds a frame of the picture.
    pub(super) fn add(&mut self, frame: &Frame) {
        if frame.key || self.bytes > MAX_KEPT {
            self.frames.clear();
            self.bytes = 0;
        }
        if frame.key || !self.frames.is_empty() {
            self.bytes += frame.data.len();
            self.frames.push_back(frame.clone());
        }
    }
}

/// Another participant.
pub(super) struct Watcher {
    connection: PeerConnection,
    video: Option<RtpSender>,
    audio: Option<RtpSender>,
    /// It needs a key frame, or all frames since the last one.
    pub(super) needs_key: bool,
    /// The time of the last frame of the picture that it got, from [`LEAD`] before the film on.
    last: Option<Duration>,
    /// It cannot decode the picture; that was said.
    pub(super) was_told: bool,
}

/// The fate of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// It is sent, or need not be.
    Yes,
    /// The other side does not know the codec.
    NoCodec,
}

impl Watcher {
    pub(super) fn new(connection: PeerConnection) -> Self {
        let mut watcher =
            Self { connection, video: None, audio: None, needs_key: true, last: None, was_told: false };
        watcher.find_senders();
        watcher
    }

    fn find_senders(&mut self) {
        for transceiver in self.connection.transceivers() {
            let sender = transceiver.sender();
            if sender.track().is_some() && sender.is_agreed() {
                let place = match sender.kind() {
                    TrackKind::Audio => &mut self.audio,
                    TrackKind::Video => &mut self.video,
                };
                place.get_or_insert(sender);
            }
        }
    }

    /// Returns the sender of the picture.
    pub(super) fn video(&self) -> Option<&RtpSender> {
        self.video.as_ref()
    }

    /// Sends a packet of sound.
    pub(super) fn hear(&mut self, codec: Codec, frame: &Frame, begin: Instant) -> Shown {
        let Some(sender) = &self.audio else { return Shown::Yes };
        let Some(payload_type) = payload_type(sender, codec) else { return Shown::NoCodec };
        // What does not go is late already.
        let _ = send(sender, payload_type, frame, frame.timestamp + LEAD, begin);
        Shown::Yes
    }

    /// Sends a frame of the picture; to one who has missed some, all since the last key frame, with
    /// times in quick succession.
    pub(super) fn see(&mut self, codec: Codec, frame: &Frame, group: &Group, begin: Instant) -> Shown {
        let Some(sender) = &self.video else { return Shown::Yes };
        let Some(payload_type) = payload_type(sender, codec) else { return Shown::NoCodec };
        if !self.needs_key || frame.key {
            let timestamp = frame.timestamp + LEAD;
            self.needs_key = send(sender, payload_type, frame, timestamp, begin).is_err();
            if !self.needs_key {
                self.last = Some(timestamp);
            }
            return Shown::Yes;
        }
        let count = group.frames.len() as u32;
        if count == 0 {
            return Shown::Yes;
        }
        let end = frame.timestamp + LEAD;
        let earliest = end.saturating_sub(CATCH_UP_STEP * count);
        let start = self.last.map_or(earliest, |last| earliest.max(last));
        let step = end.saturating_sub(start) / count;
        for (index, frame) in (1..).zip(&group.frames) {
            let timestamp = start + step * index;
            if send(sender, payload_type, frame, timestamp, begin).is_err() {
                // It begins again with the next frame, or with the next key frame.
                return Shown::Yes;
            }
            self.last = Some(timestamp);
        }
        self.needs_key = false;
        Shown::Yes
    }
}

/// Sends a frame at a time from [`LEAD`] before the film on.
fn send(
    sender: &RtpSender,
    payload_type: u8,
    frame: &Frame,
    timestamp: Duration,
    begin: Instant,
) -> Result<(), Error> {
    let outgoing = OutgoingFrame {
        captured_at: Some(begin + frame.timestamp),
        payload_type: Some(payload_type),
        ..OutgoingFrame::new(&frame.data, timestamp)
    };
    let sent = sender.send_frame(&outgoing);
    if let Err(error) = &sent
        && !matches!(error, Error::Peer(PeerError::BufferFull | PeerError::NotSending))
    {
        tracing::debug!(%error, "a frame is not sent");
    }
    sent
}

/// Returns the number of a codec in the packets to this participant.
fn payload_type(sender: &RtpSender, codec: Codec) -> Option<u8> {
    let name = match codec {
        Codec::Vp8 => "VP8",
        Codec::Vp9 => "VP9",
        Codec::Av1 => "AV1",
        Codec::H264 => "H264",
        Codec::Opus => "opus",
        _ => return None,
    };
    let parameters = sender.parameters().ok()?;
    let is_it = |one: &&columba::RtpCodecParameters| {
        let single =
            one.codec.sdp_fmtp_line.as_deref().is_some_and(|line| line.contains("packetization-mode=0"));
        one.codec.name().eq_ignore_ascii_case(name) && !single
    };
    parameters.codecs.iter().find(is_it).map(|one| one.payload_type)
}
