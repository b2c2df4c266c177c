//! One connection to a peer, with the call's own channel.

use std::sync::Arc;

use columba_peer::{
    Configuration, DataChannelInit, MediaConfiguration, Message, TrackKind, TransceiverDirection,
    TransceiverInit,
};

use super::negotiation::Negotiation;
use super::options::CallMedia;
use crate::connection::PeerConnection;
use crate::data_channel::DataChannel;
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::events::{Event, Events};

/// The label of the call's own channel.
const LABEL: &str = "columba";

/// A connection to a peer. Of two peers the impolite one numbers them.
pub(super) struct Link {
    pub(super) connection: PeerConnection,
    events: Events,
    pub(super) data: DataChannel,
    pub(super) negotiation: Negotiation,
    data_is_open: bool,
    data_is_over: bool,
    is_over: bool,
}

/// The events of a connection.
pub(super) enum LinkEvent {
    Event(Event),
    DataOpen,
    Data(Message),
    /// The own channel is closed: the other side leaves, or makes a new connection.
    DataOver,
}

impl Link {
    pub(super) fn new(
        configuration: Configuration,
        endpoint: Option<Endpoint>,
        media: &CallMedia,
        is_polite: bool,
    ) -> Result<Self, Error> {
        let configuration = prepared(configuration, media);
        let mut builder = PeerConnection::builder().configuration(configuration);
        if let Some(endpoint) = endpoint {
            builder = builder.endpoint(endpoint);
        }
        let (connection, events) = builder.build()?;
        let init = DataChannelInit { negotiated: Some(0), ..DataChannelInit::default() };
        let data = connection.create_data_channel(LABEL, init)?;
        add_media(&connection, media, is_polite)?;
        let negotiation = Negotiation::new(is_polite);
        let (data_is_open, data_is_over, is_over) = (false, false, false);
        Ok(Self { connection, events, data, negotiation, data_is_open, data_is_over, is_over })
    }

    /// The own channel, while it is open.
    pub(super) fn open_data(&self) -> Option<&DataChannel> {
        (self.data_is_open && !self.data_is_over).then_some(&self.data)
    }

    /// Waits for the next event, in the order of the connection: the own channel is open before
    /// others arrive, and before its messages. Cancelling loses nothing.
    pub(super) async fn next(&mut self) -> LinkEvent {
        let Self { events, data, data_is_open, data_is_over, is_over, .. } = self;
        loop {
            tokio::select! {
                biased;
                event = events.recv(), if !*is_over => match event {
                    Some(Event::ChannelOpen(channel)) if channel.id() == data.id() => {
                        *data_is_open = true;
                        return LinkEvent::DataOpen;
                    }
                    Some(event) => return LinkEvent::Event(event),
                    None => *is_over = true,
                },
                // Also what came on a channel that was closed again at once.
                message = data.recv(), if !*data_is_over => {
                    *data_is_over = message.is_none();
                    return message.map_or(LinkEvent::DataOver, LinkEvent::Data);
                }
                else => std::future::pending().await,
            }
        }
    }
}

/// The stream of all own tracks.
const STREAM: &str = "columba";

/// Lets the sections that the other side offers receive.
fn prepared(mut configuration: Configuration, media: &CallMedia) -> Configuration {
    if media.receives {
        let mut prepared = MediaConfiguration::clone(&configuration.media);
        prepared.offered = TransceiverDirection::RecvOnly;
        configuration.media = Arc::new(prepared);
    }
    configuration
}

/// Adds the own tracks. The impolite side offers room for sound and a picture of the other side's,
/// too, in both directions: the call page sends on what it may receive.
fn add_media(connection: &PeerConnection, media: &CallMedia, is_polite: bool) -> Result<(), Error> {
    for track in &media.tracks {
        let transceiver = connection.add_track(track.clone(), [STREAM])?;
        if !media.receives {
            transceiver.set_direction(TransceiverDirection::SendOnly)?;
        }
    }
    if media.receives && !is_polite {
        for kind in [TrackKind::Audio, TrackKind::Video] {
            if !media.tracks.iter().any(|track| track.kind == kind) {
                let init = TransceiverInit::new(TransceiverDirection::SendRecv);
                connection.add_transceiver(kind, init)?;
            }
        }
    }
    Ok(())
}

/// The next event of the connection, if there is one.
pub(super) async fn next_event(link: &mut Option<Link>) -> LinkEvent {
    match link {
        Some(link) => link.next().await,
        None => std::future::pending().await,
    }
}
