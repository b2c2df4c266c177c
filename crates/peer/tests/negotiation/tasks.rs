//! The tasks in which events come: what the W3C does in one queued task.

use columba_peer::{
    Configuration, Event, IceGatheringState, MediaConfiguration, SessionDescription, SignalingState, Track,
    TransceiverDirection,
};

use crate::world::{ALICE, BOB, World};

/// The names of the events of each task.
fn tasks(world: &mut World, index: usize) -> Vec<Vec<String>> {
    let name = |event: &Event| {
        let text = format!("{event:?}");
        match event {
            Event::IceCandidate(Some(one)) if one.init.candidate.is_empty() => {
                "end of a transport".to_owned()
            }
            Event::IceCandidate(Some(_)) => "candidate".to_owned(),
            _ => text.split([' ', '{']).next().unwrap_or_default().to_owned(),
        }
    };
    let peer = &mut world.peers[index];
    let tasks = std::iter::from_fn(|| peer.poll_task());
    tasks.map(|events| events.iter().map(name).collect()).collect()
}

/// Peers of which Alice sends audio and video, and Bob takes all that is offered.
fn world() -> World {
    let mut media = MediaConfiguration::default();
    media.offered = TransceiverDirection::RecvOnly;
    let configuration = Configuration { media: media.into(), ..Configuration::default() };
    let mut world = World::with([configuration.clone(), configuration]);
    for track in [Track::audio("a"), Track::video("v")] {
        world.peers[ALICE].add_track(world.now, track, vec!["s".to_owned()]).unwrap();
    }
    world
}

#[test]
fn description_that_is_set_is_one_task() {
    let mut world = world();
    tasks(&mut world, ALICE);
    let offer = world.describe(ALICE);
    assert_eq!(tasks(&mut world, ALICE)[0], ["SignalingState(HaveLocalOffer)"]);
    world.set(BOB, offer.clone());
    assert_eq!(tasks(&mut world, BOB), [["SignalingState(HaveRemoteOffer)", "Track", "Track"]]);
    // A rollback takes the tracks back in its own.
    world.set(BOB, SessionDescription::rollback());
    let events = tasks(&mut world, BOB);
    assert_eq!(events[0][0], "SignalingState(Stable)");
    // They were muted all the time.
    assert_eq!(events[0].len(), 1 + 2, "removed: {events:?}");
    // Tracks end in tasks behind it.
    assert!(events.len() == 3 && events[1..].iter().all(|task| task.len() == 1), "{events:?}");
    assert!(events[1..].iter().all(|task| task[0].starts_with("TrackEnded")), "{events:?}");
    world.set(BOB, offer);
    let answer = world.describe(BOB);
    let events = tasks(&mut world, BOB);
    assert!(events[1..].iter().any(|task| task == &["SignalingState(Stable)"]), "{events:?}");
    world.set(ALICE, answer);
    let events = tasks(&mut world, ALICE);
    let settled = events.iter().find(|task| task.contains(&"SignalingState(Stable)".to_owned())).unwrap();
    assert_eq!(settled, &["SignalingState(Stable)"]);
}

/// The end of a transport's candidates is a task, and the states and `null` are the next one; each
/// candidate before it is a task of its own.
#[test]
fn end_of_gathering_is_two_tasks() {
    let mut world = World::new();
    world.describe(ALICE);
    let events = world.drain(ALICE);
    assert!(events.contains(&Event::IceGatheringState(IceGatheringState::Complete)));
    let mut world = World::new();
    world.describe(ALICE);
    // Requests are granted before events are taken.
    let mut seen = Vec::new();
    while let Some((transport, request)) = world.peers[ALICE].poll_request() {
        if let columba_peer::Request::BindUdp { id, address } = request {
            let local = std::net::SocketAddr::new(address, 4000);
            world.peers[ALICE].handle_input(world.now, transport, columba_peer::Input::Bound { id, local });
        } else if let columba_peer::Request::Listen { id, .. } = request {
            world.peers[ALICE].handle_input(world.now, transport, columba_peer::Input::ListenFailed { id });
        }
    }
    seen.extend(tasks(&mut world, ALICE));
    let states =
        ["IceTransportGatheringState(TransportId(0),", "IceGatheringState(Complete)", "IceCandidate(None)"];
    assert_eq!(
        seen[seen.len() - 2..],
        [vec!["end of a transport".to_owned()], states.map(str::to_owned).to_vec()]
    );
    let candidates = seen.iter().filter(|task| task.contains(&"candidate".to_owned()));
    assert!(candidates.clone().count() >= 1 && candidates.clone().all(|task| task.len() == 1), "{seen:?}");
}

/// W3C `setRemoteDescription`: an offer that collides is a rollback, and then itself.
#[test]
fn implicit_rollback_is_a_task_before_that_of_the_offer() {
    let mut world = world();
    world.describe(ALICE);
    world.peers[BOB].add_track(world.now, Track::audio("b"), vec!["s".to_owned()]).unwrap();
    let offer = world.describe(BOB);
    tasks(&mut world, ALICE);
    world.set(ALICE, offer);
    let events = tasks(&mut world, ALICE);
    let is_meant = |name: &&String| name.starts_with("SignalingState") || *name == "Track";
    let states = events.iter().map(|task| task.iter().filter(is_meant).cloned().collect::<Vec<_>>());
    let states: Vec<_> = states.filter(|task| !task.is_empty()).collect();
    let offered = ["SignalingState(HaveRemoteOffer)", "Track"];
    assert_eq!(states, [&["SignalingState(Stable)"][..], &offered[..]], "{events:?}");
}

#[test]
fn rest_of_a_task_and_a_closed_connection() {
    let mut world = world();
    tasks(&mut world, ALICE);
    let offer = world.describe(ALICE);
    world.set(BOB, offer);
    let first = world.peers[BOB].poll_event();
    assert_eq!(first, Some(Event::SignalingState(SignalingState::HaveRemoteOffer)));
    assert_eq!(world.peers[BOB].poll_task().map(|rest| rest.len()), Some(2), "both tracks");
    world.peers[ALICE].close(world.now);
    assert_eq!(world.peers[ALICE].poll_task(), None, "it emits nothing, and forgets what waited");
    assert_eq!(world.peers[ALICE].signaling_state(), SignalingState::Closed);
}
