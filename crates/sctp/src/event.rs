//! The events of an association.

use crate::error::CloseReason;
use crate::serial::StreamId;

/// Something that the owner of an association should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The handshake is done: messages may flow.
    Connected,
    /// The peer has lost its state and begun anew (RFC 9260 §5.2.4.1). Streams start from zero;
    /// messages that had not been acknowledged are lost, those that had been received but not read
    /// are still there.
    Restarted,
    /// A stream has messages to read, after it had none. Not repeated until
    /// [`receive`](crate::Association::receive) has returned `None` for it.
    Readable(StreamId),
    /// A stream's queue has shrunk to its low threshold.
    BufferedAmountLow(StreamId),
    /// A stream that was found full (by [`is_writable`](crate::Association::is_writable) or
    /// [`SendError::Full`](crate::SendError::Full)) has room again: its queue has fallen to
    /// [`Config::low_watermark`](crate::Config::low_watermark), and that of the association to
    /// half.
    Writable(StreamId),
    /// The peer has ended its direction of a stream: after the messages that are still to be read,
    /// none follow.
    IncomingReset(StreamId),
    /// Our direction of a stream is reset, as asked; its number may be used again.
    OutgoingReset(StreamId),
    /// Our direction of a stream was reset, and the peer has not reset its own within 10 s, as data
    /// channels do (RFC 8831 §6.7). [`IncomingReset`](Self::IncomingReset) may still follow.
    ResetUnanswered(StreamId),
    /// The peer refused to let our direction of a stream be reset.
    ResetRefused(StreamId),
    /// A message larger than [`Config::max_message_size`](crate::Config::max_message_size) began to
    /// arrive on this stream; it is thrown away.
    MessageTooLarge(StreamId),
    /// The association is gone. Nothing follows.
    Closed(CloseReason),
}
