//! The peer connection.

use std::collections::VecDeque;
use std::time::Instant;

use columba_ice::{Ecn, Input, LocalAddress, Path, Transmit};

use crate::candidate::IceCandidateInit;
use crate::channel::{ChannelId, ChannelInfo, DataChannelInit, Message};
use crate::configuration::Configuration;
use crate::description::{OfferOptions, SessionDescription};
use crate::error::Error;
use crate::event::Event;
use crate::states::{IceConnectionState, IceGatheringState, PeerConnectionState, SignalingState};
use crate::stats::Stats;
use crate::time::UnixTime;

/// A peer connection.
///
/// It has the five doors: feed it with [`handle_datagram`](Self::handle_datagram), [`handle_input`](Self::handle_input),
/// [`handle_network_change`](Self::handle_network_change) and [`handle_timeout`](Self::handle_timeout); after any call take out
/// [`poll_transmit`](Self::poll_transmit) and [`poll_event`](Self::poll_event) until `None`, and ask
/// [`poll_timeout`](Self::poll_timeout). Any order of calls is legal.
#[derive(Debug)]
pub struct Peer {
    events: VecDeque<Event>,
}

#[expect(unused_variables, clippy::missing_errors_doc, reason = "the interface comes first")]
impl Peer {
    /// A connection that has not begun. All randomness comes from `seed` (but for what [`Configuration::simulated`] says);
    /// `wall` is the time at `now`.
    pub fn new(
        configuration: Configuration,
        now: Instant,
        wall: UnixTime,
        seed: [u8; 32],
    ) -> Result<Self, Error> {
        Ok(Self { events: VecDeque::new() })
    }
    /// `createOffer`.
    pub fn create_offer(&mut self, now: Instant, options: OfferOptions) -> Result<SessionDescription, Error> {
        Err(Error::Closed)
    }
    /// `createAnswer`.
    pub fn create_answer(&mut self, now: Instant) -> Result<SessionDescription, Error> {
        Err(Error::Closed)
    }
    /// `setLocalDescription`; without a description, or with an empty one, one that fits the state is created. Tells what was set.
    pub fn set_local_description(
        &mut self,
        now: Instant,
        description: Option<SessionDescription>,
    ) -> Result<SessionDescription, Error> {
        Err(Error::Closed)
    }
    /// `setRemoteDescription`.
    pub fn set_remote_description(
        &mut self,
        now: Instant,
        description: SessionDescription,
    ) -> Result<(), Error> {
        Err(Error::Closed)
    }
    /// `addIceCandidate`; `None` and an empty candidate say that no more come.
    pub fn add_ice_candidate(
        &mut self,
        now: Instant,
        candidate: Option<IceCandidateInit>,
    ) -> Result<(), Error> {
        Err(Error::Closed)
    }
    /// `restartIce`.
    pub fn restart_ice(&mut self, now: Instant) {}
    /// `setConfiguration`: takes effect with the next gathering.
    pub fn set_configuration(&mut self, now: Instant, configuration: Configuration) -> Result<(), Error> {
        Err(Error::Closed)
    }
    /// `createDataChannel`.
    pub fn create_data_channel(
        &mut self,
        now: Instant,
        label: &str,
        init: DataChannelInit,
    ) -> Result<ChannelId, Error> {
        Err(Error::Closed)
    }
    /// `close`: says goodbye; keep draining [`poll_transmit`](Self::poll_transmit) and the requests until
    /// [`is_drained`](Self::is_drained).
    pub fn close(&mut self, now: Instant) {}
    /// Whether nothing is left to be done after [`close`](Self::close).
    #[must_use]
    pub fn is_drained(&self) -> bool {
        true
    }
    /// Sends a message. Tells how many bytes wait on the channel now.
    pub fn send(&mut self, now: Instant, channel: ChannelId, message: Message) -> Result<usize, Error> {
        Err(Error::Closed)
    }
    /// The next message; `None` if none waits.
    pub fn receive(&mut self, now: Instant, channel: ChannelId) -> Option<Message> {
        None
    }
    /// Bytes of messages that were not sent yet: the W3C's `bufferedAmount`.
    #[must_use]
    pub fn buffered_amount(&self, channel: ChannelId) -> usize {
        0
    }
    /// Sets when [`Event::BufferedAmountLow`] comes. Default 0.
    pub fn set_buffered_amount_low_threshold(
        &mut self,
        channel: ChannelId,
        threshold: usize,
    ) -> Result<(), Error> {
        Err(Error::Closed)
    }
    /// Begins to close a channel: what was sent still goes out.
    pub fn close_channel(&mut self, now: Instant, channel: ChannelId) -> Result<(), Error> {
        Err(Error::Closed)
    }
    /// What is known about a channel; `None` once it is closed and everything was received.
    #[must_use]
    pub fn channel(&self, channel: ChannelId) -> Option<ChannelInfo> {
        None
    }
    /// `localDescription`, with the candidates found so far.
    #[must_use]
    pub fn local_description(&self) -> Option<SessionDescription> {
        None
    }
    /// `remoteDescription`, with the candidates that came so far.
    #[must_use]
    pub fn remote_description(&self) -> Option<SessionDescription> {
        None
    }
    /// `signalingState`.
    #[must_use]
    pub fn signaling_state(&self) -> SignalingState {
        SignalingState::Stable
    }
    /// `iceGatheringState`.
    #[must_use]
    pub fn ice_gathering_state(&self) -> IceGatheringState {
        IceGatheringState::New
    }
    /// `iceConnectionState`.
    #[must_use]
    pub fn ice_connection_state(&self) -> IceConnectionState {
        IceConnectionState::New
    }
    /// `connectionState`.
    #[must_use]
    pub fn connection_state(&self) -> PeerConnectionState {
        PeerConnectionState::New
    }
    /// `getStats`, as plain structs.
    #[must_use]
    pub fn stats(&self, now: Instant) -> Option<Stats> {
        None
    }
    /// These are the host's addresses now; to be called before the first local description is set, and after each change.
    pub fn handle_network_change(&mut self, now: Instant, addresses: &[LocalAddress]) {}
    /// Something that a [`Request`](crate::Request) asked for has happened.
    pub fn handle_input(&mut self, now: Instant, input: Input) {}
    /// A datagram has arrived, or a frame of a connection; it is decrypted where it stands. `received_at` is the kernel's time of
    /// arrival, where it is known.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        path: Path,
        ecn: Ecn,
        received_at: Option<Instant>,
        datagram: &mut [u8],
    ) {
    }
    /// The time that [`poll_timeout`](Self::poll_timeout) named has come.
    pub fn handle_timeout(&mut self, now: Instant) {}
    /// What should go out? `buf` should have 64 KiB so that batches fit, and must have 2,048 bytes.
    pub fn poll_transmit(&mut self, now: Instant, buf: &mut [u8]) -> Option<Transmit> {
        None
    }
    /// What should the owner know or do?
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}
