//! The other side begins anew, stops data, or closes: DTLS and SCTP follow.

use columba_peer::{
    Configuration, DataChannelInit, Error, Event, Message, OfferOptions, Peer, PeerConnectionState,
    SessionDescription, UnixTime,
};

use crate::lab::{ALICE, BOB, Lab, SECOND};

/// The other application has crashed and offers again, with new credentials and a new certificate.
#[test]
fn other_side_that_begins_anew_is_connected_again() {
    let mut lab = Lab::lan(&Configuration::default(), 0.0, 1);
    let old = lab.open(ALICE, "before", DataChannelInit::default());
    assert!(lab.run_until(SECOND * 10, |lab| lab.both(|host| host.open.len() == 1)));
    lab.run_for(SECOND);
    lab.with(ALICE, |host, now| host.begin_anew(now, [77; 32]));
    let channel = lab.open(ALICE, "after", DataChannelInit::default());
    assert!(
        lab.run_until(SECOND * 20, |lab| {
            lab.connected() && lab.peer(BOB).open.len() == 2 && lab.peer(ALICE).open.contains(&channel)
        }),
        "{:?} {}",
        lab.summary(BOB),
        lab.network.trace()
    );
    let bob = lab.peer(BOB);
    let failed = |event: &Event| matches!(event, Event::ChannelClosed(_, Some(Error::Sctp { .. })));
    assert_eq!(bob.events.iter().filter(|event| failed(event)).count(), 1, "the channel of the old one");
    lab.with(ALICE, |host, now| host.peer.send(now, channel, Message::from("again")).unwrap());
    lab.run_for(SECOND);
    assert_eq!(lab.peer(BOB).all_received(), [Message::from("again")]);
    let _ = old;
}

/// W3C: `error` with the cause of SCTP, then `close`; and no error of the connection.
#[test]
fn channels_of_a_connection_that_the_other_side_closes_say_so() {
    let mut lab = Lab::lan(&Configuration::default(), 0.0, 2);
    let channel = lab.open(ALICE, "chat", DataChannelInit::default());
    assert!(lab.run_until(SECOND * 10, |lab| lab.both(|host| host.open.len() == 1)));
    lab.with(ALICE, |host, now| {
        host.events.clear();
        host.peer.close(now);
    });
    lab.run_for(SECOND);
    let reasons = lab.peer(BOB).events.iter().filter_map(|event| match event {
        Event::ChannelClosed(_, reason) => Some(reason.clone()),
        _ => None,
    });
    assert_eq!(reasons.collect::<Vec<_>>(), [Some(Error::ClosedRemotely { cause: Some(12) })]);
    assert!(lab.peer(BOB).errors.is_empty());
    assert_eq!(lab.peer(ALICE).events, [], "close changes everything and tells nothing");
    let state = lab.with(ALICE, |host, _| host.peer.channel_state(channel));
    assert!(state.is_none_or(|state| state == columba_peer::DataChannelState::Closed));
}

/// Data is stopped by one side, and offered again by the other, with the same connection below.
#[test]
fn data_section_that_was_stopped_is_offered_again() {
    let stop = |description: SessionDescription| {
        let lines = description.sdp.lines().filter(|line| !line.starts_with("a=group"));
        let sdp = lines.fold(String::new(), |text, line| text + line + "\r\n");
        let at = sdp.find("m=application ").unwrap();
        let port = sdp[at..].split(' ').nth(1).unwrap().to_owned();
        let sdp = sdp.replace(&format!("m=application {port} "), "m=application 0 ");
        SessionDescription { sdp, ..description }
    };
    let mut lab = Lab::lan(&Configuration::default(), 0.0, 3);
    lab.open(ALICE, "first", DataChannelInit::default());
    assert!(lab.run_until(SECOND * 10, |lab| lab.both(|host| host.open.len() == 1)));
    for round in 0..2 {
        // As an application that stops its only section.
        let offer =
            lab.with(ALICE, |host, now| host.peer.create_offer(now, OfferOptions::default()).unwrap());
        lab.with(ALICE, |host, now| host.peer.set_local_description(now, Some(offer.clone())).unwrap());
        let answer = lab.with(BOB, |host, now| {
            host.peer.set_remote_description(now, stop(offer)).unwrap();
            host.peer.set_local_description(now, None).unwrap()
        });
        lab.with(ALICE, |host, now| host.peer.set_remote_description(now, answer).unwrap());
        lab.run_for(SECOND);
        assert!(lab.both(|host| host.closed.len() == round + 1), "{round}");
        lab.open(BOB, "again", DataChannelInit::default());
        let open = |lab: &Lab| lab.connected() && lab.both(|host| host.open.len() == round + 2);
        assert!(lab.run_until(SECOND * 20, open), "{round}: {:?}", lab.summary(ALICE));
    }
    assert!(lab.both(|host| host.errors.is_empty()));
    assert!(lab.both(|host| !host.states.contains(&PeerConnectionState::Failed)));
}

impl crate::lab::PeerHost {
    /// Another application takes the place of this one, which has crashed.
    fn begin_anew(&mut self, now: std::time::Instant, seed: [u8; 32]) {
        let wall = UnixTime(std::time::Duration::from_secs(1_790_000_000));
        let configuration = Configuration::default();
        self.peer = Peer::new(configuration, now, wall, seed).unwrap();
        self.open.clear();
        self.peer.handle_network_change(now, &[self.address().into()]);
    }
}
