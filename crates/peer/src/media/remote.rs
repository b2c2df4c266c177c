//! The effects on transceivers of the other side's description (W3C "set the session description",
//! "process remote tracks").

use columba_sdp::attributes::Direction;

use super::encodings::{self, RtpEncodingParameters};
use super::track::TrackKind;
use super::transceiver::Transceiver;
use super::transceivers::Transceivers;
use crate::event::Event;

/// A section of the other side's description.
#[derive(Debug)]
pub(crate) struct RemoteSection<'a> {
    pub(crate) mid: &'a str,
    pub(crate) kind: TrackKind,
    /// As this side sends and receives; `None` if the section is rejected.
    pub(crate) direction: Option<Direction>,
    /// The streams that it names for its track; `None` if it says nothing about streams.
    pub(crate) streams: Option<Vec<String>>,
    /// The encodings of `a=simulcast:recv`, in their order.
    pub(crate) requested: Vec<&'a str>,
}

impl Transceivers {
    /// The steps for a media description of an offer.
    pub(crate) fn set_remote_offer(&mut self, section: RemoteSection<'_>, events: &mut Vec<Event>) {
        let known = self.place_of_section(section.mid);
        let Some(direction) = section.direction else {
            if let Some(index) = known {
                self.end(index, events);
            }
            return;
        };
        // RFC 9429 §5.10: a transceiver of addTrack waits for a section that takes what it sends.
        let waits = |one: &Transceiver| {
            direction.sends()
                && one.kind == section.kind
                && one.has_added_track
                && one.mid.is_none()
                && !one.is_stopping
        };
        let proposed = encodings::proposed(section.requested.iter().copied());
        let index = match known.or_else(|| self.list.iter().position(waits)) {
            Some(index) => {
                let sender = &mut self.list[index].sender;
                let is_ridless = matches!(sender.encodings.as_slice(), [only] if only.rid.is_none());
                if is_ridless && !proposed.is_empty() {
                    (sender.encodings, sender.returned) = (proposed, None);
                }
                index
            }
            None => self.create_for_offer(section.kind, proposed),
        };
        self.list[index].mid = Some(section.mid.to_owned());
        let streams = self.streams(&section, direction);
        self.list[index].process_remote_tracks(direction, streams, events);
    }

    fn create_for_offer(&mut self, kind: TrackKind, mut encodings: Vec<RtpEncodingParameters>) -> usize {
        if encodings.is_empty() {
            encodings.push(RtpEncodingParameters::default());
        }
        let offered = self.configuration.offered.described();
        let transceiver = self.create(kind, offered.unwrap_or(Direction::Inactive), encodings);
        transceiver.is_new = true;
        transceiver.is_wanted = offered.is_some_and(|offered| offered != Direction::Inactive);
        self.list.len() - 1
    }

    /// The steps for a media description of an answer.
    pub(crate) fn set_remote_answer(&mut self, section: RemoteSection<'_>, events: &mut Vec<Event>) {
        let Some(index) = self.place_of_section(section.mid) else { return };
        let Some(direction) = section.direction else {
            self.end(index, events);
            return;
        };
        if self.list[index].is_stopped {
            return;
        }
        self.list[index].narrow_encodings(&section.requested);
        self.list[index].sender.returned = None;
        let streams = self.streams(&section, direction);
        let transceiver = &mut self.list[index];
        transceiver.process_remote_tracks(direction, streams, events);
        transceiver.set_current_direction(direction);
    }

    /// Returns the streams of the track that a section announces.
    fn streams(&mut self, section: &RemoteSection<'_>, direction: Direction) -> Vec<String> {
        match &section.streams {
            _ if !direction.receives() => Vec::new(),
            Some(streams) => streams.clone(),
            None => vec![self.default_stream()],
        }
    }

    /// The other side has rejected the section of a transceiver.
    fn end(&mut self, index: usize, events: &mut Vec<Event>) {
        let transceiver = &mut self.list[index];
        if transceiver.is_stopped {
            return;
        }
        transceiver.process_remote_tracks(Direction::Inactive, Vec::new(), events);
        if transceiver.stop() {
            events.push(Event::TrackEnded(transceiver.id, transceiver.kind));
        }
    }
}

impl Transceiver {
    /// Gives up the encodings that an answer does not have: all but the first, if it has none.
    pub(super) fn narrow_encodings(&mut self, answered: &[&str]) {
        let encodings = &mut self.sender.encodings;
        if encodings.len() < 2 {
            return;
        }
        let is_left =
            |one: &RtpEncodingParameters| one.rid.as_deref().is_some_and(|rid| answered.contains(&rid));
        if encodings.iter().any(is_left) {
            encodings.retain(is_left);
        } else {
            encodings.truncate(1);
        }
    }

    /// W3C "process remote tracks". The events come in the W3C's order: muted, removed from
    /// streams, added.
    pub(super) fn process_remote_tracks(
        &mut self,
        direction: Direction,
        streams: Vec<String>,
        events: &mut Vec<Event>,
    ) {
        let before = std::mem::replace(&mut self.receiver.streams, streams);
        let receives = self.fired_direction.is_some_and(Direction::receives);
        // The first packet ends it.
        let was_muted = self.receiver.muted;
        self.receiver.muted |= !direction.receives();
        if !direction.receives() && receives && !was_muted {
            events.push(Event::TrackMuted(self.id, self.kind));
        }
        for stream in before.iter().filter(|stream| !self.receiver.streams.contains(stream)) {
            events.push(Event::TrackRemoved(self.id, self.kind, stream.clone()));
        }
        let joins = self.receiver.streams.iter().any(|stream| !before.contains(stream));
        if direction.receives() && !receives || joins {
            events.push(Event::Track {
                transceiver: self.id,
                track: self.receiver.track.clone(),
                streams: self.receiver.streams.clone(),
            });
        }
        self.fired_direction = Some(direction);
    }
}
