//! Frames and packets of audio and video.

use std::time::{Duration, Instant};

use columba_rtp::NtpTime;
use columba_sdp::attributes::Direction;

use super::Peer;
use crate::error::Error;
use crate::event::Event;
use crate::media::TransceiverId;
use crate::rtp::{
    Outgoing, OutgoingFrame, ReceiveLevel, ReceivedFrame, ReceivedPacket, ReceivingSection, RtpSource,
    Sections, SendingSection,
};
use crate::transport::{Transport, TransportId};

/// The greatest `jitterBufferTarget` (W3C WebRTC §5.3).
const MAX_JITTER_BUFFER_TARGET: Duration = Duration::from_secs(4);

impl Peer {
    /// Sends an encoded frame as a transceiver's: it is cut into packets, which are protected,
    /// paced and sent again if the other side asks for them.
    ///
    /// [`Event::KeyFrameWanted`] asks for key frames, [`Event::BitrateWanted`] tells the rate that
    /// the path carries.
    ///
    /// # Errors
    /// [`Error::NotSending`] if the transceiver is not connected, it is not agreed that this side
    /// sends, the encoding is not active, or nothing has arrived for long, which is tried again
    /// after a pause; [`Error::InvalidFrame`]; [`Error::BufferFull`] if there is no room for the
    /// whole frame: the path carries less than is sent. Pictures that have waited for more than two
    /// seconds are given up (`frames_given_up`), and then, or after an error, a key frame is asked
    /// for, and others are refused with `BufferFull` until it comes.
    pub fn send_frame(
        &mut self,
        now: Instant,
        transceiver: TransceiverId,
        frame: &OutgoingFrame<'_>,
    ) -> Result<(), Error> {
        self.require_open()?;
        self.packets.send_frame(now, transceiver, frame, self.configuration.datagram_size)
    }

    /// Moves the next frame that a transceiver has received into `buf`. After
    /// [`Event::FramesReadable`] take them until there is none. Of more than 256 frames, or 8 MiB,
    /// that wait, the later ones are dropped up to the next key frame.
    pub fn receive_frame(&mut self, transceiver: TransceiverId, buf: &mut Vec<u8>) -> Option<ReceivedFrame> {
        self.packets.receive_frame(transceiver, buf)
    }

    /// Sets the way in which the application takes what a transceiver receives. Default frames.
    ///
    /// # Errors
    /// [`Error::NoSuchTransceiver`].
    pub fn set_receive_level(
        &mut self,
        transceiver: TransceiverId,
        level: ReceiveLevel,
    ) -> Result<(), Error> {
        self.jsep.media().find(transceiver)?;
        self.packets.set_receive_level(transceiver, level);
        Ok(())
    }

    /// Asks the other side for a key frame of what a transceiver receives, within limits.
    pub fn request_key_frame(&mut self, now: Instant, transceiver: TransceiverId) {
        self.packets.request_key_frame(now, transceiver);
    }

    /// Limits the bitrate that the other side sends to a transceiver, by TMMBR (RFC 5104 §4.2.1) or
    /// REMB, as it is agreed; `None` for no limit. It is told again with each report until the
    /// other side confirms it.
    ///
    /// # Errors
    /// [`Error::NoSuchTransceiver`].
    pub fn set_receive_limit(
        &mut self,
        now: Instant,
        transceiver: TransceiverId,
        bits_per_second: Option<u64>,
    ) -> Result<(), Error> {
        self.jsep.media().find(transceiver)?;
        self.packets.set_receive_limit(now, transceiver, bits_per_second);
        Ok(())
    }

    /// `RTCDTMFSender.canInsertDTMF`: it is agreed that the transceiver sends sound, and tones.
    pub fn can_insert_dtmf(&mut self, transceiver: TransceiverId) -> bool {
        self.packets.can_insert_dtmf(transceiver)
    }

    /// `RTCDTMFSender.insertDTMF`: sends tones of a telephone's keys (RFC 4733), in the place of
    /// those that wait, and of the sound meanwhile. A comma is a pause of two seconds. The duration
    /// of a tone is 40 ms to 6 s, the gap between two 30 ms to 6 s; what lies outside is put
    /// inside. [`Event::ToneChange`] tells of each one as it begins.
    ///
    /// # Errors
    /// [`Error::NotSending`] if [`can_insert_dtmf`](Self::can_insert_dtmf) is false;
    /// [`Error::InvalidParameters`] if a tone has no key; [`Error::NoSuchTransceiver`],
    /// [`Error::Closed`].
    pub fn insert_dtmf(
        &mut self,
        now: Instant,
        transceiver: TransceiverId,
        tones: &str,
        duration: Duration,
        gap: Duration,
    ) -> Result<(), Error> {
        self.require_open()?;
        self.jsep.media().find(transceiver)?;
        self.packets.insert_dtmf(now, transceiver, tones, duration, gap)
    }

    /// `RTCDTMFSender.toneBuffer`: the tones that wait.
    #[must_use]
    pub fn tone_buffer(&self, transceiver: TransceiverId) -> String {
        self.packets.tone_buffer(transceiver)
    }

    /// Sets `RTCRtpReceiver.jitterBufferTarget`: the time that the application would have what is
    /// received wait before it is played, at most 4 s; `None` leaves it to the buffer. A hint for
    /// the one who plays, in the receiver's [`TransceiverInfo`](crate::TransceiverInfo).
    ///
    /// # Errors
    /// [`Error::OutOfRange`], [`Error::NoSuchTransceiver`].
    pub fn set_jitter_buffer_target(
        &mut self,
        transceiver: TransceiverId,
        target: Option<Duration>,
    ) -> Result<(), Error> {
        if target.is_some_and(|target| target > MAX_JITTER_BUFFER_TARGET) {
            return Err(Error::OutOfRange { reason: "jitterBufferTarget is at most 4 s" });
        }
        self.jsep.change_media(|media| media.set_jitter_buffer_target(transceiver, target))
    }

    /// `RTCRtpReceiver.getSynchronizationSources`: the streams of the last 10 s, the newest first.
    #[must_use]
    pub fn synchronization_sources(&self, now: Instant, transceiver: TransceiverId) -> Vec<RtpSource> {
        self.sources(now, transceiver, true)
    }

    /// `RTCRtpReceiver.getContributingSources`: those of the last 10 s, the newest first.
    #[must_use]
    pub fn contributing_sources(&self, now: Instant, transceiver: TransceiverId) -> Vec<RtpSource> {
        self.sources(now, transceiver, false)
    }

    fn sources(&self, now: Instant, transceiver: TransceiverId, synchronizing: bool) -> Vec<RtpSource> {
        let all = self.packets.sources(now, transceiver);
        let mut found: Vec<_> =
            all.filter(|(one, _)| *one == synchronizing).map(|(_, source)| source).collect();
        found.sort_by_key(|source| std::cmp::Reverse(source.timestamp));
        found
    }

    /// Sends an RTP packet, in the clear, as a transceiver's: it is protected and goes out with
    /// [`poll_transmit`](Self::poll_transmit). Its payload type is one of the agreement
    /// ([`send_parameters`](Self::send_parameters)); streams, numbers and header extensions are the
    /// caller's. A sequence number of a stream is used once.
    ///
    /// # Errors
    /// [`Error::NotSending`] if the transceiver is not connected, or it is not agreed that this
    /// side sends; [`Error::InvalidPacket`]; [`Error::BufferFull`] if 1,024 packets wait.
    pub fn send_rtp(&mut self, transceiver: TransceiverId, packet: &[u8]) -> Result<(), Error> {
        self.require_open()?;
        self.packets.send_rtp(transceiver, Outgoing::Copied(packet))
    }

    /// Sends an RTP packet as [`send_rtp`](Self::send_rtp) does, without a copy: its memory is
    /// taken, and other memory given for it, so that `packet` is empty afterwards. Of those who
    /// get the same packet it is for the last.
    ///
    /// # Errors
    /// As `send_rtp`; then `packet` is as it was.
    pub fn forward_rtp(&mut self, transceiver: TransceiverId, packet: &mut Vec<u8>) -> Result<(), Error> {
        self.require_open()?;
        self.packets.send_rtp(transceiver, Outgoing::Exchanged(packet))
    }

    /// Sends a compound RTCP packet, or one of reduced size, in the clear, over a transport.
    ///
    /// # Errors
    /// [`Error::NotSending`] if the transport is not connected, or carries no media;
    /// [`Error::InvalidPacket`]; [`Error::BufferFull`] if 1,024 packets wait.
    pub fn send_rtcp(&mut self, transport: TransportId, packet: &[u8]) -> Result<(), Error> {
        self.require_open()?;
        self.packets.send_rtcp(transport, packet)
    }

    /// Moves the next packet of media that has arrived into `buf`, in the clear: of transceivers
    /// whose level is [`ReceiveLevel::Packets`], and the RTCP of their transports. After
    /// [`Event::PacketsReadable`] take them until there is none. Of more than 1,024 packets, or 2
    /// MiB, that wait, the later ones are dropped and counted.
    pub fn receive_packet(&mut self, buf: &mut Vec<u8>) -> Option<ReceivedPacket> {
        self.packets.receive(buf)
    }

    /// Returns the code point (DSCP) that the IP headers of all datagrams of a transport are to
    /// have, by the [priorities](crate::RtpEncodingParameters::network_priority) of what it sends
    /// (RFC 8837 §5); 0 for the ordinary treatment. It changes with parameters and descriptions.
    #[must_use]
    pub fn dscp(&self, transport: TransportId) -> u8 {
        self.packets.dscp(transport)
    }

    /// The wall clock in the form of RTCP.
    pub(super) fn ntp(&self, now: Instant) -> NtpTime {
        NtpTime::from_unix(self.wall.at(now).0)
    }

    /// Handles a protected packet.
    pub(super) fn handle_media(&mut self, received_at: Instant, transport: TransportId, packet: &mut [u8]) {
        let (len, clock) = (packet.len(), &self.wall);
        let wall = || NtpTime::from_unix(clock.at(received_at).0);
        if self.packets.handle(transport, received_at, wall, packet) {
            return;
        }
        self.dropped.media += 1;
        self.dropped.media_bytes += len as u64;
        self.dropped.last_media = Some(self.wall.at(received_at));
    }

    /// Handles the deadlines of reports, requests and feedback.
    pub(super) fn handle_media_timeout(&mut self, now: Instant) {
        let wall = self.ntp(now);
        let transports = &self.transports;
        self.packets.handle_timeout(now, wall, |id| {
            transports.iter().find(|one| one.id() == id).and_then(Transport::round_trip)
        });
    }

    /// Announces what has happened to media.
    pub(super) fn announce_media(&mut self) {
        while let Some((id, old, new)) = self.packets.take_renumbered() {
            self.jsep.change_media(|media| media.renumber(id, old, new));
        }
        while let Some(event) = self.packets.take_event() {
            let is_news = match event {
                Event::TrackMuted(id, _) => self.jsep.change_receiver(id, true),
                Event::TrackUnmuted(id, _) => self.jsep.change_receiver(id, false),
                _ => true,
            };
            if is_news {
                self.events.push_back(event);
            }
        }
    }

    /// Takes the keys of a transport that is connected.
    pub(super) fn begin_media(&mut self, now: Instant, index: usize) {
        let transport = &self.transports[index];
        if let Some(keys) = transport.srtp_keys()
            && self.packets.has_session(transport.id())
        {
            self.packets.set_keys(now, transport.id(), keys);
        }
        self.agree_on_media(now);
    }

    /// Takes over what the descriptions agree on.
    pub(super) fn agree_on_media(&mut self, now: Instant) {
        let transports: Vec<_> =
            self.transports.iter().filter(|one| !one.has_ended()).map(Transport::id).collect();
        let media = self.jsep.media();
        self.packets.retain(|id| transports.contains(&id), |id| media.find(id).is_ok());
        for id in transports {
            let sections = self.agreed_sections(id);
            // A connection that only carries data has no use for the ciphers.
            if !self.packets.has_session(id) && !sections.is_empty() {
                let transport = self.transports.iter().find(|one| one.id() == id);
                if let Some(keys) = transport.and_then(Transport::srtp_keys) {
                    self.packets.set_keys(now, id, keys);
                }
            }
            self.packets.set_sections(now, id, sections);
        }
    }

    fn agreed_sections(&self, transport: TransportId) -> Sections {
        let mut sections = Sections::default();
        for one in self.jsep.media().iter().filter(|one| !one.is_stopped) {
            let Some(mid) = one.mid.as_deref() else { continue };
            if self.jsep.section_transport(mid) != Some(transport) {
                continue;
            }
            let direction = one.current_direction.unwrap_or(Direction::Inactive);
            if direction.receives() {
                let agreed = self.jsep.negotiated(mid, false);
                sections.receiving.push(ReceivingSection::new(one, mid, &agreed));
            }
            if direction.sends() {
                let agreed = self.jsep.negotiated(mid, true);
                sections.sending.push(SendingSection::new(one, mid, &agreed));
            }
        }
        sections
    }
}
