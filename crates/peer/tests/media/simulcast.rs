//! Several encodings of one source (RFC 8853).

use columba_peer::{RtpEncodingParameters, TrackKind, TransceiverDirection as Way, TransceiverInit};
use columba_sdp::attributes::{Rid, Simulcast};

use crate::common::*;

fn three(side: &mut Side) -> columba_peer::TransceiverId {
    let send_encodings = ["h", "m", "l"].map(RtpEncodingParameters::with_rid).to_vec();
    let init = TransceiverInit { send_encodings, ..TransceiverInit::new(Way::SendOnly) };
    side.peer.add_transceiver(*NOW, TrackKind::Video, init).unwrap()
}

fn rids(side: &Side, id: columba_peer::TransceiverId) -> Vec<Option<String>> {
    side.info(id).sender.encodings.into_iter().map(|encoding| encoding.rid).collect()
}

#[test]
fn all_encodings_are_negotiated_with_a_side_that_takes_them() {
    let mut one = Side::new(1);
    let mut two = Side::configured(2, |media| {
        (media.offered, media.receive_simulcast) = (Way::RecvOnly, true);
    });
    let id = three(&mut one);
    let scales: Vec<_> =
        one.info(id).sender.encodings.iter().map(|one| one.scale_resolution_down_by.unwrap()).collect();
    assert_eq!(scales, [4.0, 2.0, 1.0]);
    let (offer, answer) = negotiate(&mut one, &mut two);
    let simulcast: Simulcast = offer.media[0].lines.get().unwrap().unwrap();
    assert_eq!(simulcast, Simulcast::sending(["h", "m", "l"]));
    assert_eq!(offer.media[0].lines.all::<Rid>().count(), 3);
    assert_eq!(answer.media[0].lines.get::<Simulcast>().unwrap().unwrap(), simulcast.reversed());
    assert_eq!(rids(&one, id).len(), 3);
    assert!(!one.wants_negotiation());
}

#[test]
fn first_encoding_is_left_with_a_side_that_takes_one() {
    let (mut one, mut two) = (Side::new(1), Side::new(2));
    let id = three(&mut one);
    let (_, answer) = negotiate(&mut one, &mut two);
    assert!(!answer.media[0].lines.has::<Simulcast>() && !answer.media[0].lines.has::<Rid>());
    assert_eq!(rids(&one, id), [Some("h".to_owned())]);
    // Nothing is offered of it again.
    let (offer, _) = negotiate(&mut one, &mut two);
    assert!(!offer.media[0].lines.has::<Simulcast>());
}

#[test]
fn missing_encodings_are_given_up() {
    let mut one = Side::new(1);
    let mut two = Side::configured(2, |media| {
        (media.offered, media.receive_simulcast) = (Way::RecvOnly, true);
    });
    let id = three(&mut one);
    two.take(one.describe());
    let mut answer = two.describe();
    answer.sdp = answer.sdp.replace("recv h;m;l", "recv l;h").replace("a=rid:m recv\r\n", "");
    one.take(answer);
    assert_eq!(rids(&one, id), [Some("h".to_owned()), Some("l".to_owned())]);
}

/// The answerer gives up what a later offer does not want any more, and gets nothing back.
#[test]
fn own_answer_narrows_the_encodings_and_never_widens_them() {
    let mut side = Side::new(1);
    let id = side.peer.add_track(*NOW, columba_peer::Track::video("camera"), vec![]).unwrap();
    let wanting = |rids: &[&str]| {
        let lines: String = rids.iter().map(|rid| format!("a=rid:{rid} recv\n")).collect();
        let simulcast =
            if rids.is_empty() { String::new() } else { format!("a=simulcast:recv {}", rids.join(";")) };
        let head = "m=video 9 UDP/TLS/RTP/SAVPF 96\na=rtpmap:96 VP8/90000\na=recvonly";
        offer_of(&format!("{head}\n{lines}{simulcast}"), &["v"])
    };
    for (wanted, left) in [
        (&["1", "2", "3"][..], &["1", "2", "3"][..]),
        (&["3", "1", "9"], &["1", "3"]),
        (&["1", "2", "3"], &["1", "3"]),
        (&[], &["1"]),
        (&["1", "3"], &["1"]),
    ] {
        side.take(wanting(wanted));
        side.describe();
        assert_eq!(rids(&side, id), left.iter().map(|rid| Some((*rid).to_owned())).collect::<Vec<_>>());
    }
}

#[test]
fn requested_encodings_become_those_of_the_sender() {
    let mut side = Side::new(1);
    let track = columba_peer::Track::video("camera");
    let id = side.peer.add_track(*NOW, track, vec![]).unwrap();
    let sections = "m=video 9 UDP/TLS/RTP/SAVPF 96\na=rtpmap:96 VP8/90000\na=recvonly\na=rid:1 recv\n\
        a=rid:2 recv\na=rid:3 recv\na=rid:4 recv\na=simulcast:recv 1,9;~2;1;3;4";
    side.take(offer_of(sections, &["v"]));
    assert_eq!(rids(&side, id), ["1", "2", "3"].map(|rid| Some(rid.to_owned())));
    let answer = parse(&side.describe());
    let simulcast: Simulcast = answer.media[0].lines.get().unwrap().unwrap();
    assert_eq!(simulcast, Simulcast::sending(["1", "2", "3"]));
    // A rollback brings the encoding without a name back.
    let mut side = Side::new(1);
    let id = side.peer.add_track(*NOW, columba_peer::Track::video("camera"), vec![]).unwrap();
    side.take(offer_of(sections, &["v"]));
    side.take(columba_peer::SessionDescription::rollback());
    assert_eq!(rids(&side, id), [None]);
}
