//! Two machines that add, remove and stop at random over many rounds.

use columba_peer::{
    DataChannelInit, SessionDescription, SignalingState, Track, TrackKind, TransceiverDirection as Way,
};
use proptest::prelude::*;

use crate::common::*;

/// A call of one of the two applications.
#[derive(Clone, Debug)]
enum Step {
    AddTransceiver(TrackKind, Way),
    AddTrack(TrackKind),
    RemoveTrack(usize),
    SetDirection(usize, Way),
    Stop(usize),
    Data,
    Negotiate,
    RolledBack,
    Glare,
}

fn step() -> impl Strategy<Value = (bool, Step)> {
    let kind = prop::sample::select(vec![TrackKind::Audio, TrackKind::Video]);
    let way = prop::sample::select(vec![Way::SendRecv, Way::SendOnly, Way::RecvOnly, Way::Inactive]);
    let step = prop_oneof![
        (kind.clone(), way.clone()).prop_map(|(kind, way)| Step::AddTransceiver(kind, way)),
        kind.prop_map(Step::AddTrack),
        any::<usize>().prop_map(Step::RemoveTrack),
        (any::<usize>(), way).prop_map(|(index, way)| Step::SetDirection(index, way)),
        any::<usize>().prop_map(Step::Stop),
        Just(Step::Data),
        Just(Step::Negotiate),
        Just(Step::Negotiate),
        Just(Step::RolledBack),
        Just(Step::Glare),
    ];
    (any::<bool>(), step)
}

fn run(sides: &mut [Side; 2], number: usize, is_second: bool, step: Step) {
    let [one, two] = sides;
    let (own, other) = if is_second { (two, one) } else { (one, two) };
    let of = |side: &Side, index: usize| {
        let all = side.peer.transceivers();
        (!all.is_empty()).then(|| all[index % all.len()].id)
    };
    match step {
        Step::AddTransceiver(kind, way) => {
            own.add(kind, way);
        }
        Step::AddTrack(kind) => {
            let track = Track { id: format!("track-{number}"), kind };
            own.peer.add_track(*NOW, track, vec![format!("stream-{}", number % 3)]).unwrap();
        }
        Step::RemoveTrack(index) => {
            if let Some(id) = of(own, index) {
                own.peer.remove_track(*NOW, id).unwrap();
            }
        }
        Step::SetDirection(index, way) => {
            if let Some(id) = of(own, index) {
                // One that has stopped refuses.
                let _ = own.peer.set_direction(*NOW, id, way);
            }
        }
        Step::Stop(index) => {
            if let Some(id) = of(own, index) {
                own.peer.stop_transceiver(*NOW, id).unwrap();
            }
        }
        Step::Data => {
            own.peer.create_data_channel(*NOW, "data", DataChannelInit::default()).unwrap();
        }
        Step::Negotiate => {
            negotiate(own, other);
            agree(own, other);
        }
        Step::RolledBack => {
            other.take(own.describe());
            other.take(SessionDescription::rollback());
            own.peer.set_local_description(*NOW, Some(SessionDescription::rollback())).unwrap();
        }
        Step::Glare => {
            other.describe();
            negotiate(own, other);
            agree(own, other);
        }
    }
}

/// Both sides have the same idea of every section.
fn agree(one: &Side, two: &Side) {
    assert_eq!(one.peer.signaling_state(), SignalingState::Stable);
    assert_eq!(two.peer.signaling_state(), SignalingState::Stable);
    let described = |side: &Side| {
        let (local, remote) =
            (side.peer.local_description().unwrap(), side.peer.remote_description().unwrap());
        (parse(&local), parse(&remote))
    };
    let ((own, _), (other, theirs)) = (described(one), described(two));
    assert_eq!(own.media.len(), other.media.len());
    assert_eq!(own.media.len(), theirs.media.len());
    let mut mids = std::collections::BTreeSet::new();
    for (own, other) in own.media.iter().zip(&other.media) {
        let mid = own.mid().unwrap();
        assert!(mids.insert(mid.to_owned()), "{mid} names two sections");
        assert_eq!(own.mid(), other.mid());
        assert_eq!(own.head().kind, other.head().kind);
        let find =
            |side: &Side| side.peer.transceivers().into_iter().find(|one| one.mid.as_deref() == Some(mid));
        if own.is_rejected() || other.is_rejected() {
            assert!(find(one).is_none() && find(two).is_none(), "{mid} is rejected");
            continue;
        }
        if own.head().is_data_channel() {
            continue;
        }
        let (own, other) = (find(one).unwrap(), find(two).unwrap());
        assert_eq!(own.kind, other.kind);
        let (sends, receives) = (own.current_direction.unwrap(), other.current_direction.unwrap());
        assert_eq!((sends.sends(), sends.receives()), (receives.receives(), receives.sends()), "{mid}");
        if receives.receives() && !own.sender.streams.is_empty() {
            assert_eq!(other.receiver.streams, own.sender.streams, "{mid}");
        }
        assert!(own.receiver.muted, "{mid}: no packet has come");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn both_sides_agree_on_every_section(steps in prop::collection::vec(step(), 1..40)) {
        let mut sides = [Side::new(1), Side::new(2)];
        for (number, (is_second, step)) in steps.into_iter().enumerate() {
            run(&mut sides, number, is_second, step);
        }
        // Whatever was done, it settles: one negotiation of each side is enough.
        let [one, two] = &mut sides;
        negotiate(one, two);
        negotiate(two, one);
        negotiate(one, two);
        agree(one, two);
        one.events();
        two.events();
        one.peer.handle_timeout(*NOW);
        two.peer.handle_timeout(*NOW);
        prop_assert!(!one.wants_negotiation() && !two.wants_negotiation());
    }
}
