//! The effects on transceivers of a local description, of the end of a negotiation and of a
//! rollback (W3C "set the session description").

use columba_sdp::attributes::Direction;

use super::transceiver::TransceiverId;
use super::transceivers::Transceivers;
use crate::event::Event;

/// A section of a local description.
#[derive(Debug)]
pub(crate) struct LocalSection<'a> {
    pub(crate) mid: &'a str,
    /// The transceiver from which the section was made.
    pub(crate) transceiver: Option<TransceiverId>,
    /// `None` if it is rejected.
    pub(crate) direction: Option<Direction>,
    /// The encodings of `a=simulcast:send`, in their order.
    pub(crate) sent: Vec<&'a str>,
}

impl Transceivers {
    /// The steps for a media description of a local description.
    pub(crate) fn set_local(&mut self, section: LocalSection<'_>, is_answer: bool, events: &mut Vec<Event>) {
        if let Some(place) = section.transceiver.and_then(|id| self.place(id)) {
            self.list[place].mid = Some(section.mid.to_owned());
            self.cursor = place;
        }
        let Some(place) = self.place_of_section(section.mid) else { return };
        let transceiver = &mut self.list[place];
        if transceiver.is_stopped {
            return;
        }
        // A rejection counts once the answer is final.
        let Some(direction) = section.direction else { return };
        if is_answer {
            transceiver.sender.returned = None;
            if direction.sends() {
                transceiver.narrow_encodings(&section.sent);
            }
            if !direction.receives() && transceiver.fired_direction.is_some_and(Direction::receives) {
                let removed = std::mem::take(&mut transceiver.receiver.streams);
                let was_muted = std::mem::replace(&mut transceiver.receiver.muted, true);
                let (id, kind) = (transceiver.id, transceiver.kind);
                events.extend((!was_muted).then_some(Event::TrackMuted(id, kind)));
                events.extend(removed.into_iter().map(|stream| Event::TrackRemoved(id, kind, stream)));
            }
            transceiver.set_current_direction(direction);
            transceiver.fired_direction = Some(direction);
        }
    }

    /// Ends a negotiation: `is_rejected` tells of a section whether one of the two descriptions
    /// rejects it.
    pub(crate) fn settle(&mut self, is_rejected: impl Fn(&str) -> bool, events: &mut Vec<Event>) {
        for transceiver in &mut self.list {
            transceiver.is_new = false;
            let is_over = transceiver.mid.as_deref().is_some_and(&is_rejected);
            if is_over && !transceiver.is_stopped && transceiver.stop() {
                events.push(Event::TrackEnded(transceiver.id, transceiver.kind));
            }
            transceiver.remember();
        }
        self.list.retain(|one| !one.is_stopped || !one.mid.as_deref().is_some_and(&is_rejected));
        // Stopped before it was ever described: nothing is left of it.
        self.list.retain(|one| !one.is_stopping || one.mid.is_some());
    }

    /// The steps of a rollback. `of_remote` is true if the other side's offer is taken back.
    pub(crate) fn roll_back(&mut self, of_remote: bool, events: &mut Vec<Event>) {
        for transceiver in &mut self.list {
            transceiver.mid = transceiver.stable.mid.clone();
            if let Some(encodings) = &transceiver.stable.encodings
                && transceiver.sender.encodings.iter().any(|encoding| encoding.rid.is_some())
            {
                transceiver.sender.encodings = encodings.clone();
                transceiver.sender.returned = None;
            }
            if of_remote {
                let streams = transceiver.stable.streams.clone();
                let direction = transceiver.current_direction.unwrap_or(Direction::Inactive);
                transceiver.process_remote_tracks(direction, streams, events);
            }
        }
        let goes = |one: &super::Transceiver| one.is_new && !one.has_added_track;
        let gone = self.list.iter().filter(|one| goes(one)).map(|one| Event::TrackEnded(one.id, one.kind));
        events.extend(gone);
        self.list.retain(|one| !goes(one));
        self.list.iter_mut().for_each(|one| one.is_new = false);
    }
}
