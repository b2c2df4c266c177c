//! Tones of a telephone's keys: `RTCDTMFSender`.

use std::sync::Arc;
use std::time::Duration;

use columba_peer::TransceiverId;

use crate::error::Error;
use crate::handle::Handle;
use crate::media_signals::MediaSignals;

/// The sender of tones of an [`RtpSender`](crate::RtpSender) of sound: the W3C's `RTCDTMFSender`.
#[derive(Clone, Debug)]
pub struct DtmfSender {
    connection: Arc<Handle>,
    id: TransceiverId,
}

impl DtmfSender {
    pub(crate) fn new(connection: Arc<Handle>, id: TransceiverId) -> Self {
        Self { connection, id }
    }

    /// `canInsertDTMF`: it is agreed that this side sends sound, and tones.
    #[must_use]
    pub fn can_insert(&self) -> bool {
        self.connection.shared.lock().peer.can_insert_dtmf(self.id)
    }

    /// `insertDTMF` with the W3C's defaults: tones of 100 ms, 70 ms apart.
    ///
    /// # Errors
    /// As [`insert_with`](Self::insert_with).
    pub fn insert(&self, tones: &str) -> Result<(), Error> {
        self.insert_with(tones, Duration::from_millis(100), Duration::from_millis(70))
    }

    /// `insertDTMF`: sends tones (`0` to `9`, `A` to `D`, `#`, `*`; a comma is a pause of two
    /// seconds) in the place of those that wait; none ends them. A tone lasts 40 ms to 6 s, the gap
    /// 30 ms to 6 s.
    ///
    /// # Errors
    /// Tones cannot be sent, or one has no key.
    pub fn insert_with(&self, tones: &str, duration: Duration, gap: Duration) -> Result<(), Error> {
        let insert =
            |peer: &mut columba_peer::Peer, now| peer.insert_dtmf(now, self.id, tones, duration, gap);
        Ok(self.connection.shared.with_peer(insert)?)
    }

    /// `toneBuffer`: the tones that wait.
    #[must_use]
    pub fn tone_buffer(&self) -> String {
        self.connection.shared.lock().peer.tone_buffer(self.id)
    }

    /// Waits for the next `tonechange`: the tone that begins, or `Some(None)` after the last one.
    /// `None` once the connection or the transceiver is gone.
    pub async fn next_tone(&self) -> Option<Option<char>> {
        self.connection.next_requested(self.id, MediaSignals::next_tone).await
    }
}
