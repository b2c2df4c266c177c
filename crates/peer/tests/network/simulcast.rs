//! Several encodings of one picture, each a stream of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use columba_peer::{
    Configuration, Event, MediaConfiguration, OutgoingFrame, RtpEncodingParameters, TrackKind,
    TransceiverDirection, TransceiverInit,
};

use crate::frames::{number, picture, receive};
use crate::lab::{ALICE, BOB, Lab, SECOND};

const FRAME: Duration = Duration::from_millis(20);
const RIDS: [&str; 3] = ["q", "h", "f"];

/// All layers arrive apart, in order and repaired, told from each other by their names only; each
/// has its own key frames, and one that is not active is not sent.
#[test]
fn layers_arrive_apart_and_repaired() {
    for loss in [0.0, 0.03] {
        let mut media = MediaConfiguration::default();
        media.receive_simulcast = true;
        media.offered = TransceiverDirection::RecvOnly;
        let configuration = Configuration { media: Arc::new(media), ..Configuration::default() };
        let mut lab = Lab::lan(&configuration, loss, 61);
        let ours = lab.with(ALICE, |host, now| {
            let send_encodings = RIDS.map(RtpEncodingParameters::with_rid).to_vec();
            let init =
                TransceiverInit { send_encodings, ..TransceiverInit::new(TransceiverDirection::SendOnly) };
            host.peer.add_transceiver(now, TrackKind::Video, init).unwrap()
        });
        assert!(lab.run_until(SECOND * 30, Lab::connected), "{}", lab.network.trace());
        lab.run_for(SECOND);
        let theirs = lab.peer(BOB).peer.transceivers()[0].id;
        let mut layers: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        let mut send = |lab: &mut Lab, frames: std::ops::Range<u32>| {
            for index in frames {
                lab.with(ALICE, |host, now| {
                    let mut keys = Vec::new();
                    host.events.retain(|event| match event {
                        Event::KeyFrameWanted(_, rid) => {
                            keys.push(rid.clone());
                            false
                        }
                        _ => true,
                    });
                    for (at, rid) in RIDS.into_iter().enumerate() {
                        let key = index == 0 || keys.iter().any(|one| one.as_deref() == Some(rid));
                        let data = picture(index, key, 200 << at);
                        let frame =
                            OutgoingFrame { rid: Some(rid), ..OutgoingFrame::new(&data, FRAME * index) };
                        let _ = host.peer.send_frame(now, ours, &frame);
                    }
                });
                lab.run_for(FRAME);
                for (info, data) in receive(lab, BOB, theirs) {
                    let rid = info.rid.as_deref().expect("a name").to_owned();
                    let layer = RIDS.iter().position(|one| *one == rid).unwrap();
                    assert_eq!(data, picture(number(&data), info.key, 200 << layer));
                    layers.entry(rid).or_default().push(number(&data));
                }
            }
        };
        send(&mut lab, 0..300);
        lab.with(ALICE, |host, now| {
            let mut parameters = host.peer.send_parameters(now, ours).unwrap();
            parameters.encodings[2].active = false;
            host.peer.set_send_parameters(now, ours, parameters).unwrap();
        });
        send(&mut lab, 300..400);
        for (rid, most) in [("q", 400), ("h", 400), ("f", 300)] {
            let numbers = &layers[rid];
            assert!(numbers.is_sorted_by(|one, other| one < other));
            assert!((most - 12..=most).contains(&numbers.len()), "{loss}: {} of {rid}", numbers.len());
        }
        let stats = lab.peer(BOB).peer.stats(lab.network.now()).rtp;
        let resent: u64 = stats.inbound.iter().map(|one| one.received.retransmitted_packets_received).sum();
        assert!(if loss > 0.0 { resent > 10 } else { resent == 0 }, "{resent}");
        let told: Vec<_> = stats.inbound.iter().filter_map(|one| one.rid.as_deref()).collect();
        assert!(told.len() >= 2 && told.iter().all(|rid| RIDS.contains(rid)), "{told:?}");
    }
}
