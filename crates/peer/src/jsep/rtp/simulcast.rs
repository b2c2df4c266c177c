//! Several encodings of one source in a section (RFC 8853 §5.3).

use columba_sdp::attributes::{Direction, Rid, RidDirection, Simulcast, SimulcastStream};

use super::RtpSection;
use crate::media::Transceiver;

/// Encodings that are accepted of the other side at most.
const MAX_RECEIVED: usize = 16;

impl RtpSection {
    /// Returns the names of the encodings that the side that describes the section can receive: of
    /// alternatives the first.
    pub(in crate::jsep) fn received_encodings(&self) -> Vec<&str> {
        names(self.simulcast.as_ref().map(|simulcast| simulcast.recv.as_slice()))
    }

    /// Returns the names of the encodings that the side that describes the section sends.
    pub(in crate::jsep) fn sent_encodings(&self) -> Vec<&str> {
        names(self.simulcast.as_ref().map(|simulcast| simulcast.send.as_slice()))
    }
}

fn names(list: Option<&[Vec<SimulcastStream>]>) -> Vec<&str> {
    let encodings = list.unwrap_or_default().iter();
    encodings.filter_map(|alternatives| Some(alternatives.first()?.rid.as_str())).collect()
}

/// Returns the lines that offer the encodings of a sender (RFC 9429 §5.2.1).
pub(super) fn offered(transceiver: &Transceiver) -> (Vec<Rid>, Option<Simulcast>) {
    let rids: Vec<&str> = own_rids(transceiver);
    if !transceiver.direction.sends() || rids.len() < 2 {
        return (Vec::new(), None);
    }
    lines(&rids, &[])
}

/// Returns the lines that answer an offer's encodings: those that the other side wants and the
/// sender has, and, if `receives` is true, those that the other side sends.
pub(super) fn answered(
    offer: &RtpSection,
    transceiver: &Transceiver,
    direction: Direction,
    receives: bool,
) -> (Vec<Rid>, Option<Simulcast>) {
    let wanted = offer.received_encodings();
    let send: Vec<&str> = match direction.sends() {
        true => own_rids(transceiver).into_iter().filter(|rid| wanted.contains(rid)).collect(),
        false => Vec::new(),
    };
    let recv: Vec<&str> = match receives && direction.receives() {
        true => offer.sent_encodings().into_iter().take(MAX_RECEIVED).collect(),
        false => Vec::new(),
    };
    lines(&send, &recv)
}

fn own_rids(transceiver: &Transceiver) -> Vec<&str> {
    transceiver.sender.encodings.iter().filter_map(|encoding| encoding.rid.as_deref()).collect()
}

fn lines(send: &[&str], recv: &[&str]) -> (Vec<Rid>, Option<Simulcast>) {
    if send.is_empty() && recv.is_empty() {
        return (Vec::new(), None);
    }
    let rid = |direction| move |rid: &&str| Rid::new(rid, direction);
    let rids = send.iter().map(rid(RidDirection::Send)).chain(recv.iter().map(rid(RidDirection::Recv)));
    let simulcast = Simulcast {
        send: Simulcast::sending(send.iter().copied()).send,
        recv: Simulcast::sending(recv.iter().copied()).send,
    };
    (rids.collect(), Some(simulcast))
}
