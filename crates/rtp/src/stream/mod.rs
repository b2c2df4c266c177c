//! The state of streams: what a sender and a receiver of one SSRC know, and the buffers in front of
//! a decoder.
//!
//! Nothing here has a clock: times are arguments, and playout is decided when the one who plays
//! asks.

mod clock;
mod frames;
mod history;
mod keyframes;
mod nack;
mod playout;
mod receiver;
mod sender;
mod stats;

pub use clock::StreamClock;
pub use frames::{FrameBuffer, FrameInfo, PacketInfo};
pub use history::{History, HistoryLimits};
pub use keyframes::{KeyFrameLimiter, KeyFrameRequester};
pub use nack::{NackGenerator, NackLimits};
pub use playout::{
    AudioDecision, AudioFrame, AudioPlayout, FixedAudioPlayout, FixedVideoPlayout, PlayoutStats,
    VideoDecision, VideoPlayout,
};
pub use receiver::{Arrival, StreamReceiver};
pub use sender::StreamSender;
pub use stats::{
    FrameRate, InboundRtpStats, OutboundRtpStats, RemoteInboundRtpStats, RemoteOutboundRtpStats,
};
