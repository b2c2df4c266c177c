//! Transceivers: audio and video as an application asks for them, and as descriptions negotiate
//! them.
//!
//! A track is an identifier and a kind here: packets are not made from it.

mod changes;
mod codec;
mod configuration;
mod direction;
mod encodings;
mod parameters;
mod remote;
mod track;
mod transceiver;
mod transceivers;

pub(crate) use changes::LocalSection;
pub use codec::{RtcpFeedback, RtpCodec, RtpCodecCapability};
pub(crate) use codec::{is_repair, read_h264};
pub use configuration::MediaConfiguration;
pub use direction::TransceiverDirection;
pub use encodings::RtpEncodingParameters;
pub use parameters::{
    RtcpParameters, RtpCodecParameters, RtpHeaderExtension, RtpReceiveParameters, RtpSendParameters,
    SendLimits,
};
pub(crate) use remote::RemoteSection;
pub use track::{Track, TrackKind};
pub(crate) use transceiver::Transceiver;
pub use transceiver::{Receiver, Sender, TransceiverId, TransceiverInfo, TransceiverInit};
pub(crate) use transceivers::{Transceivers, split_mix};
